//! What nft does with a packet, written from its manual and `net/netfilter/nf_tables_core.c`: statement by statement, over the JSON.
//!
//! The state of a connection is what the machine's sockets say, as for iptables: this is what the import promises.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;
use sockc_compiler::event::{Fragment, Transport, Verdict};
use sockc_compiler::policy::Family;

use crate::iptables::drawn::{List, number};
use crate::iptables::meaning::{Answer, has_state, may_begin};
use crate::iptables::packets::Packet;

/// A rule set without some of its rules.
pub(crate) struct Nft<'a> {
    objects: Vec<(&'a str, &'a Value)>,
    left_out: &'a BTreeSet<String>,
}

/// How a rule, or a chain, ends.
#[derive(Clone, Copy)]
enum End<'a> {
    /// Goes on.
    On,
    Accept,
    Taken(Verdict),
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

impl<'a> Nft<'a> {
    pub(crate) fn new(set: &'a Value, left_out: &'a BTreeSet<String>) -> Self {
        let objects = set["nftables"].as_array().unwrap().iter();
        let objects = objects.map(|object| {
            let (kind, of) = object.as_object().unwrap().iter().next().unwrap();
            (kind.as_str(), of)
        });
        Self {
            objects: objects.collect(),
            left_out,
        }
    }

    fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> {
        let objects = self.objects.iter().filter(move |one| one.0 == kind);
        objects.map(|one| one.1)
    }

    pub(crate) fn rules(&self) -> usize {
        self.of_kind("rule").count()
    }

    /// Every chain at the hook is asked until one takes the packet away.
    pub(crate) fn answer(&self, packet: &Packet) -> Answer {
        let hook = match packet.list {
            List::In => "input",
            List::Forward => "forward",
            List::Out => "output",
        };
        let own = match packet.header.family() {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        };
        let is_dormant = |base: &Value| {
            let mut tables = self.of_kind("table");
            tables.any(|table| table["name"] == base["table"] && !table["flags"].is_null())
        };
        let bases = self.of_kind("chain").enumerate().filter(|(_, chain)| {
            let family = chain["family"].as_str().unwrap();
            chain["hook"] == hook && (family == "inet" || family == own) && !is_dormant(chain)
        });
        let mut bases: Vec<_> = bases.collect();
        bases.sort_by_key(|(order, chain)| (chain["prio"].as_i64(), std::cmp::Reverse(*order)));
        let mut lines = 0;
        for (_, base) in bases {
            let name = base["name"].as_str().unwrap();
            let drops = base["policy"] == "drop";
            let verdict = match self.chain(&base["table"], name, packet, &mut lines) {
                End::Taken(verdict) => verdict,
                End::Accept => continue,
                _ if drops => Verdict::Drop,
                _ => continue,
            };
            return Answer { verdict, lines };
        }
        Answer {
            verdict: Verdict::Allow,
            lines,
        }
    }

    fn chain(&self, table: &Value, name: &str, packet: &Packet, lines: &mut usize) -> End<'a> {
        let mut rules = self
            .of_kind("rule")
            .filter(|rule| rule["table"] == *table && rule["chain"] == name);
        loop {
            let Some(rule) = rules.next() else {
                return End::On;
            };
            let words = [&rule["family"], &rule["table"], &rule["chain"]]
                .map(|word| word.as_str().unwrap());
            let place = format!("{} handle {}", words.join(" "), rule["handle"]);
            if self.left_out.contains(&place) {
                continue;
            }
            match self.rule(rule, packet, lines) {
                End::On => {}
                End::Return => return End::On,
                End::Jump(to) => match self.chain(table, to, packet, lines) {
                    End::On => {}
                    end => return end,
                },
                End::Goto(to) => return self.chain(table, to, packet, lines),
                end => return end,
            }
        }
    }

    fn rule(&self, rule: &'a Value, packet: &Packet, lines: &mut usize) -> End<'a> {
        let table = &rule["table"];
        let statements = rule["expr"].as_array().unwrap();
        let accepts = statements
            .last()
            .is_some_and(|last| last.get("accept").is_some());
        for statement in statements {
            let (word, of) = statement.as_object().unwrap().iter().next().unwrap();
            match word.as_str() {
                "match" => {
                    let elements = self.elements(table, &of["right"]);
                    let op = of["op"].as_str().unwrap();
                    if !compares(&of["left"], op, &of["right"], &elements, accepts, packet) {
                        return End::On;
                    }
                }
                "limit" => {
                    if packet.fits == (of["inv"] == true) {
                        return End::On;
                    }
                }
                "log" => *lines += 1,
                "counter" => {}
                "vmap" => {
                    for element in self.elements(table, &of["data"]) {
                        let accepts = element[1].get("accept").is_some();
                        let key = [&element[0]];
                        if compares(&of["key"], "==", &element[0], &key, accepts, packet) {
                            return verdict(&element[1], packet);
                        }
                    }
                    return End::On;
                }
                _ => return verdict(statement, packet),
            }
        }
        End::On
    }

    fn elements(&self, table: &Value, right: &'a Value) -> Vec<&'a Value> {
        if let Some(set) = right.get("set") {
            return set.as_array().unwrap().iter().collect();
        }
        match right.as_str().and_then(|name| name.strip_prefix('@')) {
            Some(name) => {
                let mut sets = self.of_kind("set").chain(self.of_kind("map"));
                let set = sets
                    .find(|set| set["name"] == name && set["table"] == *table)
                    .unwrap();
                set["elem"].as_array().unwrap().iter().collect()
            }
            None => vec![right],
        }
    }
}

fn verdict<'a>(statement: &'a Value, packet: &Packet) -> End<'a> {
    let (word, of) = statement.as_object().unwrap().iter().next().unwrap();
    match word.as_str() {
        "accept" => End::Accept,
        "drop" => End::Taken(Verdict::Drop),
        "reject" if of["type"] == "tcp reset" && packet.header.protocol.0 != 6 => End::On,
        // What leaves cannot be answered.
        "reject" if packet.list == List::Out => End::Taken(Verdict::Drop),
        "reject" => End::Taken(Verdict::Reject),
        "return" => End::Return,
        "jump" => End::Jump(of["target"].as_str().unwrap()),
        "goto" => End::Goto(of["target"].as_str().unwrap()),
        other => panic!("{other}"),
    }
}

