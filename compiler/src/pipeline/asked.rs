//! The maps that questions are put to: tables of constant sets, tries of live sets and live maps, what the runtime fills in.
//!
//! Live sets and live maps always have their maps, since the manifest speaks of them; a table is there if a program
//! searches it.

use cranelift_entity::{PrimaryMap, SecondaryMap};
use sockc_grammar::diagnostic::Diagnostic;

use super::compilation::{Decision, NO_INTERFACE};
use super::live;
use crate::artifact::{MapId, MapKind, MapSpec, SetTablePlan, map_keys, set_keys};
use crate::bpf::constant::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use crate::chain::{Chain, Effect};
use crate::diagram::flatten::Flat;
use crate::entry_table;
use crate::field::{Field, FieldKind, FieldSet};
use crate::hook::Hook;
use crate::lower::{LiveMapMaps, LiveSetMaps, MemberTableMaps, SetMaps, SetTables};
use crate::member_table;
use crate::policy::{LiveMapId, Policy, SetId, SetKind};
use crate::tables::Tables;
use crate::target::Target;

/// Sizes of keys and values, as `SetPlan` and `LiveMapPlan` say.
const SET_KEY: u32 = 24;
const SET_VALUE: u32 = 24;
const SET_STATE: u32 = 24;
const MAP_KEY: u32 = 28;
const MAP_VALUE: u32 = 8;

/// The ports of both sides.
const PORTS: u32 = entry_table::SIDES * 65_536;

/// Interfaces whose class a lookup can know; each is an entry of a hash map that is made as it is needed.
const MAX_INTERFACES: u32 = 65_536;

type Specs = PrimaryMap<MapId, MapSpec>;

/// The fields that a chain's trees test.
fn fields_of(decision: &Decision) -> impl Iterator<Item = Field> {
    let flats = [Some(&decision.decision), decision.counts.as_ref()];
    flats.into_iter().flatten().flat_map(Flat::fields)
}

/// The fields that the trees of all chains test, and those at the doors of groups.
pub(super) fn fields(decisions: &[Decision], doors: &[Option<Flat>]) -> FieldSet {
    let doors = doors.iter().flatten().flat_map(Flat::fields);
    decisions.iter().flat_map(fields_of).chain(doors).collect()
}

/// Whether programs look into the slots of named sockets.
pub(super) fn steers(chains: &[Chain], tested: &FieldSet) -> bool {
    let hands_over = |chain: &Chain| {
        let mut entries = chain.entries.iter();
        chain.hook == Hook::SkLookup || entries.any(|entry| entry.effect == Effect::Intercept)
    };
    chains.iter().any(hands_over)
        || tested
            .iter()
            .any(|field| matches!(field.kind(), FieldKind::Absent | FieldKind::Entry))
}

/// Whether packet programs look sockets up, for which the kernel runs the program of lookups.
pub(super) fn lookups(chains: &[Chain], tested: &FieldSet) -> bool {
    let asks = |field: Field| field.kind() == FieldKind::Socket;
    chains.iter().any(|chain| chain.hook == Hook::SkLookup) && tested.iter().any(asks)
}

/// Why a lookup is refused that asks for the interface where the kernel does not tell it.
pub(super) fn refusal(
    policy: &Policy,
    chains: &[Chain],
    decisions: &[Decision],
    target: &Target,
) -> Option<Diagnostic> {
    let asks = |decision: &Decision| fields_of(decision).any(|field| field == Field::Interface);
    let lookup = chains
        .iter()
        .zip(decisions)
        .find(|(chain, decision)| chain.hook == Hook::SkLookup && asks(decision));
    let (chain, _) = lookup.filter(|_| !target.lookup_interface)?;
    let mut rules = chain.entries.iter().map(|entry| &policy.rules[entry.rule]);
    let rule = rules.find(|rule| rule.matches.on.is_some())?;
    let label = format!(
        "the lookup that runs this rule has to know the interface; target {} does not tell it",
        target.name
    );
    let refusal = Diagnostic::error(
        NO_INTERFACE,
        "this kernel does not tell a socket lookup the interface",
        rule.place.span,
        label,
    );
    Some(refusal.help("write the rule without `on`, or compile for Linux 5.17 or later"))
}

