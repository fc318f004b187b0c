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
    for (group, door) in doors {
        chains.push(door.taking_in, AttachPoint::SockOps(group), None);
        chains.push(door.layer, AttachPoint::Setsockopt(group), None);
        if let Some(leaving) = door.leaving {
            chains.push(leaving, AttachPoint::CgroupSkbOut(group), None);
        }
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

/// What a group has programs for whose sockets are taken in.
struct Door {
    /// Its sock_ops program.
    taking_in: Function,
    /// The setsockopt program that keeps what that takes in as it is.
    layer: Function,
    /// The one that sees what those send that could not be taken in, where they may send nothing.
    leaving: Option<Function>,
}

/// The programs of a chain's group, if the chain is the one that has its door.
fn door(source: Source<'_>, door: Option<&Flat>) -> Option<Door> {
    let group = source.chain.group?;
    let maps = source.maps.groups[group].as_ref()?;
    let name = |stem| suffixed(source.policy, stem, group);
    let source = Source {
        decision: door?,
        counts: None,
        ..source
    };
    let head = || source.head.clone();
    let leaving = maps.refused;
    Some(Door {
        taking_in: lower::sock_ops(source, &name("sock_ops"), maps),
        layer: lower::setsockopt(&name("setsockopt"), head()),
        leaving: leaving.map(|slot| lower::leaving(&name("leaving"), head(), maps, slot)),
    })
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
