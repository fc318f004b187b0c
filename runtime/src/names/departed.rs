//! Takes the id of a network namespace away from the programs when the namespace ends.
//!
//! The kernel gives out the lowest free id (`peernet2id_alloc`), so one that it gave by itself soon stands for another
//! namespace once the first has ended, and `in netns` would look there. When the last hold on a namespace is dropped, the
//! kernel queues work that frees its ids and everything else of it (`__put_net`, `cleanup_net`). A program at the tracepoint
//! where any work of the kernel begins (`workqueue_execute_start`), so also ahead of that work, reads whether a namespace is
//! still held; if not, it writes 0 over the id in the map `namespaces`, and conditions find nothing there from then on. Should
//! a namespace join work that has just begun, the next work of any kind does it: long before the cleanup ends, which waits
//! for all other processors (`synchronize_rcu`).
//!
//! Takes the slots of the map and the open namespaces; pins the link of the program with those of the generation, so that it
//! lives as long as they. Where a kernel cannot have such a program, the caller has to refuse. It reads the kernel's memory as
//! [`crate::code::owner`] does, under the same conditions.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use aya_obj::generated::bpf_prog_type;
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};

use crate::code::kernel_types::NamespaceTypes;
use crate::code::owner::PROBE_READ_KERNEL;
use crate::code::{Code, Label};
use crate::sys::{bpffs, link, netns, prog};

/// The name of the pin, next to the programs of a generation.
pub(crate) const PIN: &str = "departed";
/// Where any work of the kernel begins.
const TRACEPOINT: &str = "workqueue_execute_start";
/// Where the key of the map, and what was read, stand in the stack.
const KEY: i16 = -4;
const OUT: i16 = -16;
/// `sk` of `struct __sk_buff`.
const SOCKET: i16 = 168;
/// As much of a frame as a run of a program wants: an Ethernet header.
const FRAME: [u8; 14] = [0; 14];

/// A namespace that may end, held open so that it does not meanwhile.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    /// Its slot in the map.
    pub(crate) slot: u32,
    /// Its inode.
    pub(crate) inode: u64,
    /// It.
    pub(crate) open: &'a File,
}

/// Watches the namespaces from here on, until the pin at `path` ends.
pub(crate) fn watch(guests: &[Guest<'_>], map: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let types = NamespaceTypes::read().map_err(io::Error::other)?;
    let mut code = Code::default();
    for guest in guests {
        let inode = u32::try_from(guest.inode).map_err(io::Error::other)?;
        look(
            &mut code,
            guest.slot,
            address(guest, &types)?,
            inode,
            &types,
            map,
        );
    }
    code.give(0);
    let program = prog::load(&prog::Source {
        name: "sockc_departed",
        kind: bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT,
        attach: None,
        code: &code.bytes()?,
    })?;
    let link = link::at_tracepoint(program.as_fd(), TRACEPOINT)?;
    bpffs::pin(link.as_fd(), path)
}

/// Takes the id in a slot away unless the namespace at an address is held, and is still the one.
fn look(
    code: &mut Code,
    slot: u32,
    address: u64,
    inode: u32,
    types: &NamespaceTypes,
    map: BorrowedFd<'_>,
) {
    let (gone, next) = (code.label(), code.label());
    read(code, address + u64::from(types.references), gone);
    code.jump32_if(JumpOp::Eq, Register::R1, 0, gone);
    read(code, address + u64::from(types.inode), gone);
    code.jump32_if(JumpOp::Eq, Register::R1, inode.cast_signed(), next);
    code.place(gone);
    let key = slot.cast_signed();
    code.add([asm::store_imm(Width::W, Register::R10, KEY, key)]);
    code.map(Register::R1, map);
    code.add([
        asm::mov64_reg(Register::R2, Register::R10),
        asm::alu64_imm(AluOp::Add, Register::R2, KEY.into()),
        asm::call(Helper::MapLookupElem),
    ]);
    code.jump_if(JumpOp::Eq, Register::R0, 0, next);
    code.add([asm::store_imm(Width::W, Register::R0, 0, 0)]);
    code.place(next);
}

/// Reads 4 bytes of the kernel's memory into R1; to a label if there is none at that address.
fn read(code: &mut Code, address: u64, none: Label) {
    code.add(asm::load_imm64(Register::R3, address));
    copy(code, 4, none);
    code.add([asm::load(Width::W, Register::R1, Register::R10, OUT)]);
}

/// Copies bytes from the address in R3 to the stack.
fn copy(code: &mut Code, size: i32, none: Label) {
    code.add([
        asm::mov64_reg(Register::R1, Register::R10),
        asm::alu64_imm(AluOp::Add, Register::R1, OUT.into()),
        asm::mov64_imm(Register::R2, size),
    ]);
    code.call_number(PROBE_READ_KERNEL);
    code.jump_if(JumpOp::Ne, Register::R0, 0, none);
}

/// Where the kernel keeps a namespace: a program that is run in it has a socket of it, and tells one half at a time.
fn address(guest: &Guest<'_>, types: &NamespaceTypes) -> io::Result<u64> {
    let [low, high] = [0, 32].map(|shift| {
        let program = prog::load(&prog::Source {
            name: "sockc_where",
            kind: bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
            attach: None,
            code: &where_it_is(types, shift)?,
        })?;
        netns::within(Some(guest.open), || prog::run(program.as_fd(), &FRAME))?
    });
    let address = u64::from(low?) | u64::from(high?) << 32;
    if address == 0 {
        return Err(io::Error::other("the kernel does not tell where it is"));
    }
    Ok(address)
}

/// Gives 32 bits of the address of the namespace of the socket of the frame; 0 where there is none. The verifier lets nobody
/// count with the address of a socket. Copied like any other bytes it is a number.
fn where_it_is(types: &NamespaceTypes, shift: i32) -> io::Result<Vec<u8>> {
    let mut code = Code::default();
    let none = code.label();
    code.add([asm::load(Width::DW, Register::R6, Register::R1, SOCKET)]);
    code.jump_if(JumpOp::Eq, Register::R6, 0, none);
    code.add([
        asm::store_reg(Width::DW, Register::R10, OUT + 8, Register::R6),
        asm::mov64_reg(Register::R3, Register::R10),
        asm::alu64_imm(AluOp::Add, Register::R3, (OUT + 8).into()),
    ]);
    copy(&mut code, 8, none);
    code.add([
        asm::load(Width::DW, Register::R3, Register::R10, OUT),
        asm::alu64_imm(AluOp::Add, Register::R3, types.sock_net.into()),
    ]);
    copy(&mut code, 8, none);
    code.add([
        asm::load(Width::DW, Register::R0, Register::R10, OUT),
        asm::alu64_imm(AluOp::Rsh, Register::R0, shift),
        asm::exit(),
    ]);
    code.place(none);
    code.give(0);
    code.bytes()
}
