//! Redirects by a map: one rule for each entry, the most specific first, or for a live map one for each socket that it
//! may name. Together they count as one rule.
//!
//! Not here: maps themselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::{Clause, MapDecl, Name, Rule as WrittenRule, Target};
use sockc_grammar::source::Span;

use super::clauses::Clauses;
use super::live::covered_by;
use super::maps::{Meaning, Scope};
use super::{Resolver, codes};
use crate::policy::{
    Action, AddressSet, Condition, Endpoint, LiveEntry, LiveMapId, Match, ProtocolMatch, Rule,
    Side, SocketId,
};
use crate::protocol::IpProtocol;
use crate::ranges::RangeSet;

/// The map that a rule goes by, if it does.
pub(super) fn map_of<'a>(clauses: &Clauses<'a>) -> Option<&'a Name> {
    match clauses.target {
        Some((Target::ByMap(name), _)) => Some(name),
        _ => None,
    }
}

/// The map that a rule as written goes by.
pub(super) fn map_named(written: &WrittenRule) -> Option<&Name> {
    written
        .clauses
        .iter()
        .find_map(|clause| match &clause.value {
            Clause::Target(Target::ByMap(name)) => Some(name),
            _ => None,
        })
}

impl Resolver<'_> {
    /// Resolves the maps that statements declare; `own` are those whose names are the first of their kind.
    pub(super) fn maps(&mut self, own: &[(&MapDecl, Span)]) {
        for &(decl, span) in own {
            let place = self.places.place(span);
            let scope = Scope {
                sets: &self.sets,
                names: &self.sockets,
                sockets: &self.policy.sockets,
            };
            let live_maps = &mut self.policy.live_maps;
            self.maps
                .declare(decl, place, &scope, live_maps, &mut self.report);
        }
    }

    /// What a redirect by a map does: hand over to a socket of the map, which one its rules say (`through_map`).
    pub(super) fn map_action(&mut self, name: &Name, clauses: &Clauses<'_>) -> Option<Action> {
        self.sets.is_map(name, &mut self.report)?;
        if clauses.to.is_some() {
            self.report.error(
                codes::MAP_DESTINATION,
                "a redirect by a map has no destination of its own",
                name.span,
                "the map says which destinations are redirected, and where to",
                "leave the destination out, or write it as an entry of the map",
            );
            return None;
        }
        let socket = match self.maps.get(&name.value)? {
            Meaning::Constant(entries) => entries.first().map(|entry| entry.live.socket),
            Meaning::Live { .. } => self.steerable().first().copied(),
        };
        if socket.is_none() && !self.report.incomplete {
            self.report.error(
                codes::NO_TARGET,
                format!(
                    "no socket is declared that the live map `{}` could name",
                    name.value
                ),
                name.span,
                "every redirect needs a socket",
                "declare the sockets that entries of the map will name: `socket NAME = …`",
            );
        }
        socket.map(Action::Redirect)
    }

    /// The sockets that a redirect may lead to.
    pub(super) fn receivers(&self, action: Action, clauses: &Clauses<'_>) -> Vec<SocketId> {
        let Some(map) = map_of(clauses) else {
            return action.receiver().into_iter().collect();
        };
        match self.maps.get(&map.value) {
            Some(Meaning::Constant(entries)) => {
                entries.iter().map(|entry| entry.live.socket).collect()
            }
            Some(Meaning::Live { .. }) => self.steerable(),
            None => Vec::new(),
        }
    }

    /// The declared sockets that entries of a live map may lead to.
    fn steerable(&self) -> Vec<SocketId> {
        let sockets = self.policy.sockets.iter().filter(|(_, data)| !data.fed);
        sockets.map(|(socket, _)| socket).collect()
    }

    /// The rules that a redirect by a map stands for.
    pub(super) fn through_map(
        &mut self,
        rule: &Rule,
        name: &Name,
        written: &WrittenRule,
    ) -> Vec<Rule> {
        let rules = match self.maps.get(&name.value) {
            Some(Meaning::Constant(entries)) => {
                let entries: Vec<LiveEntry> = entries.iter().map(|entry| entry.live).collect();
                self.by_entries(rule, &entries)
            }
            Some(Meaning::Live { id: Some(id), .. }) => self.by_sockets(rule, *id),
            _ => Vec::new(),
        };
        for (protocol, written) in rule.matches.protocols.iter().zip(&written.protocols) {
            let taken = rules.iter().any(|rule| {
                let protocols = &rule.matches.protocols;
                protocols.iter().any(|one| one.number == protocol.number)
            });
            if !taken {
                self.report.error(
                    codes::MAP_PROTOCOL,
                    format!("no socket of the map `{}` takes this protocol", name.value),
                    written.span,
                    "no entry can match it",
                    "leave it out, or add an entry with a socket that takes it",
                );
            }
        }
        rules
    }

    /// One rule for each entry. What is only counted goes on in the list, so that there all entries are one rule for each
    /// protocol: a packet that two of them cover is counted once.
    fn by_entries(&self, rule: &Rule, entries: &[LiveEntry]) -> Vec<Rule> {
        if rule.audit.is_some() {
            return self.audited_entries(rule, entries);
        }
        let rules = entries.iter().filter_map(|entry| {
            let mut rule = of_protocols(rule, &entry.protocols(&self.policy))?;
            rule.action = rule.action.to(entry.socket);
            rule.matches.to = Some(to(std::iter::once(entry)));
            Some(rule)
        });
        rules.collect()
    }

    fn audited_entries(&self, rule: &Rule, entries: &[LiveEntry]) -> Vec<Rule> {
        let rules = IpProtocol::WITH_SOCKETS.into_iter().filter_map(|number| {
            let taking: Vec<&LiveEntry> = entries
                .iter()
                .filter(|entry| entry.protocols(&self.policy).contains(&number))
                .collect();
            let mut rule = of_protocols(rule, &[number]).filter(|_| !taking.is_empty())?;
            rule.matches.to = Some(to(taking.into_iter()));
            Some(rule)
        });
        rules.collect()
    }

    /// One rule for each declared socket: which of them a live map names changes while running.
    fn by_sockets(&self, rule: &Rule, map: LiveMapId) -> Vec<Rule> {
        let rules = self.steerable().into_iter().filter_map(|socket| {
            let held = self.policy.sockets[socket].origin.protocols();
            let mut rule = of_protocols(rule, &held)?;
            if rule.audit.is_none() {
                rule.action = rule.action.to(socket);
            }
            let conditions = &mut rule.matches.conditions;
            conditions.push(Condition::Entry { map, socket });
            Some(rule)
        });
        rules.collect()
    }
}

