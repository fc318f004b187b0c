//! The tracing program that is called after a dispatcher, and what it writes.
//!
//! It looks at what the dispatcher returned; of drops it chooses some by a random number, and hands the packet's first bytes to the
//! ring of its processor, behind a record of its own. The kernel copies them, whether they lie in one piece or in several. What
//! the ring has no room for is counted by a number that every processor adds to. Not here: where it is attached.
//!
//! The arguments of a program that is followed are pointers to the kernel's own structures (`btf_translate_to_vmlinux` of
//! kernel/bpf/btf.c), and behind them stands what it returned. Such loads never fault: the kernel gives zeros where there is no memory.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};

use crate::code::kernel_types::PacketTypes;
use crate::code::{Code, Label};
use crate::sys::prog;

/// So many bytes of a frame are taken at most: one of the usual size whole.
pub const SNAP: u32 = 2048;

/// `bpf_skb_output(skb, map, flags, record, size)`, Linux 5.5.
const SKB_OUTPUT: i32 = 111;
/// `bpf_xdp_output(xdp, map, flags, record, size)`, Linux 5.6.
const XDP_OUTPUT: i32 = 121;
/// `BPF_F_CURRENT_CPU`; above it stands how many bytes of the packet are wanted.
const CURRENT_CPU: u64 = 0xffff_ffff;

/// Bytes of a record, and where its parts stand.
const SIZE: usize = 40;
mod offset {
    pub(super) const TIME: usize = 0;
    pub(super) const PLACE: usize = 8;
    pub(super) const LENGTH: usize = 12;
    pub(super) const GENERATION: usize = 16;
    pub(super) const MARK: usize = 20;
    pub(super) const PROTOCOL: usize = 24;
    pub(super) const TAG: usize = 26;
    pub(super) const TAGGED: usize = 28;
    pub(super) const TAKEN: usize = 32;
}

/// What a program is made of.
#[derive(Debug)]
pub(super) struct Given<'a> {
    /// Whether the packet is a buffer of the stack, as at TC.
    pub(super) buffered: bool,
    /// What is returned to drop one.
    pub(super) verdict: i32,
    /// The number of the place.
    pub(super) place: u32,
    /// Of so many drops one is taken.
    pub(super) one_in: u32,
    pub(super) types: &'a PacketTypes,
    /// The rings.
    pub(super) events: BorrowedFd<'a>,
    /// The number of those that found no room.
    pub(super) lost: BorrowedFd<'a>,
    /// The word that says which generation is in force.
    pub(super) word: BorrowedFd<'a>,
}

/// Loads it, to follow a function of a program.
pub(super) fn load(given: &Given<'_>, follows: prog::Function<'_>) -> io::Result<OwnedFd> {
    let source = prog::Source {
        name: "sockc_drops",
        kind: bpf_prog_type::BPF_PROG_TYPE_TRACING,
        attach: Some(bpf_attach_type::BPF_TRACE_FEXIT),
        code: &code(given)?,
    };
    prog::load_following(&source, follows)
}

/// R6 is the packet, R8 its length, R9 how much of it is taken.
fn code(given: &Given<'_>) -> io::Result<Vec<u8>> {
    let mut code = Code::default();
    let end = code.label();
    code.add([asm::load(Width::DW, Register::R7, Register::R1, 8)]);
    code.jump32_if(JumpOp::Ne, Register::R7, given.verdict, end);
    code.add([asm::load(Width::DW, Register::R6, Register::R1, 0)]);
    choose(&mut code, given.one_in, end);
    describe(&mut code, given);
    let whole = code.label();
    let most = code.number(SNAP);
    code.add([asm::mov64_reg(Register::R9, Register::R8)]);
    code.jump_if(JumpOp::Le, Register::R9, most, whole);
    code.add([asm::mov64_imm(Register::R9, most)]);
    code.place(whole);
    store(&mut code, Width::W, offset::LENGTH, Register::R8);
    store(&mut code, Width::W, offset::TAKEN, Register::R9);
    code.add([
        asm::mov64_reg(Register::R3, Register::R9),
        asm::alu64_imm(AluOp::Lsh, Register::R3, 32),
    ]);
    code.add(asm::load_imm64(Register::R1, CURRENT_CPU));
    code.add([
        asm::alu64_reg(AluOp::Or, Register::R3, Register::R1),
        asm::mov64_reg(Register::R1, Register::R6),
    ]);
    code.map(Register::R2, given.events);
    code.stack(Register::R4, place(0));
    code.add([asm::mov64_imm(Register::R5, SIZE as i32)]);
    code.call_number(match given.buffered {
        true => SKB_OUTPUT,
        false => XDP_OUTPUT,
    });
    code.jump_if(JumpOp::Eq, Register::R0, 0, end);
    code.map_value(Register::R1, given.lost);
    code.add([
        asm::mov64_imm(Register::R2, 1),
        asm::atomic_add64(Register::R1, 0, Register::R2),
    ]);
    code.place(end);
    code.give(0);
    code.bytes()
}

/// Goes to `end` with all but one of so many packets.
fn choose(code: &mut Code, one_in: u32, end: Label) {
    if one_in <= 1 {
        return;
    }
    code.add([asm::call(Helper::GetPrandomU32)]);
    // Below this number lies that part of all of 32 bits.
    let below = ((1_u64 << 32) / u64::from(one_in)) as u32;
    code.jump32_if(JumpOp::Ge, Register::R0, below.cast_signed(), end);
}

