//! The dispatcher: the tiny program that every link holds.
//!
//! It reads which generation is in force and tail-calls the program in that generation's slot. So one word switches every
//! hook at once, and a socket that keeps the program it met when it came into a SOCKMAP follows a new policy all the same.
//! Where the slot is empty it lets everything go on. Below the generation it was made for it does so too: a hook that an
//! apply adds sleeps until that apply's switch. In the namespace of a `for netns` block it reads the outer policy's word, so
//! that both are switched by one; its own only says whether the block is there.
//!
//! Past the deadline of a trial ([`crate::state::trial`]) it takes the generation before for the one in force, whoever lives.
//!
//! Where packets arrive, an array has a second pair of slots, after the first: for what fills the slots of named sockets
//! (`refill`), which is called first.
//!
//! A socket that receives keeps its place in the map of readers as long as it lives, and one where data of a shortcut waits its
//! place in the map of peers, so that nothing that is yet to be read is lost, also when the map has no pin any more: the kernel frees a map when nothing refers to it, and takes its sockets out then
//! (`sock_hash_free` in net/core/sock_map.c). So the dispatcher, which each of these sockets holds, refers to that map.
//!
//! The index of each tail call is a constant, which lets the kernel turn it into a direct jump.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sockc_compiler::artifact::Section;
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::constant::{AF_INET, IPPROTO_TCP, IPPROTO_UDP, SMALLEST_PAGE, TCP_ULP};
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::insn::Insn;
use sockc_compiler::bpf::opcode::{JumpOp, Register, Width};
use sockc_compiler::object::types_of_program;

use super::guard::Guard;
use super::layered::Layered;
use crate::code::{Code, Label};
use crate::hook::{Point, dispatcher_name};
use crate::state::{SIDES, trial};
use crate::sys::{prog, types};

/// `BPF_SOCK_OPS_TCP_LISTEN_CB` of `linux/bpf.h`.
pub(crate) const TCP_LISTEN_CB: i32 = 11;
/// The source of the runtime's own lookups for IPv6.
pub(crate) const NOBODY_SIX: Ipv6Addr = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
/// `remote_port` of `struct bpf_sk_lookup`.
const LOOKUP_REMOTE_PORT: i16 = 36;
/// `family` of `struct bpf_sk_lookup`.
const LOOKUP_FAMILY: i16 = 8;
/// `remote_ip4` and the last three words of `remote_ip6`. Of the other family they read as zero.
const LOOKUP_REMOTE_ADDRESS: [i16; 4] = [16, 24, 28, 32];
/// The first word of `remote_ip6`, in network order.
const LOOKUP_REMOTE_BEGIN: i16 = 20;
/// `protocol` of `struct bpf_sock`.
const SOCKET_PROTOCOL: i16 = 12;
/// `level`, `optname` and `optlen` of `struct bpf_sockopt`.
const OPTION_LEVEL: i16 = 24;
const OPTION_NAME: i16 = 28;
const OPTION_LENGTH: i16 = 32;
/// The numbers of helpers that the compiler does not know.
const JIFFIES64: i32 = 118;
const KTIME_GET_BOOT_NS: i32 = 125;

/// The maps with the words that a dispatcher reads, and one that it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    /// The namespace's own.
    pub(crate) control: BorrowedFd<'a>,
    /// That of the outer policy, for a `for netns` block.
    pub(crate) outer: Option<BorrowedFd<'a>>,
    /// Until when what that word names is on trial; none where an older sockc made the folder.
    pub(crate) trial: Option<BorrowedFd<'a>>,
    /// A map that lives as long as a socket has the dispatcher, though nothing is read of it.
    pub(crate) held: Option<BorrowedFd<'a>>,
}

/// What a dispatcher does first.
pub(crate) enum First {
    /// One that sees connections of other control groups too asks whose it is.
    Guard(Guard),
    /// One that sees what is written looks what is between the process and TCP.
    Layered(Layered),
}

