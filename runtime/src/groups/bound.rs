//! How much a shortcut brings: the program that a write goes on with when its way has no more room.
//!
//! What stands in the queue of a socket that a shortcut leads to the kernel bounds by nothing. So the program counts it there, and gives
//! the way [`LIMIT`] less that, if at least half is free: it counts at most once for each half that is written. Else the write goes by
//! TCP, which waits, and so do all later ones until the reader has read everything that came by TCP, and what the shortcut had brought:
//! what the shortcut brings is read first. That is seen by the numbers of the byte that is written next and of the byte that is read next, which are equal then.
//! No other call may write at that moment, since what it wrote by TCP may be on its way, and none read that would not see what the
//! shortcut brings ([`look`]).
//!
//! On a connection on which no byte went by TCP, as most are, nothing of that is asked, also when a new policy begins.
//!
//! Takes the maps of a group, and where the kernel keeps all this; gives a program of the runtime's own, put into the array that the
//! compiler's program calls it by. Where it cannot be made, that array stays empty, and everything goes by TCP. Not here: what is taken from a way (the compiler's
//! `ends::shortcut`).

mod look;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use sockc_compiler::artifact::{GroupPlan, MapKind};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::constant::SK_PASS;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};
use sockc_compiler::counter_blocks::{KEY_SHIFT, PLACE_MASK, PLACE_SHIFT};
use sockc_compiler::lower::{BY_TCP, COUNTER, LEFT, OVERHEAD};

use look::Look;

use crate::code::kernel_types::QueueTypes;
use crate::code::owner::may_read;
use crate::code::{Code, Label};
use crate::error::{Error, at};
use crate::hook::{PEERS, Point};
use crate::state::{OWN, State, totals};
use crate::sys::symbols::Symbol;
use crate::sys::{bpffs, map, prog};

/// How much may wait in the queue of a socket, each write costing [`OVERHEAD`] beside its bytes.
const LIMIT: i32 = 16 << 20;
/// What waits may be no more than this when more is given.
const HALF: i32 = LIMIT / 2;
/// More writes than that cannot wait then.
const WRITES: i32 = HALF / OVERHEAD + 1;

/// `size` and `sk` of `struct sk_msg_md`.
const SIZE: i16 = 68;
const CONTEXT_SOCKET: i16 = 72;

/// What stands on the stack: what was read last, and the bytes that wait. What stands below is of [`look`].
const OUT: i16 = -8;
const WAITS: i16 = -16;

/// The maps of a group whose sockets take shortcuts.
struct Maps {
    ways: OwnedFd,
    own: OwnedFd,
    peers: OwnedFd,
    /// Nothing where rules do not count.
    counters: Option<OwnedFd>,
}

/// Puts the program of a group into its array; the text says why it cannot be made.
pub(crate) fn place(
    state: &State,
    generation: u32,
    (plan, number): (&GroupPlan, u64),
    counts: bool,
) -> Result<Result<(), String>, Error> {
    let what = "place the program that bounds shortcuts";
    let folder = state.group(number);
    let pinned = |pin| bpffs::open(&folder.join(pin)).map_err(at(what));
    let counters = || state.open_map(generation, totals::COUNTERS, MapKind::PerCpuArray);
    let maps = Maps {
        ways: state.open_map(generation, &plan.ways, MapKind::SkStorage)?,
        own: pinned(OWN)?,
        peers: pinned(PEERS)?,
        counters: counts.then(counters).transpose()?,
    };
    let types = match QueueTypes::read().and_then(|types| may_read().map(|()| types)) {
        Ok(types) => types,
        Err(why) => return Ok(Err(why)),
    };
    let kind = Point::Send(number).kind();
    let program = prog::load(&prog::Source {
        name: "sockc_bound",
        kind: kind.program,
        attach: kind.load,
        code: &code(&types, &maps).map_err(at(what))?,
    });
    let program = program.map_err(at(what))?;
    let array = state.open_map(generation, &plan.bound, MapKind::ProgArray)?;
    let value = program.as_raw_fd().to_ne_bytes();
    map::update(array.as_fd(), &[0; 4], &value).map_err(at(what))?;
    Ok(Ok(()))
}

