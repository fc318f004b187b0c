//! What a write finds out about both ends, whose way has no more room: whether all that went by TCP has been read, how much waits,
//! and whether a reader sees what is put into its queue.
//!
//! A call that reads waits in one of two places. `tcp_bpf_recvmsg` sees both queues. `tcp_recvmsg`, where it goes on once data has
//! come by TCP, sees that of TCP alone until it returns, which with MSG_WAITALL may be late. The first one holds the
//! `sk_psock` while it waits and the second one does not. So a thread that waits there is no hindrance where the `sk_psock` is held by one
//! call, and there is no other call that it could be: a call of a thread that shares its descriptors holds the open file (`fdget`), and a thread
//! that shares them with nobody waits. Both are looked at several times in turn: a call that began or ended in between shows in
//! one of them.
//!
//! Gives code that reads the kernel's structures. Not here: what follows from it.

use std::mem;

use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};
use sockc_compiler::lower::{BEGAN, BY_TCP, OVERHEAD};

use super::{CONTEXT_SOCKET, HALF, Maps, OUT, WAITS, WRITES, storage};
use crate::code::kernel_types::{CallTypes, QueueTypes};
use crate::code::owner::PROBE_READ_KERNEL;
use crate::code::{Code, Label};

/// So many that wait on a socket are looked at.
const WAITERS: i32 = 8;
/// How often it is looked who is at work on a socket.
const LOOKS: usize = 3;
/// How often it is counted what waits, where that fails.
const WALKS: usize = 3;
/// The flags in the lowest bits of `sk_user_data` (`SK_USER_DATA_PTRMASK`).
const FLAGS: i32 = 7;
/// How many hold the `sk_psock` of a socket that one call is at work on: that, and the map.
const ONE_CALL: i32 = 2;

/// What stands on the stack beside what [`super`] keeps there: an address, the number that is written next, the address of the
/// writing socket, an entry of a list, the address of the peer, the entry of the thread that waits there, how often its file is held.
const ADDRESS: i16 = -24;
const WRITTEN: i16 = -32;
const OWN_SOCKET: i16 = -40;
const ENTRY: i16 = -48;
const PEER: i16 = -56;
const WAITER: i16 = -64;
const HELD: i16 = -72;

/// The part of the program that looks. Whatever it cannot read, it goes to `tcp`.
pub(super) struct Look<'a> {
    pub(super) code: &'a mut Code,
    pub(super) types: &'a QueueTypes,
    /// Where `woken_wake_function` is; 0 where the kernel does not tell.
    pub(super) woken: u64,
    pub(super) tcp: Label,
}

