//! A rule set as iptables-save would print it.
//!
//! Not here: which rules there are.

use std::fmt::Write;

use sockc_compiler::policy::Family;

use super::drawn::{Goal, Kind, LISTS, Match, OTHER_CARD, Rule, Set, Sides};

impl Set {
    /// As iptables-save prints it.
    pub(crate) fn text(&self) -> String {
        let mut text = "*filter\n".to_owned();
        for (number, chain) in self.chains.iter().enumerate() {
            let policy = match (number < LISTS.len(), chain.drops) {
                (false, _) => "-",
                (true, true) => "DROP",
                (true, false) => "ACCEPT",
            };
            writeln!(text, ":{} {policy} [0:0]", chain.name).unwrap();
        }
        for chain in &self.chains {
            for rule in &chain.rules {
                writeln!(text, "{}", self.line(&chain.name, rule)).unwrap();
            }
        }
        text + "COMMIT\n"
    }

    fn line(&self, chain: &str, rule: &Rule) -> String {
        let mut text = format!("-A {chain}");
        for one in &rule.matches {
            text.push(' ');
            text += &self.written(one);
        }
        let (name, goto) = match &rule.goal {
            Goal::Accept => ("ACCEPT", false),
            Goal::Drop => ("DROP", false),
            Goal::Reject(kind) => (self.reject(*kind), false),
            Goal::Log => ("LOG --log-prefix \"a line \"", false),
            Goal::Nothing => return text,
            Goal::Return => ("RETURN", false),
            Goal::Jump(to) => (self.chains[*to].name.as_str(), false),
            Goal::Goto(to) => (self.chains[*to].name.as_str(), true),
        };
        let option = if goto { "-g" } else { "-j" };
        format!("{text} {option} {name}")
    }

    fn reject(&self, kind: Option<Kind>) -> &'static str {
        match (kind, self.family) {
            (None, _) => "REJECT",
            (Some(Kind::Reset), _) => "REJECT --reject-with tcp-reset",
            (Some(Kind::Prohibited), Family::V4) => "REJECT --reject-with icmp-admin-prohibited",
            (Some(Kind::Prohibited), Family::V6) => "REJECT --reject-with icmp6-adm-prohibited",
            (Some(Kind::Port), Family::V4) => "REJECT --reject-with icmp-port-unreachable",
            (Some(Kind::Port), Family::V6) => "REJECT --reject-with icmp6-port-unreachable",
        }
    }

    fn written(&self, one: &Match) -> String {
        let not = |negated: &bool| if *negated { "! " } else { "" };
        match one {
            Match::Protocol(negated, number) => {
                let name = match (number, self.family) {
                    (6, _) => "tcp".to_owned(),
                    (17, _) => "udp".to_owned(),
                    (1, Family::V4) => "icmp".to_owned(),
                    (58, Family::V6) => "ipv6-icmp".to_owned(),
                    _ => number.to_string(),
                };
                format!("{}-p {name}", not(negated))
            }
            Match::Address {
                of_sender,
                negated,
                text,
                ..
            } => {
                let not = not(negated);
                match (text.contains('-'), of_sender) {
                    (true, true) => format!("-m iprange {not}--src-range {text}"),
                    (true, false) => format!("-m iprange {not}--dst-range {text}"),
                    (false, true) => format!("{not}-s {text}"),
                    (false, false) => format!("{not}-d {text}"),
                }
            }
            Match::Interface {
                came_in,
                negated,
                name,
            } => format!(
                "{}-{} {name}",
                not(negated),
                if *came_in { 'i' } else { 'o' }
            ),
            Match::Ports {
                sides,
                negated,
                ports,
            } => {
                let all: Vec<String> = ports
                    .iter()
                    .map(|(low, high)| match low == high {
                        true => low.to_string(),
                        false => format!("{low}:{high}"),
                    })
                    .collect();
                let (one, many) = match sides {
                    Sides::Sender => ("--sport", "--sports"),
                    Sides::Receiver => ("--dport", "--dports"),
                    Sides::Any => ("--ports", "--ports"),
                };
                match ports.len() == 1 && *sides != Sides::Any {
                    true => format!("{}{one} {}", not(negated), all[0]),
                    false => format!("-m multiport {}{many} {}", not(negated), all.join(",")),
                }
            }
            Match::Flags { negated, mask, set } => {
                format!(
                    "-m tcp {}--tcp-flags {} {}",
                    not(negated),
                    flags(*mask),
                    flags(*set)
                )
            }
            Match::Icmp(kind, code) => {
                let code = code.map(|code| format!("/{code}")).unwrap_or_default();
                match self.family {
                    Family::V4 => format!("-m icmp --icmp-type {kind}{code}"),
                    Family::V6 => format!("-m icmp6 --icmpv6-type {kind}{code}"),
                }
            }
            Match::Length(negated, low, high) => {
                format!("-m length {}--length {low}:{high}", not(negated))
            }
            Match::Ttl(negated, sign, value) => {
                let word = match sign {
                    '<' => "lt",
                    '>' => "gt",
                    _ => "eq",
                };
                let name = if self.family == Family::V4 {
                    "ttl"
                } else {
                    "hl"
                };
                format!("-m {name} {}--{name}-{word} {value}", not(negated))
            }
            Match::Dscp(negated, value) => format!("-m dscp {}--dscp {value:#04x}", not(negated)),
            Match::Ecn(negated, value) => format!("-m ecn {}--ecn-ip-ect {value}", not(negated)),
            Match::Mark(negated, value, mask) => {
                format!("-m mark {}--mark {value:#x}/{mask:#x}", not(negated))
            }
            Match::State(negated, states) => {
                format!(
                    "-m conntrack {}--ctstate {}",
                    not(negated),
                    states.join(",")
                )
            }
            Match::Card(negated) => {
                let [a, b, c, d, e, f] = OTHER_CARD;
                let card = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
                format!("-m mac {}--mac-source {card}", not(negated))
            }
            Match::Local(negated) => format!("-m addrtype {}--dst-type LOCAL", not(negated)),
            Match::Comment => "-m comment --comment \"a word of it\"".to_owned(),
            Match::Rate => "-m limit --limit 5/min".to_owned(),
            Match::Unknown => "-m recent --update --seconds 60".to_owned(),
        }
    }
}

/// Flags as iptables names them.
fn flags(bits: u8) -> String {
    const NAMES: [&str; 6] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
    let named: Vec<&str> = (0..6)
        .filter(|bit| bits >> bit & 1 == 1)
        .map(|bit| NAMES[bit])
        .collect();
    match named.is_empty() {
        true => "NONE".to_owned(),
        false => named.join(","),
    }
}
