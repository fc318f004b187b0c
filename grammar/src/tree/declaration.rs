//! Statements that declare: version, policy, include, interfaces, zones, defaults, sets, sockets, maps, groups, pairs,
//! and the heads of blocks.

use super::{Builder, Node, Rule, child, children, first};
use crate::ast::{
    Address, DefaultLine, Direction, Expect, ExpectedVerdict, GroupDecl, Include, Listen, MapDecl,
    MapEntry, Name, PairsDecl, Scope, SetDecl, SetOperator, SetTerm, SetValue, SocketDecl,
    SocketOrigin, SocketOwner, Statement, Zone,
};
use crate::source::{Span, Spanned};

impl Builder {
    /// Any statement but a block.
    pub(super) fn statement(&mut self, node: &Node<'_>) -> Option<Statement> {
        Some(match node.as_rule() {
            Rule::rule_line | Rule::unlabelled => Statement::Rule(Box::new(self.rule(node)?)),
            Rule::version => Statement::Version(self.number_in(node)?),
            Rule::policy => Statement::Policy(self.name_in(node)?),
            Rule::include => Statement::Include(self.include(node)?),
            Rule::interfaces => Statement::Interfaces(self.patterns(node)?),
            Rule::zone => Statement::Zone(Zone {
                name: self.name_in(node)?,
                interfaces: self.patterns(node)?,
            }),
            Rule::default_line => Statement::Default(self.default_line(node)?.into()),
            Rule::set_decl => Statement::Set(self.set_decl(node)?.into()),
            Rule::socket_decl => Statement::Socket(self.socket_decl(node)?.into()),
            Rule::map_decl => Statement::Map(self.map_decl(node)?.into()),
            Rule::group_decl => Statement::Group(Box::new(GroupDecl {
                name: self.name_in(node)?,
                cgroup: self.string_in(node)?,
            })),
            Rule::pairs_decl => Statement::Pairs(PairsDecl {
                name: self.name_in(node)?,
                max: self.optional_number(node)?,
            }),
            Rule::expect => Statement::Expect(self.expect_line(node)?.into()),
            _ => return None,
        })
    }

    /// What a block is for.
    pub(super) fn scope(&mut self, node: &Node<'_>) -> Option<Scope> {
        let scope = first(&child(node, Rule::scope)?)?;
        Some(match scope.as_rule() {
            Rule::for_zone => Scope::Zone(self.name_in(&scope)?),
            Rule::for_interface => Scope::Interface(self.pattern_in(&scope)?),
            Rule::for_netns => Scope::Netns(self.string_in(&scope)?),
            _ => return None,
        })
    }

    /// The number that may be a child of `node`; the outer `None` is a mistake that was said.
    #[allow(clippy::option_option, reason = "absent is not the same as wrong")]
    fn optional_number(&mut self, node: &Node<'_>) -> Option<Option<Spanned<u64>>> {
        match child(node, Rule::number) {
            Some(number) => self.number(&number).map(Some),
            None => Some(None),
        }
    }

    fn include(&mut self, node: &Node<'_>) -> Option<Include> {
        let Some(builtin) = child(node, Rule::builtin) else {
            return Some(Include::Path(self.string_in(node)?));
        };
        let name = builtin
            .as_str()
            .trim_start_matches('<')
            .trim_end_matches('>');
        Some(Include::Builtin(self.spanned(&builtin, name.to_owned())))
    }

    fn patterns(&mut self, node: &Node<'_>) -> Option<Vec<Name>> {
        let mut patterns = Vec::new();
        for pattern in children(node, Rule::pattern) {
            patterns.push(self.pattern(&pattern)?);
        }
        Some(patterns)
    }

    fn default_line(&mut self, node: &Node<'_>) -> Option<DefaultLine> {
        let verb = child(node, Rule::default_verb)?;
        let log = match child(node, Rule::log_clause) {
            Some(log) => {
                let value = self.log(&log)?;
                Some(self.spanned(&log, value))
            }
            None => None,
        };
        let at = match child(node, Rule::at_clause) {
            Some(at) => Some(self.at(&at)?),
            None => None,
        };
        Some(DefaultLine {
            // `in` may be left out, as in rules.
            direction: self.direction(node).unwrap_or(Spanned {
                value: Direction::In,
                span: self.span(&verb),
            }),
            verb: self.verb(&verb)?,
            log,
            at,
        })
    }

