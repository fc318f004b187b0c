//! Bytes and mnemonics side by side; the bytes are written out from the instruction set (RFC 9669).

use super::*;
use crate::bpf::asm::*;
use crate::bpf::opcode::Register::*;
use crate::bpf::opcode::{AluOp, JumpOp};
use crate::tests::asm::{alu32_reg, mov32_reg, neg64};

#[track_caller]
fn check(insn: Insn, bytes: &str, words: &str) {
    assert_eq!(hex(insn), bytes);
    assert_eq!(disassemble(insn, None), words);
    assert_eq!(Insn::from_bytes(insn.to_bytes()), insn);
}

#[test]
fn arithmetic() {
    check(mov64_imm(R0, 1), "b7 00 00 00 01 00 00 00", "r0 = 0x1");
    check(mov64_reg(R6, R1), "bf 16 00 00 00 00 00 00", "r6 = r1");
    check(mov32_imm(R2, -1), "b4 02 00 00 ff ff ff ff", "w2 = -0x1");
    check(mov32_reg(R2, R3), "bc 32 00 00 00 00 00 00", "w2 = w3");
    let add = alu64_imm(AluOp::Add, R2, -8);
    check(add, "07 02 00 00 f8 ff ff ff", "r2 += -0x8");
    let arsh = alu64_imm(AluOp::Arsh, R2, 63);
    check(arsh, "c7 02 00 00 3f 00 00 00", "r2 s>>= 0x3f");
    let and = alu32_reg(AluOp::And, R2, R9);
    check(and, "5c 92 00 00 00 00 00 00", "w2 &= w9");
    let sdiv = alu64_reg(AluOp::SDiv, R1, R2);
    check(sdiv, "3f 21 01 00 00 00 00 00", "r1 s/= r2");
    check(neg64(R5), "87 05 00 00 00 00 00 00", "r5 = -r5");
    check(to_be(R3, 16), "dc 03 00 00 10 00 00 00", "r3 = be16 r3");
}

#[test]
fn memory_access() {
    let ctx = load(Width::W, R2, R6, 40);
    check(ctx, "61 62 28 00 00 00 00 00", "r2 = *(u32 *)(r6 + 40)");
    let byte = load(Width::B, R2, R1, 9);
    check(byte, "71 12 09 00 00 00 00 00", "r2 = *(u8 *)(r1 + 9)");
    let spill = store_reg(Width::DW, R10, -8, R1);
    check(spill, "7b 1a f8 ff 00 00 00 00", "*(u64 *)(r10 - 8) = r1");
    let zero = store_imm(Width::W, R10, -16, 0);
    check(zero, "62 0a f0 ff 00 00 00 00", "*(u32 *)(r10 - 16) = 0x0");
    let half = store_reg(Width::H, R10, -2, R3);
    check(half, "6b 3a fe ff 00 00 00 00", "*(u16 *)(r10 - 2) = w3");
    let add = atomic_add64(R0, 8, R1);
    check(
        add,
        "db 10 08 00 00 00 00 00",
        "lock *(u64 *)(r0 + 8) += r1",
    );
    let add = atomic_add(Width::W, R0, 0, R1);
    check(
        add,
        "c3 10 00 00 00 00 00 00",
        "lock *(u32 *)(r0 + 0) += w1",
    );
}

#[test]
fn jumps() {
    check(ja(-2), "05 00 fe ff 00 00 00 00", "goto -2");
    check(gotol(100_000), "06 00 00 00 a0 86 01 00", "gotol +100000");
    let gt = jump32_imm(JumpOp::Gt, R2, 16, 5);
    check(gt, "26 02 05 00 10 00 00 00", "if w2 > 0x10 goto +5");
    let slt = jump_reg(JumpOp::SLt, R2, R3, 1);
    check(slt, "cd 32 01 00 00 00 00 00", "if r2 s< r3 goto +1");
    let call_lookup = call(Helper::MapLookupElem);
    let words = "call bpf_map_lookup_elem";
    check(call_lookup, "85 00 00 00 01 00 00 00", words);
    check(exit(), "95 00 00 00 00 00 00 00", "exit");
}

#[test]
fn wide_immediates() {
    let [first, second] = load_imm64(R1, 0x1122_3344_5566_7788);
    assert_eq!(hex(first), "18 01 00 00 88 77 66 55");
    assert_eq!(hex(second), "00 00 00 00 44 33 22 11");
    assert_eq!(
        disassemble(first, Some(second)),
        "r1 = 0x1122334455667788 ll"
    );
    let [first, second] = load_map(R1);
    assert_eq!(hex(first), "18 11 00 00 00 00 00 00");
    assert_eq!(disassemble(first, Some(second)), "r1 = map[0] ll");
    let [first, second] = load_map_value(R1, 8);
    assert_eq!(disassemble(first, Some(second)), "r1 = map[0][0]+8 ll");
}

#[test]
fn cpu_v4_as_bytes() {
    for (bytes, words) in [
        ([0xbf, 0x21, 8, 0, 0, 0, 0, 0], "r1 = (s8)r2"),
        ([0xbc, 0x21, 16, 0, 0, 0, 0, 0], "w1 = (s16)w2"),
        ([0x91, 0x21, 4, 0, 0, 0, 0, 0], "r1 = *(s8 *)(r2 + 4)"),
        ([0xd7, 0x01, 0, 0, 32, 0, 0, 0], "r1 = bswap32 r1"),
        ([0xd4, 0x01, 0, 0, 64, 0, 0, 0], "r1 = le64 r1"),
        ([0x94, 0x01, 1, 0, 7, 0, 0, 0], "w1 s%= 0x7"),
        (
            [0xdb, 0x21, 0, 0, 1, 0, 0, 0],
            "r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)",
        ),
        (
            [0xdb, 0x21, 0, 0, 0xf1, 0, 0, 0],
            "r0 = cmpxchg((u64 *)(r1 + 0), r0, r2)",
        ),
        (
            [0xc3, 0x21, 0, 0, 0xe1, 0, 0, 0],
            "w2 = xchg((u32 *)(r1 + 0), w2)",
        ),
    ] {
        assert_eq!(disassemble(Insn::from_bytes(bytes), None), words);
    }
}

#[test]
fn what_the_kernel_refuses_stays_bytes() {
    for bytes in [
        [0xff, 0, 0, 0, 0, 0, 0, 0],
        [0xb7, 0x0b, 0, 0, 0, 0, 0, 0],
        [0xb7, 0x10, 0, 0, 0, 0, 0, 0],
        [0xbf, 0x21, 0, 0, 1, 0, 0, 0],
        [0x61, 0x12, 0, 0, 1, 0, 0, 0],
        [0x18, 0x01, 0, 0, 1, 0, 0, 0],
        [0x95, 0x01, 0, 0, 0, 0, 0, 0],
        [0xdc, 0x01, 0, 0, 8, 0, 0, 0],
        [0x86, 0, 0, 0, 1, 0, 0, 0],
    ] {
        let insn = Insn::from_bytes(bytes);
        assert_eq!(disassemble(insn, None), format!(".insn {}", hex(insn)));
    }
}
