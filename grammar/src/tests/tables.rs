//! The tables of words and codes agree with the grammar and with each other.

use std::collections::BTreeSet;

use crate::ast::Verb;
use crate::{codes, vocabulary};

const GRAMMAR: &str = include_str!("../policy.pest");

/// Every word in quotes in the grammar.
fn words_of_grammar() -> BTreeSet<&'static str> {
    let code = GRAMMAR
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    let quoted = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    quoted
        .filter(|word| {
            word.len() > 1
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
        })
        .collect()
}

#[test]
fn the_tables_hold_every_word_of_the_grammar() {
    let mut known: BTreeSet<&str> = vocabulary::every().collect();
    // Units of durations and the mark of hex numbers are part of numbers.
    known.extend(["ms", "0x"]);
    assert_eq!(words_of_grammar(), known);
}

#[test]
fn the_reserved_words_are_those_of_the_grammar() {
    let (_, rule) = GRAMMAR.split_once("reserved = _{").unwrap();
    let (rule, _) = rule.split_once("\n}").unwrap();
    let reserved: BTreeSet<&str> = rule.split('"').skip(1).step_by(2).collect();
    let known: BTreeSet<&str> = vocabulary::reserved().collect();
    assert_eq!(reserved, known);
}

#[test]
fn longer_words_come_first_where_one_begins_like_another() {
    for choice in [
        "reserved = _{",
        "direction       = @{",
        "hook            = @{",
        "protocol_word   = _{",
    ] {
        let (_, rule) = GRAMMAR.split_once(choice).unwrap();
        let (rule, _) = rule.split_once('}').unwrap();
        let words: Vec<&str> = rule.split('"').skip(1).step_by(2).collect();
        for (index, word) in words.iter().enumerate() {
            let shadowed = words[..index]
                .iter()
                .find(|earlier| word.starts_with(**earlier));
            assert_eq!(shadowed, None, "{word}");
        }
    }
}

#[test]
fn the_verbs_are_those_of_the_tree_and_audit() {
    let (audit, verbs) = vocabulary::VERBS.split_last().unwrap();
    assert_eq!((*audit, verbs), ("audit", Verb::WORDS));
}

#[test]
fn words_of_other_tools_are_no_statement_words_and_stand_once() {
    let foreign: BTreeSet<&str> = vocabulary::all_foreign().map(|(word, _)| *word).collect();
    assert_eq!(foreign.len(), vocabulary::all_foreign().count());
    assert!(foreign.iter().all(|word| !vocabulary::is_reserved(word)));
    assert!(vocabulary::all_foreign().all(|(_, help)| !help.is_empty()));
}

#[test]
fn codes_stand_once_and_in_order() {
    let names: Vec<&str> = codes::CODES.iter().map(|(code, _)| code.0).collect();
    let expected: Vec<String> = (1..=names.len())
        .map(|number| format!("E01{number:02}"))
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn the_nearest_word_is_near() {
    let nearest = |word| vocabulary::nearest(word, vocabulary::every());
    assert_eq!(nearest("alow"), Some("allow"));
    assert_eq!(nearest("rediretc"), Some("redirect"));
    assert_eq!(nearest("ALLOW"), Some("allow"));
    assert_eq!(nearest("zebra"), None);
    assert_eq!(nearest("x"), None);
}
