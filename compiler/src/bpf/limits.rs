//! What a kernel takes, 5.10 on, and how much of it we use. A program beyond one of these is never emitted.

/// Stack bytes of a program.
pub(crate) const STACK: usize = 512;
/// Instructions of a privileged program, and instructions the verifier processes before it gives up
/// (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub(crate) const INSTRUCTIONS: usize = 1_000_000;
/// Branches the verifier keeps pending on one path (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
pub(crate) const PENDING_JUMPS: usize = 8_192;
/// Maps a program refers to (`MAX_USED_MAPS`).
pub(crate) const MAPS: usize = 64;
/// Bytes of a map's or program's name, without the final zero.
pub(crate) const NAME: usize = 15;
/// Furthest a conditional jump, or a jump on a kernel without `gotol`, reaches forward.
pub(crate) const JUMP: usize = i16::MAX as usize;
/// Bytes of an array map's value before Linux 6.0 (`KMALLOC_MAX_SIZE` on x86-64); later ones take `INT_MAX`.
pub(crate) const ARRAY_VALUE: usize = 4 << 20;

/// A limit of the kernel, and how far we go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What the kernel takes.
    pub kernel: usize,
    /// What one of our programs may take of it.
    pub ours: usize,
}

impl Limit {
    /// All that the kernel takes.
    const fn all(kernel: usize) -> Self {
        Self {
            kernel,
            ours: kernel,
        }
    }

    /// A part of what the kernel takes.
    const fn part(ours: usize, kernel: usize) -> Self {
        Self { kernel, ours }
    }
}

/// The limits that a policy can reach, of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instructions of a program.
    pub instructions: Limit,
    /// Instructions that the verifier processes for a program, over all the states it meets them in.
    pub processed: Limit,
    /// Branches that the verifier keeps pending on one path.
    pub pending_jumps: Limit,
    /// Maps that a program uses.
    pub maps: Limit,
    /// Bytes of a constant table's map.
    pub table: Limit,
    /// Instructions that a jump of 16 bits goes over; tests make it less, to have long jumps in short programs.
    pub jump: Limit,
}

impl Limits {
    /// Those of Linux 5.10.
    pub(crate) const LINUX_5_10: Self = Self {
        // A tenth: code is fetched from memory, and beyond this every packet would wait for it.
        instructions: Limit::part(100_000, INSTRUCTIONS),
        // Half: from 5.10 to 6.18 the same program rose by up to a fifth, the count before a load is an estimate, and
        // what lies near the kernel's limit takes a second to load, and far longer where memory is short.
        processed: Limit::part(500_000, INSTRUCTIONS),
        // Nearly all: each helper call may hold a few more pending than its block says.
        pending_jumps: Limit::part(8_000, PENDING_JUMPS),
        maps: Limit::all(MAPS),
        table: Limit::all(ARRAY_VALUE),
        jump: Limit::all(JUMP),
    };

    /// Those of Linux 6.0, which takes larger values. Ours stay as they are: tables are cut where they are larger anyway,
    /// and an object is the same for every kernel.
    pub(crate) const LINUX_6_0: Self = Self {
        table: Limit::part(ARRAY_VALUE, i32::MAX as usize),
        ..Self::LINUX_5_10
    };
}
