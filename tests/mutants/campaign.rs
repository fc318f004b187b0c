//! The campaign: a copy of the tree with switches, one build, and the narrow tests of each fault.
//!
//! Takes the faults; prints what became of each, and gives those that survive. Not here: the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::faults::{Fault, Narrow, Suite};
use crate::switches::{SWITCH, sources};

/// A fault that makes tests run so many times as long as without it, and this much longer, has been noticed.
const SLOWER: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// The first file of every crate with faults.
const ROOTS: [&str; 4] = [
    "grammar/src/lib.rs",
    "compiler/src/lib.rs",
    "runtime/src/lib.rs",
    "src/main.rs",
];

/// What of the tree is no source.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// Runs the tests of the chosen faults; all are written in. Gives the numbers of those that survive without a reason.
pub(crate) fn run(root: &Path, all: &[Fault], chosen: &[Fault]) -> Vec<u32> {
    let place = root.join("target/mutants");
    let tree = place.join("tree");
    let mut written = sources(root, all).unwrap();
    for file in ROOTS {
        let file = file.to_owned();
        let own = written.remove(&file);
        let text = own.unwrap_or_else(|| fs::read_to_string(root.join(&file)).unwrap());
        written.insert(file, text + SWITCH);
    }
    copy(root, &tree, Path::new(""), &written);
    let suites = chosen.iter().flat_map(|fault| fault.tests);
    let suites: BTreeSet<Suite> = suites.map(|(suite, _)| *suite).collect();
    let binaries = build(&tree, &place.join("build"), &suites);
    let times = sound(&binaries, chosen);
    let noticed = tried(&binaries, chosen, &times);
    told(chosen, &noticed)
}

/// Copies what has changed, so that the next campaign builds little, and removes what is no longer there.
fn copy(root: &Path, tree: &Path, inside: &Path, written: &BTreeMap<String, String>) {
    let (from, to) = (root.join(inside), tree.join(inside));
    fs::create_dir_all(&to).unwrap();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|one| name == *one) {
            continue;
        }
        let path = inside.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy(root, tree, &path, written);
        } else {
            let bytes = match written.get(path.to_str().unwrap()) {
                Some(text) => text.clone().into_bytes(),
                None => fs::read(entry.path()).unwrap(),
            };
            write(&to.join(&name), &bytes);
        }
        names.insert(name);
    }
    for entry in fs::read_dir(&to).unwrap() {
        let entry = entry.unwrap();
        if names.contains(&entry.file_name()) {
            continue;
        }
        match entry.file_type().unwrap().is_dir() {
            true => fs::remove_dir_all(entry.path()).unwrap(),
            false => fs::remove_file(entry.path()).unwrap(),
        }
    }
}

fn write(file: &Path, bytes: &[u8]) {
    if !fs::read(file).is_ok_and(|there| there == bytes) {
        fs::write(file, bytes).unwrap();
    }
}

/// A test binary and the folder that it runs in.
struct Binary {
    file: PathBuf,
    folder: PathBuf,
    /// Whether its tests leave nothing behind where they are killed.
    is_pure: bool,
}

/// Builds all suites in one call, so that every package has the same features and is built once.
fn build(tree: &Path, target: &Path, suites: &BTreeSet<Suite>) -> BTreeMap<Suite, Binary> {
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(tree)
        .args(["test", "--quiet", "--no-run", "--message-format=json"])
        .arg("--target-dir")
        .arg(target);
    let (mut packages, mut targets) = (BTreeSet::new(), BTreeSet::new());
    for suite in suites {
        packages.insert(suite.package());
        targets.insert(match suite.target() {
            Some(name) => format!("--{}={name}", suite.kind()),
            None => format!("--{}", ["lib", "bins"][usize::from(suite.kind() == "bin")]),
        });
    }
    for package in packages {
        command.args(["-p", package]);
    }
    let output = command
        .args(targets)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let done = output.status.success();
    assert!(done, "it does not build:\n{}", errors(&said));
    println!("built {suites:?} in {} s", began.elapsed().as_secs());
    let binary = |suite: &Suite| {
        let folder = tree.join(suite.folder());
        let file = executable(&said, &folder, *suite);
        let file = file.unwrap_or_else(|| panic!("{suite:?} has no binary"));
        let is_pure = suite.is_pure();
        (
            *suite,
            Binary {
                file,
                folder,
                is_pure,
            },
        )
    };
    suites.iter().map(binary).collect()
}

/// The test binary of a package's target, or of its library, among what cargo says it made.
fn executable(said: &str, folder: &Path, suite: Suite) -> Option<PathBuf> {
    let mut messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let made = messages.find(|one| {
        one["executable"].is_string()
            && one["profile"]["test"] == true
            && one["manifest_path"].as_str().map(Path::new) == Some(&folder.join("Cargo.toml"))
            && one["target"]["kind"][0] == suite.kind()
            && suite
                .target()
                .is_none_or(|name| one["target"]["name"] == name)
    })?;
    made["executable"].as_str().map(PathBuf::from)
}

