//! Whether two policies do the same with the connections of their groups.
//!
//! Takes both policies; gives the first thing that is not the same. Connections that a group's rules concern are taken into tables
//! that outlive a policy, and the kernel remembers a write that it refused: so what changes there cannot be taken back by nobody but
//! the kernel. A rule that is written otherwise counts as another one, whatever it means: what is the same here is surely so. Not here:
//! what a difference does.

use std::collections::BTreeMap;

use super::edits::Edits;
use super::joint::{Joint, Which};
use super::lists::{Lists, Pair};
use super::report::{Edit, EditKind};
use crate::policy::{Direction, Policy, ProtocolMatch};
use crate::protocol::IpProtocol;

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
    let pairs = edits.pairs();
    let matters = |(edit, pairs): &(&Edit, &Vec<Pair>)| {
        TAKE_IN.contains(&edit.direction)
            && edit.kind != EditKind::Relabelled
            && !are_of_datagrams(&joint, pairs)
    };
    let (edit, _) = edits.edits.iter().zip(&pairs).find(matters)?;
    let line = edit.new.as_ref().or(edit.old.as_ref())?;
    let (place, word) = (&line.location, edit.direction.word());
    Some(format!("{}:{} of `{word}`", place.file, place.line))
}

/// Whether rules are about datagrams alone, which come on no connection: nothing is taken in for them. A default has no rules, and is about
/// connections too.
fn are_of_datagrams(joint: &Joint<'_>, pairs: &[Pair]) -> bool {
    let rules = |pair: &Pair| {
        Which::BOTH.map(|which| {
            let id = pair.of(which)?;
            Some(&joint.side(which).policy.rules[id].matches.protocols)
        })
    };
    let mut rules = pairs.iter().flat_map(rules).flatten().peekable();
    let is_udp = |one: &ProtocolMatch| one.number == IpProtocol::UDP;
    rules.peek().is_some() && rules.all(|all| !all.is_empty() && all.iter().all(is_udp))
}

/// The groups with their paths, and the rooms of the pairs that are joined.
fn declared(policy: &Policy) -> (BTreeMap<&str, &str>, BTreeMap<&str, u32>) {
    let groups = policy.groups.values();
    let groups = groups.map(|group| (group.name.as_str(), group.cgroup.as_str()));
    let pairs = policy.splices.iter().map(|one| &policy.pairs[one.pairs]);
    let pairs = pairs.map(|pairs| (pairs.name.as_str(), pairs.max));
    (groups.collect(), pairs.collect())
}