/// Loads the dispatcher of a point.
pub(crate) fn load(
    point: Point,
    since: u32,
    first: Option<&First>,
    words: Words<'_>,
    slots: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    let kind = point.kind();
    let name = dispatcher_name(since);
    let source = prog::Source {
        name: &name,
        kind: kind.program,
        attach: kind.load,
        code: &code(point, since, first, words, slots)?,
    };
    // What packets meet can be followed by a tracing program, which takes a type.
    let section = match point {
        Point::Xdp(_) => Section::Xdp,
        Point::TcIn(_) | Point::TcOut(_) => Section::Classifier,
        _ => return prog::load(&source),
    };
    let (bytes, number) = types_of_program(&name, section).map_err(io::Error::other)?;
    let types = types::load(&bytes)?;
    let of = types.as_fd();
    prog::load_typed(&source, prog::Function { of, number })
}

fn code(
    point: Point,
    since: u32,
    first: Option<&First>,
    words: Words<'_>,
    slots: BorrowedFd<'_>,
) -> io::Result<Vec<u8>> {
    let mut code = Code::default();
    let pass = code.label();
    match point {
        Point::Lookup => skip_own_lookups(&mut code),
        Point::Listen => only_listen(&mut code, pass),
        Point::Setsockopt(_) => only_layers(&mut code, pass),
        Point::Datagrams(_) => only_of(IPPROTO_UDP, &mut code, pass),
        Point::Leaving(_) => only_of(IPPROTO_TCP, &mut code, pass),
        _ => {}
    }
    if let Some(held) = words.held {
        code.map(Register::R2, held);
    }
    match first {
        Some(First::Guard(guard)) => guard.check(&mut code, pass),
        Some(First::Layered(layered)) => layered.check(&mut code),
        None => {}
    }
    let odd = code.label();
    let refills = matches!(point, Point::Xdp(_) | Point::TcIn(_));
    read(&mut code, words.control);
    if let Some(outer) = words.outer {
        code.jump_if(JumpOp::Eq, Register::R2, 0, pass);
        read(&mut code, outer);
    }
    if let Some(trial) = words.trial {
        code.jump_if(JumpOp::Eq, Register::R2, 0, pass);
        judge(&mut code, trial);
    }
    let since = code.number(since);
    code.jump_if(JumpOp::Lt, Register::R2, since, pass);
    code.jump_if(JumpOp::Set, Register::R2, 1, odd);
    call_side(&mut code, slots, 0, refills);
    code.jump(pass);
    code.place(odd);
    call_side(&mut code, slots, 1, refills);
    code.place(pass);
    code.give(point.kind().pass);
    code.bytes()
}

/// Reads a word.
fn read(code: &mut Code, word: BorrowedFd<'_>) {
    code.map_value(Register::R2, word);
    code.add([asm::load(Width::W, Register::R2, Register::R2, 0)]);
}

