//! An artifact made by hand: every section, every kind of map, two programs in one section, tables that decide.

use cranelift_entity::PrimaryMap;
use sockc_compiler::artifact::{
    Artifact, Attach, AttachPoint, Line, MANIFEST_VERSION, Made, Manifest, MapId, MapKind, MapSpec,
    Program, Relocation, Section, TABLE_LIMIT,
};
use sockc_compiler::bpf::asm::load_map_value;
use sockc_compiler::bpf::insn::Insn;
use sockc_compiler::bpf::opcode::Register;
use sockc_compiler::counter_blocks::BLOCK;
use sockc_compiler::location::Location;

/// The sample.
pub(crate) fn artifact() -> Artifact {
    Artifact {
        programs: vec![
            program("tc_in", Section::Classifier, counting(-1)),
            program("xdp_in", Section::Xdp, counting(2)),
            program("tc_out", Section::Classifier, counting(-1)),
            program("lookup", Section::SkLookup, assigning()),
            program("send", Section::SkMsg, redirecting()),
            program("sock_ops", Section::SockOps, storing()),
            program("from_table", Section::Xdp, deciding()),
        ],
        maps: maps(),
        manifest: manifest(),
        lists: Vec::new(),
        netns: vec![("blue".to_owned(), inner())],
    }
}

/// What a `for netns` block compiles to.
fn inner() -> Artifact {
    Artifact {
        programs: vec![program("tc_in", Section::Classifier, counting(-1))],
        maps: maps(),
        manifest: manifest(),
        lists: Vec::new(),
        netns: Vec::new(),
    }
}

const COUNTERS: u32 = 0;
const SOCKETS: u32 = 1;
const PEERS: u32 = 2;
const KEYS: u32 = 3;
const VERDICTS: u32 = 11;
const LARGE: u32 = 12;

const XDP_DROP: u8 = 1;
const XDP_PASS: u8 = 2;

/// The address and port pairs of a connection.
const PEER_KEY: u32 = 36;

fn maps() -> PrimaryMap<MapId, MapSpec> {
    [
        ("counters", MapKind::PerCpuArray, [4, BLOCK, 1, 0]),
        ("sockets", MapKind::SockMap, [4, 8, 16, 0]),
        ("peers", MapKind::SockHash, [PEER_KEY, 8, 1024, 0]),
        ("keys", MapKind::SkStorage, [4, PEER_KEY, 0, 1]),
        // BPF_F_RDONLY_PROG
        ("bytes", MapKind::Array, [4, 100, 1, 0x80]),
        ("zones", MapKind::Hash, [4, 2, 100, 1]),
        ("pairs", MapKind::Hash, [12, 1, 100, 1]),
        ("live", MapKind::LpmTrie, [8, 8, 1000, 1]),
        ("live6", MapKind::LpmTrie, [20, 8, 1000, 1]),
        ("rates", MapKind::LruHash, [8, 8, 1000, 0]),
        ("events", MapKind::RingBuf, [0, 0, 1 << 16, 0]),
    ]
    .map(
        |(name, kind, [key_size, value_size, max_entries, flags])| MapSpec {
            name: name.to_owned(),
            kind,
            key_size,
            value_size,
            max_entries,
            flags,
            data: None,
        },
    )
    .into_iter()
    .chain([
        MapSpec::table("verdicts", vec![XDP_PASS, XDP_PASS, XDP_PASS, XDP_DROP]),
        MapSpec::table("large", vec![XDP_PASS; TABLE_LIMIT]),
    ])
    .collect()
}

fn manifest() -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        policy: "sample".to_owned(),
        interfaces: vec!["eth0".to_owned()],
        programs: vec![Attach {
            program: "xdp_in".to_owned(),
            point: AttachPoint::Xdp,
            class: None,
        }],
        sockets: Vec::new(),
        ends: Vec::new(),
        intercepts: None,
        passing: None,
        idle: Vec::new(),
        groups: Vec::new(),
        pairs: Vec::new(),
        counters: Vec::new(),
        sources: vec![("sample.sk".to_owned(), "default allow\n".to_owned())],
        classes: Vec::new(),
        sets: Vec::new(),
        maps: Vec::new(),
        out_interfaces: Vec::new(),
        namespaces: Vec::new(),
        target: "host".to_owned(),
        made: Made::default(),
    }
}

/// Instructions and, in them, the references to maps.
type Code = (Vec<Insn>, Vec<Relocation>);

/// A program whose first line is not ASCII and whose last instruction has a line of its own.
fn program(name: &str, section: Section, (insns, relocations): Code) -> Program {
    let last = u32::try_from(insns.len()).unwrap() - 1;
    let line = |insn, line, text: String| Line {
        insn,
        location: Location::new("sample.sk", line, text),
    };
    Program {
        name: name.to_owned(),
        section,
        lines: vec![
            line(0, 3, format!("drop from @händler \\ {name}")),
            line(last, 4, "default allow".to_owned()),
        ],
        insns,
        relocations,
    }
}

