//! Code that asks whether a program decides about what arrives on a TCP socket, for programs that the runtime makes itself.
//!
//! Takes a socket in a register that is in a SOCKMAP; goes on after the emitted code unless there is such a program, of whomever. Where
//! that cannot be read, there may be one. Nothing of a policy tells: what arrives on a connection that was looked at is handed to
//! a program as long as it lives.

use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};

use super::kernel_types::ArrivalTypes;
use super::owner::PROBE_READ_KERNEL;
use super::{Code, Label};

/// The flags in `sk_user_data`: `SK_USER_DATA_NOCOPY`, `SK_USER_DATA_BPF` and `SK_USER_DATA_PSOCK`.
const FLAGS: i32 = 7;

/// Jumps to `decided` if there is one. The 24 bytes of the stack from `stack` on, and R0 to R5, are overwritten.
pub(crate) fn check(
    code: &mut Code,
    types: ArrivalTypes,
    socket: Register,
    stack: i16,
    decided: Label,
) {
    let undecided = code.label();
    // The verifier lets nobody count with the address of a socket. Copied like any other bytes it is a number.
    code.add([
        asm::store_reg(Width::DW, Register::R10, stack, socket),
        asm::mov64_reg(Register::R3, Register::R10),
        asm::alu64_imm(AluOp::Add, Register::R3, stack.into()),
    ]);
    read(code, stack, decided);
    code.add([asm::alu64_imm(
        AluOp::Add,
        Register::R3,
        types.user_data.into(),
    )]);
    read(code, stack, decided);
    code.add([asm::alu64_imm(AluOp::And, Register::R3, !FLAGS)]);
    code.jump_if(JumpOp::Eq, Register::R3, 0, undecided);
    let kept = stack + 16;
    code.add([asm::store_reg(Width::DW, Register::R10, kept, Register::R3)]);
    for verdict in types.verdicts {
        code.add([
            asm::load(Width::DW, Register::R3, Register::R10, kept),
            asm::alu64_imm(AluOp::Add, Register::R3, verdict.into()),
        ]);
        read(code, stack, decided);
        code.jump_if(JumpOp::Ne, Register::R3, 0, decided);
    }
    code.place(undecided);
}

/// R3 becomes the pointer at the address in R3.
fn read(code: &mut Code, stack: i16, unread: Label) {
    let to = stack + 8;
    code.add([
        asm::mov64_reg(Register::R1, Register::R10),
        asm::alu64_imm(AluOp::Add, Register::R1, to.into()),
        asm::mov64_imm(Register::R2, 8),
    ]);
    code.call_number(PROBE_READ_KERNEL);
    code.jump_if(JumpOp::Ne, Register::R0, 0, unread);
    code.add([asm::load(Width::DW, Register::R3, Register::R10, to)]);
}
