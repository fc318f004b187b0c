//! The campaign: a copy of the tree with switches, one build, and the narrow tests of each fault.
//!
//! Takes the faults; prints what became of each, and gives those that survive. Not here: the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::faults::{Fault, Narrow, Suite};
use crate::switches::{SWITCH, sources};

/// A fault that makes a test run this long has been noticed.
const PATIENCE: Duration = Duration::from_secs(600);

/// What of the tree is no source.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// Runs the tests of the chosen faults; all are written in. Gives the numbers of those that survive without a reason.
pub(crate) fn run(root: &Path, all: &[Fault], chosen: &[Fault]) -> Vec<u32> {
    let place = root.join("target/mutants");
    let tree = place.join("tree");
    let mut written = sources(root, all).unwrap();
    for package in ["grammar", "compiler", "runtime"] {
        let file = format!("{package}/src/lib.rs");
        let own = written.remove(&file);
        let text = own.unwrap_or_else(|| fs::read_to_string(root.join(&file)).unwrap());
        written.insert(file, text + SWITCH);
    }
    copy(root, &tree, Path::new(""), &written);
    let suites = chosen.iter().flat_map(|fault| fault.tests);
    let suites: BTreeSet<Suite> = suites.map(|(suite, _)| *suite).collect();
    let binaries = build(&tree, &place.join("build"), &suites);
    sound(&binaries, chosen);
    let noticed = tried(&binaries, chosen);
    told(chosen, &noticed)
}

/// Copies what has changed, so that the next campaign builds little, and takes away what is no longer there.
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
}

fn build(tree: &Path, target: &Path, suites: &BTreeSet<Suite>) -> BTreeMap<Suite, Binary> {
    let began = Instant::now();
    let mut binaries = BTreeMap::new();
    for &suite in suites {
        let (package, arguments, folder) = suite.of_cargo();
        let output = Command::new(env!("CARGO"))
            .current_dir(tree)
            .args(["test", "--quiet", "--no-run", "--message-format=json"])
            .args(["-p", package])
            .args(arguments)
            .arg("--target-dir")
            .arg(target)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{suite:?} does not build:\n{}",
            errors(&said)
        );
        let file = executable(&said).unwrap_or_else(|| panic!("{suite:?} has no binary"));
        let folder = tree.join(folder);
        binaries.insert(suite, Binary { file, folder });
    }
    println!("built {suites:?} in {} s", began.elapsed().as_secs());
    binaries
}

/// The test binary among what cargo says it made; it is the last one.
fn executable(said: &str) -> Option<PathBuf> {
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let made = messages.filter(|one| one["profile"]["test"] == true);
    made.filter_map(|one| one["executable"].as_str().map(PathBuf::from))
        .next_back()
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
fn notices(binary: &Binary, filters: &str, fault: u32) -> bool {
    let mut child = Command::new(&binary.file)
        .current_dir(&binary.folder)
        .args(["--quiet", "--test-threads=1"])
        .args(filters.split_whitespace())
        .env("SOCKC_FAULT", fault.to_string())
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return !status.success();
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Without a fault every narrow test passes, and its filters mean something.
fn sound(binaries: &BTreeMap<Suite, Binary>, chosen: &[Fault]) {
    let narrow: BTreeSet<Narrow> = chosen
        .iter()
        .flat_map(|fault| fault.tests)
        .copied()
        .collect();
    let wrong: Mutex<Vec<Narrow>> = Mutex::default();
    let all: Vec<Narrow> = narrow.into_iter().collect();
    in_parallel(&all, |one| {
        let (suite, filters) = *one;
        let binary = &binaries[&suite];
        if !matches_any(binary, filters) || notices(binary, filters, 0) {
            wrong.lock().unwrap().push(*one);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "no test, or one that fails without a fault: {wrong:?}"
    );
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
fn tried(binaries: &BTreeMap<Suite, Binary>, chosen: &[Fault]) -> BTreeMap<u32, Option<Narrow>> {
    let results: Mutex<BTreeMap<u32, Option<Narrow>>> = Mutex::default();
    in_parallel(chosen, |fault| {
        let mut tests = fault.tests.iter().copied();
        let found = tests.find(|(suite, filters)| notices(&binaries[suite], filters, fault.number));
        let word = if found.is_some() {
            "killed"
        } else {
            "SURVIVES"
        };
        println!("{:4} {word:8} {} {found:?}", fault.number, fault.file);
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
