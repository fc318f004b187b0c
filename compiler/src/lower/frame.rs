//! The stack of a program: what the prologue found out, and what has to survive a join or a call.

use crate::field::FieldKind;
use crate::header_field::ByField;
use crate::ir::{Builder, Slot};

/// The slot `fragment` holds one more than `Field::Fragment`. A constant 0 in a slot is a value to the verifier (`STACK_ZERO`)
/// where every other constant is unknown: it would make a state of its own at each join.
pub(super) const WHOLE: i32 = 1;
/// The first fragment.
pub(super) const FIRST: i32 = 2;
/// A later fragment.
pub(super) const LATER: i32 = 3;

/// Of the two bytes with the place of a fragment in its IPv4 packet (RFC 791), as they stand in memory: where it begins.
pub(super) const OFFSET_OF_V4: i32 = 0xff1f;
/// And whether it is one at all: whether it begins later, or more follow.
pub(super) const PART_OF_V4: i32 = OFFSET_OF_V4 | 0x0020;

/// What the slot `vlan` holds without a tag: one more than [`Field::Vlan`](crate::field::Field::Vlan), for the same reason.
pub(super) const UNTAGGED: i32 = 1;

/// The kernel looks a socket up for a packet.
pub(super) const PACKET: i32 = 1;
/// A packet program asks which socket there is.
pub(super) const QUESTION: i32 = 2;

/// Bytes of stack that an answer takes; other uses share them.
const ROOM: u32 = 200;

/// Which slots only some programs have.
#[derive(Clone, Copy, Default)]
pub(super) struct Wants {
    pub(super) room: bool,
    pub(super) answers: bool,
    pub(super) first_match: bool,
    /// Bytes of what stands in front of a packet that is dropped; 0 where nobody can ask for such.
    pub(super) head: usize,
}

impl Wants {
    /// What two parts of a program want.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            room: self.room || other.room,
            answers: self.answers || other.answers,
            first_match: self.first_match || other.first_match,
            head: self.head.max(other.head),
        }
    }
}

