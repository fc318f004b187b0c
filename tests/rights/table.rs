//! The table of `docs/rights.md`: command lines, in an order in which they can be run, and what each takes.

use std::fs;
use std::path::Path;

/// A line of it.
pub(super) struct Row {
    pub(super) command: String,
    pub(super) takes: Vec<String>,
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
    let (command, takes) = line.split_once("` |").unwrap();
    let takes = takes.trim().trim_end_matches('|').split(',');
    let names = takes.map(|name| name.trim().to_owned());
    Row {
        command: format!("sockc {command}"),
        takes: names.filter(|name| !name.is_empty()).collect(),
    }
}
