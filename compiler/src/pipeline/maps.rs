//! The list of the maps that a policy's programs have, with their sizes.
//!
//! Takes the chains, what their trees test and the slots that were given out; gives the ids by which code is made. Not
//! here: the maps that questions are put to (`asked`), and what tables hold.

use cranelift_entity::SecondaryMap;

use super::asked;
use super::manifest::Slots;
use super::options::Counters;
use super::program_names::{reads, shortens, suffixed, takes_in, with_rules};
use super::spliced;
use crate::artifact::{MapKind, MapSpec};
use crate::bpf::constant::BPF_F_NO_PREALLOC;
use crate::chain::{Chain, Effect};
use crate::counter_blocks;
use crate::destination::{self, Ending};
use crate::dropped;
use crate::field::FieldSet;
use crate::log;
use crate::lower::{self, BUCKET_KEY, GroupMaps, Maps, Meters, PEER_KEY, ReaderMaps, WAY, WayMaps};
use crate::policy::{GroupId, Policy};
use crate::tables::Tables;

/// Makes the maps of a policy; `meters` gives the numbers of its rates with those of so many kinds of answers. Tables of rules are
/// pushed after them.
pub(super) fn make(
    policy: &Policy,
    (chains, tested): (&[Chain], &FieldSet),
    slots: &Slots,
    meters: impl Fn(u32) -> Meters,
    tables: &mut Tables<'_>,
) -> Maps {
    let maps = tables.maps();
    let grouped = chains
        .iter()
        .any(|chain| chain.hook.spec().takes_in.is_some());
    let kept = slots.kept == Counters::Kept;
    let blocks = counter_blocks::blocks(slots.count);
    let logging = slots.logs();
    let counting = (kept || grouped || logging).then(|| {
        maps.push(MapSpec::new(
            counter_blocks::MAP,
            MapKind::PerCpuArray,
            4,
            counter_blocks::BLOCK,
            blocks,
        ))
    });
    // An entry of a live map leads to a slot, also while no rule asks the map.
    let led_to = !policy.live_maps.is_empty() || asked::steers(chains, tested);
    let steered = slots.socket_count > 0 && led_to;
    let sockets = steered.then(|| {
        maps.push(MapSpec::new(
            "sockets",
            MapKind::SockMap,
            4,
            8,
            slots.socket_count,
        ))
    });
    let steered = (kept && steered).then(|| {
        let (row, count) = (Ending::ROW, slots.socket_count);
        maps.push(MapSpec::new(
            destination::MAP,
            MapKind::PerCpuArray,
            4,
            row,
            count,
        ))
    });
    let feeds = |chain: &Chain| {
        chain
            .entries
            .iter()
            .any(|entry| entry.effect == Effect::Feed)
    };
    let ends = chains.iter().any(feeds).then(|| {
        maps.push(MapSpec::new(
            "ends",
            MapKind::SockMap,
            4,
            8,
            slots.end_count,
        ))
    });
    let out_count = policy.out_interfaces.next_key().as_u32();
    let out_interfaces =
        (out_count > 0).then(|| maps.push(MapSpec::new("ports", MapKind::DevMap, 4, 8, out_count)));
    let answering = chains.iter().any(|chain| lower::answers(policy, chain));
    let meters = meters(if answering { lower::KINDS } else { 0 });
    let rates = (meters.rates > 0)
        .then(|| maps.push(MapSpec::new("rates", MapKind::Array, 4, 8, meters.rates)));
    let buckets = (meters.shared > 0).then(|| {
        let entries = meters.shared.saturating_mul(BUCKETS).min(MAX_BUCKETS);
        maps.push(MapSpec::new(
            "buckets",
            MapKind::LruHash,
            BUCKET_KEY,
            8,
            entries,
        ))
    });
    let answers = answering.then(|| {
        let most = lower::MAX_RECEIVERS;
        maps.push(MapSpec::new(
            "answers",
            MapKind::LruHash,
            BUCKET_KEY,
            8,
            most,
        ))
    });
    let log = logging.then(|| maps.push(MapSpec::new("log", MapKind::RingBuf, 0, 0, log::RING)));
    let sampled = |chain: &Chain| lower::samples(policy, chain);
    let (drops, sampling) = match chains.iter().any(sampled) {
        true => (
            Some(maps.push(MapSpec::new(
                dropped::EVENTS,
                MapKind::PerfEventArray,
                4,
                4,
                0,
            ))),
            Some(maps.push(MapSpec::word(dropped::WORD, dropped::word::SIZE))),
        ),
        false => (None, None),
    };
    let mut groups = SecondaryMap::new();
    let taken_in = |group: &GroupId| takes_in(chains, *group);
    for group in with_rules(chains).into_iter().filter(taken_in) {
        let [peers, readers] = ["peers", "readers"].map(|stem| {
            let name = suffixed(policy, stem, group);
            MapSpec::new(name, MapKind::SockHash, PEER_KEY, 8, MAX_PEERS)
        });
        let peers = maps.push(peers);
        let storage_of = |stem, size| {
            let name = suffixed(policy, stem, group);
            let mut spec = MapSpec::new(name, MapKind::SkStorage, 4, size, 0);
            spec.flags = BPF_F_NO_PREALLOC;
            spec
        };
        let [storage, own] = ["storage", "own"].map(|stem| maps.push(storage_of(stem, PEER_KEY)));
        let ways = shortens(chains, group).then(|| WayMaps {
            ways: maps.push(storage_of("ways", WAY)),
            bound: maps.push(MapSpec::new(
                suffixed(policy, "bound", group),
                MapKind::ProgArray,
                4,
                4,
                1,
            )),
        });
        let unread = slots.unread[group].filter(|_| reads(chains, group));
        let readers = unread.map(|escaped| ReaderMaps {
            readers: maps.push(readers),
            next: maps.push(next(suffixed(policy, "next", group))),
            escaped,
        });
        groups[group] = counting.map(|counters| GroupMaps {
            peers,
            readers,
            storage,
            own,
            ways,
            counters,
            escaped: slots.escaped[group],
            refused: slots.refused[group],
        });
    }
    let counters = counting.filter(|_| kept);
    let splices = spliced::maps(policy, slots, counters, maps);
    let sets = asked::sets(policy, tested, tables);
    let maps = tables.maps();
    let entries = asked::entries(policy, maps);
    let namespaces = asked::namespaces(policy, maps);
    let interfaces = asked::interfaces(tested, maps);
    let noticed = kept || log.is_some();
    let asking = (noticed && asked::lookups(chains, tested))
        .then(|| maps.push(MapSpec::new("asking", MapKind::PerCpuArray, 4, 8, 1)));
    Maps {
        counters,
        sockets,
        steered,
        ends,
        out_interfaces,
        rates,
        buckets,
        answers,
        log,
        lost: counting.filter(|_| logging),
        drops,
        sampling,
        meters,
        groups,
        splices,
        sets,
        entries,
        namespaces,
        interfaces,
        asking,
    }
}

/// Addresses that a rate `per source` or `per destination` remembers, for each such rule.
const BUCKETS: u32 = 65_536;

/// The maximum number of addresses that all of them remember together.
const MAX_BUCKETS: u32 = 1 << 20;

/// The numbers of what comes next. There is room for sockets that were given one and found no room among the readers.
fn next(name: String) -> MapSpec {
    let mut spec = MapSpec::new(name, MapKind::Hash, 8, 4, 2 * MAX_PEERS);
    spec.flags = BPF_F_NO_PREALLOC;
    spec
}

/// Connections of one group that can be taken in; more of them go by plain TCP and are counted as escaped.
const MAX_PEERS: u32 = 65_536;