/// How every set is asked that a tree asks for, and the tries of all live sets.
pub(super) fn sets(
    policy: &Policy,
    tested: &FieldSet,
    tables: &mut Tables<'_>,
) -> SecondaryMap<SetId, Option<SetMaps>> {
    let mut asked = SecondaryMap::new();
    for (id, set) in &policy.sets {
        asked[id] = match &set.kind {
            SetKind::Constant(_) if !tested.any(&[Field::ToIn(id), Field::FromIn(id)]) => None,
            SetKind::Constant(addresses) => {
                let name = live::set_table(id);
                Some(SetMaps::Tables(SetTables::new(addresses, &name, tables)))
            }
            SetKind::Live { max, .. } => {
                let name = live::set_trie(id, &set.name);
                let trie = trie(&name, SET_KEY, SET_VALUE, set_keys(*max));
                let state = live::set_state(id, &set.name);
                let table = live::set_table_plan(policy, id);
                let size = table.as_ref().map_or(SET_STATE, |_| member_table::STATE);
                let state = MapSpec::new(&state, MapKind::Array, 4, size, 1);
                let maps = tables.maps();
                Some(SetMaps::Live(LiveSetMaps {
                    trie: maps.push(trie),
                    state: maps.push(state),
                    table: table.map(|table| member_table(table, *max, maps)),
                }))
            }
        };
    }
    asked
}

/// The table of a live set.
fn member_table(plan: SetTablePlan, max: u32, maps: &mut Specs) -> MemberTableMaps {
    let (heads, nodes) = (member_table::heads(max), member_table::nodes(max));
    let plans = shared(plan.plans, member_table::PLAN, entry_table::SIDES);
    MemberTableMaps {
        plans: maps.push(plans),
        heads: maps.push(shared(plan.heads, entry_table::HEAD, heads)),
        head_bits: member_table::head_bits(max),
        nodes: maps.push(shared(plan.nodes, entry_table::NODE, nodes)),
    }
}

/// The tables, tries and port classes of the live maps.
pub(super) fn entries(
    policy: &Policy,
    maps: &mut Specs,
) -> SecondaryMap<LiveMapId, Option<LiveMapMaps>> {
    let mut asked = SecondaryMap::new();
    for (id, data) in &policy.live_maps {
        let (name, max) = (&data.name, data.max);
        let plans = entry_table::SIDES * entry_table::PLANS;
        asked[id] = Some(LiveMapMaps {
            state: maps.push(shared(live::map_state(id, name), entry_table::STATE, 1)),
            plans: maps.push(shared(live::map_plans(id, name), entry_table::PLAN, plans)),
            heads: maps.push(shared(
                live::map_heads(id, name),
                entry_table::HEAD,
                entry_table::heads(max),
            )),
            head_bits: entry_table::head_bits(max),
            nodes: maps.push(shared(
                live::map_nodes(id, name),
                entry_table::NODE,
                entry_table::nodes(max),
            )),
            trie: maps.push(trie(
                &live::map_trie(id, &data.name),
                MAP_KEY,
                MAP_VALUE,
                map_keys(data.max),
            )),
            classes: maps.push(MapSpec::new(
                live::map_classes(id, &data.name),
                MapKind::Array,
                4,
                4,
                PORTS,
            )),
        });
    }
    asked
}

/// The ids of the namespaces that conditions name.
pub(super) fn namespaces(policy: &Policy, maps: &mut Specs) -> Option<MapId> {
    let count = policy.namespaces.next_key().as_u32();
    let spec = MapSpec::new("namespaces", MapKind::Array, 4, 4, count);
    (count > 0).then(|| maps.push(spec))
}

/// The classes of interfaces. Only sk_lookup asks; a program of a packet hook knows its class.
pub(super) fn interfaces(tested: &FieldSet, maps: &mut Specs) -> Option<MapId> {
    tested.contains(Field::Interface).then(|| {
        let mut spec = MapSpec::new("interfaces", MapKind::Hash, 4, 4, MAX_INTERFACES);
        spec.flags = BPF_F_NO_PREALLOC;
        maps.push(spec)
    })
}

/// An array that a runtime writes in its own memory.
fn shared(name: String, value_size: u32, max_entries: u32) -> MapSpec {
    let mut spec = MapSpec::new(name, MapKind::Array, 4, value_size, max_entries);
    spec.flags = BPF_F_MMAPABLE;
    spec
}

fn trie(name: &str, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    let mut spec = MapSpec::new(name, MapKind::LpmTrie, key_size, value_size, max_entries);
    spec.flags = BPF_F_NO_PREALLOC;
    spec
}
