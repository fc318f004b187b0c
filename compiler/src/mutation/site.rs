//! Where a policy is changed: the rules and defaults of its text, those of included files and of blocks among them.
//!
//! Takes statements; gives every change that the rows make, in the order of the text, and does one. What comes with sockc
//! (`include <essentials>`) is not the user's, and left as it is.

use sockc_grammar::ast::{Scope, Statement};
use sockc_grammar::source::{SourceMap, Span, Spanned};

use super::Change;
use super::table::{Around, Edit, ROWS};
use crate::files::{BUILTINS, title_of_builtin};
use crate::location::Location;

/// A change that can be done.
#[derive(Clone, Debug)]
pub(super) struct Mutation {
    /// What is told of it.
    pub(super) change: Change,
    /// The statement.
    pub(super) span: Span,
    /// Its place: that of each block around it, then its own.
    path: Vec<usize>,
    edit: Edit,
}

impl Mutation {
    /// The statements after the change.
    pub(super) fn done(&self, statements: &[Spanned<Statement>]) -> Vec<Spanned<Statement>> {
        let mut statements = statements.to_vec();
        edit(&mut statements, &self.path, &self.edit);
        statements
    }
}

fn edit(statements: &mut Vec<Spanned<Statement>>, path: &[usize], change: &Edit) {
    match (path, change) {
        ([at], Edit::LeaveOut) => {
            statements.remove(*at);
        }
        ([at], Edit::Replace(new)) => statements[*at].value = new.clone(),
        ([at], Edit::Swap(other)) => statements.swap(*at, *other),
        ([at, inside @ ..], _) => {
            if let Statement::For(block) = &mut statements[*at].value {
                edit(&mut block.statements, inside, change);
            }
        }
        ([], _) => {}
    }
}

/// Every change of what stands at a place that `location` knows: of what decides something.
pub(super) fn all(
    statements: &[Spanned<Statement>],
    sources: &SourceMap,
    location: &dyn Fn(Span, Option<&str>) -> Option<Location>,
) -> Vec<Mutation> {
    let mut sites = Sites {
        sources,
        location,
        path: Vec::new(),
        netns: None,
        found: Vec::new(),
    };
    sites.list(statements);
    sites.found
}

struct Sites<'a> {
    sources: &'a SourceMap,
    location: &'a dyn Fn(Span, Option<&str>) -> Option<Location>,
    path: Vec<usize>,
    netns: Option<String>,
    found: Vec<Mutation>,
}

impl Sites<'_> {
    fn list(&mut self, statements: &[Spanned<Statement>]) {
        for (at, statement) in statements.iter().enumerate() {
            self.path.push(at);
            match &statement.value {
                Statement::For(block) => {
                    let around = self.netns.clone();
                    if let Scope::Netns(name) = &block.scope {
                        self.netns = Some(name.value.clone());
                    }
                    self.list(&block.statements);
                    self.netns = around;
                }
                _ if self.is_brought(statement.span) => {}
                _ => self.one(statements, at, statement.span),
            }
            self.path.pop();
        }
    }

    fn one(&mut self, statements: &[Spanned<Statement>], at: usize, span: Span) {
        let Some(rule) = (self.location)(span, self.netns.as_deref()) else {
            return;
        };
        let around = Around {
            statements,
            at,
            sources: self.sources,
        };
        for row in &ROWS {
            for made in (row.make)(&around) {
                self.found.push(Mutation {
                    change: Change {
                        kind: row.kind,
                        rule: rule.clone(),
                        netns: self.netns.clone(),
                        words: made.words,
                    },
                    span,
                    path: self.path.clone(),
                    edit: made.edit,
                });
            }
        }
    }

    fn is_brought(&self, span: Span) -> bool {
        let name = &self.sources.get(span.source).name;
        let mut brought = BUILTINS.iter();
        brought.any(|(brought, _)| *name == title_of_builtin(brought))
    }
}
