//! What a compile gives: programs, maps, and what a runtime needs to attach them.

mod counters;
mod manifest;

pub use manifest::BUILD;
pub use manifest::{
    Attach, AttachPoint, ClassPlan, Counter, CounterKind, EndPlan, GroupPlan, InterceptPlan,
    LiveEntryPlan, LiveMapPlan, MANIFEST_VERSION, Made, Manifest, PairsPlan, PassingPlan, SEGMENT,
    SetPlan, SetTablePlan, Slot, SlotOrigin, SlotOwner, SocketSlots, in_slot, map_keys, set_keys,
};

use cranelift_entity::{PrimaryMap, entity_impl};
use serde::{Deserialize, Serialize};

use crate::bpf::constant::BPF_F_RDONLY_PROG;
use crate::bpf::insn::Insn;
use crate::bpf::limits::ARRAY_VALUE;
use crate::location::Location;

/// A map of the object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(u32);
entity_impl!(MapId, "map");

/// Everything a compile gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The programs, in a fixed order.
    pub programs: Vec<Program>,
    /// The maps they use.
    pub maps: PrimaryMap<MapId, MapSpec>,
    /// What a runtime needs to know.
    pub manifest: Manifest,
    /// The lists of sets, the blocks' too: name and text. An object carries at most 256 MiB of them, else none.
    pub lists: Vec<(String, String)>,
    /// The policies of `for netns` blocks: the namespace's name and what is compiled for it. They have neither
    /// blocks nor lists of their own.
    pub netns: Vec<(String, Artifact)>,
}

listed! {
    /// The section of a program, which is its type.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    pub enum Section {
        /// `xdp`
        Xdp,
        /// `classifier`
        Classifier,
        /// `sk_lookup`
        SkLookup,
        /// `sk_msg`
        SkMsg,
        /// `sk_skb/stream_verdict`
        SkSkb,
        /// `sockops`
        SockOps,
        /// `cgroup/connect4`
        Connect4,
        /// `cgroup/connect6`
        Connect6,
        /// `cgroup/sendmsg4`
        Sendmsg4,
        /// `cgroup/sendmsg6`
        Sendmsg6,
        /// `cgroup/setsockopt`
        Setsockopt,
        /// `cgroup_skb/ingress`
        CgroupSkb,
        /// `cgroup_skb/egress`
        CgroupSkbOut,
    }
}

impl Section {
    /// Its name, and the struct of `linux/bpf.h` that its programs are called with.
    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Xdp => ("xdp", "xdp_md"),
            Self::Classifier => ("classifier", "__sk_buff"),
            Self::SkLookup => ("sk_lookup", "bpf_sk_lookup"),
            Self::SkMsg => ("sk_msg", "sk_msg_md"),
            Self::SkSkb => ("sk_skb/stream_verdict", "__sk_buff"),
            Self::SockOps => ("sockops", "bpf_sock_ops"),
            Self::Connect4 => ("cgroup/connect4", "bpf_sock_addr"),
            Self::Connect6 => ("cgroup/connect6", "bpf_sock_addr"),
            Self::Sendmsg4 => ("cgroup/sendmsg4", "bpf_sock_addr"),
            Self::Sendmsg6 => ("cgroup/sendmsg6", "bpf_sock_addr"),
            Self::Setsockopt => ("cgroup/setsockopt", "bpf_sockopt"),
            Self::CgroupSkb => ("cgroup_skb/ingress", "__sk_buff"),
            Self::CgroupSkbOut => ("cgroup_skb/egress", "__sk_buff"),
        }
    }

    /// The name in the ELF file, one that libbpf and aya both accept.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The struct of `linux/bpf.h` that its programs are called with.
    #[must_use]
    pub fn context(self) -> &'static str {
        self.row().1
    }

    /// Whether its programs see calls of IPv6.
    #[must_use]
    pub(crate) fn is_call_of_v6(self) -> bool {
        matches!(self, Self::Connect6 | Self::Sendmsg6)
    }

    /// Whether its programs see packets, and return what becomes of one; the others return 0 or 1.
    #[must_use]
    pub(crate) fn sees_packets(self) -> bool {
        matches!(self, Self::Xdp | Self::Classifier)
    }
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The function's name: `xdp_in`, `tc_in`, `tc_out`, `lookup`, `send…`, `sock_ops…`, `setsockopt…`,
    /// `leaving…`.
    pub name: String,
    /// Its section.
    pub section: Section,
    /// The instructions; a 64-bit immediate takes two.
    pub insns: Vec<Insn>,
    /// References to maps, by increasing instruction.
    pub relocations: Vec<Relocation>,
    /// Where instructions come from, by strictly increasing instruction; the first is at 0.
    pub lines: Vec<Line>,
}

