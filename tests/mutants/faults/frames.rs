//! Faults in the addresses of frames: how they are read, told, and known of a connection.

use super::Suite::{Command, Compiler};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2598,
        "compiler/src/lower/prologue/header.rs",
        "builder.alu(half, AluOp::And, 0xff_ffff);",
        "builder.alu(half, AluOp::And, if FAULT { 0xffff } else { 0xff_ffff });",
        &[(Compiler, "lower::tests::headers")],
    ),
    fault(
        2599,
        "compiler/src/lower/prologue/header.rs",
        "builder.load(self.network, at + 2, Width::W)",
        "builder.load(self.network, at + 2 - i16::from(FAULT), Width::W)",
        &[(Compiler, "lower::tests::headers")],
    ),
    fault(
        2600,
        "compiler/src/lower/prologue/header.rs",
        "(from, 6, [Field::EtherFrom0, Field::EtherFrom1]),",
        "(from, if FAULT { 0 } else { 6 }, [Field::EtherFrom0, Field::EtherFrom1]),",
        &[(Compiler, "lower::tests::headers")],
    ),
    fault(
        2601,
        "compiler/src/packet/parse.rs",
        "(hardware(frame, 6), hardware(frame, 0))",
        "(hardware(frame, if FAULT { 0 } else { 6 }), hardware(frame, 0))",
        &[(Compiler, "lower::tests::headers")],
    ),
    fault(
        2602,
        "compiler/src/diff/region/values.rs",
        "if part != last || values.len() > 1 {",
        "if !FAULT && (part != last || values.len() > 1) {",
        &[(Compiler, "a_hardware_address_is_told_whole")],
    ),
    fault(
        2603,
        "compiler/src/replay.rs",
        "let told = match self.asks_for_frames {",
        "let told = match FAULT || self.asks_for_frames {",
        &[(Compiler, "an_example_has_the_frame")],
    ),
    fault(
        2604,
        "src/policies/lockout/packets.rs",
        "ether_from: from.unwrap_or(Header::PLAIN.ether_from),",
        "ether_from: from.filter(|_| !FAULT).unwrap_or(Header::PLAIN.ether_from),",
        &[(Command, "a_neighbour_is_known")],
    ),
];
