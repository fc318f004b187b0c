//! The lists of both families as the text of a policy.
//!
//! Takes for each list the rules of IPv4 and of IPv6; gives the text. Packets of two families never meet the same list, so the lists are
//! laid side by side in any way that keeps the order of each: rules that say the same in both are written once. Not here: how the rules
//! came about.

use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};
use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::chains::{End, Flat, Step};
use super::line::{Origin, Written};
use super::list::List;
use super::report::shortened;
use super::text::{clauses, hosts, other, pattern, protocols, quoted, whole};
use super::what::{OWN, Remarks, Zone, every};

/// What a built-in chain of one family became.
#[derive(Debug)]
pub(super) struct Side {
    /// The family.
    pub(super) family: Family,
    /// Its rules.
    pub(super) steps: Vec<Step>,
    /// Whether what comes to its end is dropped.
    pub(super) drops: bool,
    /// Whether anything was read of it.
    pub(super) is_known: bool,
}

/// A list of both families.
#[derive(Debug)]
pub(super) struct Lists {
    /// Which list.
    pub(super) list: List,
    /// How its tool calls the chain, or the place of the chains.
    pub(super) chain: &'static str,
    /// What stands ahead of the names of other chains, where they do not say themselves what they are.
    pub(super) word: &'static str,
    /// Whether both families stand in one file, so that a place in it means the same of both.
    pub(super) one_file: bool,
    /// That of IPv4, and that of IPv6.
    pub(super) sides: [Side; 2],
}

impl Lists {
    /// Whether packets of the list meet a policy at all: what arrives always does, so that a policy has a list.
    pub(super) fn is_there(&self) -> bool {
        let has = |side: &Side| side.drops || !side.steps.is_empty();
        self.list == List::In || self.sides.iter().any(has)
    }

    /// Whether some packet may pass.
    pub(super) fn lets_through(&self) -> bool {
        let lets = |step: &Step| matches!(step, Step::Rule(flat) if flat.end == End::Allow);
        let mut sides = self.sides.iter().filter(|side| side.is_known);
        sides.any(|side| !side.drops || side.steps.iter().any(lets))
    }

    /// Whether some packet may be taken away. The default of such a list is drop, and a policy that accepts is its last rule: what is
    /// malformed gets the default, and a TCP header in two fragments is, which INPUT sees put together. By a default of allow it would
    /// get past every rule that drops.
    pub(super) fn takes_away(&self) -> bool {
        let takes = |step: &Step| matches!(step, Step::Rule(flat) if flat.end.takes_away());
        let mut sides = self.sides.iter();
        sides.any(|side| side.drops || side.steps.iter().any(takes))
    }
}

/// The text of a policy, not yet in its canonical form, of what its first words say.
pub(super) fn draft(lists: &[Lists], of: &str) -> String {
    let there = lists.iter().filter(|one| one.is_there());
    let mut text = format!(
        "# {of}, as a policy. Name the interfaces that it is for with `--interface`, and `lo` not among them.\n\n"
    );
    for (name, members) in zones(lists) {
        text += &format!("zone {name} = {members}\n");
    }
    for (name, elements) in sets(lists) {
        text += &format!("set {name} = {{ {elements} }}\n");
    }
    for (name, declared) in live(lists) {
        text += &format!("live set {name} {declared}\n");
    }
    for one in there.clone() {
        let verb = if one.takes_away() { "drop" } else { "allow" };
        text += &format!("default {} {verb}\n", one.list.word());
    }
    for one in there {
        text += &format!("\n# {}\n", one.chain);
        for line in lines(one) {
            text += &line;
            text.push('\n');
        }
    }
    text
}

/// The steps of all lists.
pub(super) fn steps(lists: &[Lists]) -> impl Iterator<Item = &Step> {
    let sides = lists.iter().flat_map(|one| &one.sides);
    sides.flat_map(|side| &side.steps)
}

/// The zones that rules name, with their interfaces.
fn zones(lists: &[Lists]) -> BTreeMap<&str, String> {
    let named = steps(lists).flat_map(|step| match step {
        Step::Rule(flat) => [flat.what.on_zone.as_ref(), flat.what.to_zone.as_ref()],
        Step::LeftOut(..) => [None, None],
    });
    let members = |zone: &Zone| {
        let members: Vec<String> = zone.members.iter().map(pattern).collect();
        members.join(", ")
    };
    let named = named.flatten();
    named
        .map(|zone| (zone.name.as_str(), members(zone)))
        .collect()
}

