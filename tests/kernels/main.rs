//! Loads every golden object and the objects of large rule sets on several real kernels, and runs packets through their
//! programs, and real packets through a router.
//!
//! The kernels 5.10, 6.1 and 6.12 run under QEMU, the machine's own runs the same work in a network namespace of its
//! own. This one binary is both halves: the host compiles, boots and judges; started with `SOCKC_GUEST=FOLDER` it is the
//! guest, which loads, runs and reports. Nothing is downloaded twice: see fetch.sh.
//!
//! Skipped with the reason where QEMU or the kernels cannot be had; `SOCKC_KERNEL=require` makes that a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test of files of its own ends where something is wrong"
)]

mod cases;
#[path = "../differential/context.rs"]
mod context;
#[path = "../differential/cases.rs"]
mod edges;
#[path = "../bench/frame.rs"]
#[expect(dead_code, reason = "the benchmarks make whole traces with it")]
mod frame;
mod guest;
mod guests;
mod machine;
mod members;
mod passing;
#[path = "../bench/rules/mod.rs"]
#[expect(dead_code, reason = "the benchmarks say more of them")]
mod rules;
mod sets;
#[expect(dead_code, reason = "the differential tests fill maps with it")]
mod syscalls;
mod verified;
mod work;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use guests::{Scratch, skip, tail};
use verified::{Release, Table};
use work::{INDEX, Large, Line, MARK, Object};

#[test]
fn golden_objects_load_and_decide_alike_on_every_kernel() {
    if let Some(folder) = guests::folder() {
        return guest::run(&folder);
    }
    let scratch = Scratch::new();
    let work = scratch.0.join("work");
    fs::create_dir_all(&work).unwrap();
    let mut objects = cases::write(&work);
    assert!(!objects.is_empty(), "no objects");
    objects.extend(sets::write(&work));
    objects.extend(members::write(&work));
    fs::write(work.join(INDEX), serde_json::to_vec(&objects).unwrap()).unwrap();
    let mut answers = vec![("this machine's kernel", on_this_machine(&work))];
    answers.extend(guests::boot(&work, &scratch.0));
    let mut table = Table::default();
    let mut complaints = Vec::new();
    for (kernel, answer) in &answers {
        match answer {
            Ok(console) => complaints.extend(judge(kernel, console, &objects, &mut table)),
            Err(reason) => skip(kernel, reason),
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    compare(table);
}

/// Runs the guest's half here, in a network namespace of its own.
fn on_this_machine(work: &Path) -> Result<String, String> {
    let output = Command::new("unshare")
        .arg("--net")
        .arg(env::current_exe().unwrap())
        .args(["--nocapture", "--test-threads", "1"])
        .env("SOCKC_GUEST", work)
        .output()
        .map_err(|error| format!("needs unshare: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("unshare failed") {
        return Err("needs root for a network namespace and bpf(2)".to_owned());
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let code = output.status.code().unwrap_or(-1);
    Ok(format!(
        "{}{errors}\n{MARK}EXIT {code} {release}",
        String::from_utf8_lossy(&output.stdout)
    ))
}

/// Reads a console: notes the counts, gives what went wrong.
fn judge(kernel: &str, console: &str, objects: &[Object], table: &mut Table) -> Vec<String> {
    let mut complaints = Vec::new();
    let ended = guests::ended(console);
    let release = match ended.map(Release::parse) {
        Ok(Some(release)) => release,
        Ok(None) => return vec![format!("{kernel} has no release:\n{}", tail(console))],
        Err(tail) => return vec![format!("{kernel} did not get to the end:\n{tail}")],
    };
    let mut done = false;
    for line in console.lines().filter_map(|line| line.split_once(MARK)) {
        match serde_json::from_str(line.1) {
            Ok(Line::Verified {
                object,
                program,
                insns,
            }) => {
                let large = objects.iter().find(|one| one.name == object);
                let large = large.and_then(|one| one.large.as_ref());
                if let Some(large) = large {
                    println!("{release} {object} {program}: {insns} instructions processed");
                    let more = too_much(large, &program, insns);
                    complaints.extend(more.map(|more| format!("{object} on {release}: {more}")));
                }
                if large.is_none_or(|large| large.golden) {
                    table.set(&object, &program, release, insns);
                }
            }
            Ok(Line::Loaded {
                object,
                milliseconds,
            }) => {
                println!("{release} {object}: {milliseconds:.1} ms");
            }
            Ok(Line::Done { programs, cases }) => {
                println!("{kernel} ({release}): {programs} programs, {cases} cases");
                done = true;
            }
            Ok(other) => complaints.push(complaint(kernel, &other, objects)),
            Err(_) => {}
        }
    }
    if !done {
        complaints.push(format!("{kernel} did not finish:\n{}", tail(console)));
    }
    complaints
}

/// A line of a guest that is no good news, with the case that it is about.
fn complaint(kernel: &str, line: &Line, objects: &[Object]) -> String {
    let about = match line {
        Line::Wrong { object, case, .. } => Some((object, *case)),
        Line::Refused { object, case, .. } => case.map(|case| (object, case)),
        _ => None,
    };
    let case = about.and_then(|(name, case)| {
        let object = objects.iter().find(|one| one.name == *name)?;
        object.cases.get(case)
    });
    let text = case.map_or("", |case| &case.text);
    format!("{kernel}: {line:?} {text}")
}

/// What is wrong with the number of instructions that a verifier processed for a program of many rules.
fn too_much(large: &Large, program: &str, insns: u32) -> Option<String> {
    let estimate = large.estimates.get(program).copied().unwrap_or(0);
    if insns > large.budget {
        let budget = large.budget;
        return Some(format!(
            "{program} takes {insns}, and at most {budget} are meant"
        ));
    }
    // Half as much again is borne: the compiler takes half of what the kernel allows.
    (2 * insns as usize > 3 * estimate)
        .then(|| format!("{program} takes {insns}, and the compiler expected {estimate}"))
}

/// Compares the counts with the ones written down, or writes them down.
fn compare(now: Table) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/verified.txt");
    let before = fs::read_to_string(path).unwrap_or_default();
    let before = Table::parse(&before).unwrap();
    if env::var_os("SOCKC_BLESS").is_some() {
        return fs::write(path, now.over(&before).text()).unwrap();
    }
    let complaints = before.complaints(&now);
    assert!(
        complaints.is_empty(),
        "{}\nif this is meant: SOCKC_BLESS=1 cargo test --test kernels",
        complaints.join("\n")
    );
}
