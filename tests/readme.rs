//! The README says what is true: its commands work and its verbs exist. The policies it points to are in canonical form.

use std::process::{Command, Output, Stdio};

use crate::repository::{files_in, root, text};

fn sockc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sockc"))
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    let bytes = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(bytes).unwrap()
}

/// What `sockc --help` prints.
pub(crate) fn help() -> String {
    printed(&sockc(&["--help"]))
}

#[test]
fn it_has_two_commands_and_the_first_one_works() {
    let page = text("README.md");
    let commands: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("cargo "))
        .collect();
    let [first, "cargo test --workspace", chart] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    draws_what_is_shown(&page, chart);
    let arguments = first.strip_prefix("cargo run -- ").unwrap();
    let output = sockc(&arguments.split(' ').collect::<Vec<_>>());
    let said = printed(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("rules/two-sentences.sk:"), "{said}");
}

/// The third command takes an hour: that it names families of the benchmark, and draws the chart that the page shows, is
/// what can be seen here.
fn draws_what_is_shown(page: &str, command: &str) {
    let rest = command
        .strip_prefix("cargo bench --bench cost -- --family ")
        .unwrap();
    let (families, chart) = rest.split_once(" --svg ").unwrap();
    let manual = text("docs/speed.md");
    for family in families.split(',') {
        assert!(
            manual.contains(&format!("| `{family}`")) || manual.contains(&format!("`{family}`,"))
        );
    }
    assert!(page.contains(&format!("]({chart})")), "{chart}");
    assert!(text(chart).starts_with("<svg"), "{chart}");
}

#[test]
fn its_verbs_exist() {
    let help = help();
    let page = text("README.md");
    let verbs: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `sockc "))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter_map(|command| command.trim_start_matches("sockc ").split(' ').next())
        .collect();
    assert!(verbs.len() >= 6, "{verbs:?}");
    for verb in verbs {
        assert!(help.contains(&format!("  {verb} ")), "{verb} in {help}");
    }
}

#[test]
fn it_quotes_the_two_sentences_of_the_first_policy() {
    let page = text("README.md");
    let policy = text("rules/two-sentences.sk");
    let quoted = page.lines().skip_while(|line| *line != "```").skip(1);
    let quoted: Vec<&str> = quoted.take_while(|line| *line != "```").collect();
    assert_eq!(quoted.len(), 2);
    for sentence in quoted {
        assert!(policy.lines().any(|line| line == sentence), "{sentence}");
    }
}

#[test]
fn the_policies_are_in_canonical_form() {
    let names = files_in("rules", ".sk");
    let mut arguments = vec!["fmt", "--check"];
    arguments.extend(names.iter().map(String::as_str));
    let output = sockc(&arguments);
    assert!(output.status.success(), "{}", printed(&output));
}