/// The sets that rules name, with what they hold.
fn sets(lists: &[Lists]) -> BTreeMap<&str, String> {
    let sides = lists.iter().flat_map(|one| &one.sides);
    let mut sets = BTreeMap::new();
    for (family, step) in sides.flat_map(|side| side.steps.iter().map(|step| (side.family, step))) {
        let Step::Rule(flat) = step else {
            continue;
        };
        for end in [&flat.what.from, &flat.what.to] {
            let declared = end.set.as_ref().filter(|set| set.name != OWN);
            let Some(set) = declared else {
                continue;
            };
            let addresses = match set.negated {
                true => every(family).minus(&end.addresses),
                false => end.addresses.clone(),
            };
            let held = || elements(&addresses, &set.remarks, family);
            sets.entry(set.name.as_str()).or_insert_with(held);
        }
    }
    sets
}

/// The elements of a set: with a comment, each has its line.
fn elements(held: &RangeSet<u128>, remarks: &Remarks, family: Family) -> String {
    if remarks.is_empty() {
        return hosts(held, family).join(", ");
    }
    let mut lines = remarked(held, remarks);
    let told = RangeSet::from_ranges(lines.keys().copied());
    for &(low, high) in held.minus(&told).ranges() {
        let inside = remarks.range((low, 0)..=(high, high));
        let inside = inside.map(|(_, said)| said.as_str());
        lines.insert((low, high), inside.collect());
    }
    let lines = lines.iter().map(|(range, said)| {
        let text = hosts(&RangeSet::from_ranges([*range]), family).join(", ");
        let said: Vec<String> = said.iter().map(|one| plain(&shortened(one))).collect();
        match said.as_slice() {
            [] => format!("{text},\n"),
            _ => format!("{text}, # {}\n", said.join("; ")),
        }
    });
    format!("\n{}", lines.collect::<String>())
}

/// What is remarked of addresses that are all in the set, each an element of its own; of those that share addresses, one for all.
fn remarked<'a>(
    held: &RangeSet<u128>,
    remarks: &'a Remarks,
) -> BTreeMap<(u128, u128), Vec<&'a str>> {
    let all = held.ranges();
    let is_held = |range: &(u128, u128)| {
        let at = all.partition_point(|one| one.1 < range.0);
        all.get(at)
            .is_some_and(|one| one.0 <= range.0 && range.1 <= one.1)
    };
    let mut lines: Vec<((u128, u128), Vec<&str>)> = Vec::new();
    for (range, said) in remarks.iter().filter(|(range, _)| is_held(range)) {
        match lines.last_mut() {
            Some((before, all)) if range.0 <= before.1 => {
                before.1 = before.1.max(range.1);
                all.push(said);
            }
            _ => lines.push((*range, vec![said])),
        }
    }
    lines.into_iter().collect()
}

/// The live sets that rules name, with what they are declared with.
pub(super) fn live(lists: &[Lists]) -> BTreeMap<&str, &str> {
    let rules = steps(lists).filter_map(Step::rule);
    let ends = rules.flat_map(|flat| [&flat.what.from, &flat.what.to]);
    let live = ends.filter_map(|end| end.live.as_ref());
    live.map(|one| (one.name.as_str(), &*one.declared))
        .collect()
}

/// The lines of a list.
fn lines(lists: &Lists) -> Vec<String> {
    let [v4, v6] = &lists.sides;
    match (v4.steps.is_empty(), v6.steps.is_empty()) {
        (true, true) => first(lists, None),
        (false, true) => first(lists, Some(v4)),
        (true, false) => first(lists, Some(v6)),
        (false, false) => beside(lists),
    }
}

/// The lines where at most one family has rules: what becomes of the other one stands first, so that the rules need not say theirs. What
/// comes to their end gets the default, or else the policy of their chain.
fn first(lists: &Lists, with: Option<&Side>) -> Vec<String> {
    let default = lists.takes_away();
    let mut lines = Vec::new();
    for side in &lists.sides {
        let is_without = with.is_none_or(|with| with.family != side.family);
        let is_default = with.is_none() && side.drops == default;
        if is_without && !is_default {
            lines.push(whole_family(lists, side));
        }
    }
    let Some(with) = with else {
        return lines;
    };
    let steps = written(lists, with, false).into_iter();
    lines.extend(steps.map(|(_, line)| line));
    if with.drops != default {
        lines.push(whole_family(lists, with));
    }
    lines
}

/// What becomes of what no rule of a family decides.
fn whole_family(lists: &Lists, side: &Side) -> String {
    let verb = if side.drops { "drop" } else { "allow" };
    let note = match side.is_known {
        true => policy_of(lists),
        false => "nothing is said of this family".to_owned(),
    };
    format!(
        "{verb} {} from {} note {}",
        lists.list.word(),
        whole(side.family),
        quoted(&note)
    )
}

fn policy_of(lists: &Lists) -> String {
    format!("policy of {}", lists.chain)
}

