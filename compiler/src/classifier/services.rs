//! What is left of boxes without their addresses, each kept once, and the classes of packets that they tell apart.
//!
//! Takes [`Service`]s; gives their numbers, the class of each packet, and what code compares with. The class is
//! that of the protocol, or, where rules have conditions, the terminal of a diagram over the header. Not here: addresses,
//! and how that diagram is made (`classes`).

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;

use super::boxes::{Protocols, Service};
use super::classes::Classes;
use super::intern::Quick;
use crate::diagram::flatten::Flat;
use crate::policy::Condition;
use crate::protocol::IpProtocol;

/// The maximum number of classes: a service has one bit for each.
pub(crate) const MAX_CLASSES: usize = 64;

/// Entries of the table of classes: each protocol number, and each again for later fragments.
pub(crate) const CLASS_ENTRIES: usize = 512;

/// Bytes of an entry of the table of services: lower bounds, upper bounds, the classes that do not match.
pub(crate) const SERVICE_SIZE: usize = 32;

/// Set in both halves of a pair of bounds: a subtraction clears it where a port is out of bounds.
pub(crate) const GUARD: u64 = 0x8000_0000_8000_0000;

/// What a service asks that a class answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(super) protocols: Protocols,
    pub(super) needs_ports: bool,
    pub(super) needs_type: bool,
    pub(super) conditions: u16,
}

/// What tells the class of a packet.
#[derive(Clone, Debug)]
pub enum ClassOf {
    /// By the protocol number; then the same of later fragments. A byte each.
    Protocol(Vec<u8>),
    /// The terminal of this diagram.
    Header(Flat),
}

/// The services of a classifier.
#[derive(Clone, Debug, Default)]
pub struct Services {
    known: HashMap<Service, u32, BuildHasherDefault<Quick>>,
    list: Vec<Service>,
    /// For each service: the classes it matches, one bit each.
    classes: Vec<u64>,
    /// The class of each protocol number; then the same of later fragments. Nobody asks where there is a diagram.
    class_of: Vec<u8>,
    /// The conditions of rules, by their number; those of the number 0 are none, and not here.
    conditions: Vec<Vec<Condition>>,
    numbers: HashMap<Vec<Condition>, u16>,
    /// Where there are conditions: the diagram whose terminal is the class.
    diagram: Option<Flat>,
}

impl Service {
    pub(super) fn asked(&self) -> Asked {
        Asked {
            protocols: self.protocols,
            needs_ports: self.needs_ports,
            needs_type: self.needs_type,
            conditions: self.conditions,
        }
    }
}

impl Services {
    /// The number of a service; `None` where there are too many.
    pub(crate) fn intern(&mut self, service: Service) -> Option<u32> {
        if let Some(&number) = self.known.get(&service) {
            return Some(number);
        }
        let number = u32::try_from(self.list.len()).ok()?;
        self.list.push(service);
        self.known.insert(service, number);
        Some(number)
    }

    /// The number of a rule's conditions; `None` where there are too many.
    pub(crate) fn number(&mut self, conditions: &[Condition]) -> Option<u16> {
        if conditions.is_empty() {
            return Some(0);
        }
        if let Some(&number) = self.numbers.get(conditions) {
            return Some(number);
        }
        self.conditions.push(conditions.to_vec());
        let number = u16::try_from(self.conditions.len()).ok()?;
        self.numbers.insert(conditions.to_vec(), number);
        Some(number)
    }

    /// Tells the packets apart that the services tell apart; `None` where there are too many classes.
    pub fn classify(&mut self) -> Option<()> {
        let tests: BTreeSet<Asked> = self.list.iter().map(Service::asked).collect();
        match self.conditions.is_empty() {
            true => self.by_protocol(&tests),
            false => self.by_header(&tests),
        }
    }

    fn by_header(&mut self, tests: &BTreeSet<Asked>) -> Option<()> {
        let mut classes = Classes::new();
        for asked in tests {
            let conditions = match asked.conditions {
                0 => &[][..],
                number => self.conditions[usize::from(number) - 1].as_slice(),
            };
            classes.tell(asked, conditions)?;
        }
        let (diagram, answers) = classes.finish()?;
        let numbers: HashMap<&Asked, usize> = tests.iter().zip(0..).collect();
        let mask = |service: &Service| {
            let test = numbers[&service.asked()];
            let holding = (0u32..).zip(&answers).filter(|(_, answers)| answers[test]);
            holding.fold(0, |mask, (class, _)| mask | 1u64 << class)
        };
        self.classes = self.list.iter().map(mask).collect();
        self.diagram = Some(diagram);
        Some(())
    }

    fn by_protocol(&mut self, tests: &BTreeSet<Asked>) -> Option<()> {
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
                .map(|asked| speaks_of(asked, number, later))
                .collect();
            let next = seen.len();
            let class = *seen.entry(signature).or_insert(next.try_into().ok()?);
            self.class_of[entry] = class;
        }
        if seen.len() > MAX_CLASSES {
            return None;
        }
        let masks = tests.iter().map(|one| (*one, self.mask(one)));
        let masks: HashMap<Asked, u64, BuildHasherDefault<Quick>> = masks.collect();
        self.classes = self.list.iter().map(|one| masks[&one.asked()]).collect();
        Some(())
    }

    fn mask(&self, asked: &Asked) -> u64 {
        let mut mask = 0;
        for (entry, &class) in self.class_of.iter().enumerate() {
            let number = (entry & 0xff) as u8;
            if speaks_of(asked, number, entry > 0xff) {
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

    /// What tells the class of a packet: a table of `CLASS_ENTRIES` bytes, or a diagram.
    #[must_use]
    pub(crate) fn told_by(&self) -> ClassOf {
        match &self.diagram {
            None => ClassOf::Protocol(self.class_of.clone()),
            Some(diagram) => ClassOf::Header(diagram.clone()),
        }
    }

    /// The bounds of a service's ports as code compares with them: the lower ones (the receiver's port in the low half), then
    /// the upper ones with `GUARD`.
    #[must_use]
    pub(super) fn bounds(&self, number: u32) -> [u64; 2] {
        let service = &self.list[number as usize];
        let pair = |from: u16, to: u16| u64::from(from) << 32 | u64::from(to);
        let low = pair(service.from.0, service.to.0);
        let high = pair(service.from.1, service.to.1) | GUARD;
        [low, high]
    }
}

/// Whether a packet of a protocol can match, where there are no conditions.
fn speaks_of(asked: &Asked, number: u8, later: bool) -> bool {
    let Asked {
        protocols,
        needs_ports,
        needs_type,
        ..
    } = *asked;
    let has_ports = !later && IpProtocol(number).has_ports();
    let has_type = !later && IpProtocol(number).has_type();
    protocols.contains(number) && (has_ports || !needs_ports) && (has_type || !needs_type)
}
