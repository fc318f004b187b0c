//! The meaning of a list as a diagram, from its rules alone.

use super::{DEFAULT, NOBODY};
use crate::chain::sight::{seen_from, seen_on};
use crate::diagram::classify::{Scope, new_flow, new_fragment, rule_diagram};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::event::Verdict;
use crate::hook::Hook;
use crate::policy::{
    Action, ClassId, Direction, Feed, GroupId, OutInterfaceId, Policy, Queue, Rule, RuleId,
    SocketId,
};

/// What becomes of a packet or a write, where every named socket is there.
impl Verdict {
    /// What a deciding rule gives.
    #[must_use]
    pub(crate) fn of(action: Action) -> Self {
        match action {
            Action::Allow | Action::Count => Self::Allow,
            Action::Drop => Self::Drop,
            Action::Reject => Self::Reject,
            Action::Forward(port) => Self::Forward(port),
            Action::Redirect(socket) | Action::Intercept(socket) => Self::Redirect(socket),
            Action::Shortcut(near) => Self::Shortcut(near.to),
            Action::Feed(feed) => Self::Feed(feed),
        }
    }

    /// Its terminal in a diagram.
    #[must_use]
    pub(crate) fn terminal(self) -> u32 {
        match self {
            Self::Allow => 0,
            Self::Drop => 1,
            Self::Reject => 2,
            Self::Redirect(socket) => 3 + 5 * socket.as_u32(),
            Self::Shortcut(group) => 4 + 5 * group.as_u32(),
            Self::Forward(port) => 5 + 5 * port.as_u32(),
            Self::Feed(feed) => 6 + feed.queue as u32 + 5 * feed.socket.as_u32(),
        }
    }

    /// The verdict with this terminal.
    #[must_use]
    pub(crate) fn from_terminal(terminal: u32) -> Option<Self> {
        match terminal {
            super::BROKEN => None,
            0 => Some(Self::Allow),
            1 => Some(Self::Drop),
            2 => Some(Self::Reject),
            other => {
                let number = (other - 3) / 5;
                let feed = |queue| {
                    let socket = SocketId::from_u32(number);
                    Self::Feed(Feed { socket, queue })
                };
                Some(match (other - 3) % 5 {
                    0 => Self::Redirect(SocketId::from_u32(number)),
                    1 => Self::Shortcut(GroupId::from_u32(number)),
                    2 => Self::Forward(OutInterfaceId::from_u32(number)),
                    3 => feed(Queue::Input),
                    _ => feed(Queue::Output),
                })
            }
        }
    }

    /// A terminal in words.
    pub(super) fn text(terminal: u32) -> String {
        match Self::from_terminal(terminal) {
            None => "a contradiction".into(),
            Some(Self::Allow) => "allow".into(),
            Some(Self::Drop) => "drop".into(),
            Some(Self::Reject) => "reject".into(),
            Some(Self::Forward(port)) => format!("redirect to interface {port}"),
            Some(Self::Redirect(socket)) => format!("redirect to {socket}"),
            Some(Self::Shortcut(group)) => format!("shortcut to {group}"),
            Some(Self::Feed(feed)) => format!("redirect to {} {}", feed.queue.words(), feed.socket),
        }
    }
}

/// Whose packets or writes a list is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Of {
    /// For `send`: the group of the writing socket.
    pub group: Option<GroupId>,
    /// For packets: the class of the interface; `None` for every class.
    pub class: Option<ClassId>,
}

/// The verdict (as [`Verdict::terminal`]) of a direction's list for every packet, or for every write of a group.
///
/// Where no lookup is made, a redirect lets the packet go on as it would.
pub(crate) fn meaning(
    store: &mut Store,
    policy: &Policy,
    direction: Direction,
    of: Of,
) -> Result<Node, BudgetExceeded> {
    let default = policy
        .default_of(direction)
        .map_or(Verdict::Allow, |line| line.verdict.into())
        .terminal();
    let list = List {
        policy,
        direction,
        group: of.group,
        default,
        verdicts: true,
    };
    let whole = list.diagram(store, |_, rule| Some(Verdict::of(rule.action).terminal()))?;
    if of.group.is_some() {
        return Ok(whole);
    }
    let whole = match of.class {
        Some(class) => match Hook::of(direction).find(|hook| hook.is_packet()) {
            Some(hook) => seen_on(store, hook, class, whole)?,
            None => whole,
        },
        None => whole,
    };
    let unmoved = store.map_terminals(
        whole,
        &mut |terminal| match Verdict::from_terminal(terminal) {
            Some(Verdict::Redirect(_)) => Verdict::Allow.terminal(),
            _ => terminal,
        },
    )?;
    let new = new_flow(store)?;
    store.ite(new, whole, unmoved)
}

