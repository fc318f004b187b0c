//! Fields and their values in the language's words.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use sockc_compiler::diagram::flatten::{Flat, FlatNode, Target};
use sockc_compiler::field::Field;
use sockc_compiler::header_field::{self, Kind, Row, flag_names};
use sockc_compiler::names::IcmpKind;
use sockc_compiler::policy::{ClassId, IcmpMatch, Policy, SocketId};
use sockc_compiler::protocol::IpProtocol;

/// The maximum number of intervals that an edge names.
const MAX_INTERVALS: usize = 6;

/// Through which families a node is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Families {
    v4: bool,
    v6: bool,
}

/// The families of each node: those of the family's arms for what they lead to.
pub(super) fn families(flat: &Flat) -> BTreeMap<FlatNode, Families> {
    let both = Families { v4: true, v6: true };
    let mut known: BTreeMap<FlatNode, Families> = BTreeMap::new();
    if let Target::Node(root) = flat.root {
        known.insert(root, both);
    }
    // Edges lead forward only.
    for (node, data) in &flat.nodes {
        let here = known.get(&node).copied().unwrap_or_default();
        for (place, &(_, target)) in data.arms.iter().enumerate() {
            let Target::Node(next) = target else {
                continue;
            };
            let through = match (data.field, place) {
                (Field::Family, 0) => Families {
                    v4: true,
                    v6: false,
                },
                (Field::Family, _) => Families {
                    v4: false,
                    v6: true,
                },
                _ => here,
            };
            let known = known.entry(next).or_default();
            known.v4 |= through.v4;
            known.v6 |= through.v6;
        }
    }
    known
}

/// A test in words.
pub(super) struct Words<'a> {
    pub(super) policy: &'a Policy,
    pub(super) field: Field,
    pub(super) families: Families,
}

