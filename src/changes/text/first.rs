//! A policy that comes where none runs: what it says, in order, instead of a comparison with nothing.
//!
//! Every rule of a first policy is new, and an `allow` among them changes nothing, since what no rule decides is allowed
//! anyway: true, and of no use to whoever wants to know what will be let in. Not here: the counts of the last line.

use std::collections::BTreeMap;

use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{Edit, Line, Scope};

use super::super::paint::Role;
use super::super::words;
use super::allowance::Lists;
use super::{Look, Shown};

/// What a policy says, where none is in force.
pub(crate) fn first(report: &Report, summary: &str, look: Look) -> String {
    let mut shown = Shown::new(look, 0);
    for scope in &report.scopes {
        let begun = shown.page.len();
        shown.first_scope(scope);
        if let Some(netns) = &scope.netns
            && shown.page.len() > begun
        {
            shown.page.insert(begun, &format!("in netns \"{netns}\""));
        }
    }
    shown.page.gap();
    shown.page.line(0, Role::Change, summary);
    for scope in &report.scopes {
        shown.incomplete(scope);
    }
    shown.page.text()
}

impl Shown {
    fn first_scope(&mut self, scope: &Scope) {
        let mut directions: BTreeMap<u8, Vec<&Edit>> = BTreeMap::new();
        for edit in &scope.edits {
            directions.entry(order(edit)).or_default().push(edit);
        }
        for edits in directions.into_values() {
            self.statements(&edits);
        }
        self.data(&scope.data);
        self.settings("declared", &scope.settings);
    }

    /// The rules of a direction in order, and what becomes of the rest.
    fn statements(&mut self, edits: &[&Edit]) {
        let Some(direction) = edits.first().map(|edit| edit.direction) else {
            return;
        };
        let lines: Vec<&Line> = edits.iter().filter_map(|edit| edit.new.as_ref()).collect();
        let (defaults, rules): (Vec<&Line>, Vec<&Line>) =
            lines.into_iter().partition(|line| line.is_default);
        let list = direction.spec().list;
        let heading = &format!("{list}: the first rule that matches decides");
        let width = rules.iter().chain(&defaults);
        let width = width.map(|line| words::place(line).chars().count());
        let width = width.max().unwrap_or(0);
        let head = |line: &Line| format!("  {:width$}  ", words::place(line));
        if rules.is_empty() {
            self.page.gap();
            self.page.line(0, Role::Change, heading);
        }
        self.list(heading, Lists::Rules, &rules, "rule", |shown, line| {
            shown
                .page
                .row(&head(line), Role::Aside, Role::New, &line.location.text);
        });
        match defaults.first() {
            Some(line) => {
                let text = format!("{}, whatever no rule decides", line.location.text);
                self.page.row(&head(line), Role::Aside, Role::Change, &text);
            }
            None => self
                .page
                .line(2, Role::Aside, "what no rule decides is allowed"),
        }
    }
}

fn order(edit: &Edit) -> u8 {
    edit.direction as u8
}
