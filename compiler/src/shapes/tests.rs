use std::fmt::Write;

use sockc_grammar::source::SourceMap;

use super::*;
use crate::bulk::Structure;
use crate::files::Texts;
use crate::pipeline::{Options, compile};
use crate::target::Target;

fn built(text: &str, structure: Structure) -> (Policy, Built) {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", text);
    let target = Target::baseline();
    let options = Options {
        structure,
        ..Options::from(&target)
    };
    let outcome = compile(&mut sources, id, "t", options, &mut Texts::default());
    assert!(!outcome.failed(), "{:?}", outcome.diagnostics);
    (outcome.policy.unwrap(), outcome.built.unwrap())
}

fn described(text: &str, structure: Structure) -> String {
    let (policy, built) = built(text, structure);
    describe(&policy, &built, 0)
}

/// So many rules: hosts with a port, networks with a range of ports, and some of IPv6.
fn mixed(rules: usize) -> String {
    let mut text = "default in drop\n".to_owned();
    for rule in 0..rules {
        let (high, low) = (rule / 250, rule % 250);
        let port = rule + 1;
        let line = match rule % 4 {
            0 | 1 => format!("allow tcp from 10.{high}.{low}.0/24 to 192.0.2.{low}:{port}"),
            2 => format!(
                "drop udp from 10.{high}.{low}.0/26 to port {port}-{}",
                port + 500
            ),
            _ => format!("allow tcp from 2001:db8:{high:x}:{low:x}::/64 to port 22"),
        };
        writeln!(text, "{line}").unwrap();
    }
    text
}

#[test]
fn a_small_policy_is_a_tree_and_says_where_tables_begin() {
    let text = described(
        "default in drop\nallow tcp to port 22\ncount udp\n",
        Structure::Chosen,
    );
    assert!(
        text.starts_with("shape: compare tree; plain rules 1, tables begin at 64\n"),
        "{text}"
    );
    assert!(text.contains(" arms; about 14 ns a packet\n"), "{text}");
    assert!(text.contains("  program: "), "{text}");
}

#[test]
fn a_long_list_in_a_tree_says_that_it_could_have_been_tables() {
    let text = described(&mixed(64), Structure::Tree);
    assert!(
        text.starts_with("shape: compare tree; its 64 plain rules cannot be tables"),
        "{text}"
    );
}

#[test]
fn a_long_list_says_what_was_chosen_and_what_else_there_was() {
    let text = described(&mixed(400), Structure::Chosen);
    assert!(
        text.starts_with("shape: tables; plain rules 400,"),
        "{text}"
    );
    for words in [
        "  IPv4: 300 boxes",
        "  IPv6: 100 boxes",
        "    from rank 0: ",
        "    instead: about ",
        "  instead: compare tree, not tried: 400 rules; ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(text, described(&mixed(400), Structure::Chosen));
}

#[test]
fn nothing_that_was_looked_at_is_faster_than_what_was_chosen() {
    let (_, built) = built(&mixed(1_000), Structure::Chosen);
    let families = built
        .classifiers
        .iter()
        .flatten()
        .flat_map(|one| &one.families);
    let mut others = 0;
    for family in families {
        let chosen = &family.choice.chosen;
        let boxes: usize = chosen.parts.iter().map(|part| part.boxes).sum();
        assert_eq!(boxes, family.boxes);
        for other in &family.choice.others {
            assert!(chosen.nanoseconds <= other.nanoseconds);
            assert_ne!(chosen.parts, other.parts);
            others += 1;
        }
    }
    assert!(others > 0);
}

/// Walks are such a program, but for its parser (some 4,000 steps for both families).
#[test]
fn the_work_of_walks_is_near_that_of_the_program() {
    for rules in [64, 250, 1_000] {
        let (_, built) = built(&mixed(rules), Structure::Chosen);
        let summary = built.classifiers[0].as_ref().unwrap();
        let families = summary.families.iter().zip([Family::V4, Family::V6]);
        let walks: usize = families
            .map(|(one, family)| one.choice.chosen.work(family))
            .sum();
        let whole = VerifierCost::of(&built.functions[0], MAX_WORK).processed;
        assert!(
            walks <= whole && whole <= 2 * walks + 4_500,
            "{rules} rules: walks {walks}, program {whole}"
        );
    }
}
