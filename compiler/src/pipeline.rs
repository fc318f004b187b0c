//! The whole way from text to artifact: the only place that knows the order of the stages.
//!
//! Takes a source map and the file to compile; gives every stage's result up to the first that refuses. Not here: any
//! stage's own work.

mod analysis;
mod asked;
mod checking;
mod emptiness;
mod limits;
mod live;
mod manifest;
mod options;
mod program_names;
mod reduced;
mod size;
mod winners;

use cranelift_entity::{PrimaryMap, SecondaryMap};
use sockc_grammar::diagnostic::{Code, Diagnostic, Severity};
use sockc_grammar::source::{SourceId, SourceMap, Span};

use crate::artifact::{Artifact, Attach, AttachPoint, Counter, MapKind, MapSpec};
use crate::bulk::Bulk;
use crate::classifier::Summary;
use crate::compose;
use crate::diagram::chain::ChainRoots;
use crate::diagram::concern::concern;
use crate::diagram::flatten::{Flat, flatten};
use crate::diagram::{BudgetExceeded, Store};
use crate::field::FieldSet;
use crate::files::Files;
use crate::ir::{Function, OriginData};
use crate::lint::{self, Care};
use crate::log;
use crate::lower::{self, BUCKET_KEY, GroupMaps, Maps, Meters, PEER_KEY, Source};
use crate::observer::{Observer, Silent};
use crate::place::Chain;
use crate::policy::{Direction, GroupId, Policy};
use crate::reading;
use crate::resolve::codes::MATCHES_NOTHING;
use crate::resolve::resolve_reading;
use crate::tables::{PlacedTable, Tables};

use analysis::{Analysis, Asked, analyse_all, as_it_is, with_inner};
pub use checking::{check_also, check_size};
use limits::Checked;
pub use manifest::Slots;
pub use options::{Counters, Expects, Options};
use program_names::ProgramNames;

/// A policy that says nothing.
pub const SAYS_NOTHING: Code = Code("E0258");
/// A policy that declares names and decides nothing.
pub const DECIDES_NOTHING: Code = Code("W0505");
/// A program would be beyond a limit of the kernel.
pub const TOO_LARGE: Code = Code("E0401");
/// The analysis would need more memory than it may take.
pub const BUDGET: Code = Code("E0402");
/// A lookup is to know the interface, which the target's kernel does not tell it.
pub const NO_INTERFACE: Code = Code("E0403");

/// The codes of this stage, with short titles.
pub const CODES: &[(Code, &str)] = &[
    (
        SAYS_NOTHING,
        "a policy without a rule, a default or a declaration",
    ),
    (
        DECIDES_NOTHING,
        "a policy with neither a rule nor a default",
    ),
    (TOO_LARGE, "a program would be beyond a limit of the kernel"),
    (BUDGET, "the policy is too large to analyse"),
    (
        NO_INTERFACE,
        "this kernel does not tell a socket lookup the interface",
    ),
];

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// What is wrong, and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// The policy, if it could be resolved.
    pub policy: Option<Policy>,
    /// What was built, if nothing is wrong.
    pub built: Option<Built>,
    /// A bug of the compiler: a check between two stages failed. There is no artifact then.
    pub internal: Option<String>,
}

impl Outcome {
    /// Whether there is an error among the diagnostics, or a bug.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.internal.is_some()
            || self
                .diagnostics
                .iter()
                .any(|one| one.severity == Severity::Error)
    }
}

/// Everything behind the resolver.
#[derive(Debug)]
pub struct Built {
    /// The policy with its bulk rules reduced to groups, where it has many.
    pub bulk: Option<Bulk>,
    /// The chains, of the reduced policy if there is one.
    pub chains: Vec<Chain>,
    /// For each chain: its diagrams.
    pub decisions: Vec<Decision>,
    /// For each chain: what is known of its classifier, if it has one.
    pub winners: Vec<Option<Summary>>,
    /// The intermediate form of every program; those of the chains stand first, in order.
    pub functions: Vec<Function>,
    /// What the maps of constant tables hold, and where.
    pub tables: Vec<PlacedTable>,
    /// Programs, maps, manifest, and the same of every namespace.
    pub artifact: Artifact,
    /// What was built for the policies of `for netns` blocks, in order. They have none of their own.
    pub netns: Vec<Built>,
}

