//! A comparison as text for a person.
//!
//! Each edit with the changes that it causes, then the changes of no one edit, edits without effect, counters that
//! move, data and declarations, and one line that sums all up. Lists are cut where they get long, unless all is asked
//! for. Not here: what is said above it, such as the names of the policies.

mod allowance;
mod first;
mod page;

use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{Change, Data, Decider, Edit, EditKind, Impact, Moved, Scope};

use super::paint::{Paint, Role};
use super::words::{self, Version};
use super::{spans, summary};
use crate::output::count;
use allowance::{Allowance, Form, Lists};
pub(crate) use first::first;
use page::Page;

/// Fates of more letters have a line of their own.
const MAX_NEXT_TO: usize = 60;

/// Below an edit none of whose changes is described.
const UNDESCRIBED: &str = "has an effect that it would take too long to describe";

/// What is said of changes that are counted only.
pub(crate) const TOO_LONG: &str = "which it would take too long to describe";

/// How it is to look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Colours.
    pub(crate) paint: Paint,
    /// Whether no list is cut.
    pub(crate) all: bool,
    /// Whether it is for a terminal: what is told in brief then is one line, cut where it gets long.
    pub(crate) terminal: bool,
}

/// The whole comparison; ends with its summary.
pub(crate) fn text(report: &Report, summary: &str, look: Look) -> String {
    let changes = || report.scopes.iter().flat_map(|scope| &scope.changes);
    let mut shown = Shown::new(look, changes().count());
    for scope in &report.scopes {
        shown.scope(scope);
    }
    if changes().any(words::moves_redirect) {
        shown.page.gap();
        shown.page.line(0, Role::Aside, words::REDIRECTS_MOVE);
    }
    shown.page.gap();
    shown.page.line(0, Role::Change, summary);
    for scope in &report.scopes {
        shown.incomplete(scope);
    }
    shown.page.text()
}

/// Edits that there was no room for.
#[derive(Default)]
struct LeftOut {
    edits: usize,
    changes: usize,
}

/// What has been said so far.
struct Shown {
    page: Page,
    allowance: Allowance,
    /// The number of the last change.
    number: usize,
}

impl Shown {
    /// Nothing yet, of so many changes.
    fn new(look: Look, changes: usize) -> Self {
        Self {
            page: Page::new(look.paint, look.terminal),
            allowance: Allowance::new(look.all, changes),
            number: 0,
        }
    }

    fn scope(&mut self, scope: &Scope) {
        let begun = self.page.len();
        self.edits_with_effect(scope);
        self.changes_of_no_edit(scope);
        self.rates(scope);
        self.edits_without_effect(scope);
        self.unknown_edits(scope);
        self.labels(scope);
        self.moved(&scope.moved);
        self.data(&scope.data);
        self.settings("declared otherwise", &scope.settings);
        if let Some(netns) = &scope.netns
            && self.page.len() > begun
        {
            self.page.insert(begun, &format!("in netns \"{netns}\""));
        }
    }

    /// Each with its changes below it.
    fn edits_with_effect(&mut self, scope: &Scope) {
        let mut left_out = LeftOut::default();
        for (index, edit) in scope.by_weight() {
            if edit.impact != Impact::Some {
                continue;
            }
            let of_edit = |one: &&Change| one.edit == Some(index);
            let changes: Vec<&Change> = scope.changes.iter().filter(of_edit).collect();
            let form = self.allowance.form();
            let is_untold = changes.is_empty() && scope.untold > scope.undescribed;
            if form == Form::LeftOut || is_untold {
                left_out.edits += 1;
                left_out.changes += changes.len();
                continue;
            }
            if form == Form::Full {
                self.page.gap();
            }
            self.edit(edit, form);
            if changes.is_empty() {
                self.allowance.told();
                // Else its changes stand with another edit, whose rule decides now.
                if scope.undescribed > 0 {
                    self.page.line(2, Role::Aside, UNDESCRIBED);
                }
            }
            self.changes(&changes);
        }
        let changes = left_out.changes + scope.untold - scope.undescribed;
        if left_out.edits > 0 {
            let edits = count::of(left_out.edits, "more edit");
            let changes = count::of(changes, "more change");
            let text = format!("and {edits} and {changes} {}", allowance::HINT);
            self.page.line(0, Role::Aside, &text);
        } else {
            self.more(0, changes, "change");
        }
        if scope.undescribed > 0 {
            let more = count::of(scope.undescribed, "more change");
            let text = format!("and {more}, {TOO_LONG}");
            self.page.line(0, Role::Aside, &text);
        }
    }

