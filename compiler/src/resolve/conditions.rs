//! The conditions of a rule.

use cranelift_entity::PrimaryMap;
use sockc_grammar::ast::{Condition as Written, HeaderTest, Name, SocketState};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Spanned;

use super::codes;
use super::declared::Declared;
use super::report::Report;
use super::sockets::is_steerable;
use crate::header_field::{Row, row};
use crate::policy::{Condition, FieldTest, NetnsId, Socket, SocketId};
use crate::values::kernel_names;
use crate::values::numbers::{self, Checked, compared, flag_bits};

/// What the names in conditions stand for.
pub(super) struct Names<'a> {
    /// The named sockets; `None` for those that are wrong.
    pub(super) sockets: &'a Declared<Option<SocketId>>,
    /// What a rule says of them that is steered to; nothing where a packet is described.
    pub(super) steered: Option<&'a PrimaryMap<SocketId, Socket>>,
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
            Written::Header(field, test) => {
                let test = report.checked(field_test(row(*field), test))?;
                Some(Condition::Header {
                    field: *field,
                    test,
                })
            }
        }
    }

    fn socket(
        &mut self,
        test: SocketState,
        netns: Option<&Spanned<String>>,
        report: &mut Report,
    ) -> Option<Condition> {
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
        let socket = (*self.sockets.look_up(&name.value, name.span, report)?)?;
        if let Some(sockets) = self.steered {
            is_steerable(&sockets[socket], name.span, report)?;
        }
        Some(Condition::SockAbsent(socket))
    }
}

/// Which values a test of a field asks for.
fn field_test(row: &Row, written: &HeaderTest) -> Checked<FieldTest> {
    match written {
        HeaderTest::Present => Ok(FieldTest::Range {
            low: 1,
            high: row.max,
        }),
        HeaderTest::Flags { set, clear } => Ok(FieldTest::bits(flag_bits(set), flag_bits(clear))),
        HeaderTest::Compared(comparison, number) => {
            // Where the field has no largest value of its own, all numbers may be compared with.
            if row.max < u32::MAX.into() {
                numbers::of(row, number)?;
            }
            let (low, high) = compared(*comparison, number.value, row.max);
            Ok(FieldTest::Range { low, high })
        }
        HeaderTest::Masked { value, mask } => masked(row, value, mask.as_ref()),
        HeaderTest::Code(code) => numbers::code(row, code).map(FieldTest::exactly),
        HeaderTest::Hardware(address) => numbers::of(row, address).map(FieldTest::exactly),
    }
}

/// Bits are compared where the mask has its bits; without a mask everywhere.
fn masked(row: &Row, value: &Spanned<u64>, mask: Option<&Spanned<u64>>) -> Checked<FieldTest> {
    let number = numbers::of(row, value)?;
    let bits = mask.map_or(Ok(row.max), |mask| numbers::of(row, mask))?;
    if number & !bits == 0 {
        return Ok(FieldTest::Masked {
            wanted: number,
            mask: bits,
        });
    }
    let inside = number & bits;
    let found = Diagnostic::error(
        codes::OUTSIDE_MASK,
        format!(
            "the {} {number:#x} has bits outside its mask {bits:#x}",
            row.word()
        ),
        value.span,
        format!("no packet's masked {} has these bits", row.word()),
    );
    Err(Box::new(found.help(format!(
        "write `{} {inside:#x}/{bits:#x}`, or a wider mask",
        row.word()
    ))))
}
