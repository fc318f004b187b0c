//! The sk_skb program of pairs, which moves what arrives on one side to the other.
//!
//! It knows the socket that it is at by its cookie, finds out with whom that one is joined, counts, and hands the data to
//! the other's send queue (`sk_psock_skb_redirect` with no ingress flag, `skb_send_sock` in `sk_psock_backlog`). A socket that
//! is joined with nobody keeps its data: its reader gets it.
//!
//! The kernel takes what is handed over however much the other side still has to send. So whoever keeps the pairs says how
//! much may be moved; what is beyond that stays with the side's reader, which is the keeper, whose window closes as nobody reads.
//! Once something has stayed, all that comes stays, until the keeper says that it has sent as much as stayed: a count of
//! bytes decides, so all goes in order. No socket is taken out of a map for that: the kernel throws away what comes meanwhile
//! (`sk_psock_stop_verdict` takes the program off before `sk_data_ready` is what it was, and `sk_psock_verdict_recv` drops
//! without a program).
//!
//! What came before is cut off ([`super::segment`]); where what comes is not the next, nothing more is moved, and the keeper,
//! who is told, ends the pair: better no bytes than wrong ones.
//!
//! Takes the maps; gives a program of its own. Not here: any rule but the splice, and who puts sockets into the maps.

use crate::artifact::{MapId, PairsPlan, Section};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::ir::{Arg, Block, Builder, End, Function, Slot, Value};
use crate::location::Location;

use super::context::skb;
use super::counter::counter_of;
use super::segment::{Segment, cut_off};

/// `SK_PASS`
const PASS: i32 = 1;
/// `SK_DROP`
const DROP: i32 = 0;
/// Where a value of `joined` has the bytes that were left to the reader; the cookie of the other side is at the beginning.
const LEFT: i16 = 8;
/// Where it has the bytes that were moved.
const MOVED: i16 = 16;
/// Where it has the side's slot in `allowed`.
const SLOT: i16 = 24;
/// Where it says whether data from here is what comes back.
const BACK: i16 = 28;
/// Where it has the sequence number of the byte that comes next.
const NEXT: i16 = 32;
/// Where it says that something came that is not that.
const BROKEN: i16 = 36;
/// Where a value of `allowed` has the bytes that may be moved; those that the reader has sent are at the beginning.
const MOST: i16 = 8;

/// The maps of some pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpliceMaps {
    /// The SOCKHASH of where data goes to.
    pub targets: MapId,
    /// The hash map of who is joined with whom.
    pub joined: MapId,
    /// The array of how much may be moved.
    pub allowed: MapId,
    /// The ring that says how far each side has come.
    pub moved: MapId,
    /// The counters and the slot of the splice, if it counts; what comes back counts in the next one.
    pub counter: Option<(MapId, u32)>,
}

/// What the program knows of the data: the side's value of `joined`, its cookie, and how many bytes came.
#[derive(Clone, Copy)]
struct Data {
    joined: Value,
    own: Slot,
    length: Value,
}

/// The sk_skb program of some pairs; `place` is the splice's.
#[must_use]
pub(crate) fn splice(name: &str, place: &Location, maps: &SpliceMaps) -> Function {
    let mut program = Builder::new(name, Section::SkSkb, place.clone());
    let builder = &mut program;
    let context = builder.argument();
    let [alone, empty, left, move_on, broken] = [(); 5].map(|()| builder.head_block());
    let cookie = builder.call_value(Helper::GetSocketCookie, &[Arg::Value(context)]);
    let own = builder.slot(8);
    builder.store_slot(own, 0, cookie, Width::DW);
    let args = [Arg::Map(maps.joined), Arg::SlotAddress(own)];
    let joined = builder.call_value(Helper::MapLookupElem, &args);
    builder.leave_if_wide(joined, JumpOp::Eq, 0, alone);
    let length = builder.load(context, skb::LEN, Width::W);
    builder.leave_if(length, JumpOp::Eq, 0, empty);
    put_in_order(builder, context, joined, length, [empty, broken]);
    if let Some(counter) = maps.counter {
        count(builder, counter, joined, length);
    }
    let data = Data {
        joined,
        own,
        length,
    };
    judge(builder, maps, data, [alone, left, move_on]);
    builder.enter(move_on);
    let other = builder.slot(8);
    let cookie = builder.load(joined, 0, Width::DW);
    builder.store_slot(other, 0, cookie, Width::DW);
    let args = [
        Arg::Value(context),
        Arg::Map(maps.targets),
        Arg::SlotAddress(other),
        Arg::Imm(0),
    ];
    let verdict = builder.call_value(Helper::SkRedirectHash, &args);
    builder.end(End::ReturnValue(verdict));
    for block in [alone, left] {
        builder.enter(block);
        builder.end(End::Return(PASS));
    }
    builder.enter(broken);
    let one = builder.imm(1);
    builder.store(joined, BROKEN, one, Width::W);
    tell(builder, maps, own, empty);
    // After what is broken nothing is to follow. And the end of a side comes as a segment without data, and to send nothing is
    // an error to the kernel: it would send nothing more to that socket (`sk_psock_backlog`, where 0 becomes EPIPE).
    builder.enter(empty);
    builder.end(End::Return(DROP));
    program.finish()
}

