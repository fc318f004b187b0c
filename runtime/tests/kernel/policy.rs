//! Small hand-made objects: programs that count and give a verdict.

use std::net::SocketAddr;

use cranelift_entity::PrimaryMap;
use sockc_compiler::artifact::*;
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::insn::Insn;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Register, Width};
use sockc_compiler::counter_blocks::{self, BLOCK};
use sockc_compiler::location::Location;
use sockc_compiler::object;
use sockc_compiler::protocol::IpProtocol;

use Register::{R0, R1, R2, R3, R4, R6, R7, R10};

pub(crate) const XDP_DROP: i32 = 1;
pub(crate) const XDP_PASS: i32 = 2;
pub(crate) const TC_OK: i32 = 0;
pub(crate) const TC_SHOT: i32 = 2;
pub(crate) const SK_DROP: i32 = 0;
pub(crate) const SK_PASS: i32 = 1;

const COUNTERS: usize = 0;
const SOCKETS: usize = 1;
const PEERS: usize = 2;

/// A policy under construction.
pub(crate) struct Policy {
    artifact: Artifact,
}

/// A policy without programs.
pub(crate) fn policy(name: &str) -> Policy {
    Policy {
        artifact: Artifact {
            lists: Vec::new(),
            netns: Vec::new(),
            programs: Vec::new(),
            maps: PrimaryMap::from_iter([
                map("counters", MapKind::PerCpuArray, [4, BLOCK, 1, 0]),
                map("sockets", MapKind::SockMap, [4, 8, 8, 0]),
                map("peers", MapKind::SockHash, [8, 8, 64, 0]),
                map("storage", MapKind::SkStorage, [4, 8, 0, 1]),
            ]),
            manifest: Manifest {
                version: MANIFEST_VERSION,
                policy: name.to_owned(),
                interfaces: Vec::new(),
                programs: Vec::new(),
                sockets: Vec::new(),
                ends: Vec::new(),
                intercepts: None,
                passing: None,
                idle: Vec::new(),
                groups: Vec::new(),
                pairs: Vec::new(),
                counters: Vec::new(),
                sources: Vec::new(),
                classes: Vec::new(),
                sets: Vec::new(),
                maps: Vec::new(),
                out_interfaces: Vec::new(),
                namespaces: Vec::new(),
                target: "test".to_owned(),
                made: Made::default(),
            },
        },
    }
}

fn map(name: &str, kind: MapKind, [key_size, value_size, max_entries, flags]: [u32; 4]) -> MapSpec {
    MapSpec {
        name: name.to_owned(),
        kind,
        key_size,
        value_size,
        max_entries,
        flags,
        data: None,
    }
}

