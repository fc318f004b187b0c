//! Which grammar rule to ask for, by the word that begins a statement.

use super::Rule;
use crate::scan;
use crate::vocabulary;

/// The rule of the statement that begins at `at`.
pub(super) fn opening(text: &str, at: usize) -> Option<Rule> {
    if scan::is_label(text, at) {
        return Some(Rule::rule_line);
    }
    let word = scan::word(text, at);
    Some(match word {
        "sockc" => Rule::version,
        "policy" => Rule::policy,
        "include" => Rule::include,
        "interfaces" => Rule::interfaces,
        "zone" => Rule::zone,
        "default" => Rule::default_line,
        "set" => Rule::set_decl,
        "live" if scan::word(text, scan::skip(text, at + word.len())) == "map" => Rule::map_decl,
        "live" => Rule::set_decl,
        "socket" => Rule::socket_decl,
        "map" => Rule::map_decl,
        "group" => Rule::group_decl,
        "pairs" => Rule::pairs_decl,
        "for" => Rule::for_head,
        "expect" => Rule::expect,
        _ if vocabulary::VERBS.contains(&word) => Rule::unlabelled,
        _ => return None,
    })
}
