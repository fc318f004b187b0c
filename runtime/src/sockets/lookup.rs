//! Puts listening sockets into the slots of the map `sockets` by their address, without touching their processes, and tells
//! how a slot stands.
//!
//! The kernel lets a TC program look a socket up and put it into a SOCKMAP. So a small program is made for each slot and run
//! once in the policy's network namespace. It takes a socket only if that listens at exactly the declared address: a
//! wildcard listener that would also answer there is another socket, and perhaps another service.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_prog_type;
use sockc_compiler::artifact::{Manifest, Slot, SlotOrigin, SocketSlots};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::constant::{AF_INET, AF_INET6, BPF_F_CURRENT_NETNS};
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};
use sockc_compiler::protocol::IpProtocol;

use super::owners::Owners;
use crate::attach::dispatch::NOBODY_SIX;
use crate::attach::foreign::Foreign;
use crate::code::owner::{self, Scratch};
use crate::code::{Code, Label};
use crate::sys::prog;

/// `TCP_LISTEN` of `net/tcp_states.h`.
const LISTEN: i32 = 10;
/// `TCP_CLOSE`, which is also the state of a UDP socket without a peer.
const CLOSE: i32 = 7;
/// Fields of `struct bpf_sock`: family, source addresses and source port (in host order), state.
const SK_FAMILY: i16 = 4;
const SK_SRC_IP4: i16 = 24;
const SK_SRC_IP6: i16 = 28;
const SK_SRC_PORT: i16 = 44;
const SK_STATE: i16 = 72;
/// Where the tuple and the slot's index are kept on the stack.
const TUPLE: i16 = -40;
pub(crate) const KEY: i16 = -44;
/// `-EOPNOTSUPP`, what the kernel says of MPTCP sockets.
const EOPNOTSUPP: i32 = 95;
/// What is free while a socket's owner is asked for: below the tuple and the key.
pub(crate) const SCRATCH: Scratch = Scratch {
    stack: -48 - owner::STACK,
    register: Register::R9,
};
/// What the programs return; a refusal is `REFUSED` plus the errno.
const NOBODY: i32 = 1;
const ELSEWHERE: i32 = 2;
const NOT_LISTENING: i32 = 3;
pub(crate) const FOUND: i32 = 4;
const NOT_OWNER: i32 = 5;
const REFUSED: i32 = 1000;
/// The packet that the programs run on: they do not look at it.
const NO_PACKET: [u8; 64] = [0; 64];

/// A socket and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// A process that has it open, and its name; `None` where none can be seen.
    pub process: Option<(u32, String)>,
    /// Where it is bound.
    pub local: SocketAddr,
    /// The user that made it.
    pub uid: u32,
    /// Its inode, by which `/proc` and `ss -e` name it.
    pub inode: u64,
    /// Its cookie.
    pub cookie: u64,
    /// Whether it answers in the name of any address (`IP_TRANSPARENT`), where the kernel tells.
    pub transparent: Option<bool>,
    /// The interface that it is bound to. What it answers to clients of others does not leave.
    pub interface: Option<String>,
}

/// A slot of a named socket, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// The socket's name in the policy.
    pub socket: String,
    /// The slot.
    pub slot: Slot,
    /// Which member of its kind it is for, counted from 1, and how many there may be; `None` where that is one.
    pub member: Option<(u32, u32)>,
    /// How it stands.
    pub state: Fill,
    /// The socket that is in it, or that is bound where one is looked for.
    pub who: Option<Who>,
    /// Since when a socket that listens is in it, in nanoseconds since boot (`CLOCK_BOOTTIME`, see
    /// [`wall_time`](crate::wall_time)); `None` where that is not known.
    pub since: Option<u64>,
    /// The lookup programs of others that keep sockc from finding that socket.
    pub foreign: Vec<Foreign>,
    /// Of the first of several slots for one address: how many sockets began to listen there while all of them were taken, since
    /// the policy was put in force.
    pub turned_away: u64,
}

