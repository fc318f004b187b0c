//! Packets that programs change, send elsewhere, mark; and what they must not do on the way. What the kernel does with the
//! same programs is compared in the tests of the whole.

use super::*;
use crate::bpf::constant::{BPF_F_INGRESS, TC_ACT_REDIRECT, XDP_REDIRECT};
use crate::bpf::helper::Helper;
use crate::protocol::IpProtocol;

fn tc(frame: &[u8], insns: Vec<Insn>) -> Result<Execution, FaultKind> {
    let program = program(Section::Classifier, insns, &[]);
    let input = Input::Skb(Skb::new(frame.to_vec()));
    run(&program, &mut Maps::default(), input, &mut Quiet).map_err(|fault| fault.kind)
}

/// Keeps the packet's beginning in r7 over a helper call, and reads through it.
fn reads_after(data: i16, helper: Helper, arguments: [i32; 3]) -> Vec<Insn> {
    let [second, third, fourth] = arguments;
    vec![
        load(Width::W, R7, R1, data),
        mov64_imm(R2, second),
        mov64_imm(R3, third),
        mov64_imm(R4, fourth),
        mov64_imm(R5, 0),
        call(helper),
        load(Width::B, R0, R7, 0),
        exit(),
    ]
}

#[test]
fn every_change_voids_packet_pointers() {
    for helper in [Helper::XdpAdjustHead, Helper::XdpAdjustTail] {
        for delta in [0, -4, -100_000] {
            let fault = xdp(&[0; 60], reads_after(0, helper, [delta, 0, 0]));
            assert_eq!(fault.unwrap_err(), FaultKind::StalePacketPointer);
        }
    }
    for (helper, arguments) in [
        (Helper::SkbChangeTail, [40, 0, 0]),
        (Helper::SkbChangeTail, [4, 0, 0]),
        (Helper::SkbChangeHead, [14, 0, 0]),
        (Helper::SkbAdjustRoom, [8, 1, 0]),
        (Helper::L3CsumReplace, [24, 1, 2]),
        (Helper::CloneRedirect, [1, 0, 0]),
    ] {
        let fault = tc(&[0; 60], reads_after(76, helper, arguments));
        assert_eq!(fault.unwrap_err(), FaultKind::StalePacketPointer);
    }
}

#[test]
fn what_the_program_leaves_is_in_the_outcome() {
    let insns = vec![
        load(Width::W, R2, R1, 0),
        store_imm(Width::B, R2, 1, 7),
        mov64_imm(R2, -1),
        call(Helper::XdpAdjustTail),
        exit(),
    ];
    let outcome = xdp(&[0; 20], insns).unwrap();
    assert_eq!(outcome.frame.len(), 19);
    assert_eq!((outcome.frame[1], outcome.mark), (7, None));
}

#[test]
fn a_packet_ends_for_writes_too() {
    let insns = vec![
        load(Width::W, R2, R1, 0),
        store_imm(Width::W, R2, 1, 7),
        mov64_imm(R0, 2),
        exit(),
    ];
    assert!(xdp(&[0; 5], insns.clone()).is_ok());
    assert_eq!(xdp(&[0; 4], insns).unwrap_err(), FaultKind::OutOfBounds);
}

#[test]
fn only_some_fields_are_written_and_only_by_registers() {
    let store = |offset, width| {
        vec![
            mov64_imm(R2, 5),
            store_reg(width, R1, offset, R2),
            mov64_imm(R0, 0),
            exit(),
        ]
    };
    for offset in [8, 12, 32, 44, 48, 64] {
        let outcome = tc(&[0; 60], store(offset, Width::W)).unwrap();
        assert_eq!(outcome.mark, Some(if offset == 8 { 5 } else { 0 }));
    }
    for offset in [0, 16, 36, 40, 76] {
        let fault = tc(&[0; 60], store(offset, Width::W)).unwrap_err();
        assert_eq!(fault, FaultKind::ReadOnly, "{offset}");
    }
    let narrow = tc(&[0; 60], store(8, Width::B)).unwrap_err();
    assert_eq!(narrow, FaultKind::BadField);
    let constant = vec![store_imm(Width::W, R1, 8, 5), exit()];
    assert_eq!(tc(&[0; 60], constant).unwrap_err(), FaultKind::ReadOnly);
    let pointer = vec![store_reg(Width::W, R1, 8, R10), exit()];
    assert_eq!(tc(&[0; 60], pointer).unwrap_err(), FaultKind::PointerStored);
    let at_xdp = xdp(&[0; 60], store(12, Width::W)).unwrap_err();
    assert_eq!(at_xdp, FaultKind::ReadOnly);
}

