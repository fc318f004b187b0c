//! Conditions: what follows `if`.

use super::{Builder, Node, Rule, child, children, first};
use crate::ast::{Code, Comparison, Condition, HeaderTest, SocketState, TcpFlag};
use crate::header_field::HeaderField;
use crate::source::Spanned;

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
            Rule::header_is => {
                let (field, test) = self.header(&inner)?;
                Condition::Header(field, test)
            }
            Rule::sock_absent => Condition::SockAbsent(self.name_in(&inner)?),
            _ => return None,
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
            state: socket_state(node)?,
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

    /// A field of the header and what is asked of it, in a condition or after `with`.
    pub(super) fn header(&mut self, node: &Node<'_>) -> Option<(HeaderField, HeaderTest)> {
        let word = first(node)?;
        let test = match word.as_rule() {
            Rule::tcp_flags => return Some((HeaderField::TcpFlags, self.tcp_flags(&word)?)),
            Rule::ether_is => return self.ether(&word),
            Rule::k_fragment => HeaderTest::Present,
            Rule::compared => HeaderTest::Compared(comparison(node)?, self.number_in(node)?),
            Rule::masked => self.masked(node)?,
            Rule::coded | Rule::numbered => HeaderTest::Code(self.code(node)?),
            _ => return None,
        };
        Some((HeaderField::named(word.as_str())?, test))
    }

    /// `tcp flags syn no ack`: what stands after `no` is clear.
    fn tcp_flags(&mut self, node: &Node<'_>) -> Option<HeaderTest> {
        let (mut set, mut clear) = (Vec::new(), Vec::new());
        let mut negated = false;
        for part in node.inner() {
            match part.as_rule() {
                Rule::k_no => negated = true,
                Rule::tcp_flag => {
                    let flag = self.spanned(&part, TcpFlag::named(part.as_str())?);
                    let list = if negated { &mut clear } else { &mut set };
                    list.push(flag);
                }
                _ => {}
            }
        }
        Some(HeaderTest::Flags { set, clear })
    }

    /// `ether from 02:42:ac:11:00:02`
    fn ether(&self, node: &Node<'_>) -> Option<(HeaderField, HeaderTest)> {
        let field = match child(node, Rule::k_from) {
            Some(_) => HeaderField::EtherFrom,
            None => HeaderField::EtherTo,
        };
        let written = child(node, Rule::hardware)?;
        let digits = written.as_str().replace(':', "");
        let address = u64::from_str_radix(&digits, 16).ok()?;
        Some((field, HeaderTest::Hardware(self.spanned(&written, address))))
    }

    /// `dscp ef` or `dscp 46`
    fn code(&mut self, node: &Node<'_>) -> Option<Spanned<Code>> {
        if let Some(name) = self.name_in(node) {
            return Some(Spanned {
                value: Code::Name(name.value),
                span: name.span,
            });
        }
        let number = self.number_in(node)?;
        Some(Spanned {
            value: Code::Number(number.value),
            span: number.span,
        })
    }

    fn masked(&mut self, node: &Node<'_>) -> Option<HeaderTest> {
        let mut numbers = children(node, Rule::number);
        let value = self.number(&numbers.next()?)?;
        let mask = match numbers.next() {
            Some(mask) => Some(self.number(&mask)?),
            None => None,
        };
        Some(HeaderTest::Masked { value, mask })
    }
}

/// The state that `node` names.
pub(super) fn socket_state(node: &Node<'_>) -> Option<SocketState> {
    SocketState::named(child(node, Rule::socket_state)?.as_str())
}

/// How `node` compares; `with` has no sign, as a packet has one value.
fn comparison(node: &Node<'_>) -> Option<Comparison> {
    child(node, Rule::comparison).map_or(Some(Comparison::Equal), |sign| {
        Comparison::named(sign.as_str())
    })
}
