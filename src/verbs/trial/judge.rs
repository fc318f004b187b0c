//! Whether what was seen is what the rules say.

use std::net::IpAddr;

use sockc_compiler::event::{Event, Parsed, Verdict};
use sockc_compiler::policy::{DefaultVerdict, Direction, Policy};

use super::choose::Case;
use super::lab_world::{Ends, LabWorld};
use super::stage::{Seen, is_new_flow, is_ordinary};

/// What was seen, where it shows anything. A packet whose addresses no stack takes from a wire gets past the hooks and is thrown
/// away by the routing, before any socket is looked up: what a lookup would do to it is not to be seen (`ip_route_input_slow` of
/// net/ipv4/route.c).
pub(crate) fn shown(case: &Case, verdict: Verdict, seen: Seen) -> Seen {
    let by_lookup = matches!(verdict, Verdict::Redirect(_) | Verdict::Reject);
    match (&case.event, &seen) {
        (
            Event::Packet {
                direction: Direction::In,
                packet: Parsed::Ip(header),
                ..
            },
            Seen::Passed,
        ) if by_lookup => {
            let strange = [header.from, header.to];
            let strange = strange.into_iter().find(|address| !is_ordinary(*address));
            strange.map_or(seen, |address| {
                Seen::NotSent(format!(
                    "the routing takes no packet with {address} from a wire, so no socket is looked up"
                ))
            })
        }
        _ => seen,
    }
}

/// Whether the verdict allows what was seen.
pub(crate) fn agrees(
    policy: &Policy,
    case: &Case,
    verdict: Verdict,
    seen: &Seen,
    world: &LabWorld<'_>,
) -> bool {
    match (verdict, seen) {
        (Verdict::Drop, Seen::Dropped | Seen::Denied(_))
        | (Verdict::Allow, Seen::Passed | Seen::Refused | Seen::Done(_))
        | (Verdict::Shortcut(_), Seen::Done(_))
        | (Verdict::Reject, Seen::Answered | Seen::Refused | Seen::Denied(_)) => true,
        // What cannot be answered is dropped.
        (Verdict::Reject, Seen::Dropped) => !is_answered(policy, case),
        (Verdict::Redirect(wanted), Seen::Reached(socket)) => wanted == *socket,
        (Verdict::Forward(wanted), Seen::Forwarded(port)) => wanted == *port,
        (Verdict::Feed(wanted), Seen::Fed(feed)) => wanted == *feed,
        // The lookup of a segment that opens nothing, or of a first fragment, shows nothing outside.
        (Verdict::Redirect(_) | Verdict::Reject, Seen::Passed) => !shows_its_socket(case),
        // An ordinary packet to the very address that a named socket is bound to.
        (Verdict::Allow, Seen::Reached(socket)) => bound_there(case, world) == Some(*socket),
        // The frame of a malformed packet is dropped, or answered where a reject is what it would get.
        (Verdict::Drop, Seen::Answered) => is_malformed(case),
        _ => false,
    }
}

fn is_malformed(case: &Case) -> bool {
    case.event.packet() == Some(&Parsed::Malformed)
}

/// Whether a packet that is rejected surely gets an answer: one that arrives or passes through, opens a flow, and comes from one machine and
/// goes to one. What leaves meets the rules of `out`, and the answer of a rule at TC is no exception.
fn is_answered(policy: &Policy, case: &Case) -> bool {
    let outward = policy.default_of(Direction::Out).map(|line| line.verdict);
    let free = matches!(outward, None | Some(DefaultVerdict::Allow));
    if !free || policy.rules_of(Direction::Out).next().is_some() {
        return false;
    }
    match &case.event {
        Event::Packet {
            direction: Direction::In,
            packet: Parsed::Ip(header),
            ..
        }
        | Event::Passing {
            packet: Parsed::Ip(header),
            ..
        } => {
            let single = |address| is_ordinary(address) && !is_mapped(address);
            is_new_flow(header)
                && [header.from, header.to].into_iter().all(single)
                && header.from != header.to
        }
        _ => false,
    }
}

/// Whether an IPv6 address stands for an IPv4 one, as no machine on a wire has it.
fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

fn shows_its_socket(case: &Case) -> bool {
    matches!(&case.event, Event::Packet { packet: Parsed::Ip(header), .. } if is_new_flow(header))
}

fn bound_there(case: &Case, world: &LabWorld<'_>) -> Option<sockc_compiler::policy::SocketId> {
    let Event::Packet {
        direction: Direction::In,
        packet: Parsed::Ip(header),
        ..
    } = &case.event
    else {
        return None;
    };
    let ends = Ends::of(Direction::In, header)?;
    world.named_at(header.protocol, ends.local)
}