impl Built {
    /// The policy that chains and decisions speak of: the one that was compiled, or the reduced one.
    #[must_use]
    pub fn placed<'a>(&'a self, policy: &'a Policy) -> &'a Policy {
        self.bulk.as_ref().map_or(policy, |bulk| &bulk.policy)
    }
}

/// The flattened diagrams of a chain.
#[derive(Debug)]
pub struct Decision {
    /// Which entry decides.
    pub decision: Flat,
    /// Which `count` entries match.
    pub counts: Option<Flat>,
    /// The lists that `counts` names.
    pub lists: Vec<Vec<u32>>,
}

/// Why building stopped.
enum Stop {
    Diagnostics(Vec<Diagnostic>),
    Bug(String),
}

impl From<BudgetExceeded> for Stop {
    fn from(exceeded: BudgetExceeded) -> Self {
        Self::Bug(exceeded.to_string())
    }
}

/// Compiles a file for a target, with everything that it names. `stem` names a policy that has no name of its own.
#[must_use]
pub fn compile<'a>(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    options: impl Into<Options<'a>>,
    files: &mut dyn Files,
) -> Outcome {
    compile_with(sources, id, stem, options.into(), files, Some(Care::Quick))
}

/// Compiles once more what was compiled before: the same, but that no lint is asked.
#[must_use]
pub fn compile_again<'a>(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    options: impl Into<Options<'a>>,
    files: &mut dyn Files,
) -> Outcome {
    compile_with(sources, id, stem, options.into(), files, None)
}

fn compile_with(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    options: Options<'_>,
    files: &mut dyn Files,
    care: Option<Care>,
) -> Outcome {
    work(sources, id, stem, files, |policy, around, observer| {
        let said = sense(around.emptiness)?;
        let asked = Asked::of(options, around.sources, id, care);
        let (analyses, mut warnings) = analyse_all(policy, asked, observer)?;
        let built = build_all(policy, analyses, around.sources, id, options, observer)?;
        warnings.extend(said);
        Ok((Some(built), warnings))
    })
}

/// Says what is wrong with a file and with everything that it names, `expect` lines included. Makes no code.
#[must_use]
pub fn check(sources: &mut SourceMap, id: SourceId, stem: &str, files: &mut dyn Files) -> Outcome {
    work(sources, id, stem, files, |policy, around, observer| {
        let said = sense(around.emptiness)?;
        let (_, mut warnings) = analyse_all(policy, Asked::thorough(around.sources, id), observer)?;
        warnings.extend(said);
        Ok((None, warnings))
    })
}

/// A policy that says nothing is refused; one that decides nothing is warned of.
fn sense(found: Option<Diagnostic>) -> Result<Option<Diagnostic>, Stop> {
    match found {
        Some(found) if found.severity == Severity::Error => Err(Stop::Diagnostics(vec![found])),
        found => Ok(found),
    }
}

/// Says what a file means, with everything that it names; whether its rules can be placed, or whether it says anything, is
/// not asked.
#[must_use]
pub fn resolve(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
) -> Outcome {
    work(sources, id, stem, files, |_, _, _| Ok((None, Vec::new())))
}

/// What is known beside a policy once its text was read.
struct Around<'a> {
    sources: &'a SourceMap,
    /// Whether the text says too little to be a policy.
    emptiness: Option<Diagnostic>,
}