    fn changes_of_no_edit(&mut self, scope: &Scope) {
        let of_none = scope.changes.iter().filter(|one| one.edit.is_none());
        let changes: Vec<&Change> = of_none.collect();
        if !changes.is_empty() {
            self.page.gap();
            self.page.line(0, Role::Aside, "by no single rule");
            self.changes(&changes);
        }
    }

    /// The lines of an edit, in one line each where changes are told in brief.
    fn edit(&mut self, edit: &Edit, form: Form) {
        let sides = words::sides(edit);
        let places = sides
            .iter()
            .map(|(_, line)| words::place(line).chars().count());
        let width = places.max().unwrap_or(0);
        for (side, line) in sides {
            let (mark, role) = match side {
                Version::Old => ('-', Role::Old),
                Version::New => ('+', Role::New),
                Version::Both => ('~', Role::Change),
            };
            let head = format!("{mark} {:width$}  ", words::place(line));
            match form {
                Form::Full => self.page.row(&head, role, role, &line.location.text),
                Form::Brief | Form::LeftOut => {
                    self.page
                        .short(&head, role, Some(role), &line.location.text)
                }
            }
        }
        if let Some(said) = words::edited(edit) {
            self.page.line(width + 4, Role::Aside, &format!("({said})"));
        }
    }

    /// Changes, numbered, as many as are shown.
    fn changes(&mut self, changes: &[&Change]) {
        let mut left_out = 0;
        for change in changes {
            match self.allowance.form() {
                Form::Full => self.change(change),
                Form::Brief => self.brief(change),
                Form::LeftOut => left_out += 1,
            }
            self.allowance.told();
        }
        self.more(2, left_out, "change");
    }

    fn brief(&mut self, change: &Change) {
        self.number += 1;
        let fates = words::fates(change);
        let region = words::region(change, false);
        if fates.chars().count() > MAX_NEXT_TO {
            let number = format!("{:>3}  ", self.number);
            let role = Role::Change;
            self.page.short(&number, role, Some(role), &fates);
            return self.page.short("       ", Role::Aside, None, &region);
        }
        let width = page::LABEL.max(fates.chars().count() + 2);
        let head = format!("{:>3}  {fates:width$}", self.number);
        self.page.short(&head, Role::Change, None, &region);
    }

    fn change(&mut self, change: &Change) {
        self.number += 1;
        let fates = words::fates(change);
        let region = words::region(change, self.allowance.all());
        let number = format!("{:>3}  ", self.number);
        if fates.chars().count() < page::LABEL {
            self.page.labelled(&number, &fates, Role::Change, &region);
        } else {
            self.page.row(&number, Role::Change, Role::Change, &fates);
            self.page.labelled("     ", "what", Role::Aside, &region);
        }
        let rows = [
            ("for example", change.example.clone()),
            ("", words::remark(change).unwrap_or_default().to_owned()),
            ("was", words::decided(&change.from, &change.was)),
            ("will be", words::decided(&change.to, &change.will_be)),
            ("reaches", spans::of(change)),
        ];
        for (label, text) in rows.into_iter().filter(|(_, text)| !text.is_empty()) {
            self.page.labelled("     ", label, Role::Aside, &text);
        }
    }

    fn more(&mut self, indent: usize, left_out: usize, thing: &str) {
        if left_out > 0 {
            let text = format!(
                "and {} {}",
                count::of(left_out, &format!("more {thing}")),
                allowance::HINT
            );
            self.page.line(indent, Role::Aside, &text);
        }
    }

    /// All but those that only word or call a rule otherwise, which are counted in the summary.
    fn edits_without_effect(&mut self, scope: &Scope) {
        let said = |edit: &&Edit| match edit.impact {
            Impact::None(None) => !matches!(edit.kind, EditKind::Relabelled | EditKind::Changed),
            Impact::None(Some(_)) => true,
            Impact::Some | Impact::Rate | Impact::Unknown => false,
        };
        let edits: Vec<&Edit> = scope.edits.iter().filter(said).collect();
        self.list(
            "without effect",
            Lists::Edits,
            &edits,
            "edit",
            |shown, edit| {
                shown.edit(edit, Form::Full);
                if let Impact::None(Some(why)) = &edit.impact {
                    shown.page.line(5, Role::Aside, why);
                }
            },
        );
    }

