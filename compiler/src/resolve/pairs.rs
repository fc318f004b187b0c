//! `pairs` declarations, and the rules that splice them.
//!
//! A splice is about all of its pairs, whatever their addresses: a proxy has looked at the connections before it hands them
//! over. So it has no conditions, stands in no list, and needs no default.

use sockc_grammar::ast::{
    Clause, Direction, Name, PairsDecl, Protocol, Rule as WrittenRule, Target, Verb,
};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::report::Report;
use super::{Resolver, codes};
use crate::policy::{MAX_PAIRS, Pairs, PairsId, Splice};

impl Resolver<'_> {
    /// A declaration of pairs.
    pub(super) fn pairs(&mut self, decl: &PairsDecl, span: Span) {
        if self.inside {
            return inside("`pairs`", span, &mut self.report);
        }
        if !self.pairs.declare(&decl.name, None, &mut self.report) {
            return;
        }
        let place = self.places.place(span);
        let id = room(decl.max.as_ref(), &mut self.report).map(|max| {
            self.policy.pairs.push(Pairs {
                name: decl.name.value.clone(),
                max,
                place,
            })
        });
        self.pairs.set(&decl.name.value, id);
    }

    /// A rule that splices, appended to the policy if nothing is wrong with it.
    pub(super) fn splice(&mut self, written: &WrittenRule, span: Span) {
        if self.inside {
            return inside("a splice", span, &mut self.report);
        }
        let errors = self.report.errors();
        self.spoken_of(written);
        let mut named = None;
        let mut note = None;
        for clause in &written.clauses {
            match &clause.value {
                Clause::Target(Target::Pairs(name)) => named = Some(name),
                Clause::Target(_) => {
                    self.misplaced_target(Verb::Splice, clause.span);
                    return;
                }
                Clause::Note(text) => note = Some(text.value.clone()),
                _ => says_more(clause.span, &mut self.report),
            }
        }
        let Some(name) = named else {
            return self.no_target(Verb::Splice, written.verb.span);
        };
        let Some(pairs) = self.free(name) else {
            return;
        };
        if self.report.errors() == errors {
            self.policy.splices.push(Splice {
                label: written.label.as_ref().map(|label| label.value.clone()),
                pairs,
                note,
                place: self.places.place(span),
            });
        }
    }

    /// What stands before the clauses, and the block that the rule stands in.
    fn spoken_of(&mut self, written: &WrittenRule) {
        let report = &mut self.report;
        if let Some(audit) = written.audit {
            says_more(audit, report);
        }
        if let Some(block) = &self.block {
            says_more(block.span, report);
        }
        let other = |one: &&Spanned<Direction>| one.value != Direction::Receive;
        if let Some(direction) = written.direction.as_ref().filter(other) {
            report.error(
                codes::VERB_MISPLACED,
                "`splice` is possible only in `receive`",
                direction.span,
                "a splice takes what arrives on a socket",
                "write `receive`, or leave the direction out",
            );
        }
        let other = |one: &&Spanned<Protocol>| one.value != Protocol::Tcp;
        if let Some(protocol) = written.protocols.iter().find(other) {
            report.error(
                codes::SEND_PROTOCOL,
                "a splice is about TCP",
                protocol.span,
                "not a protocol of connections that can be joined",
                "write `tcp`, or leave the protocol out",
            );
        }
    }

    /// Pairs that no splice has joined yet.
    fn free(&mut self, name: &Name) -> Option<PairsId> {
        let pairs = (*self
            .pairs
            .look_up(&name.value, name.span, &mut self.report)?)?;
        let mut splices = self.policy.splices.iter();
        if let Some(first) = splices.find(|splice| splice.pairs == pairs) {
            self.report.push(
                Diagnostic::error(
                    codes::SPLICED_TWICE,
                    format!("the pairs `{}` are spliced twice", name.value),
                    name.span,
                    "the second splice of them",
                )
                .also(first.place.span, "the first")
                .help("leave one of the two out"),
            );
            return None;
        }
        Some(pairs)
    }
}

/// The room of pairs; [`MAX_PAIRS`] where none is said.
fn room(max: Option<&Spanned<u64>>, report: &mut Report) -> Option<u32> {
    let Some(max) = max else {
        return Some(MAX_PAIRS);
    };
    let fits = u32::try_from(max.value).ok();
    let fits = fits.filter(|max| (1..=MAX_PAIRS).contains(max));
    if fits.is_none() {
        report.error(
            codes::PAIRS_ROOM,
            format!("there cannot be room for {} pairs", max.value),
            max.span,
            format!("1 to {MAX_PAIRS} are possible"),
            format!("write a number from 1 to {MAX_PAIRS}, or leave `max` out for the most"),
        );
    }
    fits
}

fn inside(what: &str, span: Span, report: &mut Report) {
    report.error(
        codes::PROCESS_INSIDE,
        format!("{what} cannot be in a block for a network namespace"),
        span,
        "a proxy's sockets are joined whatever network namespaces they are in",
        "write it outside of the block",
    );
}

fn says_more(span: Span, report: &mut Report) {
    report.error(
        codes::SPLICE_CLAUSE,
        "a splice joins all of its pairs",
        span,
        "it cannot be said of some of them only, and nothing else is done with them",
        "leave it out: the proxy chooses which connections it hands over",
    );
}
