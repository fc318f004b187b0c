//! Sockets with another protocol between the process and TCP: kernel TLS.
//!
//! What a process of a group is allowed to write is redirected to the output of its own socket. From Linux 6.5 on that goes
//! past the protocol that the process has put there: `tcp_bpf_push` gives the data to `tcp_sendmsg_locked`, so what was to be
//! encrypted would leave in plain. A socket is redirected by the key that it keeps, so the dispatcher takes the key away
//! from such a socket before the policy's program is called. Where it cannot be seen whether there is a protocol, it takes it
//! from every socket. Then they are allowed in the plain way, which the kernel remembers longer.
//!
//! The group's setsockopt program refuses such a protocol, but does not see system calls of 32 bits.
//!
//! Takes the storage with the keys; gives code for a dispatcher. Not here: what a key is (the compiler's `door`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};

use crate::code::kernel_types::ConnectionTypes;
use crate::code::owner::PROBE_READ_KERNEL;
use crate::code::{Code, Label};
use crate::hook::Point;
use crate::state::State;
use crate::sys::{bpffs, prog};

/// `sk` of `struct sk_msg_md`.
const SOCKET: i16 = 72;
/// `bpf_sk_storage_delete(map, socket)`, which no code of the compiler calls.
const STORAGE_DELETE: i32 = 108;
/// Where the address of the socket and what was read stand on the stack.
const ADDRESS: i16 = -8;
const OUT: i16 = -16;

/// What the dispatcher of a group's sockets needs to see to it.
pub(crate) struct Layered {
    own: OwnedFd,
    /// Nothing where the kernel does not say, or lets no program look.
    types: Option<ConnectionTypes>,
}

impl Layered {
    /// That of the point of a group's sockets; nothing for other points, and for a group whose sockets keep no keys.
    pub(crate) fn of(state: &State, point: Point) -> io::Result<Option<Self>> {
        let Point::Send(group) = point else {
            return Ok(None);
        };
        let own = match bpffs::open(&state.own_keys(group)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            own => own?,
        };
        let mut layered = Self {
            own,
            types: ConnectionTypes::read().ok(),
        };
        if !layered.loads(point) {
            layered.types = None;
        }
        Ok(Some(layered))
    }

    /// Takes the key from a socket that must not be redirected. R1 is the context, before and after.
    pub(crate) fn check(&self, code: &mut Code) {
        let plain = code.label();
        code.add([
            asm::mov64_reg(Register::R6, Register::R1),
            asm::load(Width::DW, Register::R7, Register::R1, SOCKET),
        ]);
        if let Some(types) = self.types {
            unless_layered(code, types, plain);
        }
        code.map(Register::R1, self.own.as_fd());
        code.add([asm::mov64_reg(Register::R2, Register::R7)]);
        code.call_number(STORAGE_DELETE);
        code.place(plain);
        code.add([asm::mov64_reg(Register::R1, Register::R6)]);
    }

    fn loads(&self, point: Point) -> bool {
        let kind = point.kind();
        let mut code = Code::default();
        self.check(&mut code);
        code.give(kind.pass);
        let loaded = code.bytes().and_then(|code| {
            prog::load(&prog::Source {
                name: "sockc_probe",
                kind: kind.program,
                attach: kind.load,
                code: &code,
            })
        });
        loaded.is_ok()
    }
}

/// Jumps to `plain` if the socket in R7 has nothing between the process and TCP; a kernel that lets nobody read does not.
fn unless_layered(code: &mut Code, types: ConnectionTypes, plain: Label) {
    let layered = code.label();
    // The verifier lets nobody count with the address of a socket. Copied like any other bytes it is a number.
    code.add([
        asm::store_reg(Width::DW, Register::R10, ADDRESS, Register::R7),
        asm::mov64_reg(Register::R3, Register::R10),
        asm::alu64_imm(AluOp::Add, Register::R3, ADDRESS.into()),
    ]);
    read(code, layered);
    code.add([
        asm::load(Width::DW, Register::R3, Register::R10, OUT),
        asm::alu64_imm(AluOp::Add, Register::R3, types.layer.into()),
    ]);
    read(code, layered);
    code.add([asm::load(Width::DW, Register::R1, Register::R10, OUT)]);
    code.jump_if(JumpOp::Eq, Register::R1, 0, plain);
    code.place(layered);
}

/// Copies eight bytes from the address in R3; goes to `refused` where that may not be.
fn read(code: &mut Code, refused: Label) {
    code.add([
        asm::mov64_reg(Register::R1, Register::R10),
        asm::alu64_imm(AluOp::Add, Register::R1, OUT.into()),
        asm::mov64_imm(Register::R2, 8),
    ]);
    code.call_number(PROBE_READ_KERNEL);
    code.jump_if(JumpOp::Ne, Register::R0, 0, refused);
}
