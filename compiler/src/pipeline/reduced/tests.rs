use std::fmt::Write as _;

use sockc_grammar::source::SourceMap;

use super::place;
use crate::bulk::{Conditions, Structure};
use crate::classifier::{Member, crowd};
use crate::files::Texts;
use crate::hook::Hook;
use crate::pipeline::{Built, Compilation, check, check_size, compile};
use crate::target::Target;

fn compiled(text: &str) -> Compilation {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", text);
    let target = Target::baseline();
    compile(&mut sources, id, "t", &target, &mut Texts::default())
}

/// A rule that a group cannot stand ahead of, the plain rule that decides what it shares with the redirect, and many others.
fn mixed(asked: &str, leaving: u32) -> String {
    let mut text = format!(
        "default in drop\ndefault out allow\nsocket web = udp listen 127.0.0.1:8080\n\
         known: allow udp from 10.21.0.0/16 to any:273\n{asked}\n\
         moved: redirect udp from 10.21.0.0/16 to any:200-273 to sock web\n"
    );
    for n in 0..80 {
        let _ = writeln!(
            text,
            "allow tcp from 10.1.{}.{n} to any:{}",
            n % 7,
            1000 + n
        );
    }
    for n in 0..leaving {
        let (a, b) = (n / 200, n % 200);
        let _ = writeln!(
            text,
            "drop out tcp from 10.2.{a}.{b} to 10.{}.3.{a}:{}",
            n % 50,
            2000 + n
        );
    }
    text
}

const ASKED: &str = "asked: allow udp from 10.21.210.231 to any:{273, 274} if socket exists";

fn has_tables(built: &Built, hook: Hook) -> bool {
    let chains = built.chains.iter().zip(&built.classifiers);
    let mut of = chains.filter(|(chain, _)| chain.hook == hook);
    of.any(|(_, classifier)| classifier.is_some())
}

#[test]
fn one_conditional_rule_takes_no_tables_away() {
    for asked in ["", ASKED] {
        let outcome = compiled(&mixed(asked, 120));
        assert!(!outcome.failed(), "{:?}", outcome.diagnostics);
        let built = outcome.built.unwrap();
        assert!(has_tables(&built, Hook::TcOut), "{asked}");
        assert!(has_tables(&built, Hook::Xdp), "{asked}");
    }
}

/// The conditional rule shares packets with more plain rules than stand alone: the others are a tree, and what leaves is
/// not.
#[test]
fn what_leaves_keeps_its_tables_whatever_arrives() {
    let mut text = mixed("asked: allow udp if socket exists", 120);
    text = text.replacen(
        "known:",
        "first: allow udp from 10.21.0.0/16 to any:200-273\nknown:",
        1,
    );
    for n in 0..300 {
        let rule = format!("allow udp from 10.9.{}.{n} to any:{n}\nfirst:", n % 3);
        text = text.replacen("first:", &rule.replace(".300", ".30"), 1);
        if n == 250 {
            break;
        }
    }
    let outcome = compiled(&text);
    let built = outcome
        .built
        .unwrap_or_else(|| panic!("{:?}", outcome.diagnostics));
    assert!(has_tables(&built, Hook::TcOut));
}

#[test]
fn more_services_than_sixteen_bits_are_tables() {
    let mut text = String::from("default in drop\n");
    for n in 0..33_000u32 {
        let _ = writeln!(
            text,
            "allow tcp from 10.{}.{}.{} to port {}",
            n % 250,
            n / 250 % 250,
            n % 240,
            1 + n % 60_000
        );
    }
    let outcome = compiled(&text);
    assert!(!outcome.failed(), "{:?}", outcome.diagnostics);
    assert!(has_tables(&outcome.built.unwrap(), Hook::Xdp));
}

#[test]
fn the_rules_that_cross_are_found() {
    let mut text = String::from("default in drop\n");
    for n in 0..40 {
        let _ = writeln!(text, "allow tcp from 10.0.{n}.0/24 to port {n}");
        let _ = writeln!(
            text,
            "allow udp from 10.0.0.0/8:{n}-{} to port {}-9000",
            100 + n,
            80 - n
        );
    }
    let policy = compiled(&text).policy.unwrap();
    let mut members = Vec::new();
    for rule in policy.rules.values() {
        members.push(Member {
            matches: &rule.matches,
            group: 1,
            slot: 0,
            rate: None,
        });
    }
    let found = crowd(&members);
    assert!(found.len() >= 38, "{found:?}");
    assert!(found.iter().all(|rank| rank % 2 == 1), "{found:?}");
}

