//! What R1 points at, by program type: fields, widths and byte orders as `linux/bpf.h` lays them out and as the
//! kernel's `*_is_valid_access` functions allow them.
//!
//! "Network order" fields are stored so that their bytes in memory are the address's or port's. Programs write to the
//! fields of a packet at TC that the kernel lets them write, mark and priority among them.

mod datagram;
mod input;

use std::net::{IpAddr, SocketAddr};

use super::alu;
use super::buffer::Packet;
use super::fault::FaultKind;
use super::memory::number;
use super::socket::SocketModel;
use super::value::{SocketPointer, Value};
use crate::artifact::Section;
use crate::bpf::opcode::Width;
use crate::protocol::IpProtocol;

pub use self::datagram::Arriving;
pub use self::input::{Connection, Input, Lookup, Message, Skb, SockOps, SocketOption, Xdp};

/// Where `struct __sk_buff` has the packet's length.
const SKB_LENGTH: usize = 0;

/// The context of a run.
#[derive(Clone, Debug)]
pub(super) struct Context {
    section: Section,
    cells: Vec<Cell>,
    own: Option<SocketModel>,
    /// For sk_lookup: protocol and family that an assigned socket must fit.
    wanted: Option<(IpProtocol, i32)>,
    /// For TC: a packet that leaves.
    egress: bool,
    /// For TC: the packet's EtherType, in host order.
    ethertype: u16,
    /// For sock_ops: the callback.
    op: u32,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    offset: usize,
    size: usize,
    /// Whether parts of it may be loaded.
    narrow: bool,
    /// Whether the program may store to it, whole.
    writable: bool,
    content: Content,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    Number(u64),
    Data,
    DataEnd,
    OwnSocket,
}

impl Cell {
    /// Four bytes that are loaded whole.
    pub(super) fn word(offset: usize, value: u32) -> Self {
        Self {
            offset,
            size: 4,
            narrow: false,
            writable: false,
            content: Content::Number(u64::from(value)),
        }
    }

    /// Four bytes of which parts may be loaded.
    pub(super) fn narrow(offset: usize, value: u32) -> Self {
        Self {
            narrow: true,
            ..Self::word(offset, value)
        }
    }

    /// The same, for the program to store to.
    fn writable(self) -> Self {
        Self {
            writable: true,
            ..self
        }
    }

    fn pointer(offset: usize, size: usize, content: Content) -> Self {
        Self {
            offset,
            size,
            narrow: false,
            writable: false,
            content,
        }
    }
}

impl Context {
    pub(super) fn section(&self) -> Section {
        self.section
    }

    pub(super) fn own_socket(&self) -> Option<SocketModel> {
        self.own
    }

    pub(super) fn wanted(&self) -> Option<(IpProtocol, i32)> {
        self.wanted
    }

    pub(super) fn egress(&self) -> bool {
        self.egress
    }

    pub(super) fn ethertype(&self) -> u16 {
        self.ethertype
    }

    /// Where packet pointers may be written through.
    pub(super) fn packet_is_writable(&self) -> bool {
        matches!(self.section, Section::Xdp | Section::Classifier)
    }

    /// The packet of a TC program has another length now.
    pub(super) fn set_length(&mut self, packet: &Packet) {
        let length = u64::try_from(packet.bytes().len()).unwrap_or(u64::MAX);
        let is_length = |cell: &&mut Cell| cell.offset == SKB_LENGTH;
        if self.section == Section::Classifier
            && let Some(cell) = self.cells.iter_mut().find(is_length)
        {
            cell.content = Content::Number(length);
        }
    }

    /// What a field of the context of a section holds now; nothing in one of another section.
    pub(super) fn left_in(&self, (section, offset): (Section, i16)) -> Option<u32> {
        if self.section != section {
            return None;
        }
        match find(&self.cells, offset, Width::W) {
            Ok(Content::Number(value)) => u32::try_from(value).ok(),
            _ => None,
        }
    }

    /// A store to the context itself: of a register, to a whole field that programs may set. (Before Linux 6.4 no constant
    /// is stored to a context.)
    pub(super) fn store(&mut self, offset: i16, width: Width, value: u64) -> Result<(), FaultKind> {
        find(&self.cells, offset, width)?;
        let start = usize::try_from(offset).map_err(|_| FaultKind::BadField)?;
        let mut cells = self.cells.iter_mut();
        let cell = cells.find(|cell| cell.offset == start && cell.size == width.bytes());
        let cell = cell.ok_or(FaultKind::BadField)?;
        if !cell.writable {
            return Err(FaultKind::ReadOnly);
        }
        cell.content = Content::Number(u64::from(alu::low(value)));
        Ok(())
    }

    pub(super) fn op(&self) -> u32 {
        self.op
    }

    /// Whether the program may return 0 and 1 only.
    pub(super) fn returns_a_bit(&self) -> bool {
        !self.section.sees_packets()
    }

    /// A load from the context itself.
    pub(super) fn load(
        &self,
        packet: &Packet,
        offset: i16,
        width: Width,
    ) -> Result<Value, FaultKind> {
        let generation = packet.generation();
        Ok(match find(&self.cells, offset, width)? {
            Content::Number(value) => Value::Scalar(value),
            Content::Data => Value::Packet {
                generation,
                offset: 0,
            },
            Content::DataEnd => Value::PacketEnd { generation },
            Content::OwnSocket if self.own.is_none() => Value::Scalar(0),
            Content::OwnSocket => Value::Socket(SocketPointer::Own),
        })
    }
}

/// The field, or the part of one, at an offset.
pub(super) fn find(cells: &[Cell], offset: i16, width: Width) -> Result<Content, FaultKind> {
    let start = usize::try_from(offset).map_err(|_| FaultKind::BadField)?;
    let size = width.bytes();
    if start % size != 0 {
        return Err(FaultKind::Misaligned);
    }
    let holds = |cell: &&Cell| cell.offset <= start && start + size <= cell.offset + cell.size;
    let cell = cells.iter().find(holds).ok_or(FaultKind::BadField)?;
    match cell.content {
        _ if size == cell.size => Ok(cell.content),
        Content::Number(value) if cell.narrow => {
            let within = start - cell.offset;
            let bytes = value.to_le_bytes();
            let part = bytes.get(within..within + size);
            Ok(Content::Number(number(part.ok_or(FaultKind::BadField)?)))
        }
        _ => Err(FaultKind::BadField),
    }
}

/// The IPv4 address in network order, also of a mapped one; else 0.
pub(super) fn ip4(address: SocketAddr) -> u32 {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => u32::from_le_bytes(v4.octets()),
        IpAddr::V6(_) => 0,
    }
}

/// The four words of the IPv6 address in network order; all 0 for a socket of the other family.
pub(super) fn ip6(offset: usize, address: SocketAddr, narrow: bool) -> Vec<Cell> {
    let octets = match address {
        SocketAddr::V4(_) => [0; 16],
        SocketAddr::V6(v6) => v6.ip().octets(),
    };
    let (words, _) = octets.as_chunks::<4>();
    (0..)
        .map(|word| offset + 4 * word)
        .zip(words)
        .map(|(at, bytes)| Cell {
            narrow,
            ..Cell::word(at, u32::from_le_bytes(*bytes))
        })
        .collect()
}
