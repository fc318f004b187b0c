//! Fills an empty slot of a named socket when a packet comes that may be meant for it.
//!
//! The kernel empties a slot when the socket in it is closed, also where other members of its reuseport group go on listening,
//! and tells no program when a UDP service starts again. The lookup hook may not look for sockets; packet hooks may, and see
//! every packet before the lookup does. So a program runs there ahead of the policy's own, or alone: for the first packet of a
//! connection and for datagrams it looks into the slots of the packet's family and protocol, and fills those that hold nobody
//! who listens, as `apply` does: with the socket that listens at exactly the declared address, and belongs to the declared
//! owner. Packets themselves it neither reads further nor changes.
//!
//! Where a name has several slots for one address, a packet fills one when none of them holds anybody; commands fill the others.
//! Slots of sockets that a command has to hand over are not filled: no program can tell which process was meant.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use sockc_compiler::artifact::{Manifest, Slot, SlotOrigin, SocketSlots};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};
use sockc_compiler::protocol::IpProtocol;

use super::lookup::{self, Found};
use super::owners::Owners;
use super::places::by_address;
use super::since::{self, Maps};
use crate::code::{Code, Label};
use crate::hook::Point;
use crate::sys::prog;

/// What a person calls the hook of such a program.
pub(crate) const TITLE: &str = "fill";
/// What the name of such a program begins with.
pub(crate) const NAME: &str = "fill_";
/// For how many addresses of one family and protocol slots are looked into for a packet. Each costs a lookup in a map.
const LIMIT: usize = 32;

/// Where `struct __sk_buff` and `struct xdp_md` keep the beginning and the end of the packet.
const TC_DATA: [i16; 2] = [76, 80];
const XDP_DATA: [i16; 2] = [0, 4];
/// Offsets in an Ethernet frame without a VLAN tag.
const ETHER_TYPE: i16 = 12;
const NETWORK: i16 = 14;
/// Offsets in the IPv4 header.
const FRAGMENT: i16 = NETWORK + 6;
const PROTOCOL: i16 = NETWORK + 9;
const IP4_SIZE: i16 = 20;
/// Offsets in the IPv6 header.
const NEXT_HEADER: i16 = NETWORK + 6;
const IP6_SIZE: i16 = 40;
/// Offset of the flags in the TCP header, and SYN and ACK among them.
const FLAGS: i16 = 13;
const SYN: i32 = 2;
const SYN_ACK: i32 = 0x12;
const TCP: i32 = IpProtocol::TCP.0 as i32;
const UDP: i32 = IpProtocol::UDP.0 as i32;
/// How many VLAN tags are looked past.
const TAGS: usize = 2;

/// The sockets and slots that packets fill.
pub(crate) fn slots(manifest: &Manifest) -> impl Iterator<Item = (&SocketSlots, &Slot)> {
    let kinds = [true, false]
        .into_iter()
        .flat_map(|v4| IpProtocol::WITH_SOCKETS.map(|protocol| (v4, protocol)));
    let addresses = kinds.flat_map(move |kind| of_kind(manifest, kind).take(LIMIT));
    addresses.flat_map(|(socket, slots)| slots.into_iter().map(move |slot| (socket, slot)))
}

/// The addresses of a family and protocol, each with its slots.
fn of_kind(
    manifest: &Manifest,
    kind: (bool, IpProtocol),
) -> impl Iterator<Item = (&SocketSlots, Vec<&Slot>)> {
    let listen = manifest
        .sockets
        .iter()
        .filter(|socket| socket.origin == SlotOrigin::Listen);
    let addresses =
        listen.flat_map(|socket| by_address(socket).into_iter().map(move |one| (socket, one)));
    addresses.filter(move |(_, slots)| {
        let mut slots = slots.iter();
        slots.any(|slot| (slot.address.is_ipv4(), slot.protocol) == kind)
    })
}

/// The name of the program of a point.
pub(crate) fn name(point: Point) -> String {
    format!("{NAME}{}", point.name())
}

