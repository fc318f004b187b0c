//! What a runtime has to fill or may change while the policy is in force: classes of interfaces, live sets, live maps.
//!
//! Their maps are named after them, so that whoever looks at the kernel's maps finds the statement they come from.

use crate::artifact::{ClassPlan, LiveEntryPlan, LiveMapPlan, SetPlan, SetTablePlan};
use crate::bpf::limits::NAME;
use crate::member_table::is_worth_it;
use crate::policy::{Class, LiveMap, LiveMapId, Policy, Set, SetId, SetKind};

/// The name of a constant set's table.
pub(crate) fn set_table(set: SetId) -> String {
    format!("set_{}", set.as_u32())
}

/// The name of a live set's trie.
pub(crate) fn set_trie(set: SetId, name: &str) -> String {
    titled("set_", set.as_u32(), name)
}

/// The name of the array that says which side of a live set's trie holds.
pub(crate) fn set_state(set: SetId, name: &str) -> String {
    titled("cur_", set.as_u32(), name)
}

/// Says in the policies of a file whether their live sets have tables: if they may, and there is room for those of each. A block
/// may share the sets of the policy around it, so that all have them, or none.
pub(super) fn settle_tables(policy: &mut Policy, may: bool) {
    let is_live = |set: &&Set| matches!(set.kind, SetKind::Live { .. });
    let fits = |policy: &Policy| {
        let live = policy.sets.values().filter(is_live).count();
        is_worth_it(live, policy.live_maps.len())
    };
    let all = may && fits(policy) && policy.netns.iter().all(|block| fits(&block.policy));
    policy.member_tables = all;
    for block in &mut policy.netns {
        block.policy.member_tables = all;
    }
}

/// The table of a live set, if those of its policy have any.
pub(super) fn set_table_plan(policy: &Policy, set: SetId) -> Option<SetTablePlan> {
    let title = |kind: &str| titled(kind, set.as_u32(), &policy.sets[set].name);
    policy.member_tables.then(|| SetTablePlan {
        plans: title("spl_"),
        heads: title("shd_"),
        nodes: title("snd_"),
    })
}

/// The name of the array that says what of a live map holds.
pub(crate) fn map_state(map: LiveMapId, name: &str) -> String {
    titled("now_", map.as_u32(), name)
}

/// The name of a live map's array of plans.
pub(crate) fn map_plans(map: LiveMapId, name: &str) -> String {
    titled("pln_", map.as_u32(), name)
}

/// The name of a live map's array of the beginnings of chains.
pub(crate) fn map_heads(map: LiveMapId, name: &str) -> String {
    titled("hds_", map.as_u32(), name)
}

/// The name of a live map's array of keys.
pub(crate) fn map_nodes(map: LiveMapId, name: &str) -> String {
    titled("key_", map.as_u32(), name)
}

/// The name of a live map's trie.
pub(crate) fn map_trie(map: LiveMapId, name: &str) -> String {
    titled("map_", map.as_u32(), name)
}

/// The name of a live map's array of port classes.
pub(crate) fn map_classes(map: LiveMapId, name: &str) -> String {
    titled("prt_", map.as_u32(), name)
}

/// The name of a map of a kind: with the declared name where the kernel takes it as it is. Else a number makes it the only
/// one, for no declared name begins with a digit.
pub(super) fn titled(kind: &str, number: u32, name: &str) -> String {
    let room = NAME - kind.len();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.len() <= room && name.chars().all(plain) {
        return format!("{kind}{name}");
    }
    let letters = name
        .chars()
        .map(|letter| if plain(letter) { letter } else { '_' });
    let number = format!("{number}_");
    let rest = letters.take(room.saturating_sub(number.len()));
    format!("{kind}{number}{}", rest.collect::<String>())
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
            map: set_trie(id, &set.name),
            state: set_state(id, &set.name),
            max: *max,
            expires: *expires,
            start: start.clone(),
            table: set_table_plan(policy, id),
        }),
    });
    live.collect()
}

/// The live maps.
pub(super) fn maps(policy: &Policy) -> Vec<LiveMapPlan> {
    let plan = |(id, map): (LiveMapId, &LiveMap)| LiveMapPlan {
        name: map.name.clone(),
        state: map_state(id, &map.name),
        plans: map_plans(id, &map.name),
        heads: map_heads(id, &map.name),
        nodes: map_nodes(id, &map.name),
        trie: map_trie(id, &map.name),
        classes: map_classes(id, &map.name),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_named_after_what_is_declared() {
        let table = [
            ("denied", "set_denied"),
            ("denied_hosts", "set_7_denied_ho"),
            ("bad-guys", "set_7_bad_guys"),
            ("elevenchars", "set_elevenchars"),
        ];
        for (name, expected) in table {
            let found = set_trie(SetId::from_u32(7), name);
            assert_eq!(found, expected);
            assert!(found.len() <= NAME);
        }
        assert_eq!(set_state(SetId::from_u32(7), "denied"), "cur_denied");
        let map = LiveMapId::from_u32(0);
        assert_eq!(map_trie(map, "tenants"), "map_tenants");
        assert_eq!(map_classes(map, "tenants"), "prt_tenants");
    }
}
