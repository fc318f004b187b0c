//! What one row costs, measured in a process of its own: the peak of its memory is then the row's, and no row leaves
//! memory behind that the next one is faster or slower for.
//!
//! The parent calls [`ask`]; the child is this same program with [`CHILD`] ahead of its arguments, does [`answer`] and
//! prints what it found as JSON. Not here: which policies, and what is expected of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sockc_compiler::diff::{self, Options, Report};
use sockc_compiler::files::{Files, Texts};
use sockc_compiler::lint;
use sockc_compiler::observer::{Observer, Silent};
use sockc_compiler::pipeline::{self, Compilation};
use sockc_compiler::policy::Policy;
use sockc_grammar::source::SourceMap;

/// What goes wrong here is told, never handled.
pub(crate) type Problem = Box<dyn Error>;

/// The first argument of a child.
pub(crate) const CHILD: &str = "--measure-one";
/// How long a child may take.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(120);
/// After this no further round is begun.
const ENOUGH: Duration = Duration::from_secs(20);
/// How often the end of a child is looked for.
const GLANCE: Duration = Duration::from_millis(5);
/// Changes that are told in full where not all of them are asked for.
pub(crate) const FEW: usize = 20;

/// What a child is asked: the policies are files.
pub(crate) enum Asked<'a> {
    /// To compare two policies, so many times.
    Diff {
        old: &'a Path,
        new: &'a Path,
        rounds: usize,
    },
    /// To check a policy, so many times.
    Check { policy: &'a Path, rounds: usize },
}

/// What comparing two policies costs; times are those of the fastest round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Compared {
    /// Reading and resolving both policies.
    pub(crate) read_ms: f64,
    /// The most memory that was in use until both were read, MiB.
    pub(crate) read_mib: f64,
    /// Changed regions.
    pub(crate) changes: usize,
    /// Of them, those told where a few are.
    pub(crate) told: usize,
    pub(crate) complete: bool,
    /// The comparison where a few changes are told.
    pub(crate) few: Cost,
    /// The comparison where all are; `None` where it took too long.
    pub(crate) all: Option<Cost>,
}

/// What one comparison costs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) ms: f64,
    /// How many times as long as reading both it takes: the median of what each round says.
    pub(crate) to_read: f64,
    /// The most memory that was in use until its end, MiB.
    pub(crate) mib: f64,
}

/// What checking a policy costs; times are those of the fastest round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    /// Reading and resolving.
    pub(crate) read_ms: f64,
    /// The lints.
    pub(crate) lint_ms: f64,
    /// How many times as long as reading they take: the median of what each round says.
    pub(crate) lint_to_read: f64,
    /// All of `check`.
    pub(crate) check_ms: f64,
    /// Rules that are never reached, and rules that change nothing.
    pub(crate) unreachable: usize,
    pub(crate) no_effect: usize,
    /// Whether the search was cut short.
    pub(crate) cut_short: bool,
    /// The most memory that was in use, MiB.
    pub(crate) mib: f64,
}

/// Asks a child; the last that it says counts. `None` if it had to be ended before it said anything, since it took longer
/// than [`MAX_TIME`].
pub(crate) fn ask<T: DeserializeOwned>(asked: &Asked<'_>) -> Result<Option<T>, Problem> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CHILD);
    match asked {
        Asked::Diff { old, new, rounds } => {
            command.arg(rounds.to_string()).arg(old).arg(new);
        }
        Asked::Check { policy, rounds } => {
            command.arg(rounds.to_string()).arg(policy);
        }
    }
    // What it says fits into a pipe; what goes wrong it says to whoever runs the benchmark.
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    if wait(&mut child)? == Some(false) {
        return Err("a measurement failed".into());
    }
    let mut said = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut said)?;
    }
    let last = said.lines().last().map(serde_json::from_str);
    Ok(last.transpose()?)
}

/// Whether the child did well; `None` if it had to be ended.
fn wait(child: &mut Child) -> Result<Option<bool>, Problem> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if began.elapsed() > MAX_TIME {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(GLANCE);
    }
}

/// What the child does with its arguments: one policy is checked, two are compared.
pub(crate) fn answer(arguments: &[String]) -> Result<(), Problem> {
    match arguments {
        [rounds, old, new] => {
            let (old, new) = (fs::read_to_string(old)?, fs::read_to_string(new)?);
            say(&compared(&old, &new, rounds.parse()?, &|part| say(part))?);
        }
        [rounds, policy] => say(&checked(&fs::read_to_string(policy)?, rounds.parse()?)?),
        _ => return Err("two or three arguments".into()),
    }
    Ok(())
}

/// Says something to the parent, on one line.
fn say(found: &impl Serialize) {
    match serde_json::to_string(found) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("{error}"),
    }
}

/// Compares two policies; says too what is known before all changes are told for the first time.
pub(crate) fn compared(
    old: &str,
    new: &str,
    rounds: usize,
    say: &dyn Fn(&Compared),
) -> Result<Compared, Problem> {
    let all = repeated(rounds, || round_of_diff(old, new, say))?;
    let read_ms = least(all.iter().map(|one| one.read_ms));
    let few = Cost::of(all.iter().map(|one| &one.few));
    let told = Cost::of(all.iter().filter_map(|one| one.all.as_ref()));
    // What was found is the same in all of them.
    let first = all.into_iter().next().ok_or("no round")?;
    Ok(Compared {
        read_ms,
        few: few.ok_or("no round")?,
        all: told,
        ..first
    })
}

impl Cost {
    /// Of several rounds; memory is that of the first, since peaks do not go down again.
    fn of<'a>(rounds: impl Iterator<Item = &'a Self> + Clone) -> Option<Self> {
        Some(Self {
            ms: least(rounds.clone().map(|one| one.ms)),
            to_read: median(rounds.clone().map(|one| one.to_read).collect()),
            mib: rounds.clone().next()?.mib,
        })
    }
}

