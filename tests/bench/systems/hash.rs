//! The plainest filter in BPF: parse, one look-up of a 16-byte key in the kernel's hash table, drop.
//!
//! Takes IPv4 alone. The key is the five-tuple, or of it the destination for rules that name nothing else. A packet that is
//! not found is dropped too, by another answer, so that a table that finds nothing is noticed.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};

use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, Register, Width};

use crate::code::Code;
use crate::rules::{Header, Rule};
use crate::syscalls::batch;
use crate::syscalls::map::{self, Shape};
use crate::systems::Layer;
use crate::systems::plain::Kind;

use Register::{R0, R1, R2, R3, R7, R10};

/// What of a packet makes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Addresses, ports, protocol.
    Tuple,
    /// Destination, its port, protocol; zero for the rest.
    Destination,
}

/// A table of 16-byte keys.
pub(crate) struct Table {
    key: Key,
    map: OwnedFd,
}

impl Table {
    /// The table of exact rules.
    pub(crate) fn of_rules(rules: &[Rule]) -> io::Result<Self> {
        let key = |rule: &Rule| {
            let nowhere = Ipv4Addr::UNSPECIFIED.into();
            bytes(
                nowhere,
                rule.to.address,
                0,
                rule.dports.0,
                rule.protocol.unwrap_or(0),
            )
        };
        Self::new(
            Key::Destination,
            rules.iter().map(key).collect(),
            rules.len(),
        )
    }

    /// The table of these headers, and of others up to `size` entries.
    pub(crate) fn of_headers(headers: &[Header], size: usize) -> io::Result<Self> {
        let tuple = |one: &Header| bytes(one.from, one.to, one.sport, one.dport, one.protocol);
        let mut keys: HashSet<Vec<u8>> = headers.iter().map(tuple).collect();
        // No packet has protocol 255, and none is sent from here.
        for number in 0u32.. {
            if keys.len() >= size {
                break;
            }
            let address = Ipv4Addr::from_bits(number).into();
            keys.insert(bytes(address, address, 0, 0, 255));
        }
        let entries = keys.len();
        Self::new(Key::Tuple, keys.into_iter().collect(), entries)
    }

    fn new(key: Key, keys: Vec<Vec<u8>>, size: usize) -> io::Result<Self> {
        let size = u32::try_from(size).map_err(io::Error::other)?;
        let map = map::create("exact", Shape::hash(16, 4, size))?;
        let entries = keys.into_iter().map(|key| (key, vec![1, 0, 0, 0]));
        batch::update(map.as_fd(), &entries.collect::<Vec<_>>())?;
        Ok(Self { key, map })
    }

    /// The filter.
    pub(crate) fn filter(&self, layer: Layer) -> io::Result<OwnedFd> {
        let kind = Kind::of(layer);
        let mut code = parsed(self.key, &kind);
        code.map(R1, &self.map);
        code.push(asm::mov64_reg(R2, R10));
        code.push(asm::alu64_imm(AluOp::Add, R2, -16));
        code.push(asm::call(Helper::MapLookupElem));
        code.refuse(R0, 0);
        code.give(kind.drop);
        kind.load("hash", code)
    }
}

/// The same program without the look-up.
pub(crate) fn parse_only() -> io::Result<OwnedFd> {
    let kind = Kind::of(Layer::Xdp);
    let mut code = parsed(Key::Tuple, &kind);
    code.give(kind.drop);
    kind.load("parse_only", code)
}

/// Checks that a packet is IPv4 without options or fragments, and puts its key on the stack.
fn parsed(key: Key, kind: &Kind) -> Code {
    let mut code = Code::default();
    code.packet(kind.context, 54);
    // Network order, read by a little-endian machine.
    code.push(asm::load(Width::H, R2, R7, 12));
    code.insist(R2, 0x0008);
    code.push(asm::load(Width::B, R2, R7, 14));
    code.insist(R2, 0x45);
    code.push(asm::load(Width::H, R2, R7, 20));
    code.push(asm::alu64_imm(AluOp::And, R2, 0xff3f));
    code.insist(R2, 0);
    let (from, ports) = match key {
        Key::Tuple => (
            asm::load(Width::W, R2, R7, 26),
            asm::load(Width::W, R3, R7, 34),
        ),
        Key::Destination => (asm::mov64_imm(R2, 0), asm::load(Width::H, R3, R7, 36)),
    };
    code.push(from);
    code.push(asm::store_reg(Width::W, R10, -16, R2));
    code.push(ports);
    if key == Key::Destination {
        code.push(asm::alu64_imm(AluOp::Lsh, R3, 16));
    }
    code.push(asm::store_reg(Width::W, R10, -8, R3));
    code.push(asm::load(Width::W, R2, R7, 30));
    code.push(asm::store_reg(Width::W, R10, -12, R2));
    code.push(asm::load(Width::B, R2, R7, 23));
    code.push(asm::store_reg(Width::W, R10, -4, R2));
    code
}

/// A key's bytes.
fn bytes(from: IpAddr, to: IpAddr, sport: u16, dport: u16, protocol: u8) -> Vec<u8> {
    let four = |address: IpAddr| match address {
        IpAddr::V4(four) => four.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    let mut key = Vec::with_capacity(16);
    key.extend(four(from));
    key.extend(four(to));
    key.extend(sport.to_be_bytes());
    key.extend(dport.to_be_bytes());
    key.extend([protocol, 0, 0, 0]);
    key
}
