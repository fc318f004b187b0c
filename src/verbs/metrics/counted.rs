//! What statements counted, as numbers that a program keeps: each has the same labels as long as it goes on.
//!
//! A rule with a label is known by it, one without by its text; as `apply` carries totals over by the same, no number here falls
//! because of an edit. Those that do not count stand still: that nothing is counted any more takes nothing away. A line would tell another rule after the next edit, so that is told apart ([`catalog::RULE`]). Not here:
//! what `sockc counters` shows, which may be reset.

use std::collections::BTreeMap;

use sockc_compiler::artifact::{Counter, CounterKind, Manifest};
use sockc_runtime::{CounterValue, Counts, Departed};

use super::catalog;
use super::family::{Family, Labels, Metrics};
use super::gather::Which;
use crate::machine::counted::is_left_out;

/// Tells all of them, of namespaces that are not read by themselves.
pub(super) fn tell(
    counts: &Counts,
    which: Which,
    netns: &str,
    known: &[&str],
    metrics: &mut Metrics,
) {
    let is_known = |block: &Option<String>| {
        let block = block.as_deref();
        block.is_some_and(|block| known.contains(&block))
    };
    let mut copies = BTreeMap::new();
    for value in &counts.values {
        if !is_known(&value.netns) {
            let place = Place::of(value.netns.as_deref().unwrap_or(netns));
            place.value(value, which, &mut copies, metrics);
        }
    }
    for departed in &counts.departed {
        if !is_known(&departed.netns) {
            let place = Place::of(departed.netns.as_deref().unwrap_or(netns));
            place.departed(departed, metrics);
        }
    }
}

/// How many rules there are, and whether they count.
pub(super) fn rules(manifest: &Manifest) -> (u64, bool) {
    let counters = manifest.counters.iter();
    let rules = counters.filter(|one| one.kind == CounterKind::Rule).count();
    let counting = !manifest.counters.iter().any(is_left_out);
    (u64::try_from(rules).unwrap_or(u64::MAX), counting)
}

/// How many statements there were of the same direction, text and verdict, of each.
type Copies<'a> = BTreeMap<(&'a str, &'a str, &'a str, &'a str), u64>;

/// What is counted at a place of a kind: of a rule, or of all that have no label.
struct Deed<'a> {
    kind: CounterKind,
    direction: &'a str,
    verdict: &'a str,
    audit: bool,
    packets: u64,
    bytes: u64,
}

/// A namespace, by its label.
struct Place<'a> {
    netns: &'a str,
}

impl<'a> Place<'a> {
    fn of(netns: &'a str) -> Self {
        Self { netns }
    }

    /// Labels of what is counted of a kind.
    fn labels(&self, deed: &Deed<'_>) -> Labels {
        let mut labels = vec![
            ("netns", self.netns.to_owned()),
            ("direction", deed.direction.to_owned()),
            ("verdict", deed.verdict.to_owned()),
        ];
        if deed.kind == CounterKind::Rule {
            labels.push(("audit", deed.audit.to_string()));
        }
        labels
    }

    fn value<'b>(
        &self,
        value: &'b CounterValue,
        which: Which,
        copies: &mut Copies<'b>,
        metrics: &mut Metrics,
    ) where
        'a: 'b,
    {
        let counter = &value.counter;
        let deed = Deed {
            kind: counter.kind,
            direction: &counter.direction,
            verdict: &counter.verdict,
            audit: counter.audit,
            packets: value.packets,
            bytes: value.bytes,
        };
        if let Some(label) = &counter.label {
            let mut labels = self.labels(&deed);
            labels.push(("rule", label.clone()));
            if counter.kind == CounterKind::Rule {
                self.stands(counter, &labels, metrics);
            }
            return count(&deed, labels, Whose::Rule, metrics);
        }
        if which == Which::All && counter.kind == CounterKind::Rule {
            let text = &*counter.location.text;
            let mut labels = self.labels(&deed);
            labels.push(("rule", text.to_owned()));
            let netns = value.netns.as_deref().unwrap_or_default();
            let same = (netns, &*counter.direction, text, &*counter.verdict);
            let copy = copies.entry(same).or_default();
            *copy += 1;
            if *copy > 1 {
                labels.push(("copy", copy.to_string()));
            }
            count(&deed, labels, Whose::Rule, metrics);
        }
        count(&deed, self.labels(&deed), Whose::Others, metrics);
    }

    fn departed(&self, departed: &Departed, metrics: &mut Metrics) {
        let deed = Deed {
            kind: departed.kind,
            direction: &departed.direction,
            verdict: &departed.verdict,
            audit: departed.audit,
            packets: departed.packets,
            bytes: departed.bytes,
        };
        count(&deed, self.labels(&deed), Whose::Others, metrics);
    }

    /// Where a rule with a label stands.
    fn stands(&self, counter: &Counter, labels: &Labels, metrics: &mut Metrics) {
        let mut labels = labels.clone();
        labels.push(("file", counter.location.file.to_string()));
        labels.push(("line", counter.location.line.to_string()));
        metrics.add(&catalog::RULE, labels, 1);
    }
}

/// Whose number it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// That of a rule.
    Rule,
    /// That of all without a label.
    Others,
}

fn count(deed: &Deed<'_>, mut labels: Labels, whose: Whose, metrics: &mut Metrics) {
    let (packets, bytes): (&'static Family, Option<&'static Family>) = match deed.kind {
        CounterKind::Rule if whose == Whose::Rule => {
            (&catalog::RULE_PACKETS, Some(&catalog::RULE_BYTES))
        }
        CounterKind::Rule => (&catalog::OTHER_PACKETS, Some(&catalog::OTHER_BYTES)),
        CounterKind::Default => (&catalog::DEFAULT_PACKETS, Some(&catalog::DEFAULT_BYTES)),
        CounterKind::Malformed => (&catalog::MALFORMED, None),
        CounterKind::Escaped => (&catalog::ESCAPED, None),
        CounterKind::Refused => (&catalog::REFUSED, None),
        CounterKind::Withheld => (&catalog::WITHHELD, None),
        CounterKind::Lost => {
            labels.retain(|(name, _)| *name != "verdict");
            (&catalog::LOST, None)
        }
        CounterKind::Back => return metrics.add(&catalog::BACK, labels, deed.bytes),
        CounterKind::ByTcp => {
            labels.push(("reason", "by-tcp".to_owned()));
            (&catalog::MISSED, None)
        }
        CounterKind::Absent => {
            labels.push(("reason", "absent".to_owned()));
            (&catalog::MISSED, None)
        }
    };
    // Calls send nothing.
    if let Some(bytes) = bytes.filter(|_| deed.direction != "connect") {
        metrics.add(bytes, labels.clone(), deed.bytes);
    }
    metrics.add(packets, labels, deed.packets);
}