impl SlotState {
    /// A slot that stands so; nothing is said of who is there, nor of other members.
    pub(crate) fn new(socket: &str, slot: &Slot, state: Fill) -> Self {
        Self {
            socket: socket.to_owned(),
            slot: slot.clone(),
            member: None,
            state,
            who: None,
            since: None,
            foreign: Vec::new(),
            turned_away: 0,
        }
    }
}

/// How a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// A socket that listens is in it.
    Filled,
    /// Nobody listens at the address.
    Absent,
    /// Nobody is in this place of a name with members, of which others are there.
    Free,
    /// Who listens at the address cannot be found out here, for this errno.
    Unknown(i32),
    /// Somebody listens at the address, and was not taken yet.
    Waiting,
    /// The declared owner listens at the address, and so does somebody else, whose socket the kernel's lookup finds instead: a
    /// command takes the owner's, no packet does.
    Shadowed,
    /// Somebody listens at the address, and the kernel's lookup does not find the socket, since lookup programs of others decide
    /// otherwise: a command takes it, no packet does.
    Hidden,
    /// The socket that listens at the address is bound to an interface, and only packets that come in by it find it.
    OfInterface,
    /// Somebody listens at the address who is not the declared owner.
    NotOwner,
    /// Another process than the one that is meant listens at the address.
    OtherProcess,
    /// Only a socket bound to every address (or to another one) answers there. Declare that address to use it.
    WildcardOnly,
    /// The socket that is there does not listen, or is connected.
    NotListening,
    /// The socket speaks MPTCP, which the kernel does not take into a SOCKMAP.
    Mptcp,
    /// The kernel refused the socket, with this errno.
    Refused(i32),
}

/// The programs that fill the slots of a map.
#[derive(Debug)]
pub(crate) struct SlotPrograms {
    programs: Vec<(String, Slot, OwnedFd)>,
}

impl SlotPrograms {
    /// Makes the program of every slot.
    pub(crate) fn new(manifest: &Manifest, sockets: BorrowedFd<'_>) -> io::Result<Self> {
        let named = manifest.sockets.iter();
        // Those that have an owner are taken from their process, which shows whose they are.
        let listen =
            named.filter(|socket| socket.origin == SlotOrigin::Listen && socket.owner.is_none());
        // So are those of a group at one address, of which a lookup finds any.
        let alone = listen.flat_map(|socket| {
            let slots = slots(socket);
            slots.filter(|(_, slot)| !socket.shares_address(slot))
        });
        Self::with(alone, |slot| {
            search_code(slot, |code| put_in(code, slot.index, sockets))
        })
    }

    /// Makes a program that only looks for the listener of a slot, and asks whether it is the owner's, if the name has one.
    pub(crate) fn prober(socket: &str, slot: &Slot, owners: Option<&Owners>) -> io::Result<Self> {
        Self::with([(socket, slot)].into_iter(), |slot| {
            search_code(slot, |code| match owners {
                Some(owners) => ask_owner(code, socket, owners),
                None => code.add([asm::mov64_imm(Register::R8, FOUND)]),
            })
        })
    }

    /// Makes programs that copy what is in slots of another map, each with its index there.
    pub(crate) fn copier<'a>(
        copied: impl Iterator<Item = (&'a str, &'a Slot, u32)>,
        from: BorrowedFd<'_>,
        sockets: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let mut programs = Vec::new();
        for (socket, slot, index) in copied {
            let program = load(&copy_code(slot, index, from, sockets)?)?;
            programs.push((socket.to_owned(), slot.clone(), program));
        }
        Ok(Self { programs })
    }

    /// Makes programs that only look into the slots.
    pub(crate) fn inspector(manifest: &Manifest, sockets: BorrowedFd<'_>) -> io::Result<Self> {
        Self::with(manifest.sockets.iter().flat_map(slots), |slot| {
            inspect_code(slot, sockets)
        })
    }

    fn with<'a>(
        slots: impl Iterator<Item = (&'a str, &'a Slot)>,
        code: impl Fn(&Slot) -> io::Result<Vec<u8>>,
    ) -> io::Result<Self> {
        let programs =
            slots.map(|(socket, slot)| Ok((socket.to_owned(), slot.clone(), load(&code(slot)?)?)));
        Ok(Self {
            programs: programs.collect::<io::Result<_>>()?,
        })
    }

    /// Runs them all in the network namespace of the calling thread.
    pub(crate) fn run(&self) -> io::Result<Vec<SlotState>> {
        let states = self.programs.iter().map(|(socket, slot, program)| {
            let state = outcome(prog::run(program.as_fd(), &NO_PACKET)?);
            Ok(SlotState::new(socket, slot, state))
        });
        states.collect()
    }
}

