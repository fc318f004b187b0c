//! Helpers that change a packet, and stores to it and to its mark.

use sockc_compiler::artifact::Section;
use sockc_compiler::bpf::asm::*;
use sockc_compiler::bpf::constant::*;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::insn::Insn;
use sockc_compiler::bpf::opcode::Register::*;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};

use crate::engine::both;

const EINVAL: i32 = -22;
const EFAULT: i32 = -14;
const ENOTSUPP: i32 = -524;

/// An Ethernet frame of this EtherType with counted bytes after.
fn frame(ethertype: u16, length: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
    frame
}

/// Calls a helper with the context and constants and returns what it returns.
fn calling(helper: Helper, arguments: &[i32]) -> Vec<Insn> {
    let registers = [R2, R3, R4, R5].into_iter().zip(arguments);
    let set = registers.map(|(register, value)| mov64_imm(register, *value));
    set.chain([call(helper), exit()]).collect()
}

#[test]
fn a_frame_at_xdp_grows_and_shrinks_at_its_end() {
    let frame = frame(ETH_P_IP, 100);
    let ran = |delta| {
        both(
            Section::Xdp,
            calling(Helper::XdpAdjustTail, &[delta]),
            &frame,
        )
    };
    assert_eq!(ran(-40).frame, frame[..60]);
    assert_eq!(ran(-86).frame.len(), 14);
    assert_eq!(ran(-87).code, EINVAL);
    assert_eq!(ran(20).frame, [&frame[..], &[0; 20]].concat());
    assert_eq!(ran(4000).code, EINVAL);
}

#[test]
fn a_frame_at_xdp_grows_and_shrinks_at_its_beginning() {
    let frame = frame(ETH_P_IP, 100);
    let ran = |delta| {
        both(
            Section::Xdp,
            calling(Helper::XdpAdjustHead, &[delta]),
            &frame,
        )
    };
    assert_eq!(ran(40).frame, frame[40..]);
    assert_eq!(ran(86).frame.len(), 14);
    assert_eq!(ran(87).code, EINVAL);
    assert_eq!(ran(-300).code, EINVAL);
}

/// `r7` = data, and returns 0 if that many bytes are not there; then `body`.
fn with_data(section: Section, bytes: i32, body: &[Insn]) -> Vec<Insn> {
    let data = if section == Section::Xdp { 0 } else { 76 };
    let mut insns = vec![
        load(Width::W, R7, R6, data),
        load(Width::W, R2, R6, data + 4),
        mov64_reg(R3, R7),
        alu64_imm(AluOp::Add, R3, bytes),
        jump_reg(JumpOp::Le, R3, R2, 2),
        mov64_imm(R0, 0),
        exit(),
    ];
    insns.extend_from_slice(body);
    insns
}

#[test]
fn new_room_in_front_is_written() {
    let mut insns = vec![
        mov64_reg(R6, R1),
        mov64_imm(R2, -8),
        call(Helper::XdpAdjustHead),
    ];
    let body = [
        store_imm(Width::DW, R7, 0, 0x1234),
        mov64_imm(R0, XDP_TX),
        exit(),
    ];
    insns.extend(with_data(Section::Xdp, 8, &body));
    let frame = frame(ETH_P_IP, 60);
    let ran = both(Section::Xdp, insns, &frame);
    assert_eq!(
        ran.frame,
        [&[0x34, 0x12, 0, 0, 0, 0, 0, 0], &frame[..]].concat()
    );
    assert_eq!(ran.code, XDP_TX);
}

