//! `on`, and the blocks: `for zone` and `for interface`, whose rules are as if each carried its `on`, and `for netns`,
//! which is a policy of its own.

use sockc_grammar::ast::{
    Clause, ForBlock, Name, Rule as WrittenRule, Scope, Statement, Verb, Zone,
};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::clauses::Clauses;
use super::interfaces::Block;
use super::report::Report;
use super::{Resolver, codes};
use crate::field::FieldKind;
use crate::hook::Hook;
use crate::policy::{ClassId, Direction, NetnsPolicy};
use crate::values::kernel_names;

impl<'a> Resolver<'a> {
    pub(super) fn zone(&mut self, zone: &'a Zone, span: Span) {
        let place = self.places.place(span);
        let (zones, report) = (&mut self.policy.zones, &mut self.report);
        self.interfaces.declare(zone, place, zones, report);
    }

    /// The classes that a rule is for; the inner `None` is every one.
    #[allow(clippy::option_option, reason = "wrong is not the same as every one")]
    pub(super) fn on(
        &mut self,
        written: &WrittenRule,
        direction: Direction,
    ) -> Option<Option<Vec<ClassId>>> {
        let own = written
            .clauses
            .iter()
            .find(|clause| matches!(clause.value, Clause::OnZone(_) | Clause::OnInterface(_)));
        let block = self.block.clone();
        let span = match (own, &block) {
            (None, None) => return Some(None),
            (Some(own), _) => own.span,
            (None, Some(block)) => block.span,
        };
        if direction.of_processes() {
            on_process(written, direction, span, &mut self.report);
            return None;
        }
        match (own, block) {
            (Some(own), Some(block)) => {
                on_twice(own.span, block.span, &mut self.report);
                None
            }
            (None, Some(block)) => block.classes.map(Some),
            (Some(own), None) => self.own_classes(&own.value).map(Some),
            (None, None) => Some(None),
        }
    }

    /// The classes of the interfaces by which what passes through leaves; the inner `None` is every one.
    #[allow(clippy::option_option, reason = "wrong is not the same as every one")]
    pub(super) fn leaves(
        &mut self,
        written: &WrittenRule,
        clauses: &Clauses<'_>,
        direction: Direction,
    ) -> Option<Option<Vec<ClassId>>> {
        let Some(clause) = clauses.leaves else {
            return Some(None);
        };
        if !direction.passes() {
            leaves_nowhere(written, clause, direction, &mut self.report);
            return None;
        }
        self.own_classes(&clause.value).map(Some)
    }

    fn own_classes(&mut self, clause: &Clause) -> Option<Vec<ClassId>> {
        match clause {
            Clause::OnZone(name) | Clause::ToZone(name) => {
                self.interfaces.zone(name, &mut self.report)
            }
            Clause::OnInterface(pattern) | Clause::ToInterface(pattern) => {
                self.interfaces.pattern(pattern)
            }
            _ => None,
        }
    }

    /// The rules of a block; a policy of its own is resolved after everything else.
    pub(super) fn block(&mut self, block: &'a ForBlock, span: Span) {
        let (classes, named) = match &block.scope {
            Scope::Netns(_) if !self.inside => return,
            Scope::Netns(name) => {
                let head = Span {
                    end: name.span.end,
                    ..span
                };
                nested(head, None, &mut self.report);
                self.report.incomplete = true;
                return;
            }
            Scope::Zone(name) => (self.interfaces.zone(name, &mut self.report), name),
            Scope::Interface(pattern) => (self.interfaces.pattern(pattern), pattern),
        };
        self.block = Some(Block {
            classes,
            span: named.span,
        });
        for statement in &block.statements {
            self.in_block(statement, named);
        }
        self.block = None;
    }

    fn in_block(&mut self, statement: &'a Spanned<Statement>, named: &Name) {
        match &statement.value {
            Statement::Rule(rule) => self.rule(rule, statement.span),
            Statement::For(_) => {
                let head = Span {
                    end: statement.span.start.saturating_add(3),
                    ..statement.span
                };
                nested(head, Some(named.span), &mut self.report);
            }
            _ => self.report.push(
                Diagnostic::error(
                    codes::NOT_A_RULE,
                    "this block holds rules only",
                    statement.span,
                    "not a rule",
                )
                .also(named.span, "the block is for these interfaces")
                .help("write it outside of the block"),
            ),
        }
    }

