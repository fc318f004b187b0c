//! The lints of long lists: what the index finds, and what is said where the budget ends.

use crate::lint::Care;
use sockc_grammar::diagnostic::Code;
use sockc_grammar::source::SourceId;

use super::{reported, resolved};
use crate::lint::list::{List, is_of};
use crate::lint::sample::Sample;
use crate::lint::{CUT_SHORT, NO_EFFECT, UNREACHABLE};
use crate::policy::{Direction, Policy, RuleId};
use crate::testing::{Options, random_policy};

#[test]
fn the_index_finds_the_rules_that_looking_at_each_would() {
    let mut found = 0;
    for seed in 0..40 {
        let policy = resolved(&random_policy(seed, Options::everything(60)));
        for direction in [Direction::In, Direction::Out] {
            let list = List::new(&policy, direction, Care::Thorough);
            for own in &list.rules {
                let own = [*own];
                for sample in (0..4).filter_map(|variant| Sample::of(&policy, &own, variant)) {
                    let mut indexed = Vec::new();
                    let looked = list.deciders(&sample, None, 0..u32::MAX, |id| {
                        indexed.push(id);
                        true
                    });
                    looked.unwrap();
                    indexed.sort_unstable();
                    let each = list.rules.iter().filter(|(id, rule)| {
                        rule.action.decides() && is_of(&sample.seen(), *id, rule)
                    });
                    let each: Vec<RuleId> = each.map(|(id, _)| *id).collect();
                    assert_eq!(indexed, each);
                    found += each.len();
                }
            }
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn thousands_of_rules_are_told_apart_without_a_word_of_the_budget() {
    let mut text = String::from("default in drop\ninclude <essentials>\n");
    for number in 0..3000 {
        let (high, low) = (number / 250, number % 250);
        text += &format!("allow tcp from 10.{high}.{low}.0/24 to 192.0.2.{low}:{number}\n");
        text += &format!("drop tcp from 10.{high}.0.0/16 to 192.0.2.{low}\n");
    }
    text += "last: allow tcp from 10.3.7.9 to 192.0.2.7:5\n";
    let policy = resolved(&text);
    let (last, _) = policy.rules.last().unwrap();
    assert_eq!(reported(&policy, UNREACHABLE), [last]);
    assert!(
        reported_codes(&policy)
            .iter()
            .all(|code| *code != CUT_SHORT)
    );
}

#[test]
fn without_looks_nothing_is_told_and_that_is_known() {
    let policy =
        resolved("default in drop\nallow tcp from 10.0.0.0/8\nallow tcp from 10.1.0.0/16\n");
    let list = List::new(&policy, Direction::In, Care::Thorough);
    let own = [list.rules[1]];
    let sample = Sample::of(&policy, &own, 0).unwrap();
    let first = |list: &List<'_>| list.first_decider(&sample, 0..u32::MAX, |_| true);
    assert_eq!(first(&list).unwrap(), Some(list.rules[0].0));
    assert!(!list.is_exhausted());
    assert!(list.look(u64::MAX).is_err());
    assert!(first(&list).is_err() && list.is_exhausted());
}

/// The search may end anywhere: what it has not seen it does not tell.
#[test]
fn wherever_the_looks_end_nothing_false_is_told() {
    let policy = resolved(
        "default in allow\ndrop tcp to any:0-2\ndrop tcp to any:4-9\nreject tcp to any:0-9\n",
    );
    for left in 1..200 {
        let mut list = List::new(&policy, Direction::In, Care::Thorough);
        list.look(Care::Thorough.looks() - left).unwrap();
        let mut found = Vec::new();
        let unreachable = crate::lint::reach::check(&mut list, SourceId(0), &mut found);
        assert!(unreachable.is_empty() && found.is_empty(), "{left}");
    }
}

/// A policy that is compiled is warned of no more than is shown, by the first of what `check` finds.
#[test]
fn where_a_policy_is_compiled_enough_is_enough() {
    let covered: Vec<String> = (0..50)
        .map(|number| format!("allow tcp from 10.{number}.0.0/16 to any:{number}\n"))
        .collect();
    let idle: Vec<String> = (0..50)
        .map(|number| format!("drop udp to any:{}\n", 2 * number))
        .collect();
    let [covered, idle] = [covered, idle].map(|rules| rules.concat());
    let covered = format!("default in drop\nallow tcp from 10.0.0.0/8\n{covered}");
    let idle = format!("default in drop\n{idle}");
    for (text, code) in [(covered, UNREACHABLE), (idle, NO_EFFECT)] {
        let policy = resolved(&text);
        let of = |care, code: Code| -> Vec<_> {
            let found = super::lint(&policy, SourceId(0), care).into_iter();
            found.filter(|one| one.code == code).collect()
        };
        let (all, some) = (of(Care::Thorough, code), of(Care::Quick, code));
        assert_eq!((all.len(), some.len()), (50, 20));
        assert_eq!(some, all[..20]);
        assert!(of(Care::Thorough, CUT_SHORT).is_empty());
        let cut = of(Care::Quick, CUT_SHORT);
        assert_eq!(cut.len(), 1);
        assert!(cut[0].help.as_ref().unwrap().contains("`sockc check`"));
    }
}

fn reported_codes(policy: &Policy) -> Vec<Code> {
    let own = SourceId(0);
    let found = super::lint(policy, own, Care::Thorough);
    found.into_iter().map(|one| one.code).collect()
}
