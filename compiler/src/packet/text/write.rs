//! A packet to its shortest text.

use std::net::{IpAddr, SocketAddr};

use sockc_grammar::ast::On;

use super::case::plain_icmp;
use super::{Described, contents, interface, members};
use crate::event::{Event, Fragment, Header, Parsed, SocketAnswer, Transport};
use crate::header_field::{self, Kind, Plain, Row, flag_names};
use crate::packet::shortest_length;
use crate::policy::{Direction, Family, Policy, set_words};
use crate::protocol::IpProtocol;

/// The packet in words, without anything that is not in its header.
#[must_use]
pub(crate) fn describe(header: &Header, direction: Direction) -> String {
    let with = header_with(header, direction);
    sentence(direction, &packet_words(header, direction), None, &with)
}

/// An event and its surroundings in words; `None` for a frame that is not IP, for which there are none.
#[must_use]
pub fn describe_case(policy: &Policy, described: &Described) -> Option<String> {
    describe_in(policy, described, [None; 2], None)
}

/// The same, with the interfaces (by which it came in or leaves, and of what passes through that by which it leaves) in the words
/// that they were named by, and in the namespace of a `for netns` block.
#[must_use]
pub fn describe_in(
    policy: &Policy,
    described: &Described,
    named: [Option<&On>; 2],
    netns: Option<&str>,
) -> Option<String> {
    let on = interface::all_words(policy, &described.event, named);
    words(policy, described, on, netns)
}

/// The same, with other words for the interfaces: `on …`, `to …`, or nothing for those that nothing names.
pub(crate) fn describe_on(
    policy: &Policy,
    described: &Described,
    on: Option<String>,
    netns: Option<&str>,
) -> Option<String> {
    words(policy, described, on, netns)
}

fn words(
    policy: &Policy,
    described: &Described,
    on: Option<String>,
    netns: Option<&str>,
) -> Option<String> {
    // After the state of a socket it would say where the socket is.
    let netns = netns.map(|netns| format!("in netns {}", quoted(netns)));
    let (direction, header, group) = match &described.event {
        event @ (Event::Packet { packet, .. } | Event::Passing { packet, .. }) => match packet {
            Parsed::NotIp => return None,
            Parsed::Malformed => {
                let with: Vec<String> = netns.into_iter().chain(["malformed".to_owned()]).collect();
                return Some(sentence(event.direction(), "", on, &with));
            }
            Parsed::Ip(header) => (event.direction(), header, None),
        },
        Event::Lookup { header, .. } => (Direction::In, header, None),
        Event::Process {
            direction,
            group,
            header,
        } => (*direction, header, policy.groups.get(*group)),
    };
    let mut with: Vec<String> = netns.into_iter().collect();
    with.extend(socket_words(policy, described));
    with.extend(group.map(|group| format!("group {}", group.name)));
    with.extend(header_with(header, direction));
    with.extend(machine_with(policy, described));
    Some(sentence(
        direction,
        &packet_words(header, direction),
        on,
        &with,
    ))
}

/// The sockets that lookups find.
fn socket_words(policy: &Policy, described: &Described) -> Vec<String> {
    let own = (None, described.socket);
    let elsewhere = described.elsewhere.iter();
    let elsewhere = elsewhere.map(|(netns, answer)| (policy.namespaces.get(*netns), *answer));
    std::iter::once(own)
        .chain(elsewhere)
        .filter_map(|(netns, answer)| {
            let state = match answer {
                SocketAnswer::None => return None,
                SocketAnswer::Listening => "socket listening",
                SocketAnswer::Established => "socket established",
            };
            Some(match netns {
                None => state.to_owned(),
                Some(name) => format!("{state} in netns {}", quoted(name)),
            })
        })
        .collect()
}