    fn rates(&mut self, scope: &Scope) {
        let edits: Vec<&Edit> = summary::rates(scope).collect();
        let title = "another rate";
        self.list(title, Lists::Edits, &edits, "edit", |shown, edit| {
            shown.edit(edit, Form::Full);
        });
    }

    fn unknown_edits(&mut self, scope: &Scope) {
        let edits: Vec<&Edit> = scope
            .edits
            .iter()
            .filter(|edit| edit.impact == Impact::Unknown)
            .collect();
        self.list(
            "with an effect that is not known",
            Lists::Edits,
            &edits,
            "edit",
            |shown, edit| {
                shown.edit(edit, Form::Full);
            },
        );
    }

    /// Rules that mean the same and are called otherwise.
    fn labels(&mut self, scope: &Scope) {
        let renamed: Vec<(&str, &str)> = scope.edits.iter().filter_map(words::renamed).collect();
        let list = Lists::Settings;
        self.list(
            "other labels",
            list,
            &renamed,
            "label",
            |shown, (was, is)| {
                let text = format!("{was} -> {is}");
                shown.page.row("  ", Role::Aside, Role::Change, &text);
            },
        );
    }

    fn moved(&mut self, moved: &[Moved]) {
        let moved: Vec<&Moved> = moved.iter().collect();
        let title = "the same fate, counted by another rule";
        self.list(title, Lists::Moved, &moved, "count", |shown, one| {
            let by = |decider: &Decider| match decider {
                Decider::Line(line) => format!("{} {}", words::place(line), words::name(line)),
                Decider::Nobody | Decider::NotAttached | Decider::NoGroup => "nobody".into(),
            };
            let text = format!("{} -> {}", by(&one.was), by(&one.will_be));
            shown.page.row("  ", Role::Aside, Role::Change, &text);
            if shown.allowance.all() {
                let (label, role) = ("for example", Role::Aside);
                shown.page.labelled("     ", label, role, &one.example);
            }
        });
    }

    fn data(&mut self, data: &[Data]) {
        let data: Vec<&Data> = data.iter().collect();
        self.list("data", Lists::Data, &data, "set", |shown, one| {
            shown
                .page
                .row("  ", Role::Aside, Role::Change, &words::data(one));
            let lists = [
                ("+", Role::New, &one.gained_examples, one.gained),
                ("-", Role::Old, &one.lost_examples, one.lost),
            ];
            for (mark, role, examples, of) in lists {
                if !examples.is_empty() {
                    let more = if of > examples.len() { ", …" } else { "" };
                    shown.page.row(
                        &format!("     {mark} "),
                        role,
                        role,
                        &(examples.join(", ") + more),
                    );
                }
            }
        });
    }

    fn settings(&mut self, heading: &str, settings: &[String]) {
        let settings: Vec<&String> = settings.iter().collect();
        self.list(
            heading,
            Lists::Settings,
            &settings,
            "declaration",
            |shown, one| {
                shown.page.row("  ", Role::Aside, Role::Change, one);
            },
        );
    }

    /// A list under a heading, cut where it gets long.
    fn list<T>(
        &mut self,
        heading: &str,
        list: Lists,
        items: &[T],
        thing: &str,
        say: impl Fn(&mut Self, &T),
    ) {
        if items.is_empty() {
            return;
        }
        self.page.gap();
        self.page.line(0, Role::Change, heading);
        let shown = self.allowance.take(list, items.len());
        for item in &items[..shown] {
            say(self, item);
        }
        self.more(2, items.len() - shown, thing);
    }

    fn incomplete(&mut self, scope: &Scope) {
        let Some(incomplete) = &scope.incomplete else {
            return;
        };
        let within = scope
            .netns
            .as_ref()
            .map_or_else(String::new, |name| format!(" in netns \"{name}\""));
        let unknown = match incomplete.unknown_edits {
            0 => String::new(),
            many => format!(
                "; of {} it is not known what changes",
                count::of(many, "edit")
            ),
        };
        let text = format!("incomplete{within}: {}{unknown}", incomplete.why);
        self.page.line(0, Role::Warning, &text);
    }
}

#[cfg(test)]
mod tests;