/// The word in R2 becomes the generation that is in force: past the deadline of a trial the one before.
///
/// Without a trial that is one load and one comparison. While one runs, the clock is asked once a jiffy, by whoever comes first:
/// `bpf_jiffies64` (Linux 5.6) is a load, which the verifier puts in place of the call (`do_misc_fixups` of
/// kernel/bpf/verifier.c), and the clock (`bpf_ktime_get_boot_ns`, Linux 5.8) reads the processor's counter. Jiffies alone
/// would not do: how many are a second is the kernel's own affair, and they stand still while the machine sleeps
/// (`tick_resume` of kernel/time/tick-common.c goes on where it stopped). So a deadline is found at most one jiffy late.
///
/// Whoever finds it leaves it in the value before it goes on, and from then on no processor that sees that looks at the clock:
/// what has passed stays passed, also for one that has marked this jiffy as not late yet.
fn judge(code: &mut Code, trial: BorrowedFd<'_>) {
    let (settled, late, passed, runs) = (code.label(), code.label(), code.label(), code.label());
    code.map_value(Register::R3, trial);
    code.add([asm::load(
        Width::W,
        Register::R4,
        Register::R3,
        trial::GENERATION,
    )]);
    code.jump_if_other(Register::R4, Register::R2, settled);
    code.add([
        asm::mov64_reg(Register::R6, Register::R1),
        asm::mov64_reg(Register::R7, Register::R3),
        asm::mov64_reg(Register::R8, Register::R2),
        asm::load(Width::DW, Register::R5, Register::R7, trial::DEADLINE),
        asm::load(Width::DW, Register::R4, Register::R7, trial::PASSED),
    ]);
    code.jump_if_same(Register::R4, Register::R5, passed);
    code.call_number(JIFFIES64);
    code.add([asm::load(
        Width::DW,
        Register::R4,
        Register::R7,
        trial::SEEN,
    )]);
    code.jump_if_same(Register::R4, Register::R0, runs);
    code.add([asm::mov64_reg(Register::R9, Register::R0)]);
    code.call_number(KTIME_GET_BOOT_NS);
    code.add([asm::load(
        Width::DW,
        Register::R5,
        Register::R7,
        trial::DEADLINE,
    )]);
    code.jump_if_reached(Register::R0, Register::R5, late);
    code.add([asm::store_reg(
        Width::DW,
        Register::R7,
        trial::SEEN,
        Register::R9,
    )]);
    code.place(runs);
    code.add([
        asm::mov64_reg(Register::R2, Register::R8),
        asm::mov64_reg(Register::R1, Register::R6),
    ]);
    code.jump(settled);
    code.place(late);
    code.add([asm::store_reg(
        Width::DW,
        Register::R7,
        trial::PASSED,
        Register::R5,
    )]);
    code.place(passed);
    code.add([
        asm::load(Width::W, Register::R2, Register::R7, trial::FALLBACK),
        asm::mov64_reg(Register::R1, Register::R6),
    ]);
    code.place(settled);
}

/// A lookup from port 0 of 0.0.0.0 or [`NOBODY_SIX`] is no packet, for the kernel takes none of these from any interface: it is
/// the runtime looking for a listener by its address, and must find that listener, not where the policy sends packets for it.
fn skip_own_lookups(code: &mut Code) {
    let [first, second, ..] = NOBODY_SIX.octets();
    let nobody_six = i32::from_ne_bytes([first, second, 0, 0]);
    let (packet, own) = (code.label(), code.label());
    code.add([asm::load(
        Width::H,
        Register::R2,
        Register::R1,
        LOOKUP_REMOTE_PORT,
    )]);
    code.jump_if(JumpOp::Ne, Register::R2, 0, packet);
    for offset in LOOKUP_REMOTE_ADDRESS {
        code.add([asm::load(Width::W, Register::R2, Register::R1, offset)]);
        code.jump_if(JumpOp::Ne, Register::R2, 0, packet);
    }
    code.add([asm::load(
        Width::W,
        Register::R2,
        Register::R1,
        LOOKUP_FAMILY,
    )]);
    code.jump_if(JumpOp::Eq, Register::R2, AF_INET, own);
    code.add([asm::load(
        Width::W,
        Register::R2,
        Register::R1,
        LOOKUP_REMOTE_BEGIN,
    )]);
    code.jump32_if(JumpOp::Ne, Register::R2, nobody_six, packet);
    code.place(own);
    code.give(Point::Lookup.kind().pass);
    code.place(packet);
}

/// The hook is on the root of all control groups: everything else that sockets do there must cost next to nothing.
fn only_listen(code: &mut Code, pass: Label) {
    code.add([asm::load(Width::W, Register::R2, Register::R1, 0)]);
    code.jump_if(JumpOp::Ne, Register::R2, TCP_LISTEN_CB, pass);
}

/// The hook is on the root of all control groups, too: every other option that is set on the machine goes on. Of a long value
/// programs see a part, which must not become the whole (`SMALLEST_PAGE`).
fn only_layers(code: &mut Code, pass: Label) {
    let short = code.label();
    code.add([option(OPTION_LENGTH)]);
    code.jump32_if(JumpOp::SLe, Register::R2, SMALLEST_PAGE, short);
    code.add([
        asm::mov64_imm(Register::R2, 0),
        asm::store_reg(Width::W, Register::R1, OPTION_LENGTH, Register::R2),
    ]);
    code.place(short);
    code.add([option(OPTION_LEVEL)]);
    code.jump_if(JumpOp::Ne, Register::R2, IPPROTO_TCP, pass);
    code.add([option(OPTION_NAME)]);
    code.jump_if(JumpOp::Ne, Register::R2, TCP_ULP, pass);
}

