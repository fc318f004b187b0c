//! A walk through the bytes of the tables, as the code does it: what was found so far ends a list, and leaves out a stratum.
//!
//! Takes tables and a packet; gives the group and the counter of the first member that matches. It reads the format that
//! [`crate::classifier::tables`] writes down and nothing else, so that a table that says something else than the strata
//! it was made of is seen here.

use super::super::bucket::HELD;
use super::super::bucket_table::Buckets;
use super::super::stratum::hash;
use super::super::tables::{
    FamilyTables, GROUP_AT, GROUP_BITS, INDEX_BITS, LAST_AT, LIST, MASK_BITS, RANK_AT, SERVICE_AT,
    SERVICE_BITS, SHIFT_AT, SIZE_AT, StratumTables, Tables, WORD_AT, address_words, record_size,
};
use super::super::{Dimension, GUARD, Ranks, Root, SERVICE_SIZE, Slots};
use super::Packet;
use crate::policy::Family;

/// What a walk ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) group: u32,
    pub(super) slot: u32,
}

/// A packet on its way through the tables of its family.
struct Walk<'a> {
    tables: &'a Tables,
    of: &'a FamilyTables,
    family: Family,
    /// The addresses, then class and ports.
    words: Vec<u64>,
}

/// The first member that matches.
pub(super) fn answer(tables: &Tables, family: Family, packet: &Packet) -> Option<Answer> {
    let of = match family {
        Family::V4 => &tables.v4,
        Family::V6 => &tables.v6,
    };
    let words = words(family, packet);
    let walk = Walk {
        tables,
        of,
        family,
        words,
    };
    let best = of.strata.iter().fold(u64::MAX, |best, stratum| {
        walk.stratum(stratum, best).unwrap_or(best)
    });
    (best != u64::MAX).then(|| found(&tables.ranks, best))
}

fn found(ranks: &Ranks, best: u64) -> Answer {
    let rank = part(best, RANK_AT, 64 - RANK_AT);
    let pieces = ranks.pieces().iter();
    let piece = pieces.rev().find(|piece| piece.first <= rank).unwrap();
    let slot = match piece.slots {
        Slots::Below(distance) => rank - distance,
        Slots::Shared(slot) => slot,
    };
    Answer {
        group: part(best, GROUP_AT, GROUP_BITS),
        slot,
    }
}

fn words(family: Family, packet: &Packet) -> Vec<u64> {
    let of = |dimension: Dimension| packet[dimension.index()];
    let (from, to) = (of(Dimension::From), of(Dimension::To));
    let ports = of(Dimension::FromPort) << 16 | of(Dimension::ToPort);
    let last = of(Dimension::Class) << 32 | ports;
    let all = match family {
        Family::V4 => vec![from << 32 | to, last],
        Family::V6 => vec![from >> 64, from, to >> 64, to, last],
    };
    // The low half of each.
    all.into_iter().map(|word| word as u64).collect()
}

