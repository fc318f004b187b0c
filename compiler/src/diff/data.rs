//! Sets, maps and settings that are not the same in two policies.
//!
//! Takes what policies declare; gives counts, a few examples, and sentences. Not here: what follows for packets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::declared;
use super::groups;
use super::region::items;
use super::report::{Data, Only};
use super::splices;
use crate::packet::text::contents::entry_words;
use crate::policy::{AddressSet, LiveMap, Policy, Set, SetKind};

/// So many elements are shown.
const EXAMPLES: usize = 3;

/// The sets and maps that do not hold the same, by kind and name.
pub(super) fn data(old: &Policy, new: &Policy) -> Vec<Data> {
    let mut found = Vec::new();
    let names: BTreeSet<&String> = old
        .named
        .iter()
        .chain(&new.named)
        .map(|(name, _)| name)
        .collect();
    for name in names {
        let of = |policy: &'_ Policy| policy.named.iter().position(|(other, _)| other == name);
        let left = of(old).map(|place| &old.named[place].1);
        let right = of(new).map(|place| &new.named[place].1);
        found.extend(constant(name, left, right));
    }
    let mut found = renamed(found, old, new);
    let names = old.live_sets().into_iter().chain(new.live_sets());
    for name in names.collect::<BTreeSet<String>>() {
        let of = |policy: &'_ Policy| {
            let sets = policy.sets.values();
            sets.filter(|set| set.name == name).find_map(live_set)
        };
        let around = [old, new].map(|policy| policy.around.contains(&name));
        found.extend(live_sets(&name, of(old).as_ref(), of(new).as_ref(), around));
    }
    let maps = old.live_maps.values().chain(new.live_maps.values());
    let names: BTreeSet<&String> = maps.map(|map| &map.name).collect();
    for name in names {
        let left = old.live_maps.values().find(|map| map.name == *name);
        let right = new.live_maps.values().find(|map| map.name == *name);
        found.extend(live_maps(name, (old, left), (new, right)));
    }
    found
}

fn constant(name: &str, old: Option<&AddressSet>, new: Option<&AddressSet>) -> Option<Data> {
    if old == new {
        return None;
    }
    let nothing = AddressSet::default();
    let (left, right) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
    let (gained, lost) = (items(&right.minus(left)), items(&left.minus(right)));
    Some(Data {
        sizes: (items(left).len(), items(right).len()),
        only: only(old.is_some(), new.is_some()),
        ..elements(format!("set {name}"), gained, lost)
    })
}

/// Of sets that are gone and sets that are new, those that hold the same are one under another name.
fn renamed(found: Vec<Data>, old: &Policy, new: &Policy) -> Vec<Data> {
    let held = |policy: &'_ Policy, data: &Data| {
        let mut named = policy.named.iter();
        let own = named.find(|(name, _)| format!("set {name}") == data.name);
        own.map(|(_, set)| set.clone())
    };
    let (mut gone, mut rest): (Vec<Data>, Vec<Data>) = found
        .into_iter()
        .partition(|data| data.only == Some(Only::Old));
    for data in rest
        .iter_mut()
        .filter(|data| data.only == Some(Only::New) && data.sizes.1 > 0)
    {
        let mut before = gone.iter();
        let Some(place) = before.position(|one| held(old, one) == held(new, data)) else {
            continue;
        };
        let was = gone.remove(place);
        *data = Data {
            was_called: Some(was.name),
            sizes: data.sizes,
            ..elements(data.name.clone(), Vec::new(), Vec::new())
        };
        data.sizes.0 = was.sizes.0;
    }
    rest.append(&mut gone);
    rest.sort_by(|one, other| one.name.cmp(&other.name));
    rest
}

fn only(old: bool, new: bool) -> Option<Only> {
    match (old, new) {
        (true, false) => Some(Only::Old),
        (false, true) => Some(Only::New),
        _ => None,
    }
}