/// The hook is on the root of all control groups, too, and sees every packet that any socket of the machine gets, or sends.
fn only_of(protocol: i32, code: &mut Code, pass: Label) {
    let is_one = code.label();
    code.add([
        asm::mov64_reg(Register::R6, Register::R1),
        asm::load(
            Width::DW,
            Register::R1,
            Register::R1,
            Point::Datagrams(0).socket_at(),
        ),
    ]);
    code.jump_if(JumpOp::Eq, Register::R1, 0, pass);
    code.add([asm::call(Helper::SkFullsock)]);
    code.jump_if(JumpOp::Eq, Register::R0, 0, pass);
    code.add([
        asm::load(Width::W, Register::R2, Register::R0, SOCKET_PROTOCOL),
        asm::mov64_reg(Register::R1, Register::R6),
    ]);
    code.jump_if(JumpOp::Eq, Register::R2, protocol, is_one);
    code.jump(pass);
    code.place(is_one);
}

/// Loads a word of `struct bpf_sockopt`.
fn option(offset: i16) -> Insn {
    asm::load(Width::W, Register::R2, Register::R1, offset)
}

/// What fills the slots of named sockets goes ahead, and calls the policy's own program itself.
fn call_side(code: &mut Code, slots: BorrowedFd<'_>, side: u32, refills: bool) {
    if refills {
        code.add([asm::mov64_reg(Register::R6, Register::R1)]);
        tail_call(code, slots, (SIDES + side).cast_signed());
        code.add([asm::mov64_reg(Register::R1, Register::R6)]);
    }
    tail_call(code, slots, side.cast_signed());
}

