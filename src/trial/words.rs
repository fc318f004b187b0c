//! Cases, sightings and verdicts in words.

use std::net::{IpAddr, SocketAddr};

use sockc_compiler::event::{
    Decider, Event, Header, Parsed, Part, SocketAnswer, Transport, Verdict,
};
use sockc_compiler::packet::{self, protocol};
use sockc_compiler::policy::{Direction, Place, Policy};

use super::choose::{Case, Owner};
use super::report;
use super::stage::Seen;
use super::world::ports;

/// The packet as the command line takes it.
pub(crate) fn packet(policy: &Policy, case: &Case) -> String {
    match &case.event {
        Event::Packet { direction, packet } => {
            let lead = if *direction == Direction::Out {
                "out "
            } else {
                ""
            };
            match packet {
                Parsed::Ip(header) => format!("{lead}{}", header_words(header, case.socket, None)),
                Parsed::Malformed => format!("{lead}a malformed packet"),
                Parsed::NotIp => format!("{lead}a frame that is not IP"),
            }
        }
        Event::Lookup(header) => header_words(header, case.socket, None),
        Event::Send { group, header } => {
            let group = policy.groups[*group].name.as_str();
            format!(
                "send {}",
                header_words(header, SocketAnswer::None, Some(group))
            )
        }
    }
}

fn header_words(header: &Header, socket: SocketAnswer, group: Option<&str>) -> String {
    let mut words = format!(
        "{} from {} to {}",
        protocol_words(header),
        end(header.from, ports(header).map(|(from, _)| from)),
        end(header.to, ports(header).map(|(_, to)| to)),
    );
    let with = with_words(header, socket, group);
    if !with.is_empty() {
        words += &format!(" with {}", with.join(", "));
    }
    words
}

fn protocol_words(header: &Header) -> String {
    match (header.protocol, header.transport) {
        (protocol::TCP, _) => "tcp".into(),
        (protocol::UDP, _) => "udp".into(),
        (protocol::SCTP, _) => "sctp".into(),
        (protocol::ICMP, Transport::Icmp { kind, code }) => format!("icmp {kind}/{code}"),
        (protocol::ICMP6, Transport::Icmp { kind, code }) => format!("icmp6 {kind}/{code}"),
        (protocol::ESP, _) => "esp".into(),
        (protocol::AH, _) => "ah".into(),
        (protocol::GRE, _) => "gre".into(),
        (number, _) => format!("proto {number}"),
    }
}

fn end(address: IpAddr, port: Option<u16>) -> String {
    match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    }
}

/// What is not said has a plain value (language section 8): a SYN alone, no socket, the shortest length.
fn with_words(header: &Header, socket: SocketAnswer, group: Option<&str>) -> Vec<String> {
    let mut words = Vec::new();
    match socket {
        SocketAnswer::None => {}
        SocketAnswer::Listening => words.push("socket listening".into()),
        SocketAnswer::Established => words.push("socket established".into()),
    }
    words.extend(group.map(|group| format!("group {group}")));
    if header.part != Part::Whole {
        words.push("fragment".into());
    }
    match header.transport {
        Transport::Tcp { flags, .. } if flags != 2 && group.is_none() => {
            words.push(format!("tcp flags{}", flag_words(flags)));
        }
        _ => {}
    }
    let shortest = packet::shortest_length(header.family(), header.protocol, header.part);
    if header.length != shortest && group.is_none() {
        words.push(format!("length {}", header.length));
    }
    words
}

fn flag_words(flags: u8) -> String {
    const NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
    let set = (0..).zip(NAMES).filter(|(bit, _)| flags >> bit & 1 == 1);
    let words: String = set.map(|(_, name)| format!(" {name}")).collect();
    if words.is_empty() {
        " no syn".into()
    } else {
        words
    }
}

/// What was seen.
pub(crate) fn seen(policy: &Policy, seen: &Seen) -> String {
    match seen {
        Seen::Dropped => "dropped".into(),
        Seen::Passed => "passed".into(),
        Seen::Reached(socket) => format!("reached sock {}", policy.sockets[*socket].name),
        Seen::Refused => "passed, nobody listens".into(),
        Seen::Denied => "write refused (EACCES)".into(),
        Seen::Delivered => "delivered".into(),
        Seen::NotSent(reason) => format!("nothing: {reason}"),
    }
}

/// What the rules say.
pub(crate) fn verdict(policy: &Policy, verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow => "allow".into(),
        Verdict::Drop => "drop".into(),
        Verdict::Reject => "reject".into(),
        Verdict::Redirect(socket) => format!("redirect to sock {}", policy.sockets[socket].name),
        Verdict::Shortcut(group) => format!("shortcut within group {}", policy.groups[group].name),
    }
}

/// The statement that decides, with its place.
pub(crate) fn decider(policy: &Policy, case: &Case, decider: Decider) -> report::Decider {
    match decider {
        Decider::Rule(rule) => statement(&policy.rules[rule].place),
        Decider::Default | Decider::Malformed => policy
            .default_of(direction(&case.event))
            .map_or_else(no_statement, |line| statement(&line.place)),
        Decider::NotIp | Decider::Unmatched => no_statement(),
    }
}

/// The rule or default that a packet was to be found for.
pub(crate) fn owner(policy: &Policy, owner: Owner) -> String {
    let place = match owner {
        Owner::Rule(rule) => Some(&policy.rules[rule].place),
        Owner::Default(direction) => policy.default_of(direction).map(|line| &line.place),
    };
    place.map_or_else(
        || "what no rule matches".into(),
        |place| format!("{}:{} {}", place.file, place.line, place.text),
    )
}

fn direction(event: &Event) -> Direction {
    match event {
        Event::Packet { direction, .. } => *direction,
        Event::Lookup(_) => Direction::In,
        Event::Send { .. } => Direction::Send,
    }
}

fn statement(place: &Place) -> report::Decider {
    report::Decider {
        rule: place.text.clone(),
        file: place.file.clone(),
        line: place.line,
    }
}

fn no_statement() -> report::Decider {
    report::Decider {
        rule: "no rule".into(),
        ..report::Decider::default()
    }
}
