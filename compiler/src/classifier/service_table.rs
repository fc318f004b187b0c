//! The table of services, and what of a box a record holds itself.
//!
//! A record names an entry of the table: bounds of both ports, and the classes that do not match. Where the lists of a stratum speak
//! of very many different ports the table would be as large as the lists, and each look into it one more load that waits for
//! the record. So there the records hold the bounds themselves, and name an entry that only says which classes match.
//! Takes services and strata; gives numbers and the bytes. Not here: when a stratum's records hold ports (`stratum`).

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::intern::Quick;
use super::items::Item;
use super::services::{GUARD, SERVICE_SIZE};
use super::tables::SERVICE_BITS;
use super::{FamilyRules, Services, Unfit};

/// The bounds of ports that every packet keeps to.
const ANY: [u64; 2] = [0, 0x0000_ffff_0000_ffff | GUARD];

/// Services on their way into a table.
pub(super) struct ServiceTable<'a> {
    services: &'a Services,
    /// The entries: lower bounds, upper bounds, the classes that do not match.
    entries: Vec<[u64; 3]>,
    /// The entry of a service.
    whole: Vec<Option<u32>>,
    /// The entry of classes, where records hold the ports.
    of_classes: HashMap<u64, u32, BuildHasherDefault<Quick>>,
}

impl<'a> ServiceTable<'a> {
    /// The services that records name; those of a list of rules stand in its order.
    pub(super) fn new(services: &'a Services, sides: &[FamilyRules; 2]) -> Result<Self, Unfit> {
        let mut named = vec![false; services.len()];
        for side in sides {
            let strata = side.strata.iter().filter(|one| !one.holds_ports);
            let listed = strata.flat_map(|one| one.grown.lists.iter().flatten());
            listed.for_each(|&item| named[side.items[item as usize].service as usize] = true);
        }
        let mut table = Self {
            services,
            entries: Vec::new(),
            whole: vec![None; services.len()],
            of_classes: HashMap::default(),
        };
        for (service, _) in (0..).zip(named).filter(|(_, named)| *named) {
            table.whole(service)?;
        }
        Ok(table)
    }

    /// The entry that the record of a box names.
    pub(super) fn number(&mut self, item: &Item, holds_ports: bool) -> Result<u32, Unfit> {
        match holds_ports {
            true => self.classes(item.classes),
            false => self.whole(item.service),
        }
    }

    /// The bounds of a box's ports.
    pub(super) fn bounds(&self, item: &Item) -> [u64; 2] {
        self.services.bounds(item.service)
    }

    fn whole(&mut self, service: u32) -> Result<u32, Unfit> {
        if let Some(number) = self.whole[service as usize] {
            return Ok(number);
        }
        let [low, high] = self.services.bounds(service);
        let number = self.push([low, high, !self.services.classes(service)])?;
        self.whole[service as usize] = Some(number);
        Ok(number)
    }

    fn classes(&mut self, classes: u64) -> Result<u32, Unfit> {
        if let Some(&number) = self.of_classes.get(&classes) {
            return Ok(number);
        }
        let number = self.push([ANY[0], ANY[1], !classes])?;
        self.of_classes.insert(classes, number);
        Ok(number)
    }

    fn push(&mut self, entry: [u64; 3]) -> Result<u32, Unfit> {
        let number = u32::try_from(self.entries.len()).map_err(|_| Unfit::Services)?;
        if number >= 1 << SERVICE_BITS {
            return Err(Unfit::Services);
        }
        self.entries.push(entry);
        Ok(number)
    }

    /// The table, `SERVICE_SIZE` bytes each, filled up to a power of two of entries.
    #[must_use]
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for [low, high, others] in &self.entries {
            for word in [*low, *high, *others, 0] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
        }
        let entries = self.entries.len().max(1).next_power_of_two();
        // No record names those after the last: lower bounds of ones, with no guard above and every class missing.
        bytes.resize(entries * SERVICE_SIZE, u8::MAX);
        bytes
    }
}