/// The lines where both have rules: what is the same in both once, and at the end the family whose policy is not the default.
fn beside(lists: &Lists) -> Vec<String> {
    let [v4, v6] = &lists.sides;
    let common = [v4, v6].map(|side| written(lists, side, false));
    let own = [v4, v6].map(|side| written(lists, side, true));
    let keys = common.each_ref().map(|lines| {
        let keys = lines.iter().map(|(key, _)| key.as_str());
        keys.collect::<Vec<_>>()
    });
    let mut lines: Vec<String> = Vec::new();
    let take = |side: usize, from: usize, count: usize| {
        own[side][from..from + count]
            .iter()
            .map(|(_, line)| line.clone())
    };
    for op in capture_diff_slices(Algorithm::Myers, &keys[0], &keys[1]) {
        match op {
            DiffOp::Equal { old_index, len, .. } => {
                let same = &common[0][old_index..old_index + len];
                lines.extend(same.iter().map(|(_, line)| line.clone()));
            }
            DiffOp::Delete {
                old_index, old_len, ..
            } => lines.extend(take(0, old_index, old_len)),
            DiffOp::Insert {
                new_index, new_len, ..
            } => lines.extend(take(1, new_index, new_len)),
            DiffOp::Replace {
                old_index,
                old_len,
                new_index,
                new_len,
            } => {
                lines.extend(take(0, old_index, old_len));
                lines.extend(take(1, new_index, new_len));
            }
        }
    }
    if lists.takes_away() && !v4.drops && !v6.drops {
        lines.push(format!(
            "allow {} note {}",
            lists.list.word(),
            quoted(&policy_of(lists))
        ));
        return lines;
    }
    let default = lists.takes_away();
    let others = lists.sides.iter().filter(|side| side.drops != default);
    lines.extend(others.map(|side| whole_family(lists, side)));
    lines
}

/// The lines of a side, each with what has to be equal in both families for one line to stand for both.
fn written(lists: &Lists, side: &Side, scoped: bool) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut above = format!("# {}{}", lists.word, plain(lists.chain));
    for step in &side.steps {
        match step {
            Step::LeftOut(place, text) => {
                let line = format!("# left out, {place}: {}", plain(&shortened(text)));
                let key = match lists.one_file {
                    true => line.clone(),
                    false => format!("{:?} {line}", side.family),
                };
                lines.push((key, line));
            }
            Step::Rule(flat) => {
                let heading = heading(lists, flat);
                if heading != above {
                    lines.push((heading.clone(), heading.clone()));
                    above = heading;
                }
                lines.push(rule(lists.list, side.family, flat, scoped));
            }
        }
    }
    lines
}

/// What stands above a rule: the command that it comes from, or its chain.
fn heading(lists: &Lists, flat: &Flat) -> String {
    match written_as(flat) {
        Some(written) => format!("# {}", plain(&written.command)),
        None => format!("# {}{}", lists.word, plain(&flat.chain)),
    }
}

/// What was written in other words, if that is known.
fn written_as(flat: &Flat) -> Option<&Written> {
    Origin::written(flat.origin.as_ref())
}

/// A rule. A rate of all packets is of one family, as each has a bucket of its own; those of addresses are apart by these.
fn rule(list: List, family: Family, flat: &Flat, scoped: bool) -> (String, String) {
    let verb = match flat.end {
        End::Allow => "allow",
        End::Drop => "drop",
        End::Reject => "reject",
        End::Count => "count",
    };
    let rate = flat.what.rate.as_ref();
    let is_rated = rate.is_some_and(|rate| !rate.text.contains(" per "));
    let protocols = protocols(&flat.what);
    let clauses = clauses(&flat.what, list, scoped);
    let direction = match list == List::In && !(protocols.is_empty() && clauses.is_empty()) {
        true => String::new(),
        false => format!("{} ", list.word()),
    };
    let mut line = format!("{verb} {direction}{}{clauses}", protocols.trim_end());
    if let Some(log) = &flat.log {
        line += " log ";
        if !log.prefix.is_empty() {
            line += &format!("{} ", quoted(&plain(&log.prefix)));
        }
        line += &format!("max {}", log.most);
    }
    let note = match written_as(flat) {
        Some(written) => written.note.as_ref(),
        None => flat.comment.as_ref(),
    };
    if let Some(comment) = note.filter(|text| !text.is_empty()) {
        line += &format!(" note {}", quoted(&plain(comment)));
    }
    let key = match is_rated {
        true => format!("{family:?} {line}"),
        false => line.clone(),
    };
    (key, line)
}

/// Text of others without what could end a line or move a cursor.
fn plain(text: &str) -> String {
    let letters = text.chars();
    letters
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

/// The family that nothing was read of, if only one was.
pub(super) fn unknown(lists: &Lists) -> Option<Family> {
    let known: Vec<Family> = lists
        .sides
        .iter()
        .filter(|side| side.is_known)
        .map(|side| side.family)
        .collect();
    match known.as_slice() {
        [only] => Some(other(*only)),
        _ => None,
    }
}