fn tail_call(code: &mut Code, slots: BorrowedFd<'_>, side: i32) {
    code.map(Register::R2, slots);
    code.add([
        asm::mov64_imm(Register::R3, side),
        asm::call(Helper::TailCall),
    ]);
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::lab::permitted;
    use crate::sys::map::{self, Shape};

    const PASS: u32 = 2;
    /// What the programs of the sides say; no packet is lost by this to `XDP_ABORTED`, which a failed call would be too.
    const SIDE: [u32; 2] = [1, 3];
    /// The generation that the dispatcher was made for.
    const SINCE: u32 = 4;

    fn saying(verdict: u32) -> OwnedFd {
        let mut code = Code::default();
        code.give(verdict.cast_signed());
        let kind = Point::Xdp(1).kind();
        prog::load(&prog::Source {
            name: "sockc_side",
            kind: kind.program,
            attach: kind.load,
            code: &code.bytes().unwrap(),
        })
        .unwrap()
    }

    fn word(value: u32) -> OwnedFd {
        let word = map::create("word", Shape::array(4, 1)).unwrap();
        map::update(word.as_fd(), &[0; 4], &value.to_ne_bytes()).unwrap();
        word
    }

    /// What becomes of a packet.
    fn said(own: u32, outer: Option<u32>) -> u32 {
        said_on_trial(own, outer, &trial_of([0, 0], [0; 3])).0
    }

    /// The value of a trial: generation and fallback; deadline, what has passed, and the jiffy.
    fn trial_of(generations: [u32; 2], times: [u64; 3]) -> Vec<u8> {
        let mut value = generations.map(u32::to_ne_bytes).concat();
        value.extend(times.map(u64::to_ne_bytes).concat());
        value
    }

    /// What becomes of a packet, with a trial beside the word; and what the trial is then.
    fn said_on_trial(own: u32, outer: Option<u32>, value: &[u8]) -> (u32, Vec<u8>) {
        let slots = map::create("slots", Shape::programs(2 * SIDES)).unwrap();
        for (slot, verdict) in (0..).zip(SIDE) {
            let slot = u32::to_ne_bytes(slot);
            map::put_socket(slots.as_fd(), &slot, saying(verdict).as_fd()).unwrap();
        }
        let (control, outer) = (word(own), outer.map(word));
        let trial = map::create("trial", trial::SHAPE).unwrap();
        map::update(trial.as_fd(), &[0; 4], value).unwrap();
        let words = Words {
            control: control.as_fd(),
            outer: outer.as_ref().map(AsFd::as_fd),
            trial: Some(trial.as_fd()),
            held: None,
        };
        let program = load(Point::Xdp(1), SINCE, None, words, slots.as_fd()).unwrap();
        let said = prog::run(program.as_fd(), &[0; 64]).unwrap();
        let mut left = vec![0; value.len()];
        map::lookup(trial.as_fd(), &[0; 4], &mut left).unwrap();
        (said, left)
    }

    #[test]
    fn past_the_deadline_the_generation_before_is_asked() {
        if !permitted() {
            return;
        }
        let ahead = u64::MAX;
        for (word, generations, deadline, now) in [
            (5, [5, 4], ahead, SIDE[1]),
            (5, [5, 4], 1, SIDE[0]),
            // Of another generation, and of none.
            (5, [7, 6], 1, SIDE[1]),
            (5, [0, 4], 1, SIDE[1]),
            (0, [0, 5], 0, PASS),
            // The hook came with the generation on trial; nothing was before.
            (4, [4, 3], ahead, SIDE[0]),
            (4, [4, 3], 1, PASS),
            (4, [4, 0], 1, PASS),
        ] {
            let value = trial_of(generations, [deadline, 0, 0]);
            let (said, _) = said_on_trial(word, None, &value);
            assert_eq!(said, now, "{word} {generations:?} {deadline}");
            // A block follows the trial of the outer word.
            let (said, _) = said_on_trial(4, Some(word), &value);
            assert_eq!(said, now, "{word} {generations:?} {deadline} in a block");
        }
    }

    #[test]
    fn what_has_passed_stays_passed_and_the_clock_is_asked_once_a_jiffy() {
        if !permitted() {
            return;
        }
        let ahead = u64::MAX;
        // Somebody has found it passed: whatever the clock says now.
        let (said, _) = said_on_trial(5, None, &trial_of([5, 4], [ahead, ahead, 0]));
        assert_eq!(said, SIDE[0]);
        // That was another trial.
        let (said, left) = said_on_trial(5, None, &trial_of([5, 4], [ahead, 7, 0]));
        assert_eq!(said, SIDE[1]);
        let jiffy = u64::from_ne_bytes(*left[24..].first_chunk().unwrap());
        assert_ne!(jiffy, 0, "it is marked");
        assert_eq!(left[..24], trial_of([5, 4], [ahead, 7, 0])[..24]);
        // Whoever finds it passed says so, and marks no jiffy.
        let (said, left) = said_on_trial(5, None, &trial_of([5, 4], [9, 0, 0]));
        assert_eq!(said, SIDE[0]);
        assert_eq!(left, trial_of([5, 4], [9, 9, 0]));
        // In a jiffy that is marked nobody looks. It may end before this looks, so some are tried.
        let seen = (0..200).any(|_| {
            let (_, left) = said_on_trial(5, None, &trial_of([5, 4], [ahead, 0, 0]));
            let jiffy = u64::from_ne_bytes(*left[24..].first_chunk().unwrap());
            said_on_trial(5, None, &trial_of([5, 4], [9, 0, jiffy])).0 == SIDE[1]
        });
        assert!(seen);
    }

    #[test]
    fn the_words_choose_who_is_asked() {
        if !permitted() {
            return;
        }
        for (own, now) in [(0, PASS), (3, PASS), (4, SIDE[0]), (5, SIDE[1])] {
            assert_eq!(said(own, None), now, "{own}");
        }
        // A block that was removed stays away, whatever the outer word says.
        for (own, outer, now) in [
            (0, 4, PASS),
            (4, 0, PASS),
            (4, 3, PASS),
            (4, 4, SIDE[0]),
            (4, 5, SIDE[1]),
            (9, 5, SIDE[1]),
        ] {
            assert_eq!(said(own, Some(outer)), now, "{own} {outer}");
        }
    }
}
