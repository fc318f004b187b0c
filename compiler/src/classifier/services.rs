//! What is left of boxes without their addresses, each kept once, and the classes of protocols that they tell apart.
//!
//! Takes [`Service`]s; gives their numbers, the class of each protocol, and the table that code compares with. Not here:
//! addresses.

use std::collections::HashMap;

use super::boxes::{Protocols, Service};
use super::tables::SERVICE_BITS;
use crate::protocol::IpProtocol;

/// The maximum number of classes: a service has one bit for each.
pub(crate) const MAX_CLASSES: usize = 64;

/// Entries of the table of classes: each protocol number, and each again for later fragments.
pub(crate) const CLASS_ENTRIES: usize = 512;

/// The maximum number of services: a record has so many bits for their number.
pub(crate) const MAX_SERVICES: u32 = 1 << SERVICE_BITS;

/// Bytes of an entry of the table of services: lower bounds, upper bounds, the classes that do not match.
pub(crate) const SERVICE_SIZE: usize = 32;

/// Set in both halves of a pair of bounds: a subtraction clears it where a port is out of bounds.
pub(crate) const GUARD: u64 = 0x8000_0000_8000_0000;

/// The services of a classifier.
#[derive(Clone, Debug, Default)]
pub struct Services {
    known: HashMap<Service, u32>,
    list: Vec<Service>,
    /// For each service: the classes it matches, one bit each.
    classes: Vec<u64>,
    /// The class of each protocol number; then the same of later fragments.
    class_of: Vec<u8>,
}

impl Services {
    /// The number of a service; `None` where there are too many.
    pub(crate) fn intern(&mut self, service: Service) -> Option<u32> {
        if let Some(&number) = self.known.get(&service) {
            return Some(number);
        }
        let number = u32::try_from(self.list.len()).ok()?;
        if number >= MAX_SERVICES {
            return None;
        }
        self.list.push(service);
        self.known.insert(service, number);
        Some(number)
    }

    /// Tells the protocols apart that the services tell apart; `None` where there are too many classes.
    pub fn classify(&mut self) -> Option<()> {
        let mut tests: Vec<(Protocols, bool)> = self
            .list
            .iter()
            .map(|service| (service.protocols, service.needs_ports))
            .collect();
        tests.sort_unstable();
        tests.dedup();
        let mut seen: HashMap<Vec<bool>, u8> = HashMap::new();
        self.class_of = vec![0; CLASS_ENTRIES];
        // Protocols with ports come first: services that look at ports then have neighbouring classes.
        let first = IpProtocol::WITH_PORTS
            .map(|one| usize::from(one.0))
            .into_iter();
        for entry in first.chain(0..CLASS_ENTRIES) {
            let (number, later) = ((entry & 0xff) as u8, entry > 0xff);
            let signature = tests
                .iter()
                .map(|&(protocols, ports)| speaks_of(&protocols, ports, number, later))
                .collect();
            let next = seen.len();
            let class = *seen.entry(signature).or_insert(next.try_into().ok()?);
            self.class_of[entry] = class;
        }
        if seen.len() > MAX_CLASSES {
            return None;
        }
        self.classes = self.list.iter().map(|one| self.mask(one)).collect();
        Some(())
    }

    fn mask(&self, service: &Service) -> u64 {
        let mut mask = 0;
        for (entry, &class) in self.class_of.iter().enumerate() {
            let number = (entry & 0xff) as u8;
            if speaks_of(
                &service.protocols,
                service.needs_ports,
                number,
                entry > 0xff,
            ) {
                mask |= 1 << class;
            }
        }
        mask
    }

    /// The classes that a service matches, one bit each.
    #[must_use]
    pub fn classes(&self, number: u32) -> u64 {
        self.classes[number as usize]
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The class of a protocol.
    #[must_use]
    pub fn class_of(&self, protocol: u8, later_fragment: bool) -> u8 {
        self.class_of[usize::from(protocol) + if later_fragment { 256 } else { 0 }]
    }

    /// The table of classes, `CLASS_ENTRIES` bytes.
    #[must_use]
    pub(crate) fn class_table(&self) -> Vec<u8> {
        self.class_of.clone()
    }

    /// The table of services, `SERVICE_SIZE` bytes each, filled up to a power of two of entries.
    ///
    /// Each begins with the lower bounds (the receiver's port in the low half), then the upper bounds with `GUARD`,
    /// then the classes that do not match.
    #[must_use]
    pub fn table(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (service, classes) in self.list.iter().zip(&self.classes) {
            let pair = |from: u16, to: u16| u64::from(from) << 32 | u64::from(to);
            let low = pair(service.from.0, service.to.0);
            let high = pair(service.from.1, service.to.1) | GUARD;
            for word in [low, high, !classes, 0] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
        }
        let entries = self.list.len().max(1).next_power_of_two();
        // No record names those after the last: lower bounds of ones, with no guard above and every class missing.
        bytes.resize(entries * SERVICE_SIZE, u8::MAX);
        bytes
    }
}

/// Whether a packet of a protocol can match.
fn speaks_of(protocols: &Protocols, needs_ports: bool, number: u8, later: bool) -> bool {
    let has_ports = !later && IpProtocol(number).has_ports();
    protocols.contains(number) && (has_ports || !needs_ports)
}
