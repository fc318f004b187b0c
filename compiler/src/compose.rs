//! The composition check: the chains together mean what the list means.
//!
//! Takes a policy and its chains; says whether, for every packet and every answer of the socket lookup, XDP, then TC,
//! then the lookup give the verdict of the list, and the rule that decides counts once. The list's side is built from
//! the rules alone. Runs at every compile; a [`Fault`] is a bug in sockc, never a mistake in a policy. Not here: the
//! bytecode, which is checked against the chains elsewhere.

mod first_match;
mod meaning;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::chain::roots::ChainRoots;
use crate::chain::sight::seen_from;
use crate::chain::{Chain, Effect};
use crate::diagram::classify::new_flow;
use crate::diagram::values::header_of;
use crate::diagram::{BudgetExceeded, NOMATCH, Node, Store};
use crate::event::Verdict;
use crate::event::{Header, SocketAnswer};
use crate::field::Field;
use crate::hook::{Ability, Hook};
use crate::policy::{ClassId, Direction, Policy, RuleId};

pub(crate) use meaning::{Of, lookup_meaning, meaning};

/// Why the chains cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They say something else than the list, for instance of this packet.
    Differs(Box<Difference>),
    /// A chain depends on a field that its hook cannot read.
    Unreadable(Hook, Field),
    /// Two hooks ask for the tokens of this rule's rate.
    MeteredTwice(RuleId),
    /// The check grew past the budget, so nothing is known.
    TooLarge(BudgetExceeded),
}

/// A packet of which chains and list say different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What was compared.
    pub of: &'static str,
    /// The packet (for `send`, the connection).
    pub header: Header,
    /// What the lookup finds for it.
    pub socket: SocketAnswer,
    /// What the list says.
    pub list: String,
    /// What the chains say.
    pub chains: String,
}

impl From<BudgetExceeded> for Fault {
    fn from(exceeded: BudgetExceeded) -> Self {
        Self::TooLarge(exceeded)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs(found) => write!(
                f,
                "{}: the list says {}, the programs say {}, of {:?} with socket {:?}",
                found.of, found.list, found.chains, found.header, found.socket
            ),
            Self::Unreadable(hook, field) => {
                write!(f, "{} was given a test of {}", hook.name(), field.name())
            }
            Self::MeteredTwice(rule) => write!(f, "two hooks take the tokens of {rule}"),
            Self::TooLarge(exceeded) => exceeded.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}

/// Checks the chains of a policy against its lists.
pub(crate) fn check(policy: &Policy, chains: &[Chain], store: &mut Store) -> Result<(), Fault> {
    let mut check = Check {
        policy,
        chains,
        store,
    };
    for class in policy.classes.keys() {
        check.arriving_verdicts(class)?;
        check.arriving_deciders(class)?;
        for hook in [Hook::PASSING, Hook::LEAVING] {
            check.singly(hook.direction(), on(class), hook.direction().spec().title)?;
        }
    }
    check.lookups()?;
    for group in policy.groups.keys() {
        let written = Of {
            group: Some(group),
            ..Of::default()
        };
        for direction in Direction::all_of_processes() {
            check.singly(direction, written, direction.spec().list)?;
        }
    }
    Ok(())
}

/// The terminal of chains that contradict each other.
const BROKEN: u32 = NOMATCH;

/// The terminal where no rule counts, as decider.
const NOBODY: u32 = NOMATCH - 1;

/// The terminal where the default counts, as decider.
const DEFAULT: u32 = NOMATCH - 2;

struct Check<'a> {
    policy: &'a Policy,
    chains: &'a [Chain],
    store: &'a mut Store,
}

