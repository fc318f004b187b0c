//! What became of each chain, tree or tables, what it costs, and what else it could have been: the first part of
//! `--emit decision`.
//!
//! Takes a policy and what was built of it; gives text. Costs are estimates: nanoseconds by measured costs
//! (`classifier`, `bulk::tree`), without parsing, counting and what the kernel does; work of the verifier by `verifier_cost`.
//! Not here: the choice itself, and the tests that lead to a decision.

use std::fmt::{Arguments, Write};

use crate::bulk::{self, MIN_RULES, tree};
use crate::chain::Chain;
use crate::classifier::{FamilySummary, Split, StratumSummary, Summary};
use crate::diagram::flatten::Flat;
use crate::pipeline::Built;
use crate::policy::{Family, Policy};
use crate::verifier_cost::VerifierCost;

/// Steps of the verifier up to which work is counted: no kernel takes more.
const MAX_WORK: usize = 1_000_000;

/// What became of chain number `index` of what was built of a policy.
#[must_use]
pub fn describe(whole: &Policy, built: &Built, index: usize) -> String {
    let mut text = String::new();
    let (Some(chain), Some(decision)) = (built.chains.get(index), built.decisions.get(index))
    else {
        return text;
    };
    match built.classifiers.get(index).and_then(Option::as_ref) {
        Some(summary) => tables(&mut text, summary),
        None => tree_alone(&mut text, whole, built, (chain, &decision.decision)),
    }
    program(&mut text, built, index);
    if let Some(summary) = built.classifiers.get(index).and_then(Option::as_ref) {
        tree_instead(&mut text, summary);
    }
    text
}

/// Why a chain is a tree and nothing else.
fn tree_alone(text: &mut String, whole: &Policy, built: &Built, (chain, flat): (&Chain, &Flat)) {
    let plain = bulk::plain(whole, chain.hook.direction());
    let why = if plain < MIN_RULES {
        format!("plain rules {plain}, tables begin at {MIN_RULES}")
    } else if built.bulk.is_some() {
        "none of its rules is found in tables".to_owned()
    } else {
        format!("its {plain} plain rules cannot be tables, or were not to")
    };
    push(text, format_args!("shape: compare tree; {why}"));
    let (nodes, arms) = (flat.nodes.len(), flat.arms());
    let time = tree::cost(arms).nanoseconds;
    push(
        text,
        format_args!("  {nodes} nodes, {arms} arms; about {time:.0} ns a packet"),
    );
}

/// What a compare tree of the same rules would be. It was not built: nobody knows how many leaves it would have.
fn tree_instead(text: &mut String, summary: &Summary) {
    let rules = summary.rules;
    let cost = tree::cost(rules);
    push(
        text,
        format_args!(
            "  instead: compare tree, not tried: {rules} rules; {:.0} ns or more, {} instructions or more, and as \
             much work of the verifier or more",
            cost.nanoseconds, cost.instructions
        ),
    );
}

fn tables(text: &mut String, summary: &Summary) {
    let Summary {
        rules,
        services,
        bytes,
        ref families,
    } = *summary;
    push(
        text,
        format_args!("shape: tables; plain rules {rules}, tables begin at {MIN_RULES}"),
    );
    push(
        text,
        format_args!(
            "  {services} services, {bytes} bytes, {} a rule",
            bytes / rules.max(1)
        ),
    );
    for (one, family) in families.iter().zip([Family::V4, Family::V6]) {
        of_family(text, one, family);
    }
}

fn of_family(text: &mut String, summary: &FamilySummary, family: Family) {
    let name = family.name();
    let FamilySummary {
        boxes,
        masks,
        choice,
    } = summary;
    push(
        text,
        format_args!(
            "  {name}: {boxes} boxes, {masks} pairs of prefix lengths; {}",
            costs(&choice.chosen, family)
        ),
    );
    for part in &choice.chosen.parts {
        stratum(text, part);
    }
    for other in &choice.others {
        let parts: Vec<String> = other
            .parts
            .iter()
            .map(|part| format!("{} of {}", way(part), part.boxes))
            .collect();
        push(
            text,
            format_args!(
                "    instead: {}; {}",
                costs(other, family),
                parts.join(" + ")
            ),
        );
    }
}

/// What a way to split costs.
fn costs(split: &Split, family: Family) -> String {
    format!(
        "about {:.1} ns a packet, {} bytes, work of the verifier {}",
        split.nanoseconds,
        split.bytes(),
        split.work(family)
    )
}

fn stratum(text: &mut String, part: &StratumSummary) {
    let StratumSummary {
        boxes,
        nodes,
        lists,
        depth,
        longest,
        bytes,
        first_rank,
        ..
    } = part;
    push(
        text,
        format_args!(
            "    from rank {first_rank}: {}, {boxes} boxes, {nodes} nodes, {lists} lists, depth {depth}, longest list \
             {longest}, {bytes} bytes",
            way(part)
        ),
    );
}

/// How a stratum's walk begins.
fn way(part: &StratumSummary) -> String {
    match part.hash {
        Some((shape, count)) => format!(
            "hash of from/{} to/{} ({count} {})",
            shape.from,
            shape.to,
            if part.buckets { "buckets" } else { "entries" }
        ),
        None => "tree".to_owned(),
    }
}

/// The size of the program, and what the verifier has to do with it.
fn program(text: &mut String, built: &Built, index: usize) {
    // Programs stand in the order of the functions.
    let (functions, programs) = (&built.functions, &built.artifact.programs);
    let Some(&index) = built.of_chains.get(index) else {
        return;
    };
    if let (Some(function), Some(program)) = (functions.get(index), programs.get(index)) {
        let instructions = program.insns.len();
        let work = VerifierCost::of(function, MAX_WORK).processed;
        push(
            text,
            format_args!(
                "  program: {instructions} instructions, work of the verifier about {work}"
            ),
        );
    }
}

fn push(text: &mut String, line: Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests;
