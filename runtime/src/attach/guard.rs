//! Where a program hangs that sees what is done in a group, and how it knows the group's sockets there.
//!
//! A control group that is removed takes everything that hangs on it along, and systemd removes a service's at each stop. So
//! the dispatcher hangs on the root of all control groups, which lasts, and compares the path of each new connection's group
//! with that of the policy's (see [`crate::code::owner`]). A connection of which that cannot be told counts as the group's: else a
//! process could leave the group by making control groups below it, deeper than is looked. Where the kernel does not describe
//! its types, or lets nobody read them, the dispatcher hangs on the group itself: one that is made anew then needs an `apply`.

use std::fs;
use std::io;

use sockc_compiler::artifact::Manifest;
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::constant::BPF_SOCK_OPS_STATE_CB;
use sockc_compiler::bpf::opcode::{JumpOp, Register, Width};

use crate::code::kernel_types::KernelTypes;
use crate::code::owner::{self, Answers, Belongs, STACK, Scratch};
use crate::code::{Code, Label};
use crate::hook::{On, Point, Points};
use crate::sys::{cgroup, prog};

/// `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB` and `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB` of `linux/bpf.h`.
const ESTABLISHED: [i32; 2] = [4, 5];

/// How many levels below a group are looked at. What lies deeper, in whatever group, counts as the group's.
const LEVELS: usize = 64;
/// A control group takes 64 programs (`BPF_CGROUP_MAX_PROGS`), and the root is everybody's: a policy with more groups than this
/// hangs its programs on the groups.
const MAX_GROUPS: usize = 32;
/// Says in brackets how much the kernel keeps from programs. Linux before 5.13 lets a program be loaded in any case, and then
/// refuses each read (`bpf_probe_read_kernel_common`).
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// What tells a group's connections from all others of the machine.
pub(crate) struct Guard {
    point: Point,
    types: KernelTypes,
    belongs: Belongs,
}

impl Guard {
    /// What the dispatcher of a point needs for the group in the folder `path` whose number is `target`; nothing where that is
    /// the id of the control group, which it hangs on itself then.
    pub(crate) fn of(point: Point, target: u64, path: &str) -> io::Result<Option<Self>> {
        let (On::Group(_), Some(below)) = (point.on(), followed(path, target)) else {
            return Ok(None);
        };
        // Its program knows the group's sockets by what they keep, and every packet that leaves the machine comes here.
        if matches!(point, Point::Leaving(_)) {
            return Ok(None);
        }
        Ok(Some(Self {
            point,
            types: KernelTypes::read().map_err(io::Error::other)?,
            belongs: Belongs::cgroup(below),
        }))
    }

    /// Jumps to `pass` unless what the point sees is done in the group; of sock_ops, unless a connection has just been made, or
    /// gets another state. R1 is the context, before and after.
    pub(crate) fn check(&self, code: &mut Code, pass: Label) {
        if matches!(self.point, Point::SockOps(_)) {
            only_called_for(code, pass);
        }
        let taken = code.label();
        // Everything lies in the root, also what the kernel has no group of.
        if self.belongs == Belongs::cgroup("/") {
            return;
        }
        code.add([
            asm::mov64_reg(Register::R6, Register::R1),
            asm::load(
                Width::DW,
                Register::R7,
                Register::R1,
                self.point.socket_at(),
            ),
        ]);
        code.jump_if(JumpOp::Eq, Register::R7, 0, taken);
        let scratch = Scratch {
            stack: -STACK,
            register: Register::R8,
        };
        let answers = Answers {
            other: pass,
            unknown: taken,
            levels: LEVELS,
        };
        owner::check(
            code,
            &self.types,
            &self.belongs,
            Register::R7,
            scratch,
            answers,
        );
        code.place(taken);
        code.add([asm::mov64_reg(Register::R1, Register::R6)]);
    }

    fn loads(&self) -> bool {
        let kind = self.point.kind();
        let mut code = Code::default();
        let pass = code.label();
        self.check(&mut code, pass);
        code.place(pass);
        code.give(kind.pass);
        let loaded = code.bytes().and_then(|code| {
            prog::load(&prog::Source {
                name: "sockc_probe",
                kind: kind.program,
                attach: kind.load,
                code: &code,
            })
        });
        loaded.is_ok()
    }
}

/// Whether this kernel takes the programs that compare the paths of a policy's groups: found by loading them. The root that is
/// seen here must be that of the machine, and not a container's.
pub(crate) fn follows(manifest: &Manifest) -> bool {
    let locked = fs::read_to_string(LOCKDOWN).is_ok_and(|text| text.contains("[confidentiality]"));
    let whole = matches!(cgroup::root(), Ok(Some(root)) if cgroup::is_first(&root));
    if locked || !whole || manifest.groups.len() > MAX_GROUPS {
        return false;
    }
    let Ok(types) = KernelTypes::read() else {
        return false;
    };
    let programs = manifest.programs.iter();
    let mut guards = programs.filter_map(|program| match Points::of(&program.point) {
        Points::Group(group, point) => Some(Guard {
            point: point(0),
            types,
            belongs: Belongs::cgroup(&manifest.groups.get(group)?.cgroup),
        }),
        _ => None,
    });
    guards.all(|guard| guard.loads())
}

/// Jumps to `pass` unless a connection has just been made, or gets another state, which only those say that a program has
/// told to. R1 is the context.
fn only_called_for(code: &mut Code, pass: Label) {
    let called = code.label();
    code.add([asm::load(Width::W, Register::R2, Register::R1, 0)]);
    for made in ESTABLISHED {
        code.jump_if(JumpOp::Eq, Register::R2, made, called);
    }
    code.jump_if(JumpOp::Ne, Register::R2, BPF_SOCK_OPS_STATE_CB, pass);
    code.place(called);
}

/// The path from the root of the group in a folder, if the number is that of a path and not the id of a control group.
/// Wherever the hierarchy is mounted: a number is of 64 bits, so the part of the folder that has it is the path.
pub(crate) fn followed(folder: &str, target: u64) -> Option<&str> {
    let starts = folder.char_indices().filter(|(_, char)| *char == '/');
    let starts = starts.map(|(at, _)| at).chain([folder.len()]);
    let mut parts = starts.filter_map(|at| folder.get(at..));
    parts.find(|part| number(part) == target)
}

/// The number of a group that is known by its path: FNV-1a of 64 bits.
pub(crate) fn number(path: &str) -> u64 {
    let names = path.split('/').filter(|name| !name.is_empty());
    names
        .flat_map(|name| [b"/", name.as_bytes()].concat())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_number_however_it_is_written() {
        assert_eq!(number("/a/b"), number("a//b/"));
        assert_eq!(number("/a/b"), number("a/b"));
        assert_ne!(number("/a/b"), number("/ab"));
        assert_ne!(number("/a/b"), number("/b/a"));
    }

    #[test]
    fn a_number_tells_which_part_of_a_folder_is_the_path() {
        let folder = "/sys/fs/cgroup/unified/a/b";
        assert_eq!(followed(folder, number("/a/b")), Some("/a/b"));
        assert_eq!(followed(folder, number("/b")), Some("/b"));
        assert_eq!(followed(folder, 4711), None);
        assert_eq!(followed("/sys/fs/cgroup", number("/")), Some(""));
        assert_eq!(followed("/sys/fs/cgroup/", number("/")), Some("/"));
    }
}