/// A reference to a map, or into a map's value, in the first half of a 64-bit immediate load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// The instruction, counted in 8-byte units.
    pub insn: u32,
    /// The map.
    pub map: MapId,
    /// `None` for the map itself (`BPF_PSEUDO_MAP_FD`). Else the address so many bytes into the only value of a map with
    /// [`MapSpec::data`] (`BPF_PSEUDO_MAP_VALUE`); the load's second half holds the same number.
    pub value_offset: Option<u32>,
}

/// From this instruction on, the code comes from this line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The instruction, counted in 8-byte units; never the second half of a 64-bit immediate.
    pub insn: u32,
    /// The statement that it is from.
    pub location: Location,
}

/// A map definition (values of `enum bpf_map_type` in `linux/bpf.h`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// `BPF_MAP_TYPE_…`
    pub kind: MapKind,
    /// Key size in bytes.
    pub key_size: u32,
    /// Value size in bytes.
    pub value_size: u32,
    /// The maximum number of entries.
    pub max_entries: u32,
    /// `BPF_F_…`
    pub flags: u32,
    /// What the only entry of an array holds that programs reach through an address into its value (see
    /// [`Relocation::value_offset`]); the value is as long as this. One that programs only read is a table, which is frozen once it
    /// is filled, and travels in the section `.rodata.NAME`; another one in `.data.NAME`. `None` for every other map, which starts
    /// empty.
    pub data: Option<Vec<u8>>,
}

/// The maximum number of bytes of a table: what Linux 5.10 takes.
pub const TABLE_LIMIT: usize = ARRAY_VALUE;

impl MapSpec {
    /// A map that starts empty, without flags.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        kind: MapKind,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> Self {
        Self {
            name: name.into(),
            kind,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            data: None,
        }
    }

    /// A constant table of 1 to [`TABLE_LIMIT`] bytes.
    #[must_use]
    pub fn table(name: impl Into<String>, data: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: u32::try_from(data.len()).unwrap_or(u32::MAX),
            max_entries: 1,
            flags: BPF_F_RDONLY_PROG,
            data: Some(data),
        }
    }

    /// An array whose only value holds zeros, and which programs and others write to.
    #[must_use]
    pub fn word(name: impl Into<String>, bytes: usize) -> Self {
        Self {
            flags: 0,
            ..Self::table(name, vec![0; bytes])
        }
    }

    /// Whether it is a constant table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.data.is_some() && self.flags & BPF_F_RDONLY_PROG != 0
    }
}

listed! {
    /// The map types that are used.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum MapKind {
        /// `BPF_MAP_TYPE_HASH`
        Hash = 1,
        /// `BPF_MAP_TYPE_ARRAY`
        Array = 2,
        /// `BPF_MAP_TYPE_PROG_ARRAY`: programs that others go on with; the runtime puts them in.
        ProgArray = 3,
        /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: for each processor the ring of whoever reads events; the kernel takes it out when that
        /// process ends. No entries stand for one for each processor there may be, as loaders take it.
        PerfEventArray = 4,
        /// `BPF_MAP_TYPE_PERCPU_ARRAY`
        PerCpuArray = 6,
        /// `BPF_MAP_TYPE_LRU_HASH`: a full one forgets what was not used for long.
        LruHash = 9,
        /// `BPF_MAP_TYPE_LPM_TRIE`: keys are prefixes, a `u32` of prefix bits in host order and then the address in network
        /// order; needs `BPF_F_NO_PREALLOC`.
        LpmTrie = 11,
        /// `BPF_MAP_TYPE_DEVMAP`: an interface in each slot, its index and 4 bytes more. Programs only read it, and the kernel takes
        /// an interface out when it is removed or leaves its network namespace (`dev_map_notification`).
        DevMap = 14,
        /// `BPF_MAP_TYPE_SOCKMAP`
        SockMap = 15,
        /// `BPF_MAP_TYPE_SOCKHASH`
        SockHash = 18,
        /// `BPF_MAP_TYPE_SK_STORAGE`
        SkStorage = 24,
        /// `BPF_MAP_TYPE_RINGBUF`: no keys or values; `max_entries` are bytes, a power of two of whole pages.
        RingBuf = 27,
    }
}