fn compares(
    left: &Value,
    op: &str,
    right: &Value,
    elements: &[&Value],
    accepts: bool,
    packet: &Packet,
) -> bool {
    if let Some(keys) = left.get("concat") {
        let keys = keys.as_array().unwrap();
        return elements.iter().any(|element| {
            let parts = element["concat"].as_array().unwrap();
            let mut pairs = keys.iter().zip(parts);
            pairs.all(|(key, part)| compares(key, "==", part, &[part], accepts, packet))
        });
    }
    if left["ct"]["key"] == "state" {
        let names: Vec<&Value> = match right.as_array() {
            Some(all) => all.iter().collect(),
            None => elements.to_vec(),
        };
        let names: Vec<String> = names
            .iter()
            .map(|name| name.as_str().unwrap().to_uppercase())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let negated = op.starts_with('!');
        let begins = names.contains(&"NEW") != negated && may_begin(&packet.header.transport);
        return accepts && packet.ends_a_handshake() && begins
            || has_state(negated, &names, packet);
    }
    if let Some(key) = left["meta"]["key"]
        .as_str()
        .filter(|key| key.contains("ifname"))
    {
        let has = match (packet.list, key) {
            (List::In | List::Forward, "iifname") => packet.on,
            (List::Out | List::Forward, "oifname") => packet.leaves,
            _ => "",
        };
        let is_it = |name: &&Value| match name.as_str().unwrap().strip_suffix('*') {
            Some(begins) => has.starts_with(begins),
            None => has == name.as_str().unwrap(),
        };
        return elements.iter().any(is_it) == (op == "==");
    }
    let (inner, mask) = match left.get("&") {
        Some(both) => (&both[0], bits(&both[1])),
        None => (left, u128::MAX),
    };
    let Some(value) = value(inner, packet) else {
        return false;
    };
    let value = value & mask;
    let is_in = |one: &&Value| {
        let (low, high) = range(one);
        low <= value && value <= high
    };
    match op {
        "==" => elements.iter().any(is_in),
        "!=" => !elements.iter().any(is_in),
        "in" => value & bits(right) != 0,
        "!" => value & bits(right) == 0,
        "<" => value < bits(right),
        ">" => value > bits(right),
        "<=" => value <= bits(right),
        ">=" => value >= bits(right),
        other => panic!("{other}"),
    }
}

