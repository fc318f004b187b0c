//! The intermediate form of a program: blocks of instructions over values and stack slots.
//!
//! Takes what `lower` builds; gives it to `emit`. Control flow only goes forward: the blocks form a directed graph
//! without cycles. A value may be written more than once, where ways join for instance, and lives from block to block and
//! over calls; `emit` gives it a register, and no more than four can live over a call. What is a constant on each way to a
//! join stands in a stack slot and is read again, never in a register: a mask of predicates in a register multiplies the
//! verifier's states.
//!
//! Socket references exist only inside [`End::Socket`] and [`End::Slot`]: structured regions that take, use and release
//! a reference in one piece, so that no path can leave with one. [`End::Headers`] and [`End::Frame`] are loops in one
//! piece, and so is [`End::Slot`] of a name with several slots, so that nothing else has to know of any. Nothing here knows policies or hooks.

mod builder;
mod liveness;
mod order;
mod print;
mod uses;
mod validate;

use cranelift_entity::{PrimaryMap, entity_impl};

use crate::artifact::{MapId, Section};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::location::Location;

pub use builder::Builder;
pub(crate) use liveness::{Live, Liveness};
pub(crate) use order::forward_order;
pub use validate::Invalid;
pub(crate) use validate::{Valid, validate};

/// A basic block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block(u32);
entity_impl!(Block, "block");

/// A value in a register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(u32);
entity_impl!(Value, "v");

/// A piece of the stack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);
entity_impl!(Slot, "ss");

/// A place in the sources that code comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(u32);
entity_impl!(Origin, "line");

/// One program.
#[derive(Clone, Debug)]
pub struct Function {
    /// The name it gets in the object.
    pub name: String,
    /// The section, which is its type.
    pub section: Section,
    /// The blocks; [`Self::entry`] runs first.
    pub blocks: PrimaryMap<Block, BlockData>,
    /// The values.
    pub values: PrimaryMap<Value, ()>,
    /// The stack slots.
    pub slots: PrimaryMap<Slot, SlotData>,
    /// The places that code comes from.
    pub origins: PrimaryMap<Origin, Location>,
    /// The first block.
    pub entry: Block,
    /// The first thing that must not happen while it was built: `validate` refuses it then.
    pub bug: Option<String>,
}

impl Function {
    /// Says what must not happen, as [`Builder::bug`] does.
    pub(crate) fn bug(&mut self, what: impl Into<String>) {
        self.bug.get_or_insert_with(|| what.into());
    }
}

/// A basic block: instructions, then an end.
#[derive(Clone, Debug)]
pub struct BlockData {
    /// Where its code comes from.
    pub origin: Origin,
    /// The instructions.
    pub insts: Vec<Inst>,
    /// How it ends.
    pub end: End,
}

/// A stack slot, at the place that the builder gave it.
#[derive(Clone, Copy, Debug)]
pub struct SlotData {
    /// Size in bytes.
    pub size: u32,
    /// Where it stands below the frame pointer, as a negative offset.
    pub offset: i16,
}

