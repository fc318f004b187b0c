//! tubular's own program in the kernel: its object read by aya, its maps made and filled here, to be run on lookups.
//!
//! Takes the file that `SOCKC_TUBULAR` names (`internal/dispatcher_bpfel.o` of its repository); gives the
//! program. The map `destinations` is left out: the program does not ask it.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_prog_type};
use aya_obj::{Map, Object};

use super::syscalls;

/// The program and the maps that it asks.
const PROGRAM: &str = "dispatcher";
const ASKED: [&str; 3] = ["bindings", "sockets", "destination_metrics"];
/// The bits of a key in front of the address: the protocol and the port.
const AHEAD: u32 = 24;

/// A binding as its table has it: IPv4 is mapped into IPv6, zero beyond the prefix; port 0 is every port.
pub(crate) struct Binding {
    pub(crate) protocol: u8,
    pub(crate) port: u16,
    pub(crate) address: u128,
    pub(crate) bits: u8,
}

/// The program in the kernel.
pub(crate) struct Peer {
    program: OwnedFd,
    maps: BTreeMap<&'static str, OwnedFd>,
}

impl Peer {
    /// Loads it with empty maps.
    pub(crate) fn load(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut object = Object::parse(&bytes).unwrap();
        let maps: BTreeMap<_, _> = ASKED.map(|name| (name, make(&object.maps[name]))).into();
        let text: HashSet<usize> = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        let known = object.maps.clone();
        let given = maps
            .iter()
            .map(|(name, fd)| (*name, fd.as_raw_fd(), &known[*name]));
        object.relocate_maps(given, &text).unwrap();
        object.relocate_calls(&text).unwrap();
        let program = load(&object);
        Self { program, maps }
    }

    /// Puts a binding in; its destination has this number.
    pub(crate) fn bind(&self, binding: &Binding, destination: u32) {
        let length = AHEAD + u32::from(binding.bits);
        let mut key = length.to_ne_bytes().to_vec();
        key.push(binding.protocol);
        key.extend(binding.port.to_ne_bytes());
        key.extend(binding.address.to_be_bytes());
        let value = [destination.to_ne_bytes(), length.to_ne_bytes()].concat();
        syscalls::update(self.maps["bindings"].as_fd(), &key, &value).unwrap();
    }

    /// Puts the socket of a destination in.
    pub(crate) fn register(&self, destination: u32, socket: BorrowedFd<'_>) {
        let value = u64::try_from(socket.as_raw_fd()).unwrap().to_ne_bytes();
        syscalls::update(
            self.maps["sockets"].as_fd(),
            &destination.to_ne_bytes(),
            &value,
        )
        .unwrap();
    }

    /// The program itself.
    pub(crate) fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

fn make(map: &Map) -> OwnedFd {
    let mut attr = syscalls::empty();
    // SAFETY: every field of this member of the union is plain data, zeroed before.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    create.map_type = map.map_type();
    create.key_size = map.key_size();
    create.value_size = map.value_size();
    create.max_entries = map.max_entries();
    create.map_flags = map.map_flags();
    let fd = syscalls::call(bpf_cmd::BPF_MAP_CREATE, &mut attr).unwrap();
    // SAFETY: the kernel has just given this descriptor to us alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn load(object: &Object) -> OwnedFd {
    let program = &object.programs[PROGRAM];
    let insns = &object.functions[&program.function_key()].instructions;
    let mut attr = syscalls::empty();
    // SAFETY: every field of this member of the union is plain data, zeroed before.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_SK_LOOKUP as u32;
    load.expected_attach_type = bpf_attach_type::BPF_SK_LOOKUP as u32;
    load.insns = insns.as_ptr() as u64;
    load.insn_cnt = insns.len() as u32;
    load.license = program.license.as_ptr() as u64;
    let fd = syscalls::call(bpf_cmd::BPF_PROG_LOAD, &mut attr).unwrap();
    // SAFETY: the kernel has just given this descriptor to us alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
