//! Which questions of bulk rules are asked with the first match.
//!
//! Code remembers the first match of each question beside the first that asks nothing, so there are few
//! ([`MAX_QUESTIONS`]): those of most rules. A rule with another one stays in the tree. Takes the rules that could be bulk; gives
//! those that are, and the others. Not here: what a question is (`classifier`).

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::classifier::{MAX_QUESTIONS, asks, is_short, question};
use crate::policy::{Match, Policy, RuleId};

/// So many questions are looked at for whether they are small enough.
const MOST_LOOKS: usize = 256;

/// The rules that ask nothing or one of the most frequent questions, and those that are left over.
pub(super) fn most_asked(policy: &Policy, bulk: Vec<RuleId>) -> (Vec<RuleId>, Vec<RuleId>) {
    if !bulk.iter().any(|id| asks(&policy.rules[*id].matches)) {
        return (bulk, Vec::new());
    }
    let questions = bulk.iter().map(|id| question(&policy.rules[*id].matches));
    let questions: Vec<Option<Match>> = questions.collect();
    let mut often: HashMap<&Match, (usize, usize)> = HashMap::new();
    for (place, question) in questions.iter().enumerate() {
        if let Some(question) = question {
            often.entry(question).or_insert((0, place)).0 += 1;
        }
    }
    let mut most: Vec<_> = often.into_iter().collect();
    most.sort_unstable_by_key(|&(_, (count, first))| (Reverse(count), first));
    // Each look takes a diagram.
    let most = most.into_iter().take(MOST_LOOKS);
    let most = most.map(|(question, _)| question);
    let most = most.filter(|one| is_short(one)).take(MAX_QUESTIONS);
    let most: HashSet<&Match> = most.collect();
    let asked = bulk.into_iter().zip(&questions);
    let (taken, left): (Vec<_>, Vec<_>) =
        asked.partition(|(_, question)| question.as_ref().is_none_or(|one| most.contains(one)));
    let ids = |list: Vec<(RuleId, _)>| list.into_iter().map(|(id, _)| id).collect();
    (ids(taken), ids(left))
}