impl Look<'_> {
    pub(super) fn take_way(&mut self, maps: &Maps, plain: Label) {
        self.code.add([asm::mov64_reg(Register::R6, Register::R1)]);
        storage(self.code, &maps.ways);
        self.code.jump_if(JumpOp::Eq, Register::R0, 0, plain);
        self.code.add([asm::mov64_reg(Register::R7, Register::R0)]);
    }

    /// The addresses of both sockets, and of the peer's `sk_psock`.
    pub(super) fn find_ends(&mut self) {
        self.code.add([asm::load(
            Width::DW,
            Register::R1,
            Register::R6,
            CONTEXT_SOCKET,
        )]);
        self.address_of(Register::R1, OWN_SOCKET);
        self.address_of(Register::R6, OUT);
        self.code
            .add([asm::load(Width::DW, Register::R8, Register::R10, OUT)]);
        self.read(Register::R8, self.types.redirected, 8, OUT);
        self.follow(Register::R8);
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
        self.follow(to);
        self.code.add([asm::alu64_imm(AluOp::And, to, !FLAGS)]);
    }

    /// Goes on if all that was ever written by TCP has been read; to `back` if that was anything.
    pub(super) fn all_is_read(&mut self, back: Label) {
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

    /// Adds up what waits, and goes to `give`; to `tcp` if it is more than half.
    ///
    /// The reader takes entries away meanwhile: one that is gone when it is followed leads nowhere, or into the queue of another
    /// socket. So it is counted once more where it did not come to its end.
    pub(super) fn count_waiting(&mut self, give: Label) {
        let counted = self.code.label();
        for _ in 0..WALKS {
            let astray = self.code.label();
            let tcp = mem::replace(&mut self.tcp, astray);
            self.walk_queue(counted);
            self.tcp = tcp;
            self.code.place(astray);
        }
        self.code.jump(self.tcp);
        self.code.place(counted);
        self.code
            .add([asm::load(Width::DW, Register::R1, Register::R10, WAITS)]);
        self.code.jump_if(JumpOp::Le, Register::R1, HALF, give);
        self.code.jump(self.tcp);
    }

    /// Adds up to the end of the queue, and goes to a label; goes on behind the last entry that may be looked at. R8 counts them. The verifier
    /// keeps each branch of each entry until it has seen the last one, 8,192 at most: there are no more than two here.
    fn walk_queue(&mut self, counted: Label) {
        let (next, more) = (self.code.label(), self.code.label());
        self.code.add([
            asm::mov64_imm(Register::R8, 0),
            asm::store_imm(Width::DW, Register::R10, WAITS, 0),
        ]);
        self.read(Register::R9, self.types.queue, 8, ENTRY);
        self.code.place(next);
        self.is_head(Register::R9, self.types.queue, more);
        self.code.jump(counted);
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
        // Where this cannot be read it is 0 (`bpf_probe_read_kernel`), and nothing can be read there.
        self.entry_at(0);
        self.fetch(8, ENTRY);
        self.code.add([asm::alu64_imm(AluOp::Add, Register::R8, 1)]);
        self.code.jump_if(JumpOp::Lt, Register::R8, WRITES, next);
    }

    /// Goes on if nothing that the shortcut has brought waits.
    pub(super) fn nothing_waits(&mut self) {
        self.read(Register::R9, self.types.queue, 8, ENTRY);
        self.is_head(Register::R9, self.types.queue, self.tcp);
    }

    /// Goes on if this call alone is at work on the writing socket.
    pub(super) fn nobody_else_writes(&mut self) {
        self.own_socket(Register::R3);
        self.code
            .add([asm::store_reg(Width::DW, Register::R10, PEER, Register::R8)]);
        self.psock(Register::R3, Register::R8);
        self.is_held_by_one_call();
        self.code
            .add([asm::load(Width::DW, Register::R8, Register::R10, PEER)]);
    }

    /// Goes on if a call that reads at the peer, or begins to, sees what is put into its queue now. One that begins to wait does so with the
    /// socket locked, and stops so, too; none stops for nothing: what was written has been read.
    pub(super) fn readers_see(&mut self) {
        let nobody = self.code.label();
        self.is_unlocked();
        self.code.add([
            asm::store_reg(Width::DW, Register::R10, PEER, Register::R8),
            asm::store_imm(Width::DW, Register::R10, WAITER, 0),
        ]);
        self.read(Register::R8, self.types.sock_socket, 8, OUT);
        self.code
            .add([asm::load(Width::DW, Register::R9, Register::R10, OUT)]);
        // Nobody has accepted it.
        self.code.jump_if(JumpOp::Eq, Register::R9, 0, nobody);
        self.find_waiter();
        self.code
            .add([asm::load(Width::DW, Register::R1, Register::R10, WAITER)]);
        self.code.jump_if(JumpOp::Eq, Register::R1, 0, nobody);
        self.holders_of_alone();
        self.code
            .add([asm::load(Width::DW, Register::R8, Register::R10, PEER)]);
        self.is_in_one_map();
        for _ in 0..LOOKS {
            self.is_held_by_one_call();
            self.file_is_held_so();
        }
        self.is_held_by_one_call();
        self.code.place(nobody);
        self.code
            .add([asm::load(Width::DW, Register::R8, Register::R10, PEER)]);
        self.is_unlocked();
    }

    /// Finds the one thread that waits in a call on the `socket` in R9; nothing where there is none. R8 counts.
    fn find_waiter(&mut self) {
        let [next, more, skip, done] = [(); 4].map(|()| self.code.label());
        let CallTypes {
            waiting,
            waiter,
            thread,
            wakes,
            ..
        } = self.types.calls;
        self.read(Register::R9, waiting, 8, ENTRY);
        self.code.add([asm::mov64_imm(Register::R8, 0)]);
        self.code.place(next);
        self.is_head(Register::R9, waiting, more);
        self.code.jump(done);
        self.code.place(more);
        // Others are no calls: epoll, io_uring, and threads in poll and select.
        let (what, known) = match self.woken {
            0 => (thread, false),
            _ => (wakes, true),
        };
        self.read_entry(i32::from(what) - i32::from(waiter), 8, OUT);
        self.code
            .add([asm::load(Width::DW, Register::R1, Register::R10, OUT)]);
        if known {
            self.code.add(asm::load_imm64(Register::R2, self.woken));
            self.code.jump_if_other(Register::R1, Register::R2, skip);
        } else {
            self.code.jump_if(JumpOp::Eq, Register::R1, 0, skip);
        }
        self.code
            .add([asm::load(Width::DW, Register::R1, Register::R10, WAITER)]);
        self.code.jump_if(JumpOp::Ne, Register::R1, 0, self.tcp);
        self.code.add([
            asm::load(Width::DW, Register::R1, Register::R10, ENTRY),
            asm::store_reg(Width::DW, Register::R10, WAITER, Register::R1),
        ]);
        self.code.place(skip);
        self.next_entry(WAITERS, next);
        self.code.jump(self.tcp);
        self.code.place(done);
    }

    /// Keeps how often the open file is held if the thread that waits is the only one at work on it: by its descriptor, and by its call
    /// where it shares its descriptors with others.
    fn holders_of_alone(&mut self) {
        let calls = self.types.calls;
        let shared = self.code.label();
        self.code.add([
            asm::load(Width::DW, Register::R1, Register::R10, WAITER),
            asm::store_reg(Width::DW, Register::R10, ENTRY, Register::R1),
            asm::store_imm(Width::DW, Register::R10, HELD, calls.one_holder + 1),
        ]);
        self.read_entry(i32::from(calls.thread) - i32::from(calls.waiter), 8, OUT);
        self.follow(Register::R8);
        self.read(Register::R8, calls.table, 8, OUT);
        self.follow(Register::R8);
        self.read(Register::R8, calls.threads, 4, OUT);
        self.code
            .add([asm::load(Width::W, Register::R1, Register::R10, OUT)]);
        self.code.jump_if(JumpOp::Ne, Register::R1, 1, shared);
        self.code.add([asm::store_imm(
            Width::DW,
            Register::R10,
            HELD,
            calls.one_holder,
        )]);
        self.code.place(shared);
        self.read(Register::R9, calls.file, 8, OUT);
        self.follow(Register::R9);
    }

    /// Goes on if the peer in R8 is in no other map.
    fn is_in_one_map(&mut self) {
        self.code.add([asm::store_reg(
            Width::DW,
            Register::R10,
            ADDRESS,
            Register::R9,
        )]);
        self.psock(Register::R8, Register::R9);
        self.read(Register::R9, self.types.maps, 8, ENTRY);
        self.read_entry(0, 8, ENTRY);
        self.is_head(Register::R9, self.types.maps, self.tcp);
        self.code.add([
            asm::mov64_reg(Register::R8, Register::R9),
            asm::load(Width::DW, Register::R9, Register::R10, ADDRESS),
        ]);
    }

    /// Goes on if one call holds the `sk_psock` in R8.
    fn is_held_by_one_call(&mut self) {
        self.read(Register::R8, self.types.references, 4, OUT);
        self.code
            .add([asm::load(Width::W, Register::R1, Register::R10, OUT)]);
        self.code
            .jump_if(JumpOp::Ne, Register::R1, ONE_CALL, self.tcp);
    }

    /// Goes on if the open file in R9 is held as often as it should be.
    fn file_is_held_so(&mut self) {
        self.read(Register::R9, self.types.calls.holders, 8, OUT);
        self.code.add([
            asm::load(Width::DW, Register::R1, Register::R10, OUT),
            asm::load(Width::DW, Register::R2, Register::R10, HELD),
        ]);
        self.code
            .jump_if_other(Register::R1, Register::R2, self.tcp);
    }

    /// Takes the address that was read; 0 is none.
    fn follow(&mut self, to: Register) {
        self.code
            .add([asm::load(Width::DW, to, Register::R10, OUT)]);
        self.code.jump_if(JumpOp::Eq, to, 0, self.tcp);
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
        self.entry_at(offset);
        self.copy(size, to);
    }

    /// Where that stands, in R3.
    fn entry_at(&mut self, offset: i32) {
        self.code.add([
            asm::load(Width::DW, Register::R3, Register::R10, ENTRY),
            asm::alu64_imm(AluOp::Add, Register::R3, offset),
        ]);
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
        self.fetch(size, to);
        self.code.jump_if(JumpOp::Ne, Register::R0, 0, self.tcp);
    }

    /// The same, where it does not matter yet whether it could be read.
    fn fetch(&mut self, size: i32, to: i16) {
        self.code.add([
            asm::mov64_reg(Register::R1, Register::R10),
            asm::alu64_imm(AluOp::Add, Register::R1, to.into()),
            asm::mov64_imm(Register::R2, size),
        ]);
        self.code.call_number(PROBE_READ_KERNEL);
    }
}
