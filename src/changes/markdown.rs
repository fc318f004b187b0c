//! A comparison as Markdown, fit for a comment on a pull request.
//!
//! Whatever comes from a policy stands in code, whose fence is longer than any in it: no text of a policy can end it,
//! and nobody is mentioned. Long lists are folded away.

#[cfg(test)]
mod tests;

use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{Change, Edit, Impact, Scope};

use super::spans;
use super::summary::{besides, effect};
use super::text::TOO_LONG;
use super::words::{self, Version};
use crate::output::count;

/// The maximum number of changes that are shown unfolded, and of changes of one comment.
const UNFOLDED: usize = 5;
const MAX_CHANGES: usize = 100;

/// What an edit of a rate does.
const RATE: &str = "It changes how many packets fit, not which ones it is for.";

/// The whole comparison, under a heading that says what was compared.
pub(crate) fn text(title: &str, report: &Report, all: bool) -> String {
    let mut page = Page {
        lines: vec![
            format!("### {title}"),
            String::new(),
            summary(report),
            String::new(),
        ],
        most: if all { usize::MAX } else { MAX_CHANGES },
        number: 0,
    };
    for scope in &report.scopes {
        page.scope(scope);
    }
    let changes = || report.scopes.iter().flat_map(|scope| &scope.changes);
    if changes().any(words::moves_redirect) {
        page.block(&format!("_{}_", words::REDIRECTS_MOVE));
    }
    page.lines.join("\n")
}

/// The heading of a comparison of two policies.
pub(crate) fn title(old: &str, new: &str) -> String {
    format!("{} → {}", code(old), code(new))
}

/// The difference of the programs, folded.
pub(crate) fn programs(difference: &str) -> String {
    if difference.is_empty() {
        return "The instructions are the same.\n".into();
    }
    let block = fenced("diff", difference.trim_end());
    format!("<details><summary>Instructions</summary>\n\n{block}\n\n</details>\n")
}

/// What becomes of recorded packets.
pub(crate) fn recording(text: &str) -> String {
    format!("\n{}\n", fenced("text", text.trim_end()))
}

/// What has been said so far.
struct Page {
    lines: Vec<String>,
    /// So many changes may be said.
    most: usize,
    /// The number of the last change.
    number: usize,
}

impl Page {
    /// Lines with an empty one after them.
    fn block(&mut self, text: &str) {
        self.lines.push(text.to_owned());
        self.lines.push(String::new());
    }

    fn scope(&mut self, scope: &Scope) {
        if let Some(incomplete) = &scope.incomplete {
            self.block(&format!("> **incomplete:** {}", code(&incomplete.why)));
        }
        if let Some(netns) = &scope.netns {
            self.block(&format!("#### in netns {}", code(netns)));
        }
        self.edits(scope);
        let others: Vec<&Change> = scope
            .changes
            .iter()
            .filter(|one| one.edit.is_none())
            .collect();
        if !others.is_empty() {
            self.block("**by no single rule**");
            self.changes(&others);
        }
        self.left_out(scope.untold - scope.undescribed, "change");
        if scope.undescribed > 0 {
            let more = count::of(scope.undescribed, "more change");
            self.block(&format!("And {more}, {TOO_LONG}."));
        }
        self.without_effect(scope);
        let moved = scope.moved.iter().map(|one| {
            let by = [&one.was, &one.will_be].map(|by| code(&words::decider(by)));
            format!("{} → {}, for example {}", by[0], by[1], code(&one.example))
        });
        self.folded("The same fate, counted by another rule", moved.collect());
        self.folded(
            "Data",
            scope
                .data
                .iter()
                .map(|one| code(&words::data(one)))
                .collect(),
        );
        self.folded(
            "Declared otherwise",
            scope.settings.iter().map(|one| code(one)).collect(),
        );
    }

    /// Each with its changes; folded once some have been shown.
    fn edits(&mut self, scope: &Scope) {
        let with_effect: Vec<(usize, &Edit)> = scope
            .by_weight()
            .filter(|(_, edit)| !matches!(edit.impact, Impact::None(_)))
            .collect();
        let mut left_out = 0;
        let mut folded = false;
        for (place, &(index, edit)) in with_effect.iter().enumerate() {
            let of_edit = |one: &&Change| one.edit == Some(index);
            let changes: Vec<&Change> = scope.changes.iter().filter(of_edit).collect();
            let is_untold = changes.is_empty() && scope.untold > 0;
            if self.most == 0 || is_untold {
                left_out += 1;
                continue;
            }
            let rest = with_effect.len() - place;
            if !folded && rest > 1 && self.number >= UNFOLDED {
                let rest = count::of(rest, "more edit");
                self.block(&format!("<details><summary>{rest}</summary>"));
                folded = true;
            }
            self.edit(edit, &changes);
        }
        self.left_out(left_out, "edit");
        if folded {
            self.block("</details>");
        }
    }