/// What live sets and maps, rates and named sockets say that is not plain.
fn machine_with(policy: &Policy, described: &Described) -> Vec<String> {
    let asked = described.members.iter();
    let asked = asked.map(|(set, members)| (&policy.sets[*set].name, members));
    let around = described
        .around
        .iter()
        .map(|(name, members)| (name, members));
    let sets = asked
        .chain(around)
        .map(|(name, members)| match members::words(members) {
            empty if empty.is_empty() => format!("{} {{ }}", set_words(name)),
            list => format!("{} {{ {list} }}", set_words(name)),
        });
    let maps = described.contents.iter().map(|(map, entries)| {
        let name = &policy.live_maps[*map].name;
        match contents::words(policy, entries) {
            empty if empty.is_empty() => format!("@{name} {{ }}"),
            list => format!("@{name} {{ {list} }}"),
        }
    });
    let rate = described.rate_exceeded.then(|| "rate exceeded".to_owned());
    let absent = described
        .absent
        .iter()
        .map(|socket| format!("sock {} absent", policy.sockets[*socket].name));
    sets.chain(maps).chain(rate).chain(absent).collect()
}

fn sentence(direction: Direction, packet: &str, on: Option<String>, with: &[String]) -> String {
    let mut words = Vec::new();
    if direction != Direction::In {
        words.push(direction.word().to_owned());
    }
    if !packet.is_empty() {
        words.push(packet.to_owned());
    }
    words.extend(on);
    if !with.is_empty() {
        words.push(format!("with {}", with.join(", ")));
    }
    words.join(" ")
}

fn packet_words(header: &Header, direction: Direction) -> String {
    let (from, to) = match header.transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => (Some(from), Some(to)),
        Transport::None | Transport::Icmp { .. } => (None, None),
    };
    let (protocol, to) = (protocol_words(header), endpoint(header.to, to));
    match direction.has_sender() {
        true => format!("{protocol} from {} to {to}", endpoint(header.from, from)),
        false => format!("{protocol} to {to}"),
    }
}

fn protocol_words(header: &Header) -> String {
    // Over the other family it has no types, and the word would stand for those.
    let other = match header.family() {
        Family::V4 => IpProtocol::ICMP6,
        Family::V6 => IpProtocol::ICMP,
    };
    let word = header.protocol.word().filter(|_| header.protocol != other);
    let Some(word) = word else {
        return format!("proto {}", header.protocol);
    };
    match header.transport {
        // The first fragment of an echo request needs its type, or it would be read as a later one.
        Transport::Icmp { kind, code }
            if header.fragment != Fragment::Whole
                || (kind, code) != plain_icmp(header.family()) =>
        {
            format!("{word} {kind}/{code}")
        }
        _ => word.to_owned(),
    }
}

/// An end of a packet.
pub(crate) fn endpoint(address: IpAddr, port: Option<u16>) -> String {
    match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    }
}

/// What the header says that is not plain. Of a write only its connection is looked at.
fn header_with(header: &Header, direction: Direction) -> Vec<String> {
    let mut with = Vec::new();
    if direction.of_processes() {
        return with;
    }
    for row in header_field::rows() {
        let plain = match row.plain {
            Plain::Value(value) => Some(value),
            Plain::Absent => None,
            Plain::Shortest => {
                let (protocol, fragment) = (header.protocol, header.fragment);
                Some(shortest_length(header.family(), protocol, fragment).into())
            }
        };
        let value = (row.get)(header);
        if value != plain {
            with.extend(value.map(|value| field_words(row, value)));
        }
    }
    with
}

/// A value of a field. Where no flag is set, the text must still name one, as clear.
pub(crate) fn field_words(row: &Row, value: u64) -> String {
    let word = row.word();
    match row.kind {
        Kind::Present => word.to_owned(),
        Kind::Flags if value == 0 => format!("{word} no syn"),
        Kind::Flags => format!("{word} {}", flag_names(value).collect::<Vec<_>>().join(" ")),
        Kind::Masked | Kind::Code | Kind::Range | Kind::Address => {
            format!("{word} {}", row.value_word(value))
        }
    }
}

/// A string of the language.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
