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
use crate::chain::Chain;
use crate::diagram::flatten::Flat;
use crate::ir::Function;
use crate::location::Location;
use crate::lower::{self, CounterSlots, Source};
use crate::policy::{GroupId, Policy};

/// The intermediate form of every program.
pub(super) struct Lowered {
    /// Those of the chains stand first, in order; two that are for one place are one.
    pub(super) functions: Vec<Function>,
    /// For each chain the index of its function.
    pub(super) of_chains: Vec<usize>,
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
        of_chains: Vec::new(),
        attach: Vec::new(),
    };
    let own: Vec<Option<CounterSlots>> = analysis
        .chains
        .iter()
        .map(|chain| {
            let counters = tabled.slots.of(chain.hook.direction());
            analysis.bulk.as_ref().map(|bulk| bulk.counters(counters))
        })
        .collect();
    let source = |number: usize| {
        let chain = &analysis.chains[number];
        let decision = &decided.decisions[number];
        Source {
            policy,
            chain,
            decision: &decision.decision,
            counts: decision.counts.as_ref(),
            lists: &decision.lists,
            classifier: tabled.classifiers[number].as_ref().map(|one| &one.maps),
            counters: own[number]
                .as_ref()
                .unwrap_or(tabled.slots.of(chain.hook.direction())),
            maps: &tabled.maps,
            sockets: &tabled.slots.sockets,
            ends: &tabled.slots.ends,
            atomics: job.options.target.atomics,
            head: &head,
        }
    };
    let mut doors = Vec::new();
    for (number, chain) in analysis.chains.iter().enumerate() {
        chains.of_chains.push(chains.functions.len());
        let behind = analysis.chains.iter().skip(number + 1);
        if behind.clone().any(|other| is_one_program(chain, other)) {
            continue;
        }
        let mut ahead = analysis.chains.iter().take(number);
        let ahead = ahead.position(|other| is_one_program(other, chain));
        let group = match chain.group {
            Some(group) => place_of(group, &groups)?,
            None => 0,
        };
        let class = chain.class.map(|class| class.as_u32() as usize);
        if let Some(ahead) = ahead {
            chains.of_chains[ahead] = chains.functions.len();
        }
        let function = lower::lower(ahead.map(source), source(number), &names.of(chain));
        chains.push(function, (chain.hook.spec().attach)(group), class);
        let door = door(source(number), decided.doors[number].as_ref());
        doors.extend(door.map(|door| (group, door)));
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

/// Whether the lists of two chains are for one place, so that they are one program: what passes through is decided ahead of what
/// leaves.
fn is_one_program(chain: &Chain, other: &Chain) -> bool {
    let place = |chain: &Chain| (chain.hook.spec().attach)(0);
    chain.class.is_some() && chain.class == other.class && place(chain) == place(other)
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