/// The right-hand side of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A constant.
    Imm(i32),
    /// A value.
    Value(Value),
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inst {
    /// `dst = r1`, first in the entry block.
    Argument {
        /// Target.
        dst: Value,
    },
    /// `dst = imm`
    Imm {
        /// Target.
        dst: Value,
        /// Constant.
        imm: i64,
    },
    /// `dst = src`
    Copy {
        /// Target.
        dst: Value,
        /// Source.
        src: Value,
    },
    /// `value = value op rhs`, on 64 bits.
    Alu {
        /// Operation.
        op: AluOp,
        /// Left side and target.
        value: Value,
        /// Right side.
        rhs: Operand,
    },
    /// Turns network byte order into host order and clears the bits above.
    FromNetwork {
        /// The value.
        value: Value,
        /// 16, 32 or 64.
        bits: i32,
    },
    /// `dst = *(width *)(base + offset)`
    Load {
        /// Target.
        dst: Value,
        /// Pointer.
        base: Value,
        /// Offset in bytes.
        offset: i16,
        /// Width.
        width: Width,
    },
    /// `*(width *)(base + offset) = src`
    Store {
        /// Pointer.
        base: Value,
        /// Offset in bytes.
        offset: i16,
        /// What is stored.
        src: Value,
        /// Width.
        width: Width,
    },
    /// `dst = slot[byte]`
    LoadSlot {
        /// Target.
        dst: Value,
        /// Slot.
        slot: Slot,
        /// First byte.
        byte: u8,
        /// Width.
        width: Width,
    },
    /// `slot[byte] = src`
    StoreSlot {
        /// Slot.
        slot: Slot,
        /// First byte.
        byte: u8,
        /// What is stored.
        src: Value,
        /// Width.
        width: Width,
    },
    /// `slot[byte] = imm`
    SetSlot {
        /// Slot.
        slot: Slot,
        /// First byte.
        byte: u8,
        /// Constant.
        imm: i32,
        /// Width.
        width: Width,
    },
    /// `dst` = the address `offset` bytes into the only value of a map with contents.
    MapValue {
        /// Target.
        dst: Value,
        /// A map whose [`crate::artifact::MapSpec::data`] is there.
        map: MapId,
        /// Bytes into the value, below its size.
        offset: u32,
    },
    /// `lock *(width *)(base + offset) += src`, without the old value: every kernel has it.
    AtomicAdd {
        /// Pointer.
        base: Value,
        /// Offset in bytes.
        offset: i16,
        /// What is added.
        src: Value,
        /// [`Width::W`] or [`Width::DW`].
        width: Width,
    },
    /// `dst` = the old `*(u64 *)(base + offset)`; if that equals `expected`, memory becomes `new`. Only for targets that
    /// have `atomics`.
    CompareExchange {
        /// Target: equals `expected` exactly if the exchange took place.
        dst: Value,
        /// Pointer.
        base: Value,
        /// Offset in bytes.
        offset: i16,
        /// What must be there.
        expected: Value,
        /// What is stored then.
        new: Value,
    },
    /// A helper call.
    Call {
        /// The helper.
        helper: Helper,
        /// Its arguments, r1 upwards.
        args: Vec<Arg>,
        /// Where its result goes, if it is wanted.
        dst: Option<Value>,
    },
}

/// An argument of a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A value.
    Value(Value),
    /// A constant, sign-extended to 64 bits.
    Imm(i32),
    /// The address of a slot.
    SlotAddress(Slot),
    /// What a slot holds.
    SlotValue(Slot, Width),
    /// A map.
    Map(MapId),
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nobody has said yet: `validate` refuses a block that can be reached and ends so.
    Open,
    /// Goes to one block.
    Jump(Block),
    /// Goes to one of two.
    Branch {
        /// Comparison.
        op: JumpOp,
        /// 32-bit comparison; else 64-bit.
        narrow: bool,
        /// Left side.
        lhs: Value,
        /// Right side.
        rhs: Operand,
        /// Where it goes if the comparison holds.
        then: Block,
        /// Where it goes otherwise.
        other: Block,
    },
    /// Leaves the program with a constant.
    Return(i32),
    /// Leaves the program with a value.
    ReturnValue(Value),
    /// Looks a socket up, reads its state into a slot and releases it.
    Socket(SocketRegion),
    /// Looks a SOCKMAP slot up, uses what it holds and releases it.
    Slot(SlotRegion),
    /// Walks over the IPv6 extension headers.
    Headers(HeaderRegion),
    /// Tells a frame that holds IP from others.
    Frame(FrameRegion),
}

/// Looks a socket up, stores its state (one byte, `enum` of `include/net/tcp_states.h`; 0 if there is none), releases it.
/// Sockets of UDP are looked up with `bpf_sk_lookup_udp`, all others with `bpf_skc_lookup_tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketRegion {
    /// The context.
    pub context: Value,
    /// The slot (one byte) with the protocol.
    pub protocol: Slot,
    /// The tuple.
    pub tuple: Slot,
    /// Its size: 12 or 36, a constant on each way.
    pub size: Value,
    /// The slot (4 bytes) with the id of the network namespace that is looked in; `None` for the context's own.
    pub netns: Option<Slot>,
    /// Where the state goes.
    pub state: Slot,
    /// Where to go on.
    pub next: Block,
}

impl SocketRegion {
    /// The bytes of the longer tuple.
    pub(crate) const TUPLE: usize = 36;

    /// The arguments of the lookup. Without a namespace one is `BPF_F_CURRENT_NETNS`, which must be -1 in 64 bits.
    #[must_use]
    pub fn args(&self) -> [Arg; 5] {
        [
            Arg::Value(self.context),
            Arg::SlotAddress(self.tuple),
            Arg::Value(self.size),
            self.netns
                .map_or(Arg::Imm(-1), |netns| Arg::SlotValue(netns, Width::W)),
            Arg::Imm(0),
        ]
    }
}

/// What becomes of the socket that a slot of a SOCKMAP holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Give {
    /// It is looked at.
    Nothing,
    /// `bpf_sk_assign` gives it to the lookup. The kernel sees to its state.
    ToLookup {
        /// Without its reuseport group.
        alone: bool,
    },
    /// `bpf_sk_assign` gives it to the packet, if it is in this state and has a port. At TC the kernel takes any: a socket that
    /// does not listen any more, or is closed, would swallow the packet.
    ToPacket(i32),
}

