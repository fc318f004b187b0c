//! What a runtime has to fill or may change while the policy is in force: classes of interfaces, live sets, live maps.

use crate::artifact::{ClassPlan, LiveEntryPlan, LiveMapPlan, SetPlan};
use crate::policy::{Class, LiveMap, LiveMapId, Policy, SetId, SetKind};

/// The name of a live set's map.
pub(crate) fn set_map(set: SetId) -> String {
    format!("set_{}", set.as_u32())
}

/// The name of a live map's trie.
pub(crate) fn map_trie(map: LiveMapId) -> String {
    format!("map_{}", map.as_u32())
}

/// The name of a live map's array of port classes.
pub(crate) fn map_classes(map: LiveMapId) -> String {
    format!("map_{}_ports", map.as_u32())
}

/// The classes of interfaces, by number.
pub(super) fn classes(policy: &Policy) -> Vec<ClassPlan> {
    let plan = |class: &Class| ClassPlan {
        zone: class.zone.map(|zone| {
            let zone = &policy.zones[zone];
            (zone.name.clone(), zone.patterns.clone())
        }),
        patterns: class.patterns.clone(),
    };
    policy.classes.values().map(plan).collect()
}

/// The live sets.
pub(super) fn sets(policy: &Policy) -> Vec<SetPlan> {
    let live = policy.sets.iter().filter_map(|(id, set)| match &set.kind {
        SetKind::Constant(_) => None,
        SetKind::Live {
            max,
            expires,
            start,
        } => Some(SetPlan {
            name: set.name.clone(),
            map: set_map(id),
            max: *max,
            expires: *expires,
            start: start.clone(),
        }),
    });
    live.collect()
}

/// The live maps.
pub(super) fn maps(policy: &Policy) -> Vec<LiveMapPlan> {
    let plan = |(id, map): (LiveMapId, &LiveMap)| LiveMapPlan {
        name: map.name.clone(),
        trie: map_trie(id),
        classes: map_classes(id),
        max: map.max,
        start: map
            .start
            .iter()
            .map(|entry| LiveEntryPlan {
                prefix: entry.prefix,
                ports: entry.ports,
                protocol: entry.protocol,
                socket: policy.sockets[entry.socket].name.clone(),
            })
            .collect(),
    };
    policy.live_maps.iter().map(plan).collect()
}
