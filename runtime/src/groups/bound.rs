//! How much a shortcut brings: the program that a write goes on with when its way has no more room.
//!
//! What stands in the queue of a socket that a shortcut leads to the kernel bounds by nothing. So the program counts it there, and gives
//! the way [`LIMIT`] less that, if at least half is free: it counts at most once for each half that is written. Else the write goes by
//! TCP, which waits, and so do all later ones until the reader has read everything that came by TCP, and what the shortcut had brought:
//! what the shortcut brings is read first. That is seen by the numbers of the byte that is written next and of the byte that is read next, which are equal then.
//! Nobody may be at work on either end at that moment: another thread's write by TCP may be on its way, and a read that has begun
//! with data of TCP (`tcp_recvmsg`) sees no other until it returns, which with MSG_WAITALL may be late. Threads
//! that wait in epoll or io_uring do not read.
//!
//! On a connection on which no byte went by TCP, as most are, nothing of that is asked, also when a new policy begins.
//!
//! Takes the maps of a group, and where the kernel keeps all this; gives a program of the runtime's own, put into the array that the
//! compiler's program calls it by. Where it cannot be made, that array stays empty, and everything goes by TCP. Not here: what is taken from a way (the compiler's
//! `ends::shortcut`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use sockc_compiler::artifact::{GroupPlan, MapKind};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::constant::SK_PASS;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};
use sockc_compiler::lower::{BEGAN, BY_TCP, COUNTER, LEFT, OVERHEAD};

use crate::code::kernel_types::QueueTypes;
use crate::code::owner::{PROBE_READ_KERNEL, may_read};
use crate::code::{Code, Label};
use crate::error::{Error, at};
use crate::hook::{PEERS, Point};
use crate::state::{OWN, State, totals};
use crate::sys::{bpffs, map, prog};

/// How much may wait in the queue of a socket, each write costing [`OVERHEAD`] beside its bytes.
const LIMIT: i32 = 4 << 20;
/// What waits may be no more than this when more is given.
const HALF: i32 = LIMIT / 2;
/// More writes than that cannot wait then.
const WRITES: i32 = HALF / OVERHEAD + 1;
/// So many that wait on a socket are looked at.
const WAITERS: i32 = 8;

/// `size` and `sk` of `struct sk_msg_md`.
const SIZE: i16 = 68;
const SOCKET: i16 = 72;
/// The flags in the lowest bits of `sk_user_data` (`SK_USER_DATA_PTRMASK`).
const FLAGS: i32 = 7;
/// How many hold the `sk_psock` of a socket that one call is at work on: that, and the map.
const ONE_CALL: i32 = 2;

/// What stands on the stack: what was read last, an address, the number that is written next, the address of the writing socket, an entry
/// of a list, the bytes that wait.
const OUT: i16 = -8;
const ADDRESS: i16 = -16;
const WRITTEN: i16 = -24;
const OWN_SOCKET: i16 = -32;
const ENTRY: i16 = -40;
const WAITS: i16 = -48;

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
        tcp,
    };
    look.take_way(maps, plain);
    look.find_ends();
    look.all_is_read(back);
    look.count_waiting(give);
    look.code.place(back);
    look.nothing_waits();
    look.nobody_else_writes();
    look.nobody_reads();
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
            asm::store_reg(Width::W, Register::R10, OUT, Register::R1),
            asm::mov64_reg(Register::R2, Register::R10),
            asm::alu64_imm(AluOp::Add, Register::R2, OUT.into()),
        ]);
        code.map(Register::R1, counters.as_fd());
        code.add([asm::call(Helper::MapLookupElem)]);
        code.jump_if(JumpOp::Eq, Register::R0, 0, plain);
        // A preemptible kernel may take the writer off its CPU between a load and a store.
        code.add([
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
        asm::load(Width::DW, Register::R2, Register::R6, SOCKET),
        asm::mov64_imm(Register::R3, 0),
        asm::mov64_imm(Register::R4, 0),
        asm::call(Helper::SkStorageGet),
    ]);
}

/// The part of the program that looks. Whatever it cannot read, it goes to `tcp`.
struct Look<'a> {
    code: &'a mut Code,
    types: &'a QueueTypes,
    tcp: Label,
}

