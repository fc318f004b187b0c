//! What the maps of a loaded object hold besides sockets: as the world answers about one event at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use aya::Ebpf;
use aya::maps::Map;
use sockc_compiler::artifact::{MapKind, in_slot};
use sockc_compiler::event::{Event, Header, Parsed, World};
use sockc_compiler::lower::{BUCKET_KEY, KINDS};
use sockc_compiler::policy::RuleId;
use sockc_compiler::simulate::filling::{Element, bucket, entries};

use crate::{Subject, calls, syscalls};

/// The number of `lo` in every network namespace.
const LOOPBACK: u32 = 1;
/// Buckets hold one number.
const BUCKET: usize = 8;

/// The elements that the maps hold now.
#[derive(Default)]
pub(crate) struct Held {
    now: BTreeSet<Element>,
    /// Buckets as they were before the event.
    before: BTreeMap<RuleId, u64>,
}

impl Held {
    /// Fills the maps for an event.
    pub(crate) fn fill(
        &mut self,
        ebpf: &Ebpf,
        subject: &Subject,
        event: &Event,
        world: &dyn World,
    ) {
        let artifact = &subject.built.artifact;
        let there = |entry: &Element| map_fd(ebpf, &entry.map).is_some();
        let wanted = entries(&subject.policy, artifact, event, world);
        let wanted = wanted.into_iter().map(|entry| seen_by(event, entry));
        let wanted: BTreeSet<Element> = wanted.filter(there).collect();
        for entry in self.now.difference(&wanted) {
            self.clear(ebpf, subject, entry);
        }
        for entry in wanted.difference(&self.now) {
            let map = map_fd(ebpf, &entry.map).unwrap();
            syscalls::update(map, &entry.key, &entry.value).unwrap();
        }
        self.now = wanted;
        if let Some(header) = header(event) {
            Self::refill_answers(ebpf, subject, header);
        }
        self.before = header(event).map_or_else(BTreeMap::new, |header| {
            buckets(ebpf, subject, header).collect()
        });
    }

    /// The buckets that the event moved, and where to; they are full again then.
    pub(crate) fn taken(
        &mut self,
        ebpf: &Ebpf,
        subject: &Subject,
        event: &Event,
    ) -> BTreeMap<RuleId, u64> {
        let Some(header) = header(event) else {
            return BTreeMap::new();
        };
        let moved: BTreeMap<RuleId, u64> = buckets(ebpf, subject, header)
            .filter(|(rule, value)| self.before.get(rule) != Some(value))
            .collect();
        for rule in subject.policy.rules.keys() {
            if let Some((map, key)) = bucket(&subject.policy, rule, header) {
                self.refill(ebpf, map, &key);
            }
        }
        moved
    }

    /// Makes the limits of answers full again, as far as this packet has to do with them.
    fn refill_answers(ebpf: &Ebpf, subject: &Subject, header: &Header) {
        let Some(answers) = map_fd(ebpf, "answers") else {
            return;
        };
        let (family, address) = match header.from {
            IpAddr::V4(from) => (4u32, from.octets().to_vec()),
            IpAddr::V6(from) => (6, from.octets().to_vec()),
        };
        let mut maps = subject.built.artifact.maps.values();
        let rates = maps.find(|map| map.name == "rates").unwrap().max_entries;
        for kind in 0..KINDS {
            let mut key = [kind.to_ne_bytes(), family.to_ne_bytes()].concat();
            key.extend(&address);
            key.resize(BUCKET_KEY as usize, 0);
            calls::delete(answers, &key);
            let all = rates - KINDS + kind;
            let map = map_fd(ebpf, "rates").unwrap();
            syscalls::update(map, &all.to_ne_bytes(), &[0; BUCKET]).unwrap();
        }
    }

    /// Makes the limits of logs full again.
    pub(crate) fn refill_logs(&self, ebpf: &Ebpf, subject: &Subject) {
        let maps = subject.built.artifact.maps.values();
        let rates = maps
            .filter(|map| map.name == "rates")
            .map(|map| map.max_entries);
        for number in rates.flat_map(|count| 0..count) {
            if let Some(map) = map_fd(ebpf, "rates") {
                let key = number.to_ne_bytes();
                let used =
                    calls::look_up(map, &key, BUCKET).is_some_and(|value| value != [0; BUCKET]);
                let emptied = self
                    .now
                    .iter()
                    .any(|entry| entry.map == "rates" && entry.key == key);
                if used && !emptied {
                    syscalls::update(map, &key, &[0; BUCKET]).unwrap();
                }
            }
        }
    }

    fn refill(&mut self, ebpf: &Ebpf, map: &str, key: &[u8]) {
        self.now
            .retain(|entry| entry.map != map || entry.key != key);
        let Some(fd) = map_fd(ebpf, map) else { return };
        match map {
            "rates" => syscalls::update(fd, key, &[0; BUCKET]).unwrap(),
            _ => calls::delete(fd, key),
        }
    }

    fn clear(&self, ebpf: &Ebpf, subject: &Subject, entry: &Element) {
        let fd = map_fd(ebpf, &entry.map).unwrap();
        let mut maps = subject.built.artifact.maps.values();
        let is_array = maps.any(|map| map.name == entry.map && map.kind == MapKind::Array);
        if is_array {
            let zeros = vec![0; entry.value.len()];
            syscalls::update(fd, &entry.key, &zeros).unwrap();
        } else {
            calls::delete(fd, &entry.key);
        }
    }
}

/// A test run of sk_lookup takes no interface: its packets come from number 0. Packets that leave by an interface, which a test
/// run does not do, leave by one that is there: the kernel takes no other into its map.
fn seen_by(event: &Event, mut entry: Element) -> Element {
    if entry.map == "ports" {
        entry.value = in_slot(LOOPBACK).to_vec();
    }
    if matches!(event, Event::Lookup { .. }) && entry.map == "interfaces" {
        entry.key = vec![0; 4];
    }
    entry
}

fn header(event: &Event) -> Option<&Header> {
    match event {
        Event::Packet {
            packet: Parsed::Ip(header),
            ..
        }
        | Event::Lookup { header, .. } => Some(header),
        _ => None,
    }
}

/// The buckets of a packet that are not full.
fn buckets(ebpf: &Ebpf, subject: &Subject, header: &Header) -> impl Iterator<Item = (RuleId, u64)> {
    let policy = &subject.policy;
    let rules = policy.rules.iter().filter(|(_, rule)| rule.rate.is_some());
    rules.filter_map(move |(rule, _)| {
        let (map, key) = bucket(policy, rule, header)?;
        let value = calls::look_up(map_fd(ebpf, map)?, &key, BUCKET)?;
        let number = u64::from_ne_bytes(value.try_into().ok()?);
        (number != 0).then_some((rule, number))
    })
}

/// The map with this name.
pub(crate) fn map_fd<'a>(ebpf: &'a Ebpf, name: &str) -> Option<BorrowedFd<'a>> {
    match ebpf.map(name)? {
        Map::SockMap(data)
        | Map::SockHash(data)
        | Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::LpmTrie(data)
        | Map::DevMap(data)
        | Map::Unsupported(data) => Some(data.fd().as_fd()),
        _ => None,
    }
}