/// Counts in slot 0 and gives the verdict.
fn counting(verdict: i32) -> Code {
    let mut code = Vec::new();
    code.extend(slot_zero());
    let at = load_map(&mut code, 1);
    code.extend([
        call(1),              // bpf_map_lookup_elem
        op(0x15, 0, 0, 3, 0), // if r0 == 0 goto +3
        op(0x79, 1, 0, 0, 0), // r1 = *(u64 *)(r0 + 0)
        op(0x07, 1, 0, 0, 1), // r1 += 1
        op(0x7b, 0, 1, 0, 0), // *(u64 *)(r0 + 0) = r1
        set(0, verdict),
        exit(),
    ]);
    (code, vec![relocation(at, COUNTERS)])
}

/// Assigns the socket in slot 0.
fn assigning() -> Code {
    let mut code = vec![copy(6, 1)];
    code.extend(slot_zero());
    let at = load_map(&mut code, 1);
    code.extend([
        call(1),              // bpf_map_lookup_elem
        op(0x15, 0, 0, 7, 0), // if r0 == 0 goto +7
        copy(7, 0),
        copy(1, 6),
        copy(2, 7),
        set(3, 0),
        call(124), // bpf_sk_assign
        copy(1, 7),
        call(86), // bpf_sk_release
        set(0, 1),
        exit(),
    ]);
    (code, vec![relocation(at, SOCKETS)])
}

/// Redirects to the peer under the key of zeros.
fn redirecting() -> Code {
    let mut code = vec![set(3, 0)];
    code.extend([-40, -32, -24, -16, -8].map(|at| op(0x7b, 10, 3, at, 0)));
    let at = load_map(&mut code, 2);
    code.extend([
        copy(3, 10),
        op(0x07, 3, 0, 0, -40), // r3 += -40
        set(4, 0),
        call(71), // bpf_msg_redirect_hash
        exit(),
    ]);
    (code, vec![relocation(at, PEERS)])
}

/// Looks at what the socket keeps.
fn storing() -> Code {
    let mut code = vec![
        op(0x79, 2, 1, 184, 0), // r2 = ctx->sk
        op(0x15, 2, 0, 5, 0),   // if r2 == 0 goto +5
    ];
    let at = load_map(&mut code, 1);
    code.extend([
        set(3, 0),
        set(4, 0),
        call(107), // bpf_sk_storage_get
        set(0, 1),
        exit(),
    ]);
    (code, vec![relocation(at, KEYS)])
}

/// Gives what the table `verdicts` holds for the second byte of the packet's destination, modulo 4, if the last byte of
/// the table `large` is `XDP_PASS`.
fn deciding() -> Code {
    let [large, large_offset] =
        load_map_value(Register::R2, i32::try_from(TABLE_LIMIT - 1).unwrap());
    let [verdicts, verdicts_offset] = load_map_value(Register::R3, 1);
    let reference = |insn, map, offset| Relocation {
        insn,
        map: MapId::from_u32(map),
        value_offset: Some(offset),
    };
    let code = vec![
        set(0, 0),
        large,
        large_offset,
        op(0x71, 2, 2, 0, 0),                    // r2 = *(u8 *)(r2 + 0)
        op(0x55, 2, 0, 11, i32::from(XDP_PASS)), // if r2 != XDP_PASS goto +11
        op(0x61, 4, 1, 0, 0),                    // r4 = ctx->data
        op(0x61, 5, 1, 4, 0),                    // r5 = ctx->data_end
        copy(2, 4),
        op(0x07, 2, 0, 0, 14), // r2 += 14
        op(0x2d, 2, 5, 6, 0),  // if r2 > r5 goto +6
        op(0x71, 4, 4, 1, 0),  // r4 = *(u8 *)(r4 + 1)
        op(0x57, 4, 0, 0, 3),  // r4 &= 3
        verdicts,
        verdicts_offset,
        op(0x0f, 3, 4, 0, 0),  // r3 += r4
        op(0x71, 0, 3, -1, 0), // r0 = *(u8 *)(r3 - 1)
        exit(),
    ];
    let last = u32::try_from(TABLE_LIMIT - 1).unwrap();
    (
        code,
        vec![reference(1, LARGE, last), reference(12, VERDICTS, 1)],
    )
}

/// `r2 = &0`, a key on the stack.
fn slot_zero() -> [Insn; 4] {
    [
        set(2, 0),
        op(0x63, 10, 2, -4, 0), // *(u32 *)(r10 - 4) = r2
        copy(2, 10),
        op(0x07, 2, 0, 0, -4), // r2 += -4
    ]
}

/// Adds `register = map ll` and gives where.
fn load_map(code: &mut Vec<Insn>, register: u8) -> u32 {
    let at = u32::try_from(code.len()).unwrap();
    code.extend([op(0x18, register, 0, 0, 0), Insn::default()]);
    at
}

fn relocation(insn: u32, map: u32) -> Relocation {
    Relocation {
        insn,
        map: MapId::from_u32(map),
        value_offset: None,
    }
}

fn set(dst: u8, imm: i32) -> Insn {
    op(0xb7, dst, 0, 0, imm)
}

fn copy(dst: u8, src: u8) -> Insn {
    op(0xbf, dst, src, 0, 0)
}

fn call(helper: i32) -> Insn {
    op(0x85, 0, 0, 0, helper)
}

fn exit() -> Insn {
    op(0x95, 0, 0, 0, 0)
}

fn op(opcode: u8, dst: u8, src: u8, offset: i16, imm: i32) -> Insn {
    Insn {
        opcode,
        dst,
        src,
        offset,
        imm,
    }
}