impl Policy {
    /// On these interfaces.
    pub(crate) fn on(mut self, interfaces: &[&str]) -> Self {
        self.artifact.manifest.interfaces =
            interfaces.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// A program that counts in a slot of its own, labelled, and gives a verdict.
    pub(crate) fn rule(mut self, point: AttachPoint, label: &str, verdict: i32) -> Self {
        let slot = u32::try_from(self.artifact.manifest.counters.len()).unwrap();
        let (block, offset) = counter_blocks::place(slot);
        let (block, offset) = (block.cast_signed(), i16::try_from(offset).unwrap());
        self.artifact.manifest.counters.push(Counter {
            kind: CounterKind::Rule,
            label: Some(label.to_owned()),
            location: Location::new("test.sk", 1, label),
            direction: "in".to_owned(),
            verdict: "count".to_owned(),
            audit: false,
            log: None,
            counted: true,
        });
        let code = vec![
            asm::store_imm(Width::W, R10, -4, block),
            asm::load_map(R1)[0],
            asm::load_map(R1)[1],
            asm::mov64_reg(R2, R10),
            asm::alu64_imm(AluOp::Add, R2, -4),
            asm::call(Helper::MapLookupElem),
            asm::jump_imm(JumpOp::Eq, R0, 0, 5),
            asm::mov64_imm(R1, 1),
            asm::atomic_add64(R0, offset, R1),
            asm::mov64_imm(R1, 100),
            asm::atomic_add64(R0, offset + 8, R1),
            asm::mov64_imm(R0, verdict),
            asm::mov64_imm(R0, verdict),
            asm::exit(),
        ];
        self.add(point, code, &[(1, COUNTERS)])
    }

    /// The maps that grow while they are in force, unused: what the kernel wants of each kind is looked at when it is made.
    pub(crate) fn live_maps(mut self) -> Self {
        let maps = [
            map("live", MapKind::LpmTrie, [8, 8, 1000, 1]),
            map("rates", MapKind::LruHash, [8, 8, 1000, 0]),
            map("events", MapKind::RingBuf, [0, 0, 1 << 16, 0]),
        ];
        for map in maps {
            self.artifact.maps.push(map);
        }
        self
    }

    /// A program that gives the verdict which the last byte of a table holds.
    pub(crate) fn tabled(mut self, point: AttachPoint, verdict: u8) -> Self {
        let mut data = vec![0xff; 1000];
        data.push(verdict);
        let offset = u32::try_from(data.len() - 1).unwrap();
        self.artifact.maps.push(MapSpec::table("table", data));
        let [first, second] = asm::load_map_value(R1, offset.cast_signed());
        let code = vec![first, second, asm::load(Width::B, R0, R1, 0), asm::exit()];
        let map = self.artifact.maps.len() - 1;
        let mut policy = self.add(point, code, &[(0, map)]);
        let program = policy.artifact.programs.last_mut().unwrap();
        program.relocations[0].value_offset = Some(offset);
        policy
    }

    /// A program that sends every lookup for a TCP port to a slot, or refuses it if the slot is empty.
    pub(crate) fn steer(self, port: u16, slot: i32) -> Self {
        let code = vec![
            asm::mov64_reg(R6, R1),
            asm::load(Width::W, R2, R6, 60),
            asm::jump_imm(JumpOp::Ne, R2, port.into(), 16),
            asm::store_imm(Width::W, R10, -4, slot),
            asm::load_map(R1)[0],
            asm::load_map(R1)[1],
            asm::mov64_reg(R2, R10),
            asm::alu64_imm(AluOp::Add, R2, -4),
            asm::call(Helper::MapLookupElem),
            asm::jump_imm(JumpOp::Eq, R0, 0, 11),
            asm::mov64_reg(R7, R0),
            asm::mov64_reg(R1, R6),
            asm::mov64_reg(R2, R7),
            asm::mov64_imm(R3, 0),
            asm::call(Helper::SkAssign),
            asm::mov64_reg(R6, R0),
            asm::mov64_reg(R1, R7),
            asm::call(Helper::SkRelease),
            asm::jump_imm(JumpOp::Ne, R6, 0, 2),
            asm::mov64_imm(R0, SK_PASS),
            asm::exit(),
            asm::mov64_imm(R0, SK_DROP),
            asm::exit(),
        ];
        self.add(AttachPoint::SkLookup, code, &[(4, SOCKETS)])
    }

    /// A named socket with one slot.
    pub(crate) fn socket(mut self, index: u32, protocol: u8, at: &str) -> Self {
        let at: SocketAddr = at.parse().unwrap();
        self.artifact.manifest.sockets.push(SocketSlots {
            name: format!("s{index}"),
            drop_if_absent: false,
            origin: SlotOrigin::Listen,
            owner: None,
            members: 1,
            spread_by_source: false,
            pinned: false,
            slots: vec![Slot {
                index,
                protocol: IpProtocol(protocol),
                address: at.ip(),
                port: at.port(),
            }],
        });
        self
    }

    /// A group whose connections are taken in when they are established, and whose writes get a verdict.
    pub(crate) fn group(mut self, cgroup: &str, verdict: i32) -> Self {
        self.artifact.manifest.groups.push(GroupPlan {
            name: "pods".to_owned(),
            cgroup: cgroup.to_owned(),
            peers: "peers".to_owned(),
            readers: String::new(),
            next: String::new(),
            storage: "storage".to_owned(),
            own: String::new(),
            ways: String::new(),
            bound: String::new(),
        });
        let code = vec![
            asm::mov64_reg(R6, R1),
            asm::load(Width::W, R2, R6, 0),
            asm::jump_imm(JumpOp::Eq, R2, 4, 1),
            asm::jump_imm(JumpOp::Ne, R2, 5, 11),
            asm::load(Width::W, R2, R6, 64),
            asm::load(Width::W, R3, R6, 68),
            asm::alu64_imm(AluOp::Lsh, R3, 32),
            asm::alu64_reg(AluOp::Or, R2, R3),
            asm::store_reg(Width::DW, R10, -8, R2),
            asm::load_map(R2)[0],
            asm::load_map(R2)[1],
            asm::mov64_reg(R3, R10),
            asm::alu64_imm(AluOp::Add, R3, -8),
            asm::mov64_imm(R4, 0),
            asm::call(Helper::SockHashUpdate),
            asm::mov64_imm(R0, 1),
            asm::exit(),
        ];
        self.add(AttachPoint::SockOps(0), code, &[(9, PEERS)]).rule(
            AttachPoint::SkMsg(0),
            "writes",
            verdict,
        )
    }

    /// A class of interfaces: of a zone with one pattern, matching these patterns of rules.
    pub(crate) fn class(mut self, zone: Option<(&str, &str)>, patterns: &[&str]) -> Self {
        self.artifact.manifest.classes.push(ClassPlan {
            zone: zone.map(|(name, pattern)| (name.to_owned(), vec![pattern.to_owned()])),
            patterns: patterns.iter().map(|one| (*one).to_owned()).collect(),
        });
        self
    }

    /// The last program is for this class of interfaces only.
    pub(crate) fn for_class(mut self, class: usize) -> Self {
        self.artifact.manifest.programs.last_mut().unwrap().class = Some(class);
        self
    }

    /// A map of the object.
    pub(crate) fn map(mut self, name: &str, kind: MapKind, shape: [u32; 4]) -> Self {
        self.artifact.maps.push(map(name, kind, shape));
        self
    }

    /// Whatever else the manifest says.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Manifest)) -> Self {
        change(&mut self.artifact.manifest);
        self
    }

