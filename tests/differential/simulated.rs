//! All programs of a policy of the whole language in the interpreter, event by event: verdict, mark, counters, records,
//! tokens, answers.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_compiler::event::{Decision, Event, Header, Parsed, SocketAnswer, Transport, Verdict};
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::policy::{Direction, GroupId};
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::simulate::filling::slots;
use sockc_compiler::simulate::{Ran, simulate, simulate_named};
use sockc_testing::Rng;

use crate::Subject;
use crate::cases::{frames, lookups, truncations};
use crate::drawn::Drawn;
use crate::effects::{Reference, Wanted, add, wrong_records};
use crate::interpreted::made_up;
use crate::made::Made;
use crate::world::there;

/// Compares one policy with the interpreter on many events; the rules that decided or counted go to `effective`.
pub(crate) fn check(
    subject: &Subject,
    seed: u64,
    packets: usize,
    looked_up: usize,
    effective: &mut BTreeSet<String>,
    drawn: &mut Drawn,
) {
    let rng = &mut Rng::new(seed);
    let reference = Reference::new(subject);
    let world = Made {
        seed,
        policy: &subject.policy,
        answers: &made_up,
        there: there(slots(&subject.policy, &subject.built.artifact), rng),
    };
    let classes: Vec<_> = subject.policy.classes.keys().collect();
    let mut frames = frames(&subject.policy, rng, packets);
    // They are malformed for the most part: not for every policy.
    if seed.is_multiple_of(12) {
        frames.extend(truncations(&subject.policy, rng, 0));
    }
    for (header, frame) in frames {
        for direction in [Direction::In, Direction::Out] {
            let mut packet = parse(&frame, Layout::Ethernet);
            if let Parsed::Ip(parsed) = &mut packet {
                parsed.mark = header.mark;
            }
            let event = Event::Packet {
                direction,
                class: *rng.pick(&classes).unwrap(),
                packet,
            };
            let decision = check_packet(subject, &reference, &event, &frame, &world);
            if let Event::Packet { packet, .. } = &event {
                drawn.note(packet, &decision);
            }
            effective.extend(reference.effective(&decision).map(str::to_owned));
        }
    }
    for header in lookups(&subject.policy, rng, looked_up) {
        let event = Event::Lookup {
            class: *rng.pick(&classes).unwrap(),
            header,
        };
        let decision = check_lookup(subject, &reference, &event, &world);
        effective.extend(reference.effective(&decision).map(str::to_owned));
    }
    for header in lookups(&subject.policy, rng, looked_up) {
        for group in subject.policy.groups.keys() {
            let (call, reached) = named(&header, rng);
            let on_socket = |header: &Header| Header {
                from: header.from.to_canonical(),
                to: header.to.to_canonical(),
                ..header.clone()
            };
            for (event, named) in [
                (written(group, &on_socket(&call)), written(group, &call)),
                (called(group, &reached), called(group, &call)),
                (received(group, &on_socket(&call)), received(group, &call)),
                (datagram(group, &on_socket(&call)), datagram(group, &call)),
            ] {
                let decision = check_deed(subject, &reference, (&event, &named), &world);
                effective.extend(reference.effective(&decision).map(str::to_owned));
            }
        }
    }
}

