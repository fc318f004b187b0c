//! Names that are declared and that nothing uses.
//!
//! Only those of the policy's own file: files are included for the names that they declare, not all of them. A name that
//! only an `expect` line uses is used. Not here: names that are used and not declared.

use std::collections::BTreeSet;

use sockc_grammar::ast::{
    Address, Clause, Condition, Direction, Endpoint, Expect, ExpectedVerdict, File, Name, On,
    PortItem, Ports, Rule, Scope, SetTerm, SetValue, Side, Statement, Target, Verb, With,
};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Spanned;

use super::UNUSED;
use crate::direction::Direction as Listed;

/// What a name is declared as; sets and maps share one space of names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Set,
    Socket,
    Group,
    Zone,
    Pairs,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Socket => "socket",
            Self::Group => "group",
            Self::Zone => "zone",
            Self::Pairs => "pairs",
        }
    }
}

/// Reports names of the file that nothing uses.
pub(super) fn check(file: &File, found: &mut Vec<Diagnostic>) {
    let mut names = Names::default();
    names.statements(&file.statements);
    for (kind, word, name) in &names.declared {
        let own = name.span.source == file.source;
        if own && !names.uses(*kind, &name.value) {
            found.push(
                Diagnostic::warning(
                    UNUSED,
                    format!("nothing uses the {word} `{}`", name.value),
                    name.span,
                    "declared here",
                )
                .help("use it in a rule, or leave the line out"),
            );
        }
    }
}

/// What a file declares and uses.
#[derive(Default)]
struct Names<'a> {
    declared: Vec<(Kind, &'static str, &'a Name)>,
    used: BTreeSet<(Kind, &'a str)>,
    /// Whether something is said of sends or receives: without a group's name it is said of every group.
    streams: bool,
    /// Whether there is a live map, which may come to name every socket.
    live_map: bool,
    /// Whether the interfaces are named; without, those of the zones are meant.
    interfaces: bool,
}

