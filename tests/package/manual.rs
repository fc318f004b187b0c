//! The commands of `docs/install.md`, by section.
//!
//! A test that runs a section takes its lines from here, so that it is the page's own words that are tried; a section more
//! that no test runs is a failure.

use std::fs;

use crate::source;

/// The sections that have commands, and what runs them.
const RUN_BY: [(&str, &str); 6] = [
    ("From source", ".ci/run"),
    ("A static binary", ".ci/run"),
    ("A Debian package", "tests/package/clean.rs"),
    ("The first start", "tests/package/clean.rs"),
    ("Upgrade", "tests/package/clean.rs"),
    ("Removal", "tests/package/clean.rs"),
];

/// The sections of the page with their commands, one a line.
fn sections() -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string(source("docs/install.md")).unwrap();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut in_block = false;
    for line in page.lines() {
        match line.strip_prefix("## ") {
            Some(title) => found.push((title.to_owned(), Vec::new())),
            None if line.starts_with("```") => in_block = line == "```sh",
            None if in_block => found.last_mut().unwrap().1.push(line.to_owned()),
            None => {}
        }
    }
    found
}

/// The commands of a section, for a root that has no sudo.
pub(super) fn commands(section: &str) -> Vec<String> {
    let mut sections = sections().into_iter();
    let (_, commands) = sections.find(|(title, _)| title == section).unwrap();
    assert!(!commands.is_empty(), "{section}");
    let plain = |line: String| line.trim_start_matches("sudo ").to_owned();
    commands.into_iter().map(plain).collect()
}

#[test]
fn every_section_with_commands_is_run() {
    let sections = sections().into_iter();
    let with_commands = sections.filter(|(_, commands)| !commands.is_empty());
    let titles: Vec<String> = with_commands.map(|(title, _)| title).collect();
    assert_eq!(titles, RUN_BY.map(|(title, _)| title));
    for (title, by) in RUN_BY {
        let test = fs::read_to_string(source(by)).unwrap();
        let wanted = match by {
            ".ci/run" => commands(title)[0].clone(),
            _ => format!("(\"{title}\")"),
        };
        assert!(test.contains(&wanted), "{by} does not run {wanted}");
    }
}
