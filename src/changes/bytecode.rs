//! What changes in the instructions: a unified difference of the listings of both policies, program by program.
//!
//! An insertion shifts the numbers of all that follows, and the targets of jumps. So lines are compared without them;
//! they are shown with the numbers that they have. A slot of the stack that comes or goes shifts the others: lines are
//! compared with the slots of the old program at their new places. Not here: compiling.

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
            let mut rows: Vec<Row> = Vec::new();
            for line in listing.lines().skip(1) {
                let row = Row::new(line, rows.last());
                rows.push(row);
            }
            all.insert(format!("{prefix}{}", program.name), rows);
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
    /// The place of the slot that it names.
    slot: Option<u32>,
}

impl Row {
    /// Takes a line as [`listing`] gives it: number, eight bytes, words, source; and the row before it.
    fn new(line: &str, before: Option<&Self>) -> Self {
        let (number, rest) = line.split_once(':').unwrap_or(("", line));
        let words = rest.get(BYTES..).unwrap_or_default();
        let (instruction, _source) = words.split_once("  ;").unwrap_or((words, ""));
        let compared = match instruction.rsplit_once("goto ") {
            Some((test, _target)) => format!("{test}goto"),
            None => instruction.trim_end().to_owned(),
        };
        let (compared, slot) = match cut(&compared, "(r10 - ", ")") {
            Some((rest, place)) => (rest, place.parse().ok()),
            None if before.is_some_and(|row| row.compared.ends_with("= r10")) => {
                match cut(&compared, "+= -0x", "") {
                    Some((rest, place)) => (rest, u32::from_str_radix(&place, 16).ok()),
                    None => (compared, None),
                }
            }
            None => (compared, None),
        };
        Self {
            shown: format!("{number}: {words}"),
            compared,
            slot,
        }
    }

    /// The instruction with its slot at this place.
    fn at(&self, slot: Option<u32>) -> String {
        match slot {
            Some(slot) => format!("{} @{slot}", self.compared),
            None => self.compared.clone(),
        }
    }
}

/// A text without what stands between two parts of it, and that.
fn cut(text: &str, before: &str, after: &str) -> Option<(String, String)> {
    let (head, rest) = text.split_once(before)?;
    let end = if after.is_empty() {
        rest.len()
    } else {
        rest.find(after)?
    };
    let (place, tail) = rest.split_at(end);
    Some((format!("{head}{before}{tail}"), place.to_owned()))
}

/// Where the slots of the old program stand in the new one: what most lines say that are the same but for their slots.
fn moved(old: &[Row], new: &[Row]) -> BTreeMap<u32, u32> {
    let [before, after] = [old, new].map(|rows| {
        rows.iter()
            .map(|row| row.compared.as_str())
            .collect::<Vec<_>>()
    });
    let mut votes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for change in TextDiff::from_slices(&before, &after).iter_all_changes() {
        let slot = |rows: &[Row], index: Option<usize>| rows.get(index?)?.slot;
        if let (Some(one), Some(other)) =
            (slot(old, change.old_index()), slot(new, change.new_index()))
        {
            *votes.entry((one, other)).or_default() += 1;
        }
    }
    let mut votes: Vec<_> = votes.into_iter().collect();
    votes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let mut moved = BTreeMap::new();
    for ((one, other), _) in votes {
        if !moved.contains_key(&one) && !moved.values().any(|&taken| taken == other) {
            moved.insert(one, other);
        }
    }
    moved
}

/// The columns of the bytes in a listing, with the blanks around them.
const BYTES: usize = 26;

/// The unified difference of a program.
fn program(name: &str, old: &[Row], new: &[Row]) -> String {
    let moved = moved(old, new);
    // What is in no line that stays is at no place of the new program.
    let place = |slot: u32| moved.get(&slot).copied().unwrap_or(u32::MAX);
    let before = old.iter().map(|row| row.at(row.slot.map(place)));
    let before: Vec<String> = before.collect();
    let after: Vec<String> = new.iter().map(|row| row.at(row.slot)).collect();
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
