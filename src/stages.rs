//! The text form of each stage of the compiler, for `--emit`.

mod graph;

use std::fmt::{Arguments, Write};

use sockc_compiler::chain::Chain;
use sockc_compiler::listing::listing;
use sockc_compiler::pipeline::Built;
use sockc_compiler::place::describe;
use sockc_compiler::policy::Policy;
use sockc_compiler::shapes;
use sockc_compiler::tables;

use crate::cli::Emit;
use crate::files::input::Text;
use crate::policies::compiled::Compiled;

/// The syntax tree of a policy's text, as far as it can be read.
pub(crate) fn tree(text: &Text) -> String {
    let (file, _) = sockc_grammar::parse(&text.sources, text.id);
    let mut lines = String::new();
    for statement in &file.statements {
        let (line, column) = text.sources.place(statement.span);
        push(
            &mut lines,
            format_args!("{line}:{column} {:#?}", statement.value),
        );
    }
    lines
}

/// The text of a later stage. Tokens come before it, and `elf` has no text.
pub(crate) fn text(compiled: &Compiled, emit: Emit) -> String {
    let (policy, built) = (&compiled.policy, &compiled.built);
    let outer = text_of(policy, built, emit);
    if matches!(emit, Emit::Policy | Emit::Json) {
        return outer;
    }
    let inner = policy.netns.iter().zip(&built.netns);
    let inner = inner.map(|(netns, built)| {
        let comment = if emit == Emit::Dot { "//" } else { "#" };
        let text = text_of(&netns.policy, built, emit);
        format!("{comment} netns \"{}\"\n{text}", netns.name)
    });
    joined(std::iter::once(outer).chain(inner))
}

/// The text of a stage of one policy.
fn text_of(policy: &Policy, built: &Built, emit: Emit) -> String {
    match emit {
        Emit::Policy => format!("{policy:#?}\n"),
        Emit::Placement => describe(built.placed(policy), &built.chains),
        Emit::Decision => decisions(policy, built),
        Emit::Dot => {
            let placed = built.placed(policy);
            graph::text(placed, built, |chain| title(placed, chain))
        }
        Emit::Ir | Emit::IrLowered => joined(built.functions.iter().map(ToString::to_string)),
        Emit::Asm => {
            let maps = &built.artifact.maps;
            let programs = built.artifact.programs.iter();
            let tables = tables::listing(&built.tables, maps);
            let listings = programs.map(|program| listing(program, maps));
            joined(
                [tables]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .chain(listings),
            )
        }
        Emit::Json => serde_json::to_string_pretty(&built.artifact.manifest)
            .map(|text| text + "\n")
            .unwrap_or_default(),
        Emit::Tokens | Emit::Elf => String::new(),
    }
}

/// For each chain what became of it and why, what its terminals stand for, and the tests that lead to them.
fn decisions(whole: &Policy, built: &Built) -> String {
    let policy = built.placed(whole);
    let chains = built.chains.iter().zip(&built.decisions);
    joined(chains.enumerate().map(|(index, (chain, decision))| {
        let mut text = format!("{}\n", title(policy, chain));
        text += &shapes::describe(whole, built, index);
        for (index, meaning) in terminals(policy, chain).enumerate() {
            push(&mut text, format_args!("={index}: {meaning}"));
        }
        text += &decision.decision.text();
        if let Some(counts) = &decision.counts {
            push(
                &mut text,
                format_args!("counts, as lists of entries: {:?}", decision.lists),
            );
            text += &counts.text();
        }
        text
    }))
}

fn title(policy: &Policy, chain: &Chain) -> String {
    let hook = chain.hook.name();
    match chain.group {
        Some(group) => format!("{hook} {}", policy.groups[group].name),
        None => hook.to_owned(),
    }
}

/// What the terminals of a chain's decision stand for, in their order.
fn terminals<'a>(policy: &'a Policy, chain: &'a Chain) -> impl Iterator<Item = String> + 'a {
    let entries = chain.entries.iter().map(|entry| {
        let place = &policy.rules[entry.rule].place;
        format!(
            "{:?}, {}:{} {}",
            entry.effect, place.file, place.line, place.text
        )
    });
    entries.chain([format!("default, {}", chain.default.verdict.word())])
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("\n")
}

fn push(text: &mut String, line: Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}
