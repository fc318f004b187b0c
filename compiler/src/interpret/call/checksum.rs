//! Helpers that compute and mend Internet checksums (RFC 1071, RFC 1624).
//!
//! Sums are of 16-bit words as they stand in memory, which gives the same checksum in either byte order.

use super::status;
use crate::bpf::constant::{
    BPF_F_HDR_FIELD_MASK, BPF_F_MARK_ENFORCE, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR,
};
use crate::bpf::helper::Helper;
use crate::bpf::limits::STACK;
use crate::bpf::opcode::Register;
use crate::interpret::fault::FaultKind;
use crate::interpret::map::Errno;
use crate::interpret::value::Value;
use crate::interpret::{Machine, alu};

impl Machine<'_> {
    /// `bpf_csum_diff`. Kernels differ in how far the sum is folded; all agree once it is folded to 16 bits. From Linux 6.13
    /// on sizes need not be multiples of 4.
    pub(super) fn checksum_difference(&mut self) -> Result<Value, FaultKind> {
        let from = self.summand(Register::R1, Register::R2)?;
        let to = self.summand(Register::R3, Register::R4)?;
        let seed = alu::low(self.scalar(Register::R5)?);
        let whole = from.len() % 4 == 0 && to.len() % 4 == 0;
        if !whole || from.len() + to.len() > STACK {
            return Ok(status(Err(Errno::EINVAL)));
        }
        let words = words(&from).map(|word| !word).chain(words(&to));
        let sum = words.fold(seed, add);
        Ok(Value::Scalar(u64::from(sum)))
    }

    /// Bytes of a size that may be 0, and then of NULL.
    fn summand(&self, pointer: Register, size: Register) -> Result<Vec<u8>, FaultKind> {
        match (self.get(pointer)?, self.length_argument(size)?) {
            (_, 0) => Ok(Vec::new()),
            (pointer, size) => self.bytes(pointer, size),
        }
    }

    /// `bpf_l3_csum_replace`, `bpf_l4_csum_replace`
    pub(super) fn replace_checksum(&mut self, helper: Helper) -> Result<Value, FaultKind> {
        self.context_argument(Register::R1)?;
        let is_l4 = helper == Helper::L4CsumReplace;
        let marks = BPF_F_MARK_MANGLED_0 | BPF_F_MARK_ENFORCE | BPF_F_PSEUDO_HDR;
        let known = BPF_F_HDR_FIELD_MASK | if is_l4 { marks } else { 0 };
        let flags = alu::low(self.scalar(Register::R5)?).cast_signed();
        if self.has_other_flags(Register::R5, known)? {
            return self.refused(Errno::EINVAL);
        }
        let offset = self.packet_offset(Register::R2)?;
        let Some(offset) = offset.filter(|offset| offset % 2 == 0) else {
            return self.refused(Errno::EFAULT);
        };
        let from = self.scalar(Register::R3)?;
        let to = self.scalar(Register::R4)?;
        let place = match self.packet.writable(offset, 2) {
            Ok(place) => place,
            Err(errno) => return Ok(status(Err(errno))),
        };
        let old = place
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | u32::from(byte));
        let has_mark = is_l4 && flags & BPF_F_MARK_MANGLED_0 != 0;
        if has_mark && flags & BPF_F_MARK_ENFORCE == 0 && old == 0 {
            return Ok(status(Ok(())));
        }
        let Some(change) = change(flags & BPF_F_HDR_FIELD_MASK, from, to) else {
            return Ok(status(Err(Errno::EINVAL)));
        };
        let new = !fold(add(fold(!old & 0xffff), change)) & 0xffff;
        let new = if has_mark && new == 0 { 0xffff } else { new };
        let [low, high, ..] = new.to_le_bytes();
        place.copy_from_slice(&[low, high]);
        Ok(status(Ok(())))
    }
}

/// What is added to the sum: a difference as it is, or `to` less `from` of 2 or 4 bytes.
fn change(size: i32, from: u64, to: u64) -> Option<u32> {
    let (low_from, low_to) = (alu::low(from), alu::low(to));
    match size {
        0 => (from == 0).then_some(low_to),
        2 => Some(add(!low_from & 0xffff, low_to & 0xffff)),
        4 => Some(add(!low_from, low_to)),
        _ => None,
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u32::from_le_bytes(*word))
}

/// The sum with the carry added at the bottom.
fn add(left: u32, right: u32) -> u32 {
    let (sum, carry) = left.overflowing_add(right);
    sum + u32::from(carry)
}

fn fold(sum: u32) -> u32 {
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16)
}
