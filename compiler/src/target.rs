//! What a kernel can do, as an input of the compiler. Probed by the runtime, or named.

/// Features and limits of the kernel that will run the programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name, recorded in the object.
    pub name: String,
    /// Whether it has the jump with a 32-bit offset (cpu v4, Linux 6.6, and backports).
    pub gotol: bool,
    /// Whether it has atomic instructions that give the old value back: compare-and-exchange, exchange, fetch-and-add
    /// (Linux 5.12). Adding without the old value is there everywhere.
    pub atomics: bool,
    /// Whether a socket lookup is told the interface that the packet came in by (Linux 5.17).
    pub lookup_interface: bool,
    /// Most instructions of one program.
    pub max_insns: usize,
}

/// Beyond this a compare tree is refused: a tree is processed as about three times its instructions, and a program must
/// stay far below the verifier's million (`BPF_COMPLEXITY_LIMIT_INSNS`).
const MAX_TREE_INSNS: usize = 100_000;

impl Target {
    /// What every supported kernel has: Linux 5.10.
    #[must_use]
    pub fn baseline() -> Self {
        Self {
            name: "linux-5.10".into(),
            gotol: false,
            atomics: false,
            lookup_interface: false,
            max_insns: MAX_TREE_INSNS,
        }
    }

    /// Linux 5.17, the first that tells a socket lookup the interface.
    #[must_use]
    pub fn linux_5_17() -> Self {
        Self {
            name: "linux-5.17".into(),
            atomics: true,
            lookup_interface: true,
            ..Self::baseline()
        }
    }

    /// The same with `gotol`.
    #[must_use]
    pub fn with_gotol(mut self) -> Self {
        self.gotol = true;
        self
    }

    /// The same with `atomics`.
    #[must_use]
    pub fn with_atomics(mut self) -> Self {
        self.atomics = true;
        self
    }

    /// The same with `lookup_interface`.
    #[must_use]
    pub fn with_lookup_interface(mut self) -> Self {
        self.lookup_interface = true;
        self
    }
}
