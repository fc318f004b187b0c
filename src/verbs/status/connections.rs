//! How many connections of each group are in the kernel's tables, of how many that have room there, and control groups that
//! are waited for, as `status` tells them.

use serde::Serialize;
use sockc_runtime::{GroupStatus, Table};

use crate::output::Output;
use crate::output::count;

/// A table of a group, in JSON.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    group: &'a str,
    cgroup: &'a str,
    /// Whether there is no control group at that path now.
    awaited: bool,
    direction: &'static str,
    connections: u32,
    places: u32,
}

/// The JSON of that.
pub(super) fn rows(groups: &[GroupStatus]) -> Vec<Row<'_>> {
    tables(groups)
        .map(|(group, table)| Row {
            group: &group.group,
            cgroup: &group.path,
            awaited: group.awaited,
            direction: table.direction,
            connections: table.connections,
            places: table.places,
        })
        .collect()
}

fn tables(groups: &[GroupStatus]) -> impl Iterator<Item = (&GroupStatus, &Table)> {
    groups
        .iter()
        .flat_map(|group| group.tables.iter().map(move |table| (group, table)))
}

/// Shows them, and says what a person should know of them.
pub(super) fn show(groups: &[GroupStatus], output: &mut Output) {
    let rows: Vec<_> = tables(groups)
        .map(|(group, table)| {
            vec![
                format!("  {}", table.direction),
                format!("group \"{}\"", group.group),
                format!(
                    "{} of {}",
                    count::of(table.connections, "connection"),
                    count::grouped(table.places)
                ),
            ]
        })
        .collect();
    output.table(&rows);
    for (group, table) in tables(groups) {
        if let Some(words) = pressure(group, table) {
            output.note(words);
        }
    }
    for group in groups.iter().filter(|group| group.awaited) {
        output.note(format!(
            "there is no control group {}: the rules of the group \"{}\" hold once one is made there",
            group.path, group.group
        ));
    }
}

/// What is said of a table that has little room left.
fn pressure(group: &GroupStatus, table: &Table) -> Option<String> {
    let name = &group.group;
    let (direction, places) = (table.direction, count::grouped(table.places));
    let (come, find) = match group.refuses && direction == "send" {
        true => (
            "may write nothing, as `default send` says",
            "may write nothing",
        ),
        false => ("go by TCP, undecided", "go by TCP, undecided"),
    };
    if table.is_full() {
        return Some(format!(
            "the table of the group \"{name}\" for `{direction}` is full: connections that come now {come}, and `sockc counters` counts them as those that could not be taken in"
        ));
    }
    table.is_nearly_full().then(|| {
        format!(
            "the table of the group \"{name}\" for `{direction}` has room for {places} connections, and {} are in it: those that find no room {find}, and are counted",
            count::grouped(table.connections)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a table of ten places.
    fn said(connections: u32, refuses: bool) -> Option<String> {
        let group = GroupStatus {
            group: "pods".into(),
            path: "/pods".into(),
            awaited: false,
            refuses,
            tables: Vec::new(),
        };
        let table = Table {
            direction: "send",
            connections,
            places: 10,
        };
        pressure(&group, &table)
    }

    #[test]
    fn little_room_is_told_from_four_of_five_places_on_and_none_at_the_last() {
        assert_eq!(said(7, false), None);
        for some in [8, 9] {
            let words = said(some, false).unwrap();
            assert!(words.contains(&format!("and {some} are in it")), "{words}");
        }
        for full in [10, 11] {
            for (refuses, fate) in [(false, "go by TCP"), (true, "may write nothing")] {
                let words = said(full, refuses).unwrap();
                assert!(words.contains("is full") && words.contains(fate), "{words}");
            }
        }
    }
}
