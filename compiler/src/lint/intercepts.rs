//! Redirects `at tc` that let something past their sockets, or that no connection gets through.
//!
//! Connections are judged by the two packets that open them: neither has to be proved to match, but that one never does.

use sockc_grammar::ast::SocketState;
use sockc_grammar::diagnostic::Diagnostic;

use super::{NEVER_OPENED, PAST_PROXY};
use crate::diagram::classify::{Scope, match_diagram, protocol};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::Field;
use crate::header_field::HeaderField;
use crate::policy::{
    Action, Condition, DefaultVerdict, Direction, Family, FieldTest, INTERCEPTED, Match, Policy,
    Rule,
};
use crate::protocol::IpProtocol;

/// Nodes for all of these questions.
const BUDGET: usize = 200_000;

/// Bits of the TCP flags.
const SYN: u64 = 0x02;
const RST: u64 = 0x04;
const ACK: u64 = 0x10;

/// Reports a default that lets unread packets past, and rules that not every packet of a handshake matches.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    let mut rules = policy.rules_of(Direction::In).map(|(_, rule)| rule);
    if rules.any(is_intercept) {
        found.extend(past(policy));
        // Over the budget nothing is said.
        found.extend(never_opened(policy).unwrap_or_default());
    }
}

fn is_intercept(rule: &Rule) -> bool {
    matches!(rule.action, Action::Intercept(_))
}

fn past(policy: &Policy) -> Option<Diagnostic> {
    let line = policy.default_of(Direction::In)?;
    (line.verdict == DefaultVerdict::Allow).then(|| {
        Diagnostic::warning(
            PAST_PROXY,
            "packets that cannot be read get past the proxy",
            line.place.span,
            "they match no rule, and this forwards what no rule matches",
        )
        .help("write `default in drop`, and as the last rule `rest: allow` for what may pass")
    })
}

/// A packet that opens a connection.
#[derive(Clone, Copy)]
enum Opening {
    /// The first one: SYN, which no connected socket is there for.
    First,
    /// The client's second one: ACK, which the unfinished handshake is there for.
    Second,
}

impl Opening {
    /// SYN, RST and ACK.
    fn flags(self) -> u64 {
        match self {
            Self::First => SYN,
            Self::Second => ACK,
        }
    }

    /// Whether its socket is such; `None` where that depends on others that listen.
    fn has(self, state: SocketState) -> Option<bool> {
        match (self, state) {
            (_, SocketState::Established) => Some(false),
            (Self::First, _) => None,
            (Self::Second, _) => Some(true),
        }
    }

    /// Whether a condition holds for it; `None` where that is not sure.
    fn meets(self, condition: &Condition) -> Option<bool> {
        match condition {
            Condition::No(inner) => self.meets(inner).map(|holds| !holds),
            Condition::AnyOf(all) => {
                let all: Vec<_> = all.iter().map(|one| self.meets(one)).collect();
                match all.contains(&Some(true)) {
                    true => Some(true),
                    false if all.contains(&None) => None,
                    false => Some(false),
                }
            }
            Condition::Socket { test, netns: None } => self.has(*test),
            Condition::Header {
                field: HeaderField::TcpFlags,
                test: FieldTest::Masked { wanted, mask },
            } => {
                let known = mask & (SYN | RST | ACK);
                match (self.flags() ^ wanted) & known {
                    0 if known == *mask => Some(true),
                    0 => None,
                    _ => Some(false),
                }
            }
            _ => None,
        }
    }

    /// Whether a rule never matches it, whatever its addresses are.
    fn is_missed_by(self, rule: &Rule) -> bool {
        let mut conditions = rule.matches.conditions.iter();
        conditions.any(|one| self.meets(one) == Some(false))
    }
}

fn never_opened(policy: &Policy) -> Result<Vec<Diagnostic>, BudgetExceeded> {
    let mut store = Store::with(BUDGET, &Field::of(policy));
    let mut found = Vec::new();
    for (_, rule) in policy.rules_of(Direction::In) {
        let Action::Intercept(socket) = rule.action else {
            continue;
        };
        let socket = &policy.sockets[socket];
        let both = [Family::V4, Family::V6];
        if !both
            .iter()
            .any(|family| socket.may_hold(*family, IpProtocol::TCP))
        {
            continue;
        }
        for opening in [Opening::First, Opening::Second] {
            if opening.is_missed_by(rule) && is_alone(policy, &mut store, (rule, opening))? {
                found.push(half(rule));
                break;
            }
        }
    }
    Ok(found)
}

/// Whether some connections that a rule is for are those of no other rule that may take such a packet of them.
fn is_alone(
    policy: &Policy,
    store: &mut Store,
    (rule, opening): (&Rule, Opening),
) -> Result<bool, BudgetExceeded> {
    let tcp = protocol(store, IpProtocol::TCP)?;
    let own = unconditioned(store, rule)?;
    let mut left = store.and(tcp, own)?;
    for (_, other) in policy.rules_of(Direction::In) {
        if other.mark == Some(INTERCEPTED) && !opening.is_missed_by(other) {
            let others = unconditioned(store, other)?;
            left = store.minus(left, others)?;
        }
    }
    Ok(left != Node::FALSE)
}

/// What a rule is for, without its conditions.
fn unconditioned(store: &mut Store, rule: &Rule) -> Result<Node, BudgetExceeded> {
    let matches = Match {
        conditions: Vec::new(),
        ..rule.matches.clone()
    };
    match_diagram(store, &matches, Scope::default())
}

fn half(rule: &Rule) -> Diagnostic {
    Diagnostic::warning(
        NEVER_OPENED,
        "no connection that this rule takes comes about",
        rule.place.span,
        "not every packet that opens a connection meets its conditions, and the rest of them does not come here",
    )
    .help("leave out its conditions on flags and sockets: what exists stays with its socket by itself")
}
