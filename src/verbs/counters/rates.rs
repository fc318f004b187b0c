//! What was counted between two looks at the counters, and how much that is a second.
//!
//! Takes counters as the runtime gives them; tells which of one look is which of the other. Not here: when somebody looks, and how that
//! is shown.

use std::collections::HashMap;
use std::time::Instant;

use sockc_compiler::artifact::CounterKind;
use sockc_runtime::CounterValue;

/// What tells counters apart from one look to the next: an apply may move them. Those that nothing else tells apart are counted, in
/// their order.
type Key = (Counted, u64);

/// What is counted, wherever it stands.
type Counted = (
    Option<String>,
    CounterKind,
    String,
    Option<String>,
    String,
    String,
);

/// The heading of what is shown of each counter.
pub(crate) const COLUMNS: [&str; 6] = [
    "packets/s",
    "bytes/s",
    "packets",
    "bytes",
    "direction",
    "rule",
];

/// What was seen at a look: all counters, in their order.
pub(crate) struct Look {
    at: Instant,
    values: Vec<(Key, CounterValue)>,
}

/// A counter, and what it counted since the look before.
pub(crate) struct Rated<'a> {
    pub(crate) value: &'a CounterValue,
    /// Packets and bytes since then; `None` where it was not there.
    pub(crate) more: Option<[u64; 2]>,
    seconds: f64,
}

impl Look {
    pub(crate) fn new(at: Instant, values: Vec<CounterValue>) -> Self {
        Self {
            at,
            values: keyed(values),
        }
    }

    /// Whether no policy was in force.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What was counted since the look before, where there was one; in the order of the rules.
    pub(crate) fn since(&self, before: Option<&Self>) -> Vec<Rated<'_>> {
        let earlier: HashMap<&Key, &CounterValue> = before
            .iter()
            .flat_map(|before| &before.values)
            .map(|(key, value)| (key, value))
            .collect();
        let seconds = before.map_or(0.0, |before| (self.at - before.at).as_secs_f64());
        let rated = self.values.iter().map(|(key, value)| {
            let more = earlier.get(key).map(|earlier| {
                [
                    value.packets.saturating_sub(earlier.packets),
                    value.bytes.saturating_sub(earlier.bytes),
                ]
            });
            Rated {
                value,
                more,
                seconds,
            }
        });
        rated.collect()
    }
}

impl Rated<'_> {
    /// Packets and bytes a second.
    pub(crate) fn a_second(&self) -> Option<[f64; 2]> {
        let more = self.more.filter(|_| self.seconds > 0.0)?;
        Some(more.map(|more| more as f64 / self.seconds))
    }
}

/// A rate in words.
pub(crate) fn words(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))
}

/// Counters with their keys.
fn keyed(values: Vec<CounterValue>) -> Vec<(Key, CounterValue)> {
    let mut copies: HashMap<Counted, u64> = HashMap::new();
    let keyed = values.into_iter().map(|value| {
        let counted = counted(&value);
        let copy = copies.entry(counted.clone()).or_default();
        *copy += 1;
        ((counted, *copy), value)
    });
    keyed.collect()
}

fn counted(value: &CounterValue) -> Counted {
    let counter = &value.counter;
    let text = match counter.label {
        Some(_) => String::new(),
        None => counter.location.text.to_string(),
    };
    (
        value.netns.clone(),
        counter.kind,
        counter.direction.clone(),
        counter.label.clone(),
        text,
        counter.verdict.clone(),
    )
}