/// Rules of ranges that are no prefixes are in no tables, and what is too large for that says so.
#[test]
fn rules_that_make_too_many_prefixes_are_named() {
    let mut text = String::from("default in drop\nplain: allow tcp to port 1\n");
    for n in 0..100 {
        let _ = writeln!(
            text,
            "allow tcp from 10.0.{n}.1-99.1.2.254 to 10.0.1.{n}-98.255.3.1:{n}"
        );
    }
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", &*text);
    let policy = check(&mut sources, id, "t", &mut Texts::default())
        .policy
        .unwrap();
    let Ok(analysis) = place(&policy, Structure::Chosen, Conditions::All) else {
        panic!("not analysed")
    };
    let why = analysis.refused.unwrap();
    let message = &why.message;
    assert!(
        message.starts_with("100 rules are for ranges of addresses that make more than"),
        "{message}"
    );
    let first = policy.rules.values().nth(1).unwrap();
    assert_eq!(why.primary.span, first.place.span);
}

#[test]
fn check_says_what_compile_says_of_the_size() {
    let mut text = String::from("default in drop\n");
    for n in 0..300u32 {
        let _ = writeln!(
            text,
            "allow tcp from 10.{}.{}.{} to 10.{}.1.{}:{} if tcp flags syn no ack log max 5/second",
            n % 251,
            n % 13,
            n % 240,
            n % 7,
            n % 199,
            n * 97 % 60_000
        );
    }
    let outcome = compiled(&text);
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", &*text);
    let checked = check_size(&mut sources, id, "t", &mut Texts::default());
    let of_size = |outcome: &Compilation| {
        let mut found = outcome
            .diagnostics
            .iter()
            .filter(|one| one.code.0 == "E0401");
        found.next().map(|one| one.primary.clone())
    };
    assert_eq!(of_size(&outcome), of_size(&checked));
    assert!(of_size(&checked).is_some());
}

/// A rule that is in no table stands ahead of them.
#[test]
fn rates_that_may_not_be_reached_are_the_reason() {
    let mut text = String::from("default in drop\nallow tcp to port 80 mark 7\nallow udp\n");
    for n in 0..100 {
        let _ = writeln!(text, "allow tcp from 10.0.0.{n} up to 5 packets/second");
    }
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", &*text);
    let checked = check(&mut sources, id, "t", &mut Texts::default());
    let policy = checked.policy.unwrap();
    let analysis = place(&policy, Structure::Chosen, Conditions::All);
    let said = analysis.ok().unwrap().refused.unwrap().message;
    let told = "100 rules with rates are not told apart from a rule ahead";
    assert!(said.starts_with(told), "{said}");
}

/// Whether tables hold the others or these alone make a direction: why they are in a tree is known.
#[test]
fn conditions_that_find_no_class_are_the_reason() {
    for (others, left) in [(10, 38), (0, 37)] {
        let mut text = String::from("default in drop\n");
        for n in 0..others {
            let _ = writeln!(text, "allow tcp from 10.1.0.{n}");
        }
        for n in 0..100 {
            let _ = writeln!(text, "allow tcp from 10.0.0.{n} if ttl = {n}");
        }
        let mut sources = SourceMap::default();
        let id = sources.add("t.sk", &*text);
        let checked = check(&mut sources, id, "t", &mut Texts::default());
        let policy = checked.policy.unwrap();
        let analysis = place(&policy, Structure::Chosen, Conditions::All);
        let analysis = analysis.ok().unwrap();
        assert_eq!(analysis.bulk.is_some(), others > 0);
        let said = analysis.refused.unwrap().message;
        let told = format!("the conditions of {left} rules");
        assert!(said.contains(&told), "{said}");
    }
}

/// What no tables hold is named by what keeps it out of them, in whatever list it stands, and tables of others are not denied.
#[test]
fn rules_that_no_tables_hold_are_named_where_a_policy_is_too_large() {
    for (list, others) in [("", 0), ("", 100), ("out ", 100)] {
        let mut text = String::from("default in drop\ndefault out drop\n");
        for n in 0..others {
            let _ = writeln!(text, "allow {list}tcp from 10.1.0.{n} to 10.3.{n}.1:{n}");
        }
        for n in 0..1500u32 {
            let rule = format!(
                "{list}tcp from 10.{}.{}.{} to 10.{}.1.{}:{} if tcp flags syn no ack",
                n % 251,
                n % 13,
                n % 240,
                n % 7,
                n % 199,
                n * 97 % 60_000
            );
            let _ = match n % 5 {
                0 => writeln!(text, "allow {rule} log max 5/second"),
                _ => writeln!(text, "count {rule}"),
            };
        }
        let mut sources = SourceMap::default();
        let id = sources.add("t.sk", &*text);
        let target = Target::baseline();
        let outcome = compile(&mut sources, id, "t", &target, &mut Texts::default());
        let found: Vec<_> = outcome.diagnostics.iter().collect();
        let labels = found.iter().flat_map(|one| &one.secondary);
        let told: Vec<&str> = labels.map(|label| label.text.as_str()).collect();
        let these = if others > 0 { " for these" } else { "" };
        let wanted = format!(
            "tables were not possible{these}: 1500 rules are in no tables (1200 with `count`, 300 with `log`)"
        );
        assert!(told.contains(&wanted.as_str()), "{wanted}: {found:#?}");
    }
}
