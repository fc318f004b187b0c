//! Faults in who reads packets (the code, and the reference), and in who reads plain rules by hand.

use super::Suite::{Compiler, Differential, Grammar};
use super::{Fault, Narrow, fault};

const PACKET: &str = "compiler/src/lower/prologue.rs";
const TRANSPORT: &str = "compiler/src/lower/prologue/transport.rs";
const REGION: &str = "compiler/src/emit/region.rs";
const PARSE: &str = "compiler/src/packet/parse.rs";
const PLAIN: &str = "grammar/src/tree/plain.rs";

const CODE: &[Narrow] = &[
    (
        Compiler,
        "lower::tests::fragments lower::tests::big_tcp lower::tests::headers lower::tests::a_",
    ),
    (Differential, "interpreter_and_diagrams"),
];
const REFERENCE: &[Narrow] = &[
    (
        Compiler,
        "lower::tests::fragments packet::parse packet::build",
    ),
    (Differential, "interpreter_and_diagrams"),
];
const RULES: &[Narrow] = &[(Grammar, "plain")];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        57,
        PACKET,
        "JumpOp::Set, frame::OFFSET_OF_V4, later",
        "JumpOp::Set, if FAULT { 0xff0f } else { frame::OFFSET_OF_V4 }, later",
        CODE,
    ),
    fault(60, REGION, "0xfff8", "0xfff0", CODE),
    fault(
        61,
        REGION,
        "alu64_reg(AluOp::Mul, WORK, KIND)",
        "alu64_reg(if FAULT { AluOp::Or } else { AluOp::Mul }, WORK, KIND)",
        CODE,
    ),
    fault(
        151,
        PACKET,
        "JumpOp::Set, frame::PART_OF_V4, fragment",
        "JumpOp::Set, if FAULT { frame::OFFSET_OF_V4 } else { frame::PART_OF_V4 }, fragment",
        CODE,
    ),
    fault(
        152,
        PACKET,
        "(JumpOp::Lt, 0x45)",
        "(JumpOp::Lt, if FAULT { 0x44 } else { 0x45 })",
        CODE,
    ),
    fault(
        153,
        PACKET,
        "leave_if(length, JumpOp::Lt, self.cursor, self.exits.malformed)",
        "leave_if(length, if FAULT { JumpOp::Le } else { JumpOp::Lt }, self.cursor, self.exits.malformed)",
        CODE,
    ),
    fault(
        154,
        PACKET,
        "leave_if(buffer, JumpOp::Le, 0xffff, ready)",
        "leave_if(buffer, if FAULT { JumpOp::Gt } else { JumpOp::Le }, 0xffff, ready)",
        CODE,
    ),
    fault(
        155,
        REGION,
        "alu64_imm(AluOp::Lsh, WORK, 1)",
        "alu64_imm(AluOp::Lsh, WORK, if FAULT { 2 } else { 1 })",
        CODE,
    ),
    fault(
        156,
        REGION,
        "PASSED, JumpOp::Eq, MAX_EXTENSIONS",
        "PASSED, JumpOp::Eq, MAX_EXTENSIONS - i32::from(FAULT)",
        CODE,
    ),
    fault(
        157,
        REGION,
        "alu64_imm(AluOp::Lsh, WORK, 3)",
        "alu64_imm(AluOp::Lsh, WORK, if FAULT { 2 } else { 3 })",
        CODE,
    ),
    fault(
        158,
        TRANSPORT,
        "leave_if(size, JumpOp::Lt, 20, self.exits.malformed)",
        "leave_if(size, JumpOp::Lt, if FAULT { 16 } else { 20 }, self.exits.malformed)",
        CODE,
    ),
    fault(
        159,
        PARSE,
        "field & 0x1fff != 0",
        "field & 0x0fff != 0",
        REFERENCE,
    ),
    fault(160, PARSE, "field >> 3 != 0", "field >> 4 != 0", REFERENCE),
    fault(
        161,
        PARSE,
        "field & 0x2000 != 0",
        "field & 0x4000 != 0",
        REFERENCE,
    ),
    fault(
        162,
        PARSE,
        "header < 20 || header > body.len()",
        "header < 20",
        REFERENCE,
    ),
    fault(
        163,
        PLAIN,
        "cursor.at == text.len() && !text.ends_with(' ')",
        "cursor.at == text.len()",
        RULES,
    ),
    fault(
        164,
        PLAIN,
        "matches!(self.byte(), None | Some(b' ' | b','))",
        "true",
        RULES,
    ),
    fault(
        165,
        PLAIN,
        "word => Protocol::named(word)?,",
        "\"sctp\" if FAULT => Protocol::Udp,\n            word => Protocol::named(word)?,",
        RULES,
    ),
];