/// Rounds, at least one, and fewer than asked for where they are long.
fn repeated<T>(rounds: usize, round: impl Fn() -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    let began = Instant::now();
    let mut all = vec![round()?];
    while all.len() < rounds && began.elapsed() < ENOUGH {
        all.push(round()?);
    }
    Ok(all)
}

fn round_of_diff(old: &str, new: &str, say: &dyn Fn(&Compared)) -> Result<Compared, Problem> {
    let (policies, read_ms) = timed(|| (resolved(old), resolved(new)));
    let (old, new) = (policies.0?, policies.1?);
    let read_mib = peak_mib()?;
    let cost = |most| -> Result<(Report, Cost), Problem> {
        let (report, ms) = timed(|| compare(&old, &new, most));
        let to_read = ms / read_ms;
        // A peak never falls; the kernel's does by some pages, since it adds up what each CPU keeps apart (Linux 6.2).
        let mib = peak_mib()?.max(read_mib);
        Ok((report, Cost { ms, to_read, mib }))
    };
    let (report, few) = cost(Some(FEW))?;
    let (changes, told) = counted(&report);
    let mut found = Compared {
        read_ms,
        read_mib,
        changes,
        told,
        complete: report.is_complete(),
        few,
        all: None,
    };
    drop(report);
    say(&found);
    let (report, all) = cost(None)?;
    found.all = Some(all);
    let also = (counted(&report).0, report.is_complete());
    if also != (changes, found.complete) {
        return Err(format!("{changes} changes where a few are told, else {also:?}").into());
    }
    Ok(found)
}

fn compare(old: &Policy, new: &Policy, most: Option<usize>) -> Report {
    let options = Options {
        most,
        ..Options::default()
    };
    diff::compare(old, new, options, &mut Silent)
}

/// The changes of a comparison, and how many of them are told.
fn counted(report: &Report) -> (usize, usize) {
    let told: usize = report.scopes.iter().map(|scope| scope.changes.len()).sum();
    let untold: usize = report.scopes.iter().map(|scope| scope.untold).sum();
    (told + untold, told)
}

fn resolved(text: &str) -> Result<Policy, Problem> {
    let mut sources = SourceMap::default();
    let id = sources.add("bench.sk", text);
    sound(pipeline::resolve(
        &mut sources,
        id,
        "bench",
        &mut Texts::default(),
    ))
}

fn sound(outcome: Compilation) -> Result<Policy, Problem> {
    let wrong = format!("{:?}", outcome.diagnostics.first());
    outcome.policy.ok_or_else(|| wrong.into())
}

/// Checks a policy.
pub(crate) fn checked(policy: &str, rounds: usize) -> Result<Checked, Problem> {
    let all = repeated(rounds, || round_of_check(policy))?;
    let lint_to_read = median(all.iter().map(|one| one.lint_to_read).collect());
    let times = (
        least(all.iter().map(|one| one.read_ms)),
        least(all.iter().map(|one| one.lint_ms)),
        least(all.iter().map(|one| one.check_ms)),
    );
    let first = all.into_iter().next().ok_or("no round")?;
    Ok(Checked {
        read_ms: times.0,
        lint_ms: times.1,
        check_ms: times.2,
        lint_to_read,
        ..first
    })
}

fn round_of_check(text: &str) -> Result<Checked, Problem> {
    let mut sources = SourceMap::default();
    let id = sources.add("bench.sk", text);
    let mut clock = Clock::default();
    let (outcome, check_ms) = timed(|| pipeline::check(&mut sources, id, "bench", &mut clock));
    clock.stage("end");
    if outcome.failed() {
        return Err(format!("{:?}", outcome.diagnostics.first()).into());
    }
    let of = |code| {
        outcome
            .diagnostics
            .iter()
            .filter(|one| one.code == code)
            .count()
    };
    let read_ms = clock.took("read the policy") + clock.took("resolve");
    let lint_ms = clock.took("lint");
    Ok(Checked {
        read_ms,
        lint_ms,
        lint_to_read: lint_ms / read_ms,
        check_ms,
        unreachable: of(lint::UNREACHABLE),
        no_effect: of(lint::NO_EFFECT),
        cut_short: of(lint::CUT_SHORT) > 0,
        mib: peak_mib()?,
    })
}

/// Policies without files, and how long each stage took in milliseconds.
#[derive(Default)]
struct Clock {
    took: BTreeMap<String, f64>,
    stage: Option<(String, Instant)>,
}

impl Clock {
    fn took(&self, stage: &str) -> f64 {
        self.took.get(stage).copied().unwrap_or(0.0)
    }
}

impl Observer for Clock {
    fn stage(&mut self, name: &str) {
        let next = (name.to_owned(), Instant::now());
        if let Some((name, began)) = self.stage.replace(next) {
            *self.took.entry(name).or_default() += began.elapsed().as_secs_f64() * 1e3;
        }
    }
}

impl Files for Clock {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        Texts::default().read(path)
    }

    fn builtin(&self, name: &str) -> Option<Cow<'static, str>> {
        Texts::default().builtin(name)
    }
}

/// What a piece of work gives, and the milliseconds that it takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed().as_secs_f64() * 1e3)
}

fn least(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(f64::INFINITY, f64::min)
}

/// The middle of some numbers, the lower of two; of none, not a number.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len().saturating_sub(1) / 2;
    numbers.get(middle).copied().unwrap_or(f64::NAN)
}

/// The most memory that this process has had in use.
fn peak_mib() -> Result<f64, Problem> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = number.ok_or("no VmHWM in /proc/self/status")?.parse()?;
    Ok(kib / 1024.0)
}
