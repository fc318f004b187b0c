//! Random policies against everything that claims to know what they mean: the reference meaning, the diagrams, our own
//! interpreter on the bytes, and the kernel.
//!
//! Policies are of the plain part of the language and of the whole of it. `SOCKC_POLICIES` sets how many of each (60),
//! `SOCKC_FRAMES` how many frames each policy gets (500; every one arrives and leaves), `SOCKC_SEED` where they begin. The
//! whole campaign, of 1.2 million frames in the kernel:
//! `SOCKC_POLICIES=300 SOCKC_FRAMES=1000 cargo test --test differential kernel -- --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test of files of its own ends where something is wrong"
)]

mod answer;
mod calls;
mod cases;
mod context;
mod drawn;
mod effects;
mod expected;
#[path = "../bench/frame.rs"]
#[allow(dead_code, reason = "the benchmarks use more of it")]
mod frame;
mod held;
mod interpreted;
mod iptables;
mod kernel;
mod live_maps;
mod live_sets;
mod made;
mod nft;
mod passing;
mod policies;
#[path = "../bench/rules/mod.rs"]
#[allow(dead_code, reason = "the benchmarks use more of it")]
mod rules;
mod simulated;
#[path = "../kernels/syscalls.rs"]
#[allow(dead_code, reason = "the guest uses more of it")]
mod syscalls;
mod tables;
mod tubular;
mod world;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use sockc_compiler::artifact::{AttachPoint, Program};
use sockc_compiler::bulk::Structure;
use sockc_compiler::files::Texts;
use sockc_compiler::hook::Hook;
use sockc_compiler::pipeline::{self, Built, Compilation, Options as Compile, TOO_LARGE};
use sockc_compiler::policy::{ClassId, Direction, GroupId, Policy};
use sockc_compiler::target::Target;
use sockc_compiler::verifier_cost::VerifierCost;
use sockc_grammar::diagnostic::Severity;
use sockc_grammar::source::SourceMap;
use sockc_testing::Rng;
use sockc_testing::{Features, Options};

use drawn::Drawn;
use policies::{closed, in_namespace, long, mixed};

/// Socket lookups for each policy.
const LOOKUPS: usize = 200;
/// Policies of each kind, unless said otherwise.
const POLICIES: u64 = 60;
/// How often the rules that cannot be placed are taken out of a policy.
const REPAIRS: usize = 20;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// A policy of the language, compiled.
pub(crate) struct Subject {
    pub(crate) text: String,
    pub(crate) policy: Policy,
    pub(crate) built: Built,
}

impl Subject {
    fn random(seed: u64, rules: usize, structure: Structure, target: &Target) -> Self {
        let text = listed(seed, &closed(seed, Options::everything(rules)));
        Self::placeable(text, structure, target)
    }

    fn whole(
        seed: u64,
        rules: usize,
        features: Features,
        structure: Structure,
        target: &Target,
    ) -> Self {
        let options = Options {
            features,
            ..Options::whole(rules)
        };
        Self::placeable(listed(seed, &closed(seed, options)), structure, target)
    }

    /// A policy without the rules that no hook can be found for.
    fn placeable(mut text: String, structure: Structure, target: &Target) -> Self {
        for _ in 0..REPAIRS {
            let (sources, outcome) = compile(&text, structure, target);
            if outcome
                .diagnostics
                .iter()
                .any(|found| found.code == TOO_LARGE)
            {
                // The rules stand after the declarations: the last quarter goes.
                let count = text.lines().count() * 3 / 4;
                text = text
                    .lines()
                    .take(count)
                    .map(|line| format!("{line}\n"))
                    .collect();
                continue;
            }
            let errors = outcome.diagnostics.iter();
            let wrong: Vec<usize> = errors
                .filter(|found| found.severity == Severity::Error)
                .map(|found| {
                    let source = sources.get(found.primary.span.source);
                    source.text[..found.primary.span.start as usize]
                        .matches('\n')
                        .count()
                })
                .collect();
            if wrong.is_empty() {
                break;
            }
            let lines = text.lines().enumerate();
            let kept = lines.filter(|(number, _)| !wrong.contains(number));
            text = kept.map(|(_, line)| format!("{line}\n")).collect();
        }
        Self::compiled(text, structure, target)
    }