/// The outcome of a lookup for a packet that met no packet hook: drops, rejects and the default do not hold there.
pub(crate) fn lookup_meaning(store: &mut Store, policy: &Policy) -> Result<Node, BudgetExceeded> {
    let list = List {
        policy,
        direction: Direction::In,
        group: None,
        default: Verdict::Allow.terminal(),
        verdicts: true,
    };
    let whole = list.diagram(store, |_, rule| match rule.action {
        Action::Allow | Action::Redirect(_) => Some(Verdict::of(rule.action).terminal()),
        Action::Reject if rule.in_lookup() => Some(Verdict::Reject.terminal()),
        _ => None,
    })?;
    match Hook::of(Direction::In).find(|hook| hook.is_lookup()) {
        Some(hook) => seen_from(store, hook, None, whole),
        None => Ok(whole),
    }
}

/// The rule that counts an arriving packet as its decider. A redirect counts lookups.
pub(super) fn deciders(
    store: &mut Store,
    policy: &Policy,
    class: ClassId,
) -> Result<Node, BudgetExceeded> {
    let list = List {
        policy,
        direction: Direction::In,
        group: None,
        default: default_decider(policy),
        verdicts: false,
    };
    let whole = list.diagram(store, |id, _| Some(id))?;
    let whole = seen_on(store, Hook::ARRIVING[0], class, whole)?;
    let unmoved = store.map_terminals(whole, &mut |terminal| {
        let rule = policy.rules.get(RuleId::from_u32(terminal));
        match rule.map(|rule| rule.action) {
            Some(Action::Redirect(_)) => NOBODY,
            _ => terminal,
        }
    })?;
    let new = new_flow(store)?;
    store.ite(new, whole, unmoved)
}

/// Who counts an arriving packet that no rule decides: the `default` line, if there is one.
pub(super) fn default_decider(policy: &Policy) -> u32 {
    match policy.default_of(Direction::In) {
        Some(_) => DEFAULT,
        None => NOBODY,
    }
}

/// A list whose rules get terminals.
struct List<'a> {
    policy: &'a Policy,
    direction: Direction,
    group: Option<GroupId>,
    default: u32,
    /// Whether the terminals are verdicts.
    verdicts: bool,
}

/// What a redirect `at tc` gives: its socket to new flows, nothing to their fragments, and what is not new goes on.
fn intercepted(store: &mut Store, redirect: Node) -> Result<Node, BudgetExceeded> {
    let [allow, drop] = [Verdict::Allow, Verdict::Drop].map(Verdict::terminal);
    let (allow, drop) = (store.terminal(allow)?, store.terminal(drop)?);
    let (new, fragment) = (new_flow(store)?, new_fragment(store)?);
    let moved = store.ite(new, redirect, allow)?;
    store.ite(fragment, drop, moved)
}

impl List<'_> {
    /// The terminal of the first deciding rule that matches; a rule without one is left out.
    fn diagram(
        &self,
        store: &mut Store,
        terminal: impl Fn(u32, &Rule) -> Option<u32>,
    ) -> Result<Node, BudgetExceeded> {
        let scope = Scope { group: self.group };
        let mut layers = Vec::new();
        for (id, rule) in self.policy.rules_of(self.direction) {
            let Some(value) = terminal(id.as_u32(), rule).filter(|_| rule.action.decides()) else {
                continue;
            };
            if !self.group.is_none_or(|group| rule.action.is_for(group)) {
                continue;
            }
            let matched = rule_diagram(store, id, rule, scope)?;
            let value = store.terminal(value)?;
            let value = match rule.action {
                Action::Intercept(_) if self.verdicts => intercepted(store, value)?,
                _ => value,
            };
            layers.push(store.ite(matched, value, Node::NOMATCH)?);
        }
        layers.push(store.terminal(self.default)?);
        store.merge_all(&layers)
    }
}
