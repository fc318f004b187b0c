//! Every statement but the rules: settings, defaults and declarations.

use sockc_grammar::ast::{
    DefaultLine, Direction as WrittenDirection, MapDecl, Name, Statement, Verb,
};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::{Resolver, ahead, codes, groups, hooks, rates, sockets};
use crate::beside::beside;
use crate::policy::{Arriving, Default as ResolvedDefault, DefaultVerdict, Direction};

impl<'a> Resolver<'a> {
    /// Statements that declare nothing that rules refer to.
    pub(super) fn settings(&mut self, statements: &[&'a Spanned<Statement>]) {
        let mut named: Option<Span> = None;
        for (index, statement) in statements.iter().enumerate() {
            let span = statement.span;
            match &statement.value {
                Statement::Version(version) => {
                    let mut before = statements[..index].iter();
                    let in_this_file = before.any(|other| other.span.source == span.source);
                    self.version(version, !in_this_file && !self.inside);
                }
                Statement::Policy(name) => match named {
                    Some(first) => self.second_policy_line(span, first),
                    None => {
                        named = Some(span);
                        self.policy.name.clone_from(&name.value);
                    }
                },
                Statement::Interfaces(patterns) => self.interfaces(patterns),
                Statement::Default(line) => self.default_line(line, span),
                // Read before, and put in its place; where that could not be, it has been said.
                Statement::Include(_) => self.report.incomplete = true,
                Statement::For(_)
                | Statement::Expect(_)
                | Statement::Zone(_)
                | Statement::Set(_)
                | Statement::Socket(_)
                | Statement::Map(_)
                | Statement::Group(_)
                | Statement::Pairs(_)
                | Statement::Rule(_) => {}
            }
        }
    }

    /// Statements that declare a name. Gives the maps, whose entries name other things.
    pub(super) fn declarations(
        &mut self,
        statements: &[&'a Spanned<Statement>],
    ) -> Vec<(&'a MapDecl, Span)> {
        let mut maps = Vec::new();
        for statement in statements {
            let span = statement.span;
            match &statement.value {
                Statement::Set(set) => self.sets.declare(set, &mut self.report),
                Statement::Map(map) => {
                    let first = self.sets.declare_map(map, &mut self.report);
                    maps.extend(first.then_some((&**map, span)));
                }
                Statement::Zone(zone) => self.zone(zone, span),
                Statement::Pairs(decl) => self.pairs(decl, span),
                Statement::Socket(decl) => {
                    let place = self.places.place(span);
                    let socket = sockets::socket(decl, place, &mut self.report);
                    if self.sockets.declare(&decl.name, None, &mut self.report) {
                        let id = socket.map(|socket| self.policy.sockets.push(socket));
                        self.sockets.set(&decl.name.value, id);
                    }
                }
                Statement::Group(decl) => {
                    let place = self.places.place(span);
                    if self.outside_of_namespaces("a group", span).is_none() {
                        continue;
                    }
                    if self.groups.declare(&decl.name, None, &mut self.report) {
                        let others = &self.policy.groups;
                        let group = groups::group(decl, place, others, &mut self.report);
                        let id = group.map(|group| self.policy.groups.push(group));
                        self.groups.set(&decl.name.value, id);
                    }
                }
                _ => {}
            }
        }
        maps
    }

    /// Rules, in source order.
    pub(super) fn rules(&mut self, statements: &[&'a Spanned<Statement>]) {
        let (first, others) = ahead::split(statements);
        let sources = self.places.sources();
        let (plain, ()) = beside(
            !others.is_empty(),
            || ahead::plain(others, sources),
            || first.iter().for_each(|statement| self.rules_of(statement)),
        );
        for (statement, plain) in others.iter().zip(plain) {
            match (&statement.value, plain) {
                (Statement::Rule(written), Some(rule)) => self.take(written, rule),
                _ => self.rules_of(statement),
            }
        }
    }

    fn rules_of(&mut self, statement: &'a Spanned<Statement>) {
        match &statement.value {
            Statement::Rule(rule) => self.rule(rule, statement.span),
            Statement::For(block) => self.block(block, statement.span),
            _ => {}
        }
    }

    fn version(&mut self, version: &Spanned<u64>, first: bool) {
        if version.value != 1 {
            self.report.error(
                codes::VERSION,
                format!("version {} of the language is not supported", version.value),
                version.span,
                "version 1 is supported",
                "write `sockc 1`, or use a sockc that supports this version",
            );
        } else if !first {
            self.report.error(
                codes::VERSION,
                "the language version is not the first statement",
                version.span,
                "statements come before it",
                "write `sockc 1` at the top of the file, or leave it out",
            );
        }
    }

    fn second_policy_line(&mut self, second: Span, first: Span) {
        self.report.push(
            Diagnostic::error(
                codes::POLICY_TWICE,
                "the policy is named twice",
                second,
                "the second `policy` line",
            )
            .also(first, "the first")
            .help("leave one of the two out"),
        );
    }

    /// Several lines add up; a pattern that is there already adds nothing.
    fn interfaces(&mut self, patterns: &[Name]) {
        for pattern in patterns {
            if !self.policy.interfaces.contains(&pattern.value) {
                self.policy.interfaces.push(pattern.value.clone());
            }
        }
    }

    fn default_line(&mut self, line: &DefaultLine, span: Span) {
        let log = line.log.as_ref();
        let log = log.and_then(|log| rates::log(&log.value, log.span, &mut self.report));
        let verdict = self.default_verb(&line.verb, line.direction.value);
        let direction = Direction::of(line.direction.value);
        if direction.of_processes() {
            let what = format!("`default {}`", direction.word());
            if self.outside_of_namespaces(&what, span).is_none() {
                return;
            }
        }
        if let Some(first) = self.policy.default_of(direction) {
            let word = direction.word();
            let twice = Diagnostic::error(
                codes::DEFAULT_TWICE,
                format!("there are two `default {word}`"),
                span,
                "the second",
            );
            self.report.push(
                twice
                    .also(first.place.span, "the first")
                    .help("leave one of the two out"),
            );
            return;
        }
        match verdict {
            None => self.wrong_defaults.push(direction),
            Some(verdict) => self.policy.defaults.push(ResolvedDefault {
                direction,
                verdict,
                log,
                place: self.places.place(span),
            }),
        }
        if let Some(at) = &line.at {
            let hook = hooks::of_list(at, direction, &mut self.report);
            self.policy.arriving = hook.map_or(Arriving::Earliest, Arriving::Named);
        }
    }

    fn default_verb(
        &mut self,
        verb: &Spanned<Verb>,
        direction: WrittenDirection,
    ) -> Option<DefaultVerdict> {
        let (message, label, help) = match (verb.value, direction) {
            (Verb::Allow, _) => return Some(DefaultVerdict::Allow),
            (Verb::Drop, _) => return Some(DefaultVerdict::Drop),
            (Verb::Reject, WrittenDirection::Out) => (
                "`reject` is not possible in `out`",
                "a packet that leaves has no peer that could be answered",
                "write `drop`",
            ),
            (Verb::Reject, _) => return Some(DefaultVerdict::Reject),
            (Verb::Count | Verb::Redirect | Verb::Shortcut | Verb::Splice, _) => (
                "a default can only allow, drop or reject",
                "not a verdict for everything that is left",
                "write `allow`, `drop` or `reject`",
            ),
        };
        self.report
            .error(codes::VERB_MISPLACED, message, verb.span, label, help);
        None
    }
}
