//! Fills a slot again by itself when a TCP service restarts.
//!
//! A sock_ops program on the root of the control groups is called when any socket of the machine begins to listen. It takes
//! only sockets of the policy's own network namespace, told by the namespace's cookie, and only those at exactly a declared
//! address, which it finds in a hash map: address as IPv6 (IPv4 mapped), port, to slot. Where several slots are for an address, a
//! socket gets the first that is free; none comes twice, since a socket begins to listen once.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sockc_compiler::artifact::{Manifest, Slot, SlotOrigin};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::constant::{AF_INET, AF_INET6};
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};
use sockc_compiler::protocol::IpProtocol;

use super::owners::Owners;
use super::since::{self, Maps};
use crate::attach::dispatch::TCP_LISTEN_CB;
use crate::code::owner::{self, Scratch};
use crate::code::{Code, Label};
use crate::hook::Point;
use crate::sys::{map, prog};

/// Fields of `struct bpf_sock_ops`: operation, family, local addresses in network order, local port in host order.
const OPERATION: i16 = 0;
const FAMILY: i16 = 20;
const LOCAL_IP4: i16 = 28;
const LOCAL_IP6: i16 = 48;
const LOCAL_PORT: i16 = 68;
/// Where the key is built on the stack: 16 bytes of address, 4 of port.
const KEY: i16 = -24;
const KEY_SIZE: u32 = 20;
/// The index of a slot, and the number of the owner of its socket, 0 for anybody. Where several slots are for the address, those
/// are the first ones; then follow the distance from one to the next, their number, and the place in the map of those who found all
/// of them taken.
const VALUE_SIZE: u32 = 20;
const DISTANCE: i16 = 8;
const COUNT: i16 = 12;
const TURNED_AWAY: i16 = 16;
/// The key of the place that is tried, below the address.
const PLACE: i16 = KEY - 8;
/// The time that was voided, below that, where a socket's owner is not looked at any more.
const VOIDED: i16 = PLACE - 8;
/// `BPF_NOEXIST`
const ONLY_FREE: i32 = 1;
/// `sk` of `struct bpf_sock_ops`.
const SOCKET: i16 = 184;
/// What is free while the owner is looked at.
const SCRATCH: Scratch = Scratch {
    stack: PLACE - owner::STACK,
    register: Register::R9,
};

/// The map from addresses to slots, and the program.
#[derive(Debug)]
pub(crate) struct Listen {
    /// The map, to be pinned with the generation.
    pub(crate) addresses: OwnedFd,
    /// How many sockets found all places of their address taken, likewise; there where some address has several.
    pub(crate) turned_away: Option<OwnedFd>,
    /// The program, to be put in the slot of [`Point::Listen`].
    pub(crate) program: OwnedFd,
}

/// The slots that fill themselves again: those of sockets that any process may open, and of TCP, which alone begins to
/// listen.
pub(crate) fn slots(manifest: &Manifest) -> impl Iterator<Item = &Slot> {
    named(manifest).map(|(_, slot)| slot)
}

/// The same, with the names of their sockets.
fn named(manifest: &Manifest) -> impl Iterator<Item = (&str, &Slot)> {
    let sockets = manifest.sockets.iter();
    let listen = sockets.filter(|socket| socket.origin == SlotOrigin::Listen);
    listen
        .flat_map(|socket| socket.slots.iter().map(|slot| (socket.name.as_str(), slot)))
        .filter(|(_, slot)| slot.protocol == IpProtocol::TCP)
}

/// The sockets that have an owner; their numbers in the map begin at 1.
fn owned<'a>(slots: &[(&'a str, &Slot)], owners: &Owners) -> Vec<&'a str> {
    let names = slots.iter().map(|(name, _)| *name);
    let mut owned: Vec<&str> = names
        .filter(|name| owners.belongs(name).is_some())
        .collect();
    owned.dedup();
    owned
}