/// Writes the record but for lengths, and leaves the packet's length in R8.
fn describe(code: &mut Code, given: &Given<'_>) {
    for at in (0..SIZE).step_by(8) {
        code.add([asm::store_imm(Width::DW, Register::R10, place(at), 0)]);
    }
    code.add([asm::call(Helper::KtimeGetNs)]);
    store(code, Width::DW, offset::TIME, Register::R0);
    let number = given.place.cast_signed();
    code.add([asm::store_imm(
        Width::W,
        Register::R10,
        place(offset::PLACE),
        number,
    )]);
    code.map_value(Register::R1, given.word);
    code.add([asm::load(Width::W, Register::R1, Register::R1, 0)]);
    store(code, Width::W, offset::GENERATION, Register::R1);
    match given.buffered {
        true => buffer(code, given.types),
        false => {
            let [data, end] = given.types.frame;
            field(code, Width::DW, Register::R8, end);
            field(code, Width::DW, Register::R1, data);
            code.add([asm::alu64_reg(AluOp::Sub, Register::R8, Register::R1)]);
        }
    }
}

/// What a buffer of the stack has beside its bytes: a mark, and a tag that was taken off.
fn buffer(code: &mut Code, types: &PacketTypes) {
    field(code, Width::W, Register::R8, types.length);
    field(code, Width::W, Register::R1, types.mark);
    store(code, Width::W, offset::MARK, Register::R1);
    let [protocol, tag] = types.tag;
    field(code, Width::H, Register::R1, protocol);
    store(code, Width::H, offset::PROTOCOL, Register::R1);
    // Where no bit says so, a tag without a protocol is none (`__vlan_hwaccel_clear_tag` of linux/if_vlan.h).
    if let Some((at, bit)) = types.tagged {
        field(code, Width::B, Register::R1, at);
        code.add([asm::alu64_imm(AluOp::And, Register::R1, bit.into())]);
    }
    store(code, Width::W, offset::TAGGED, Register::R1);
    field(code, Width::H, Register::R1, tag);
    store(code, Width::H, offset::TAG, Register::R1);
}

/// Loads a field of the packet.
fn field(code: &mut Code, width: Width, register: Register, at: u16) {
    let at = code.number(at) as i16;
    code.add([asm::load(width, register, Register::R6, at)]);
}

fn store(code: &mut Code, width: Width, at: usize, register: Register) {
    code.add([asm::store_reg(width, Register::R10, place(at), register)]);
}

/// Where a part of the record stands on the stack.
fn place(at: usize) -> i16 {
    at as i16 - SIZE as i16
}

/// A record with what it says of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) time: u64,
    pub(super) place: u32,
    pub(super) length: u32,
    pub(super) generation: u32,
    pub(super) mark: u32,
    /// The protocol of the tag that was taken off, and the tag.
    pub(super) tag: Option<[[u8; 2]; 2]>,
    bytes: Vec<u8>,
}

impl Recorded {
    /// Reads it back; `None` if the bytes are none. Behind the packet's bytes the kernel fills up with others.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (record, packet) = bytes.split_first_chunk::<SIZE>()?;
        let word = |at: usize| {
            let four = record.get(at..)?.first_chunk::<4>()?;
            Some(u32::from_ne_bytes(*four))
        };
        let two = |at: usize| record.get(at..)?.first_chunk::<2>().copied();
        let taken = usize::try_from(word(offset::TAKEN)?).ok()?;
        // The protocol stands there as on the wire, the tag as a number of this machine.
        let tag = u16::from_ne_bytes(two(offset::TAG)?).to_be_bytes();
        let tag = [two(offset::PROTOCOL)?, tag];
        Some(Self {
            time: u64::from_ne_bytes(*record.get(offset::TIME..)?.first_chunk()?),
            place: word(offset::PLACE)?,
            length: word(offset::LENGTH)?,
            generation: word(offset::GENERATION)?,
            mark: word(offset::MARK)?,
            tag: (word(offset::TAGGED)? != 0).then_some(tag),
            bytes: packet.get(..taken)?.to_vec(),
        })
    }

    /// The frame's bytes, with the tag in its place.
    pub(super) fn frame(self) -> Vec<u8> {
        /// Two addresses.
        const ADDRESSES: usize = 12;
        let mut frame = self.bytes;
        if let Some(tag) = self.tag.filter(|_| frame.len() >= ADDRESSES) {
            frame.splice(ADDRESSES..ADDRESSES, tag.as_flattened().iter().copied());
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_with_its_tag() {
        let mut bytes = vec![0; SIZE];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(offset::TIME, &7_u64.to_ne_bytes());
        put(offset::PLACE, &2_u32.to_ne_bytes());
        put(offset::LENGTH, &1400_u32.to_ne_bytes());
        put(offset::GENERATION, &9_u32.to_ne_bytes());
        put(offset::MARK, &3_u32.to_ne_bytes());
        put(offset::PROTOCOL, &[0x81, 0]);
        put(offset::TAG, &5_u16.to_ne_bytes());
        put(offset::TAGGED, &1_u32.to_ne_bytes());
        put(offset::TAKEN, &14_u32.to_ne_bytes());
        bytes.extend((0..14).chain([0xee; 6]));
        let record = Recorded::parse(&bytes).unwrap();
        assert_eq!((record.time, record.place, record.length), (7, 2, 1400));
        assert_eq!((record.generation, record.mark), (9, 3));
        let frame: Vec<u8> = (0..12).chain([0x81, 0, 0, 5, 12, 13]).collect();
        assert_eq!(record.frame(), frame);
        bytes[offset::TAGGED] = 0;
        let plain = Recorded::parse(&bytes).unwrap();
        assert_eq!((plain.tag, plain.frame().len()), (None, 14));
        // Less than it says is none.
        assert_eq!(Recorded::parse(&bytes[..SIZE + 13]), None);
        assert_eq!(Recorded::parse(&bytes[..SIZE - 1]), None);
    }
}