    /// The policies of `for netns` blocks. Blocks for one namespace are one policy.
    pub(super) fn namespaces(&mut self, statements: &[&'a Spanned<Statement>]) {
        let mut found: Vec<(&'a str, Vec<&'a Spanned<Statement>>)> = Vec::new();
        for statement in statements {
            let Statement::For(ForBlock {
                scope: Scope::Netns(name),
                statements,
            }) = &statement.value
            else {
                continue;
            };
            if self.report.checked(kernel_names::netns(name)).is_none() {
                continue;
            }
            match found.iter_mut().find(|(known, _)| *known == name.value) {
                Some((_, known)) => known.extend(statements),
                None => found.push((&name.value, statements.iter().collect())),
            }
        }
        for (name, statements) in found {
            let mut inner = self.inner();
            inner.run(&statements);
            self.report = inner.report;
            self.policy.netns.push(NetnsPolicy {
                name: name.to_owned(),
                policy: inner.policy,
            });
        }
    }
}

impl Resolver<'_> {
    /// Refuses what is about processes in a block for a namespace, since a control group knows none; `None` if it did.
    pub(super) fn outside_of_namespaces(&mut self, what: &str, span: Span) -> Option<()> {
        if !self.inside {
            return Some(());
        }
        self.report.error(
            codes::PROCESS_INSIDE,
            format!("{what} cannot be in a block for a network namespace"),
            span,
            "a group's sockets count whatever network namespace they are in",
            "write it outside of the block, where it holds for sockets of every namespace",
        );
        None
    }
}

fn on_twice(own: Span, block: Span, report: &mut Report) {
    report.push(
        Diagnostic::error(
            codes::ON_TWICE,
            "the rule names interfaces, and so does the block that it stands in",
            own,
            "the rule's own",
        )
        .also(block, "the block's")
        .help("leave the rule's out, or write the rule outside of the block"),
    );
}

fn on_process(written: &WrittenRule, of: Direction, on: Span, report: &mut Report) {
    let span = written
        .direction
        .as_ref()
        .map_or(written.verb.span, |direction| direction.span);
    report.push(
        Diagnostic::error(
            codes::ON_SEND,
            format!("{} cannot name interfaces", of.spec().rule),
            span,
            Hook::without(of, FieldKind::Interface),
        )
        .also(on, "named here")
        .help("leave the interfaces out, or decide packets that leave with `out`"),
    );
}

/// `to zone` and `to interface` of what does not pass through.
fn leaves_nowhere(
    written: &WrittenRule,
    clause: &Spanned<Clause>,
    direction: Direction,
    report: &mut Report,
) {
    let at = written.direction.as_ref();
    let at = at.map_or(written.verb.span, |direction| direction.span);
    let help = match (direction, written.verb.value) {
        (_, Verb::Redirect) => "a redirect leads out of one interface: write `to interface NAME`",
        (Direction::Out, _) => "write `on` for `to`, or `forward` for `out`",
        (Direction::In, _) => "write `forward` after the verb, or `on` for `to`",
        _ => "leave it out, or write `forward`",
    };
    report.push(
        Diagnostic::error(
            codes::LEAVES_NOWHERE,
            "only a packet that passes through has an interface by which it leaves beside that by which it came in",
            clause.span,
            "where it leaves",
        )
        .also(at, format!("{} has no such interface", direction.spec().rule))
        .help(help),
    );
}

/// `head` begins the inner block; `outer` names what the outer one is for, if that is an interface or a zone.
fn nested(head: Span, outer: Option<Span>, report: &mut Report) {
    let error = Diagnostic::error(
        codes::BLOCK_NESTED,
        "a block inside a block",
        head,
        "begins here",
    );
    let error = match outer {
        Some(outer) => error.also(outer, "inside this one"),
        None => error,
    };
    report.push(error.help(
        "close the outer block first; only blocks for zones and interfaces are possible inside `for netns`",
    ));
}