    /// A program that the verifier refuses.
    pub(crate) fn broken(self, point: AttachPoint) -> Self {
        let code = vec![asm::load(Width::DW, R0, R1, 4000), asm::exit()];
        self.add(point, code, &[])
    }

    fn add(mut self, point: AttachPoint, insns: Vec<Insn>, maps: &[(u32, usize)]) -> Self {
        let ids: Vec<MapId> = self.artifact.maps.keys().collect();
        let (name, section) = match point {
            AttachPoint::Xdp => ("xdp_in", Section::Xdp),
            AttachPoint::TcIn => ("tc_in", Section::Classifier),
            AttachPoint::TcOut => ("tc_out", Section::Classifier),
            AttachPoint::SkLookup => ("lookup", Section::SkLookup),
            AttachPoint::SkMsg(_) => ("send", Section::SkMsg),
            AttachPoint::SkSkb(_) => ("receive", Section::SkSkb),
            AttachPoint::SockOps(_) => ("sock_ops", Section::SockOps),
            AttachPoint::Splice(_) => ("splice", Section::SkSkb),
            AttachPoint::Connect4(_) => ("connect4", Section::Connect4),
            AttachPoint::Connect6(_) => ("connect6", Section::Connect6),
            AttachPoint::Sendmsg4(_) => ("sendmsg4", Section::Sendmsg4),
            AttachPoint::Sendmsg6(_) => ("sendmsg6", Section::Sendmsg6),
            AttachPoint::Setsockopt(_) => ("setsockopt", Section::Setsockopt),
            AttachPoint::CgroupSkb(_) => ("datagrams", Section::CgroupSkb),
            AttachPoint::CgroupSkbOut(_) => ("leaving", Section::CgroupSkbOut),
        };
        let mut name = name.to_owned();
        if self.artifact.programs.iter().any(|one| one.name == name) {
            name = format!("{name}_{}", self.artifact.programs.len());
        }
        self.artifact.programs.push(Program {
            name: name.clone(),
            section,
            insns,
            relocations: maps
                .iter()
                .map(|(insn, map)| Relocation {
                    insn: *insn,
                    map: ids[*map],
                    value_offset: None,
                })
                .collect(),
            lines: vec![Line {
                insn: 0,
                location: Location::new("test.sk", 7, format!("rule of {name}")),
            }],
        });
        self.artifact.manifest.programs.push(Attach {
            program: name,
            point,
            class: None,
        });
        self
    }

    /// The policy of another network namespace, in a `for netns` block of this one.
    pub(crate) fn within(mut self, netns: &str, inner: Policy) -> Self {
        self.artifact
            .netns
            .push((netns.to_owned(), inner.sized().artifact));
        self
    }

    /// With room for as many counters as its manifest tells: else an object is refused.
    fn sized(mut self) -> Self {
        let counters = u32::try_from(self.artifact.manifest.counters.len()).unwrap();
        let maps = self.artifact.maps.values_mut();
        for map in maps.filter(|map| map.name == "counters") {
            map.max_entries = counter_blocks::blocks(counters);
        }
        self
    }

    /// The object and its manifest.
    pub(crate) fn build(self) -> (Vec<u8>, Manifest) {
        let this = self.sized();
        let object = object::write(&this.artifact).unwrap();
        let manifest = object::read_manifest(&object).unwrap();
        assert_eq!(manifest, this.artifact.manifest);
        (object, manifest)
    }

    /// Puts it in force.
    pub(crate) fn apply(
        self,
        options: &sockc_runtime::Options,
    ) -> Result<sockc_runtime::Applied, sockc_runtime::Error> {
        let (object, manifest) = self.build();
        sockc_runtime::apply(&object, &manifest, options)
    }
}