/// Reads and resolves a file, then does with the policy what is to be done.
fn work(
    sources: &mut SourceMap,
    id: SourceId,
    stem: &str,
    files: &mut dyn Files,
    then: impl FnOnce(
        &Policy,
        Around<'_>,
        &mut dyn Observer,
    ) -> Result<(Option<Built>, Vec<Diagnostic>), Stop>,
) -> Outcome {
    if let Some(refusal) = size::of_text(sources, id) {
        return refused(vec![refusal]);
    }
    let (reading, mut diagnostics) = reading::read(sources, id, files);
    let sources = &*sources;
    files.stage("resolve");
    let (policy, found) = resolve_reading(&reading, sources, stem);
    diagnostics.extend(found);
    let too_large = policy
        .as_ref()
        .and_then(|policy| size::of_rules(policy, id));
    diagnostics.extend(too_large);
    let sound = diagnostics
        .iter()
        .all(|found| found.severity != Severity::Error);
    let policy = policy.filter(|_| sound);
    match policy {
        Some(policy) => {
            files.stage("lint");
            diagnostics.extend(lint::text(&reading, sources));
            let emptiness = emptiness::of(&reading.file);
            drop(reading);
            let around = Around { sources, emptiness };
            let done = then(&policy, around, files);
            outcome(policy, diagnostics, done)
        }
        // A mistake may leave a rule without anything to match: that is said once, as the mistake.
        None => {
            let told = |one: &Diagnostic| one.code != MATCHES_NOTHING;
            refused(diagnostics.into_iter().filter(told).collect())
        }
    }
}

/// Nothing but what is wrong.
fn refused(diagnostics: Vec<Diagnostic>) -> Outcome {
    Outcome {
        diagnostics,
        policy: None,
        built: None,
        internal: None,
    }
}

/// What came out of the work on a policy.
fn outcome(
    policy: Policy,
    mut diagnostics: Vec<Diagnostic>,
    done: Result<(Option<Built>, Vec<Diagnostic>), Stop>,
) -> Outcome {
    let mut built = None;
    let mut internal = None;
    match done {
        Ok((made, warnings)) => {
            diagnostics.extend(warnings);
            built = made;
        }
        Err(Stop::Diagnostics(found)) => diagnostics.extend(found),
        Err(Stop::Bug(what)) => internal = Some(what),
    }
    Outcome {
        diagnostics,
        policy: Some(policy),
        built,
        internal,
    }
}

/// Builds a policy and those inside it.
fn build_all(
    policy: &Policy,
    analyses: Vec<Analysis>,
    sources: &SourceMap,
    id: SourceId,
    options: Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Built, Stop> {
    let mut all = with_inner(policy)
        .zip(analyses)
        .map(|(policy, analysis)| build(policy, analysis, sources, id, options, observer));
    let mut built = match all.next() {
        Some(built) => built?,
        None => return Err(Stop::Bug("a policy that is not analysed".into())),
    };
    built.netns = all.collect::<Result<_, _>>()?;
    let inner = policy.netns.iter().zip(&built.netns);
    built.artifact.netns = inner
        .map(|(netns, built)| (netns.name.clone(), built.artifact.clone()))
        .collect();
    let lists = sources.iter().filter(|(_, source)| source.is_list);
    built.artifact.lists = lists
        .map(|(_, list)| (list.name.clone(), list.text.clone()))
        .collect();
    Ok(built)
}

/// The place of what belongs to no statement.
fn start(source: SourceId) -> Span {
    Span {
        source,
        start: 0,
        end: 0,
    }
}

/// Compiles a policy that was resolved from a file.
#[must_use]
pub fn compile_policy<'a>(
    policy: Policy,
    sources: &SourceMap,
    id: SourceId,
    options: impl Into<Options<'a>>,
) -> Outcome {
    let options = options.into();
    let asked = Asked::of(options, sources, id, Some(Care::Quick));
    let analysed = analyse_all(&policy, asked, &mut Silent);
    let built = analysed.and_then(|(analyses, warnings)| {
        let built = build_all(&policy, analyses, sources, id, options, &mut Silent)?;
        Ok((Some(built), warnings))
    });
    outcome(policy, Vec::new(), built)
}

