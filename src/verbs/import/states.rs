//! States of connections, asked of sockets.
//!
//! Takes the states that a rule asks for; gives what is the same, or nearest to it, for a machine whose table of connections are its
//! sockets. What arrives is ESTABLISHED where a connected socket takes it, or where it may end a handshake: the socket of one that is not
//! finished counts as listening. Echo replies are taken for answers; RELATED are the errors of ICMP that `include <essentials>` lets in.
//! What leaves is ESTABLISHED where a socket sends it in a connection of TCP that is being answered. What passes through has no socket here.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::list::List;
use super::rule::Asks;
use super::what::{Asked, What, icmp};

/// The states, each a bit.
const STATES: [(&str, u8); 5] = [
    ("INVALID", INVALID),
    ("NEW", NEW),
    ("ESTABLISHED", ESTABLISHED),
    ("RELATED", RELATED),
    ("UNTRACKED", UNTRACKED),
];
const INVALID: u8 = 1;
const NEW: u8 = 2;
const ESTABLISHED: u8 = 4;
const RELATED: u8 = 8;
const UNTRACKED: u8 = 16;
const ALL: u8 = 31;

/// States that a rule asks for.
#[derive(Clone, Debug)]
pub(super) struct States {
    bits: u8,
    /// What is said of names that have no counterpart.
    without: Option<String>,
}

impl States {
    /// The states of these names, or all others; an error where none of them is known.
    pub(super) fn named<'a>(
        names: impl Iterator<Item = &'a str>,
        negated: bool,
    ) -> Result<Self, String> {
        let (mut bits, mut of_addresses) = (0, Vec::new());
        for name in names {
            match STATES.iter().find(|(known, _)| *known == name) {
                Some((_, bit)) => bits |= bit,
                None => of_addresses.push(name),
            }
        }
        let without = (!of_addresses.is_empty()).then(|| {
            let names = of_addresses.join(", ");
            format!("the state {names} has no counterpart: addresses are not translated here")
        });
        if let (Some(why), 0, false) = (&without, bits, negated) {
            return Err(why.clone());
        }
        let bits = if negated { ALL & !bits } else { bits };
        Ok(Self { bits, without })
    }

    /// What they ask.
    pub(super) fn asks(&self, family: Family, list: List) -> Result<Asks, String> {
        let mut asks = of_states(self.bits, family, list)?;
        asks.changed = match (asks.changed, self.without.clone()) {
            (Some(changed), Some(more)) => Some(format!("{changed}; {more}")),
            (one, other) => one.or(other),
        };
        Ok(asks)
    }

    /// Whether they mean the same for TCP alone, of what arrives: a connection is its socket. Where what is NEW is not accepted, an ACK to
    /// a socket that listens tells: it is the end of a handshake here, and there it may be one that nobody knows.
    pub(super) fn is_exact_for_tcp(&self, list: List, accepts: bool) -> bool {
        list == List::In && self.bits == NEW && self.without.is_none() && accepts
    }
}

fn of_states(states: u8, family: Family, list: List) -> Result<Asks, String> {
    if states & (NEW | ESTABLISHED) == NEW | ESTABLISHED {
        return Ok(Asks {
            cases: vec![What::any(family)],
            changed: too(states, family),
            note: None,
        });
    }
    if states & (NEW | ESTABLISHED | RELATED) == 0 {
        let judged =
            "conntrack judges what is INVALID or UNTRACKED, and there is no table of connections";
        return Err(match list {
            List::In => {
                format!("{judged}; what belongs to no socket the kernel answers or drops itself")
            }
            List::Out | List::Forward => judged.to_owned(),
        });
    }
    match list {
        List::In => Ok(arriving(states, family)),
        List::Out => Ok(leaving(states, family)),
        List::Forward => Err(
            "no socket of this machine tells the state of what passes through; `if tcp flags ack` is about what answers in connections of TCP, for whoever sends it"
                .to_owned(),
        ),
    }
}