/// Loads the program of a point. After it comes the program in a slot, where there is one.
pub(crate) fn load(
    point: Point,
    manifest: &Manifest,
    owners: &Owners,
    maps: Maps<'_>,
    next: Option<(BorrowedFd<'_>, u32)>,
) -> io::Result<OwnedFd> {
    let kind = point.kind();
    prog::load(&prog::Source {
        name: "sockc_refill",
        kind: kind.program,
        attach: kind.load,
        code: &code(point, manifest, owners, maps, next)?,
    })
}

/// R6 is the context, R8 the packet as far as it is read, R9 its end.
fn code(
    point: Point,
    manifest: &Manifest,
    owners: &Owners,
    maps: Maps<'_>,
    next: Option<(BorrowedFd<'_>, u32)>,
) -> io::Result<Vec<u8>> {
    let mut code = Code::default();
    let (six, end) = (code.label(), code.label());
    let [tcp4, udp4, tcp6, udp6] = [(); 4].map(|()| code.label());
    read_ethernet(&mut code, point, six, end);
    read_ip4(&mut code, [tcp4, udp4], end);
    code.place(six);
    read_ip6(&mut code, [tcp6, udp6], end);
    for (label, kind) in [
        (tcp4, (true, IpProtocol::TCP)),
        (udp4, (true, IpProtocol::UDP)),
        (tcp6, (false, IpProtocol::TCP)),
        (udp6, (false, IpProtocol::UDP)),
    ] {
        code.place(label);
        for (socket, slots) in of_kind(manifest, kind).take(LIMIT) {
            if owners.lets_programs_fill(&socket.name) {
                look_after(&mut code, (&socket.name, &slots), owners, maps);
            }
        }
        code.jump(end);
    }
    code.place(end);
    if let Some((slots, index)) = next {
        code.add([asm::mov64_reg(Register::R1, Register::R6)]);
        code.map(Register::R2, slots);
        code.add([
            asm::mov64_imm(Register::R3, index.cast_signed()),
            asm::call(Helper::TailCall),
        ]);
    }
    code.give(point.kind().pass);
    code.bytes()
}

/// Goes on after for IPv4, at `six` for IPv6, at `end` for anything else.
fn read_ethernet(code: &mut Code, point: Point, six: Label, end: Label) {
    let [data, data_end] = if matches!(point, Point::Xdp(_)) {
        XDP_DATA
    } else {
        TC_DATA
    };
    let four = code.label();
    code.add([
        asm::mov64_reg(Register::R6, Register::R1),
        asm::load(Width::W, Register::R8, Register::R6, data),
        asm::load(Width::W, Register::R9, Register::R6, data_end),
    ]);
    for tag in 0..=TAGS {
        need(code, NETWORK, end);
        code.add([asm::load(Width::H, Register::R2, Register::R8, ETHER_TYPE)]);
        code.jump_if(JumpOp::Eq, Register::R2, be(0x0800), four);
        code.jump_if(JumpOp::Eq, Register::R2, be(0x86dd), six);
        if tag == TAGS {
            break;
        }
        let tagged = code.label();
        code.jump_if(JumpOp::Eq, Register::R2, be(0x8100), tagged);
        code.jump_if(JumpOp::Ne, Register::R2, be(0x88a8), end);
        code.place(tagged);
        code.add([asm::alu64_imm(AluOp::Add, Register::R8, 4)]);
    }
    code.jump(end);
    code.place(four);
}

fn be(value: u16) -> i32 {
    value.to_be().into()
}

/// The packet has to have this many bytes from R8 on.
fn need(code: &mut Code, bytes: i16, end: Label) {
    code.add([
        asm::mov64_reg(Register::R1, Register::R8),
        asm::alu64_imm(AluOp::Add, Register::R1, bytes.into()),
    ]);
    code.jump_if_above(Register::R1, Register::R9, end);
}

/// Later fragments have no ports: the kernel looks their packet up when it is whole, by its first fragment.
fn read_ip4(code: &mut Code, [tcp, udp]: [Label; 2], end: Label) {
    need(code, NETWORK + IP4_SIZE, end);
    code.add([asm::load(Width::H, Register::R2, Register::R8, FRAGMENT)]);
    code.jump_if(JumpOp::Set, Register::R2, be(0x1fff), end);
    code.add([asm::load(Width::B, Register::R2, Register::R8, PROTOCOL)]);
    code.jump_if(JumpOp::Eq, Register::R2, UDP, udp);
    code.jump_if(JumpOp::Ne, Register::R2, TCP, end);
    code.add([
        asm::load(Width::B, Register::R2, Register::R8, NETWORK),
        asm::alu64_imm(AluOp::And, Register::R2, 0xf),
        asm::alu64_imm(AluOp::Lsh, Register::R2, 2),
        asm::alu64_reg(AluOp::Add, Register::R8, Register::R2),
    ]);
    is_first(code, tcp, end);
}

/// After extension headers, which are rare, the protocol is not looked for: slots of both are looked into.
fn read_ip6(code: &mut Code, [tcp, udp]: [Label; 2], end: Label) {
    let plain = code.label();
    need(code, NETWORK + IP6_SIZE, end);
    code.add([asm::load(Width::B, Register::R2, Register::R8, NEXT_HEADER)]);
    code.jump_if(JumpOp::Eq, Register::R2, UDP, udp);
    code.jump_if(JumpOp::Eq, Register::R2, TCP, plain);
    // Hop-by-hop, routing, fragment, destination options.
    for extension in [0, 43, 44, 60] {
        code.jump_if(JumpOp::Eq, Register::R2, extension, tcp);
    }
    code.jump(end);
    code.place(plain);
    code.add([asm::alu64_imm(AluOp::Add, Register::R8, IP6_SIZE.into())]);
    is_first(code, tcp, end);
}

/// Whether the TCP header after R8 (without the Ethernet header) is of the first packet of a connection.
fn is_first(code: &mut Code, tcp: Label, end: Label) {
    need(code, NETWORK + FLAGS + 1, end);
    code.add([
        asm::load(Width::B, Register::R2, Register::R8, NETWORK + FLAGS),
        asm::alu64_imm(AluOp::And, Register::R2, SYN_ACK),
    ]);
    code.jump_if(JumpOp::Eq, Register::R2, SYN, tcp);
    code.jump(end);
}

/// Fills a slot unless somebody who listens is in it, or in another one for the same address: the kernel shows any of a group there,
/// maybe one that is in a slot.
fn look_after(code: &mut Code, (name, slots): (&str, &[&Slot]), owners: &Owners, maps: Maps<'_>) {
    let Some(&slot) = slots.first() else { return };
    let (nobody, other, done) = (code.label(), code.label(), code.label());
    for slot in slots {
        let (empty, idle) = (code.label(), code.label());
        lookup::take_out(code, slot.index, maps.sockets, empty);
        lookup::check_state(code, slot, Register::R7, idle);
        release_socket(code);
        code.jump(done);
        code.place(idle);
        release_socket(code);
        code.place(empty);
    }
    lookup::look_up(code, slot);
    code.jump_if(JumpOp::Eq, Register::R0, 0, nobody);
    code.add([asm::mov64_reg(Register::R7, Register::R0)]);
    let found = Found {
        idle: other,
        elsewhere: other,
    };
    lookup::check_found(code, slot, found);
    owners.check(code, name, Register::R7, lookup::SCRATCH, other);
    put_in(code, slot.index, maps, other);
    code.place(other);
    release_socket(code);
    code.place(nobody);
    code.place(done);
}

/// Puts the socket in R7 into a slot, and notes when. Whose it is cannot be told here: the cookie is 0, for whoever is there.
fn put_in(code: &mut Code, index: u32, maps: Maps<'_>, other: Label) {
    lookup::key(code, index);
    code.stack(Register::R2, lookup::KEY);
    since::void(code, maps.times, other);
    lookup::put_in(code, index, maps.sockets);
    code.jump_if(JumpOp::Ne, Register::R8, lookup::FOUND, other);
    code.add([asm::store_imm(Width::DW, Register::R9, since::COOKIE, 0)]);
    since::now(code);
}

fn release_socket(code: &mut Code) {
    code.add([
        asm::mov64_reg(Register::R1, Register::R7),
        asm::call(Helper::SkRelease),
    ]);
}