impl Check<'_> {
    /// The decision of a hook's chain with its terminals named anew; `None` if there is no such chain.
    fn chain(
        &mut self,
        hook: Hook,
        of: Of,
        name: impl Fn(&Policy, &Chain, u32) -> u32,
    ) -> Result<Option<Node>, Fault> {
        let class = of.class.filter(|_| hook.is_packet());
        let wanted =
            |chain: &&Chain| chain.hook == hook && chain.group == of.group && chain.class == class;
        let Some(chain) = self.chains.iter().find(wanted) else {
            return Ok(None);
        };
        let roots = ChainRoots::build(self.store, self.policy, chain)?;
        let tested = self.store.fields(roots.decision);
        for field in tested.iter() {
            if matches!(hook.reads(field), Ability::No(_)) {
                return Err(Fault::Unreadable(hook, field));
            }
        }
        let policy = self.policy;
        let renamed = self
            .store
            .map_terminals(roots.decision, &mut |index| name(policy, chain, index))?;
        // A lookup is told the interface; what is compared may be about one class.
        let Some(class) = of.class else {
            return Ok(Some(renamed));
        };
        let known = self
            .store
            .restrict(renamed, hook.spec().holds_on, class.as_u32())?;
        if hook.is_lookup() {
            return Ok(Some(first_match::after_packet_hooks(
                self.store, policy, known,
            )?));
        }
        Ok(Some(known))
    }

    /// The same, with every packet going on where there is no such chain.
    fn outcome(&mut self, hook: Hook, of: Of) -> Result<Node, Fault> {
        match self.chain(hook, of, outcome_of)? {
            Some(node) => Ok(node),
            None => Ok(self.store.terminal(Verdict::Allow.terminal())?),
        }
    }

    fn arriving_verdicts(&mut self, class: ClassId) -> Result<(), Fault> {
        let of = on(class);
        let allow = self.store.terminal(Verdict::Allow.terminal())?;
        let mut packet = allow;
        for hook in Hook::of(Direction::In).filter(|hook| hook.is_packet()) {
            let then = self.outcome(hook, of)?;
            self.metered_once(packet, then)?;
            packet = self.store.apply2(packet, then, &mut then_packet_hook)?;
        }
        let found = self.looked_up(of)?;
        let new = new_flow(self.store)?;
        let found = self.store.ite(new, found, allow)?;
        let policy = self.policy;
        let composed = self.store.apply2(packet, found, &mut |packet, found| {
            then_lookup(policy, packet, found)
        })?;
        let list = meaning(self.store, policy, Direction::In, of)?;
        self.same("verdicts of arriving packets", list, composed, |terminal| {
            Verdict::text(terminal)
        })
    }

    /// A rate that two hooks ask about one packet would take its tokens twice.
    fn metered_once(&self, first: Node, then: Node) -> Result<(), Fault> {
        let (first, then) = (self.store.fields(first), self.store.fields(then));
        let twice = first.iter().find_map(|field| match field {
            Field::Conforms(rule) if then.contains(field) => Some(rule),
            _ => None,
        });
        twice.map_or(Ok(()), |rule| Err(Fault::MeteredTwice(rule)))
    }

    fn arriving_deciders(&mut self, class: ClassId) -> Result<(), Fault> {
        let of = on(class);
        let nobody = self.store.terminal(NOBODY)?;
        let mut composed = nobody;
        if let Some(lookup) = Hook::of(Direction::In).find(|hook| hook.is_lookup())
            && let Some(found) = self.chain(lookup, of, counter_of)?
        {
            let new = new_flow(self.store)?;
            composed = self.store.ite(new, found, nobody)?;
        }
        for hook in Hook::of(Direction::In)
            .rev()
            .filter(|hook| hook.is_packet())
        {
            let Some(counter) = self.chain(hook, of, counter_of)? else {
                continue;
            };
            // What a hook takes gets no further, so nobody after it counts it.
            let outcome = self.outcome(hook, of)?;
            let after = self
                .store
                .apply2(outcome, composed, &mut |outcome, after| {
                    if goes_on(outcome) { after } else { NOBODY }
                })?;
            composed =
                self.store
                    .apply2(counter, after, &mut |first, then| match (first, then) {
                        (NOBODY, one) | (one, NOBODY) => one,
                        _ => BROKEN,
                    })?;
        }
        let list = meaning::deciders(self.store, self.policy, class)?;
        self.same(
            "rule that counts arriving packets",
            list,
            composed,
            decider_text,
        )
    }

    /// What holds for lookups of packets that met no packet hook.
    fn lookups(&mut self) -> Result<(), Fault> {
        let found = self.looked_up(Of::default())?;
        let list = lookup_meaning(self.store, self.policy)?;
        self.same("socket lookups", list, found, Verdict::text)
    }

    /// What the lookups say of packets that got so far.
    fn looked_up(&mut self, of: Of) -> Result<Node, Fault> {
        match Hook::of(Direction::In).find(|hook| hook.is_lookup()) {
            Some(hook) => self.outcome(hook, of),
            None => Ok(self.store.terminal(Verdict::Allow.terminal())?),
        }
    }

    /// A direction of whose hooks each event meets one.
    fn singly(&mut self, direction: Direction, of: Of, what: &'static str) -> Result<(), Fault> {
        for hook in Hook::of(direction) {
            let found = self.outcome(hook, of)?;
            let list = meaning(self.store, self.policy, direction, of)?;
            let list = seen_from(self.store, hook, of.class, list)?;
            self.same(what, list, found, Verdict::text)?;
        }
        Ok(())
    }

    fn same(
        &mut self,
        of: &'static str,
        list: Node,
        chains: Node,
        text: impl Fn(u32) -> String,
    ) -> Result<(), Fault> {
        if list == chains {
            return Ok(());
        }
        let differs = self
            .store
            .apply2(list, chains, &mut |a, b| u32::from(a != b))?;
        let values = self.store.satisfy(differs, 1).unwrap_or_default();
        let (header, socket) = header_of(&values);
        Err(Fault::Differs(Box::new(Difference {
            of,
            header,
            socket,
            list: text(self.store.evaluate(list, &values)),
            chains: text(self.store.evaluate(chains, &values)),
        })))
    }
}