impl Walk<'_> {
    /// What is better than the best so far in a stratum.
    fn stratum(&self, stratum: &StratumTables, best: u64) -> Option<u64> {
        if best >> RANK_AT < u64::from(stratum.first_rank) {
            return None;
        }
        let mut child = match stratum.root {
            Root::Tree(_) => stratum.start,
            Root::Hash {
                shape,
                count,
                first,
            } => {
                let kept = self.words.iter().zip(shape.masks());
                let kept: Vec<u64> = kept.map(|(word, mask)| word & mask).collect();
                let place = hash(&kept, count);
                match &stratum.buckets {
                    Some(buckets) => match self.bucket(buckets, place as usize, best) {
                        Ok(found) => return found,
                        Err(child) => child,
                    },
                    None => word32(&stratum.children, (first + place) as usize),
                }
            }
        };
        let mut nodes = 0;
        while child & LIST == 0 {
            assert!(nodes < stratum.depth, "deeper than the code goes");
            child = self.child(stratum, child);
            nodes += 1;
        }
        self.list(stratum, part(child.into(), 0, INDEX_BITS) as usize, best)
    }

    /// What is better than the best so far in a bucket, or where the walk goes on.
    fn bucket(&self, buckets: &Buckets, number: usize, best: u64) -> Result<Option<u64>, u32> {
        let size = record_size(self.family, false);
        for place in 0..HELD {
            let record = &buckets.bytes[(HELD * number + place) * size..][..size];
            let about = word64(record, size / 8 - 1);
            if about == 0 {
                assert!(buckets.children[place], "the code looks for no child there");
                return Err(word32(record, 0));
            }
            if let Some(end) = self.record(record, None, best) {
                return Ok(end);
            }
        }
        Ok(None)
    }

    fn child(&self, stratum: &StratumTables, node: u32) -> u32 {
        let node = u64::from(node);
        let word = part(node, WORD_AT, 3);
        assert!(
            stratum.words.contains(&word),
            "the code does not look there"
        );
        let bits = 1 << part(node, SIZE_AT, 2);
        let value = part(self.words[word as usize], part(node, SHIFT_AT, 6), bits);
        word32(
            &stratum.children,
            (part(node, 0, INDEX_BITS) + value) as usize,
        )
    }

    fn list(&self, stratum: &StratumTables, first: usize, best: u64) -> Option<u64> {
        assert!((first as u32) < stratum.record_count);
        let size = record_size(self.family, stratum.holds_ports);
        for place in 0..stratum.longest.max(1) {
            let record = &stratum.records[(first + place) * size..][..size];
            let ports = stratum
                .holds_ports
                .then(|| &record[8 * address_words(self.family)..]);
            if let Some(end) = self.record(record, ports, best) {
                return end;
            }
        }
        None
    }

    /// What a list ends with at this record, if it does.
    fn record(&self, record: &[u8], ports: Option<&[u8]>, best: u64) -> Option<Option<u64>> {
        let about = word64(record, record.len() / 8 - 1);
        if about >= best {
            return Some(None);
        }
        if self.addresses_match(record, about) && self.service_matches(about, ports) {
            return Some(Some(about));
        }
        (part(about, LAST_AT, 1) == 1).then_some(None)
    }

    fn addresses_match(&self, record: &[u8], about: u64) -> bool {
        let count = address_words(self.family);
        let first = part(about, 0, MASK_BITS) as usize * count;
        (0..count).all(|number| {
            let mask = word64(&self.of.masks, first + number);
            (word64(record, number) ^ self.words[number]) & mask == 0
        })
    }

    /// Whether class and ports are those of a service; `ports` are the bounds that stand in the record itself.
    fn service_matches(&self, about: u64, ports: Option<&[u8]>) -> bool {
        let number = part(about, SERVICE_AT, SERVICE_BITS) as usize;
        let service = &self.tables.services[number * SERVICE_SIZE..][..SERVICE_SIZE];
        let bounds = ports.unwrap_or(service);
        let [low, high] = [0, 1].map(|number| word64(bounds, number));
        let others = word64(service, 2);
        let high = high ^ GUARD;
        let last = self.words[address_words(self.family)];
        let within =
            |ours: u64, at: u32| (low >> at) as u16 as u64 <= ours && ours <= high >> at & 0xffff;
        within(last >> 16 & 0xffff, 32)
            && within(last & 0xffff, 0)
            && part(others, (last >> 32) as u32, 1) == 0
    }
}

/// Some bits of a word.
fn part(word: u64, at: u32, bits: u32) -> u32 {
    (word >> at & ((1 << bits) - 1)) as u32
}

fn word32(bytes: &[u8], number: usize) -> u32 {
    u32::from_le_bytes(bytes[4 * number..][..4].try_into().unwrap())
}

fn word64(bytes: &[u8], number: usize) -> u64 {
    u64::from_le_bytes(bytes[8 * number..][..8].try_into().unwrap())
}
