//! Which byte the kernel expects next on a connection: asked of a program, since a process can ask only of one that is being repaired
//! (TCP_REPAIR), which stays so where the keeper is killed meanwhile: nobody could write to it or end it any more.
//!
//! Takes a map with connections by their cookies; gives a sequence number. Not here: what a proxy has read of what came before.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_prog_type;
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{JumpOp, Register, Width};

use crate::code::Code;
use crate::sys::prog;

/// `bpf_tcp_sock`
const TCP_SOCK: i32 = 96;
/// Where `struct bpf_tcp_sock` has `rcv_nxt`.
const RCV_NXT: i16 = 16;
/// Where the cookie stands in the packet that the program runs on, behind an Ethernet header, and in its stack.
const AT: usize = 16;
const KEY: i16 = -8;
const KEY_BYTES: i32 = 8;
/// Such a packet.
type Packet = [u8; 64];

/// The program.
pub(super) struct Expected(OwnedFd);

impl Expected {
    /// That for the connections of a map.
    pub(super) fn load(sockets: BorrowedFd<'_>) -> io::Result<Self> {
        let program = prog::load(&prog::Source {
            name: "sockc_expected",
            kind: bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
            attach: None,
            code: &code(sockets)?,
        })?;
        Ok(Self(program))
    }

    /// The sequence number that the connection of a cookie expects next; 0, too, where there is none.
    pub(super) fn of(&self, cookie: u64) -> io::Result<u32> {
        let mut packet: Packet = [0; _];
        packet[AT..AT + 8].copy_from_slice(&cookie.to_ne_bytes());
        prog::run(self.0.as_fd(), &packet)
    }
}

fn code(sockets: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut code = Code::default();
    let [nobody, release] = [(); 2].map(|()| code.label());
    code.stack(Register::R3, KEY);
    code.add([
        asm::mov64_imm(Register::R2, AT as i32),
        asm::mov64_imm(Register::R4, KEY_BYTES),
        asm::call(Helper::SkbLoadBytes),
    ]);
    code.jump_if(JumpOp::Ne, Register::R0, 0, nobody);
    code.map(Register::R1, sockets);
    code.stack(Register::R2, KEY);
    code.add([asm::call(Helper::MapLookupElem)]);
    code.jump_if(JumpOp::Eq, Register::R0, 0, nobody);
    code.add([
        asm::mov64_reg(Register::R7, Register::R0),
        asm::mov64_imm(Register::R8, 0),
        asm::mov64_reg(Register::R1, Register::R0),
    ]);
    code.call_number(TCP_SOCK);
    code.jump_if(JumpOp::Eq, Register::R0, 0, release);
    code.add([asm::load(Width::W, Register::R8, Register::R0, RCV_NXT)]);
    code.place(release);
    code.add([
        asm::mov64_reg(Register::R1, Register::R7),
        asm::call(Helper::SkRelease),
        asm::mov64_reg(Register::R0, Register::R8),
        asm::exit(),
    ]);
    code.place(nobody);
    code.give(0);
    code.bytes()
}
