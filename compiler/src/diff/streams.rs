//! Whether two policies do the same with the connections of their groups.
//!
//! Takes both policies; gives the first thing that is not the same. Connections that a group's rules concern are taken into tables
//! that outlive a policy, and the kernel remembers a write that it refused: so what changes there cannot be taken back by nobody but
//! the kernel. A rule that is written otherwise counts as another one, whatever it means: what is the same here is surely so. Not here:
//! what a difference does.

use std::collections::BTreeMap;

use super::edits::Edits;
use super::joint::Joint;
use super::lists::Lists;
use super::report::{Edit, EditKind};
use crate::policy::{Direction, Policy};

/// The lists by which connections are taken in.
const TAKE_IN: [Direction; 2] = [Direction::Send, Direction::Receive];

/// What is not the same, as words that a sentence goes on with, such as "edge.sk:4 of `send`"; `None` if all of it is the same. Blocks for
/// namespaces have none of it: a group's sockets count whatever network namespace they are in.
#[must_use]
pub fn streams_differ(old: &Policy, new: &Policy) -> Option<String> {
    if declared(old) != declared(new) {
        return Some("the groups or the pairs that are declared".to_owned());
    }
    let Ok(joint) = Joint::new(old, new, None) else {
        return Some("too much to be compared".to_owned());
    };
    let edits = Edits::of(&joint, &Lists::of(&joint));
    let matters =
        |edit: &&Edit| TAKE_IN.contains(&edit.direction) && edit.kind != EditKind::Relabelled;
    let edit = edits.edits.iter().find(matters)?;
    let line = edit.new.as_ref().or(edit.old.as_ref())?;
    let (place, word) = (&line.location, edit.direction.word());
    Some(format!("{}:{} of `{word}`", place.file, place.line))
}

/// The groups with their paths, and the rooms of the pairs that are joined.
fn declared(policy: &Policy) -> (BTreeMap<&str, &str>, BTreeMap<&str, u32>) {
    let groups = policy.groups.values();
    let groups = groups.map(|group| (group.name.as_str(), group.cgroup.as_str()));
    let pairs = policy.splices.iter().map(|one| &policy.pairs[one.pairs]);
    let pairs = pairs.map(|pairs| (pairs.name.as_str(), pairs.max));
    (groups.collect(), pairs.collect())
}