    fn edit(&mut self, edit: &Edit, changes: &[&Change]) {
        self.block(&difference(edit));
        match edit.impact {
            Impact::Unknown => self.block("What it changes is not known."),
            Impact::Rate => self.block(RATE),
            Impact::Some | Impact::None(_) => {}
        }
        if changes.is_empty() {
            self.most -= 1;
        }
        self.changes(changes);
    }

    /// The first changes open, the others folded.
    fn changes(&mut self, changes: &[&Change]) {
        let shown = changes.len().min(self.most);
        self.most -= shown;
        let mut items: Vec<String> = Vec::new();
        for (index, one) in changes[..shown].iter().enumerate() {
            items.push(change(self.number + index + 1, one));
        }
        self.number += changes.len();
        let open = if items.len() == UNFOLDED + 1 {
            items.len()
        } else {
            items.len().min(UNFOLDED)
        };
        for item in &items[..open] {
            self.lines.push(item.clone());
        }
        self.lines.push(String::new());
        if open < items.len() {
            let title = count::of(items.len() - open, "more change");
            self.details(&title, &items[open..]);
        }
        self.left_out(changes.len() - shown, "change");
    }

    fn left_out(&mut self, number: usize, thing: &str) {
        if number > 0 {
            let left_out = count::of(number, &format!("more {thing}"));
            self.block(&format!("And {left_out}, which `sockc diff --all` shows."));
        }
    }

    fn details(&mut self, title: &str, items: &[String]) {
        self.lines
            .push(format!("<details><summary>{title}</summary>"));
        self.lines.push(String::new());
        self.lines.extend_from_slice(items);
        self.lines.push(String::new());
        self.block("</details>");
    }

    /// A list under a heading, folded where it is long.
    fn folded(&mut self, title: &str, items: Vec<String>) {
        if items.is_empty() {
            return;
        }
        let items: Vec<String> = items.iter().map(|item| format!("- {item}")).collect();
        if items.len() > UNFOLDED {
            self.details(&format!("{title} ({})", items.len()), &items);
        } else {
            self.block(&format!("**{title}**"));
            self.block(&items.join("\n"));
        }
    }

    fn without_effect(&mut self, scope: &Scope) {
        let edits = scope.edits.iter().filter_map(|edit| match &edit.impact {
            Impact::None(Some(why)) => Some((edit.new.as_ref().or(edit.old.as_ref())?, why)),
            _ => None,
        });
        let items = edits.map(|(line, why)| {
            format!(
                "{} {}: {}",
                code(&words::place(line)),
                code(&line.location.text),
                code(why)
            )
        });
        self.folded("Edits without effect", items.collect());
    }
}

/// The lines of an edit, as a difference.
fn difference(edit: &Edit) -> String {
    let lines = words::sides(edit).into_iter().map(|(side, line)| {
        let sign = match side {
            Version::Old => '-',
            Version::New => '+',
            Version::Both => ' ',
        };
        format!("{sign} {}    # {}", line.location.text, words::place(line))
    });
    let said = words::edited(edit).map(|said| format!("# {said}"));
    fenced("diff", &lines.chain(said).collect::<Vec<_>>().join("\n"))
}

/// A change as an item of a numbered list.
fn change(number: usize, change: &Change) -> String {
    let indent = " ".repeat(number.to_string().len() + 2);
    let remark = words::remark(change).map_or_else(String::new, |remark| format!(" {remark}"));
    let rows = [
        format!("for example {}{remark}", code(&change.example)),
        format!("was {}", code(&words::decided(&change.from, &change.was))),
        format!(
            "will be {}",
            code(&words::decided(&change.to, &change.will_be))
        ),
        spans::of(change),
    ];
    let rows: String = rows
        .iter()
        .filter(|row| !row.is_empty())
        .map(|row| format!("\n{indent}- {row}"))
        .collect();
    let fates = [&change.from, &change.to].map(|fate| code(&fate.words()));
    format!(
        "{number}. {} → {}: {}{rows}",
        fates[0],
        fates[1],
        code(&words::region(change, false))
    )
}

/// What changes in effect, and what else is not the same.
fn summary(report: &Report) -> String {
    let mut line = format!("**{}**", effect(report).replace("->", "→"));
    let besides = besides(report);
    if !besides.is_empty() {
        line += &format!(" {}.", besides.join(", "));
    }
    line
}

/// A block of code, whatever is in it.
fn fenced(language: &str, text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    format!("{fence}{language}\n{text}\n{fence}")
}

/// Code within a line, whatever is in it.
fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    let ticks = "`".repeat(longest_run(&text) + 1);
    // A blank on both sides is taken away again; without, ticks at the ends would be part of the fence.
    let blank = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{ticks}{blank}{text}{blank}{ticks}")
}

/// The most ticks in a row.
fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`')
        .map(str::len)
        .max()
        .unwrap_or(0)
}