    fn compiled(text: String, structure: Structure, target: &Target) -> Self {
        let (_, outcome) = compile(&text, structure, target);
        assert!(
            !outcome.failed(),
            "{text}\n{:?}\n{}",
            outcome.internal,
            outcome
                .diagnostics
                .iter()
                .map(|d| format!("{d:?}\n"))
                .collect::<String>()
        );
        Self {
            text,
            policy: outcome.policy.unwrap(),
            built: outcome.built.unwrap(),
        }
    }

    /// What stands in the only block for a network namespace.
    fn inner(self) -> Self {
        let Self {
            text,
            policy,
            built,
        } = self;
        let (mut blocks, mut built) = (policy.netns, built.netns);
        assert_eq!((blocks.len(), built.len()), (1, 1), "{text}");
        Self {
            text,
            policy: blocks.remove(0).policy,
            built: built.remove(0),
        }
    }

    /// The program at an attach point, for a class of interfaces.
    pub(crate) fn program(&self, point: &AttachPoint, class: Option<ClassId>) -> Option<&Program> {
        let class = class.map(|class| class.as_u32() as usize);
        let mut attached = self.built.artifact.manifest.programs.iter();
        let attach = attached.find(|one| one.point == *point && one.class == class)?;
        let mut programs = self.built.artifact.programs.iter();
        programs.find(|program| program.name == attach.program)
    }

    pub(crate) fn has_packet_hooks(&self, direction: Direction, class: ClassId) -> bool {
        let mut points = points(direction).iter();
        points.any(|point| self.program(point, Some(class)).is_some())
    }

    /// Whether what a group does meets a program.
    pub(crate) fn decides(&self, direction: Direction, group: GroupId) -> bool {
        let name = &self.policy.groups[group].name;
        let mut groups = self.built.artifact.manifest.groups.iter();
        let place = groups.position(|plan| plan.name == *name);
        let mut hooks = Hook::of(direction);
        place.is_some_and(|place| {
            hooks.any(|hook| self.program(&(hook.spec().attach)(place), None).is_some())
        })
    }

    pub(crate) fn has_lookup(&self) -> bool {
        self.program(&AttachPoint::SkLookup, None).is_some()
    }
}

/// The packet hooks of a direction, in the order a packet meets them.
pub(crate) fn points(direction: Direction) -> &'static [AttachPoint] {
    match direction {
        Direction::In => &[AttachPoint::Xdp, AttachPoint::TcIn],
        _ => &[AttachPoint::TcOut],
    }
}