#[test]
fn packets_are_written_in_place() {
    for section in [Section::Xdp, Section::Classifier] {
        let mut insns = vec![mov64_reg(R6, R1)];
        let body = [
            load(Width::W, R1, R7, 0),
            load(Width::H, R2, R7, 4),
            store_reg(Width::W, R7, 6, R1),
            store_reg(Width::H, R7, 10, R2),
            store_imm(Width::B, R7, 0, 0xff),
            mov64_imm(R0, 1),
            exit(),
        ];
        insns.extend(with_data(section, 14, &body));
        let ran = both(section, insns, &frame(ETH_P_IP, 60));
        assert_eq!(ran.frame[..12], [0xff, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn the_mark_is_set_and_read_back() {
    let insns = vec![
        load(Width::W, R0, R1, 8),
        mov64_imm(R2, 0x4711),
        store_reg(Width::W, R1, 8, R2),
        store_reg(Width::W, R1, 48, R2),
        load(Width::W, R0, R1, 8),
        load(Width::W, R2, R1, 48),
        alu64_reg(AluOp::Add, R0, R2),
        exit(),
    ];
    let ran = both(Section::Classifier, insns, &frame(ETH_P_IP, 60));
    assert_eq!((ran.code, ran.mark), (2 * 0x4711, Some(0x4711)));
}

#[test]
fn a_packet_at_tc_changes_its_length() {
    let frame = frame(ETH_P_IP, 100);
    let tail = |length, flags| {
        let insns = calling(Helper::SkbChangeTail, &[length, flags]);
        both(Section::Classifier, insns, &frame)
    };
    assert_eq!(tail(60, 0).frame, frame[..60]);
    assert_eq!(tail(14, 0).frame, frame[..14]);
    assert_eq!(tail(13, 0).code, EINVAL);
    assert_eq!(tail(60, 1).code, EINVAL);
    assert_eq!(tail(150, 0).frame, [&frame[..], &[0; 50]].concat());
    let head = |bytes, flags| {
        let insns = calling(Helper::SkbChangeHead, &[bytes, flags]);
        both(Section::Classifier, insns, &frame)
    };
    assert_eq!(head(14, 0).frame, [&[0; 14], &frame[..]].concat());
    assert_eq!(head(14, 1).code, EINVAL);
}

#[test]
fn the_context_knows_the_new_length() {
    let insns = vec![
        mov64_reg(R6, R1),
        mov64_imm(R2, 70),
        mov64_imm(R3, 0),
        call(Helper::SkbChangeTail),
        load(Width::W, R0, R6, 0),
        exit(),
    ];
    assert_eq!(
        both(Section::Classifier, insns, &frame(ETH_P_IP, 100)).code,
        70
    );
}

#[test]
fn room_opens_and_closes_after_a_header() {
    for (ethertype, header) in [(ETH_P_IP, 20), (ETH_P_IPV6, 40)] {
        let frame = frame(ethertype, 200);
        let room = |delta, mode| {
            let insns = calling(Helper::SkbAdjustRoom, &[delta, mode, 0]);
            both(Section::Classifier, insns, &frame)
        };
        let grown = room(8, BPF_ADJ_ROOM_MAC).frame;
        assert_eq!(grown, [&frame[..14], &[0; 8], &frame[14..]].concat());
        let grown = room(12, BPF_ADJ_ROOM_NET).frame;
        let at = 14 + header;
        assert_eq!(grown, [&frame[..at], &[0; 12], &frame[at..]].concat());
        let shrunk = room(-20, BPF_ADJ_ROOM_MAC).frame;
        assert_eq!(shrunk, [&frame[..14], &frame[34..]].concat());
        let shrunk = room(-4, BPF_ADJ_ROOM_NET).frame;
        assert_eq!(shrunk, [&frame[..at], &frame[at + 4..]].concat());
        assert_eq!(room(-180, BPF_ADJ_ROOM_MAC).code, ENOTSUPP);
        assert_eq!(room(4096, BPF_ADJ_ROOM_MAC).code, EFAULT);
        assert_eq!(room(8, 7).code, ENOTSUPP);
    }
    let insns = calling(Helper::SkbAdjustRoom, &[8, BPF_ADJ_ROOM_MAC, 0]);
    assert_eq!(
        both(Section::Classifier, insns, &frame(0x0806, 60)).code,
        ENOTSUPP
    );
}

#[test]
fn bytes_are_stored_and_loaded() {
    let frame = frame(ETH_P_IP, 60);
    for (offset, code) in [(30, 0), (56, 0), (57, EFAULT), (-1, EFAULT)] {
        let stored = vec![
            store_imm(Width::W, R10, -4, 0x0d0c_0b0a),
            mov64_imm(R2, offset),
            mov64_reg(R3, R10),
            alu64_imm(AluOp::Add, R3, -4),
            mov64_imm(R4, 4),
            mov64_imm(R5, 0),
            call(Helper::SkbStoreBytes),
            exit(),
        ];
        let ran = both(Section::Classifier, stored, &frame);
        assert_eq!(ran.code, code);
        if let (0, Ok(at)) = (code, usize::try_from(offset)) {
            assert_eq!(ran.frame[at..at + 4], [10, 11, 12, 13]);
        }
        let loaded = vec![
            store_imm(Width::W, R10, -4, -1),
            mov64_imm(R2, offset),
            mov64_reg(R3, R10),
            alu64_imm(AluOp::Add, R3, -4),
            mov64_imm(R4, 4),
            call(Helper::SkbLoadBytes),
            load(Width::W, R1, R10, -4),
            alu64_reg(AluOp::Add, R0, R1),
            exit(),
        ];
        both(Section::Classifier, loaded, &frame);
    }
}

/// Folds the sum in `register` to 16 bits.
fn fold(register: Register, other: Register) -> Vec<Insn> {
    [0, 1]
        .into_iter()
        .flat_map(|_| {
            [
                mov64_reg(other, register),
                alu64_imm(AluOp::Rsh, other, 16),
                alu64_imm(AluOp::And, register, 0xffff),
                alu64_reg(AluOp::Add, register, other),
            ]
        })
        .collect()
}

#[test]
fn a_difference_of_checksums() {
    let slots = [(-8, 0x1234_5678), (-4, -2), (-16, 0x7fff_ffff), (-12, 77)];
    for (from, to, seed) in [(8, 8, 0), (0, 8, 0xffff), (4, 0, 12345), (0, 0, 7)] {
        for section in [Section::Xdp, Section::Classifier] {
            let mut insns = slots
                .map(|(at, value)| store_imm(Width::W, R10, at, value))
                .to_vec();
            insns.extend([
                mov64_reg(R1, R10),
                alu64_imm(AluOp::Add, R1, -8),
                mov64_imm(R2, from),
                mov64_reg(R3, R10),
                alu64_imm(AluOp::Add, R3, -16),
                mov64_imm(R4, to),
                mov64_imm(R5, seed),
                call(Helper::CsumDiff),
                jump_imm(JumpOp::SLt, R0, 0, 8),
            ]);
            insns.extend(fold(R0, R1));
            insns.push(exit());
            assert!(both(section, insns, &frame(ETH_P_IP, 60)).code > 0);
        }
    }
}

#[test]
fn checksums_are_mended() {
    let cases = [
        (Helper::L3CsumReplace, [24, 0x0203, 0xfffe, 2], 0),
        (Helper::L3CsumReplace, [24, 0x0203_0405, -3, 4], 0),
        (Helper::L3CsumReplace, [24, 0, 0x1234, 0], 0),
        (Helper::L3CsumReplace, [24, 1, 0x1234, 0], EINVAL),
        (Helper::L3CsumReplace, [24, 1, 2, 3], EINVAL),
        (
            Helper::L3CsumReplace,
            [24, 1, 2, 2 | BPF_F_PSEUDO_HDR],
            EINVAL,
        ),
        (Helper::L3CsumReplace, [25, 1, 2, 2], EFAULT),
        (Helper::L3CsumReplace, [60, 1, 2, 2], EFAULT),
        (Helper::L4CsumReplace, [40, 0x0203, 0xfffe, 2], 0),
        (Helper::L4CsumReplace, [40, 7, 9, 4 | BPF_F_PSEUDO_HDR], 0),
        (
            Helper::L4CsumReplace,
            [40, 7, 9, 2 | BPF_F_MARK_MANGLED_0],
            0,
        ),
        (
            Helper::L4CsumReplace,
            [50, 7, 9, 2 | BPF_F_MARK_MANGLED_0],
            0,
        ),
        (Helper::L4CsumReplace, [50, 7, 9, 2], 0),
    ];
    let mut frame = frame(ETH_P_IP, 60);
    frame[50..52].fill(0);
    for (helper, arguments, code) in cases {
        let ran = both(Section::Classifier, calling(helper, &arguments), &frame);
        assert_eq!(ran.code, code, "{helper:?} {arguments:?}");
    }
}

#[test]
fn a_redirect_is_a_return_code() {
    let redirect = |flags| {
        vec![
            mov64_imm(R1, 1),
            mov64_imm(R2, flags),
            call(Helper::Redirect),
            exit(),
        ]
    };
    let frame = frame(ETH_P_IP, 60);
    assert_eq!(both(Section::Xdp, redirect(0), &frame).code, XDP_REDIRECT);
    assert_eq!(both(Section::Xdp, redirect(1), &frame).code, XDP_ABORTED);
    let tc = |flags| both(Section::Classifier, redirect(flags), &frame).code;
    assert_eq!(tc(0), TC_ACT_REDIRECT);
    assert_eq!(tc(BPF_F_INGRESS), TC_ACT_REDIRECT);
    assert_eq!(tc(8), TC_ACT_SHOT);
}