/// The rule for these protocols, as far as it names them; `None` if it names none of them.
fn of_protocols(rule: &Rule, held: &[IpProtocol]) -> Option<Rule> {
    let named = &rule.matches.protocols;
    let whole = |number: IpProtocol| ProtocolMatch {
        family: None,
        number,
        icmp: Vec::new(),
    };
    let protocols: Vec<ProtocolMatch> = held
        .iter()
        .filter(|number| named.is_empty() || named.iter().any(|one| one.number == **number))
        .map(|number| whole(*number))
        .collect();
    (!protocols.is_empty()).then(|| Rule {
        matches: Match {
            protocols,
            ..rule.matches.clone()
        },
        ..rule.clone()
    })
}

/// The destinations of entries.
fn to<'a>(entries: impl Iterator<Item = &'a LiveEntry>) -> Side {
    let endpoint = |entry: &LiveEntry| {
        let (address, length) = entry.prefix;
        Endpoint {
            addresses: addresses(address, length).into(),
            ports: Some(RangeSet::from_ranges([entry.ports])),
        }
    };
    Side::Endpoints {
        negated: false,
        endpoints: entries.map(endpoint).collect(),
    }
}

fn addresses(address: IpAddr, length: u8) -> AddressSet {
    let mut set = AddressSet::default();
    match covered_by(address, length) {
        (IpAddr::V4(low), IpAddr::V4(high)) => {
            set.v4 = RangeSet::from_ranges([(Ipv4Addr::to_bits(low), Ipv4Addr::to_bits(high))]);
        }
        (IpAddr::V6(low), IpAddr::V6(high)) => {
            set.v6 = RangeSet::from_ranges([(Ipv6Addr::to_bits(low), Ipv6Addr::to_bits(high))]);
        }
        _ => {}
    }
    set
}