/// What an entry of a chain (or its default) makes of a packet; a watch for an absent socket is named as its redirect.
fn outcome_of(policy: &Policy, chain: &Chain, index: u32) -> u32 {
    let Some(entry) = chain.entries.get(index as usize) else {
        return Verdict::from(chain.default.verdict).terminal();
    };
    let action = policy.rules[entry.rule].action;
    match entry.effect {
        Effect::Allow | Effect::Pass | Effect::Count => Verdict::Allow.terminal(),
        Effect::Drop => Verdict::Drop.terminal(),
        Effect::Reject => Verdict::Reject.terminal(),
        Effect::RedirectPass
        | Effect::Redirect
        | Effect::Forward
        | Effect::Shortcut
        | Effect::Feed => Verdict::of(action).terminal(),
        Effect::Intercept => Verdict::of(action).terminal() | TAKEN,
    }
}

/// Of a terminal of a packet hook: the packet has its socket, and no lookup is made for it. Numbers of verdicts are smaller, and
/// those of contradictions larger.
const TAKEN: u32 = 1 << 30;

/// The verdict by which a packet hook gave the packet its socket.
fn taken(outcome: u32) -> Option<u32> {
    (outcome & TAKEN != 0 && outcome < 2 * TAKEN).then(|| outcome - TAKEN)
}

/// The rule (or default) that counts a packet at this hook, if it decides there.
fn counter_of(policy: &Policy, chain: &Chain, index: u32) -> u32 {
    match chain.entries.get(index as usize) {
        Some(entry) if entry.counts => entry.rule.as_u32(),
        None if chain.default.counts => meaning::default_decider(policy),
        _ => NOBODY,
    }
}

/// Packets on an interface of a class.
fn on(class: ClassId) -> Of {
    Of {
        class: Some(class),
        ..Of::default()
    }
}

/// Whether what a packet hook said lets the packet get to the next one; a watch for an absent socket does.
fn goes_on(outcome: u32) -> bool {
    taken(outcome).is_none()
        && !matches!(
            Verdict::from_terminal(outcome),
            Some(Verdict::Drop | Verdict::Reject | Verdict::Forward(_))
        )
}

/// What two packet hooks in a row say: each may be the end.
fn then_packet_hook(first: u32, then: u32) -> u32 {
    let allow = Verdict::Allow.terminal();
    match (first, then) {
        (first, _) if !goes_on(first) => first,
        (first, then) if first == allow || !goes_on(then) || first == then => then,
        (watch, then) if then == allow => watch,
        _ => BROKEN,
    }
}

/// What the packet hooks and then the lookup say. An absent socket that is to drop must have been watched for.
fn then_lookup(policy: &Policy, packet: u32, found: u32) -> u32 {
    if !goes_on(packet) {
        return taken(packet).unwrap_or(packet);
    }
    let watched = packet != Verdict::Allow.terminal();
    let to_watch = match Verdict::from_terminal(found) {
        Some(Verdict::Redirect(socket)) => policy.sockets[socket].drop_if_absent,
        _ => false,
    };
    if watched != to_watch || watched && packet != found {
        return BROKEN;
    }
    found
}

fn decider_text(terminal: u32) -> String {
    match terminal {
        BROKEN => "a contradiction".into(),
        NOBODY => "nobody".into(),
        DEFAULT => "the default".into(),
        rule => RuleId::from_u32(rule).to_string(),
    }
}
