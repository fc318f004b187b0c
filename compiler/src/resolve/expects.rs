//! `expect` lines: what verdict is expected, and of which packets.
//!
//! Takes the lines; gives regions, in which what is not said is free. Not here: whether a line holds.

use sockc_grammar::ast::{
    Address, Condition as Written, Endpoint, Expect as WrittenExpect,
    ExpectedVerdict as WrittenVerdict, MapEntry, Name, On, Packet, Side as WrittenSide,
    SocketState, Statement, Target, Verb, With,
};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::addresses::Gathered;
use super::conditions::Names;
use super::maps::{Meaning, Scope};
use super::sides::{End, side};
use super::{Resolver, codes};
use crate::direction;
use crate::field::FieldKind;
use crate::glob;
use crate::hook::Hook;
use crate::policy::{
    AddressSet, ClassId, Direction, Expect, ExpectedVerdict, Feed, GroupId, LiveEntry, LiveMapId,
    Match, Queue, Region, SetId, Side,
};

/// What stands after `with`, sorted.
#[derive(Default)]
struct Sorted<'a> {
    /// What is said of the packet in the words of conditions.
    conditions: Vec<Spanned<Written>>,
    members: Vec<(&'a Name, &'a [Spanned<Address>])>,
    contents: Vec<(&'a Name, &'a [Spanned<MapEntry>])>,
    rates: Vec<Spanned<bool>>,
    malformed: Option<Span>,
    own: Option<Span>,
    group: Option<&'a Name>,
}

impl<'a> Sorted<'a> {
    fn of(with: &'a [Spanned<With>]) -> Self {
        let mut sorted = Self::default();
        for (index, item) in with.iter().enumerate() {
            sorted.take(item, netns_of(with, index));
        }
        sorted
    }

    fn take(&mut self, item: &'a Spanned<With>, netns: Option<&Spanned<String>>) {
        let condition = match &item.value {
            With::Members { set, elements } => return self.members.push((set, elements)),
            With::Contents { map, entries } => return self.contents.push((map, entries)),
            With::RateExceeded(exceeded) => {
                return self.rates.push(Spanned {
                    value: *exceeded,
                    span: item.span,
                });
            }
            With::Own => return self.own = Some(item.span),
            With::Malformed => return self.malformed = Some(item.span),
            With::Group(name) => return self.group = Some(name),
            // Said of the socket that stands next to it.
            With::Netns(_) => return,
            With::Socket(Some(state)) => socket(*state, netns),
            With::Socket(None) => Written::No(Box::new(Spanned {
                value: socket(SocketState::Exists, netns),
                span: item.span,
            })),
            With::Header(field, test) => Written::Header(*field, test.clone()),
            With::SockAbsent(name) => Written::SockAbsent(name.clone()),
        };
        self.conditions.push(Spanned {
            value: condition,
            span: item.span,
        });
    }
}

/// The namespace that an item is said of: the one right after it, else one that no socket stands before.
fn netns_of(with: &[Spanned<With>], index: usize) -> Option<&Spanned<String>> {
    let name = |at: usize| match with.get(at).map(|item| &item.value) {
        Some(With::Netns(name)) => Some(name),
        _ => None,
    };
    let socket = |at: Option<usize>| at.is_some_and(|at| matches!(with[at].value, With::Socket(_)));
    let loose = (0..with.len()).find(|&at| name(at).is_some() && !socket(at.checked_sub(1)));
    name(index + 1).or_else(|| name(loose?))
}

fn socket(state: SocketState, netns: Option<&Spanned<String>>) -> Written {
    Written::Socket {
        state,
        netns: netns.cloned(),
    }
}

