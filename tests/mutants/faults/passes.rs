//! Faults in what becomes of code before it is emitted, in the checker of registers, and in the ways of the parser.

use super::Suite::{Compiler, Differential};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        621,
        "compiler/src/ir/builder.rs",
        "u32::from(byte) + size > whole.size",
        "false",
        &[(Compiler, "emit::")],
    ),
    fault(
        622,
        "compiler/src/opt/dead_stores.rs",
        "End::Slot(region) => match &region.places {",
        "End::Slot(_) if FAULT => {}\n        End::Slot(region) => match &region.places {",
        &[
            (Compiler, "opt:: lower::tests"),
            (Differential, "the_interpreter_agrees_on_the_whole_language"),
        ],
    ),
    fault(
        623,
        "compiler/src/ir/validate.rs",
        "(Arg::SlotAddress(slot), Some(Arg::Imm(bytes))) =>",
        "(Arg::SlotAddress(slot), Some(Arg::Imm(bytes))) if !FAULT =>",
        &[(Compiler, "emit::")],
    ),
    fault(
        624,
        "compiler/src/opt/reloads.rs",
        "if self.bits(*src) as usize <=",
        "if FAULT || self.bits(*src) as usize <=",
        &[(Compiler, "opt::")],
    ),
    fault(
        625,
        "compiler/src/opt/reloads.rs",
        "self.bits(*value).max(length(imm)) + 1",
        "self.bits(*value).max(length(imm))",
        &[(Compiler, "opt::")],
    ),
    fault(
        626,
        "compiler/src/opt/reloads.rs",
        "self.stored.retain(|&(.., value)| value != written);",
        "self.stored.retain(|&(.., value)| FAULT || value != written);",
        &[(Compiler, "opt::")],
    ),
    fault(
        627,
        "compiler/src/emit/check.rs",
        "facts.retain(|fact| held.facts.contains(fact))",
        "facts.retain(|fact| FAULT || held.facts.contains(fact))",
        &[(Compiler, "emit::")],
    ),
    fault(
        628,
        "compiler/src/emit/check.rs",
        "self.moved(expected, Register::R0);",
        "if !FAULT { self.moved(expected, Register::R0); }",
        &[(Compiler, "emit::")],
    ),
    fault(
        630,
        "compiler/src/ir/uses.rs",
        "Self::Slot(region) if region.give != Give::Nothing => read(region.context),",
        "Self::Slot(region) if !FAULT && region.give != Give::Nothing => read(region.context),",
        &[
            (Compiler, "emit:: opt:: lower::tests"),
            (Differential, "the_interpreter_agrees_on_the_whole_language"),
        ],
    ),
    fault(
        631,
        "compiler/src/ir/uses.rs",
        "netns.iter_mut().for_each(with);",
        "netns.iter_mut().filter(|_| !FAULT).for_each(with);",
        &[
            (Compiler, "opt:: lower::tests"),
            (Differential, "the_interpreter_agrees_on_the_whole_language"),
        ],
    ),
    fault(
        632,
        "compiler/src/lower/prologue/transport.rs",
        "for protocol in [IpProtocol::UDP, IpProtocol::ICMP6] {",
        "for protocol in if FAULT { [IpProtocol::UDP, IpProtocol::ICMP] } else { [IpProtocol::UDP, IpProtocol::ICMP6] } {",
        &[
            (Compiler, "lower::tests"),
            (Differential, "interpreter_and_diagrams"),
        ],
    ),
    fault(
        633,
        "compiler/src/lower/prologue/transport.rs",
        "builder.alu(part, AluOp::Sub, flag);",
        "if !FAULT { builder.alu(part, AluOp::Sub, flag); }",
        &[
            (Compiler, "lower::tests::fragments"),
            (Differential, "interpreter_and_diagrams"),
        ],
    ),
    fault(
        634,
        "compiler/src/lower/prologue/transport.rs",
        "self.after_extensions(builder, transport, 8);",
        "self.after_extensions(builder, transport, if FAULT { 0 } else { 8 });",
        &[
            (Compiler, "lower::tests::fragments lower::tests::headers"),
            (Differential, "interpreter_and_diagrams"),
        ],
    ),
    fault(
        635,
        "compiler/src/lower/prologue/transport.rs",
        "self.cursor_within_packet(builder, transport, 12);",
        "self.cursor_within_packet(builder, transport, if FAULT { 8 } else { 12 });",
        &[
            (Compiler, "lower::tests::headers lower::tests::a_"),
            (
                Differential,
                "interpreter_and_diagrams the_interpreter_agrees_on_the_whole_language",
            ),
        ],
    ),
    fault(
        636,
        "compiler/src/lower/prologue/uniform.rs",
        "builder.alu(length, AluOp::Add, header);",
        "if !FAULT { builder.alu(length, AluOp::Add, header); }",
        &[
            (Compiler, "lower::tests"),
            (
                Differential,
                "interpreter_and_diagrams the_interpreter_agrees_on_the_whole_language",
            ),
        ],
    ),
    fault(
        637,
        "compiler/src/lower/prologue.rs",
        "builder.leave_if(present, JumpOp::Ne, 0, self.exits.malformed);",
        "if !FAULT { builder.leave_if(present, JumpOp::Ne, 0, self.exits.malformed); }",
        &[
            (Compiler, "lower::tests::headers lower::tests::a_tag"),
            (Differential, "interpreter_and_diagrams"),
        ],
    ),
];
