//! Faults put into the sources on purpose, and the narrow tests that have to notice them.
//!
//! Takes the table in `faults`; checks in every run that each fault still says what stands in the sources, so that the table
//! cannot rot. The campaign itself takes many runs of tests, and is asked for: `SOCKC_MUTANTS=all cargo test --test mutants
//! -- --nocapture`; numbers or parts of file names, with commas between them, choose some (`SOCKC_MUTANTS=walk,57`). It
//! copies the tree to `target/mutants/tree`, writes all faults in as switches, builds once, runs the narrow tests with one
//! fault on at a time, and fails where a fault survives that is not proved to change nothing. The sources stay as they are.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test of files of its own ends where something is wrong"
)]

mod campaign;
mod faults;
mod switches;

use std::collections::BTreeSet;
use std::path::Path;

use faults::{Fault, all};

/// At least so many faults are in the table.
const MIN_FAULTS: usize = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_fault_is_where_the_table_says() {
    let faults = all();
    let wrong: Vec<String> = faults.iter().filter_map(misplaced).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let numbers: BTreeSet<u32> = faults.iter().map(|fault| fault.number).collect();
    assert_eq!(numbers.len(), faults.len(), "a number stands twice");
    assert!(!numbers.contains(&0), "0 is no fault");
    assert!(faults.len() >= MIN_FAULTS, "only {} faults", faults.len());
    // Faults that share text could not be written in together.
    switches::sources(root(), &faults).unwrap();
    // One that is no Rust would keep all from building.
    let wrong: Vec<String> = faults.iter().filter_map(unreadable).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What keeps the source with this fault in it from being Rust.
fn unreadable(fault: &Fault) -> Option<String> {
    let text = std::fs::read_to_string(root().join(fault.file)).unwrap();
    let is_function = |line: &&str| line.contains("fn ");
    let mut before = text.split(fault.old).next()?.lines().rev();
    let why = match syn::parse_file(&switches::written(&text, &[fault]).unwrap()) {
        Err(error) => error.to_string(),
        // A switch is read while the program runs.
        Ok(_) if before.find(is_function)?.contains("const fn ") => "it is in a const fn".into(),
        Ok(_) => return None,
    };
    Some(format!("{}: {}: {why}", fault.number, fault.file))
}

/// What is wrong with a fault's place: its text must stand in its file once.
fn misplaced(fault: &Fault) -> Option<String> {
    let Fault {
        number, file, old, ..
    } = fault;
    let found = std::fs::read_to_string(root().join(file)).map(|text| text.matches(old).count());
    match found {
        Ok(1) if old != &fault.new => None,
        Ok(1) => Some(format!("{number} changes nothing")),
        Ok(count) => Some(format!("{number}: {file} has {count} times: {old}")),
        Err(error) => Some(format!("{number}: {file}: {error}")),
    }
}

#[test]
fn a_fault_is_an_expression_or_says_where_its_switch_is() {
    let text = "let a = 1 + 2;\nlet b = if x > 3 { y } else { z };\n";
    let fault = |number, old, new| Fault {
        number,
        file: "f.rs",
        old,
        new,
        tests: &[],
        harmless: "",
    };
    let whole = fault(1, "1 + 2", "1 - 2");
    let part = fault(2, "x > 3", "x > 3 || FAULT");
    let written = switches::written(text, &[&whole, &part]).unwrap();
    assert_eq!(
        written,
        "let a = (if crate::sockc_fault(1) { 1 - 2 } else { 1 + 2 });\n\
         let b = if x > 3 || crate::sockc_fault(2) { y } else { z };\n"
    );
    let inside = fault(3, "x > 3 { y }", "x");
    assert!(switches::written(text, &[&part, &inside]).is_err());
    assert!(switches::written(text, &[&fault(4, "l", "m")]).is_err());
}

#[test]
fn faults_are_noticed() {
    let Ok(wanted) = std::env::var("SOCKC_MUTANTS") else {
        println!("SOCKC_MUTANTS is not set: the table was checked, the faults were not run");
        return;
    };
    let chosen: Vec<Fault> = all()
        .into_iter()
        .filter(|one| is_wanted(one, &wanted))
        .collect();
    assert!(!chosen.is_empty(), "no fault is meant by {wanted}");
    let survivors = campaign::run(root(), &all(), &chosen);
    assert!(survivors.is_empty(), "nobody noticed {survivors:?}");
}

fn is_wanted(fault: &Fault, wanted: &str) -> bool {
    wanted.split(',').any(|one| match one.parse::<u32>() {
        Ok(number) => fault.number == number,
        Err(_) => one == "all" || fault.file.contains(one),
    })
}
