//! Which rules of a chain at an interface drop frames that are not IP.
//!
//! Takes a chain; says whether a rule of it drops those of ARP. bpfilter reads no header of such a frame, so that what asks for one is about none,
//! and takes its protocols for 0, whatever they are. Not here: what a rule is about otherwise.

use sockc_compiler::policy::Family;

use super::chain::Scope;
use super::making::Carried;
use super::matchers::{self, Field, Op};
use super::read::Part;
use super::rule;
use super::scan::Token;
use super::values::values;
use crate::verbs::import::goal::Goal;
use crate::verbs::import::list::List;

/// Whether a rule drops such frames. What is left out of the policy is told by itself.
pub(super) fn are_dropped(one: &Carried<'_>) -> bool {
    one.chain.rules.iter().any(|rule| drops(one, rule))
}

fn drops(one: &Carried<'_>, rule: &Part<'_>) -> bool {
    let is_drop = rule.words.last().is_some_and(|word| word.text == "DROP");
    let of = (Family::V4, one.chain.hook.list.unwrap_or(List::In));
    let read = rule::read(&rule.words, &one.known, &Goal::Accept, of);
    let mut words = rule.words.iter().enumerate();
    let takes = |(at, word): (usize, &Token<'_>)| {
        let behind = rule.words.get(at + 1..).unwrap_or_default();
        let field = matchers::named(word.text).map(|one| one.field);
        !word.text.starts_with('(') && field.is_none_or(|field| takes(one, field, behind))
    };
    is_drop && read.unread.is_none() && words.all(takes)
}

/// Whether such a frame has what a matcher with these words behind it asks.
fn takes(one: &Carried<'_>, field: Field, behind: &[Token<'_>]) -> bool {
    let negated = behind.first().is_some_and(|word| word.text == "not");
    let mut values_of = behind
        .iter()
        .filter(|word| !matches!(word.text, "not" | "eq"));
    let Some(value) = values_of.next().map(|word| word.text) else {
        return false;
    };
    let is_none = || values(field, Op::Eq, value).is_ok_and(|held| held.contains(0));
    let has = match (field, &one.scope) {
        (Field::Interface, Scope::Interface(own)) => one.known.interface(value).as_ref() == Ok(own),
        (Field::Ethertype | Field::Transport, _) => is_none(),
        (Field::Mark, _) => return true,
        _ => return false,
    };
    has != negated
}