fn elements(name: String, gained: Vec<String>, lost: Vec<String>) -> Data {
    Data {
        name,
        gained: gained.len(),
        lost: lost.len(),
        gained_examples: gained.into_iter().take(EXAMPLES).collect(),
        lost_examples: lost.into_iter().take(EXAMPLES).collect(),
        ..Data::default()
    }
}

/// What is declared of a live set.
struct Live {
    max: u32,
    expires: Option<u64>,
    start: BTreeSet<(IpAddr, u8)>,
}

fn live_set(set: &Set) -> Option<Live> {
    match &set.kind {
        SetKind::Live {
            max,
            expires,
            start,
        } => Some(Live {
            max: *max,
            expires: *expires,
            start: start.iter().copied().collect(),
        }),
        SetKind::Constant(_) => None,
    }
}

/// `around`: whether the set of this name is that of the policy around, in each of the policies.
fn live_sets(
    name: &str,
    old: Option<&Live>,
    new: Option<&Live>,
    around: [bool; 2],
) -> Option<Data> {
    let nothing = Live {
        max: 0,
        expires: None,
        start: BTreeSet::new(),
    };
    let (left, right) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
    let words = |one: &BTreeSet<(IpAddr, u8)>, other: &BTreeSet<(IpAddr, u8)>| -> Vec<String> {
        let only = one.difference(other);
        only.map(|(address, length)| format!("{address}/{length}"))
            .collect()
    };
    let mut settings = Vec::new();
    if old.is_some() && new.is_some() {
        if left.max != right.max {
            settings.push(format!("max {} -> {}", left.max, right.max));
        }
        if left.expires != right.expires {
            let time = |time: Option<u64>| match time {
                Some(milliseconds) => format!("{}s", milliseconds as f64 / 1000.0),
                None => "never".into(),
            };
            settings.push(format!(
                "expires {} -> {}",
                time(left.expires),
                time(right.expires)
            ));
        }
        match around {
            [false, true] => settings.push("that of the policy around from now on".to_owned()),
            [true, false] => settings.push("the block's own from now on".to_owned()),
            [true, true] | [false, false] => {}
        }
    }
    let only = only(old.is_some(), new.is_some());
    let data = Data {
        sizes: (left.start.len(), right.start.len()),
        only,
        stays: only.is_some() && around == [true, true],
        settings,
        live: true,
        ..elements(
            format!("live set {name}"),
            words(&right.start, &left.start),
            words(&left.start, &right.start),
        )
    };
    differs(data)
}

fn differs(data: Data) -> Option<Data> {
    let same = data.gained + data.lost == 0 && data.settings.is_empty() && data.only.is_none();
    (!same).then_some(data)
}

fn live_maps(
    name: &str,
    (old_policy, old): (&Policy, Option<&LiveMap>),
    (new_policy, new): (&Policy, Option<&LiveMap>),
) -> Option<Data> {
    let entries = |policy: &Policy, map: Option<&LiveMap>| -> BTreeSet<String> {
        let entries = map.into_iter().flat_map(|map| &map.start);
        entries.map(|entry| entry_words(policy, entry)).collect()
    };
    let (left, right) = (entries(old_policy, old), entries(new_policy, new));
    let words = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
        one.difference(other).cloned().collect()
    };
    let mut settings = Vec::new();
    if let (Some(old), Some(new)) = (old, new)
        && old.max != new.max
    {
        settings.push(format!("max {} -> {}", old.max, new.max));
    }
    differs(Data {
        sizes: (left.len(), right.len()),
        only: only(old.is_some(), new.is_some()),
        settings,
        live: true,
        ..elements(
            format!("live map {name}"),
            words(&right, &left),
            words(&left, &right),
        )
    })
}

/// What is declared otherwise and touches no rule by itself.
pub(super) fn settings(old: &Policy, new: &Policy) -> Vec<String> {
    let mut found = declared::settings(old, new);
    found.extend(groups::settings(old, new));
    found.extend(splices::settings(old, new));
    found
}