impl Look<'_> {
    fn take_way(&mut self, maps: &Maps, plain: Label) {
        self.code.add([asm::mov64_reg(Register::R6, Register::R1)]);
        storage(self.code, &maps.ways);
        self.code.jump_if(JumpOp::Eq, Register::R0, 0, plain);
        self.code.add([asm::mov64_reg(Register::R7, Register::R0)]);
    }

    /// The addresses of both sockets, and of the peer's `sk_psock`.
    fn find_ends(&mut self) {
        self.code
            .add([asm::load(Width::DW, Register::R1, Register::R6, SOCKET)]);
        self.address_of(Register::R1, OWN_SOCKET);
        self.address_of(Register::R6, OUT);
        self.code
            .add([asm::load(Width::DW, Register::R8, Register::R10, OUT)]);
        self.read(Register::R8, self.types.redirected, 8, OUT);
        self.code
            .add([asm::load(Width::DW, Register::R8, Register::R10, OUT)]);
        self.code.jump_if(JumpOp::Eq, Register::R8, 0, self.tcp);
        self.psock(Register::R8, Register::R9);
    }

    /// The verifier lets nobody count with such an address. Copied like any other bytes it is a number.
    fn address_of(&mut self, pointer: Register, to: i16) {
        self.code.add([
            asm::store_reg(Width::DW, Register::R10, ADDRESS, pointer),
            asm::mov64_reg(Register::R3, Register::R10),
            asm::alu64_imm(AluOp::Add, Register::R3, ADDRESS.into()),
        ]);
        self.copy(8, to);
    }

    /// The `sk_psock` of the socket whose address is in a register.
    fn psock(&mut self, socket: Register, to: Register) {
        self.read(socket, self.types.sock_data, 8, OUT);
        self.code.add([
            asm::load(Width::DW, to, Register::R10, OUT),
            asm::alu64_imm(AluOp::And, to, !FLAGS),
        ]);
        self.code.jump_if(JumpOp::Eq, to, 0, self.tcp);
    }

    /// Goes on if all that was ever written by TCP has been read; to `back` if that was anything.
    fn all_is_read(&mut self, back: Label) {
        self.own_socket(Register::R3);
        self.read(Register::R3, self.types.written, 4, WRITTEN);
        self.read(Register::R8, self.types.read, 4, OUT);
        self.code.add([
            asm::load(Width::W, Register::R1, Register::R10, OUT),
            asm::load(Width::W, Register::R2, Register::R10, WRITTEN),
        ]);
        self.code
            .jump_if_other(Register::R1, Register::R2, self.tcp);
        self.code
            .add([asm::load(Width::W, Register::R1, Register::R7, BEGAN)]);
        self.code.jump_if_other(Register::R1, Register::R2, back);
        self.code
            .add([asm::load(Width::W, Register::R1, Register::R7, BY_TCP)]);
        self.code.jump_if(JumpOp::Ne, Register::R1, 0, back);
    }

    /// Adds up what waits, and goes to `give`; to `tcp` if it is more than half. R8 counts the messages.
    fn count_waiting(&mut self, give: Label) {
        let (next, more) = (self.code.label(), self.code.label());
        self.code.add([
            asm::mov64_imm(Register::R8, 0),
            asm::store_imm(Width::DW, Register::R10, WAITS, 0),
        ]);
        self.read(Register::R9, self.types.queue, 8, ENTRY);
        self.code.place(next);
        self.is_head(Register::R9, self.types.queue, more);
        self.code.jump(give);
        self.code.place(more);
        let size = i32::from(self.types.size) - i32::from(self.types.message);
        self.read_entry(size, 4, OUT);
        self.code.add([
            asm::load(Width::W, Register::R1, Register::R10, OUT),
            asm::alu64_imm(AluOp::Add, Register::R1, OVERHEAD),
            asm::load(Width::DW, Register::R2, Register::R10, WAITS),
            asm::alu64_reg(AluOp::Add, Register::R2, Register::R1),
            asm::store_reg(Width::DW, Register::R10, WAITS, Register::R2),
        ]);
        self.code.jump_if(JumpOp::Gt, Register::R2, HALF, self.tcp);
        self.next_entry(WRITES, next);
        self.code.jump(self.tcp);
    }

    /// Goes on if nothing that the shortcut has brought waits.
    fn nothing_waits(&mut self) {
        self.read(Register::R9, self.types.queue, 8, ENTRY);
        self.is_head(Register::R9, self.types.queue, self.tcp);
    }

    /// Goes on if this call alone is at work on the writing socket.
    fn nobody_else_writes(&mut self) {
        self.own_socket(Register::R3);
        self.psock(Register::R3, Register::R9);
        self.read(Register::R9, self.types.references, 4, OUT);
        self.code
            .add([asm::load(Width::W, Register::R1, Register::R10, OUT)]);
        self.code
            .jump_if(JumpOp::Ne, Register::R1, ONE_CALL, self.tcp);
    }

    /// Goes on if no call is at work on the peer, nor waits there. One that begins to wait does so with the socket locked, and
    /// stops so, too; none stops for nothing: what was written has been read.
    fn nobody_reads(&mut self) {
        let [next, more, done, alone] = [(); 4].map(|()| self.code.label());
        self.is_unlocked();
        self.read(Register::R8, self.types.sock_socket, 8, OUT);
        self.code
            .add([asm::load(Width::DW, Register::R9, Register::R10, OUT)]);
        self.code.jump_if(JumpOp::Eq, Register::R9, 0, alone);
        self.read(Register::R9, self.types.waiting, 8, ENTRY);
        // The peer's address is needed again.
        self.code.add([
            asm::store_reg(Width::DW, Register::R10, ADDRESS, Register::R8),
            asm::mov64_imm(Register::R8, 0),
        ]);
        self.code.place(next);
        self.is_head(Register::R9, self.types.waiting, more);
        self.code.jump(done);
        self.code.place(more);
        let thread = i32::from(self.types.thread) - i32::from(self.types.waiter);
        self.read_entry(thread, 8, OUT);
        self.code
            .add([asm::load(Width::DW, Register::R1, Register::R10, OUT)]);
        self.code.jump_if(JumpOp::Ne, Register::R1, 0, self.tcp);
        self.next_entry(WAITERS, next);
        self.code.jump(self.tcp);
        self.code.place(done);
        self.code
            .add([asm::load(Width::DW, Register::R8, Register::R10, ADDRESS)]);
        self.code.place(alone);
        self.is_unlocked();
    }

    fn is_unlocked(&mut self) {
        self.read(Register::R8, self.types.owned, 4, OUT);
        self.code
            .add([asm::load(Width::W, Register::R1, Register::R10, OUT)]);
        self.code.jump_if(JumpOp::Ne, Register::R1, 0, self.tcp);
    }

    /// Goes on if the entry is the head of the list, at an offset of what the register points to; else to a label.
    fn is_head(&mut self, base: Register, offset: u16, other: Label) {
        self.code.add([
            asm::load(Width::DW, Register::R1, Register::R10, ENTRY),
            asm::mov64_reg(Register::R2, base),
            asm::alu64_imm(AluOp::Add, Register::R2, offset.into()),
        ]);
        self.code.jump_if_other(Register::R1, Register::R2, other);
    }

    /// Reads what stands so far from where the entry links to the next.
    fn read_entry(&mut self, offset: i32, size: i32, to: i16) {
        self.code.add([
            asm::load(Width::DW, Register::R3, Register::R10, ENTRY),
            asm::alu64_imm(AluOp::Add, Register::R3, offset),
        ]);
        self.copy(size, to);
    }

    /// Goes to a label with the next entry, and after so many goes on.
    fn next_entry(&mut self, most: i32, next: Label) {
        self.read_entry(0, 8, ENTRY);
        self.code.add([asm::alu64_imm(AluOp::Add, Register::R8, 1)]);
        self.code.jump_if(JumpOp::Lt, Register::R8, most, next);
    }

    fn own_socket(&mut self, register: Register) {
        self.code
            .add([asm::load(Width::DW, register, Register::R10, OWN_SOCKET)]);
    }

    /// Reads at an offset of what the register points to.
    fn read(&mut self, base: Register, offset: u16, size: i32, to: i16) {
        self.code.add([
            asm::mov64_reg(Register::R3, base),
            asm::alu64_imm(AluOp::Add, Register::R3, offset.into()),
        ]);
        self.copy(size, to);
    }

    /// Copies from the address in R3.
    fn copy(&mut self, size: i32, to: i16) {
        self.code.add([
            asm::mov64_reg(Register::R1, Register::R10),
            asm::alu64_imm(AluOp::Add, Register::R1, to.into()),
            asm::mov64_imm(Register::R2, size),
        ]);
        self.code.call_number(PROBE_READ_KERNEL);
        self.code.jump_if(JumpOp::Ne, Register::R0, 0, self.tcp);
    }
}