fn build(
    whole: &Policy,
    analysis: Analysis,
    sources: &SourceMap,
    id: SourceId,
    options: Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Built, Stop> {
    let target = options.target;
    let span = start(id);
    let Analysis {
        bulk,
        mut store,
        chains,
        refused,
    } = analysis;
    let budget = |exceeded: BudgetExceeded| {
        let refusal = too_much(&exceeded, span);
        Stop::Diagnostics(vec![without_tables(refusal, refused.as_ref())])
    };
    let policy = bulk.as_ref().map_or(whole, |bulk| &bulk.policy);
    observer.stage("decide");
    let decisions = chains
        .iter()
        .map(|chain| decision(&mut store, policy, chain))
        .collect::<Result<Vec<_>, _>>()
        .map_err(budget)?;
    let doors = chains
        .iter()
        .map(|chain| door(&mut store, policy, chain, options.counters))
        .collect::<Result<Vec<_>, _>>()
        .map_err(budget)?;
    observer.stage("compose");
    // Groups are taken only where this has been checked of them.
    if bulk.is_none() {
        compose::check(policy, &chains, &mut store).map_err(|fault| match fault {
            compose::Fault::TooLarge(exceeded) => budget(exceeded),
            bug => Stop::Bug(bug.to_string()),
        })?;
    }
    observer.stage("tables");
    let slots = Slots::new(whole, &chains, options.counters);
    let mut maps = PrimaryMap::new();
    let tested = asked::fields(&decisions, &doors);
    if let Some(refusal) = asked::refusal(policy, &chains, &decisions, target) {
        return Err(Stop::Diagnostics(vec![refusal]));
    }
    let mut tables = Tables::new(&mut maps, target.limits.table.ours);
    let ids = make_maps(policy, &chains, &tested, &slots, &mut tables);
    let winners = match winners::tables(bulk.as_ref(), whole, &chains, &slots, &mut tables) {
        Ok(winners) => winners,
        Err(unfit) => {
            let told = unfit.told(whole, span);
            if unfit.rules() > MAX_TREE {
                return Err(Stop::Diagnostics(vec![told]));
            }
            // No tables fit: a compare tree may.
            let analysis = Analysis {
                refused: Some(told),
                ..as_it_is(whole)?
            };
            return build(whole, analysis, sources, id, options, observer);
        }
    };
    let tables = tables
        .finish()
        .ok_or_else(|| Stop::Bug("a table is larger than a map can be".into()))?;
    observer.stage("lower");
    let names = ProgramNames::new(policy);
    let head = head(sources, id, policy);
    let mut functions = Vec::new();
    let mut programs = Vec::new();
    let mut attach = Vec::new();
    let mut opened = Vec::new();
    let groups = with_rules(&chains);
    for (((chain, decision), winner), door) in
        chains.iter().zip(&decisions).zip(&winners).zip(&doors)
    {
        let counters = slots.of(chain.hook.direction());
        let own = bulk.as_ref().map(|bulk| bulk.counters(counters));
        let source = Source {
            policy,
            chain,
            decision: &decision.decision,
            counts: decision.counts.as_ref(),
            lists: &decision.lists,
            winner: winner.as_ref().map(|winner| &winner.maps),
            counters: own.as_ref().unwrap_or(counters),
            maps: &ids,
            sockets: &slots.sockets,
            atomics: target.atomics,
            head: &head,
        };
        let name = names.of(chain);
        let group = match chain.group {
            Some(group) => place_of(group, &groups)?,
            None => 0,
        };
        functions.push(lower::lower(source, &name));
        if let (Some(group), Some(door)) = (chain.group, door)
            && let Some(maps) = &ids.groups[group]
        {
            let source = Source {
                decision: door,
                counts: None,
                ..source
            };
            let name = suffixed(policy, "sock_ops", group);
            opened.push((group, lower::sock_ops(source, &name, maps)));
        }
        attach.push(Attach {
            program: name,
            point: AttachPoint::of(chain.hook, group),
            class: chain.class.map(|class| class.as_u32() as usize),
        });
    }
    for (group, function) in opened {
        attach.push(Attach {
            program: function.name.clone(),
            point: AttachPoint::SockOps(place_of(group, &groups)?),
            class: None,
        });
        functions.push(function);
    }
    observer.stage("emit");
    let checked = Checked {
        policy,
        maps: &ids,
        target,
        whole: span,
    };
    let arrives = |chain: &Chain| chain.hook.direction() == Direction::In;
    for (number, function) in functions.iter().enumerate() {
        let concerned = chains.get(number).is_some_and(arrives);
        let program = checked.program(function).map_err(|stop| match stop {
            Stop::Diagnostics(found) if concerned => Stop::Diagnostics(
                found
                    .into_iter()
                    .map(|one| without_tables(one, refused.as_ref()))
                    .collect(),
            ),
            other => other,
        });
        programs.push(program?);
    }
    let manifest = manifest::manifest(whole, sources, &slots, attach, &ids, &groups, target);
    Ok(Built {
        bulk,
        chains,
        decisions,
        winners: winners.into_iter().map(|one| Some(one?.summary)).collect(),
        functions,
        tables,
        artifact: Artifact {
            programs,
            maps,
            manifest,
            lists: Vec::new(),
            netns: Vec::new(),
        },
        netns: Vec::new(),
    })
}

/// Which connections the sock_ops program of a group takes in; nothing for the chains of packets.
fn door(
    store: &mut Store,
    policy: &Policy,
    chain: &Chain,
    counters: Counters,
) -> Result<Option<Flat>, BudgetExceeded> {
    if chain.group.is_none() {
        return Ok(None);
    }
    let root = concern(store, policy, chain, counters == Counters::Kept)?;
    flatten(store, root).map(Some)
}

fn decision(store: &mut Store, policy: &Policy, chain: &Chain) -> Result<Decision, BudgetExceeded> {
    let roots = ChainRoots::build(store, policy, chain)?;
    let counts = roots.counts.map(|root| flatten(store, root)).transpose()?;
    Ok(Decision {
        decision: flatten(store, roots.decision)?,
        counts,
        lists: roots.lists,
    })
}

/// The same, with why the rules are not in tables, where that is why.
fn without_tables(mut refusal: Diagnostic, why: Option<&Diagnostic>) -> Diagnostic {
    if let Some(why) = why {
        let text = format!("tables were not possible: {}", why.message);
        refusal = refusal.also(why.primary.span, text);
        refusal.secondary.extend(why.secondary.iter().cloned());
    }
    refusal
}

/// The maximum number of plain rules for which a compare tree is tried where tables cannot hold them. Of so many that cross so often that
/// no tables do, a tree is as large.
const MAX_TREE: usize = 2_000;

pub(crate) fn too_much(exceeded: &BudgetExceeded, span: Span) -> Diagnostic {
    Diagnostic::error(
        BUDGET,
        "the policy is too large to analyse",
        span,
        exceeded.to_string(),
    )
    .help("split it, or use fewer different address and port ranges in one list")
}

/// Code of no rule is said to come from the first line of the policy.
fn head(sources: &SourceMap, id: SourceId, policy: &Policy) -> OriginData {
    OriginData {
        file: sources.get(id).name.clone(),
        line: 1,
        column: 1,
        text: format!("policy {}", policy.name),
    }
}

/// With several groups, each has programs and maps of its own.
fn suffixed(policy: &Policy, stem: &str, group: GroupId) -> String {
    if policy.groups.len() == 1 {
        stem.into()
    } else {
        format!("{stem}_{}", group.as_u32())
    }
}

/// The groups that rules or a default speak of, in the manifest's order. Others are not looked for on the machine.
fn with_rules(chains: &[Chain]) -> Vec<GroupId> {
    chains.iter().filter_map(|chain| chain.group).collect()
}

/// The index of a group in the manifest.
fn place_of(group: GroupId, groups: &[GroupId]) -> Result<usize, Stop> {
    let place = groups.iter().position(|one| *one == group);
    place.ok_or_else(|| Stop::Bug(format!("{group} has programs and is not in the manifest")))
}

fn make_maps(
    policy: &Policy,
    chains: &[Chain],
    tested: &FieldSet,
    slots: &Slots,
    tables: &mut Tables<'_>,
) -> Maps {
    let maps = tables.maps();
    let grouped = chains.iter().any(|chain| chain.group.is_some());
    let kept = slots.kept == Counters::Kept;
    let count = slots.count.max(1);
    let counting =
        (kept || grouped).then(|| maps.push(map("counters", MapKind::PerCpuArray, 4, 16, count)));
    // An entry of a live map leads to a slot, also while no rule asks the map.
    let led_to = !policy.live_maps.is_empty() || asked::steers(chains, tested);
    let steered = slots.socket_count > 0 && led_to;
    let sockets =
        steered.then(|| maps.push(map("sockets", MapKind::SockMap, 4, 8, slots.socket_count)));
    let out_count = policy.out_interfaces.next_key().as_u32();
    let out_interfaces =
        (out_count > 0).then(|| maps.push(map("ports", MapKind::DevMap, 4, 8, out_count)));
    let answering = chains.iter().any(lower::answers);
    let meters = Meters::new(policy, if answering { lower::KINDS } else { 0 });
    let rates =
        (meters.rates > 0).then(|| maps.push(map("rates", MapKind::Array, 4, 8, meters.rates)));
    let buckets = (meters.shared > 0).then(|| {
        let entries = meters.shared.saturating_mul(BUCKETS).min(MAX_BUCKETS);
        maps.push(map("buckets", MapKind::LruHash, BUCKET_KEY, 8, entries))
    });
    let answers = answering.then(|| {
        let most = lower::MAX_RECEIVERS;
        maps.push(map("answers", MapKind::LruHash, BUCKET_KEY, 8, most))
    });
    let log = logs(policy).then(|| maps.push(map("log", MapKind::RingBuf, 0, 0, log::RING)));
    let mut groups = SecondaryMap::new();
    for group in with_rules(chains) {
        let peers = maps.push(map(
            &suffixed(policy, "peers", group),
            MapKind::SockHash,
            PEER_KEY,
            8,
            MAX_PEERS,
        ));
        let [storage, aside] = ["storage", "aside"].map(|stem| {
            let mut spec = map(
                &suffixed(policy, stem, group),
                MapKind::SkStorage,
                4,
                PEER_KEY,
                0,
            );
            spec.flags = crate::bpf::constant::BPF_F_NO_PREALLOC;
            maps.push(spec)
        });
        groups[group] = counting.map(|counters| GroupMaps {
            peers,
            storage,
            aside,
            counters,
            escaped: slots.escaped[group],
        });
    }
    let sets = asked::sets(policy, tested, tables);
    let maps = tables.maps();
    let entries = asked::entries(policy, maps);
    let namespaces = asked::namespaces(policy, maps);
    let interfaces = asked::interfaces(tested, maps);
    let noticed = kept || log.is_some();
    let asking = (noticed && asked::lookups(chains, tested))
        .then(|| maps.push(map("asking", MapKind::PerCpuArray, 4, 8, 1)));
    Maps {
        counters: counting.filter(|_| kept),
        sockets,
        out_interfaces,
        rates,
        buckets,
        answers,
        log,
        meters,
        groups,
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

/// Whether anything of a policy logs.
fn logs(policy: &Policy) -> bool {
    policy.rules.values().any(|rule| rule.log.is_some())
        || policy.defaults.iter().any(|line| line.log.is_some())
}

/// Connections of one group that can be taken in; more of them go by plain TCP and are counted as escaped.
const MAX_PEERS: u32 = 65_536;

fn map(name: &str, kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec {
        name: name.into(),
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        data: None,
    }
}

/// The direction's name in JSON and messages.
#[must_use]
pub fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
        Direction::Send => "send",
    }
}

/// Which lists counters are kept for, in order.
const DIRECTIONS: [Direction; 3] = [Direction::In, Direction::Out, Direction::Send];

/// A counter without a label, of no statement.
fn bare(
    kind: crate::artifact::CounterKind,
    text: String,
    direction: &str,
    verdict: &str,
) -> Counter {
    Counter {
        kind,
        label: None,
        text,
        file: String::new(),
        line: 0,
        direction: direction.into(),
        verdict: verdict.into(),
        audit: false,
        log: None,
        counted: true,
    }
}

#[cfg(test)]
mod tests;
