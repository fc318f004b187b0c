//! Constraints as a sentence of the language.

use super::Describing;
use super::constraint::{Constraint, End};
use crate::explain::words::condition;
use crate::names::IcmpKind;
use crate::packet::text::interface;
use crate::policy::{ClassId, Condition, Direction, Policy, ProtocolMatch};
use crate::protocol::IpProtocol;
use crate::ranges::RangeSet;

/// What is said of one side.
#[derive(Default)]
struct SideWords {
    /// The addresses, and whether it is those that are not meant.
    addresses: Option<(String, bool)>,
    ports: Option<String>,
}

/// The sentence, and what it cannot say of addresses: exceptions from it.
pub(super) fn words(
    describing: &Describing<'_, '_, '_>,
    parts: &[Constraint],
) -> (String, Vec<String>) {
    let mut sentence = Sentence::default();
    for part in parts {
        sentence.add(describing, part);
    }
    sentence.finish(describing)
}

#[derive(Default)]
struct Sentence {
    protocols: Option<String>,
    from: SideWords,
    to: SideWords,
    on: Option<String>,
    leaves: Option<String>,
    conditions: Vec<String>,
}

impl Sentence {
    fn add(&mut self, describing: &Describing<'_, '_, '_>, part: &Constraint) {
        let tables = &describing.space.joint.tables;
        match part {
            Constraint::Protocols(protocols) => self.protocols = Some(protocol_words(protocols)),
            Constraint::Addresses(end, addresses) => {
                self.side(*end).addresses = Some(describing.names.words(addresses));
            }
            Constraint::Ports(end, ports) => self.side(*end).ports = Some(port_words(ports)),
            Constraint::Member(end, set, inside) => {
                let name = tables.sets[*set].words();
                let side = self.side(*end);
                if side.addresses.is_none() {
                    side.addresses = Some((name, !inside));
                } else {
                    let end = end_word(*end);
                    let not = if *inside { "" } else { "not " };
                    self.conditions.push(format!("{end} {not}{name}"));
                }
            }
            Constraint::On(classes) => self.on = Some(class_words(describing, ("on", classes))),
            Constraint::Leaves(classes) => {
                self.leaves = Some(class_words(describing, ("to", classes)));
            }
            Constraint::Condition(one) => {
                let words = present(tables, one).unwrap_or_else(|| condition(tables, one));
                self.conditions.push(words);
            }
            Constraint::Rate(rule, conforms) => {
                let line = describing.space.line_of_meter(*rule);
                let which = if *conforms { "within" } else { "above" };
                self.conditions
                    .push(format!("{which} the rate of line {line}"));
            }
        }
    }

    fn side(&mut self, end: End) -> &mut SideWords {
        match end {
            End::From => &mut self.from,
            End::To => &mut self.to,
        }
    }

    fn finish(self, describing: &Describing<'_, '_, '_>) -> (String, Vec<String>) {
        let topic = describing.topic;
        let mut words: Vec<String> = Vec::new();
        let mut except = Vec::new();
        if topic.direction() != Direction::In {
            words.push(topic.direction().word().into());
        }
        words.extend(self.protocols);
        let joint = describing.space.joint;
        let group = topic.group.map(|group| joint.group_words(group));
        let (sender, receiver) = match topic.direction().deed() {
            Some(deed) if deed.to_group => (None, group),
            _ => (group, None),
        };
        let both = self.from.is_said() && !self.to.is_said();
        let from = self.from.words(End::From, &mut except);
        words.extend(from.or(sender).map(|words| format!("from {words}")));
        let to = self.to.words(End::To, &mut except);
        let to = to.or(receiver).or_else(|| both.then(|| "any".into()));
        words.extend(to.map(|words| format!("to {words}")));
        words.extend(self.on);
        words.extend(self.leaves);
        if words.is_empty() {
            words.push("everything".into());
        }
        if !self.conditions.is_empty() {
            words.push(format!("if {}", self.conditions.join(" and ")));
        }
        (words.join(" "), except)
    }
}

