//! Loads, stores and atomics through region-tagged pointers.

use super::fault::FaultKind;
use super::value::Value;
use super::{Machine, alu};
use crate::bpf::decode::{Op, Operand};
use crate::bpf::opcode::{AluOp, AtomicOp, Register, Width};

impl Machine<'_> {
    pub(super) fn memory(&mut self, op: Op) -> Result<(), FaultKind> {
        match op {
            Op::Load {
                width,
                signed,
                dst,
                base,
                offset,
            } => {
                let value = self.load(base, offset, width)?;
                let value = match value {
                    Value::Scalar(number) if signed => {
                        Value::Scalar(alu::extend(true, width.bits(), number))
                    }
                    value => value,
                };
                self.set(dst, value)
            }
            Op::Store {
                width,
                base,
                offset,
                src,
            } => self.store(base, offset, width, src),
            Op::Atomic {
                width,
                op,
                fetch,
                base,
                offset,
                src,
            } => {
                let place = base_moved(self.get(base)?, offset)?;
                self.atomic(place, width, op, fetch, src)
            }
            _ => Err(FaultKind::UnknownInstruction),
        }
    }

    fn load(&self, base: Register, offset: i16, width: Width) -> Result<Value, FaultKind> {
        let base = self.fresh(self.get(base)?)?;
        match base {
            Value::Context => self.context.load(&self.packet, offset, width),
            Value::Socket(socket) => {
                let (model, full) = self.socket(socket)?;
                model.load(full, offset, width).map(Value::Scalar)
            }
            _ => {
                let place = base_moved(base, offset)?;
                if let (Value::Stack(at), Width::DW) = (place, width)
                    && let Some(pointer) = self.stack.pointer(at)
                {
                    return Ok(pointer);
                }
                let bytes = self.read(place, width)?;
                Ok(Value::Scalar(number(&bytes)))
            }
        }
    }

    fn store(
        &mut self,
        base: Register,
        offset: i16,
        width: Width,
        src: Operand,
    ) -> Result<(), FaultKind> {
        let base = self.fresh(self.get(base)?)?;
        let value = self.operand(src)?;
        if let (Value::Context, Operand::Register(_)) = (base, src) {
            return match value {
                Value::Scalar(value) => self.context.store(offset, width, value),
                _ => Err(FaultKind::PointerStored),
            };
        }
        let place = base_moved(base, offset)?;
        match (value, place) {
            (Value::Scalar(value), _) => self.write(place, width, value),
            (pointer, Value::Stack(at)) if width == Width::DW => {
                aligned(at, width)?;
                self.stack.save(at, pointer)
            }
            _ => Err(FaultKind::PointerStored),
        }
    }

    fn atomic(
        &mut self,
        place: Value,
        width: Width,
        op: AtomicOp,
        fetch: bool,
        src: Register,
    ) -> Result<(), FaultKind> {
        match place {
            Value::Stack(at) => aligned(at, width)?,
            Value::Entry { offset, .. } => aligned(offset, width)?,
            _ => return Err(FaultKind::ReadOnly),
        }
        let old = number(&self.read(place, width)?);
        let operand = self.scalar(src)?;
        let wide = width == Width::DW;
        let new = match op {
            AtomicOp::Add => alu::apply(wide, AluOp::Add, old, operand),
            AtomicOp::Or => old | operand,
            AtomicOp::And => old & operand,
            AtomicOp::Xor => old ^ operand,
            AtomicOp::Exchange => operand,
            AtomicOp::CompareExchange => {
                let expected = alu::apply(wide, AluOp::Mov, 0, self.scalar(Register::R0)?);
                if expected == old { operand } else { old }
            }
        };
        self.write(place, width, new)?;
        match op {
            AtomicOp::CompareExchange => self.set_scalar(Register::R0, old),
            _ if fetch => self.set_scalar(src, old),
            _ => Ok(()),
        }
    }

    /// Bytes that a helper reads through a pointer.
    pub(super) fn bytes(&self, value: Value, length: usize) -> Result<Vec<u8>, FaultKind> {
        match self.fresh(value)? {
            Value::Stack(at) => self.stack.read(at, length),
            Value::Packet { offset, .. } => {
                let bytes = self.packet.read(offset, length);
                bytes.map(<[u8]>::to_vec).ok_or(FaultKind::OutOfBounds)
            }
            Value::Entry { map, entry, offset } => {
                let value = self.maps.value(map, entry)?;
                let bytes = slice(value, offset, length);
                bytes.map(<[u8]>::to_vec).ok_or(FaultKind::OutOfBounds)
            }
            Value::Scalar(0) => Err(FaultKind::NullPointer),
            _ => Err(FaultKind::NotAPointer),
        }
    }

    fn read(&self, place: Value, width: Width) -> Result<Vec<u8>, FaultKind> {
        if let Value::Stack(at) = place {
            aligned(at, width)?;
        }
        self.bytes(place, width.bytes())
    }

    fn write(&mut self, place: Value, width: Width, value: u64) -> Result<(), FaultKind> {
        let all = value.to_le_bytes();
        let bytes = all.get(..width.bytes()).ok_or(FaultKind::OutOfBounds)?;
        if let Value::Stack(at) = place {
            aligned(at, width)?;
        }
        self.write_bytes(place, bytes)
    }

    /// Writes through a pointer, of the program or of a helper.
    pub(super) fn write_bytes(&mut self, place: Value, bytes: &[u8]) -> Result<(), FaultKind> {
        match self.fresh(place)? {
            Value::Stack(at) => self.stack.write(at, bytes),
            Value::Packet { offset, .. } if self.context.packet_is_writable() => {
                let written = self.packet.write(offset, bytes);
                written.ok_or(FaultKind::OutOfBounds)
            }
            Value::Entry { map, entry, offset } => {
                let value = self.maps.value_mut(map, entry)?;
                let place = usize::try_from(offset)
                    .ok()
                    .and_then(|start| value.get_mut(start..start.checked_add(bytes.len())?));
                place.ok_or(FaultKind::OutOfBounds)?.copy_from_slice(bytes);
                Ok(())
            }
            Value::Scalar(0) => Err(FaultKind::NullPointer),
            Value::Scalar(_) => Err(FaultKind::NotAPointer),
            _ => Err(FaultKind::ReadOnly),
        }
    }
}

/// The place `offset` bytes after a base; NULL stays NULL, so that following it says so.
fn base_moved(base: Value, offset: i16) -> Result<Value, FaultKind> {
    match base {
        Value::Scalar(0) => Err(FaultKind::NullPointer),
        Value::Scalar(_) => Err(FaultKind::NotAPointer),
        Value::Context | Value::Socket(_) | Value::Map(_) => Err(FaultKind::ReadOnly),
        _ => base.moved(i64::from(offset)),
    }
}

/// The stack and atomics want aligned accesses on every machine.
fn aligned(offset: i64, width: Width) -> Result<(), FaultKind> {
    let bytes = i64::try_from(width.bytes()).unwrap_or(8);
    match offset.rem_euclid(bytes) {
        0 => Ok(()),
        _ => Err(FaultKind::Misaligned),
    }
}

fn slice(value: &[u8], offset: i64, length: usize) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    value.get(start..start.checked_add(length)?)
}

/// At most 8 bytes, as a little-endian number.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}
