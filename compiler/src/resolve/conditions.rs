//! The conditions of a rule.

use cranelift_entity::PrimaryMap;
use sockc_grammar::ast::{Condition as Written, Name, SocketState};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Spanned;

use super::codes;
use super::declared::Declared;
use super::report::Report;
use crate::policy::{Condition, NetnsId, SocketId, SocketTest};
use crate::values::kernel_names;
use crate::values::numbers::{self, Checked, compared, flag_bits};

/// What the names in conditions stand for.
pub(super) struct Names<'a> {
    /// The named sockets; `None` for those that are wrong.
    pub(super) sockets: &'a Declared<Option<SocketId>>,
    /// The network namespaces that conditions have named so far.
    pub(super) namespaces: &'a mut PrimaryMap<NetnsId, String>,
}

impl Names<'_> {
    /// Every condition; every wrong one is reported.
    pub(super) fn conditions(
        &mut self,
        written: &[Spanned<Written>],
        report: &mut Report,
    ) -> Option<Vec<Condition>> {
        let found: Vec<_> = written
            .iter()
            .map(|condition| self.one(&condition.value, report))
            .collect();
        found.into_iter().collect()
    }

    fn one(&mut self, written: &Written, report: &mut Report) -> Option<Condition> {
        match written {
            Written::No(inner) => Some(Condition::No(Box::new(self.one(&inner.value, report)?))),
            Written::AnyOf(any) => Some(Condition::AnyOf(self.conditions(any, report)?)),
            Written::Socket { state, netns } => self.socket(*state, netns.as_ref(), report),
            Written::SockAbsent(name) => self.absent(name, report),
            Written::TcpFlags { set, clear } => Some(Condition::TcpFlags {
                set: flag_bits(set),
                clear: flag_bits(clear),
            }),
            Written::Fragment => Some(Condition::Fragment),
            Written::Length(comparison, number) => {
                // Lengths beyond every packet's may be compared with.
                let (low, high) = compared(*comparison, number.value, u32::MAX);
                Some(Condition::Length { low, high })
            }
            Written::Ttl(comparison, number) => {
                let number = report.checked(numbers::ttl(number))?;
                let (low, high) = compared(*comparison, number.into(), u8::MAX.into());
                Some(Condition::Ttl { low, high })
            }
            Written::Dscp(value) => report.checked(numbers::dscp(value)).map(Condition::Dscp),
            Written::Vlan(id) => report.checked(numbers::vlan(id)).map(Condition::Vlan),
            Written::Mark { value, mask } => report.checked(mark(value, mask.as_ref())),
        }
    }

    fn socket(
        &mut self,
        state: SocketState,
        netns: Option<&Spanned<String>>,
        report: &mut Report,
    ) -> Option<Condition> {
        let test = match state {
            SocketState::Exists => SocketTest::Exists,
            SocketState::Established => SocketTest::Established,
            SocketState::Listening => SocketTest::Listening,
        };
        let netns = match netns {
            None => None,
            Some(name) => {
                report.checked(kernel_names::netns(name))?;
                Some(self.namespace(&name.value))
            }
        };
        Some(Condition::Socket { test, netns })
    }

    /// Each namespace has one number, however often it is named.
    fn namespace(&mut self, name: &str) -> NetnsId {
        let known = self.namespaces.iter().find(|(_, known)| *known == name);
        match known {
            Some((id, _)) => id,
            None => self.namespaces.push(name.to_owned()),
        }
    }

    fn absent(&self, name: &Name, report: &mut Report) -> Option<Condition> {
        let socket = self.sockets.look_up(&name.value, name.span, report)?;
        socket.map(Condition::SockAbsent)
    }
}

/// A mark is compared where the mask has its bits; without a mask everywhere.
fn mark(value: &Spanned<u64>, mask: Option<&Spanned<u64>>) -> Checked<Condition> {
    let number = numbers::mark(value)?;
    let bits = mask.map_or(Ok(u32::MAX), numbers::mark)?;
    if number & !bits == 0 {
        return Ok(Condition::Mark {
            value: number,
            mask: bits,
        });
    }
    let inside = number & bits;
    let found = Diagnostic::error(
        codes::OUTSIDE_MASK,
        format!("the mark {number:#x} has bits outside its mask {bits:#x}"),
        value.span,
        "no packet's masked mark has these bits",
    );
    Err(Box::new(found.help(format!(
        "write `mark {inside:#x}/{bits:#x}`, or a wider mask"
    ))))
}
