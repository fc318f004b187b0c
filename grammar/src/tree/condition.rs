//! Conditions: what follows `if`.

use super::{Builder, Node, Rule, child, children, first};
use crate::ast::{Comparison, Condition, Dscp, SocketState, TcpFlag};
use crate::source::Spanned;

/// The flags that must be set, and those that must be clear.
type Flags = (Vec<Spanned<TcpFlag>>, Vec<Spanned<TcpFlag>>);

impl Builder {
    /// The conditions that are children of `node`.
    pub(super) fn conditions(&mut self, node: &Node<'_>) -> Option<Vec<Spanned<Condition>>> {
        let mut conditions = Vec::new();
        for condition in children(node, Rule::condition) {
            conditions.push(self.condition(&condition)?);
        }
        Some(conditions)
    }

    /// One condition. It recurses as deep as conditions nest, which `outline.rs` bounds before anything is parsed.
    fn condition(&mut self, node: &Node<'_>) -> Option<Spanned<Condition>> {
        let inner = first(node)?;
        let value = match inner.as_rule() {
            Rule::negation => self.negation(&inner)?,
            Rule::any_of => Condition::AnyOf(self.conditions(&inner)?),
            Rule::socket_is => self.socket_is(&inner)?,
            Rule::tcp_flags => {
                let (set, clear) = self.tcp_flags(&inner);
                Condition::TcpFlags { set, clear }
            }
            Rule::k_fragment => Condition::Fragment,
            Rule::length_is => Condition::Length(comparison(&inner), self.number_in(&inner)?),
            Rule::ttl_is => Condition::Ttl(comparison(&inner), self.number_in(&inner)?),
            Rule::dscp_is => Condition::Dscp(self.dscp(&inner)?),
            Rule::mark_is => self.mark_is(&inner)?,
            Rule::vlan_is => Condition::Vlan(self.number_in(&inner)?),
            _ => Condition::SockAbsent(self.name_in(&inner)?),
        };
        Some(self.spanned(node, value))
    }

    fn negation(&mut self, node: &Node<'_>) -> Option<Condition> {
        let inner = match child(node, Rule::bare_socket) {
            Some(bare) => {
                let netns = self.in_netns(&bare)?;
                let state = SocketState::Exists;
                self.spanned(&bare, Condition::Socket { state, netns })
            }
            None => self.condition(&child(node, Rule::condition)?)?,
        };
        Some(Condition::No(Box::new(inner)))
    }

    fn socket_is(&mut self, node: &Node<'_>) -> Option<Condition> {
        Some(Condition::Socket {
            state: socket_state(node),
            netns: self.in_netns(node)?,
        })
    }

    /// `in netns "…"` if `node` has it; the outer `None` is a mistake that was said.
    #[allow(clippy::option_option, reason = "absent is not the same as wrong")]
    pub(super) fn in_netns(&mut self, node: &Node<'_>) -> Option<Option<Spanned<String>>> {
        match child(node, Rule::in_netns) {
            Some(netns) => self.string_in(&netns).map(Some),
            None => Some(None),
        }
    }

    /// `tcp flags syn no ack`: what stands after `no` is clear.
    pub(super) fn tcp_flags(&mut self, node: &Node<'_>) -> Flags {
        let mut flags = Flags::default();
        let mut clear = false;
        for part in node.inner() {
            match part.as_rule() {
                Rule::k_no => clear = true,
                Rule::tcp_flag => {
                    let flag = self.spanned(&part, tcp_flag(part.as_str()));
                    let list = if clear { &mut flags.1 } else { &mut flags.0 };
                    list.push(flag);
                }
                _ => {}
            }
        }
        flags
    }

    /// `dscp ef` or `dscp 46`
    pub(super) fn dscp(&mut self, node: &Node<'_>) -> Option<Spanned<Dscp>> {
        if let Some(name) = self.name_in(node) {
            return Some(Spanned {
                value: Dscp::Name(name.value),
                span: name.span,
            });
        }
        let number = self.number_in(node)?;
        Some(Spanned {
            value: Dscp::Number(number.value),
            span: number.span,
        })
    }

    fn mark_is(&mut self, node: &Node<'_>) -> Option<Condition> {
        let mut numbers = children(node, Rule::number);
        let value = self.number(&numbers.next()?)?;
        let mask = match numbers.next() {
            Some(mask) => Some(self.number(&mask)?),
            None => None,
        };
        Some(Condition::Mark { value, mask })
    }
}

/// The state that `node` names.
pub(super) fn socket_state(node: &Node<'_>) -> SocketState {
    match child(node, Rule::socket_state).as_ref().map(Node::as_str) {
        Some("established") => SocketState::Established,
        Some("listening") => SocketState::Listening,
        _ => SocketState::Exists,
    }
}

fn tcp_flag(word: &str) -> TcpFlag {
    match word {
        "fin" => TcpFlag::Fin,
        "syn" => TcpFlag::Syn,
        "rst" => TcpFlag::Rst,
        "psh" => TcpFlag::Psh,
        "ack" => TcpFlag::Ack,
        "urg" => TcpFlag::Urg,
        "ece" => TcpFlag::Ece,
        _ => TcpFlag::Cwr,
    }
}

fn comparison(node: &Node<'_>) -> Comparison {
    match child(node, Rule::comparison).as_ref().map(Node::as_str) {
        Some("<") => Comparison::Less,
        Some("<=") => Comparison::LessOrEqual,
        Some(">=") => Comparison::GreaterOrEqual,
        Some(">") => Comparison::Greater,
        _ => Comparison::Equal,
    }
}
