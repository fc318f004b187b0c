//! What changes in the instructions: a unified difference of the listings of both policies, program by program.
//!
//! An insertion shifts the numbers of all that follows, and the targets of jumps. So lines are compared without them;
//! they are shown with the numbers that they have. Not here: compiling.

use std::collections::BTreeMap;
use std::fmt::Write;

use similar::{ChangeTag, TextDiff};
use sockc_compiler::artifact::Artifact;
use sockc_compiler::listing::listing;

/// Lines around a difference.
const CONTEXT: usize = 3;

/// The differences between the programs of two compiled policies; empty where there are none.
pub(crate) fn text(old: &Artifact, new: &Artifact) -> String {
    let (old, new) = (listings(old), listings(new));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let nothing = Vec::new();
    let mut text = String::new();
    for name in names {
        let [old, new] = [&old, &new].map(|listings| listings.get(name).unwrap_or(&nothing));
        text += &program(name, old, new);
    }
    text
}

/// The programs' listings by name, those of namespaces with the namespace ahead.
fn listings(artifact: &Artifact) -> BTreeMap<String, Vec<Row>> {
    let mut all = BTreeMap::new();
    let inner = artifact
        .netns
        .iter()
        .map(|(netns, inner)| (format!("{netns}/"), inner));
    for (prefix, artifact) in std::iter::once((String::new(), artifact)).chain(inner) {
        for program in &artifact.programs {
            let listing = listing(program, &artifact.maps);
            let rows = listing.lines().skip(1).map(Row::new);
            all.insert(format!("{prefix}{}", program.name), rows.collect());
        }
    }
    all
}

/// A line of a listing.
#[derive(Debug)]
struct Row {
    /// The number and the instruction in words.
    shown: String,
    /// The instruction without what shifts.
    compared: String,
}

impl Row {
    /// Takes a line as [`listing`] gives it: number, eight bytes, words, source.
    fn new(line: &str) -> Self {
        let (number, rest) = line.split_once(':').unwrap_or(("", line));
        let words = rest.get(BYTES..).unwrap_or_default();
        let (instruction, _source) = words.split_once("  ;").unwrap_or((words, ""));
        let compared = match instruction.rsplit_once("goto ") {
            Some((test, _target)) => format!("{test}goto"),
            None => instruction.trim_end().to_owned(),
        };
        Self {
            shown: format!("{number}: {words}"),
            compared,
        }
    }
}

/// The columns of the bytes in a listing, with the blanks around them.
const BYTES: usize = 26;

/// The unified difference of a program.
fn program(name: &str, old: &[Row], new: &[Row]) -> String {
    let compared = |rows: &[Row]| {
        rows.iter()
            .map(|row| row.compared.clone())
            .collect::<Vec<_>>()
    };
    let (before, after) = (compared(old), compared(new));
    if before == after {
        return String::new();
    }
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let after: Vec<&str> = after.iter().map(String::as_str).collect();
    let difference = TextDiff::from_slices(&before, &after);
    let mut text = format!(
        "--- {name}: {} instructions\n+++ {name}: {} instructions\n",
        old.len(),
        new.len()
    );
    for hunk in difference
        .unified_diff()
        .context_radius(CONTEXT)
        .iter_hunks()
    {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", hunk.header());
        for change in hunk.iter_changes() {
            let (sign, row) = match change.tag() {
                ChangeTag::Delete => ('-', change.old_index().and_then(|index| old.get(index))),
                ChangeTag::Insert => ('+', change.new_index().and_then(|index| new.get(index))),
                ChangeTag::Equal => (' ', change.new_index().and_then(|index| new.get(index))),
            };
            let _ = writeln!(text, "{sign}{}", row.map_or("", |row| row.shown.trim_end()));
        }
    }
    text
}
