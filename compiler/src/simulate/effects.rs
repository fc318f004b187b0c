//! What the programs left in the maps after one event: counters, records of logs, tokens taken.

use std::collections::BTreeMap;

use super::Run;
use super::filling::{NEVER, bucket};
use super::kernel::NOW;
use crate::event::{Event, Header};
use crate::policy::RuleId;

/// What one event left in the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Packets (or lookups, or writes) and bytes, by slot of the map `counters`; nothing of slots that count nothing.
    pub counted: BTreeMap<u32, (u64, u64)>,
    /// The records of logs, in order.
    pub records: Vec<Vec<u8>>,
    /// The rules whose rate lost tokens, and how far that moved the bucket, in sixteenths of a nanosecond.
    pub taken: BTreeMap<RuleId, u64>,
}

impl Run<'_> {
    /// Reads them from maps that were fresh and filled for the event.
    pub(super) fn effects(&mut self, event: &Event) -> Effects {
        let header = event.header();
        let log = self.maps.named("log");
        Effects {
            counted: self.counted(),
            records: log.map_or_else(Vec::new, |log| self.maps.take_records(log)),
            taken: header.map_or_else(BTreeMap::new, |header| self.taken(header)),
        }
    }

    fn counted(&self) -> BTreeMap<u32, (u64, u64)> {
        let slots = (0u32..).zip(&self.artifact.manifest.counters);
        let values = slots.filter_map(|(slot, _)| {
            let [packets, bytes] = self.maps.counted(slot)?;
            Some((slot, (packets, bytes)))
        });
        values.filter(|(_, value)| *value != (0, 0)).collect()
    }

    fn taken(&self, header: &Header) -> BTreeMap<RuleId, u64> {
        let rules = self.policy.rules.keys();
        rules
            .filter_map(|rule| {
                let (map, key) = bucket(self.policy, rule, header)?;
                let value = self.maps.get(self.maps.named(map)?, &key)?;
                let full = u64::from_ne_bytes(value.try_into().ok()?);
                let moved = full != 0 && full != NEVER;
                moved.then(|| (rule, full.wrapping_sub(NOW << 4)))
            })
            .collect()
    }
}
