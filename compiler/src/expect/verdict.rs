//! Verdicts that a line expects, against those that packets get.

use crate::diagram::classify::{new_flow, new_fragment};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::event::Verdict;
use crate::expect::region::held;
use crate::policy::{Action, ExpectedVerdict, Feed, Policy, Rule, SocketId};

/// Whether a verdict is what a line expects.
pub(super) fn fulfils(expected: ExpectedVerdict, verdict: Verdict) -> bool {
    match (expected, verdict) {
        (ExpectedVerdict::Allow, Verdict::Allow)
        | (ExpectedVerdict::Drop, Verdict::Drop)
        | (ExpectedVerdict::Reject, Verdict::Reject)
        | (
            ExpectedVerdict::Redirect,
            Verdict::Redirect(_) | Verdict::Forward(_) | Verdict::Feed(_),
        )
        | (ExpectedVerdict::Shortcut, Verdict::Shortcut(_)) => true,
        (ExpectedVerdict::RedirectTo(wanted), Verdict::Redirect(socket)) => wanted == socket,
        (ExpectedVerdict::RedirectTo(wanted), Verdict::Feed(feed)) => wanted == feed.socket,
        (ExpectedVerdict::Feed(wanted), Verdict::Feed(feed)) => wanted == feed,
        _ => false,
    }
}

/// Those of the packets that a rule decides otherwise than a line expects.
pub(super) fn wrong(
    store: &mut Store,
    policy: &Policy,
    expected: ExpectedVerdict,
    rule: &Rule,
    packets: Node,
) -> Result<Node, BudgetExceeded> {
    let verdict = match rule.action {
        Action::Redirect(socket) => {
            return wrong_redirect(store, policy, expected, socket, packets);
        }
        Action::Intercept(socket) => {
            return wrong_intercept(store, policy, expected, socket, packets);
        }
        Action::Allow | Action::Count => Verdict::Allow,
        Action::Drop => Verdict::Drop,
        Action::Reject => Verdict::Reject,
        Action::Forward(port) => Verdict::Forward(port),
        Action::Shortcut(near) => Verdict::Shortcut(near.to),
        Action::Feed(feed) => return wrong_feed(store, policy, expected, feed, packets),
    };
    Ok(if fulfils(expected, verdict) {
        Node::FALSE
    } else {
        packets
    })
}

/// Those of the packets, all of which only lookups meet, that a rule decides otherwise than a line expects. A lookup cannot
/// drop in silence: an absent socket is always a reject.
pub(super) fn wrong_lookup(
    store: &mut Store,
    policy: &Policy,
    expected: ExpectedVerdict,
    rule: &Rule,
    packets: Node,
) -> Result<Node, BudgetExceeded> {
    let node = |right: bool| if right { Node::FALSE } else { Node::TRUE };
    let wrong = match rule.action {
        Action::Redirect(socket) => {
            let there = held(store, policy, socket)?;
            let [moved, lost] = [Verdict::Redirect(socket), Verdict::Reject]
                .map(|verdict| node(fulfils(expected, verdict)));
            store.ite(there, moved, lost)?
        }
        Action::Reject => node(fulfils(expected, Verdict::Reject)),
        _ => node(fulfils(expected, Verdict::Allow)),
    };
    store.and(packets, wrong)
}

/// Connections that exist, and later fragments, are not moved: a line may say what the rule says, or that they go on.
/// Others get the socket, or what an absent one gives.
fn wrong_redirect(
    store: &mut Store,
    policy: &Policy,
    expected: ExpectedVerdict,
    socket: SocketId,
    packets: Node,
) -> Result<Node, BudgetExceeded> {
    let absent = Verdict::of_absent(&policy.sockets[socket]);
    let [moved, lost, stays] = [Verdict::Redirect(socket), absent, Verdict::Allow]
        .map(|verdict| fulfils(expected, verdict));
    let node = |right: bool| if right { Node::FALSE } else { Node::TRUE };
    let there = held(store, policy, socket)?;
    let new = store.ite(there, node(moved), node(lost))?;
    let is_new = new_flow(store)?;
    let wrong = store.ite(is_new, new, node(stays || moved))?;
    store.and(packets, wrong)
}

/// The same of a redirect `at tc`: what is new and comes in parts is dropped, and a line may say that, or what the rule says.
fn wrong_intercept(
    store: &mut Store,
    policy: &Policy,
    expected: ExpectedVerdict,
    socket: SocketId,
    packets: Node,
) -> Result<Node, BudgetExceeded> {
    let wrong = wrong_redirect(store, policy, expected, socket, packets)?;
    let right = [Verdict::Redirect(socket), Verdict::Drop]
        .into_iter()
        .any(|verdict| fulfils(expected, verdict));
    let parts = new_fragment(store)?;
    let other = if right { Node::FALSE } else { packets };
    store.ite(parts, other, wrong)
}

/// Those of the writes for which a line expects something else than that they go into the queue, or what an absent socket gives.
fn wrong_feed(
    store: &mut Store,
    policy: &Policy,
    expected: ExpectedVerdict,
    feed: Feed,
    writes: Node,
) -> Result<Node, BudgetExceeded> {
    let absent = Verdict::of_absent(&policy.sockets[feed.socket]);
    let [moved, lost] = [Verdict::Feed(feed), absent].map(|verdict| {
        if fulfils(expected, verdict) {
            Node::FALSE
        } else {
            Node::TRUE
        }
    });
    let there = held(store, policy, feed.socket)?;
    let wrong = store.ite(there, moved, lost)?;
    store.and(writes, wrong)
}

/// A verdict in words.
pub(super) fn words(policy: &Policy, verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow => "`allow`".into(),
        Verdict::Drop => "`drop`".into(),
        Verdict::Reject => "`reject`".into(),
        Verdict::Redirect(socket) => {
            format!("`redirect to sock {}`", policy.sockets[socket].name)
        }
        Verdict::Forward(port) => {
            format!("`redirect to interface {}`", policy.out_interfaces[port])
        }
        Verdict::Shortcut(group) => {
            format!("`shortcut to group {}`", policy.groups[group].name)
        }
        Verdict::Feed(feed) => format!("`redirect to {}`", policy.feed_words(feed)),
    }
}

/// What a line expects, in words.
pub(super) fn expected(policy: &Policy, expected: ExpectedVerdict) -> String {
    match expected {
        ExpectedVerdict::Allow => "`allow`".into(),
        ExpectedVerdict::Drop => "`drop`".into(),
        ExpectedVerdict::Reject => "`reject`".into(),
        ExpectedVerdict::Redirect => "`redirect`".into(),
        ExpectedVerdict::RedirectTo(socket) => words(policy, Verdict::Redirect(socket)),
        ExpectedVerdict::Shortcut => "`shortcut`".into(),
        ExpectedVerdict::Feed(feed) => words(policy, Verdict::Feed(feed)),
    }
}
