//! The table of `docs/rights.md`: command lines, in an order in which they can be run, and what each takes.

use std::fs;
use std::path::Path;

/// A line of it.
pub(super) struct Row {
    pub(super) command: String,
    pub(super) takes: Vec<String>,
    /// What a member of the group that may read sees by it, without any of these.
    pub(super) sees: Sees,
}

/// What is shown to members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    /// Nothing: it is refused.
    Nothing,
    /// Part of it, which it says, and ends with 3.
    Part,
    /// All that others see.
    All,
}

/// All lines.
pub(super) fn rows() -> Vec<Row> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rights.md");
    let page = fs::read_to_string(page).unwrap();
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `sockc "));
    let rows: Vec<Row> = lines.map(row).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    rows
}

fn row(line: &str) -> Row {
    let (command, rest) = line.split_once("` |").unwrap();
    let (takes, sees) = rest.trim().trim_end_matches('|').split_once('|').unwrap();
    let takes = takes.split(',');
    let names = takes.map(|name| name.trim().to_owned());
    Row {
        command: format!("sockc {command}"),
        takes: names.filter(|name| !name.is_empty()).collect(),
        sees: match sees.trim() {
            "" => Sees::Nothing,
            "part" => Sees::Part,
            "yes" => Sees::All,
            other => panic!("{other}"),
        },
    }
}