/// Cuts off what came before; `length` becomes that of the rest. Leaves to `empty` where all of it came before: with the end of
/// the stream it comes once more if the sender is short of memory, and joins it to what it has not been told the arrival of
/// (`tcp_send_fin`).
fn put_in_order(
    builder: &mut Builder,
    context: Value,
    joined: Value,
    length: Value,
    [empty, broken]: [Block; 2],
) {
    let was_broken = builder.load(joined, BROKEN, Width::W);
    builder.leave_if(was_broken, JumpOp::Ne, 0, broken);
    let segment = Segment::read(builder, context, length, broken);
    let before = segment.before(builder, joined, NEXT);
    builder.leave_if(before, JumpOp::SLt, 0, broken);
    builder.leave_if(before, JumpOp::Ge, length, empty);
    segment.came(builder, joined, NEXT);
    builder.alu(length, AluOp::Sub, before);
    cut_off(builder, context, before, broken);
}

/// Whether the data is moved or left to the reader, as counts of bytes say. What is counted is counted before it is told, so
/// that who is told finds it.
fn judge(builder: &mut Builder, maps: &SpliceMaps, data: Data, to: [Block; 3]) {
    let [alone, left, move_on] = to;
    let [waits, full] = [(); 2].map(|()| builder.head_block());
    let key = builder.opaque_slot(4);
    let slot = builder.load(data.joined, SLOT, Width::W);
    builder.store_slot(key, 0, slot, Width::W);
    let args = [Arg::Map(maps.allowed), Arg::SlotAddress(key)];
    let allowed = builder.call_value(Helper::MapLookupElem, &args);
    // The keeper gives no slot that is not there.
    builder.leave_if_wide(allowed, JumpOp::Eq, 0, alone);
    let sent = builder.load(allowed, 0, Width::DW);
    let most = builder.load(allowed, MOST, Width::DW);
    let stayed = builder.load(data.joined, LEFT, Width::DW);
    builder.leave_if_wide(stayed, JumpOp::Ne, sent, waits);
    let before = builder.load(data.joined, MOVED, Width::DW);
    let after = builder.copy(before);
    builder.alu(after, AluOp::Add, data.length);
    builder.leave_if_wide(after, JumpOp::Gt, most, full);
    builder.store(data.joined, MOVED, after, Width::DW);
    let step: i32 = builder.fit(PairsPlan::STEP.ilog2(), "a step");
    builder.alu(before, AluOp::Rsh, step);
    builder.alu(after, AluOp::Rsh, step);
    builder.leave_if_wide(before, JumpOp::Eq, after, move_on);
    tell(builder, maps, data.own, move_on);
    for (block, told) in [(waits, false), (full, true)] {
        builder.enter(block);
        let stayed = builder.load(data.joined, LEFT, Width::DW);
        builder.alu(stayed, AluOp::Add, data.length);
        builder.store(data.joined, LEFT, stayed, Width::DW);
        match told {
            true => tell(builder, maps, data.own, left),
            false => builder.jump(left),
        }
    }
}

/// Says to the keeper that it should look at a side. Where the ring is full, it is counted that something was not said.
fn tell(builder: &mut Builder, maps: &SpliceMaps, own: Slot, next: Block) {
    let args = [
        Arg::Map(maps.moved),
        Arg::SlotAddress(own),
        Arg::Imm(8),
        Arg::Imm(0),
    ];
    let refused = builder.call_value(Helper::RingbufOutput, &args);
    builder.leave_if_wide(refused, JumpOp::Eq, 0, next);
    let key = builder.opaque_slot(4);
    let last: i32 = builder.fit(PairsPlan::ROOM, "the last slot");
    builder.set_slot(key, 0, last, Width::W);
    let args = [Arg::Map(maps.allowed), Arg::SlotAddress(key)];
    let unsaid = builder.call_value(Helper::MapLookupElem, &args);
    builder.leave_if_wide(unsaid, JumpOp::Eq, 0, next);
    let one = builder.imm(1);
    builder.atomic_add(unsaid, 0, one, Width::DW);
    builder.jump(next);
}

/// Counts one for the data, and its bytes. Data that waits when a socket comes in is moved in the process that puts it there,
/// which the kernel may take off its CPU.
fn count(builder: &mut Builder, (map, slot): (MapId, u32), joined: Value, length: Value) {
    let slots = [(); 2].map(|()| builder.opaque_slot(4));
    let number = builder.load(joined, BACK, Width::W);
    let slot: i32 = builder.fit(slot, "the slot of a counter");
    builder.alu(number, AluOp::Add, slot);
    builder.store_slot(slots[0], 0, number, Width::W);
    let uncounted = builder.block();
    let counter = counter_of(builder, map, slots, uncounted);
    let one = builder.imm(1);
    builder.atomic_add(counter, 0, one, Width::DW);
    builder.atomic_add(counter, 8, length, Width::DW);
    builder.jump(uncounted);
    builder.enter(uncounted);
}
