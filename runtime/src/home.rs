//! Where the sock_ops program of a group hangs, and how it knows the group's connections there.
//!
//! A control group that is removed takes everything that hangs on it along, and systemd removes a service's at each stop. So
//! the dispatcher hangs on the root of all control groups, which lasts, and compares the path of each new connection's group
//! with that of the policy's (see [`crate::owner`]). Where the kernel does not describe its types, or lets nobody read them,
//! it hangs on the group itself: one that is made anew then needs an `apply`.

use std::io;
use std::path::Path;

use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::opcode::{JumpOp, Register, Width};

use crate::code::{Code, Label};
use crate::hook::Point;
use crate::kernel_types::KernelTypes;
use crate::owner::{self, Belongs, STACK, Scratch};
use crate::sys::{cgroup, prog};

/// `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB` and `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB` of `linux/bpf.h`.
const ESTABLISHED: [i32; 2] = [4, 5];
/// `sk` of `struct bpf_sock_ops`.
const SOCKET: i16 = 184;

/// What tells a group's connections from all others of the machine.
pub(crate) struct Guard {
    types: KernelTypes,
    belongs: Belongs,
}

impl Guard {
    /// What the dispatcher of a point needs for the group at `path` whose number is `target`; nothing where that is the id of
    /// the control group, which it hangs on itself then.
    pub(crate) fn of(point: Point, target: u64, path: &str) -> io::Result<Option<Self>> {
        let (Point::SockOps(_), Some(root)) = (point, cgroup::root()) else {
            return Ok(None);
        };
        let Ok(below) = Path::new(path).strip_prefix(&root) else {
            return Ok(None);
        };
        let below = below.to_string_lossy();
        if number(&below) != target {
            return Ok(None);
        }
        Ok(Some(Self {
            types: KernelTypes::read().map_err(io::Error::other)?,
            belongs: Belongs::cgroup(&below),
        }))
    }

    /// Jumps to `pass` unless a connection of the group has just been made. R1 is the context, before and behind.
    pub(crate) fn check(&self, code: &mut Code, pass: Label) {
        let made = code.label();
        code.add([asm::load(Width::W, Register::R2, Register::R1, 0)]);
        code.jump_if(JumpOp::Eq, Register::R2, ESTABLISHED[0], made);
        code.jump_if(JumpOp::Ne, Register::R2, ESTABLISHED[1], pass);
        code.place(made);
        code.add([
            asm::mov64_reg(Register::R6, Register::R1),
            asm::load(Width::DW, Register::R7, Register::R1, SOCKET),
        ]);
        code.jump_if(JumpOp::Eq, Register::R7, 0, pass);
        let scratch = Scratch {
            stack: -STACK,
            register: Register::R8,
        };
        owner::check(
            code,
            &self.types,
            &self.belongs,
            Register::R7,
            scratch,
            pass,
        );
        code.add([asm::mov64_reg(Register::R1, Register::R6)]);
    }
}

/// Whether this kernel takes a program that compares paths: found by loading one. The root that is seen here must be that of
/// the machine, and not a container's.
pub(crate) fn follows() -> bool {
    let Ok(types) = KernelTypes::read() else {
        return false;
    };
    if !cgroup::root().is_some_and(|root| cgroup::is_first(&root)) {
        return false;
    }
    let guard = Guard {
        types,
        belongs: Belongs::cgroup("/a"),
    };
    let kind = Point::SockOps(0).kind();
    let mut code = Code::default();
    let pass = code.label();
    guard.check(&mut code, pass);
    code.place(pass);
    code.give(kind.pass);
    let loaded = prog::load(&prog::Source {
        name: "sockc_probe",
        kind: kind.program,
        attach: kind.load,
        code: &code.bytes(),
    });
    loaded.is_ok()
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
}