/// The slots. Small ones are opaque to the verifier (see `Builder::opaque_slot`). A slot that nothing
/// touches leaves the frame later (`crate::opt`).
#[derive(Clone)]
pub(super) struct Frame {
    /// IP protocol; while walking IPv6 extension headers, the header that comes next. One byte.
    pub(super) protocol: Slot,
    /// [`WHOLE`], [`FIRST`] or [`LATER`]. One byte.
    pub(super) fragment: Slot,
    /// Length of the IP packet. Four bytes.
    pub(super) length: Slot,
    /// Offset of the IP header in the frame. Four bytes.
    pub(super) offset: Slot,
    /// The sender's address in network order; IPv4 in the first four bytes.
    pub(super) from: Slot,
    /// The receiver's address likewise.
    pub(super) to: Slot,
    /// The first four bytes of the transport header: the sender's and the receiver's port in network order, or type and
    /// code of ICMP.
    pub(super) ports: Slot,
    /// TCP flags, one byte.
    pub(super) flags: Slot,
    /// Slot of the map `counters`. Four bytes.
    pub(super) counter: Slot,
    /// Key of the block that it is in. Four bytes.
    pub(super) counter_block: Slot,
    /// The counter of a redirect whose socket may be absent, or of what does not come to the peer or the queue that its rule says. Four bytes.
    pub(super) absent: Slot,
    /// How many packets a frame counts for. Four bytes.
    pub(super) weight: Slot,
    /// Which entry decided. Four bytes.
    pub(super) decider: Slot,
    /// Which outcome follows. Four bytes.
    pub(super) outcome: Slot,
    /// The counter of the bulk rule that matches first, if the chain has such rules. Four bytes.
    pub(super) first_match: Option<Slot>,
    /// `struct bpf_sock_tuple`, 36 bytes.
    pub(super) tuple: Slot,
    /// State of the socket that a lookup in the own namespace found. One byte.
    pub(super) state: Slot,
    /// That of one which was found in another namespace. One byte.
    pub(super) elsewhere: Slot,
    /// The answer to the question that was asked last (see `question`). Four bytes.
    pub(super) answer: Slot,
    /// Which node of the tree asked it. Four bytes.
    pub(super) call_site: Slot,
    /// Key of the map `sockets` or of another map with keys of four bytes.
    pub(super) key: Slot,
    /// The fields of the IP header that few rules look at. One byte each.
    pub(super) ip: ByField<Option<Slot>>,
    /// One more than `Field::Vlan`. Two bytes.
    pub(super) vlan: Slot,
    /// The frame's own addresses, sender and receiver, each in two halves of 24 bits. Eight bytes each.
    pub(super) ether: [Slot; 2],
    /// Key of a trie: 24 bytes for a live set, 28 for a live map.
    pub(super) prefix: Slot,
    /// The id of the network namespace that is looked in. Four bytes.
    pub(super) netns: Slot,
    /// Who a lookup is for: [`PACKET`] or [`QUESTION`]. Four bytes.
    pub(super) asked: Slot,
    /// Where records, the keys of buckets and answers are put together, never at the same time, if the chain needs any.
    pub(super) room: Option<Slot>,
    /// Where the beginning of an event is put together, if the chain drops packets that somebody may ask to see. In that place, if there
    /// is one: it is written last.
    pub(super) head: Option<Slot>,
    /// Offset of the transport header from the IP header, if the chain answers packets. Four bytes.
    pub(super) transport: Option<Slot>,
    /// The hash of a flow that is spread over the members of a name. Eight bytes.
    pub(super) hash: Slot,
    /// The key of the first of a name's members. Four bytes.
    pub(super) first_member: Slot,
    /// What became of a socket that was to be given away: a result of [`crate::destination`]. Four bytes.
    pub(super) result: Slot,
    /// The own key of a connection, in the sock_ops program of a group.
    pub(super) own: Option<Slot>,
}

impl Frame {
    pub(super) fn new(builder: &mut Builder, wants: Wants) -> Self {
        let room = wants.room.then(|| builder.slot(ROOM));
        let head = (wants.head > 0).then(|| match room {
            Some(room) => builder.part(room, 0, wants.head as u32),
            None => builder.slot(wants.head as u32),
        });
        Self {
            room,
            head,
            protocol: builder.opaque_slot(1),
            fragment: builder.opaque_slot(1),
            length: builder.opaque_slot(4),
            offset: builder.opaque_slot(4),
            from: builder.slot(16),
            to: builder.slot(16),
            ports: builder.opaque_slot(4),
            flags: builder.opaque_slot(1),
            counter: builder.opaque_slot(4),
            counter_block: builder.opaque_slot(4),
            absent: builder.opaque_slot(4),
            weight: builder.opaque_slot(4),
            decider: builder.opaque_slot(4),
            outcome: builder.opaque_slot(4),
            tuple: builder.slot(40),
            state: builder.opaque_slot(1),
            elsewhere: builder.opaque_slot(1),
            answer: builder.opaque_slot(4),
            call_site: builder.opaque_slot(4),
            key: builder.opaque_slot(4),
            ip: ByField::of(|row| {
                let rare = row.variables[0].kind() == FieldKind::IpHeader;
                rare.then(|| builder.opaque_slot(1))
            }),
            vlan: builder.opaque_slot(2),
            ether: [(); 2].map(|()| builder.opaque_slot(8)),
            prefix: builder.slot(28),
            netns: builder.opaque_slot(4),
            asked: builder.opaque_slot(4),
            transport: wants.answers.then(|| builder.opaque_slot(4)),
            first_match: wants.first_match.then(|| builder.opaque_slot(4)),
            hash: builder.slot(8),
            first_member: builder.opaque_slot(4),
            result: builder.opaque_slot(4),
            own: None,
        }
    }
}
