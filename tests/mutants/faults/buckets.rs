//! Faults in buckets: what stands in them, what is left, and the code that looks there.

use super::Suite::{Compiler, Differential};
use super::{Fault, Narrow, fault};

const BUCKET: &str = "compiler/src/classifier/bucket.rs";
const TABLE: &str = "compiler/src/classifier/bucket_table.rs";
const WALK: &str = "compiler/src/lower/answers/walk.rs";
const CODE: &str = "compiler/src/lower/answers/walk/bucket.rs";
const RECORD: &str = "compiler/src/lower/answers/walk/record.rs";

const BYTES: &[Narrow] = &[(Compiler, "classifier::tests::buckets")];
const RUN: &[Narrow] = &[(Differential, "tables::")];

pub(super) const FAULTS: &[Fault] = &[
    fault(1700, TABLE, "place + 1 == list.len()", "place == 0", BYTES),
    fault(
        1701,
        TABLE,
        "(here - within[number]) as u32",
        "here as u32",
        BYTES,
    ),
    fault(
        1702,
        BUCKET,
        "within[list as usize] = 0",
        "within[list as usize] += 0",
        BYTES,
    ),
    fault(
        1703,
        WALK,
        "AluOp::Mul, number(count)",
        "AluOp::Mul, number(count - u32::from(FAULT))",
        RUN,
    ),
    fault(
        1704,
        CODE,
        "load_to(number, record, offset, Width::W)",
        "load_to(number, record, if FAULT { 0 } else { offset }, Width::W)",
        RUN,
    ),
    fault(
        1705,
        RECORD,
        "about, JumpOp::Eq, 0, child",
        "about, JumpOp::Eq, i32::from(FAULT), child",
        RUN,
    ),
];