/// The slots of a named socket, each with the name.
fn slots(socket: &SocketSlots) -> impl Iterator<Item = (&str, &Slot)> {
    socket.slots.iter().map(|slot| (socket.name.as_str(), slot))
}

fn load(code: &[u8]) -> io::Result<OwnedFd> {
    prog::load(&prog::Source {
        name: "sockc_slot",
        kind: bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
        attach: None,
        code,
    })
}

fn outcome(returned: u32) -> Fill {
    match returned.cast_signed() {
        FOUND => Fill::Filled,
        ELSEWHERE => Fill::WildcardOnly,
        NOT_LISTENING => Fill::NotListening,
        NOT_OWNER => Fill::NotOwner,
        code if code == REFUSED + EOPNOTSUPP => Fill::Mptcp,
        code if code > REFUSED => Fill::Refused(code - REFUSED),
        _ => Fill::Absent,
    }
}

/// R8 becomes whether the socket in R7 is of the owner whom a name has.
fn ask_owner(code: &mut Code, name: &str, owners: &Owners) {
    let (other, asked) = (code.label(), code.label());
    owners.check(code, name, Register::R7, SCRATCH, other);
    code.add([asm::mov64_imm(Register::R8, FOUND)]);
    code.jump(asked);
    code.place(other);
    code.add([asm::mov64_imm(Register::R8, NOT_OWNER)]);
    code.place(asked);
}

/// Looks the listener of a slot up, and does with the one in R7 what leaves the outcome in R8.
fn search_code(slot: &Slot, found: impl FnOnce(&mut Code)) -> io::Result<Vec<u8>> {
    let mut code = Code::default();
    let elsewhere = code.label();
    let ends = Ends::new(&mut code);
    code.add([asm::mov64_reg(Register::R6, Register::R1)]);
    look_up(&mut code, slot);
    code.jump_if(JumpOp::Eq, Register::R0, 0, ends.nobody);
    code.add([asm::mov64_reg(Register::R7, Register::R0)]);
    let idle = ends.idle;
    check_found(&mut code, slot, Found { idle, elsewhere });
    found(&mut code);
    code.jump(ends.release);
    code.place(elsewhere);
    code.add([asm::mov64_imm(Register::R8, ELSEWHERE)]);
    code.jump(ends.release);
    ends.place(code)
}

/// Where a program ends that had a socket in R7, or none.
struct Ends {
    nobody: Label,
    idle: Label,
    release: Label,
}

impl Ends {
    fn new(code: &mut Code) -> Self {
        Self {
            nobody: code.label(),
            idle: code.label(),
            release: code.label(),
        }
    }

    /// The code of them all.
    fn place(self, mut code: Code) -> io::Result<Vec<u8>> {
        code.place(self.idle);
        code.add([asm::mov64_imm(Register::R8, NOT_LISTENING)]);
        code.place(self.release);
        give_after_release(&mut code);
        code.place(self.nobody);
        code.give(NOBODY);
        code.bytes()
    }
}

/// Puts what is in a slot of another map into the map; where the slot is for an address, only what is bound there.
fn copy_code(
    slot: &Slot,
    index: u32,
    from: BorrowedFd<'_>,
    sockets: BorrowedFd<'_>,
) -> io::Result<Vec<u8>> {
    held_code(slot, index, from, |code| {
        if slot.port == 0 {
            return put_in(code, slot.index, sockets);
        }
        let (elsewhere, done) = (code.label(), code.label());
        check_address(code, slot, Register::R7, elsewhere);
        put_in(code, slot.index, sockets);
        code.jump(done);
        code.place(elsewhere);
        code.add([asm::mov64_imm(Register::R8, ELSEWHERE)]);
        code.place(done);
    })
}