/// What matches, too, where every packet does, because NEW and ESTABLISHED are meant. What of IPv4 is not tracked rules of the table `raw`
/// say; of IPv6 that is all that finds neighbours and asks for groups.
fn too(states: u8, family: Family) -> Option<String> {
    let others = [
        (RELATED, "RELATED"),
        (INVALID, "INVALID"),
        (
            UNTRACKED,
            "UNTRACKED (what finds neighbours and asks for groups)",
        ),
    ];
    let others = others.into_iter().filter(|(bit, _)| {
        let is_there = *bit != UNTRACKED || family == Family::V6;
        is_there && states & bit == 0
    });
    let names: Vec<&str> = others.map(|(_, name)| name).collect();
    (!names.is_empty()).then(|| format!("what conntrack calls {} matches, too", names.join(" or ")))
}

/// The part of NEW that keeps the end of a handshake out of it.
const NO_HANDSHAKE: &str = "any of { no socket listening, no tcp flags ack no syn }";

/// The part of NEW that is about the flags of TCP: a connection begins with a SYN, and one that began earlier is picked up by an ACK; all
/// else that belongs to no connection is INVALID (nf_conntrack_proto_tcp.c: tcp_new, tcp_valid_flags).
const NEW_TCP: &str =
    "any of { tcp flags syn no rst no ack no fin, tcp flags ack no syn no rst no fin }";
/// The same, so that what is not TCP has it, too.
const NEW_OR_OTHER: &str =
    "no tcp flags rst and no tcp flags fin and no tcp flags syn ack and no tcp flags no syn no ack";

/// Leaves out of NEW what asks for the end of a handshake, where that changes nothing: where a case is not about TCP. And where what is NEW
/// is accepted, as nothing becomes a connection by such a packet whose start was not accepted by the same rule, and a shorter rule is read
/// more easily. What asks for flags is left out where it changes nothing, and is said in the shorter way of TCP alone.
pub(super) fn shorten(case: &mut What, accepts: bool) {
    let has_tcp = case.protocols.contains(6);
    if accepts || !has_tcp {
        case.conditions.retain(|one| one.text != NO_HANDSHAKE);
    }
    let opens = |one: &Asked| one.text == "tcp flags syn no rst no ack no fin";
    if !has_tcp || case.conditions.iter().any(opens) {
        case.conditions.retain(|one| one.text != NEW_OR_OTHER);
    }
    // Later fragments have no flags, so what lets them in, too, is said of what is denied.
    let has_flags = case.from.ports.is_some() || case.to.ports.is_some();
    if has_flags && case.protocols.ranges() == [(6, 6)] {
        let mut flags = case.conditions.iter_mut();
        if let Some(flags) = flags.find(|one| one.text == NEW_OR_OTHER) {
            NEW_TCP.clone_into(&mut flags.text);
        }
    }
}

/// What is said of NEW where TCP with ACK to a socket that listens is left out of it.
pub(super) fn said_of_handshakes(cases: &[What]) -> Option<&'static str> {
    let mut conditions = cases.iter().flat_map(|case| &case.conditions);
    let is_asked = conditions.any(|one| one.text == NO_HANDSHAKE);
    is_asked.then_some(
        "TCP with ACK to a socket that listens is none of it, as it may be the end of a handshake",
    )
}

/// The types of errors that belong to connections: those of `include <essentials>`.
fn errors(family: Family) -> Vec<What> {
    let types: &[u8] = match family {
        Family::V4 => &[3, 11, 12],
        Family::V6 => &[1, 2, 3, 4],
    };
    of_types(family, types)
}

/// Answers to pings from here.
fn echo_reply(family: Family) -> What {
    let kind = match family {
        Family::V4 => 0,
        Family::V6 => 129,
    };
    What::icmp(family, kind, None)
}

fn asked(text: &str, with: Option<&str>) -> Asked {
    Asked {
        text: text.to_owned(),
        with: with.map(ToOwned::to_owned),
    }
}

