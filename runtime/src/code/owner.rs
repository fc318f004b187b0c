//! Code that asks whose a socket is, for the programs that the runtime makes itself.
//!
//! Takes a socket in a register, of any kind that the verifier knows (`bpf_sock`, `sock_common`, of a lookup or of a context);
//! goes on after the emitted code if the socket belongs to the owner, else to a label. What a check that cannot be made
//! means is the caller's to say: for the owner of a socket it is no.
//! No helper tells the user or the control group of any socket but the packet's own in XDP, and none in sock_ops. So the code
//! reads the kernel's structures by `bpf_probe_read_kernel`, with the offsets of [`KernelTypes`]; that works from Linux 5.10
//! on, with CAP_PERFMON, in every type of program. Where a kernel has no description of its types, or is locked down, such a
//! program is not made, and only commands fill slots.
//!
//! A control group is compared by the names of its folder and of all above it, not by its id: one that is made anew under the
//! same path is the same owner.

use aya_obj::generated::bpf_prog_type;
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};

use super::kernel_types::KernelTypes;
use super::{Code, Label};
use crate::sys::{cgroup, prog};

/// Who a socket has to belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// To the user of this number.
    User(u32),
    /// To a process of this control group, or of one below it, when it was made: the names of the folders from the root on.
    Cgroup(Vec<String>),
}

impl Belongs {
    /// A control group by its path from the root.
    pub(crate) fn cgroup(path: &str) -> Self {
        let names = path.split('/').filter(|name| !name.is_empty());
        Self::Cgroup(names.map(str::to_owned).collect())
    }

    /// As a declaration names it.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::User(uid) => format!("the user {uid}"),
            Self::Cgroup(names) => format!("the control group \"/{}\"", names.join("/")),
        }
    }
}

/// What programs need to ask whose a socket is; the text says why they cannot.
pub(crate) fn able() -> Result<KernelTypes, String> {
    let types = KernelTypes::read()?;
    let root = cgroup::root()
        .map_err(|error| format!("where control groups are mounted cannot be read: {error}"))?;
    let first = root.is_none_or(|root| cgroup::is_first(&root));
    if !first {
        return Err("the control groups seen here are a container's, not all".to_owned());
    }
    may_read()?;
    Ok(types)
}

/// Whether programs may read the kernel's memory; the text says that they may not.
pub(crate) fn may_read() -> Result<(), String> {
    let mut code = Code::default();
    code.add([
        asm::store_imm(Width::DW, Register::R10, -8, 0),
        asm::mov64_reg(Register::R1, Register::R10),
        asm::alu64_imm(AluOp::Add, Register::R1, -8),
        asm::mov64_imm(Register::R2, 8),
        asm::mov64_imm(Register::R3, 0),
    ]);
    code.call_number(PROBE_READ_KERNEL);
    code.give(0);
    let probe = prog::load(&prog::Source {
        name: "probe",
        kind: bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
        attach: None,
        code: &code.bytes().map_err(|error| error.to_string())?,
    });
    probe.map_err(|error| {
        let first = error.to_string();
        let first = first.split(';').next().unwrap_or_default().to_owned();
        format!("programs may not read the kernel's memory here ({first})")
    })?;
    Ok(())
}

/// What the code may overwrite, besides R0 to R5.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scratch {
    /// The lowest of [`STACK`] bytes of the stack; a multiple of 8.
    pub(crate) stack: i16,
    /// A register that calls leave alone.
    pub(crate) register: Register,
}

/// Where the code goes on unless the socket belongs to the owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers {
    /// It belongs to somebody else.
    pub(crate) other: Label,
    /// That cannot be told: the kernel lets nobody read, or the control group lies too deep.
    pub(crate) unknown: Label,
    /// How many levels below the owner a control group is still seen to be its.
    pub(crate) levels: usize,
}

/// `bpf_probe_read_kernel(to, size, from)`, which no code of the compiler calls.
pub(crate) const PROBE_READ_KERNEL: i32 = 113;
/// How much of the stack the code needs.
pub(crate) const STACK: i16 = 24 + CHUNK;
/// How much of a name is compared at once.
const CHUNK: i16 = 64;
/// Where the address of the socket, what was read, and the level stand in the stack of a [`Scratch`].
const SOCKET: i16 = 0;
const OUT: i16 = 8;
const LEVEL: i16 = 16;
const NAME: i16 = 24;

/// Jumps to one of the answers unless the socket in a register belongs to the owner.
pub(crate) fn check(
    code: &mut Code,
    types: &KernelTypes,
    owner: &Belongs,
    socket: Register,
    scratch: Scratch,
    answers: Answers,
) {
    let mut check = Check {
        code,
        types,
        scratch,
        answers,
    };
    check.take_address(socket);
    match owner {
        Belongs::User(uid) => check.user(*uid),
        Belongs::Cgroup(names) => check.cgroup(names),
    }
}

struct Check<'a> {
    code: &'a mut Code,
    types: &'a KernelTypes,
    scratch: Scratch,
    answers: Answers,
}