impl Words<'_> {
    /// What is tested.
    pub(super) fn field(&self) -> String {
        let v6 = self.families.v6 && !self.families.v4;
        let part = |side: &str, word: u32| match (word, v6) {
            (0, false) => format!("{side}'s address"),
            _ => format!("{side}'s address, bits {} to {}", word * 32, word * 32 + 31),
        };
        if let Some(row) = header_field::of(self.field) {
            return of_header(row, self.field);
        }
        match self.field {
            Field::Family => "family".into(),
            Field::Protocol => "protocol".into(),
            Field::ToPort => "receiver's port".into(),
            Field::FromPort => "sender's port".into(),
            Field::Icmp => "ICMP type and code".into(),
            Field::To0 => part("receiver", 0),
            Field::To1 => part("receiver", 1),
            Field::To2 => part("receiver", 2),
            Field::To3 => part("receiver", 3),
            Field::From0 => part("sender", 0),
            Field::From1 => part("sender", 1),
            Field::From2 => part("sender", 2),
            Field::From3 => part("sender", 3),
            Field::Interface => "interface".into(),
            Field::FirstMatch => "group of the first plain rule that matches".into(),
            Field::ToIn(set) => format!("receiver in {}", self.policy.sets[set].words()),
            Field::FromIn(set) => format!("sender in {}", self.policy.sets[set].words()),
            Field::Absent(socket) => format!("sock {}", self.policy.sockets[socket].name),
            Field::Entry(map) => format!("entry of @{}", self.policy.live_maps[map].name),
            Field::Socket => "socket".into(),
            Field::SocketIn(netns) => {
                format!("socket in netns \"{}\"", self.policy.namespaces[netns])
            }
            Field::Conforms(rule) => {
                let rule = &self.policy.rules[rule];
                let name = rule
                    .label
                    .clone()
                    .unwrap_or_else(|| format!("line {}", rule.place.line));
                format!("rate of {name}")
            }
            other => other.name(),
        }
    }

    /// For each place that arms lead to, with which values; the one with the most values says `else`.
    pub(super) fn edges(&self, arms: &[(u32, Target)]) -> Vec<(Target, String)> {
        let mut grouped: Vec<(Target, Vec<(u32, u32)>)> = Vec::new();
        let mut low = 0;
        for &(high, target) in arms {
            match grouped.iter_mut().find(|(known, _)| *known == target) {
                Some((_, spans)) => spans.push((low, high)),
                None => grouped.push((target, vec![(low, high)])),
            }
            low = high.wrapping_add(1);
        }
        let many = |spans: &[(u32, u32)]| {
            spans
                .iter()
                .map(|(low, high)| u64::from(high - low) + 1)
                .sum::<u64>()
        };
        let most = grouped.iter().map(|(_, spans)| many(spans)).max();
        let few = self.field.max() < 4;
        let label = |spans: &[(u32, u32)]| {
            if !few && Some(many(spans)) == most {
                "else".to_owned()
            } else {
                self.values(spans)
            }
        };
        grouped
            .iter()
            .map(|(target, spans)| (*target, label(spans)))
            .collect()
    }

    /// Intervals of values, one a line.
    fn values(&self, spans: &[(u32, u32)]) -> String {
        if self.field == Field::TcpFlags
            && let Some(flags) = flags(spans)
        {
            return flags;
        }
        let mut words: Vec<String> = spans
            .iter()
            .take(MAX_INTERVALS)
            .map(|&span| self.span(span))
            .collect();
        if spans.len() > MAX_INTERVALS {
            words.push(format!("and {} more", spans.len() - MAX_INTERVALS));
        }
        words.join("\n")
    }

    /// An interval of values.
    fn span(&self, (low, high): (u32, u32)) -> String {
        match self.field {
            Field::Icmp if low & 255 == 0 && high & 255 == 255 => {
                self.icmp_types(low >> 8, high >> 8)
            }
            _ if self.field.max() < 4 => {
                let values: Vec<String> = (low..=high).map(|value| self.value(value)).collect();
                values.join(" or ")
            }
            Field::To0 | Field::From0 if self.families.v4 && !self.families.v6 => {
                prefix_v4(low, high)
            }
            field if field.is_address() && !self.families.v4 => prefix_v6(field, low, high),
            _ if low == high => self.value(low),
            _ if self.is_range() && low == 0 => format!("up to {high}"),
            _ if self.is_range() && high == self.field.max() => format!("{low} and more"),
            _ => format!("{}-{}", self.value(low), self.value(high)),
        }
    }

    fn is_range(&self) -> bool {
        header_field::of(self.field).is_some_and(|row| row.kind == Kind::Range)
    }

    /// A single value.
    fn value(&self, value: u32) -> String {
        let pick = |words: &[&str]| {
            words
                .get(value as usize)
                .map_or_else(|| value.to_string(), |word| (*word).to_owned())
        };
        match self.field {
            Field::Family => pick(&["IPv4", "IPv6"]),
            Field::Protocol => protocol(value),
            Field::Fragment => pick(&["whole packet", "first fragment", "later fragment"]),
            Field::Icmp => self.icmp(value >> 8, Some(value & 255)),
            Field::Interface => class(self.policy, ClassId::from_u32(value)),
            Field::FirstMatch if value == 0 => "none".into(),
            Field::ToIn(_) | Field::FromIn(_) => pick(&["no", "yes"]),
            Field::Absent(_) => pick(&["there", "absent"]),
            Field::Entry(_) => self.entry(value),
            Field::Socket | Field::SocketIn(_) => pick(&["none", "listening", "established"]),
            Field::Conforms(_) => pick(&["exceeded", "fits"]),
            field if field.is_address() => format!("{value:#010x}"),
            field => match header_field::of(field) {
                Some(row) => value_of_header(row, value),
                None => value.to_string(),
            },
        }
    }

    /// Types of ICMP, whatever the code.
    fn icmp_types(&self, low: u32, high: u32) -> String {
        match high - low {
            0 => self.icmp(low, None),
            1 => format!("{}\n{}", self.icmp(low, None), self.icmp(high, None)),
            _ => format!("types {low}-{high}"),
        }
    }

    /// A type by its name if it has one in the family.
    fn icmp(&self, kind: u32, code: Option<u32>) -> String {
        let family = if self.families.v6 {
            IcmpKind::Icmp6
        } else {
            IcmpKind::Icmp
        };
        let byte = |number: u32| number as u8;
        let name = family.name_of(IcmpMatch {
            kind: byte(kind),
            code: code.map(byte),
        });
        let both = self.families.v4 && self.families.v6;
        match (name, code) {
            (Some(name), _) if !both => name.to_owned(),
            (_, Some(code)) => format!("{kind}/{code}"),
            (_, None) => format!("type {kind}"),
        }
    }

    fn entry(&self, value: u32) -> String {
        let socket = value
            .checked_sub(1)
            .and_then(|number| self.policy.sockets.get(SocketId::from_u32(number)));
        socket.map_or_else(|| "none".into(), |socket| format!("sock {}", socket.name))
    }
}

/// A variable of a field of the header.
fn of_header(row: &Row, variable: Field) -> String {
    let after = row.variables.iter().skip_while(|one| **one != variable);
    let low: u32 = after.skip(1).map(|one| one.bits()).sum();
    match row.variables {
        [_] => row.word().into(),
        _ => format!(
            "{}, bits {} to {low}",
            row.word(),
            low + variable.bits() - 1
        ),
    }
}