/// The types of ICMP by which something begins (`valid_new` of nf_conntrack_proto_icmp.c, and of its sister of IPv6).
fn requests(family: Family) -> &'static [u8] {
    match family {
        Family::V4 => &[8, 13, 15, 17],
        Family::V6 => &[128, 139],
    }
}

/// The types that conntrack never tracks (`noct_valid_new` of nf_conntrack_proto_icmpv6.c).
fn untracked(family: Family) -> &'static [u8] {
    match family {
        Family::V4 => &[],
        Family::V6 => &[130, 131, 132, 133, 134, 135, 136, 137, 143],
    }
}

fn of_types(family: Family, types: &[u8]) -> Vec<What> {
    let types = types.iter();
    types.map(|kind| What::icmp(family, *kind, None)).collect()
}

/// What is NEW of what arrives.
fn arriving_new(family: Family) -> Vec<What> {
    let icmp = icmp(family);
    let mut new = What::asked(family, asked("no socket established", Some("")));
    new.protocols = RangeSet::full().minus(&RangeSet::from_ranges([(icmp, icmp)]));
    new.conditions.push(asked(NO_HANDSHAKE, Some("")));
    new.conditions
        .push(asked(NEW_OR_OTHER, Some("tcp flags syn")));
    let mut cases = vec![new];
    cases.extend(of_types(family, requests(family)));
    cases
}

/// States of what arrives.
fn arriving(states: u8, family: Family) -> Asks {
    let (mut cases, mut changed) = (Vec::new(), Vec::new());
    if states & NEW != 0 {
        cases.extend(arriving_new(family));
        changed.push(
            "NEW is what no connected socket takes, so not a SYN to one in TIME_WAIT, of TCP what may begin a connection, and of ICMP what asks",
        );
    }
    if states & ESTABLISHED != 0 {
        let established = asked("socket established", Some("socket established"));
        let mut handshake = What::protocol(family, 6);
        handshake.conditions = vec![
            asked("socket listening", Some("socket listening")),
            asked("tcp flags ack no syn", Some("tcp flags ack")),
        ];
        cases.push(What::asked(family, established));
        cases.extend([handshake, echo_reply(family)]);
        changed.push(
            "ESTABLISHED is what a connected socket takes, with a SYN to one in TIME_WAIT, TCP with ACK to one that listens (the end of a handshake), and every echo reply: not answers to UDP sockets that are not connected",
        );
    }
    if states & RELATED != 0 {
        cases.extend(errors(family));
        changed.push("RELATED are errors of ICMP, whatever they are about, and no redirects");
    }
    with_rest(cases, changed, states, family)
}

/// States of what leaves. The kernel's part of a handshake is sent by a socket that is not established, and the first packet of a
/// connection by one that is.
fn leaving(states: u8, family: Family) -> Asks {
    let (mut cases, mut changed) = (Vec::new(), Vec::new());
    if states & ESTABLISHED != 0 {
        let mut answered = What::protocol(family, 6);
        answered.conditions = vec![
            asked("socket exists", Some("socket established")),
            asked("tcp flags ack", Some("tcp flags ack")),
        ];
        cases.extend([answered, echo_reply(family)]);
        changed
            .push("ESTABLISHED is TCP with ACK that a socket sends, and every echo reply: what a server of UDP answers is none of it and needs a rule, as `allow out udp from port 53`");
    }
    if states & NEW != 0 {
        let mut opening = What::protocol(family, 6);
        opening.conditions = vec![asked("tcp flags syn no ack", Some("tcp flags syn"))];
        cases.extend([opening, What::protocol(family, 17), echo_request(family)]);
        changed.push("NEW is TCP that opens a connection, all UDP, and echo requests, and nothing of other protocols");
    }
    if states & RELATED != 0 {
        cases.extend(errors(family));
        changed.push("RELATED are errors of ICMP, whatever they are about, and no redirects");
    }
    with_rest(cases, changed, states, family)
}