/// The value of a field, if the packet has it.
fn value(left: &Value, packet: &Packet) -> Option<u128> {
    let header = &packet.header;
    let is_v4 = header.family() == Family::V4;
    let v4 = |value: u128| is_v4.then_some(value);
    let v6 = |value: u128| (!is_v4).then_some(value);
    if left.get("fib").is_some() {
        let many = match header.to {
            IpAddr::V4(to) => to.is_multicast() || to.is_broadcast(),
            IpAddr::V6(to) => to.is_multicast(),
        };
        return Some(if many { 1 } else { 7 });
    }
    if left.get("exthdr").is_some() {
        return v6(u128::from(header.fragment != Fragment::Whole));
    }
    if let Some(key) = left["meta"]["key"].as_str() {
        return Some(match key {
            "l4proto" => header.protocol.0.into(),
            "nfproto" => {
                if is_v4 {
                    4
                } else {
                    6
                }
            }
            "mark" => header.mark.into(),
            "length" => header.length.into(),
            other => panic!("{other}"),
        });
    }
    let payload = &left["payload"];
    if payload["protocol"] == "ether" {
        let card = match payload["field"] == "saddr" {
            true => header.ether_from,
            false => header.ether_to,
        };
        return Some(card.into());
    }
    let (protocol, field) = (payload["protocol"].as_str()?, payload["field"].as_str()?);
    let number_of = |protocol: &str| match protocol {
        "tcp" => header.protocol.0 == 6,
        "udp" => header.protocol.0 == 17,
        "th" => matches!(header.protocol.0, 6 | 17 | 132),
        _ => true,
    };
    match (protocol, field, header.transport) {
        ("ip", "saddr", _) => v4(number(header.from)),
        ("ip", "daddr", _) => v4(number(header.to)),
        ("ip6", "saddr", _) => v6(number(header.from)),
        ("ip6", "daddr", _) => v6(number(header.to)),
        ("ip", "protocol", _) => v4(header.protocol.0.into()),
        ("ip6", "nexthdr", _) => v6(header.protocol.0.into()),
        ("ip", "ttl", _) => v4(header.ttl.into()),
        ("ip6", "hoplimit", _) => v6(header.ttl.into()),
        ("ip", "dscp", _) => v4(header.dscp.into()),
        ("ip6", "dscp", _) => v6(header.dscp.into()),
        ("ip", "ecn", _) => v4(header.ecn.into()),
        ("ip", "length", _) => v4(header.length.into()),
        ("ip6", "length", _) => v6(u128::from(header.length) - 40),
        (_, "sport", Transport::Tcp { from, .. } | Transport::Ports { from, .. })
            if number_of(protocol) =>
        {
            Some(from.into())
        }
        (_, "dport", Transport::Tcp { to, .. } | Transport::Ports { to, .. })
            if number_of(protocol) =>
        {
            Some(to.into())
        }
        ("tcp", "flags", Transport::Tcp { flags, .. }) => Some(flags.into()),
        ("icmp", "type", Transport::Icmp { kind, .. }) => v4(kind.into()),
        ("icmp", "code", Transport::Icmp { code, .. }) => v4(code.into()),
        ("icmpv6", "type", Transport::Icmp { kind, .. }) => v6(kind.into()),
        _ => None,
    }
}

fn range(value: &Value) -> (u128, u128) {
    if let Some(element) = value.get("elem") {
        return range(&element["val"]);
    }
    if let Some(range) = value.get("range") {
        return (bits(&range[0]), bits(&range[1]));
    }
    if let Some(prefix) = value.get("prefix") {
        let address = bits(&prefix["addr"]);
        let whole = if prefix["addr"].as_str().unwrap().contains(':') {
            128
        } else {
            32
        };
        let free = whole - prefix["len"].as_u64().unwrap();
        let hosts = (1_u128 << free) - 1;
        return (address & !hosts, address | hosts);
    }
    (bits(value), bits(value))
}

/// A value, or several flags together.
fn bits(value: &Value) -> u128 {
    const NAMES: [(&str, u128); 20] = [
        ("fin", 1),
        ("syn", 2),
        ("rst", 4),
        ("psh", 8),
        ("ack", 16),
        ("urg", 32),
        ("tcp", 6),
        ("udp", 17),
        ("icmp", 1),
        ("ipv6-icmp", 58),
        ("sctp", 132),
        ("ipv4", 4),
        ("ipv6", 6),
        ("ef", 46),
        ("af11", 10),
        ("ce", 3),
        ("not-ect", 0),
        ("echo-request", 8),
        ("local", 7),
        ("multicast", 1),
    ];
    match value {
        Value::Number(number) => number.as_u64().unwrap().into(),
        Value::Bool(has) => u128::from(*has),
        Value::Array(all) => all.iter().map(bits).fold(0, |so_far, one| so_far | one),
        Value::Object(object) => bits(&object["|"]),
        Value::String(text) => {
            let known = NAMES.iter().find(|(name, _)| name == text);
            let card = || u128::from_str_radix(&text.replace(':', ""), 16).ok();
            let card = card().filter(|_| text.len() == 17);
            let known = known.map(|known| known.1).or(card);
            known.unwrap_or_else(|| number(text.parse().unwrap()))
        }
        Value::Null => panic!("nothing"),
    }
}