/// Makes both; `None` if the policy has no TCP slot.
pub(crate) fn load(
    manifest: &Manifest,
    owners: &Owners,
    slots: Maps<'_>,
    cookie: u64,
) -> io::Result<Option<Listen>> {
    let able = |name: &str| owners.lets_programs_fill(name);
    let filled: Vec<(&str, &Slot)> = named(manifest)
        .filter(|(name, slot)| able(name) && is_first(manifest, name, slot))
        .collect();
    if filled.is_empty() {
        return Ok(None);
    }
    let entries = u32::try_from(filled.len()).map_err(io::Error::other)?;
    let addresses = map::create("listen", map::Shape::hash(KEY_SIZE, VALUE_SIZE, entries))?;
    let owned: Vec<&str> = owned(&filled, owners);
    let several = most(manifest) > 1;
    let turned_away = several.then(|| map::create("turned_away", map::Shape::array(8, entries)));
    let turned_away = turned_away.transpose()?;
    for (place, (name, slot)) in (0u32..).zip(filled) {
        let number = (1u32..).zip(&owned).find(|(_, other)| **other == name);
        let number = number.map_or(0, |(number, _)| number);
        let (distance, count) = in_a_row(manifest, name, slot);
        let value = [slot.index, number, distance, count, place].map(u32::to_ne_bytes);
        let value = value.concat();
        map::update(addresses.as_fd(), &key(slot), &value)?;
    }
    let kind = Point::Listen.kind();
    let program = prog::load(&prog::Source {
        name: "sockc_listen",
        kind: kind.program,
        attach: kind.load,
        code: &code(
            addresses.as_fd(),
            slots,
            cookie,
            (&owned, owners),
            turned_away
                .as_ref()
                .map(|map| (map.as_fd(), most(manifest))),
        )?,
    })?;
    Ok(Some(Listen {
        addresses,
        turned_away,
        program,
    }))
}

/// The slots of a name for the address of one of them.
fn for_address<'a>(
    manifest: &'a Manifest,
    name: &'a str,
    slot: &'a Slot,
) -> impl Iterator<Item = &'a Slot> {
    let named = manifest.sockets.iter().filter(move |one| one.name == name);
    let slots = named.flat_map(|socket| &socket.slots);
    slots.filter(move |other| other.is_for_address(slot))
}

fn is_first(manifest: &Manifest, name: &str, slot: &Slot) -> bool {
    for_address(manifest, name, slot).next() == Some(slot)
}

/// How far it is from one slot for an address to the next, and how many there are.
fn in_a_row(manifest: &Manifest, name: &str, slot: &Slot) -> (u32, u32) {
    let indices = for_address(manifest, name, slot).map(|slot| slot.index);
    let mut ends: Option<(u32, u32)> = None;
    let mut steps = 0;
    for index in indices {
        steps += u32::from(ends.is_some());
        ends = Some((ends.map_or(index, |(first, _)| first), index));
    }
    let (first, last) = ends.unwrap_or_default();
    // The members of a name are dealt out in turn, so the steps are of one length.
    ((last - first).checked_div(steps).unwrap_or(1), steps + 1)
}

