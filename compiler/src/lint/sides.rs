//! What stands after `from` and `to` in the rules and `expect` lines of a text.

use sockc_grammar::ast::{Clause, Endpoint, File, Side, Statement};
use sockc_grammar::source::Spanned;

/// A list of endpoints.
pub(super) struct List<'a> {
    /// Whether what it names is meant, or all but that.
    pub(super) negated: bool,
    /// What it names.
    pub(super) endpoints: &'a [Spanned<Endpoint>],
}

/// The lists of endpoints, in order.
pub(super) fn lists(file: &File) -> impl Iterator<Item = List<'_>> {
    let sides = file
        .all()
        .flat_map(|statement| -> Vec<&Side> { of(&statement.value) });
    sides.filter_map(|side| match side {
        Side::Endpoints { not, endpoints } => Some(List {
            negated: not.is_some(),
            endpoints,
        }),
        Side::Group(_) => None,
    })
}

fn of(statement: &Statement) -> Vec<&Side> {
    match statement {
        Statement::Rule(rule) => rule
            .clauses
            .iter()
            .filter_map(|clause| match &clause.value {
                Clause::From(side) | Clause::To { side, .. } => Some(side),
                _ => None,
            })
            .collect(),
        Statement::Expect(expect) => {
            let packet = &expect.packet;
            let sides = packet.from.iter().chain(&packet.to);
            sides.map(|side| &side.value).collect()
        }
        _ => Vec::new(),
    }
}