/// Looks a slot of a SOCKMAP up, or several until one serves; on a hit it may give the socket away; releases it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRegion {
    /// The SOCKMAP.
    pub map: MapId,
    /// The slot that holds the key; where there are several, the region keeps it there.
    pub key: Slot,
    /// The context.
    pub context: Value,
    /// A value that the region may overwrite, to carry the reference.
    pub carrier: Value,
    /// What becomes of the socket.
    pub give: Give,
    /// The slot (4 bytes) where what became of it is left, if it was to be given away and somebody asks: what
    /// [`crate::destination`] says of an idle one, or what `bpf_sk_assign` gave. Where there was none, the slot keeps what it holds.
    pub result: Option<Slot>,
    /// The places that are looked into where it is not one.
    pub places: Option<Places>,
    /// Where to go on if a slot holds a socket (and it was given away).
    pub hit: Block,
    /// Where to go on otherwise.
    pub miss: Block,
}

/// Slots of a SOCKMAP that stand in a row, of which each is looked into until one serves: in a loop that the rest of the function
/// does not see. A socket without a port does not serve: it is of UDP and closed, and the kernel would give it packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// How many: a power of two.
    pub count: u32,
    /// The slot (4 bytes) that holds the key of the first.
    pub first: Slot,
    /// The slot (8 bytes) with the hash that orders them; `None` to look into one after the other.
    pub hash: Option<Slot>,
    /// A value that the region may overwrite, to count.
    pub turn: Value,
}

/// Walks over up to six IPv6 extension headers, in a loop that the rest of the function does not see. At `transport` the
/// cursor stands at the first header that is none, whose kind the slot `protocol` holds; it may lie beyond the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRegion {
    /// The first byte of the IP header.
    pub network: Value,
    /// The end of the packet's linear part.
    pub end: Value,
    /// Offset of the first header after the IP header; moved on.
    pub cursor: Value,
    /// The kind of that header, one byte; moved on.
    pub protocol: Slot,
    /// One byte, of which the bit of value 2 is set at the header of a first fragment.
    pub part: Slot,
    /// Where to go on at the first header that is no extension header.
    pub transport: Block,
    /// Where to go on at the header of a later fragment, which may lie beyond the packet.
    pub later: Block,
    /// Where to go on if there are more headers.
    pub malformed: Block,
    /// Where to go on if a header does not lie in the linear part.
    pub short: Block,
}

/// Tells whether a frame of TC holds IP, after up to two VLAN tags, in a loop that the rest of the function does not see.
/// Linear or not, no more than the types is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRegion {
    /// The context, pinned to r6 to r9.
    pub context: Value,
    /// A value that the region may overwrite, to count the tags.
    pub cursor: Value,
    /// Where the context says whether the kernel has taken a tag off the frame: 1 or 0.
    pub taken_off: i16,
    /// Two bytes for types.
    pub kind: Slot,
    /// Where to go on if it is IP, or has a third tag, which makes it malformed.
    pub ip: Block,
    /// Where to go on otherwise.
    pub other: Block,
}

impl End {
    /// The blocks it can go to.
    #[must_use]
    pub fn successors(&self) -> Vec<Block> {
        match self {
            Self::Jump(block) => vec![*block],
            Self::Branch { then, other, .. } => vec![*other, *then],
            Self::Open | Self::Return(_) | Self::ReturnValue(_) => Vec::new(),
            Self::Socket(region) => vec![region.next],
            Self::Slot(region) => vec![region.hit, region.miss],
            Self::Headers(region) => vec![
                region.malformed,
                region.short,
                region.later,
                region.transport,
            ],
            Self::Frame(region) => vec![region.other, region.ip],
        }
    }

    /// Lets it go elsewhere.
    pub fn redirect(&mut self, mut to: impl FnMut(Block) -> Block) {
        let mut change = |block: &mut Block| *block = to(*block);
        match self {
            Self::Jump(block) => change(block),
            Self::Branch { then, other, .. } => {
                change(then);
                change(other);
            }
            Self::Open | Self::Return(_) | Self::ReturnValue(_) => {}
            Self::Socket(region) => change(&mut region.next),
            Self::Slot(region) => {
                change(&mut region.hit);
                change(&mut region.miss);
            }
            Self::Headers(region) => {
                change(&mut region.transport);
                change(&mut region.later);
                change(&mut region.malformed);
                change(&mut region.short);
            }
            Self::Frame(region) => {
                change(&mut region.ip);
                change(&mut region.other);
            }
        }
    }
}
