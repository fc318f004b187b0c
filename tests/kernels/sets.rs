//! Compiles sets of thousands of rules and one of 110,000, which become tables, and says by the linear scan what becomes of packets.
//!
//! Takes the benchmarks' families, and ClassBench's sets where they are next to the repository; gives objects like those of
//! cases.rs, with what else is asked of them. `SOCKC_LARGE=1` takes in ClassBench's sets of 100,000 rules too.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;

use sockc_compiler::artifact::{Artifact, CounterKind};
use sockc_compiler::files::Texts;
use sockc_compiler::object;
use sockc_compiler::pipeline::Built;
use sockc_compiler::verifier_cost::VerifierCost;

use crate::cases;
use crate::frame::Layout;
use crate::rules::family::{Family, seed};
use crate::rules::policy::{RunsAt, Verdicts, allows, policy, rule_of_line};
use crate::rules::scan::Scan;
use crate::rules::{Header, RuleSet, classbench, trace};
use crate::work::{Case, Input, Large, Object};

/// The families that every run loads: like real lists, half of it IPv6, and hostile.
const MADE: [&str; 6] = ["acl", "firewall", "ipc", "dual", "ranges", "nested"];

const SIZES: [usize; 2] = [1_000, 10_000];

/// So many rules of `hosts` that records stand in buckets.
const IN_BUCKETS: usize = 110_000;

/// The size that is only asked for with `SOCKC_LARGE=1`. It is loaded at XDP only, and the compiler may refuse a quarter of
/// the sets.
const MAX_SIZE: usize = 100_000;

/// The maximum number of instructions that a verifier may process for a program, for each family of addresses that the rules speak of.
const BUDGET: u32 = 25_000;

/// Packets of each kind for a set.
const PACKETS: usize = 100;

/// Writes the objects of all sets into a folder.
pub(crate) fn write(folder: &Path) -> Vec<Object> {
    let mut objects = Vec::new();
    for name in MADE {
        for size in SIZES {
            let set = Family::named(name).unwrap().rules(size);
            for place in [RunsAt::Xdp, RunsAt::Tc] {
                objects.push(object(folder, &set, size, place, true).unwrap());
            }
        }
    }
    let hosts = Family::named("hosts").unwrap().rules(IN_BUCKETS);
    objects.push(object(folder, &hosts, IN_BUCKETS, RunsAt::Xdp, true).unwrap());
    if let Some(sets) = classbench::folder() {
        objects.extend(read(folder, &sets));
    }
    objects
}

/// The objects of ClassBench's sets.
fn read(folder: &Path, sets: &Path) -> Vec<Object> {
    let large = env::var_os("SOCKC_LARGE").is_some_and(|value| value == "1");
    let sizes = SIZES.into_iter().chain(large.then_some(MAX_SIZE));
    let mut objects = Vec::new();
    for size in sizes {
        let (mut all, mut refused) = (0, Vec::new());
        for family in classbench::families(sets) {
            let Some(set) = classbench::read(sets, &family, size).unwrap() else {
                continue;
            };
            all += 1;
            let places = [RunsAt::Xdp, RunsAt::Tc];
            for place in &places[..if size == MAX_SIZE { 1 } else { 2 }] {
                match object(folder, &set, size, *place, false) {
                    Ok(object) => objects.push(object),
                    Err(refusal) => refused.push(refusal),
                }
            }
        }
        let allowed = if size == MAX_SIZE { all / 4 } else { 0 };
        assert!(refused.len() <= allowed, "{}", refused.join("\n"));
        refused.iter().for_each(|refusal| println!("{refusal}"));
    }
    objects
}

/// Compiles a set for one place, and writes its object; the error is the compiler's refusal.
fn object(
    folder: &Path,
    set: &RuleSet,
    size: usize,
    place: RunsAt,
    golden: bool,
) -> Result<Object, String> {
    let at = match place {
        RunsAt::Xdp => "xdp",
        RunsAt::Tc => "tc",
    };
    let name = format!("{}-{}k-{at}", set.family, size / 1000);
    let text = policy(&set.rules, Verdicts::Alternate, place);
    let outcome = cases::compile(&name, "set.sk", text, &mut Texts::default())?;
    let built = outcome.built.ok_or("nothing was built")?;
    let file = format!("{name}.o");
    fs::write(folder.join(&file), object::write(&built.artifact).unwrap()).unwrap();
    let headers = headers(set, size);
    let answers = Scan::new(&set.rules).all(&headers);
    let families = 1 + u32::from(set.has_ipv6() && set.rules.iter().any(|rule| !rule.is_ipv6()));
    Ok(Object {
        name,
        file,
        large: Some(Large {
            golden,
            budget: families * BUDGET,
            estimates: estimates(&built),
            counts: counts(&built.artifact, &answers),
        }),
        cases: packets(&built.artifact, set, &headers, &answers),
    })
}

/// Packets that hit rules, packets that are anything, and some of those that came with the set.
fn headers(set: &RuleSet, size: usize) -> Vec<Header> {
    let mut rng = seed(&set.family, size + 1);
    let mut headers = trace::hits(set, &mut rng, PACKETS);
    headers.extend(trace::random(set, &mut rng, PACKETS));
    let apart = (set.headers.len() / PACKETS).max(1);
    headers.extend(set.headers.iter().step_by(apart).take(PACKETS));
    headers
}

/// What the compiler expects each program to give the verifier to do.
pub(crate) fn estimates(built: &Built) -> BTreeMap<String, usize> {
    let of =
        |function: &sockc_compiler::ir::Function| VerifierCost::of(function, 1_000_000).processed;
    let functions = built.functions.iter();
    functions
        .map(|function| (function.name.clone(), of(function)))
        .collect()
}

fn packets(
    artifact: &Artifact,
    set: &RuleSet,
    headers: &[Header],
    answers: &[Option<usize>],
) -> Vec<Case> {
    let layout = Layout::of(set.has_ipv6());
    let programs = cases::present(artifact, &["xdp_in", "tc_in"]);
    let both = headers.iter().zip(answers);
    both.map(|(header, answer)| Case {
        programs: programs.clone(),
        input: Input::Frame(layout.frame(header)),
        passes: allows(Verdicts::Alternate, *answer),
        text: format!("{header:?} is decided by rule {answer:?}"),
    })
    .collect()
}

/// What stands in the slots of the counters after all packets; those that stay at zero are left out.
fn counts(artifact: &Artifact, answers: &[Option<usize>]) -> BTreeMap<u32, u64> {
    let mut decided: BTreeMap<Option<usize>, u64> = BTreeMap::new();
    for answer in answers {
        *decided.entry(*answer).or_default() += 1;
    }
    let counted = |kind, line| match kind {
        CounterKind::Rule => decided.get(&rule_of_line(line)),
        CounterKind::Default => decided.get(&None),
        _ => None,
    };
    let counters = (0..).zip(&artifact.manifest.counters);
    counters
        .filter_map(|(slot, counter)| Some((slot, *counted(counter.kind, counter.location.line)?)))
        .collect()
}