/// How many sockets that began to listen at the address of a slot found all places there taken; the maps are those of a generation.
pub(crate) fn turned_away(
    [addresses, turned_away]: [BorrowedFd<'_>; 2],
    slot: &Slot,
) -> io::Result<u64> {
    let mut value = [0; VALUE_SIZE as usize];
    if !map::lookup(addresses, &key(slot), &mut value)? {
        return Ok(0);
    }
    let place: &[u8; 4] = value.last_chunk().unwrap_or(&[0; 4]);
    let mut count = [0; 8];
    map::lookup(turned_away, place, &mut count)?;
    Ok(u64::from_ne_bytes(count))
}

fn key(slot: &Slot) -> Vec<u8> {
    let address: Ipv6Addr = match slot.address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let mut key = address.octets().to_vec();
    key.extend(u32::from(slot.port).to_ne_bytes());
    key
}

fn code(
    addresses: BorrowedFd<'_>,
    slots: Maps<'_>,
    cookie: u64,
    (owned, owners): (&[&str], &Owners),
    several: Option<(BorrowedFd<'_>, u32)>,
) -> io::Result<Vec<u8>> {
    let mut code = Code::default();
    let pass = code.label();
    code.add([
        asm::mov64_reg(Register::R6, Register::R1),
        asm::load(Width::W, Register::R2, Register::R6, OPERATION),
    ]);
    code.jump_if(JumpOp::Ne, Register::R2, TCP_LISTEN_CB, pass);
    code.add([asm::call(Helper::GetNetnsCookie)]);
    code.add(asm::load_imm64(Register::R2, cookie));
    code.jump_if_other(Register::R0, Register::R2, pass);
    build_key(&mut code, pass);
    code.map(Register::R1, addresses);
    code.add([
        asm::mov64_reg(Register::R2, Register::R10),
        asm::alu64_imm(AluOp::Add, Register::R2, KEY.into()),
        asm::call(Helper::MapLookupElem),
    ]);
    code.jump_if(JumpOp::Eq, Register::R0, 0, pass);
    code.add([asm::mov64_reg(Register::R7, Register::R0)]);
    if !owned.is_empty() {
        check_owner(&mut code, owned, owners, pass);
    }
    match several {
        Some((turned_away, most)) => {
            put_into_free(&mut code, slots, (turned_away, most), pass);
        }
        None => put(&mut code, slots, pass),
    }
    code.place(pass);
    code.give(Point::Listen.kind().pass);
    code.bytes()
}

/// Puts the socket into the slot whose index what R7 points to begins with: that is the key of the update.
fn put(code: &mut Code, slots: Maps<'_>, pass: Label) {
    let taken = code.label();
    code.add([asm::mov64_reg(Register::R2, Register::R7)]);
    void(code, slots, pass);
    code.add([
        asm::mov64_reg(Register::R3, Register::R7),
        asm::mov64_reg(Register::R1, Register::R6),
    ]);
    code.map(Register::R2, slots.sockets);
    code.add([
        asm::mov64_imm(Register::R4, 0),
        asm::call(Helper::SockMapUpdate),
    ]);
    code.jump32_if(JumpOp::Eq, Register::R0, 0, taken);
    leave_time(code);
    code.jump(pass);
    code.place(taken);
    note(code);
}

/// Before a socket is put into the slot whose index is where R2 points: R9 becomes its entry in the map of times.
fn void(code: &mut Code, slots: Maps<'_>, none: Label) {
    since::void(code, slots.times, none);
    code.add([asm::store_reg(
        Width::DW,
        Register::R10,
        VOIDED,
        Register::R1,
    )]);
}

/// It was not put there: whoever is in the slot is there since then. R0 stays.
fn leave_time(code: &mut Code) {
    code.add([
        asm::load(Width::DW, Register::R1, Register::R10, VOIDED),
        asm::store_reg(Width::DW, Register::R9, since::TIME, Register::R1),
    ]);
}

/// It was.
fn note(code: &mut Code) {
    code.add([
        asm::mov64_reg(Register::R1, Register::R6),
        asm::call(Helper::GetSocketCookie),
        asm::store_reg(Width::DW, Register::R9, since::COOKIE, Register::R0),
    ]);
    since::now(code);
}

/// Puts the socket into the first free one of the slots that R7 points to; where there is but one, into that, whoever is there.
/// Where none is free, that is counted.
fn put_into_free(
    code: &mut Code,
    slots: Maps<'_>,
    (turned_away, most): (BorrowedFd<'_>, u32),
    pass: Label,
) {
    let [alone, again, taken, full] = [(); 4].map(|()| code.label());
    let most = code.number(most);
    code.add([
        asm::load(Width::W, Register::R1, Register::R7, COUNT),
        asm::mov64_imm(Register::R8, 0),
    ]);
    code.jump_if(JumpOp::Eq, Register::R1, 1, alone);
    code.place(again);
    code.add([asm::load(Width::W, Register::R1, Register::R7, COUNT)]);
    code.jump_if_reached(Register::R8, Register::R1, full);
    code.add([
        asm::load(Width::W, Register::R1, Register::R7, DISTANCE),
        asm::alu64_reg(AluOp::Mul, Register::R1, Register::R8),
        asm::load(Width::W, Register::R2, Register::R7, 0),
        asm::alu64_reg(AluOp::Add, Register::R1, Register::R2),
        asm::store_reg(Width::W, Register::R10, PLACE, Register::R1),
    ]);
    code.stack(Register::R2, PLACE);
    void(code, slots, pass);
    code.add([asm::mov64_reg(Register::R1, Register::R6)]);
    code.map(Register::R2, slots.sockets);
    code.stack(Register::R3, PLACE);
    code.add([
        asm::mov64_imm(Register::R4, ONLY_FREE),
        asm::call(Helper::SockMapUpdate),
    ]);
    code.jump32_if(JumpOp::Eq, Register::R0, 0, taken);
    leave_time(code);
    // What is refused for another reason than that somebody is there is refused everywhere.
    code.jump32_if(JumpOp::Ne, Register::R0, -libc::EEXIST, pass);
    code.add([asm::alu64_imm(AluOp::Add, Register::R8, 1)]);
    code.jump_if(JumpOp::Lt, Register::R8, most, again);
    code.place(full);
    code.map(Register::R1, turned_away);
    code.add([
        asm::mov64_reg(Register::R2, Register::R7),
        asm::alu64_imm(AluOp::Add, Register::R2, TURNED_AWAY.into()),
        asm::call(Helper::MapLookupElem),
    ]);
    code.jump_if(JumpOp::Eq, Register::R0, 0, pass);
    code.add([
        asm::mov64_imm(Register::R1, 1),
        asm::atomic_add64(Register::R0, 0, Register::R1),
    ]);
    code.jump(pass);
    code.place(taken);
    note(code);
    code.jump(pass);
    code.place(alone);
    put(code, slots, pass);
}

/// The largest number of slots that are for one address.
fn most(manifest: &Manifest) -> u32 {
    let counts = named(manifest).map(|(name, slot)| in_a_row(manifest, name, slot).1);
    counts.max().unwrap_or(0)
}

/// Jumps to `pass` unless the socket that begins to listen belongs to the owner whose number stands in what R7 points to.
fn check_owner(code: &mut Code, owned: &[&str], owners: &Owners, pass: Label) {
    let anybody = code.label();
    code.add([asm::load(Width::W, Register::R8, Register::R7, 4)]);
    code.jump_if(JumpOp::Eq, Register::R8, 0, anybody);
    for (number, name) in (1..).zip(owned) {
        let next = code.label();
        code.jump_if(JumpOp::Ne, Register::R8, number, next);
        code.add([asm::load(Width::DW, Register::R8, Register::R6, SOCKET)]);
        code.jump_if(JumpOp::Eq, Register::R8, 0, pass);
        owners.check(code, name, Register::R8, SCRATCH, pass);
        code.jump(anybody);
        code.place(next);
    }
    code.jump(pass);
    code.place(anybody);
}

/// Builds the key on the stack, two words at a time: without CAP_PERFMON, Linux 6.1 takes a stored word for a spilled
/// register, and refuses a store to the other half of its eight bytes.
fn build_key(code: &mut Code, pass: Label) {
    let (mapped, port) = (code.label(), code.label());
    code.add([asm::load(Width::W, Register::R2, Register::R6, FAMILY)]);
    code.jump_if(JumpOp::Eq, Register::R2, AF_INET, mapped);
    code.jump_if(JumpOp::Ne, Register::R2, AF_INET6, pass);
    for pair in [0, 8] {
        code.add([
            asm::load(Width::W, Register::R2, Register::R6, LOCAL_IP6 + pair),
            asm::load(Width::W, Register::R3, Register::R6, LOCAL_IP6 + pair + 4),
            asm::alu64_imm(AluOp::Lsh, Register::R3, 32),
            asm::alu64_reg(AluOp::Or, Register::R2, Register::R3),
            asm::store_reg(Width::DW, Register::R10, KEY + pair, Register::R2),
        ]);
    }
    code.jump(port);
    code.place(mapped);
    code.add([
        asm::store_imm(Width::DW, Register::R10, KEY, 0),
        asm::mov32_imm(Register::R2, 0xffff_u32.to_be().cast_signed()),
        asm::load(Width::W, Register::R3, Register::R6, LOCAL_IP4),
        asm::alu64_imm(AluOp::Lsh, Register::R3, 32),
        asm::alu64_reg(AluOp::Or, Register::R2, Register::R3),
        asm::store_reg(Width::DW, Register::R10, KEY + 8, Register::R2),
    ]);
    code.place(port);
    code.add([
        asm::load(Width::W, Register::R2, Register::R6, LOCAL_PORT),
        asm::store_reg(Width::W, Register::R10, KEY + 16, Register::R2),
    ]);
}
