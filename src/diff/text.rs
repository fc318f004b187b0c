//! A comparison as text for a person.
//!
//! Each edit with the changes that it causes, then the changes of no one edit, edits without effect, counters that
//! move, data and declarations, and one line that sums all up. Lists are cut where they get long, unless all is asked
//! for. Not here: what is said above it, such as the names of the policies.

mod cut;
mod page;

use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{Change, Data, Decider, Edit, Effect, Moved, Scope};

use super::paint::{Paint, Role};
use super::{count, summary, words};
use cut::{Cut, Lists};
use page::Page;

/// How it is to look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Colours.
    pub(crate) paint: Paint,
    /// Whether no list is cut.
    pub(crate) all: bool,
}

/// The whole comparison; ends with its summary.
pub(crate) fn text(report: &Report, look: Look) -> String {
    let mut shown = Shown {
        page: Page::new(look.paint),
        cut: Cut::new(look.all),
        number: 0,
    };
    for scope in &report.scopes {
        shown.scope(scope);
    }
    let changes = || report.scopes.iter().flat_map(|scope| &scope.changes);
    if changes().any(words::moves_redirect) {
        shown.page.gap();
        shown.page.line(0, Role::Aside, words::REDIRECTS_MOVE);
    }
    shown.page.gap();
    shown.page.line(0, Role::Change, &summary::line(report));
    for scope in &report.scopes {
        shown.incomplete(scope);
    }
    shown.page.text()
}

/// What has been said so far.
struct Shown {
    page: Page,
    cut: Cut,
    /// The number of the last change.
    number: usize,
}

impl Shown {
    fn scope(&mut self, scope: &Scope) {
        let begun = self.page.len();
        self.edits_with_effect(scope);
        self.changes_of_no_edit(scope);
        self.edits_without_effect(scope);
        self.unknown_edits(scope);
        self.moved(&scope.moved);
        self.data(&scope.data);
        self.settings(&scope.settings);
        if let Some(netns) = &scope.netns
            && self.page.len() > begun
        {
            self.page.insert(begun, &format!("in netns \"{netns}\""));
        }
    }

    fn edits_with_effect(&mut self, scope: &Scope) {
        let mut left_out = (0, 0);
        for (index, edit) in scope.edits.iter().enumerate() {
            if edit.effect != Effect::Some {
                continue;
            }
            let changes: Vec<&Change> = scope
                .changes
                .iter()
                .filter(|one| one.edit == Some(index))
                .collect();
            if !self.cut.has_room() {
                left_out = (left_out.0 + 1, left_out.1 + changes.len());
                self.number += changes.len();
                continue;
            }
            self.page.gap();
            self.edit(edit);
            self.changes(&changes);
        }
        if left_out.0 > 0 {
            self.page.gap();
            let (edits, changes) = (
                count::of(left_out.0, "more edit"),
                count::of(left_out.1, "change"),
            );
            self.page.line(
                0,
                Role::Aside,
                &format!("and {edits} with {changes} {}", cut::HINT),
            );
        }
    }

    fn changes_of_no_edit(&mut self, scope: &Scope) {
        let changes: Vec<&Change> = scope
            .changes
            .iter()
            .filter(|one| one.edit.is_none())
            .collect();
        if !changes.is_empty() {
            self.page.gap();
            self.page.line(0, Role::Aside, "by no single rule");
            self.changes(&changes);
        }
    }

