//! What the rules and `expect` lines of one policy speak of, gathered before they are resolved: which sets stand in
//! their endpoints, which sockets are given data, and which interfaces they tell apart.
//!
//! Policies of `for netns` blocks are others. Not here: what the names mean, and whether they are declared.

use std::collections::BTreeSet;

use sockc_grammar::ast::{
    Address, Clause, Endpoint, Expect, ForBlock, Name, OWN, On, Rule, Scope, Side, Statement,
    Target, With,
};
use sockc_grammar::source::{Span, Spanned};

/// What is spoken of.
#[derive(Default)]
pub(super) struct Mentions<'a> {
    /// Sets in endpoints, live sets whose members an `expect` line names, and maps that rules go by.
    pub(super) sets: BTreeSet<&'a str>,
    /// Where `self` first stands as an address, or what it holds is said.
    pub(super) own: Option<Span>,
    /// Sockets whose queues rules put data into.
    pub(super) fed: BTreeSet<&'a str>,
    /// Zones.
    pub(super) zones: BTreeSet<&'a str>,
    /// Patterns of `on interface` and `for interface` in rules, in order.
    pub(super) interfaces: Vec<&'a Name>,
    /// Patterns of `on interface` in `expect` lines, in order.
    pub(super) expected_interfaces: Vec<&'a Name>,
}

impl<'a> Mentions<'a> {
    /// What these statements speak of.
    pub(super) fn of(statements: impl Iterator<Item = &'a Spanned<Statement>>) -> Self {
        let mut mentions = Self::default();
        mentions.statements(statements);
        mentions
    }

    fn statements(&mut self, statements: impl Iterator<Item = &'a Spanned<Statement>>) {
        for statement in statements {
            match &statement.value {
                Statement::Rule(rule) => self.rule(rule),
                Statement::Expect(expect) => self.line(expect),
                Statement::For(block) => self.block(block),
                _ => {}
            }
        }
    }

    /// Blocks inside a block are refused elsewhere.
    fn block(&mut self, block: &'a ForBlock) {
        match &block.scope {
            Scope::Interface(pattern) => self.interfaces.push(pattern),
            Scope::Zone(zone) => self.zone(zone),
            Scope::Netns(_) => return,
        }
        for statement in &block.statements {
            if let Statement::Rule(rule) = &statement.value {
                self.rule(rule);
            }
        }
    }

    fn zone(&mut self, zone: &'a Name) {
        self.zones.insert(&zone.value);
    }

    fn rule(&mut self, rule: &'a Rule) {
        for clause in &rule.clauses {
            match &clause.value {
                Clause::From(side) | Clause::To { side, .. } => self.side(side),
                Clause::OnInterface(pattern) | Clause::ToInterface(pattern) => {
                    self.interfaces.push(pattern)
                }
                Clause::OnZone(zone) | Clause::ToZone(zone) => self.zone(zone),
                Clause::Target(Target::ByMap(map)) => {
                    self.sets.insert(&map.value);
                }
                Clause::Target(Target::InputOf(socket) | Target::OutputOf(socket)) => {
                    self.fed.insert(&socket.value);
                }
                _ => {}
            }
        }
    }

    fn line(&mut self, expect: &'a Expect) {
        let packet = &expect.packet;
        for side in packet.from.iter().chain(&packet.to) {
            self.side(&side.value);
        }
        for on in packet.on.iter().chain(&packet.leaves) {
            match &on.value {
                On::Interface(pattern) => self.expected_interfaces.push(pattern),
                On::Zone(zone) => self.zone(zone),
            }
        }
        for item in &packet.with {
            if item.value == With::Own {
                self.own = self.own.or(Some(item.span));
            }
            if let With::Members { set: name, .. } | With::Contents { map: name, .. } = &item.value
            {
                match name.value == OWN {
                    true => self.own = self.own.or(Some(name.span)),
                    false => drop(self.sets.insert(&name.value)),
                }
            }
        }
    }

    fn side(&mut self, side: &'a Side) {
        let Side::Endpoints { endpoints, .. } = side else {
            return;
        };
        for endpoint in endpoints {
            self.endpoint(&endpoint.value);
        }
    }

    fn endpoint(&mut self, endpoint: &'a Endpoint) {
        let Some(address) = &endpoint.address else {
            return;
        };
        match &address.value {
            Address::Set(name) => drop(self.sets.insert(&name.value)),
            Address::Own => self.own = self.own.or(Some(address.span)),
            _ => {}
        }
    }
}
