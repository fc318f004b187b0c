//! `--emit dot`: the decision of each hook as a graph in the language of Graphviz, for a person to look at.
//!
//! A node is a test of one field; its edges say in the language's words with which values they are taken, and the one
//! that takes the most values says `else`. An end shows verdict, place and text of the rule that decides. Each test has
//! ends of its own, so that lines do not all run together. Of a large decision only the tests nearest to the start are
//! drawn, and it is said how many are not. Not here: `count` rules, which have a decision of their own.

mod labels;

use std::collections::BTreeMap;
use std::fmt::{Arguments, Write};

use sockc_compiler::chain::{Chain, Effect};
use sockc_compiler::diagram::flatten::{Flat, FlatNode, Target};
use sockc_compiler::pipeline::Built;
use sockc_compiler::policy::{DefaultVerdict, Policy};

use labels::{Families, Words};

/// The maximum number of tests that are drawn of one decision.
const MAX_TESTS: usize = 80;
/// Columns of a line in a box, and most lines of a rule.
const WIDTH: usize = 36;
const LINES: usize = 4;

/// The graphs of a policy's hooks, one after another. `title` names a chain.
pub(crate) fn text(policy: &Policy, built: &Built, title: impl Fn(&Chain) -> String) -> String {
    let chains = built.chains.iter().zip(&built.decisions);
    let graphs = chains.map(|(chain, decision)| {
        let graph = Graph {
            policy,
            chain,
            flat: &decision.decision,
            families: labels::families(&decision.decision),
            text: String::new(),
        };
        graph.draw(&title(chain))
    });
    graphs.collect::<Vec<_>>().join("\n")
}

/// A graph that is being written.
struct Graph<'a> {
    policy: &'a Policy,
    chain: &'a Chain,
    flat: &'a Flat,
    /// Through which families each node is reached.
    families: BTreeMap<FlatNode, Families>,
    text: String,
}

impl Graph<'_> {
    fn draw(mut self, title: &str) -> String {
        let drawn = self.nearest();
        let (all, shown) = (self.flat.nodes.len(), drawn.len());
        let mut heading = vec![title.to_owned()];
        if let Some(class) = self.chain.class
            && self.policy.classes.len() > 1
        {
            heading.push(labels::class(self.policy, class));
        }
        if shown < all {
            heading.push(format!(
                "{shown} of {all} tests, those nearest to the start"
            ));
        }
        self.push(format_args!("digraph {} {{", quoted(title)));
        self.push(format_args!(
            "  graph [rankdir=LR labelloc=t fontname=\"sans-serif\" label={}]",
            quoted(&heading.join("\n"))
        ));
        self.push(format_args!("  node [shape=box style=\"filled,rounded\" fillcolor=\"#ffffff\" fontname=\"sans-serif\" fontsize=11]"));
        self.push(format_args!(
            "  edge [fontname=\"sans-serif\" fontsize=10 color=\"#666666\"]"
        ));
        if let Target::Leaf(terminal) = self.flat.root {
            self.end("root", terminal);
        }
        for &node in &drawn {
            self.test(node, &drawn);
        }
        self.push(format_args!("}}"));
        self.text
    }

    /// The tests that are drawn, those nearest to the start first.
    fn nearest(&self) -> Vec<FlatNode> {
        let mut found = Vec::new();
        if let Target::Node(root) = self.flat.root {
            found.push(root);
        }
        let mut next = 0;
        while let Some(&node) = found.get(next) {
            next += 1;
            for &(_, target) in &self.flat.nodes[node].arms {
                if let Target::Node(node) = target
                    && found.len() < MAX_TESTS
                    && !found.contains(&node)
                {
                    found.push(node);
                }
            }
        }
        found
    }

    fn test(&mut self, node: FlatNode, drawn: &[FlatNode]) {
        let data = &self.flat.nodes[node];
        let words = Words {
            policy: self.policy,
            field: data.field,
            families: self.families.get(&node).copied().unwrap_or_default(),
        };
        self.push(format_args!("  {node} [label={}]", quoted(&words.field())));
        for (target, label) in words.edges(&data.arms) {
            let to = match target {
                Target::Node(next) if drawn.contains(&next) => next.to_string(),
                Target::Node(next) => self.more(next),
                Target::Leaf(terminal) => {
                    let name = format!("{node}_{terminal}");
                    self.end(&name, terminal);
                    name
                }
            };
            self.push(format_args!("  {node} -> {to} [label={}]", quoted(&label)));
        }
    }

    /// Where the drawing ends although tests follow.
    fn more(&mut self, node: FlatNode) -> String {
        let name = format!("more_{node}");
        self.push(format_args!(
            "  {name} [label=\"more tests\" style=\"dashed,rounded\" fontcolor=\"#666666\"]"
        ));
        name
    }

    fn end(&mut self, name: &str, terminal: u32) {
        let (verdict, colour, rule) = self.meaning(terminal);
        let rule = rule.map_or_else(String::new, |rule| format!("\n{}", wrapped(&rule)));
        self.push(format_args!(
            "  {name} [label={} style=filled fillcolor=\"{colour}\"]",
            quoted(&format!("{verdict}{rule}"))
        ));
    }

    /// What a terminal stands for: its verdict, the verdict's colour, and the statement.
    fn meaning(&self, terminal: u32) -> (&'static str, &'static str, Option<String>) {
        let Some(entry) = self.chain.entries.get(terminal as usize) else {
            let (verdict, colour) = match self.chain.default.verdict {
                DefaultVerdict::Allow => (Effect::Allow, "default: allow"),
                DefaultVerdict::Drop => (Effect::Drop, "default: drop"),
                DefaultVerdict::Reject => (Effect::Reject, "default: reject"),
            };
            return (colour, look(verdict).1, None);
        };
        let (verdict, colour) = look(entry.effect);
        let place = &self.policy.rules[entry.rule].place;
        (
            verdict,
            colour,
            Some(format!("{}:{} {}", place.file, place.line, place.text)),
        )
    }

    fn push(&mut self, line: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// A verdict in words, and its colour.
fn look(effect: Effect) -> (&'static str, &'static str) {
    match effect {
        Effect::Allow => ("allow", "#b8e0c8"),
        Effect::Drop => ("drop", "#f2b8b0"),
        Effect::Reject => ("reject", "#f7d6a8"),
        Effect::Forward => ("redirect to an interface", "#b5d3f0"),
        Effect::Redirect | Effect::Intercept => ("redirect to a socket", "#b5d3f0"),
        Effect::Shortcut => ("shortcut", "#e3c8e8"),
        Effect::Feed => ("redirect into a queue of a socket", "#e3c8e8"),
        Effect::Count => ("count", "#e6e6e6"),
        Effect::Pass => ("a later hook decides", "#e6e6e6"),
        Effect::RedirectPass => (
            "a later hook decides; drop if the socket is absent",
            "#e6e6e6",
        ),
    }
}

/// A text as Graphviz takes it; its lines begin at the left.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    if text.contains('\n') {
        format!("\"{}\\l\"", text.replace('\n', "\\l"))
    } else {
        format!("\"{text}\"")
    }
}

/// A statement in a few short lines.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > WIDTH {
            if lines.len() == LINES {
                lines.push("…".into());
                break;
            }
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