/// R6 is the context, R7 the way, R8 the address of the peer, R9 that of its `sk_psock`.
fn code(types: &QueueTypes, maps: &Maps) -> io::Result<Vec<u8>> {
    let mut code = Code::default();
    let [tcp, plain, back, give] = [(); 4].map(|()| code.label());
    let mut look = Look {
        code: &mut code,
        types,
        woken: Symbol::WokenWakeFunction.address().unwrap_or(0),
        tcp,
    };
    look.take_way(maps, plain);
    look.find_ends();
    look.all_is_read(back);
    look.count_waiting(give);
    look.code.place(back);
    look.nothing_waits();
    look.nobody_else_writes();
    look.readers_see();
    look.code
        .add([asm::store_imm(Width::DW, Register::R10, WAITS, 0)]);
    look.code.place(give);
    give_more(&mut code);
    code.place(tcp);
    go_by_tcp(&mut code, maps, plain);
    code.bytes()
}

/// Takes what is free from what may wait, less what this write takes of it, and lets it go to the peer.
fn give_more(code: &mut Code) {
    let enough = code.label();
    code.add([
        asm::mov64_imm(Register::R1, LIMIT),
        asm::load(Width::DW, Register::R2, Register::R10, WAITS),
        asm::alu64_reg(AluOp::Sub, Register::R1, Register::R2),
        asm::load(Width::W, Register::R2, Register::R6, SIZE),
        asm::alu64_imm(AluOp::Add, Register::R2, OVERHEAD),
        asm::mov64_reg(Register::R3, Register::R1),
        asm::mov64_imm(Register::R1, 0),
    ]);
    // One write may be larger than all that may wait, and goes whole.
    code.jump_if_above(Register::R2, Register::R3, enough);
    code.add([
        asm::mov64_reg(Register::R1, Register::R3),
        asm::alu64_reg(AluOp::Sub, Register::R1, Register::R2),
    ]);
    code.place(enough);
    code.add([
        asm::store_reg(Width::W, Register::R7, LEFT, Register::R1),
        asm::store_imm(Width::W, Register::R7, BY_TCP, 0),
    ]);
    code.give(SK_PASS);
}

/// Counts the write, and sends it to the output of its own socket. The compiler's program has seen that this is possible.
fn go_by_tcp(code: &mut Code, maps: &Maps, plain: Label) {
    code.add([
        asm::store_imm(Width::W, Register::R7, LEFT, 0),
        asm::store_imm(Width::W, Register::R7, BY_TCP, 1),
    ]);
    if let Some(counters) = &maps.counters {
        code.add([
            asm::load(Width::W, Register::R1, Register::R7, COUNTER),
            asm::alu64_imm(AluOp::Rsh, Register::R1, KEY_SHIFT),
            asm::store_reg(Width::W, Register::R10, OUT, Register::R1),
            asm::mov64_reg(Register::R2, Register::R10),
            asm::alu64_imm(AluOp::Add, Register::R2, OUT.into()),
        ]);
        code.map(Register::R1, counters.as_fd());
        code.add([asm::call(Helper::MapLookupElem)]);
        code.jump_if(JumpOp::Eq, Register::R0, 0, plain);
        // A preemptible kernel may take the writer off its CPU between a load and a store.
        code.add([
            asm::load(Width::W, Register::R1, Register::R7, COUNTER),
            asm::alu64_imm(AluOp::And, Register::R1, PLACE_MASK),
            asm::alu64_imm(AluOp::Lsh, Register::R1, PLACE_SHIFT),
            asm::alu64_reg(AluOp::Add, Register::R0, Register::R1),
            asm::mov64_imm(Register::R1, 1),
            asm::atomic_add64(Register::R0, 0, Register::R1),
            asm::load(Width::W, Register::R1, Register::R6, SIZE),
            asm::atomic_add64(Register::R0, 8, Register::R1),
        ]);
    }
    code.place(plain);
    let done = code.label();
    storage(code, &maps.own);
    code.jump_if(JumpOp::Eq, Register::R0, 0, done);
    code.add([
        asm::mov64_reg(Register::R3, Register::R0),
        asm::mov64_reg(Register::R1, Register::R6),
        asm::mov64_imm(Register::R4, 0),
    ]);
    code.map(Register::R2, maps.peers.as_fd());
    code.add([asm::call(Helper::MsgRedirectHash)]);
    code.place(done);
    code.give(SK_PASS);
}

/// What a storage holds of the writing socket, in R0; 0 if nothing.
fn storage(code: &mut Code, map: &OwnedFd) {
    code.map(Register::R1, map.as_fd());
    code.add([
        asm::load(Width::DW, Register::R2, Register::R6, CONTEXT_SOCKET),
        asm::mov64_imm(Register::R3, 0),
        asm::mov64_imm(Register::R4, 0),
        asm::call(Helper::SkStorageGet),
    ]);
}