fn errors(said: &str) -> String {
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let errors = messages.filter(|one| one["message"]["level"] == "error");
    let texts = errors.filter_map(|one| one["message"]["rendered"].as_str().map(str::to_owned));
    texts.collect()
}

/// Whether a narrow test fails, or runs out of time, with a fault on; 0 is none.
fn notices(binary: &Binary, filters: &str, fault: u32, patience: Duration) -> bool {
    let mut child = Command::new(&binary.file)
        .current_dir(&binary.folder)
        .arg("--test-threads=1")
        .args(filters.split_whitespace())
        .env("SOCKC_FAULT", fault.to_string())
        .env("SOCKC_KERNEL", "require")
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let failed = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut lines = said.lines().map_while(Result::ok);
            failed.store(
                lines.any(|line| line.ends_with("FAILED")),
                Ordering::Relaxed,
            );
        });
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return !status.success();
            }
            // What one test noticed the others need not say; those that made namespaces take them away first.
            let noticed = binary.is_pure && failed.load(Ordering::Relaxed);
            if noticed || began.elapsed() > patience {
                child.kill().unwrap();
                child.wait().unwrap();
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
    })
}

/// Without a fault every narrow test passes, and its filters mean something. Gives how long each may take with one.
fn sound(binaries: &BTreeMap<Suite, Binary>, chosen: &[Fault]) -> BTreeMap<Narrow, Duration> {
    let narrow: BTreeSet<Narrow> = chosen
        .iter()
        .flat_map(|fault| fault.tests)
        .copied()
        .collect();
    let wrong: Mutex<Vec<Narrow>> = Mutex::default();
    let times: Mutex<BTreeMap<Narrow, Duration>> = Mutex::default();
    let all: Vec<Narrow> = narrow.into_iter().collect();
    in_parallel(&all, |one| {
        let (suite, filters) = *one;
        let binary = &binaries[&suite];
        let began = Instant::now();
        if !matches_any(binary, filters) || notices(binary, filters, 0, Duration::MAX) {
            wrong.lock().unwrap().push(*one);
        }
        let took = began.elapsed();
        println!(
            "{:5.1} s without a fault: {suite:?} {filters}",
            took.as_secs_f32()
        );
        times.lock().unwrap().insert(*one, SLOWER * took + PATIENCE);
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "no test, or one that fails without a fault: {wrong:?}"
    );
    times.into_inner().unwrap()
}

fn matches_any(binary: &Binary, filters: &str) -> bool {
    filters.split_whitespace().all(|filter| {
        let listed = Command::new(&binary.file)
            .current_dir(&binary.folder)
            .args(["--list", filter])
            .output()
            .unwrap();
        String::from_utf8_lossy(&listed.stdout).contains(": test")
    })
}

/// Which tests notice each fault; `None` for those that nobody notices.
fn tried(
    binaries: &BTreeMap<Suite, Binary>,
    chosen: &[Fault],
    times: &BTreeMap<Narrow, Duration>,
) -> BTreeMap<u32, Option<Narrow>> {
    let results: Mutex<BTreeMap<u32, Option<Narrow>>> = Mutex::default();
    in_parallel(chosen, |fault| {
        let mut tests = fault.tests.iter().copied();
        let began = Instant::now();
        let found = tests.find(|one| {
            let (suite, filters) = one;
            notices(&binaries[suite], filters, fault.number, times[one])
        });
        let took = began.elapsed().as_secs_f32();
        let word = if found.is_some() {
            "killed"
        } else {
            "SURVIVES"
        };
        println!(
            "{:4} {word:8} {took:5.1} s {} {found:?}",
            fault.number, fault.file
        );
        results.lock().unwrap().insert(fault.number, found);
    });
    results.into_inner().unwrap()
}

fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = Mutex::new(items.iter());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(item) = next.lock().unwrap().next() else {
                        return;
                    };
                    work(item);
                }
            });
        }
    });
}

/// Prints the figure; gives the faults that survive and are not known to be harmless. One that is said to be harmless and is
/// noticed is told as well: its reason is wrong.
fn told(chosen: &[Fault], noticed: &BTreeMap<u32, Option<Narrow>>) -> Vec<u32> {
    let killed = noticed.values().flatten().count();
    let harmless = chosen.iter().filter(|fault| !fault.harmless.is_empty());
    let harmless = harmless
        .filter(|fault| noticed[&fault.number].is_none())
        .count();
    let survivors: Vec<u32> = chosen
        .iter()
        .filter(|fault| noticed[&fault.number].is_some() != fault.harmless.is_empty())
        .map(|fault| fault.number)
        .collect();
    println!(
        "{} faults: {killed} killed, {harmless} proved harmless, {} wrong: {survivors:?}",
        chosen.len(),
        survivors.len()
    );
    survivors
}
