//! The leaves of a parse as pieces of text, grouped by clause: what the formatter prints.
//!
//! Every leaf of a statement comes back exactly once, so nothing of it can be lost.

use super::rule::{says_where_it_leaves, to_side};
use super::{Node, Rule, child, first};
use crate::ast::Verb;

/// How a piece stands to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A blank before and after.
    Word,
    /// `,`
    Comma,
    /// `{` of a list that may be broken over lines.
    Open,
    /// `}` of such a list.
    Close,
    /// No blank after: `[`, and `{` of a list of ports.
    GluedBehind,
    /// No blank before: `]`, and `}` of a list of ports.
    GluedBefore,
    /// No blank on either side: `/`, `:`, `-` of a range.
    Glue,
}

/// A leaf: a byte range of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Its first byte.
    pub(crate) start: usize,
    /// One past its last byte.
    pub(crate) end: usize,
    /// How it stands to its neighbours.
    pub(crate) kind: Kind,
}

/// Pieces that stay together when clauses are sorted.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The place in the canonical order.
    pub(crate) rank: u8,
    /// The pieces as written.
    pub(crate) pieces: Vec<Piece>,
}

/// A statement's groups as written.
pub(crate) type Pieces = Vec<Group>;

/// The groups of a statement whose node begins at `offset` of the text.
pub(super) fn pieces(node: &Node<'_>, offset: usize) -> Pieces {
    let mut groups = Vec::new();
    let verb = child(node, Rule::verb).and_then(|verb| Verb::named(verb.as_str()));
    collect(node, offset, (0, verb), &mut groups);
    groups
}

/// `verb` is that of the rule which the node stands in, if it is one.
fn collect(node: &Node<'_>, offset: usize, (rank, verb): (u8, Option<Verb>), groups: &mut Pieces) {
    let rank = match node.as_rule() {
        Rule::clause | Rule::packet_part => {
            first(node).map_or(rank, |inner| self::rank(&inner, verb))
        }
        _ => rank,
    };
    let mut inner = node.inner().peekable();
    // A label is one piece: no blank before its colon, one after it.
    let leaf = inner.peek().is_none() || node.as_rule() == Rule::label;
    if leaf && !node.as_str().is_empty() {
        let piece = Piece {
            start: offset + node.start(),
            end: offset + node.end(),
            kind: kind(node.as_rule()),
        };
        match groups.last_mut() {
            Some(group) if group.rank == rank => group.pieces.push(piece),
            _ => groups.push(Group {
                rank,
                pieces: vec![piece],
            }),
        }
    }
    if !leaf {
        inner.for_each(|child| collect(&child, offset, (rank, verb), groups));
    }
}

/// The place of a clause in the canonical order.
fn rank(clause: &Node<'_>, verb: Option<Verb>) -> u8 {
    match clause.as_rule() {
        Rule::from_clause => 1,
        Rule::leaving_by => 5,
        Rule::to_clause if verb.is_some_and(|verb| says_where_it_leaves(clause, verb)) => 5,
        Rule::to_clause if !to_side(clause) => 3,
        Rule::to_clause | Rule::to_side | Rule::bare_clause => 2,
        Rule::by_map | Rule::within_group | Rule::with_pairs => 3,
        Rule::on_clause => 4,
        Rule::if_clause => 6,
        Rule::above_clause | Rule::up_to_clause => 7,
        Rule::mark_clause => 8,
        Rule::log_clause => 9,
        Rule::at_clause => 10,
        Rule::note_clause => 11,
        _ => 12,
    }
}

fn kind(rule: Rule) -> Kind {
    match rule {
        Rule::comma => Kind::Comma,
        Rule::open => Kind::Open,
        Rule::close => Kind::Close,
        Rule::open_bracket | Rule::port_open => Kind::GluedBehind,
        Rule::close_bracket | Rule::port_close => Kind::GluedBefore,
        Rule::slash | Rule::colon | Rule::dash => Kind::Glue,
        _ => Kind::Word,
    }
}
