//! The 512 bytes of stack: written or not, numbers or a saved pointer.

use std::collections::BTreeMap;

use super::fault::FaultKind;
use super::value::Value;
use crate::bpf::limits::STACK;

/// The stack of one run.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    bytes: [Option<u8>; STACK],
    /// Pointers in whole 8-byte slots, by their first byte. Their bytes count as not written.
    pointers: BTreeMap<usize, Value>,
}

impl Default for Stack {
    fn default() -> Self {
        Self {
            bytes: [None; STACK],
            pointers: BTreeMap::new(),
        }
    }
}

impl Stack {
    /// The pointer that was saved in exactly these 8 bytes.
    pub(super) fn pointer(&self, offset: i64) -> Option<Value> {
        let start = index(offset, 8).ok()?;
        self.pointers.get(&start).copied()
    }

    /// Bytes that were all written as numbers. `offset` counts from the frame pointer.
    pub(super) fn read(&self, offset: i64, length: usize) -> Result<Vec<u8>, FaultKind> {
        let start = index(offset, length)?;
        let bytes = self.bytes.get(start..start + length);
        let bytes = bytes.ok_or(FaultKind::OutOfBounds)?;
        let written: Option<Vec<u8>> = bytes.iter().copied().collect();
        written.ok_or(FaultKind::UninitialisedStack)
    }

    /// Writes numbers; a pointer that is hit is lost.
    pub(super) fn write(&mut self, offset: i64, bytes: &[u8]) -> Result<(), FaultKind> {
        let start = index(offset, bytes.len())?;
        self.forget(start, bytes.len());
        let place = self.bytes.get_mut(start..start + bytes.len());
        for (place, &byte) in place.ok_or(FaultKind::OutOfBounds)?.iter_mut().zip(bytes) {
            *place = Some(byte);
        }
        Ok(())
    }

    /// Saves a pointer in 8 aligned bytes.
    pub(super) fn save(&mut self, offset: i64, pointer: Value) -> Result<(), FaultKind> {
        let start = index(offset, 8)?;
        self.forget(start, 8);
        if let Some(place) = self.bytes.get_mut(start..start + 8) {
            place.fill(None);
        }
        self.pointers.insert(start, pointer);
        Ok(())
    }

    fn forget(&mut self, start: usize, length: usize) {
        self.pointers
            .retain(|&at, _| at + 8 <= start || start + length <= at);
    }
}

/// The first byte's index, if all bytes lie in the stack.
fn index(offset: i64, length: usize) -> Result<usize, FaultKind> {
    isize::try_from(offset)
        .ok()
        .and_then(|offset| STACK.checked_add_signed(offset))
        .filter(|start| start + length <= STACK)
        .ok_or(FaultKind::OutOfBounds)
}