#[test]
fn helpers_that_may_not_touch_the_packet_do_not() {
    for (helper, register) in [(Helper::SkbStoreBytes, R3), (Helper::SkbLoadBytes, R3)] {
        let insns = vec![
            load(Width::W, R3, R1, 76),
            mov64_imm(R2, 0),
            mov64_imm(R4, 4),
            mov64_imm(R5, 0),
            call(helper),
            exit(),
        ];
        let fault = tc(&[0; 60], insns).unwrap_err();
        assert_eq!(fault, FaultKind::BadArgument(register));
    }
}

#[test]
fn loaded_bytes_need_no_linear_packet() {
    let insns = vec![
        mov64_imm(R2, 50),
        mov64_reg(R3, R10),
        alu64_imm(AluOp::Add, R3, -8),
        mov64_imm(R4, 8),
        call(Helper::SkbLoadBytes),
        load(Width::B, R0, R10, -1),
        exit(),
    ];
    let program = program(Section::Classifier, insns, &[]);
    let frame: Vec<u8> = (0..60).collect();
    let input = Input::Skb(Skb::new(frame).with_linear(14));
    let outcome = run(&program, &mut Maps::default(), input, &mut Quiet).unwrap();
    assert_eq!(outcome.r0, 57);
}

#[test]
fn only_linear_bytes_are_read_through_a_pointer() {
    for (offset, fits) in [(13, true), (14, false), (59, false)] {
        let insns = vec![
            load(Width::W, R2, R1, 76),
            load(Width::B, R0, R2, offset),
            exit(),
        ];
        let program = program(Section::Classifier, insns, &[]);
        let input = Input::Skb(Skb::new((0..60).collect()).with_linear(14));
        let outcome = run(&program, &mut Maps::default(), input, &mut Quiet);
        assert_eq!(outcome.is_ok(), fits, "{offset}");
    }
}

#[test]
fn redirects_and_copies_are_recorded() {
    let insns = vec![
        mov64_reg(R6, R1),
        mov64_imm(R2, 3),
        mov64_imm(R3, 0),
        call(Helper::CloneRedirect),
        mov64_imm(R1, 5),
        mov64_imm(R2, BPF_F_INGRESS),
        call(Helper::Redirect),
        exit(),
    ];
    let outcome = tc(&[9; 60], insns).unwrap();
    let out = |ifindex, ingress| Forward { ifindex, ingress };
    assert_eq!(outcome.code(), TC_ACT_REDIRECT);
    assert_eq!(outcome.forwarded, Some(out(5, true)));
    assert_eq!(outcome.clones, [(out(3, false), vec![9; 60])]);
    let insns = vec![
        mov64_imm(R1, 5),
        mov64_imm(R2, 0),
        call(Helper::Redirect),
        exit(),
    ];
    let outcome = xdp(&[9; 60], insns).unwrap();
    assert_eq!(outcome.code(), XDP_REDIRECT);
    assert_eq!(outcome.forwarded, Some(out(5, false)));
}

#[test]
fn clock_and_random_numbers_are_given() {
    let insns = vec![
        call(Helper::KtimeGetNs),
        mov64_reg(R6, R0),
        call(Helper::GetPrandomU32),
        alu64_reg(AluOp::Add, R0, R6),
        exit(),
    ];
    let program = program(Section::SkLookup, insns, &[]);
    let address = "10.0.0.1:80".parse().unwrap();
    let lookup = Lookup {
        protocol: IpProtocol::TCP,
        remote: address,
        local: address,
        ingress_ifindex: 4,
    };
    let mut world = Bare { now: 1, random: 0 };
    let input = Input::Lookup(lookup);
    let outcome = run(&program, &mut Maps::default(), input, &mut world).unwrap();
    assert_eq!(outcome.r0, 1);
    world = Bare { now: 0, random: 7 };
    let input = Input::Lookup(lookup);
    let fault = run(&program, &mut Maps::default(), input, &mut world).unwrap_err();
    assert_eq!(fault.kind, FaultKind::BadReturn(7));
}

#[test]
fn every_hook_knows_its_interface() {
    let read =
        |section, offset| program(section, vec![load(Width::W, R0, R1, offset), exit()], &[]);
    let frame = Xdp {
        ingress_ifindex: 9,
        ..Xdp::new(vec![0; 60])
    };
    let packet = Skb {
        ingress_ifindex: 3,
        ifindex: 4,
        ..Skb::new(vec![0; 60])
    };
    for (section, offset, input, expected) in [
        (Section::Xdp, 12, Input::Xdp(frame), 9),
        (Section::Classifier, 36, Input::Skb(packet.clone()), 3),
        (Section::Classifier, 40, Input::Skb(packet), 4),
    ] {
        let program = read(section, offset);
        let outcome = run(&program, &mut Maps::default(), input, &mut Quiet).unwrap();
        assert_eq!(outcome.r0, expected);
    }
}
