//! The commands of `docs/install.md`, by section.
//!
//! A test that runs a section takes its lines from here, so that it is the page's own words that are tried; a section more
//! that no test runs is a failure.

use std::fs;

use crate::source;

/// What runs the commands of a section.
enum By {
    /// A step of `.ci/run`: a function of that name, with the first command as it stands, but for `--release`.
    Step(&'static str),
    /// A test that asks for the section.
    Test(&'static str),
}

/// The sections that have commands, and what runs them.
const RUN_BY: [(&str, By); 6] = [
    ("From source", By::Step("cargo_installs")),
    ("A static binary", By::Step("static_binary")),
    ("A Debian package", By::Test("tests/package/clean.rs")),
    ("The first start", By::Test("tests/package/clean.rs")),
    ("Upgrade", By::Test("tests/package/clean.rs")),
    ("Removal", By::Test("tests/package/clean.rs")),
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
    assert_eq!(titles, RUN_BY.each_ref().map(|(title, _)| *title));
    for (title, by) in RUN_BY {
        match by {
            By::Step(step) => assert_eq!(not_run(step, &commands(title)[0]), None, "{title}"),
            By::Test(name) => {
                let test = fs::read_to_string(source(name)).unwrap();
                let wanted = format!("(\"{title}\")");
                assert!(test.contains(&wanted), "{name} does not run {wanted}");
            }
        }
    }
}

/// Why `.ci/run` does not run a command by a step, if it does not. What only a comment says is not run.
fn not_run(step: &str, command: &str) -> Option<String> {
    let script = fs::read_to_string(source(".ci/run")).unwrap();
    let lines = script.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
    let head = format!("{step}() {{");
    let body = lines.iter().skip_while(|line| **line != head);
    let mut body = body.take_while(|line| **line != "}");
    let command = command.replace(" --release", "");
    if !body.any(|line| line.starts_with(&command)) {
        return Some(format!("{step} of .ci/run does not run {command}"));
    }
    let is_taken = lines.contains(&format!("step {step}").as_str());
    (!is_taken).then(|| format!(".ci/run has no step {step}"))
}
