//! What statements without a label counted that no policy has any more: a number for each kind, direction and verdict.
//!
//! A statement without a label is known by its text. Where an apply takes one away, or changes it, what it counted has no heir.
//! It stands in these numbers from then on, so that the sum of all statements of a kind never falls. What a rule with a label
//! counted goes with it: nobody sums over those. Takes the counters of both policies with who inherits; gives numbers. Not here:
//! the map that keeps them ([`super::totals`]).

use sockc_compiler::artifact::{Counter, CounterKind};
use sockc_compiler::direction::Direction;

use super::totals::Total;

/// The kinds, in the order in which they are kept; new ones come last.
const KINDS: [CounterKind; 10] = [
    CounterKind::Rule,
    CounterKind::Default,
    CounterKind::Malformed,
    CounterKind::Escaped,
    CounterKind::Refused,
    CounterKind::Back,
    CounterKind::ByTcp,
    CounterKind::Absent,
    CounterKind::Withheld,
    CounterKind::Lost,
];
/// The verdicts, in the order in which they are kept; new ones come last. One that is not here stands in the place after them.
const VERDICTS: [&str; 7] = [
    "allow", "drop", "reject", "count", "redirect", "shortcut", "splice",
];
/// How many places verdicts have.
const VERDICT_PLACES: usize = 8;
/// How many directions have room.
const DIRECTIONS: usize = 8;

/// How many numbers there are.
pub(super) const COUNT: u32 = (KINDS.len() * DIRECTIONS * VERDICT_PLACES * 2) as u32;

/// What a number is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// The namespace of the `for netns` block; `None` for the policy itself.
    pub netns: Option<String>,
    /// What kind of counters they were.
    pub kind: CounterKind,
    /// Their direction.
    pub direction: String,
    /// Their verdict.
    pub verdict: String,
    /// Whether they only counted and logged.
    pub audit: bool,
    /// Packets, lookups or writes.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gone(Vec<Total>);

impl Default for Gone {
    fn default() -> Self {
        Self(vec![Total::default(); COUNT as usize])
    }
}

impl Gone {
    pub(super) fn totals(&self) -> &[Total] {
        &self.0
    }

    pub(super) fn totals_mut(&mut self) -> &mut [Total] {
        &mut self.0
    }

    /// Takes in what old counters without a label counted that no new one inherits from.
    pub(super) fn take_in(&mut self, old: &[Counter], totals: &[Total], heirs: &[Option<usize>]) {
        let mut inherited = vec![false; old.len()];
        for from in heirs.iter().flatten() {
            if let Some(inherited) = inherited.get_mut(*from) {
                *inherited = true;
            }
        }
        for ((counter, total), inherited) in old.iter().zip(totals).zip(inherited) {
            if !inherited && counter.label.is_none() {
                let gone = place(counter).and_then(|place| self.0.get_mut(place));
                gone.into_iter().for_each(|gone| gone.add(*total));
            }
        }
    }

    /// Those that are not nothing.
    pub(crate) fn departed(&self) -> Vec<Departed> {
        let totals = self.0.iter().enumerate();
        let some = totals.filter(|(_, total)| **total != Total::default());
        some.filter_map(|(place, total)| of(place, *total))
            .collect()
    }
}

/// Where a counter's number stands.
fn place(counter: &Counter) -> Option<usize> {
    let kind = KINDS.iter().position(|kind| *kind == counter.kind)?;
    let mut directions = Direction::ALL.iter();
    let direction = directions.position(|one| one.word() == counter.direction)?;
    let verdict = VERDICTS.iter().position(|word| *word == counter.verdict);
    let verdict = verdict.unwrap_or(VERDICTS.len());
    let place = (kind * DIRECTIONS + direction) * VERDICT_PLACES + verdict;
    Some(place * 2 + usize::from(counter.audit))
}

/// What stands at a place.
fn of(place: usize, total: Total) -> Option<Departed> {
    let verdict = place / 2 % VERDICT_PLACES;
    let direction = place / 2 / VERDICT_PLACES % DIRECTIONS;
    let kind = place / 2 / VERDICT_PLACES / DIRECTIONS;
    Some(Departed {
        netns: None,
        kind: *KINDS.get(kind)?,
        direction: Direction::ALL.get(direction)?.word().to_owned(),
        verdict: (*VERDICTS.get(verdict).unwrap_or(&"other")).to_owned(),
        audit: place % 2 == 1,
        packets: total.packets,
        bytes: total.bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::super::heirs::heirs;
    use super::*;
    use sockc_compiler::location::Location;
    use sockc_compiler::policy::Verb;

    fn counter(kind: CounterKind, direction: &str, verdict: &str, audit: bool) -> Counter {
        Counter {
            kind,
            label: None,
            location: Location::new("a.sk", 1, "x"),
            direction: direction.to_owned(),
            verdict: verdict.to_owned(),
            audit,
            log: None,
            counted: true,
        }
    }

    #[test]
    fn every_kind_direction_and_verdict_has_a_place_of_its_own() {
        let mut places = Vec::new();
        for kind in KINDS {
            for direction in Direction::ALL {
                for verdict in VERDICTS.iter().chain(&["other"]) {
                    for audit in [false, true] {
                        let counter = counter(kind, direction.word(), verdict, audit);
                        let place = place(&counter).unwrap();
                        let found = of(place, Total::default()).unwrap();
                        assert_eq!((found.kind, found.audit), (kind, audit));
                        assert_eq!(found.direction, direction.word());
                        assert_eq!(found.verdict, *verdict);
                        places.push(place);
                    }
                }
            }
        }
        let count = places.len();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), count);
        assert!(places.iter().all(|place| *place < COUNT as usize));
        for verb in [Verb::Allow, Verb::Drop, Verb::Reject, Verb::Count] {
            assert!(VERDICTS.contains(&verb.word()));
        }
        for verb in [Verb::Redirect, Verb::Shortcut] {
            assert!(VERDICTS.contains(&verb.word()));
        }
    }

    #[test]
    fn what_has_no_heir_and_no_label_is_kept() {
        let named = |label: Option<&str>, text: &str| Counter {
            label: label.map(str::to_owned),
            location: Location::new("a.sk", 1, text),
            ..counter(CounterKind::Rule, "in", "drop", false)
        };
        let old = [
            named(None, "x"),
            named(None, "y"),
            named(Some("a"), "z"),
            named(None, "x"),
        ];
        let new = [named(None, "x"), named(None, "z")];
        let totals = [1, 2, 4, 8].map(|packets| Total {
            packets,
            bytes: packets * 10,
        });
        let mut gone = Gone::default();
        gone.take_in(&old, &totals, &heirs(&old, &new));
        let [found] = gone.departed().try_into().unwrap();
        assert_eq!((found.packets, found.bytes), (2 + 8, 100));
        assert_eq!((&*found.direction, &*found.verdict), ("in", "drop"));
    }
}
