//! nftables, in the forms that people write: a chain of rules, and sets and maps where the rules fit one.
//!
//! The hook is prerouting at priority raw, the first place that a filter of the kernel sees a packet. A rule after the
//! others counts and drops what none of them matched.

use std::fmt::Write as _;
use std::process::Command;

use crate::rules::{ANY_PORT, Prefix, Rule, RuleSet};
use crate::stage::{Problem, Stage};
use crate::systems::{Filter, Unfit, patient};

/// How the rules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One rule after the other.
    Chain,
    /// The same, each rule with a counter.
    Counted,
    /// A set of addresses with ports, exact.
    Set,
    /// The same as a map to verdicts, with the protocol.
    Map,
    /// A set of prefixes and port ranges together, which the kernel calls pipapo.
    Intervals,
}

impl Filter for Form {
    fn load(&self, set: &RuleSet, stage: &Stage) -> Result<f64, Unfit> {
        let script = script(*self, set).ok_or(Unfit::Unsayable)?;
        let load = || Ok(patient::run(Command::new("nft").args(["-f", "-"]), &script));
        Ok(stage.inside(load)??.milliseconds)
    }

    fn unmatched(&self, set: &RuleSet, stage: &Stage) -> Result<u64, Problem> {
        let mut command = Command::new("nft");
        command.args(["list", "chain", table(set), "bench", "rest"]);
        let done = stage.inside(move || Ok(patient::run(&mut command, "")))?;
        let listing = done.map_err(|unfit| unfit.to_string())?.output;
        let number = listing
            .split("packets ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        Ok(number.ok_or("nft shows no counter")?.parse()?)
    }
}

/// The family of the table: one of both has each rule ask for its own.
fn table(set: &RuleSet) -> &'static str {
    if set.has_ipv6() { "inet" } else { "ip" }
}

/// The script; `None` where the rules do not fit the form.
fn script(form: Form, set: &RuleSet) -> Option<String> {
    let rules = &set.rules;
    let exact = set.family == "exact";
    let (elements, rule) = match form {
        Form::Chain => (String::new(), chain(rules, set.has_ipv6(), "drop")),
        Form::Counted => (String::new(), chain(rules, set.has_ipv6(), "counter drop")),
        Form::Set if exact => (
            elements("set s { type ipv4_addr . inet_service;", rules, |rule| {
                format!("{} . {}", rule.to.address, rule.dports.0)
            }),
            "ip daddr . udp dport @s drop\n".to_owned(),
        ),
        Form::Map if exact => (
            elements(
                "map m { type ipv4_addr . inet_proto . inet_service : verdict;",
                rules,
                |rule| format!("{} . udp . {} : drop", rule.to.address, rule.dports.0),
            ),
            "ip daddr . meta l4proto . th dport vmap @m\n".to_owned(),
        ),
        Form::Intervals if set.family == "interval" => (
            elements(
                "set s { type ipv4_addr . ipv4_addr . inet_service; flags interval;",
                rules,
                |rule| {
                    format!(
                        "{} . {} . {}",
                        shown(rule.from),
                        shown(rule.to),
                        span(rule.dports)
                    )
                },
            ),
            "ip saddr . ip daddr . udp dport @s drop\n".to_owned(),
        ),
        _ => return None,
    };
    let table = table(set);
    Some(format!(
        "table {table} bench {{\n{elements}chain rest {{ counter drop; }}\nchain first {{\n\
         type filter hook prerouting priority raw; policy accept;\n{rule}jump rest\n}}\n}}\n"
    ))
}

fn elements(head: &str, rules: &[Rule], element: impl Fn(&Rule) -> String) -> String {
    let all: Vec<String> = rules.iter().map(element).collect();
    format!("{head} elements = {{ {} }} }}\n", all.join(", "))
}

fn chain(rules: &[Rule], both: bool, verdict: &str) -> String {
    rules.iter().fold(String::new(), |mut text, rule| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {verdict}", matches(rule, both));
        text
    })
}

/// What a rule matches, in nft's words; in a table of both families, also which.
pub(crate) fn matches(rule: &Rule, both: bool) -> String {
    let ip = if rule.is_ipv6() { "ip6" } else { "ip" };
    let mut words = Vec::new();
    if both && rule.from.length == 0 && rule.to.length == 0 {
        let family = if rule.is_ipv6() { "ipv6" } else { "ipv4" };
        words.push(format!("meta nfproto {family}"));
    }
    for (side, prefix) in [("saddr", rule.from), ("daddr", rule.to)] {
        if prefix.length > 0 {
            words.push(format!("{ip} {side} {}", shown(prefix)));
        }
    }
    let header = match rule.protocol {
        Some(6) if rule.has_ports() => "tcp",
        Some(17) if rule.has_ports() => "udp",
        Some(132) if rule.has_ports() => "sctp",
        Some(number) => {
            words.push(format!("meta l4proto {number}"));
            "th"
        }
        None if rule.has_ports() => {
            words.push("meta l4proto { tcp, udp, sctp }".to_owned());
            "th"
        }
        None => "th",
    };
    for (side, ports) in [("sport", rule.sports), ("dport", rule.dports)] {
        if ports != ANY_PORT {
            words.push(format!("{header} {side} {}", span(ports)));
        }
    }
    words.join(" ")
}

fn shown(prefix: Prefix) -> String {
    format!("{}/{}", prefix.address, prefix.length)
}

fn span((low, high): (u16, u16)) -> String {
    if low == high {
        low.to_string()
    } else {
        format!("{low}-{high}")
    }
}