    fn live(&self, node: &Node<'_>) -> Option<Span> {
        child(node, Rule::k_live).map(|word| self.span(&word))
    }

    fn set_decl(&mut self, node: &Node<'_>) -> Option<SetDecl> {
        let (mut max, mut expires, mut value) = (None, None, None);
        for part in node.inner() {
            match part.as_rule() {
                Rule::set_max => {
                    let number = self.number_in(&part)?;
                    self.once("max", &mut max, self.spanned(&part, number))?;
                }
                Rule::set_expires => {
                    let duration = self.duration(&child(&part, Rule::duration)?)?;
                    self.once("expires", &mut expires, self.spanned(&part, duration))?;
                }
                Rule::set_is => {
                    let contents = self.set_value(&part)?;
                    self.once("=", &mut value, self.spanned(&part, contents))?;
                }
                _ => {}
            }
        }
        Some(SetDecl {
            live: self.live(node),
            name: self.name_in(node)?,
            max: max.map(|max| max.value),
            expires: expires.map(|expires| expires.value),
            value: value.map(|value| value.value),
        })
    }

    fn set_value(&mut self, node: &Node<'_>) -> Option<SetValue> {
        if let Some(ports) = child(node, Rule::port_set) {
            return Some(SetValue::Ports(self.port_items(&ports)?));
        }
        let arithmetic = child(node, Rule::arithmetic)?;
        let mut parts = arithmetic.inner();
        let first = self.term(&parts.next()?)?;
        let mut rest = Vec::new();
        while let (Some(operator), Some(term)) = (parts.next(), parts.next()) {
            let value = match operator.as_rule() {
                Rule::plus => SetOperator::Plus,
                Rule::minus => SetOperator::Minus,
                _ => return None,
            };
            rest.push((self.spanned(&operator, value), self.term(&term)?));
        }
        Some(SetValue::Addresses { first, rest })
    }

    fn term(&mut self, node: &Node<'_>) -> Option<SetTerm> {
        let inner = first(node)?;
        Some(match inner.as_rule() {
            Rule::element_list => SetTerm::Elements(self.elements(&inner)?),
            Rule::set_ref => SetTerm::Named(self.set_ref(&inner)),
            Rule::file_term => SetTerm::File {
                path: self.string_in(&inner)?,
                max: self.optional_number(&inner)?,
            },
            _ => return None,
        })
    }

    /// `{ ADDRESS, … }`; every bad address is said.
    pub(super) fn elements(&mut self, node: &Node<'_>) -> Option<Vec<Spanned<Address>>> {
        let mut elements = Vec::new();
        let mut complete = true;
        let mut wrong_end = None;
        for element in children(node, Rule::element) {
            // `10.0,0.0/8` is one mistake: the comma that no blank follows.
            if wrong_end.is_some_and(|end| element.start() == end + 1) {
                wrong_end = None;
                continue;
            }
            let address = self.address(&first(&element)?);
            if address.is_none() {
                complete = false;
                wrong_end = Some(element.end());
            }
            elements.extend(address);
        }
        complete.then_some(elements)
    }

    fn socket_decl(&mut self, node: &Node<'_>) -> Option<SocketDecl> {
        let mut decl = SocketDecl {
            name: self.name_in(node)?,
            origin: self.origin(&child(node, Rule::origin)?)?,
            owner: None,
            members: None,
            spread_by_source: None,
            pinned: None,
            absent: None,
        };
        for part in node.inner() {
            self.socket_part(&part, &mut decl)?;
        }
        Some(decl)
    }

    /// What stands behind the origin of a socket, each part once.
    fn socket_part(&mut self, part: &Node<'_>, decl: &mut SocketDecl) -> Option<()> {
        match part.as_rule() {
            Rule::owner => {
                // The word `owner` is a piece of its own, ahead of what it says.
                let said = child(part, Rule::owner_uid);
                let said = said.or_else(|| child(part, Rule::owner_cgroup))?;
                let value = self.owner(&said)?;
                self.once("owner", &mut decl.owner, self.spanned(part, value))
            }
            Rule::socket_members => {
                let number = self.number_in(part)?.value;
                self.once("members", &mut decl.members, self.spanned(part, number))
            }
            Rule::socket_spread => self.word_once("spread", &mut decl.spread_by_source, part),
            Rule::socket_pinned => self.word_once("pinned", &mut decl.pinned, part),
            Rule::absent => {
                let verb = self.verb(&child(part, Rule::absent_verb)?)?;
                self.once("if absent", &mut decl.absent, verb)
            }
            _ => Some(()),
        }
    }