/// Takes what is in a slot of a map, and does with the one in R7 what leaves the outcome in R8.
fn held_code(
    slot: &Slot,
    index: u32,
    from: BorrowedFd<'_>,
    found: impl FnOnce(&mut Code),
) -> io::Result<Vec<u8>> {
    let mut code = Code::default();
    let ends = Ends::new(&mut code);
    take_out(&mut code, index, from, ends.nobody);
    check_state(&mut code, slot, Register::R7, ends.idle);
    found(&mut code);
    code.jump(ends.release);
    ends.place(code)
}

/// Leaves the index of a slot at [`KEY`].
pub(crate) fn key(code: &mut Code, index: u32) {
    code.add([asm::store_imm(
        Width::W,
        Register::R10,
        KEY,
        index.cast_signed(),
    )]);
}

/// Looks a slot up; R7 becomes the socket.
pub(crate) fn take_out(code: &mut Code, index: u32, sockets: BorrowedFd<'_>, nobody: Label) {
    key(code, index);
    code.map(Register::R1, sockets);
    code.stack(Register::R2, KEY);
    code.add([asm::call(Helper::MapLookupElem)]);
    code.jump_if(JumpOp::Eq, Register::R0, 0, nobody);
    code.add([asm::mov64_reg(Register::R7, Register::R0)]);
}

/// Looks at what is in a slot.
fn inspect_code(slot: &Slot, sockets: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    held_code(slot, slot.index, sockets, |code| {
        code.add([asm::mov64_imm(Register::R8, FOUND)]);
    })
}

/// Calls the lookup for a packet from nobody to the address of the slot; R6 is the context. The dispatcher knows such a packet
/// by its source, which the kernel takes from no interface, `lo` included: port 0 of 0.0.0.0 (a martian source, in
/// `ip_route_input_slow`), or of a multicast address for IPv6 (dropped by `ip6_rcv_core`). The tuple is stored by 64 bits: without CAP_PERFMON, Linux 6.1 takes a stored word for a spilled register, and refuses a store to the other half of its bytes.
pub(crate) fn look_up(code: &mut Code, slot: &Slot) {
    let tuple = tuple(slot);
    for (index, eight) in (0i16..).zip(tuple.chunks(8)) {
        let mut bytes = [0; 8];
        bytes
            .iter_mut()
            .zip(eight)
            .for_each(|(to, from)| *to = *from);
        code.add(asm::load_imm64(Register::R1, u64::from_ne_bytes(bytes)));
        code.add([asm::store_reg(
            Width::DW,
            Register::R10,
            TUPLE + 8 * index,
            Register::R1,
        )]);
    }
    code.add([asm::mov64_reg(Register::R1, Register::R6)]);
    code.stack(Register::R2, TUPLE);
    let size = code.number(tuple.len());
    code.add([asm::mov64_imm(Register::R3, size)]);
    code.add(asm::load_imm64(
        Register::R4,
        BPF_F_CURRENT_NETNS.cast_unsigned(),
    ));
    let helper = match slot.protocol {
        IpProtocol::UDP => Helper::SkLookupUdp,
        _ => Helper::SkLookupTcp,
    };
    code.add([asm::mov64_imm(Register::R5, 0), asm::call(helper)]);
}

