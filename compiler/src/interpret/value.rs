//! What a register holds: a number, or a pointer that knows its region.

use super::fault::FaultKind;
use crate::artifact::MapId;

/// A 64-bit value. NULL is the number 0, as for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A number.
    Scalar(u64),
    /// The context. It cannot be moved: the kernel refuses loads through a moved one.
    Context,
    /// A place in the packet, counted from its first byte.
    Packet { generation: u32, offset: i64 },
    /// One past the packet's linear part.
    PacketEnd { generation: u32 },
    /// A place on the stack, counted from the frame pointer: negative.
    Stack(i64),
    /// A map.
    Map(MapId),
    /// A place in the value of a map's entry.
    Entry {
        map: MapId,
        entry: usize,
        offset: i64,
    },
    /// A socket.
    Socket(SocketPointer),
}

/// How a socket was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketPointer {
    /// A reference that must be given back: its number in the ledger.
    Reference(usize),
    /// The context's own socket.
    Own,
    /// The same, known to be a full one.
    Full,
}

impl Value {
    /// The pointer, so many bytes further.
    pub(super) fn moved(self, amount: i64) -> Result<Self, FaultKind> {
        let further = |offset: i64| offset.checked_add(amount).ok_or(FaultKind::OutOfBounds);
        Ok(match self {
            Self::Packet { generation, offset } => Self::Packet {
                generation,
                offset: further(offset)?,
            },
            Self::Stack(offset) => Self::Stack(further(offset)?),
            Self::Entry { map, entry, offset } => Self::Entry {
                map,
                entry,
                offset: further(offset)?,
            },
            Self::Scalar(_)
            | Self::Context
            | Self::PacketEnd { .. }
            | Self::Map(_)
            | Self::Socket(_) => return Err(FaultKind::PointerArithmetic),
        })
    }
}
