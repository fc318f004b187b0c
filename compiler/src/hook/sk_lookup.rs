//! sk_lookup: which socket gets a new TCP connection, or a datagram of an unconnected UDP socket.
//!
//! A lookup is made for whole (or reassembled) TCP and UDP packets without a connected socket. It holds for the whole
//! network namespace, and its only refusal is answered with a reset or an ICMP error.

use super::{Ability, Codes, Ends, HookSpec, Metering, No, Refusal, Sight, Stage, Verb, Yes};
use crate::artifact::{AttachPoint, Section};
use crate::bpf::constant::{SK_DROP, SK_PASS};
use crate::field::{Field, FieldKind};
use crate::policy::Direction;
use crate::protocol::IpProtocol;

const NOT_GIVEN: Ability =
    No("a socket lookup is given addresses and ports, not the packet's header");

pub(super) static HOOK: HookSpec = HookSpec {
    name: "sk_lookup",
    title: "sk_lookup",
    program: "lookup",
    section: Section::SkLookup,
    attach: |_| AttachPoint::SkLookup,
    direction: Direction::In,
    stage: Stage::Lookup,
    usual: false,
    holds_on: Field::Interface,
    sees: Sight {
        fixed: &[(Field::Fragment, 0), (Field::Socket, 0)],
        protocols: &IpProtocol::WITH_SOCKETS,
        // The part of a rule that is about ICMP never meets a lookup.
        absent: &[FieldKind::Icmp],
        unconnected: true,
        joined: false,
    },
    reads,
    does,
    sets_mark: No("a socket lookup cannot change the packet"),
    meters: Metering::ALL,
    reject: Refusal::Code,
    codes: Codes {
        pass: SK_PASS,
        drop: SK_DROP,
    },
    ends: Ends::ONLY,
    reason: "it says `at sk_lookup`",
    takes_in: None,
    elsewhere: |direction| match direction.of_processes() {
        true => super::tc::PACKETS,
        false => "the kernel looks a socket up only for packets that arrive",
    },
};

fn reads(kind: FieldKind) -> Ability {
    match kind {
        FieldKind::Fragment => No("datagrams are put together before their socket is looked up"),
        FieldKind::Icmp => No("sockets are looked up for TCP and UDP only"),
        FieldKind::TcpFlags => {
            No("a socket lookup is given addresses and ports, not the TCP header")
        }
        FieldKind::Length => {
            No("a socket lookup is given addresses and ports, not the packet's length")
        }
        FieldKind::IpHeader | FieldKind::Vlan | FieldKind::Ether => NOT_GIVEN,
        FieldKind::Mark => No("a socket lookup is given addresses and ports, not the packet mark"),
        FieldKind::Socket => No("the socket lookup, where redirects run, is what finds the socket"),
        FieldKind::Rate => {
            No("a socket lookup runs again and again for one packet, so it cannot meter")
        }
        FieldKind::Tuple
        | FieldKind::Member
        | FieldKind::Interface
        | FieldKind::FirstMatch
        | FieldKind::Absent
        | FieldKind::Entry => Yes,
    }
}

fn does(verb: Verb) -> Ability {
    match verb {
        Verb::Allow | Verb::Count | Verb::Reject | Verb::Redirect => Yes,
        Verb::Drop => No("a socket lookup cannot drop in silence"),
        Verb::Intercept => No("no lookup is made for a packet that has its socket"),
        Verb::Forward => No("a socket lookup chooses a socket, not an interface"),
        Verb::Shortcut | Verb::Feed => super::tc::NO_WRITES,
    }
}
