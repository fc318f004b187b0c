//! A program that lets everything go on, for the slots of the side that is not in force.
//!
//! It means what an empty slot means, and costs nobody a wait: the kernel makes a direct jump of a dispatcher's tail call, and
//! takes a program out of a slot only with a grace period of RCU (`bpf_arch_poke_desc_update` of
//! arch/x86/net/bpf_jit_comp.c), whereas another program takes its place at once. So an apply loads one for each kind of
//! hook and pins it with its programs; it stands in the record as they do, and whoever finds another program in
//! such a slot knows that somebody put it there. Slots of what fills sockets are emptied all the same: there the policy's own
//! program comes next if nothing is in the slot.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::code::Code;
use crate::error::{Error, at};
use crate::hook::Point;
use crate::state::State;
use crate::state::pin::Made;
use crate::state::record::Record;
use crate::sys::{bpffs, map, prog};

/// What the names of the pins begin with.
const NAME: &str = "asleep_";
/// The name of the programs.
const TITLE: &str = "sockc_asleep";

/// Loads the programs for some points of a generation, and pins them.
pub(crate) fn prepare(state: &State, generation: u32, points: &[Point]) -> Result<(), Error> {
    let mut made = BTreeSet::new();
    for point in points {
        let name = name(*point);
        if made.insert(name.clone()) {
            let what = at(format!("load the program that sleeps at {}", point.title()));
            let pinned = load(*point)
                .and_then(|one| bpffs::pin(one.as_fd(), &state.program(generation, &name)));
            pinned.map_err(what)?;
        }
    }
    Ok(())
}

/// Puts the program of a generation into a slot instead of another; `false` where it has none, or the kernel does not take it.
pub(crate) fn lay(
    state: &State,
    generation: u32,
    point: Point,
    (slots, slot): (BorrowedFd<'_>, u32),
) -> bool {
    let Ok(program) = bpffs::open(&state.program(generation, &name(point))) else {
        return false;
    };
    let value = program.as_raw_fd().to_ne_bytes();
    map::update(slots, &slot.to_ne_bytes(), &value).is_ok()
}

/// Its id, by the record.
pub(crate) fn id(record: &Record, point: Point) -> Option<u32> {
    let path = Path::new(&record.generation.to_string())
        .join("prog")
        .join(name(point));
    let pin = record.pins.iter().flatten().find(|pin| pin.path == path)?;
    match pin.made {
        Made::Program(id) => Some(id),
        _ => None,
    }
}

fn name(point: Point) -> String {
    format!("{NAME}{}", point.title())
}

fn load(point: Point) -> io::Result<OwnedFd> {
    let kind = point.kind();
    let mut code = Code::default();
    code.give(kind.pass);
    prog::load(&prog::Source {
        name: TITLE,
        kind: kind.program,
        attach: kind.load,
        code: &code.bytes()?,
    })
}