fn echo_request(family: Family) -> What {
    let kind = match family {
        Family::V4 => 8,
        Family::V6 => 128,
    };
    What::icmp(family, kind, None)
}

/// Says what of the states is not carried over.
fn with_rest(mut cases: Vec<What>, mut changed: Vec<&str>, states: u8, family: Family) -> Asks {
    if states & INVALID != 0 {
        changed.push("INVALID is not asked");
    }
    if states & UNTRACKED != 0 {
        cases.extend(of_types(family, untracked(family)));
    }
    Asks {
        cases,
        changed: Some(changed.join("; ")),
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::{clauses, protocols};
    use super::*;

    /// States, or all but these behind `! `.
    fn states(text: &str) -> Result<States, String> {
        let names = text.strip_prefix("! ");
        States::named(names.unwrap_or(text).split(','), names.is_some())
    }

    fn said(text: &str, list: List) -> Result<Vec<String>, String> {
        let asks = states(text)?.asks(Family::V6, list)?;
        let text = |what: &What| protocols(what) + &clauses(what, list, false);
        Ok(asks.cases.iter().map(text).collect())
    }

    #[test]
    fn states_are_asked_of_sockets() {
        let established = [
            " if socket established",
            "tcp  if socket listening and tcp flags ack no syn",
            "icmp6 echo-reply ",
        ];
        assert_eq!(said("ESTABLISHED", List::In).unwrap(), established);
        assert_eq!(
            said("RELATED", List::In).unwrap(),
            [
                "icmp6 destination-unreachable ",
                "icmp6 packet-too-big ",
                "icmp6 time-exceeded ",
                "icmp6 parameter-problem "
            ]
        );
        let new = said("NEW", List::In).unwrap();
        assert_eq!(
            new[1..],
            ["icmp6 echo-request ", "icmp6 node-information-query "],
            "what finds neighbours is not tracked"
        );
        assert!(new[0].ends_with(&format!(
            " if no socket established and {NO_HANDSHAKE} and {NEW_OR_OTHER}"
        )));
        assert!(!new[0].contains("icmp6"), "{new:?}");
        let others = said("NEW,UNTRACKED", List::In).unwrap();
        assert_eq!(others.len(), new.len() + 9);
        let known = said("RELATED,DNAT", List::In).unwrap();
        assert_eq!(known, said("RELATED", List::In).unwrap());
        assert_eq!(
            said("NEW", List::Out).unwrap(),
            [
                "tcp  if tcp flags syn no ack",
                "udp ",
                "icmp6 echo-request "
            ]
        );
        assert_eq!(
            said("ESTABLISHED", List::Out).unwrap()[0],
            "tcp  if socket exists and tcp flags ack"
        );
        for text in ["NEW,ESTABLISHED", "! INVALID"] {
            assert_eq!(said(text, List::Forward).unwrap(), [""], "{text}");
        }
    }

    #[test]
    fn the_end_of_a_handshake_is_asked_for_only_where_it_matters() {
        let asks = states("NEW").unwrap().asks(Family::V4, List::In);
        let new = asks.unwrap().cases.remove(0);
        let conditions = |protocol: u8, accepts: bool| {
            let protocol = What::protocol(Family::V4, protocol);
            let mut case = new.and(&protocol).unwrap().unwrap();
            shorten(&mut case, accepts);
            case.conditions.len()
        };
        assert_eq!((conditions(6, false), conditions(6, true)), (3, 2));
        assert_eq!((conditions(17, false), conditions(17, true)), (1, 1));
    }

    #[test]
    fn what_no_socket_tells_is_refused() {
        for (text, list) in [
            ("INVALID", List::In),
            ("UNTRACKED", List::In),
            ("DNAT", List::In),
            ("ESTABLISHED", List::Forward),
            ("! NEW,ESTABLISHED,RELATED", List::In),
        ] {
            assert!(said(text, list).is_err(), "{text}");
        }
    }
}