    /// The place of a part that says no more than that it is there.
    fn word_once(&mut self, what: &str, slot: &mut Option<Span>, node: &Node<'_>) -> Option<()> {
        let span = self.span(node);
        let mut earlier = slot.map(|span| Spanned { value: (), span });
        self.once(what, &mut earlier, Spanned { value: (), span })?;
        *slot = Some(span);
        Some(())
    }

    fn owner(&mut self, node: &Node<'_>) -> Option<SocketOwner> {
        if node.as_rule() == Rule::owner_cgroup {
            return self.string_in(node).map(SocketOwner::Cgroup);
        }
        if let Some(number) = child(node, Rule::number) {
            return self.number(&number).map(SocketOwner::Uid);
        }
        match child(node, Rule::name) {
            Some(name) => Some(SocketOwner::User(self.name(&name))),
            None => self.string_in(node).map(SocketOwner::User),
        }
    }

    fn origin(&mut self, node: &Node<'_>) -> Option<SocketOrigin> {
        let inner = first(node)?;
        Some(match inner.as_rule() {
            Rule::k_registered => SocketOrigin::Registered(self.span(&inner)),
            Rule::systemd => {
                let mut strings = children(&inner, Rule::string);
                SocketOrigin::Systemd {
                    unit: self.string(&strings.next()?)?,
                    name: match strings.next() {
                        Some(name) => Some(self.string(&name)?),
                        None => None,
                    },
                }
            }
            Rule::process => SocketOrigin::Process {
                pid_file: self.string_in(&inner)?,
                listen: self.listens(&child(&inner, Rule::listens)?)?,
            },
            Rule::listens => SocketOrigin::Listen(self.listens(&inner)?),
            _ => return None,
        })
    }

    fn listens(&mut self, node: &Node<'_>) -> Option<Vec<Spanned<Listen>>> {
        let mut listens = Vec::new();
        for listen in children(node, Rule::listen) {
            let at = child(&listen, Rule::listen_at)?;
            let value = Listen {
                protocol: self.name(&child(&listen, Rule::listen_protocol)?),
                address: self.host(&child(&at, Rule::host)?)?,
                port: self.number_in(&at)?,
            };
            listens.push(self.spanned(&listen, value));
        }
        Some(listens)
    }

    fn map_decl(&mut self, node: &Node<'_>) -> Option<MapDecl> {
        let (mut max, mut entries) = (None, None);
        for part in node.inner() {
            match part.as_rule() {
                Rule::map_max => {
                    let number = self.number_in(&part)?;
                    self.once("max", &mut max, self.spanned(&part, number))?;
                }
                Rule::map_is => {
                    let contents = self.map_entries(&part)?;
                    self.once("=", &mut entries, self.spanned(&part, contents))?;
                }
                _ => {}
            }
        }
        Some(MapDecl {
            live: self.live(node),
            name: self.name_in(node)?,
            max: max.map(|max| max.value),
            entries: entries.map(|entries| entries.value).unwrap_or_default(),
        })
    }

    pub(super) fn map_entries(&mut self, node: &Node<'_>) -> Option<Vec<Spanned<MapEntry>>> {
        let mut entries = Vec::new();
        for entry in children(node, Rule::map_entry) {
            let protocol = match child(&entry, Rule::protocol) {
                Some(protocol) => Some(self.protocol(&protocol)?),
                None => None,
            };
            let value = MapEntry {
                protocol,
                endpoint: self.endpoint(&child(&entry, Rule::endpoint)?)?,
                socket: self.name_in(&entry)?,
            };
            entries.push(self.spanned(&entry, value));
        }
        Some(entries)
    }

    fn expect_line(&mut self, node: &Node<'_>) -> Option<Expect> {
        let expected = child(node, Rule::expected)?;
        let inner = first(&expected)?;
        let verdict = match inner.as_rule() {
            Rule::expected_redirect => {
                let target = inner.inner().find_map(|part| self.target(&part));
                ExpectedVerdict::RedirectTo(target?)
            }
            Rule::expected_verb => ExpectedVerdict::Plain(self.verb(&inner)?.value),
            _ => return None,
        };
        Some(Expect {
            verdict: self.spanned(&expected, verdict),
            packet: self.packet(&child(node, Rule::packet)?)?,
        })
    }
}