impl Resolver<'_> {
    /// The `expect` lines, in order.
    pub(super) fn expectations(&mut self, statements: &[&Spanned<Statement>]) {
        for statement in statements {
            if let Statement::Expect(expect) = &statement.value {
                let found = self.expectation(expect, statement.span);
                self.policy.expects.extend(found);
            }
        }
    }

    fn expectation(&mut self, written: &WrittenExpect, span: Span) -> Option<Expect> {
        let verdict = self.expected(&written.verdict);
        let region = self.region(&written.packet, span);
        Some(Expect {
            verdict: verdict?,
            region: region?,
            place: self.places.place(span),
        })
    }

    fn expected(&mut self, written: &Spanned<WrittenVerdict>) -> Option<ExpectedVerdict> {
        let verb = match &written.value {
            WrittenVerdict::RedirectTo(target) => return self.expected_socket(target),
            WrittenVerdict::Plain(verb) => *verb,
        };
        match verb {
            Verb::Allow => Some(ExpectedVerdict::Allow),
            Verb::Drop => Some(ExpectedVerdict::Drop),
            Verb::Reject => Some(ExpectedVerdict::Reject),
            Verb::Redirect => Some(ExpectedVerdict::Redirect),
            Verb::Shortcut => Some(ExpectedVerdict::Shortcut),
            Verb::Splice => {
                self.report.error(
                    codes::VERB_MISPLACED,
                    "`splice` cannot be expected",
                    written.span,
                    "which connections are spliced is for the proxy that hands them over, not for addresses",
                    "leave the line out",
                );
                None
            }
            Verb::Count => {
                self.report.error(
                    codes::VERB_MISPLACED,
                    format!("`{}` is no verdict", verb.word()),
                    written.span,
                    "it does not decide what becomes of a packet",
                    "write `allow`, `drop`, `reject` or `redirect`",
                );
                None
            }
        }
    }

    /// A redirect to a socket, or into a queue of one.
    fn expected_socket(&mut self, target: &Target) -> Option<ExpectedVerdict> {
        let (name, queue) = match target {
            Target::Sock(name) => (name, None),
            Target::InputOf(name) => (name, Some(Queue::Input)),
            Target::OutputOf(name) => (name, Some(Queue::Output)),
            _ => return None,
        };
        let report = &mut self.report;
        let socket = (*self.sockets.look_up(&name.value, name.span, report)?)?;
        Some(match queue {
            None => ExpectedVerdict::RedirectTo(socket),
            Some(queue) => ExpectedVerdict::Feed(Feed { socket, queue }),
        })
    }

    fn region(&mut self, packet: &Packet, span: Span) -> Option<Region> {
        let direction = match &packet.direction {
            None => Direction::In,
            Some(written) => Direction::of(written.value),
        };
        if direction.of_processes() {
            let span = packet.direction.as_ref().map_or(span, |word| word.span);
            self.outside_of_namespaces("an expectation of what processes do", span)?;
        }
        let with = Sorted::of(&packet.with);
        let protocols = self.protocols(&packet.protocols, direction);
        let from = self.packet_side(packet.from.as_ref(), End::From, direction);
        let to = self.packet_side(packet.to.as_ref(), End::To, direction);
        let on = self.packet_on(packet.on.as_ref(), direction);
        let leaves = self.packet_leaves(packet.leaves.as_ref(), direction);
        let group = self.packet_group(with.group, direction);
        let members = self.members(&with.members);
        let own = self.own_end(with.own, direction);
        let contents = self.contents(&with);
        let rate_exceeded = self.rate(&with.rates);
        let mut names = Names {
            sockets: &self.sockets,
            steered: None,
            namespaces: &mut self.policy.namespaces,
        };
        let conditions = names.conditions(&with.conditions, &mut self.report);
        self.netns_without_socket(&packet.with)?;
        self.only_malformed(packet, &with)?;
        let malformed = with.malformed.is_some();
        let (on, leaves) = (on?, leaves?);
        self.passes_through(packet, [&on, &leaves])?;
        let free = |side: Option<Side>| side.filter(|_| !malformed);
        Some(Region {
            direction,
            matches: Match {
                protocols: protocols?,
                from: free(from?),
                to: free(to?),
                conditions: conditions?,
                on,
                leaves,
            },
            members: members?,
            own: own?,
            contents: contents?,
            outside: self.outside(match direction.passes() {
                true => packet.leaves.as_ref(),
                false => packet.on.as_ref(),
            }),
            rate_exceeded: rate_exceeded?,
            group: group?,
            malformed,
        })
    }

    #[allow(clippy::option_option, reason = "free is not the same as wrong")]
    fn packet_side(
        &mut self,
        written: Option<&Spanned<WrittenSide>>,
        end: End,
        direction: Direction,
    ) -> Option<Option<Side>> {
        let Some(written) = written else {
            return Some(None);
        };
        let (sets, groups) = (&self.sets, &self.groups);
        let report = &mut self.report;
        side(&written.value, end, direction, sets, groups, report).map(Some)
    }

    #[allow(clippy::option_option, reason = "free is not the same as wrong")]
    fn packet_on(
        &mut self,
        on: Option<&Spanned<On>>,
        direction: Direction,
    ) -> Option<Option<Vec<ClassId>>> {
        let Some(on) = on else {
            return Some(None);
        };
        if direction.of_processes() {
            self.report.error(
                codes::ON_SEND,
                Hook::without(direction, FieldKind::Interface),
                on.span,
                "named here",
                "leave it out, or expect something of packets that leave with `out`",
            );
            return None;
        }
        self.named(&on.value).map(Some)
    }

    /// The classes of the interfaces by which the packets of a line leave that pass through.
    #[allow(clippy::option_option, reason = "free is not the same as wrong")]
    fn packet_leaves(
        &mut self,
        leaves: Option<&Spanned<On>>,
        direction: Direction,
    ) -> Option<Option<Vec<ClassId>>> {
        let Some(leaves) = leaves else {
            return Some(None);
        };
        if !direction.passes() {
            self.report.error(
                codes::LEAVES_NOWHERE,
                "only a packet that passes through has an interface by which it leaves beside that by which it came in",
                leaves.span,
                "where it leaves",
                "write `forward` after the verdict, or leave it out",
            );
            return None;
        }
        self.named(&leaves.value).map(Some)
    }

    /// What goes back out of the interface by which it came does not pass through, so a line of `forward` cannot speak of it.
    fn passes_through(
        &mut self,
        packet: &Packet,
        [on, leaves]: [&Option<Vec<ClassId>>; 2],
    ) -> Option<()> {
        let (Some(came_in), Some(leaving)) = (&packet.on, &packet.leaves) else {
            return Some(());
        };
        let alike = match (&came_in.value, &leaving.value) {
            (On::Interface(one), On::Interface(other)) if !glob::is_pattern(&one.value) => {
                one.value == other.value
            }
            _ => false,
        };
        let pairs = Match {
            on: on.clone(),
            leaves: leaves.clone(),
            ..Match::default()
        };
        if !alike && pairs.leads_through(&self.policy) {
            return Some(());
        }
        self.report.push(
            Diagnostic::error(
                codes::EXPECTATION,
                "what goes back out of the interface by which it came does not pass through",
                leaving.span,
                "the same interface",
            )
            .also(came_in.span, "by which it came in")
            .help("such packets meet `in` and `out`: expect something of them there"),
        );
        None
    }

    fn named(&mut self, on: &On) -> Option<Vec<ClassId>> {
        match on {
            On::Zone(name) => self.interfaces.zone(name, &mut self.report),
            On::Interface(pattern) => self.interfaces.pattern(pattern),
        }
    }

    /// The interface of its packets that a line names where the policy would decide them, if it is not on that. No rule may tell it from one that it is on.
    fn outside(&self, on: Option<&Spanned<On>>) -> Option<String> {
        let On::Interface(name) = &on?.value else {
            return None;
        };
        let mut patterns = self.policy.interfaces.iter();
        let elsewhere = !self.policy.interfaces.is_empty()
            && !glob::is_pattern(&name.value)
            && !patterns.any(|pattern| glob::matches(pattern, &name.value));
        elsewhere.then(|| name.value.clone())
    }

    #[allow(clippy::option_option, reason = "free is not the same as wrong")]
    fn packet_group(
        &mut self,
        name: Option<&Name>,
        direction: Direction,
    ) -> Option<Option<GroupId>> {
        let Some(name) = name else {
            return Some(None);
        };
        if !direction.of_processes() {
            self.report.error(
                codes::GROUP_MISPLACED,
                "a packet does not say whose socket it belongs to",
                name.span,
                "only what a process writes has a group",
                format!(
                    "write {} after the verdict, or leave the group out",
                    Direction::words_of_processes("or")
                ),
            );
            return None;
        }
        let report = &mut self.report;
        let group = self.groups.look_up(&name.value, name.span, report)?;
        group.map(Some)
    }

    /// `self`, where the address at the machine's end is said to be its own.
    #[allow(clippy::option_option, reason = "free is not the same as wrong")]
    fn own_end(&mut self, said: Option<Span>, direction: Direction) -> Option<Option<SetId>> {
        let Some(span) = said else {
            return Some(None);
        };
        if direction.own_end().is_none() {
            self.report.error(
                codes::EXPECTATION,
                direction::NO_OWN_END,
                span,
                "said of neither end",
                direction::NO_OWN_END_HELP,
            );
            return None;
        }
        self.sets.own().map(Some)
    }

    fn members(
        &mut self,
        written: &[(&Name, &[Spanned<Address>])],
    ) -> Option<Vec<(SetId, AddressSet)>> {
        let mut found = Vec::with_capacity(written.len());
        for (name, elements) in written {
            // An empty list may be that of a live map, too.
            if elements.is_empty() && self.maps.is_map(&name.value) {
                continue;
            }
            let set = self.sets.live(name, &mut self.report);
            let mut gathered = Gathered::default();
            let mut sound = true;
            for element in *elements {
                let added = gathered.add(element, &self.sets, &mut self.report);
                sound &= added.is_some();
            }
            found.push(set.filter(|_| sound).map(|set| (set, gathered.finish())));
        }
        found.into_iter().collect()
    }

    /// What live maps hold: entries, the most specific first, or nothing.
    fn contents(&mut self, with: &Sorted<'_>) -> Option<Vec<(LiveMapId, Vec<LiveEntry>)>> {
        let empty = with
            .members
            .iter()
            .filter(|(name, elements)| elements.is_empty() && self.maps.is_map(&name.value));
        let written: Vec<(&Name, &[Spanned<MapEntry>])> = empty
            .map(|(name, _)| (*name, &[][..]))
            .chain(with.contents.iter().copied())
            .collect();
        let found: Vec<_> = written
            .into_iter()
            .map(|(name, entries)| self.contents_of(name, entries))
            .collect();
        found.into_iter().collect()
    }

    fn contents_of(
        &mut self,
        name: &Name,
        entries: &[Spanned<MapEntry>],
    ) -> Option<(LiveMapId, Vec<LiveEntry>)> {
        let scope = Scope {
            sets: &self.sets,
            names: &self.sockets,
            sockets: &self.policy.sockets,
        };
        if !self.maps.is_map(&name.value) {
            // What is written is no list of a set: whatever the name stands for is said.
            self.sets.is_map(name, &mut self.report)?;
            return None;
        }
        let held = self.maps.contents(entries, &scope, &mut self.report);
        match self.maps.get(&name.value)? {
            Meaning::Live { id, .. } => Some(((*id)?, held?)),
            Meaning::Constant(_) => {
                self.report.error(
                    codes::NOT_A_SET,
                    format!("`@{}` is not a live map", name.value),
                    name.span,
                    "what is in it never changes",
                    "leave it out, or name a live map",
                );
                None
            }
        }
    }

    /// Whether rates are exceeded; one line says one thing of them.
    #[allow(clippy::option_option, reason = "free is not the same as wrong")]
    fn rate(&mut self, written: &[Spanned<bool>]) -> Option<Option<bool>> {
        let Some((first, others)) = written.split_first() else {
            return Some(None);
        };
        let Some(other) = others.iter().find(|other| other.value != first.value) else {
            return Some(Some(first.value));
        };
        self.report.push(
            Diagnostic::error(
                codes::EXPECTATION,
                "a rate is exceeded or it is not",
                other.span,
                "said here",
            )
            .also(first.span, "and the contrary here")
            .help("leave one of the two out"),
        );
        None
    }

    fn netns_without_socket(&mut self, with: &[Spanned<With>]) -> Option<()> {
        let socket = with
            .iter()
            .any(|item| matches!(item.value, With::Socket(_)));
        let netns = with
            .iter()
            .find(|item| matches!(item.value, With::Netns(_)));
        let Some(netns) = netns.filter(|_| !socket) else {
            return Some(());
        };
        self.report.error(
            codes::EXPECTATION,
            "a network namespace without a socket that is looked for in it",
            netns.span,
            "says where a socket is, but not which",
            "write `socket listening in netns \"…\"`, `socket established in netns \"…\"` or `no socket in netns \"…\"`",
        );
        None
    }

    /// Nothing can be read of a malformed packet, so nothing is said of it but its direction and its interface.
    fn only_malformed(&mut self, packet: &Packet, with: &Sorted<'_>) -> Option<()> {
        let Some(malformed) = with.malformed else {
            return Some(());
        };
        let free =
            |side: Option<&Spanned<WrittenSide>>| side.is_none_or(|side| is_any(&side.value));
        let alone = packet.with.len() == 1
            && packet.protocols.is_empty()
            && free(packet.from.as_ref())
            && free(packet.to.as_ref());
        if alone {
            return Some(());
        }
        self.report.push(
            Diagnostic::error(
                codes::EXPECTATION,
                "nothing can be read of a malformed packet",
                malformed,
                "so it has no protocol, address or anything else that the line speaks of",
            )
            .help("write `from any to any with malformed`, with `on` if it matters"),
        );
        None
    }
}

/// Whether a side says nothing: `any`.
fn is_any(side: &WrittenSide) -> bool {
    let WrittenSide::Endpoints {
        not: None,
        endpoints,
    } = side
    else {
        return false;
    };
    let any = |endpoint: &Endpoint| {
        let address = endpoint.address.as_ref().map(|address| &address.value);
        address == Some(&Address::Any) && endpoint.ports.is_none()
    };
    endpoints.iter().all(|endpoint| any(&endpoint.value))
}
