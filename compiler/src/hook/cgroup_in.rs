//! cgroup_skb at ingress: a datagram that arrives at a UDP socket of a group, before it is put into the socket's queue.
//!
//! The kernel runs it for every packet that a socket gets (`sk_filter_trim_cap` of net/core/filter.c), which
//! `udp_queue_rcv_one_skb` of net/ipv4/udp.c calls for each receiver of a datagram. It sees the packet from its IP header on, put
//! together of its fragments, and with segments joined only where the socket asked for that (UDP_GRO). Packets of other
//! sockets go on: what arrives by TCP is decided at sk_skb.

use super::{
    Ability, Codes, Ends, HookSpec, Metering, No, Refusal, Sight, Stage, Verb, Yes, sk_skb,
};
use crate::artifact::{AttachPoint, Section};
use crate::bpf::constant::{SK_DROP, SK_PASS};
use crate::field::{Field, FieldKind};
use crate::policy::Direction;
use crate::protocol::IpProtocol;

const SOME_ARE_STREAMS: Ability =
    No("a rule on receives may be about streams too, which are not packets");

pub(super) static HOOK: HookSpec = HookSpec {
    name: "cgroup_skb",
    title: "cgroup_skb",
    program: "datagrams",
    section: Section::CgroupSkb,
    attach: AttachPoint::CgroupSkb,
    direction: Direction::Receive,
    stage: Stage::Process,
    usual: false,
    holds_on: Field::Interface,
    sees: Sight {
        fixed: &[(Field::Fragment, 0), (Field::Socket, 0)],
        protocols: &[IpProtocol::UDP],
        absent: &[],
        unconnected: false,
        joined: true,
    },
    reads,
    does,
    sets_mark: SOME_ARE_STREAMS,
    meters: Metering {
        refusals: Yes,
        connections: No("datagrams have no connections"),
    },
    reject: Refusal::Code,
    codes: Codes {
        pass: SK_PASS,
        drop: SK_DROP,
    },
    ends: Ends {
        uncounted: "what no rule is about goes on and is not counted",
        ..Ends::ONLY
    },
    reason: "cgroup_skb is the hook of datagrams that arrive at a socket",
    takes_in: None,
    elsewhere: |_| "it sees the datagrams that arrive at sockets, not packets on interfaces or calls",
};

fn does(verb: Verb) -> Ability {
    match verb {
        Verb::Feed => No("a datagram goes into no other socket's queue; write `receive tcp`"),
        other => sk_skb::does(other),
    }
}

fn reads(kind: FieldKind) -> Ability {
    match kind {
        FieldKind::Fragment
        | FieldKind::TcpFlags
        | FieldKind::Length
        | FieldKind::IpHeader
        | FieldKind::Vlan
        | FieldKind::Ether
        | FieldKind::Mark => SOME_ARE_STREAMS,
        FieldKind::Icmp
        | FieldKind::Interface
        | FieldKind::FirstMatch
        | FieldKind::Absent
        | FieldKind::Entry
        | FieldKind::Socket
        | FieldKind::Tuple
        | FieldKind::Member
        | FieldKind::Rate => sk_skb::reads(kind),
    }
}
