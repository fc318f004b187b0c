//! What iptables does with a packet, written from its manual and `net/ipv4/netfilter/ip_tables.c`: rule by rule, with a stack of calls.
//!
//! The state of a connection is what the machine's sockets say, as the manual of sockc describes: this is what the import promises, and
//! not what a table of connections would hold.

use std::collections::BTreeSet;

use sockc_compiler::event::{Fragment, SocketAnswer, Transport, Verdict, hardware_number};
use sockc_compiler::policy::Family;

use super::drawn::{Goal, LISTS, List, Match, OTHER_CARD, Rule, Set, Sides, number};
use super::packets::Packet;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// How many lines are written for it.
    pub(crate) lines: usize,
}

/// What a set does with a packet, without the rules of some lines. Where there is no set, nothing is decided.
pub(crate) fn answer(set: Option<&Set>, left_out: &BTreeSet<usize>, packet: &Packet) -> Answer {
    let mut lines = 0;
    let Some(set) = set else {
        return Answer {
            verdict: Verdict::Allow,
            lines,
        };
    };
    let first = LISTS.iter().position(|list| *list == packet.list).unwrap();
    let (mut chain, mut at, mut callers) = (first, 0, Vec::new());
    let verdict = loop {
        let Some(rule) = set.chains[chain].rules.get(at) else {
            match callers.pop() {
                Some(caller) => (chain, at) = caller,
                None if set.chains[first].drops => break Verdict::Drop,
                None => break Verdict::Allow,
            }
            continue;
        };
        at += 1;
        if left_out.contains(&rule.line) || !matches(rule, packet) {
            continue;
        }
        match &rule.goal {
            Goal::Accept => break Verdict::Allow,
            Goal::Drop => break Verdict::Drop,
            // What leaves cannot be answered.
            Goal::Reject(_) if packet.list == List::Out => break Verdict::Drop,
            Goal::Reject(_) => break Verdict::Reject,
            Goal::Log => lines += 1,
            Goal::Nothing => {}
            Goal::Jump(to) => {
                callers.push((chain, at));
                (chain, at) = (*to, 0);
            }
            Goal::Goto(to) => (chain, at) = (*to, 0),
            // The end of the chain is what returns.
            Goal::Return => at = usize::MAX,
        }
    };
    Answer { verdict, lines }
}

/// Whether all matches of a rule hold. How many lines a rate lets through is no question of one packet.
fn matches(rule: &Rule, packet: &Packet) -> bool {
    let mut matches = rule.matches.iter();
    matches.all(|one| match one {
        Match::Rate => rule.goal == Goal::Log || packet.fits,
        // Whoever accepts the start of connections by a rule accepts the end of the handshake by it, too.
        Match::State(negated, states) if rule.goal == Goal::Accept && packet.ends_a_handshake() => {
            let begins = may_begin(&packet.header.transport);
            begins && states.contains(&"NEW") != *negated || holds(one, packet)
        }
        _ => holds(one, packet),
    })
}

fn holds(one: &Match, packet: &Packet) -> bool {
    let header = &packet.header;
    match one {
        Match::Protocol(negated, wanted) => (header.protocol.0 == *wanted) != *negated,
        Match::Address {
            of_sender,
            negated,
            low,
            high,
            ..
        } => {
            let address = number(if *of_sender { header.from } else { header.to });
            (*low <= address && address <= *high) != *negated
        }
        Match::Interface {
            came_in,
            negated,
            name,
        } => {
            let has = match (packet.list, came_in) {
                (List::In, true) | (List::Forward, true) => packet.on,
                (List::Out, false) | (List::Forward, false) => packet.leaves,
                _ => "",
            };
            let is_it = match name.strip_suffix('+') {
                Some(begins) => has.starts_with(begins),
                None => has == *name,
            };
            is_it != *negated
        }
        Match::Ports {
            sides,
            negated,
            ports,
        } => {
            let Some((from, to)) = ports_of(&header.transport) else {
                return false;
            };
            let is_in = |port: u16| {
                ports
                    .iter()
                    .any(|(low, high)| *low <= port && port <= *high)
            };
            let is_it = match sides {
                Sides::Sender => is_in(from),
                Sides::Receiver => is_in(to),
                Sides::Any => is_in(from) || is_in(to),
            };
            is_it != *negated
        }
        Match::Flags { negated, mask, set } => match header.transport {
            Transport::Tcp { flags, .. } => (flags & mask == *set) != *negated,
            _ => false,
        },
        Match::Icmp(wanted, wanted_code) => match header.transport {
            Transport::Icmp { kind, code } => {
                kind == *wanted && wanted_code.is_none_or(|wanted| wanted == code)
            }
            _ => false,
        },
        Match::Length(negated, low, high) => {
            let length = header.length;
            (u32::from(*low) <= length && length <= u32::from(*high)) != *negated
        }
        Match::Ttl(negated, sign, value) => {
            let is_it = match sign {
                '<' => header.ttl < *value,
                '>' => header.ttl > *value,
                _ => header.ttl == *value,
            };
            is_it != *negated
        }
        Match::Dscp(negated, value) => (header.dscp == *value) != *negated,
        Match::Ecn(negated, value) => (header.ecn == *value) != *negated,
        Match::Mark(negated, value, mask) => (header.mark & mask == *value) != *negated,
        Match::State(negated, states) => has_state(*negated, states, packet),
        Match::Card(negated) => (header.ether_from == hardware_number(OTHER_CARD)) != *negated,
        Match::Local(negated) => packet.is_for_one() != *negated,
        Match::Rate => packet.fits,
        Match::Comment => true,
        // It has to be left out.
        Match::Unknown => true,
    }
}