/// A policy as it is, or for one seed of three with its list of what arrives at TC.
fn listed(seed: u64, text: &str) -> String {
    let line = |line: &str| match seed % 3 == 1 && line.starts_with("default in ") {
        true => format!("{line} at tc\n"),
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn compile(text: &str, structure: Structure, target: &Target) -> (SourceMap, Compilation) {
    let mut sources = SourceMap::default();
    let id = sources.add("random.sk", text.to_owned());
    let options = Compile {
        structure,
        lints: sockc_compiler::pipeline::Lints::LeftOut,
        ..Compile::from(target)
    };
    let outcome = pipeline::compile(&mut sources, id, "random", options, &mut Texts::default());
    (sources, outcome)
}

/// The same target, whose jumps of 16 bits hardly go anywhere: so that short programs have the long ones that are otherwise
/// in programs of more than 32,767 instructions.
fn forced_far(mut target: Target) -> Target {
    target.limits.jump.ours = 20;
    target
}

/// The same for the kernel that runs here: half of the policies have the instructions that it has beyond the oldest.
fn target_here(seed: u64) -> Target {
    static HERE: OnceLock<Target> = OnceLock::new();
    let here = HERE.get_or_init(|| {
        let features = sockc_runtime::probe();
        let mut target = Target::baseline();
        if features.gotol {
            target = target.with_gotol();
        }
        if features.atomics {
            target = target.with_atomics();
        }
        target
    });
    match seed / 8 % 4 {
        0 | 2 => Target::baseline(),
        3 if here.gotol => forced_far(here.clone()),
        _ => here.clone(),
    }
}

/// The kernel that the policy of a seed is compiled for: half of them are for the oldest, half for the newest, and half of
/// these have long jumps.
fn target_of(seed: u64) -> Target {
    match seed / 8 % 4 {
        0 | 2 => Target::baseline(),
        1 => Target::newest(),
        _ => forced_far(Target::newest()),
    }
}

#[test]
fn interpreter_and_diagrams_agree_with_the_reference_meaning() {
    let mut drawn = Drawn::default();
    for seed in seeds() {
        let subject = Subject::random(seed, rules_of(seed), Structure::Tree, &target_of(seed));
        let mut rng = Rng::new(seed);
        interpreted::check(&subject, &mut rng, frames(), LOOKUPS, &mut drawn);
    }
    drawn.check("trees");
}

/// The part of the policies whose plain rules became groups, at least. Others have none, or none that can be taken.
const REDUCED: (usize, usize) = (3, 4);

#[test]
fn the_interpreter_agrees_where_plain_rules_are_bulk() {
    let (mut reduced, mut drawn) = (0, Drawn::default());
    for seed in seeds() {
        let subject = Subject::random(seed, rules_of(seed), Structure::Tables, &target_of(seed));
        reduced += usize::from(subject.built.bulk.is_some());
        let mut rng = Rng::new(seed);
        interpreted::check(&subject, &mut rng, frames(), LOOKUPS, &mut drawn);
    }
    let (part, whole) = REDUCED;
    assert!(reduced * whole >= seeds().count() * part, "{reduced}");
    drawn.check("tables");
}

/// One policy in so many is a long list.
const LONG: usize = 5;

/// As users have them: of 64 to 2,000 rules, with conditions and redirects among them.
#[test]
fn the_interpreter_agrees_on_long_lists() {
    let (mut reduced, mut rules, mut drawn) = (0, 0, Drawn::default());
    for seed in seeds().step_by(LONG) {
        let subject = Subject::placeable(long(seed), Structure::Chosen, &target_of(seed));
        reduced += usize::from(subject.built.bulk.is_some());
        rules += subject.policy.rules.len();
        let mut rng = Rng::new(seed);
        interpreted::check(&subject, &mut rng, frames() / 2, LOOKUPS / 2, &mut drawn);
    }
    println!("long lists: {rules} rules, {reduced} with tables");
    let (part, whole) = REDUCED;
    assert!(reduced * whole >= seeds().step_by(LONG).count() * part);
    drawn.check("long lists");
}

/// Rules of a list of which nearly every one asks for more than addresses and ports.
const MIXED: usize = 10_000;
/// What the verifier may process for each of its programs.
const MIXED_STEPS: u32 = 25_000;
/// The same, as it is estimated, which is no less.
const MIXED_ESTIMATE: usize = 30_000;
/// What it may for any program.
const MAX_STEPS: u32 = 1_000_000;

#[test]
fn the_interpreter_agrees_on_ten_thousand_rules_that_ask() {
    let subject = Subject::compiled(mixed(1, MIXED), Structure::Chosen, &Target::baseline());
    let bulk = subject.built.bulk.as_ref().unwrap();
    let grouped: usize = bulk.groups.iter().map(|group| group.members.len()).sum();
    assert!(grouped + 8 > subject.policy.rules.len(), "{grouped}");
    for function in &subject.built.functions {
        let cost = VerifierCost::of(function, 1_000_000);
        println!("{}: {} steps", function.name, cost.processed);
        assert!(cost.processed <= MIXED_ESTIMATE, "{}", function.name);
    }
    let (mut effective, mut drawn) = (BTreeSet::new(), Drawn::default());
    simulated::check(&subject, 1, 8 * frames(), 0, &mut effective, &mut drawn);
    println!("mixed: {drawn}");
    for asked in [
        "socket exists",
        "no socket",
        "@banned",
        "flags syn",
        "echo-request",
        "on zone",
        "from not",
        "up to",
    ] {
        let found = effective.iter().filter(|rule| rule.contains(asked));
        let found = found.count();
        println!("{found} rules with {asked} decided");
        assert!(found > 0, "no rule with {asked} decided");
    }
}

#[test]
fn the_interpreter_agrees_inside_of_blocks_for_namespaces() {
    let mut drawn = Drawn::default();
    for seed in seeds().step_by(LONG) {
        let structure = [Structure::Tree, Structure::Tables][(seed % 2) as usize];
        let text = in_namespace(seed, rules_of(seed / 5));
        let subject = Subject::placeable(text, structure, &target_of(seed)).inner();
        let mut rng = Rng::new(seed);
        interpreted::check(&subject, &mut rng, frames() / 2, LOOKUPS / 2, &mut drawn);
    }
    drawn.check("namespaces");
}

#[test]
fn the_interpreter_agrees_on_the_whole_language_where_plain_rules_are_bulk() {
    let mut drawn = Drawn::default();
    for seed in seeds() {
        let (rules, target) = (rules_of(seed), target_of(seed));
        let subject = Subject::whole(seed, rules, Features::WHOLE, Structure::Tables, &target);
        let (packets, lookups) = (frames() / 4, LOOKUPS / 4);
        let mut effective = BTreeSet::new();
        simulated::check(&subject, seed, packets, lookups, &mut effective, &mut drawn);
    }
    drawn.check("whole language, tables");
}

/// What must be in rules that decided or counted, for the test to be about the whole language.
#[rustfmt::skip]
const CONSTRUCTS: &[&str] = &[
    "ttl ", "dscp ", "ecn ", "if mark ", "vlan ", "ether from ", "ether to ", " absent", "any of {", "no socket", "in netns", "@banned", "@vips", "@large",
    "@mixed", "above ", "up to ", "packets/", "bytes/", "connections/", "per source", "per destination", "reject ",
    "to interface", "mark 7", "log ", "audit ", "on zone", "on interface", "by @table", "by @tenants", " out ", " send ", " connect ", " receive ", " receive udp", "shortcut tcp within", "shortcut tcp from group", "redirect send tcp", "redirect receive tcp", "to input of sock", "to output of sock",
    "at tc", "at xdp", "at sk_lookup", "fragment", "tcp flags", "length ", "icmp6 ", "to sock ",
];

#[test]
fn the_interpreter_agrees_on_the_whole_language() {
    let (mut effective, mut drawn) = (BTreeSet::new(), Drawn::default());
    for seed in seeds() {
        let (rules, target) = (rules_of(seed), target_of(seed));
        let subject = Subject::whole(seed, rules, Features::WHOLE, Structure::Tree, &target);
        let (packets, lookups) = (frames() / 4, LOOKUPS / 4);
        simulated::check(&subject, seed, packets, lookups, &mut effective, &mut drawn);
    }
    drawn.check("whole language");
    let seldom = |word: &&&str| !effective.iter().any(|rule| rule.contains(**word));
    let missing: Vec<_> = CONSTRUCTS.iter().filter(seldom).collect();
    assert!(
        missing.is_empty(),
        "no rule with {missing:?} decided or counted"
    );
}

#[test]
fn the_kernel_agrees_with_the_reference_meaning() {
    let subject = |seed| Subject::random(seed, rules_of(seed), Structure::Tree, &target_here(seed));
    in_the_kernel("plain", subject, seeds(), frames());
}

#[test]
fn the_kernel_agrees_where_plain_rules_are_bulk() {
    let subject =
        |seed| Subject::random(seed, rules_of(seed), Structure::Tables, &target_here(seed));
    in_the_kernel("bulk", subject, seeds(), frames());
}

/// Other namespaces are left out, and redirects at tc: what is in them is tested with real sockets.
#[test]
fn the_kernel_agrees_on_the_whole_language() {
    let subject = |seed| {
        let features = Features {
            namespaces: false,
            intercepts: false,
            ..Features::WHOLE
        };
        Subject::whole(
            seed,
            rules_of(seed),
            features,
            Structure::Tree,
            &target_here(seed),
        )
    };
    in_the_kernel("whole", subject, seeds(), frames());
}

#[test]
fn the_kernel_agrees_on_the_whole_language_where_plain_rules_are_bulk() {
    let subject = |seed| {
        let features = Features {
            namespaces: false,
            intercepts: false,
            ..Features::WHOLE
        };
        Subject::whole(
            seed,
            rules_of(seed),
            features,
            Structure::Tables,
            &target_here(seed),
        )
    };
    in_the_kernel("whole, bulk", subject, seeds(), frames());
}

#[test]
fn the_kernel_agrees_on_long_lists() {
    let subject =
        |seed: u64| Subject::placeable(long(seed), Structure::Chosen, &target_here(8 * seed));
    let few = seeds().start..seeds().start + (seeds().end - seeds().start) / 10;
    in_the_kernel("long lists", subject, few, frames() / 2);
}

/// Records hold the ports there.
#[test]
fn the_kernel_agrees_on_lists_of_many_ports() {
    let subject = |seed: u64| {
        let set = rules::family::Family::named("interval").unwrap();
        let rules = set.rules(2_500 + seed as usize).rules;
        let verdicts = rules::policy::Verdicts::Alternate;
        let text = rules::policy::policy(&rules, verdicts, rules::policy::RunsAt::Xdp);
        Subject::compiled(text, Structure::Chosen, &target_here(seed))
    };
    in_the_kernel("many ports", subject, 0..2, frames());
}

#[test]
fn the_kernel_agrees_on_ten_thousand_rules_that_ask() {
    let subject = |seed: u64| {
        Subject::compiled(
            mixed(seed, MIXED),
            Structure::Chosen,
            &target_here(8 * seed),
        )
    };
    within("mixed", subject, 1..3, frames(), MIXED_STEPS);
}

#[test]
fn fifty_rules_and_many_packets_in_the_kernel() {
    let subject = |seed| Subject::random(seed, 50, Structure::Tree, &Target::baseline());
    in_the_kernel("fifty rules", subject, 50_000..50_001, 10 * frames());
}

fn in_the_kernel(
    name: &str,
    subject: fn(u64) -> Subject,
    seeds: std::ops::Range<u64>,
    packets: usize,
) {
    within(name, subject, seeds, packets, MAX_STEPS);
}

/// The same; the verifier may process so many instructions for a program.
fn within(
    name: &str,
    subject: fn(u64) -> Subject,
    seeds: std::ops::Range<u64>,
    packets: usize,
    bound: u32,
) {
    if !kernel::permitted() {
        return;
    }
    kernel::in_private_namespace(|| {
        let sockets = kernel::Sockets::open();
        let policies = seeds.clone().count();
        let mut frames = 0;
        let mut rules = 0;
        let mut most = 0;
        for seed in seeds {
            let subject = subject(seed);
            rules += subject.policy.rules.len();
            let mut rng = Rng::new(seed);
            let (ran, steps) = kernel::check(&subject, &sockets, seed, &mut rng, packets, LOOKUPS);
            frames += ran;
            most = most.max(steps);
        }
        println!("{name}: {policies} policies, {rules} rules, {frames} frames, 0 wrong");
        assert!(most <= bound, "{name}: {most} steps");
    });
}

fn seeds() -> std::ops::Range<u64> {
    let first = number("SOCKC_SEED", 1);
    first..first + number("SOCKC_POLICIES", POLICIES)
}

/// Frames for each policy.
fn frames() -> usize {
    number("SOCKC_FRAMES", 500) as usize
}

/// From one rule to forty.
fn rules_of(seed: u64) -> usize {
    [1, 2, 3, 5, 8, 12, 20, 40][(seed % 8) as usize]
}
