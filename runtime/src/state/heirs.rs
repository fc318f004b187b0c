//! Which counter of a policy goes on where one of the policy before it stopped.
//!
//! Takes the counters of both, in order; gives for each new one the old one that it inherits from, each old one once. A list of
//! 100,000 is asked in one walk over each. Not here: what was counted.

use std::collections::HashMap;

use sockc_compiler::artifact::{Counter, CounterKind};

/// So few counters that changed are compared with each that did not.
const FEW: usize = 8;

/// What two counters have in common of which one inherits from the other. A label is the rule's identity; without one its
/// meaning is, which its text stands for.
#[derive(PartialEq, Eq, Hash)]
struct Identity<'a> {
    kind: CounterKind,
    direction: &'a str,
    label: Option<&'a str>,
    text: Option<&'a str>,
    verdict: Option<&'a str>,
}

impl<'a> Identity<'a> {
    fn of(counter: &'a Counter) -> Self {
        let unnamed = counter.label.is_none();
        // What becomes of sockets that could not be taken in is not what they are.
        let by_verdict = unnamed && counter.kind != CounterKind::Escaped;
        Self {
            kind: counter.kind,
            direction: &counter.direction,
            label: counter.label.as_deref(),
            text: unnamed.then_some(&*counter.location.text),
            verdict: by_verdict.then_some(counter.verdict.as_str()),
        }
    }
}

/// The old counters that are still to be inherited from: by identity the first, and after each the next of the same.
struct Left<'a> {
    first: HashMap<Identity<'a>, Option<usize>>,
    next: Vec<Option<usize>>,
}

impl<'a> Left<'a> {
    /// All but the first `taken` ones.
    fn of(old: &'a [Counter], taken: usize) -> Self {
        let mut left = Self {
            first: HashMap::with_capacity(old.len() - taken),
            next: vec![None; old.len()],
        };
        for (index, counter) in old.iter().enumerate().skip(taken).rev() {
            let later = left.first.insert(Identity::of(counter), Some(index));
            if let Some(next) = left.next.get_mut(index) {
                *next = later.flatten();
            }
        }
        left
    }

    /// The first of an identity, which is not left then.
    fn take(&mut self, identity: &Identity<'a>) -> Option<usize> {
        let first = self.first.get_mut(identity)?;
        let taken = (*first)?;
        *first = self.next.get(taken).copied().flatten();
        Some(taken)
    }
}

/// The old counter, by its place, whose total each new one inherits. Each old total goes to at most one new counter.
pub(crate) fn heirs(old: &[Counter], new: &[Counter]) -> Vec<Option<usize>> {
    // Most policies change little: what stands at the beginning of both needs no search. The first of several that are the
    // same inherits first, so this is what a search would find.
    let same = alike(old.iter().zip(new));
    let ends = same_ends(&old[same..], &new[same..]);
    let searched = old.len() - ends;
    let mut left = Left::of(&old[..searched], same);
    let rest = new[..new.len() - ends].iter().skip(same);
    let found = rest.map(|counter| left.take(&Identity::of(counter)));
    let last = (searched..old.len()).map(Some);
    (0..same).map(Some).chain(found).chain(last).collect()
}

/// How many pairs in a row are of one identity.
fn alike<'a>(pairs: impl Iterator<Item = (&'a Counter, &'a Counter)>) -> usize {
    let pairs = pairs.take_while(|(old, new)| Identity::of(old) == Identity::of(new));
    pairs.count()
}

/// How many at the end of both inherit in order: they are the same, and no counter ahead of them is the same as one of them, which
/// would inherit first.
fn same_ends(old: &[Counter], new: &[Counter]) -> usize {
    let ends = alike(old.iter().rev().zip(new.iter().rev()));
    let ahead = |all: &'_ [Counter]| all.len() - ends;
    if ahead(old) + ahead(new) > FEW {
        return 0;
    }
    let (old_ahead, last) = old.split_at(ahead(old));
    let between = old_ahead.iter().chain(&new[..ahead(new)]);
    let between: Vec<_> = between.map(Identity::of).collect();
    let is_between = |counter| between.contains(&Identity::of(counter));
    match last.iter().any(is_between) {
        true => 0,
        false => ends,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_compiler::location::Location;

    /// The same by looking at each: the meaning.
    fn searched(old: &[Counter], new: &[Counter]) -> Vec<Option<usize>> {
        let mut taken = vec![false; old.len()];
        let inherits = |new: &Counter, old: &Counter| {
            let same = new.verdict == old.verdict || new.kind == CounterKind::Escaped;
            (new.kind, &new.label, &new.direction) == (old.kind, &old.label, &old.direction)
                && (new.label.is_some() || (same && new.location.text == old.location.text))
        };
        new.iter()
            .map(|counter| {
                let mut all = old.iter().enumerate();
                let (index, _) =
                    all.find(|(index, other)| !taken[*index] && inherits(counter, other))?;
                taken[index] = true;
                Some(index)
            })
            .collect()
    }

    /// Counters of few identities, so that many are the same; with more `texts`, fewer are.
    fn drawn(seed: &mut u64, count: usize, texts: u64) -> Vec<Counter> {
        let mut draw = |bound: u64| {
            *seed ^= *seed << 13;
            *seed ^= *seed >> 7;
            *seed ^= *seed << 17;
            *seed % bound
        };
        let kinds = [
            CounterKind::Rule,
            CounterKind::Default,
            CounterKind::Escaped,
        ];
        (0..count)
            .map(|_| Counter {
                kind: kinds[usize::try_from(draw(3)).unwrap()],
                label: (draw(3) == 0).then(|| draw(2).to_string()),
                location: Location::new("a.sk", 1, draw(texts).to_string()),
                direction: ["in", "out"][usize::from(draw(4) == 0)].to_owned(),
                verdict: ["drop", "allow"][usize::from(draw(4) == 0)].to_owned(),
                audit: false,
                log: None,
                counted: true,
            })
            .collect()
    }

    #[test]
    fn the_walk_finds_what_looking_at_each_would() {
        let mut seed = 0x9e37_79b9_7f4a_7c15;
        for round in 0..200 {
            let texts = [3, 1000][usize::from(round % 4 == 0)];
            let old = drawn(&mut seed, round % 40, texts);
            let mut new = drawn(&mut seed, round % 7, texts);
            // Of some, most stayed as it was.
            if round % 2 == 0 {
                let at = old.len() / 2;
                let changed = std::mem::take(&mut new);
                new = [
                    &old[..at],
                    &changed,
                    &old[at + usize::from(at < old.len())..],
                ]
                .concat();
            }
            assert_eq!(heirs(&old, &new), searched(&old, &new), "{old:?} {new:?}");
        }
    }
}