/// A call by an address that may stand for another, now and then: IPv4 in IPv6, and of this machine none at all; and whom the
/// process reaches by it. (A socket that is connected has the address that it reached.)
fn named(header: &Header, rng: &mut Rng) -> (Header, Header) {
    let mut named = header.clone();
    if rng.chance(1, 16) {
        named.to = match named.to {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
    }
    if let (IpAddr::V4(from), IpAddr::V4(to)) = (named.from, named.to)
        && rng.chance(1, 3)
    {
        named.from = from.to_ipv6_mapped().into();
        named.to = to.to_ipv6_mapped().into();
    }
    let to = match named.to.to_canonical() {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    let reached = Header {
        to,
        ..named.clone()
    };
    (named, reached)
}

/// What a process of a group writes, a byte.
fn written(group: GroupId, header: &Header) -> Event {
    Event::Process {
        direction: Direction::Send,
        group,
        header: Header {
            protocol: IpProtocol::TCP,
            length: 1,
            ..header.clone()
        },
    }
}

/// What it receives, a byte.
fn received(group: GroupId, header: &Header) -> Event {
    match written(group, header) {
        Event::Process { group, header, .. } => Event::Process {
            direction: Direction::Receive,
            group,
            header,
        },
        other => other,
    }
}

/// A datagram of a byte that arrives for it, with its headers.
fn datagram(group: GroupId, header: &Header) -> Event {
    let (Transport::Tcp { from, to, .. } | Transport::Ports { from, to }) = header.transport else {
        return received(group, header);
    };
    let family = match header.to.to_canonical() {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    };
    Event::Process {
        direction: Direction::Receive,
        group,
        header: Header {
            protocol: IpProtocol::UDP,
            transport: Transport::Ports { from, to },
            length: family + 9,
            ..header.clone()
        },
    }
}

/// Whom it calls: of the caller nothing is known yet, and no byte has been sent.
fn called(group: GroupId, header: &Header) -> Event {
    let (from, to) = match header.transport {
        Transport::Tcp { to, .. } | Transport::Ports { to, .. } => (0, to),
        Transport::None | Transport::Icmp { .. } => (0, 0),
    };
    Event::Process {
        direction: Direction::Connect,
        group,
        header: Header {
            from: match header.to {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            },
            transport: match header.protocol {
                IpProtocol::TCP => Transport::Tcp { from, to, flags: 0 },
                _ => Transport::Ports { from, to },
            },
            length: 0,
            ..header.clone()
        },
    }
}

fn check_packet(
    subject: &Subject,
    reference: &Reference<'_>,
    event: &Event,
    frame: &[u8],
    world: &Made<'_>,
) -> Decision {
    let Event::Packet {
        direction,
        class,
        packet,
    } = event
    else {
        panic!("{event:?} is no packet");
    };
    let mut wanted = reference.at_packet_hooks(event, frame, world);
    if !subject.has_packet_hooks(*direction, *class) {
        wanted.counted.clear();
        wanted.logged.clear();
    }
    let passes = matches!(
        wanted.verdict,
        Verdict::Allow | Verdict::Redirect(_) | Verdict::Reject
    ) && !(wanted.verdict == Verdict::Reject
        && wanted.rejects_at_packet_hooks(&subject.policy))
        && !wanted.is_taken(&subject.policy);
    if let Parsed::Ip(header) = packet
        && *direction == Direction::In
        && passes
        && is_looked_up(header, world)
        && subject.has_lookup()
    {
        let event = Event::Lookup {
            class: *class,
            header: header.clone(),
        };
        let after = reference.at_lookup(&event, world);
        for slot in after.counted.into_keys() {
            add(&mut wanted.counted, slot, 0);
        }
        wanted.logged.extend(after.logged);
    }
    let ran = simulate(
        &subject.policy,
        &subject.built.artifact,
        event,
        frame,
        world,
    );
    let ran = ran.unwrap_or_else(|fault| panic!("{}\n{event:?}\n{fault}", subject.text));
    let context = || {
        format!(
            "{}\n{event:?}\n{frame:02x?}\n{:?}\n{wanted:?}\n{ran:?}",
            subject.text, world.there
        )
    };
    assert_eq!(ran.verdict, wanted.verdict, "verdict\n{}", context());
    assert_eq!(ran.member, wanted.decision.member, "member\n{}", context());
    assert_eq!(
        ran.effects.counted,
        wanted.counted,
        "counters\n{}",
        context()
    );
    check_mark(&ran, &wanted, packet, &context);
    let wrong = wrong_records(&wanted.logged, &ran.effects.records, packet, false);
    assert!(wrong.is_none(), "{wrong:?}\n{}", context());
    check_tokens(reference, &ran, &wanted, packet, &context);
    wanted.decision
}

/// What goes on to the stack, or out, has the rule's mark, or the one it came with.
pub(crate) fn check_mark(
    ran: &Ran,
    wanted: &Wanted,
    packet: &Parsed,
    context: &dyn Fn() -> String,
) {
    let came = match packet {
        Parsed::Ip(header) => header.mark,
        Parsed::NotIp | Parsed::Malformed => 0,
    };
    match (ran.mark, wanted.decision.mark) {
        (Some(mark), set) => assert_eq!(mark, set.unwrap_or(came), "mark\n{}", context()),
        (None, set) => assert_eq!(set, None, "mark\n{}", context()),
    }
}

pub(crate) fn check_tokens(
    reference: &Reference<'_>,
    ran: &Ran,
    wanted: &Wanted,
    packet: &Parsed,
    context: &dyn Fn() -> String,
) {
    let taken: Vec<_> = ran.effects.taken.keys().collect();
    assert_eq!(
        taken,
        wanted.taken.iter().collect::<Vec<_>>(),
        "tokens\n{}",
        context()
    );
    let Parsed::Ip(header) = packet else { return };
    for (rule, cost) in &ran.effects.taken {
        let (least, most) = reference.price(*rule, header);
        assert!(
            (least..=most).contains(cost),
            "{rule} cost {cost}\n{}",
            context()
        );
    }
}

fn check_lookup(
    subject: &Subject,
    reference: &Reference<'_>,
    event: &Event,
    world: &Made<'_>,
) -> Decision {
    let mut wanted = reference.at_lookup(event, world);
    if !subject.has_lookup() {
        wanted.counted.clear();
    }
    check_without_frame(subject, (event, event), &wanted, world);
    wanted.decision
}

fn check_deed(
    subject: &Subject,
    reference: &Reference<'_>,
    (event, named): (&Event, &Event),
    world: &Made<'_>,
) -> Decision {
    let mut wanted = reference.at_deed(event, world);
    let Event::Process {
        direction, group, ..
    } = event
    else {
        panic!("{event:?} is nothing that a process does");
    };
    if !subject.decides(*direction, *group) {
        wanted.counted.clear();
    }
    check_without_frame(subject, (event, named), &wanted, world);
    wanted.decision
}

fn check_without_frame(
    subject: &Subject,
    (event, named): (&Event, &Event),
    wanted: &Wanted,
    world: &Made<'_>,
) {
    let (Event::Lookup { header, .. } | Event::Process { header, .. }) = event else {
        return;
    };
    let events = (event, named);
    let ran = simulate_named(&subject.policy, &subject.built.artifact, events, world);
    let ran = ran.unwrap_or_else(|fault| panic!("{}\n{named:?}\n{fault}", subject.text));
    let context = format!("{}\n{named:?}\n{wanted:?}\n{ran:?}", subject.text);
    assert_eq!(ran.verdict, wanted.verdict, "{context}");
    assert_eq!(ran.member, wanted.decision.member, "{context}");
    assert_eq!(ran.effects.counted, wanted.counted, "{context}");
    let packet = Parsed::Ip(header.clone());
    let wrong = wrong_records(&wanted.logged, &ran.effects.records, &packet, false);
    assert!(wrong.is_none(), "{wrong:?}\n{context}");
}

/// Whether the kernel asks for a socket at all: TCP and UDP with ports that no connected socket takes.
fn is_looked_up(header: &Header, world: &Made<'_>) -> bool {
    use sockc_compiler::event::World;
    header.protocol.has_socket()
        && matches!(
            header.transport,
            Transport::Tcp { .. } | Transport::Ports { .. }
        )
        && world.socket(Direction::In, None, header) != SocketAnswer::Established
}