impl Check<'_> {
    /// The verifier lets nobody count with the address of a socket. Copied like any other bytes it is a number.
    fn take_address(&mut self, socket: Register) {
        let (stack, register) = (self.scratch.stack, self.scratch.register);
        self.code.add([
            asm::store_reg(Width::DW, Register::R10, stack + SOCKET, socket),
            asm::mov64_reg(Register::R3, Register::R10),
            asm::alu64_imm(AluOp::Add, Register::R3, (stack + SOCKET).into()),
        ]);
        self.call(OUT, 8);
        self.code
            .add([asm::load(Width::DW, register, Register::R10, stack + OUT)]);
    }

    fn user(&mut self, uid: u32) {
        self.read(self.types.sock_uid, OUT, 4);
        let out = self.scratch.stack + OUT;
        self.code
            .add([asm::load(Width::W, Register::R1, Register::R10, out)]);
        self.code.jump32_if(
            JumpOp::Ne,
            Register::R1,
            uid.cast_signed(),
            self.answers.other,
        );
    }

    fn cgroup(&mut self, names: &[String]) {
        let register = self.scratch.register;
        self.follow(self.types.sock_cgroup);
        // Up to Linux 5.14 the lowest bit says that this is no pointer (net_cls or net_prio took its place), the second that it
        // is not counted.
        self.code
            .jump_if(JumpOp::Set, register, 1, self.answers.other);
        self.code.add([asm::alu64_imm(AluOp::And, register, -4)]);
        self.code
            .jump_if(JumpOp::Eq, register, 0, self.answers.other);
        self.climb(names.len());
        for name in names.iter().rev() {
            self.compare(name);
            self.follow(self.types.node_parent);
        }
    }

    /// From a control group to the node at a level, which is its own or one above.
    fn climb(&mut self, level: usize) {
        let (stack, register) = (self.scratch.stack, self.scratch.register);
        let level = self.code.number(level);
        let there = self.code.label();
        self.read(self.types.cgroup_level, OUT, 4);
        self.code.add([
            asm::load(Width::W, Register::R1, Register::R10, stack + OUT),
            asm::store_reg(Width::DW, Register::R10, stack + LEVEL, Register::R1),
        ]);
        self.code
            .jump_if(JumpOp::Lt, Register::R1, level, self.answers.other);
        self.follow(self.types.cgroup_node);
        for _ in 0..self.answers.levels {
            self.level_to(Register::R1);
            self.code.jump_if(JumpOp::Eq, Register::R1, level, there);
            self.code.add([
                asm::alu64_imm(AluOp::Sub, Register::R1, 1),
                asm::store_reg(Width::DW, Register::R10, stack + LEVEL, Register::R1),
            ]);
            self.follow(self.types.node_parent);
        }
        self.level_to(Register::R1);
        self.code
            .jump_if(JumpOp::Ne, Register::R1, level, self.answers.unknown);
        self.code.place(there);
        self.code
            .jump_if(JumpOp::Eq, register, 0, self.answers.other);
    }

    fn level_to(&mut self, register: Register) {
        let at = self.scratch.stack + LEVEL;
        self.code
            .add([asm::load(Width::DW, register, Register::R10, at)]);
    }

    /// Compares the name of the node in the register, with the zero byte after it.
    fn compare(&mut self, name: &str) {
        let stack = self.scratch.stack;
        self.read(self.types.node_name, OUT, 8);
        let mut bytes = name.as_bytes().to_vec();
        bytes.push(0);
        let mut done = 0;
        for chunk in bytes.chunks(CHUNK.unsigned_abs().into()) {
            let size = self.code.number(chunk.len());
            self.code.add([
                asm::load(Width::DW, Register::R3, Register::R10, stack + OUT),
                asm::alu64_imm(AluOp::Add, Register::R3, done),
            ]);
            self.call(NAME, size);
            for (at, byte) in (stack + NAME..).zip(chunk) {
                self.code
                    .add([asm::load(Width::B, Register::R1, Register::R10, at)]);
                self.code
                    .jump_if(JumpOp::Ne, Register::R1, (*byte).into(), self.answers.other);
            }
            done += size;
        }
    }

    /// The register becomes the pointer at an offset of what it points to.
    fn follow(&mut self, offset: u16) {
        self.read(offset, OUT, 8);
        let out = self.scratch.stack + OUT;
        self.code.add([asm::load(
            Width::DW,
            self.scratch.register,
            Register::R10,
            out,
        )]);
    }

    /// Reads bytes at an offset of what the register points to.
    fn read(&mut self, offset: u16, to: i16, size: i32) {
        self.code.add([
            asm::mov64_reg(Register::R3, self.scratch.register),
            asm::alu64_imm(AluOp::Add, Register::R3, offset.into()),
        ]);
        self.call(to, size);
    }

    /// Copies from the address in R3. Where there is no memory, or nobody may read it, the kernel says so.
    fn call(&mut self, to: i16, size: i32) {
        self.code.add([
            asm::mov64_reg(Register::R1, Register::R10),
            asm::alu64_imm(AluOp::Add, Register::R1, (self.scratch.stack + to).into()),
            asm::mov64_imm(Register::R2, size),
        ]);
        self.code.call_number(PROBE_READ_KERNEL);
        self.code
            .jump_if(JumpOp::Ne, Register::R0, 0, self.answers.unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_names_of_its_folders() {
        let names = vec!["system.slice".to_owned(), "a.service".to_owned()];
        assert_eq!(
            Belongs::cgroup("/system.slice/a.service"),
            Belongs::Cgroup(names)
        );
        assert_eq!(Belongs::cgroup("/"), Belongs::Cgroup(Vec::new()));
    }
}