impl SideWords {
    fn is_said(&self) -> bool {
        self.addresses.is_some() || self.ports.is_some()
    }

    /// The endpoints. A list that is not meant cannot have ports of its own: then it is an exception.
    fn words(&self, end: End, except: &mut Vec<String>) -> Option<String> {
        match (&self.addresses, &self.ports) {
            (None, None) => None,
            (Some((words, false)), None) => Some(words.clone()),
            (Some((words, true)), None) => Some(format!("not {words}")),
            (None, Some(ports)) => Some(format!("any:{ports}")),
            (Some((words, false)), Some(ports)) => Some(with_ports(words, ports)),
            (Some((words, true)), Some(ports)) => {
                except.push(format!("{} {words}", end_word(end)));
                Some(format!("any:{ports}"))
            }
        }
    }
}

/// That a socket is there, which rules can only say with a double negation.
fn present(tables: &Policy, one: &Condition) -> Option<String> {
    let Condition::No(inner) = one else {
        return None;
    };
    match **inner {
        Condition::SockAbsent(socket) => {
            Some(format!("sock {} present", tables.sockets[socket].name))
        }
        _ => None,
    }
}

fn end_word(end: End) -> &'static str {
    match end {
        End::From => "from",
        End::To => "to",
    }
}

/// Each address of a list with the ports after it.
fn with_ports(addresses: &str, ports: &str) -> String {
    let one = |address: &str| match address.contains(':') {
        true => format!("[{address}]:{ports}"),
        false => format!("{address}:{ports}"),
    };
    if addresses.starts_with('{') {
        return format!("{addresses} port {ports}");
    }
    let all: Vec<String> = addresses.split(", ").map(one).collect();
    all.join(", ")
}

fn port_words(ports: &RangeSet<u16>) -> String {
    if ports.is_full() {
        return "*".into();
    }
    let items: Vec<String> = ports
        .ranges()
        .iter()
        .map(|&(low, high)| match low == high {
            true => low.to_string(),
            false => format!("{low}-{high}"),
        })
        .collect();
    match items.as_slice() {
        [one] => one.clone(),
        _ => format!("{{{}}}", items.join(", ")),
    }
}

fn protocol_words(protocols: &[ProtocolMatch]) -> String {
    let word = |one: &ProtocolMatch| {
        let name = one.number.words();
        let names = match one.number {
            IpProtocol::ICMP6 => IcmpKind::Icmp6,
            _ => IcmpKind::Icmp,
        };
        let types = one
            .icmp
            .iter()
            .map(|kind| match (names.name_of(*kind), kind.code) {
                (Some(name), _) => name.to_owned(),
                (None, Some(code)) => format!("{}/{code}", kind.kind),
                (None, None) => kind.kind.to_string(),
            });
        let types: Vec<String> = types.collect();
        match types.as_slice() {
            [] => name,
            [one] => format!("{name} {one}"),
            _ => format!("{name} {{ {} }}", types.join(", ")),
        }
    };
    let words: Vec<String> = protocols.iter().map(word).collect();
    words.join(", ")
}

/// The kinds of interfaces, by the zone or the name that both policies have for them.
fn class_words(describing: &Describing<'_, '_, '_>, (word, classes): (&str, &[ClassId])) -> String {
    let joint = describing.space.joint;
    let words = classes.iter().map(|&class| {
        let plain = || "an interface that no rule names".to_owned();
        match joint.zone_of(class) {
            Some(zone) => format!("zone {zone}"),
            None => joint.interfaces[class].as_ref().map_or_else(plain, |name| {
                format!("interface {}", interface::pattern(name))
            }),
        }
    });
    let mut words: Vec<String> = words.collect();
    words.dedup();
    format!("{word} {}", words.join(" or "))
}