    fn edit(&mut self, edit: &Edit) {
        let same =
            edit.old.as_ref().map(|line| &line.text) == edit.new.as_ref().map(|line| &line.text);
        let old = edit
            .old
            .as_ref()
            .map(|line| (words::place(line), &*line.text));
        let new = edit
            .new
            .as_ref()
            .map(|line| (words::place(line), &*line.text));
        let width = [&old, &new]
            .into_iter()
            .flatten()
            .map(|(place, _)| place.chars().count())
            .max();
        let width = width.unwrap_or(0);
        let (marks, roles) = if same {
            (["~", "~"], [Role::Change; 2])
        } else {
            (["-", "+"], [Role::Old, Role::New])
        };
        let sides = if same {
            [None, new.or(old)]
        } else {
            [old, new]
        };
        for ((side, mark), role) in sides.into_iter().zip(marks).zip(roles) {
            if let Some((place, text)) = side {
                self.page
                    .row(&format!("{mark} {place:width$}  "), role, role, text);
            }
        }
        if let Some(said) = words::edited(edit) {
            self.page.line(width + 4, Role::Aside, &format!("({said})"));
        }
    }

    /// Changes, numbered, as many as are shown of one edit.
    fn changes(&mut self, changes: &[&Change]) {
        let shown = self.cut.take(Lists::Changes, changes.len());
        for change in &changes[..shown] {
            self.number += 1;
            self.change(change);
        }
        self.number += changes.len() - shown;
        self.more(2, changes.len() - shown, "change");
    }

    fn change(&mut self, change: &Change) {
        let fates = words::fates(change);
        let region = words::region(change, self.cut.all());
        let number = format!("{:>3}  ", self.number);
        if fates.chars().count() < page::LABEL {
            self.page.labelled(&number, &fates, Role::Change, &region);
        } else {
            self.page.row(&number, Role::Change, Role::Change, &fates);
            self.page.labelled("     ", "what", Role::Aside, &region);
        }
        let rows = [
            ("for example", change.example.clone()),
            ("was", words::decided(&change.from, &change.was)),
            ("will be", words::decided(&change.to, &change.will_be)),
            ("share", count::share(change.share, change.about)),
        ];
        for (label, text) in rows {
            self.page.labelled("     ", label, Role::Aside, &text);
        }
    }

    fn more(&mut self, indent: usize, left_out: usize, thing: &str) {
        if left_out > 0 {
            let text = format!(
                "and {} {}",
                count::of(left_out, &format!("more {thing}")),
                cut::HINT
            );
            self.page.line(indent, Role::Aside, &text);
        }
    }

    /// Those that say why; the others are counted in the summary.
    fn edits_without_effect(&mut self, scope: &Scope) {
        let said = |edit: &&Edit| matches!(edit.effect, Effect::None(Some(_)));
        let edits: Vec<&Edit> = scope.edits.iter().filter(said).collect();
        self.list(
            "without effect",
            Lists::Edits,
            &edits,
            "edit",
            |shown, edit| {
                shown.edit(edit);
                if let Effect::None(Some(why)) = &edit.effect {
                    shown.page.line(5, Role::Aside, why);
                }
            },
        );
    }

    fn unknown_edits(&mut self, scope: &Scope) {
        let edits: Vec<&Edit> = scope
            .edits
            .iter()
            .filter(|edit| edit.effect == Effect::Unknown)
            .collect();
        self.list(
            "with an effect that is not known",
            Lists::Edits,
            &edits,
            "edit",
            |shown, edit| {
                shown.edit(edit);
            },
        );
    }

    fn moved(&mut self, moved: &[Moved]) {
        let moved: Vec<&Moved> = moved.iter().collect();
        self.list(
            "the same fate, counted by another rule",
            Lists::Moved,
            &moved,
            "count",
            |shown, one| {
                let by = |decider: &Decider| match decider {
                    Decider::Line(line) => format!("{} {}", words::place(line), words::name(line)),
                    Decider::Nobody | Decider::NotAttached => "nobody".into(),
                };
                let text = format!("{} -> {}", by(&one.was), by(&one.will_be));
                shown.page.row("  ", Role::Aside, Role::Change, &text);
                shown
                    .page
                    .labelled("     ", "for example", Role::Aside, &one.example);
            },
        );
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

    fn settings(&mut self, settings: &[String]) {
        let settings: Vec<&String> = settings.iter().collect();
        self.list(
            "declared otherwise",
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
        let shown = self.cut.take(list, items.len());
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
