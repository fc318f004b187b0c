//! The functions of all programs of a policy, and where each is attached.
//!
//! Takes a placed policy with its diagrams and maps. Not here: how a function is made (`lower`).

use sockc_grammar::source::{SourceId, SourceMap};

use super::analysis::Analysis;
use super::compilation::Stop;
use super::decided::Decided;
use super::options::Job;
use super::program_names::{ProgramNames, suffixed, with_rules};
use super::spliced;
use super::tabled::Tabled;
use crate::artifact::{Attach, AttachPoint};
use crate::diagram::flatten::Flat;
use crate::ir::Function;
use crate::location::Location;
use crate::lower::{self, Source};
use crate::policy::{GroupId, Policy};

/// The intermediate form of every program.
pub(super) struct Lowered {
    /// Those of the chains stand first, in order.
    pub(super) functions: Vec<Function>,
    /// Where each is attached.
    pub(super) attach: Vec<Attach>,
}

/// Makes them.
pub(super) fn lower(
    whole: &Policy,
    analysis: &Analysis,
    decided: &Decided,
    tabled: &Tabled,
    job: Job<'_>,
) -> Result<Lowered, Stop> {
    let policy = analysis.placed(whole);
    let names = ProgramNames::new(policy);
    let head = head(job.sources, job.id, policy);
    let groups = with_rules(&analysis.chains);
    let mut chains = Lowered {
        functions: Vec::new(),
        attach: Vec::new(),
    };
    let mut doors = Vec::new();
    for (number, chain) in analysis.chains.iter().enumerate() {
        let counters = tabled.slots.of(chain.hook.direction());
        let own = analysis.bulk.as_ref().map(|bulk| bulk.counters(counters));
        let decision = &decided.decisions[number];
        let source = Source {
            policy,
            chain,
            decision: &decision.decision,
            counts: decision.counts.as_ref(),
            lists: &decision.lists,
            classifier: tabled.classifiers[number].as_ref().map(|one| &one.maps),
            counters: own.as_ref().unwrap_or(counters),
            maps: &tabled.maps,
            sockets: &tabled.slots.sockets,
            ends: &tabled.slots.ends,
            atomics: job.options.target.atomics,
            head: &head,
        };
        let group = match chain.group {
            Some(group) => place_of(group, &groups)?,
            None => 0,
        };
        let class = chain.class.map(|class| class.as_u32() as usize);
        let function = lower::lower(source, &names.of(chain));
        chains.push(function, (chain.hook.spec().attach)(group), class);
        doors.extend(door(source, decided.doors[number].as_ref()).map(|door| (group, door)));
    }
    for (group, [door, layer]) in doors {
        chains.push(door, AttachPoint::SockOps(group), None);
        chains.push(layer, AttachPoint::Setsockopt(group), None);
    }
    for (function, point) in spliced::programs(policy, &tabled.maps.splices) {
        chains.push(function, point, None);
    }
    Ok(chains)
}

impl Lowered {
    fn push(&mut self, function: Function, point: AttachPoint, class: Option<usize>) {
        self.attach.push(Attach {
            program: function.name.clone(),
            point,
            class,
        });
        self.functions.push(function);
    }
}

/// The sock_ops program of a group, and the setsockopt program that keeps what it takes in as it is.
fn door(source: Source<'_>, door: Option<&Flat>) -> Option<[Function; 2]> {
    let group = source.chain.group?;
    let maps = source.maps.groups[group].as_ref()?;
    let [name, layer] = ["sock_ops", "setsockopt"].map(|stem| suffixed(source.policy, stem, group));
    let source = Source {
        decision: door?,
        counts: None,
        ..source
    };
    let layer = lower::setsockopt(&layer, source.head.clone());
    Some([lower::sock_ops(source, &name, maps), layer])
}

/// Code of no rule is said to come from the first line of the policy.
fn head(sources: &SourceMap, id: SourceId, policy: &Policy) -> Location {
    let text = format!("policy {}", policy.name);
    Location::new(sources.get(id).name.as_str(), 1, text)
}

/// The index of a group in the manifest.
fn place_of(group: GroupId, groups: &[GroupId]) -> Result<usize, Stop> {
    let place = groups.iter().position(|one| *one == group);
    place.ok_or_else(|| Stop::Bug(format!("{group} has programs and is not in the manifest")))
}