/// A value of a variable of the header.
fn value_of_header(row: &Row, value: u32) -> String {
    match (row.kind, row.decode(value.into())) {
        (Kind::Flags | Kind::Masked, _) => format!("{value:#04x}"),
        // One half of it.
        (Kind::Address, _) => format!("{value:#08x}"),
        (_, Some(value)) => row.value_word(value),
        (_, None) => format!("no {}", row.noun()),
    }
}

/// A class of interfaces.
pub(super) fn class(policy: &Policy, class: ClassId) -> String {
    let class = policy.classes.get(class);
    let zone = class.and_then(|class| class.zone);
    let zone = zone.map(|zone| format!("zone {}", policy.zones[zone].name));
    let pattern = || class.and_then(|class| class.patterns.first().cloned());
    zone.or_else(pattern)
        .unwrap_or_else(|| "all other interfaces".into())
}

fn protocol(number: u32) -> String {
    let word = IpProtocol(number as u8).word();
    word.map_or_else(|| number.to_string(), str::to_owned)
}

/// Addresses as a prefix if they are one.
fn prefix_v4(low: u32, high: u32) -> String {
    let (first, last) = (Ipv4Addr::from_bits(low), Ipv4Addr::from_bits(high));
    match prefix_length(low, high) {
        Some(32) => first.to_string(),
        Some(length) => format!("{first}/{length}"),
        None => format!("{first}-{last}"),
    }
}

/// A part of IPv6 addresses: as a prefix where it is the first part and one, else as its two groups.
fn prefix_v6(field: Field, low: u32, high: u32) -> String {
    let is_first = matches!(field, Field::To0 | Field::From0);
    if let (true, Some(length)) = (is_first, prefix_length(low, high)) {
        let address = Ipv6Addr::from_bits(u128::from(low) << 96);
        return format!("{address}/{length}");
    }
    let groups = |value: u32| format!("{:x}:{:x}", value >> 16, value & 0xffff);
    if low == high {
        groups(low)
    } else {
        format!("{} to {}", groups(low), groups(high))
    }
}

/// The length of the prefix that an interval is, if it is one.
fn prefix_length(low: u32, high: u32) -> Option<u32> {
    let free = (low ^ high).checked_ilog2().map_or(0, |top| top + 1);
    let mask = u32::MAX.checked_shr(32 - free).unwrap_or(0);
    (low & mask == 0 && high & mask == mask).then_some(32 - free)
}

/// Values that are those with some flags set and some clear, in these words.
fn flags(spans: &[(u32, u32)]) -> Option<String> {
    let has = |value: u32| {
        spans
            .iter()
            .any(|&(low, high)| (low..=high).contains(&value))
    };
    let values: Vec<u32> = (0..256).filter(|&value| has(value)).collect();
    let set = values.iter().fold(255, |bits, value| bits & value);
    let clear = values.iter().fold(255, |bits, value| bits & !value);
    // All values with these bits, and no other: as many as the free bits can say.
    let free = 8 - (set | clear).count_ones();
    if values.len() != 1 << free {
        return None;
    }
    let named = |bits: u32, no: &str| {
        flag_names(bits.into())
            .map(|name| format!("{no}{name}"))
            .collect::<Vec<_>>()
    };
    Some([named(set, ""), named(clear, "no ")].concat().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_prefixes_where_they_are() {
        assert_eq!(prefix_v4(0x0a14_0000, 0x0a14_ffff), "10.20.0.0/16");
        assert_eq!(prefix_v4(0x0a14_0000, 0x0a14_0000), "10.20.0.0");
        assert_eq!(prefix_v4(0x0a14_0001, 0x0a14_0002), "10.20.0.1-10.20.0.2");
        assert_eq!(prefix_v4(0, u32::MAX), "0.0.0.0/0");
        assert_eq!(
            prefix_v6(Field::From0, 0x2001_0db8, 0x2001_0db8),
            "2001:db8::/32"
        );
        assert_eq!(
            prefix_v6(Field::From1, 0x20_0000, 0x20_ffff),
            "20:0 to 20:ffff"
        );
    }

    #[test]
    fn flags_are_said_where_bits_say_it() {
        assert_eq!(
            flags(&[(2, 2)]).as_deref(),
            Some("syn, no fin, no rst, no psh, no ack, no urg, no ece, no cwr")
        );
        let ack: Vec<(u32, u32)> = (0..256)
            .filter(|value| value & 16 != 0)
            .map(|value| (value, value))
            .collect();
        assert_eq!(flags(&ack).as_deref(), Some("ack"));
        assert_eq!(flags(&[(0, 2)]), None);
    }
}
