//! What a policy's splices need: maps, names, programs.
//!
//! Takes the policy and the slots of its counters. Not here: the code (`lower`).

use super::live::titled;
use super::manifest::Slots;
use crate::artifact::{AttachPoint, MapId, MapKind, MapSpec, PairsPlan};
use crate::bpf::constant::BPF_F_NO_PREALLOC;
use crate::ir::Function;
use crate::lower::{self, SpliceMaps};
use crate::policy::{MAX_PAIRS, Pairs, PairsId, Policy};
use cranelift_entity::PrimaryMap;

/// Bytes of the ring that says what was moved: a record takes 16.
const RING: u32 = 1 << 16;
const ROOM: u32 = PairsPlan::ROOM;
const _: () = assert!(ROOM == 2 * MAX_PAIRS);
const ALLOWED: u32 = PairsPlan::ALLOWED;

/// The pairs that are spliced, for the runtime.
pub(super) fn plans(policy: &Policy) -> Vec<PairsPlan> {
    let splices = policy.splices.iter();
    splices
        .map(|splice| plan(splice.pairs, &policy.pairs[splice.pairs]))
        .collect()
}

fn plan(id: PairsId, pairs: &Pairs) -> PairsPlan {
    let map = |kind| titled(kind, id.as_u32(), &pairs.name);
    PairsPlan {
        name: pairs.name.clone(),
        max: pairs.max,
        targets: map("dst_"),
        sources: map("src_"),
        joined: map("with_"),
        allowed: map("may_"),
        moved: map("mov_"),
    }
}

/// Makes the maps of each splice.
pub(super) fn maps(
    policy: &Policy,
    slots: &Slots,
    counters: Option<MapId>,
    maps: &mut PrimaryMap<MapId, MapSpec>,
) -> Vec<SpliceMaps> {
    let plans = plans(policy).into_iter().zip(&slots.splices);
    let made = plans.map(|(plan, &slot)| {
        let targets = maps.push(MapSpec::new(plan.targets, MapKind::SockHash, 8, 8, ROOM));
        maps.push(MapSpec::new(plan.sources, MapKind::SockHash, 8, 8, ROOM));
        let mut joined = MapSpec::new(plan.joined, MapKind::Hash, 8, PairsPlan::JOINED, ROOM);
        joined.flags = BPF_F_NO_PREALLOC;
        SpliceMaps {
            targets,
            joined: maps.push(joined),
            allowed: maps.push(MapSpec::new(
                plan.allowed,
                MapKind::Array,
                4,
                ALLOWED,
                ROOM + 1,
            )),
            moved: maps.push(MapSpec::new(plan.moved, MapKind::RingBuf, 0, 0, RING)),
            counter: counters.map(|map| (map, slot)),
        }
    });
    made.collect()
}

/// The programs of the splices, and where each hangs.
pub(super) fn programs(policy: &Policy, maps: &[SpliceMaps]) -> Vec<(Function, AttachPoint)> {
    let splices = policy.splices.iter().zip(maps).enumerate();
    let made = splices.map(|(index, (splice, maps))| {
        let name = match policy.splices.len() {
            1 => "splice".to_owned(),
            _ => format!("splice_{index}"),
        };
        let function = lower::splice(&name, &splice.place, maps);
        (function, AttachPoint::Splice(index))
    });
    made.collect()
}