fn ports_of(transport: &Transport) -> Option<(u16, u16)> {
    match transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => Some((*from, *to)),
        _ => None,
    }
}

/// Whether a connection may begin with a packet of TCP, or be picked up by it (nf_conntrack_proto_tcp.c).
pub(crate) fn may_begin(transport: &Transport) -> bool {
    match transport {
        Transport::Tcp { flags, .. } => matches!(flags & 0x17, 0x02 | 0x10),
        _ => true,
    }
}

/// Whether a rule that asks for states is about a packet. NEW and ESTABLISHED together are every packet, as the report says; INVALID alone
/// is never asked, as the report says, too.
pub(crate) fn has_state(negated: bool, states: &[&str], packet: &Packet) -> bool {
    let asks = |state: &str| states.contains(&state) != negated;
    let state = state(packet);
    asks("NEW") && asks("ESTABLISHED") || state != "INVALID" && asks(state)
}

/// The state of a packet of ICMP.
fn state_of_icmp(packet: &Packet) -> &'static str {
    let Transport::Icmp { kind, .. } = packet.header.transport else {
        return "INVALID";
    };
    let is_v4 = packet.header.family() == Family::V4;
    match (is_v4, kind) {
        (true, 0) | (false, 129) => "ESTABLISHED",
        (true, 3 | 11 | 12) | (false, 1..=4) => "RELATED",
        (true, 8 | 13 | 15 | 17) | (false, 128 | 139) => "NEW",
        (false, 130..=137 | 143) => "UNTRACKED",
        _ => "INVALID",
    }
}

/// The state of what arrives.
fn state_arriving(packet: &Packet) -> &'static str {
    let header = &packet.header;
    let icmp = if header.family() == Family::V4 { 1 } else { 58 };
    let has_socket = matches!(header.protocol.0, 6 | 17) && header.fragment != Fragment::Later;
    if header.protocol.0 == icmp {
        state_of_icmp(packet)
    } else if has_socket && packet.socket == SocketAnswer::Established || packet.ends_a_handshake()
    {
        "ESTABLISHED"
    } else if may_begin(&header.transport) {
        "NEW"
    } else {
        "INVALID"
    }
}

/// The state of a packet's connection, by the sockets of the machine.
fn state(packet: &Packet) -> &'static str {
    let header = &packet.header;
    let (reply, request, errors): (u8, u8, &[u8]) = match header.family() {
        Family::V4 => (0, 8, &[3, 11, 12]),
        Family::V6 => (129, 128, &[1, 2, 3, 4]),
    };
    match (packet.list, header.transport) {
        (List::Forward, _) => "NEW",
        (List::In, _) => state_arriving(packet),
        (_, Transport::Icmp { kind, .. }) if kind == reply => "ESTABLISHED",
        (_, Transport::Icmp { kind, .. }) if errors.contains(&kind) => "RELATED",
        (_, Transport::Tcp { flags, .. })
            if flags & 0x10 != 0 && packet.socket != SocketAnswer::None =>
        {
            "ESTABLISHED"
        }
        (_, Transport::Tcp { flags, .. }) if flags & 0x12 == 0x02 => "NEW",
        (_, Transport::Icmp { kind, .. }) if kind == request => "NEW",
        _ if header.protocol.0 == 17 => "NEW",
        (_, Transport::Icmp { .. }) if state_of_icmp(packet) == "UNTRACKED" => "UNTRACKED",
        _ => "INVALID",
    }
}