/// Source address, destination address, source port, destination port, all in network order.
fn tuple(slot: &Slot) -> Vec<u8> {
    let mut tuple = match slot.address {
        IpAddr::V4(_) => octets(Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => octets(NOBODY_SIX.into()),
    };
    tuple.extend(octets(slot.address));
    tuple.extend([0, 0]);
    tuple.extend(slot.port.to_be_bytes());
    tuple
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Whether a socket takes packets, else to `idle`: of TCP one that listens, of UDP one that has no peer and is bound. One of UDP that
/// is closed has no port any more (`udp_lib_unhash`), and may stand in a slot: the kernel takes it out of its maps a moment
/// before it is found no longer (`sock_map_unhash`), and a packet that comes in that moment puts it in again, for good.
pub(crate) fn check_state(code: &mut Code, slot: &Slot, socket: Register, idle: Label) {
    let is_udp = slot.protocol == IpProtocol::UDP;
    let wanted = if is_udp { CLOSE } else { LISTEN };
    code.add([asm::load(Width::W, Register::R1, socket, SK_STATE)]);
    code.jump_if(JumpOp::Ne, Register::R1, wanted, idle);
    if is_udp {
        code.add([asm::load(Width::W, Register::R1, socket, SK_SRC_PORT)]);
        code.jump_if(JumpOp::Eq, Register::R1, 0, idle);
    }
}

/// Where code goes for a socket in R7 that is not the one of a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// It does not listen.
    pub(crate) idle: Label,
    /// It is bound elsewhere.
    pub(crate) elsewhere: Label,
}

/// Whether the socket in R7, which the kernel found, is the one of a slot.
pub(crate) fn check_found(code: &mut Code, slot: &Slot, found: Found) {
    check_state(code, slot, Register::R7, found.idle);
    check_address(code, slot, Register::R7, found.elsewhere);
}

/// The family is checked too: a dual-stack socket answers for IPv4 without being bound to an IPv4 address. One of IPv6 that is
/// bound to the mapped address (as Java binds) is.
fn check_address(code: &mut Code, slot: &Slot, socket: Register, elsewhere: Label) {
    let (other, bound) = (code.label(), code.label());
    code.add([asm::load(Width::W, Register::R1, socket, SK_FAMILY)]);
    let six = match slot.address {
        IpAddr::V4(address) => {
            code.jump_if(JumpOp::Ne, Register::R1, AF_INET, other);
            check_words(code, socket, SK_SRC_IP4, &address.octets(), elsewhere);
            code.jump(bound);
            address.to_ipv6_mapped()
        }
        IpAddr::V6(address) => address,
    };
    code.place(other);
    code.jump_if(JumpOp::Ne, Register::R1, AF_INET6, elsewhere);
    check_words(code, socket, SK_SRC_IP6, &six.octets(), elsewhere);
    code.place(bound);
    code.add([asm::load(Width::W, Register::R1, socket, SK_SRC_PORT)]);
    code.jump_if(JumpOp::Ne, Register::R1, slot.port.into(), elsewhere);
}

/// Jumps to `elsewhere` unless the words of a socket from `first` are these bytes.
fn check_words(code: &mut Code, socket: Register, first: i16, bytes: &[u8], elsewhere: Label) {
    for (index, word) in (0i16..).zip(bytes.as_chunks::<4>().0) {
        code.add([asm::load(Width::W, Register::R2, socket, first + 4 * index)]);
        code.jump32_if(
            JumpOp::Ne,
            Register::R2,
            i32::from_ne_bytes(*word),
            elsewhere,
        );
    }
}

/// Updates the slot; R8 becomes the outcome.
pub(crate) fn put_in(code: &mut Code, index: u32, sockets: BorrowedFd<'_>) {
    let taken = code.label();
    key(code, index);
    code.map(Register::R1, sockets);
    code.stack(Register::R2, KEY);
    code.add([
        asm::mov64_reg(Register::R3, Register::R7),
        asm::mov64_imm(Register::R4, 0),
        asm::call(Helper::MapUpdateElem),
        asm::mov64_imm(Register::R8, FOUND),
    ]);
    code.jump_if(JumpOp::Eq, Register::R0, 0, taken);
    code.add([
        asm::mov64_imm(Register::R8, REFUSED),
        asm::alu64_reg(AluOp::Sub, Register::R8, Register::R0),
    ]);
    code.place(taken);
}

fn give_after_release(code: &mut Code) {
    code.add([
        asm::mov64_reg(Register::R1, Register::R7),
        asm::call(Helper::SkRelease),
        asm::mov64_reg(Register::R0, Register::R8),
        asm::exit(),
    ]);
}
