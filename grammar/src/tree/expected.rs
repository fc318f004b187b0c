//! Names of grammar rules in the reader's words: what could have stood where a parse broke.

use super::Rule;
use crate::ast::{
    Comparison, Direction, HookName, Period, RateUnit, SocketState, TcpFlag, TimeUnit, Verb,
};
use crate::mistake::Expected;

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
        Rule::verb => Verb::WORDS,
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
        Rule::socket_members => &["members"],
        Rule::socket_spread => &["spread"],
        Rule::socket_pinned => &["pinned"],
        Rule::absent | Rule::if_clause => &["if"],
        Rule::socket_state => SocketState::WORDS,
        Rule::tcp_flag => TcpFlag::WORDS,
        Rule::hook => HookName::WORDS,
        Rule::compared => &["length", "ttl"],
        Rule::masked => &["mark"],
        Rule::coded => &["dscp", "ecn"],
        Rule::numbered => &["vlan"],
        Rule::comparison => Comparison::WORDS,
        Rule::rate_unit => RateUnit::WORDS,
        Rule::period => Period::WORDS,
        Rule::time_unit => TimeUnit::WORDS,
        Rule::per_side => &["source", "destination"],
        Rule::scope => &["zone", "interface", "netns"],
        Rule::for_zone | Rule::on_zone | Rule::to_zone => &["zone"],
        Rule::for_interface | Rule::on_interface => &["interface"],
        Rule::on_clause => &["on"],
        Rule::from_clause => &["from"],
        Rule::to_clause | Rule::to_side | Rule::leaving_by => &["to"],
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
        Rule::hardware => &["a hardware address such as `02:42:ac:11:00:02`"],
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
        | Rule::tcp_flags
        | Rule::ether_is => &["a condition"],
        Rule::with_item => &["what the packet is like"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pest::Parser;
    use pest::error::InputLocation;

    use super::*;
    use crate::ast::Protocol;
    use crate::header_field::HeaderField;
    use crate::tree::grammar::Grammar;
    use crate::vocabulary;

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
            seen += 1;
            assert_eq!(words(rule), choice, "{rule:?}");
        }
        assert!(seen > 10, "{seen}");
    }

    /// What the tree reads of a choice is every word of it: one that it does not know would lose its statement.
    #[test]
    fn every_word_of_a_choice_means_something() {
        type Known = (&'static [&'static str], fn(&str) -> bool);
        let known: [Known; 3] = [
            (
                &["verb", "default_verb", "absent_verb", "expected_verb"],
                |word| Verb::named(word).is_some(),
            ),
            (&["plain_protocol", "listen_protocol"], |word| {
                Protocol::named(word).is_some()
            }),
            (&["compared", "masked", "coded", "numbered"], |word| {
                HeaderField::named(word).is_some()
            }),
        ];
        for (rules, named) in known {
            for rule in rules {
                let words = choice(rule).unwrap();
                assert!(words.iter().all(|word| named(word)), "{rule}: {words:?}");
            }
        }
    }

    /// Whether the grammar takes the word where the rule begins.
    fn begins(rule: Rule, word: &str) -> bool {
        match Grammar::parse(rule, word) {
            Ok(_) => true,
            Err(error) => !matches!(error.location, InputLocation::Pos(0)),
        }
    }

    #[test]
    fn the_words_of_a_kind_are_those_that_the_grammar_takes_there() {
        for (kind, words) in vocabulary::KINDS {
            // A destination without its `to` is an endpoint where a clause stands.
            let (rule, but) = match *kind {
                "a clause" => (Rule::clause, Some(Rule::side)),
                "a condition" => (Rule::condition, None),
                "what the packet is like" => (Rule::with_item, None),
                "a protocol" => (Rule::protocol, None),
                "an endpoint" => (Rule::side, None),
                other => panic!("{other} is of no rule"),
            };
            let taken = vocabulary::every()
                .filter(|word| begins(rule, word) && !but.is_some_and(|but| begins(but, word)));
            let words: BTreeSet<&str> = words.iter().copied().collect();
            assert_eq!(words, taken.collect::<BTreeSet<&str>>(), "{kind}");
        }
    }
}
