//! The code of small policies, one thing each, with the policy and its listing in one file of `golden/code/`.
//!
//! The text up to the first line that begins with `==` is the policy; what follows is compared, and written anew by
//! blessing. A file that begins with `prologue-` shows what runs before the first decision, all others show what runs
//! from there on: so an edit of the prologue moves the listings of the prologues, and none else. What is written of a drop while somebody
//! asks stands in those of files that end with `-drop`.
//!
//! A policy is compiled for the oldest kernel, unless its first line is `# for RELEASE`.

use std::fmt::Write;

use sockc_compiler::pipeline::{Built, Options};
use sockc_compiler::policy::Policy;
use sockc_compiler::shapes;
use sockc_compiler::target::Target;
use sockc_grammar::render::render;

use super::listing::{Part, listing};
use super::{compile_text, sizes};
use crate::repository::{compare_with_golden, fail_on, files_in, stem, text};

#[test]
fn small_policies_compile_to_the_code_below_them() {
    let names = files_in("golden/code", "");
    assert!(names.len() >= 30, "{names:?}");
    let mut differences = Vec::new();
    for name in names {
        let golden = text(&name);
        let policy = policy_of(&golden);
        differences.extend(match code(&name, policy) {
            Ok(code) => compare_with_golden(&name, &format!("{policy}{code}")),
            Err(refusal) => Some(refusal),
        });
    }
    fail_on(&differences);
}

/// What stands before the listings.
fn policy_of(golden: &str) -> &str {
    match golden.find("\n== ") {
        Some(end) => &golden[..=end],
        None => golden,
    }
}

/// The release that a policy is compiled for.
fn target(policy: &str) -> Target {
    let first = policy.lines().next().unwrap_or_default();
    let Some(name) = first.strip_prefix("# for ") else {
        return Target::baseline();
    };
    let mut releases = Target::releases();
    releases.find(|release| release.name == name).unwrap()
}

/// Sizes, shapes of tables, and the code of every program; else why there is none.
fn code(name: &str, text: &str) -> Result<String, String> {
    let target = target(text);
    let options = Options::from(&target);
    let (sources, outcome) = compile_text(name, text.to_owned(), options);
    assert_eq!(outcome.internal, None, "{name}");
    let Some(built) = outcome.built else {
        return Err(render(&outcome.diagnostics, &sources, false));
    };
    let part = match stem(name) {
        name if name.starts_with("prologue-") => Part::Prologue,
        name if name.ends_with("-drop") => Part::Sampled,
        _ => Part::Decision,
    };
    let mut text = format!("== sizes\n{}", sizes(&built));
    text += &tables(&outcome.policy.unwrap(), &built);
    for program in &built.artifact.programs {
        let listing = listing(program, &built.artifact.maps, part);
        write!(text, "\n== {listing}").unwrap();
    }
    Ok(text)
}

/// What became of the chains whose rules stand in tables.
fn tables(policy: &Policy, built: &Built) -> String {
    let indices = (0..).zip(&built.classifiers);
    let in_tables = indices.filter(|(_, classifier)| classifier.is_some());
    in_tables
        .map(|(index, _)| format!("\n== tables\n{}", shapes::describe(policy, built, index)))
        .collect()
}
