//! Names of grammar rules in the reader's words: what could have stood where a parse broke.

use super::Rule;
use crate::ast::{Direction, HookName};
use crate::mistake::Expected;
use crate::vocabulary::{SOCKET_STATES, VERBS};

/// From the rules that pest tried.
pub(super) fn expected(rules: &[Rule]) -> Expected {
    let mut expected = Expected::default();
    for &rule in rules {
        for word in words(rule) {
            expected.word(word);
        }
        for kind in kinds(rule) {
            expected.kind(kind);
        }
        expected.no_ports |= rule == Rule::no_ports;
        if let Some(word) = format!("{rule:?}").strip_prefix("k_") {
            expected.word(word);
        }
    }
    expected
}

/// The words and marks that a rule stands for; `k_…` rules name their own.
fn words(rule: Rule) -> &'static [&'static str] {
    match rule {
        // All but `audit`, which goes before another verb.
        Rule::verb => VERBS.split_last().map_or(&[], |(_, verbs)| verbs),
        Rule::default_verb => &["allow", "drop", "reject"],
        Rule::absent_verb => &["drop", "reject"],
        Rule::expected | Rule::expected_verb => {
            &["allow", "drop", "reject", "redirect", "shortcut", "splice"]
        }
        Rule::direction => Direction::WORDS,
        Rule::listen_protocol | Rule::listen | Rule::listens => &["tcp", "udp"],
        Rule::origin => &["tcp", "udp", "registered", "systemd", "process"],
        Rule::systemd => &["systemd"],
        Rule::process => &["process"],
        Rule::owner => &["owner"],
        Rule::owner_uid => &["uid"],
        Rule::owner_cgroup => &["cgroup"],
        Rule::absent | Rule::if_clause => &["if"],
        Rule::socket_state => SOCKET_STATES,
        Rule::tcp_flag => &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"],
        Rule::hook => HookName::WORDS,
        Rule::compared => &["length", "ttl"],
        Rule::masked => &["mark"],
        Rule::coded => &["dscp"],
        Rule::numbered => &["vlan"],
        Rule::comparison => &["<", "<=", "=", ">=", ">"],
        Rule::rate_unit => &["packets", "bytes", "connections"],
        Rule::period => &["second", "minute", "hour"],
        Rule::per_side => &["source", "destination"],
        Rule::scope => &["zone", "interface", "netns"],
        Rule::for_zone | Rule::on_zone => &["zone"],
        Rule::for_interface | Rule::on_interface => &["interface"],
        Rule::on_clause => &["on"],
        Rule::from_clause => &["from"],
        Rule::to_clause | Rule::to_side => &["to"],
        Rule::to_sock => &["sock"],
        Rule::to_interface => &["interface"],
        Rule::to_input => &["input"],
        Rule::to_output => &["output"],
        Rule::by_map => &["by"],
        Rule::within_group => &["within"],
        Rule::with_pairs => &["pairs"],
        Rule::log_clause => &["log"],
        Rule::with_clause => &["with"],
        Rule::packet_part => &["from", "to", "on", "with"],
        Rule::log_sample => &["sample"],
        Rule::log_max | Rule::set_max | Rule::map_max => &["max"],
        Rule::set_expires => &["expires"],
        Rule::set_is | Rule::map_is | Rule::equal => &["="],
        Rule::port_set => &["ports"],
        Rule::file_term => &["file"],
        Rule::per => &["per"],
        Rule::burst => &["burst"],
        Rule::in_netns => &["in"],
        Rule::group_side => &["group"],
        Rule::comma => &[","],
        Rule::arrow => &["->"],
        Rule::plus => &["+"],
        Rule::minus | Rule::dash => &["-"],
        Rule::slash => &["/"],
        Rule::colon => &[":"],
        Rule::open | Rule::port_open | Rule::element_list => &["{"],
        Rule::close | Rule::port_close => &["}"],
        Rule::close_bracket => &["]"],
        _ => &[],
    }
}

/// The kinds of text that a rule stands for.
fn kinds(rule: Rule) -> &'static [&'static str] {
    match rule {
        Rule::name | Rule::word => &["a name"],
        Rule::pattern => &["an interface"],
        Rule::number | Rule::digits | Rule::rate => &["a number"],
        Rule::duration => &["a duration such as `10s` or `5m`"],
        Rule::string => &["a string in quotes"],
        Rule::builtin => &["`<essentials>`"],
        Rule::set_ref => &["`@name`"],
        Rule::element | Rule::address | Rule::host | Rule::listen_at => &["an address"],
        Rule::map_entry => &["an entry such as `192.0.2.0/24:53 -> sock NAME`"],
        Rule::arithmetic | Rule::term => &["`{ … }`", "`@name`", "`file \"…\"`"],
        Rule::endpoint_side | Rule::endpoint | Rule::bare_clause => &["an endpoint"],
        Rule::ports | Rule::port_item | Rule::service => &["a port"],
        Rule::protocol | Rule::plain_protocol => &["a protocol"],
        Rule::icmp_types | Rule::icmp_type | Rule::icmp_name => &["an ICMP type"],
        Rule::clause => &["a clause"],
        Rule::condition
        | Rule::negation
        | Rule::any_of
        | Rule::socket_is
        | Rule::header_is
        | Rule::tcp_flags => &["a condition"],
        Rule::with_item => &["what the packet is like"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAMMAR: &str = include_str!("../policy.pest");

    /// The words of a rule of the grammar that is a choice of words and nothing else: `hook = @{ ("xdp" | "tc") ~ edge }`.
    fn choice(rule: &str) -> Option<Vec<&'static str>> {
        let mut lines = GRAMMAR.lines();
        let line = lines.find(|line| line.split_whitespace().next() == Some(rule))?;
        let (_, body) = line.split_once("@{ ")?;
        let body = body.strip_suffix(" ~ edge }")?;
        let words = body.trim_start_matches('(').trim_end_matches(')');
        let words: Option<Vec<&str>> = words
            .split(" | ")
            .map(|word| word.strip_prefix('"')?.strip_suffix('"'))
            .collect();
        words
    }

    #[test]
    fn what_is_expected_of_a_choice_is_every_word_of_it() {
        let mut seen = 0;
        for &rule in Rule::all_rules() {
            let name = format!("{rule:?}");
            // A `k_` rule names its word itself.
            let Some(choice) = choice(&name).filter(|_| !name.starts_with("k_")) else {
                continue;
            };
            // Where a kind of text stands for it, the words of the kind are suggested, not told.
            if words(rule).is_empty() && !kinds(rule).is_empty() {
                continue;
            }
            // The single words of conditions: "a condition" is what is told there.
            if matches!(
                rule,
                Rule::compared | Rule::masked | Rule::coded | Rule::numbered
            ) {
                continue;
            }
            seen += 1;
            assert_eq!(words(rule), choice, "{rule:?}");
        }
        assert!(seen > 10, "{seen}");
    }
}