impl<'a> Names<'a> {
    fn uses(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::Group if self.streams => true,
            Kind::Socket if self.live_map => true,
            Kind::Zone if !self.interfaces => true,
            _ => self.used.contains(&(kind, name)),
        }
    }

    fn declares(&mut self, kind: Kind, name: &'a Name) {
        self.declared.push((kind, kind.word(), name));
    }

    fn takes(&mut self, kind: Kind, name: &'a str) {
        self.used.insert((kind, name));
    }

    fn statements(&mut self, statements: &'a [Spanned<Statement>]) {
        for statement in statements {
            self.statement(&statement.value);
        }
    }

    fn statement(&mut self, statement: &'a Statement) {
        match statement {
            Statement::Set(set) => {
                self.declares(Kind::Set, &set.name);
                self.set(set.value.as_ref());
            }
            Statement::Map(map) => {
                self.declared.push((Kind::Set, "map", &map.name));
                self.live_map |= map.live.is_some();
                for entry in &map.entries {
                    self.endpoint(&entry.value.endpoint.value);
                    self.takes(Kind::Socket, &entry.value.socket.value);
                }
            }
            Statement::Socket(socket) => self.declares(Kind::Socket, &socket.name),
            Statement::Group(group) => self.declares(Kind::Group, &group.name),
            Statement::Zone(zone) => self.declares(Kind::Zone, &zone.name),
            Statement::Pairs(pairs) => self.declares(Kind::Pairs, &pairs.name),
            Statement::Interfaces(_) => self.interfaces = true,
            Statement::Default(line) => self.direction(line.direction.value),
            Statement::For(block) => {
                if let Scope::Zone(zone) = &block.scope {
                    self.takes(Kind::Zone, &zone.value);
                }
                self.statements(&block.statements);
            }
            Statement::Expect(expect) => self.expectation(expect),
            Statement::Rule(rule) => self.rule(rule),
            Statement::Version(_) | Statement::Policy(_) | Statement::Include(_) => {}
        }
    }

    fn direction(&mut self, direction: Direction) {
        self.streams |= Listed::of(direction).of_processes();
    }

    fn set(&mut self, value: Option<&'a SetValue>) {
        match value {
            Some(SetValue::Ports(items)) => self.ports(items),
            Some(SetValue::Addresses { first, rest }) => {
                let rest = rest.iter().map(|(_, term)| term);
                for term in std::iter::once(first).chain(rest) {
                    self.term(term);
                }
            }
            None => {}
        }
    }

    fn term(&mut self, term: &'a SetTerm) {
        match term {
            SetTerm::Elements(elements) => {
                for element in elements {
                    self.address(&element.value);
                }
            }
            SetTerm::Named(name) => self.takes(Kind::Set, &name.value),
            SetTerm::File { .. } => {}
        }
    }

    fn address(&mut self, address: &'a Address) {
        if let Address::Set(name) = address {
            self.takes(Kind::Set, &name.value);
        }
    }

    fn ports(&mut self, items: &'a [Spanned<PortItem>]) {
        for item in items {
            if let PortItem::Set(name) = &item.value {
                self.takes(Kind::Set, name);
            }
        }
    }

    fn rule(&mut self, rule: &'a Rule) {
        self.streams |= matches!(rule.verb.value, Verb::Shortcut | Verb::Splice);
        if let Some(direction) = &rule.direction {
            self.direction(direction.value);
        }
        for clause in &rule.clauses {
            match &clause.value {
                Clause::From(side) | Clause::To { side, .. } => self.side(side),
                Clause::OnZone(zone) | Clause::ToZone(zone) => self.takes(Kind::Zone, &zone.value),
                Clause::If(conditions) => self.conditions(conditions),
                Clause::Target(target) => self.target(target),
                _ => {}
            }
        }
    }

    fn side(&mut self, side: &'a Side) {
        match side {
            Side::Endpoints { endpoints, .. } => {
                for endpoint in endpoints {
                    self.endpoint(&endpoint.value);
                }
            }
            Side::Group(name) => self.takes(Kind::Group, &name.value),
        }
    }

    fn endpoint(&mut self, endpoint: &'a Endpoint) {
        if let Some(address) = &endpoint.address {
            self.address(&address.value);
        }
        if let Some(Spanned {
            value: Ports::List(items),
            ..
        }) = &endpoint.ports
        {
            self.ports(items);
        }
    }

    fn conditions(&mut self, conditions: &'a [Spanned<Condition>]) {
        for condition in conditions {
            self.condition(&condition.value);
        }
    }

    fn condition(&mut self, condition: &'a Condition) {
        match condition {
            Condition::No(inner) => self.condition(&inner.value),
            Condition::AnyOf(any) => self.conditions(any),
            Condition::SockAbsent(name) => self.takes(Kind::Socket, &name.value),
            _ => {}
        }
    }

    fn target(&mut self, target: &'a Target) {
        match target {
            Target::Sock(name) | Target::InputOf(name) | Target::OutputOf(name) => {
                self.takes(Kind::Socket, &name.value);
            }
            Target::ByMap(name) => self.takes(Kind::Set, &name.value),
            Target::WithinGroup(name) => self.takes(Kind::Group, &name.value),
            Target::Pairs(name) => self.takes(Kind::Pairs, &name.value),
            Target::Interface(_) => {}
        }
    }

    fn expectation(&mut self, expect: &'a Expect) {
        if let ExpectedVerdict::RedirectTo(target) = &expect.verdict.value {
            self.target(target);
        }
        let packet = &expect.packet;
        for side in packet.from.iter().chain(&packet.to) {
            self.side(&side.value);
        }
        for on in packet.on.iter().chain(&packet.leaves) {
            if let On::Zone(zone) = &on.value {
                self.takes(Kind::Zone, &zone.value);
            }
        }
        for item in &packet.with {
            match &item.value {
                With::Members { set, .. } => self.takes(Kind::Set, &set.value),
                With::Contents { map, entries } => {
                    self.takes(Kind::Set, &map.value);
                    for entry in entries {
                        self.takes(Kind::Socket, &entry.value.socket.value);
                    }
                }
                With::SockAbsent(name) => self.takes(Kind::Socket, &name.value),
                With::Group(name) => self.takes(Kind::Group, &name.value),
                _ => {}
            }
        }
    }
}
