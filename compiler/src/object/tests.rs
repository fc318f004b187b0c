//! Tests of writing and reading together.

mod broken;
mod changed;

use std::net::{IpAddr, Ipv4Addr};

use cranelift_entity::PrimaryMap;

use super::{ObjectError, lists, namespaces, read, read_lists, read_manifest, write};
use crate::artifact::*;
use crate::bpf::asm::load_map_value;
use crate::bpf::insn::Insn;
use crate::bpf::opcode::Register;
use crate::location::Location;
use crate::protocol::IpProtocol;

fn insn(opcode: u8, dst: u8, imm: i32) -> Insn {
    Insn {
        opcode,
        dst,
        imm,
        ..Insn::default()
    }
}

/// `r1 = map; r0 = verdict; exit`
fn code(verdict: i32) -> Vec<Insn> {
    vec![
        insn(0x18, 1, 0),
        insn(0, 0, 0),
        insn(0xb7, 0, verdict),
        insn(0x95, 0, 0),
    ]
}

/// The id of the map `table`.
const TABLE: u32 = 10;

/// A program that reads a table in two places.
fn table_program() -> Program {
    let [first, second] = load_map_value(Register::R2, 96);
    let [third, fourth] = load_map_value(Register::R3, 0);
    let reference = |insn, offset| Relocation {
        insn,
        map: MapId::from_u32(TABLE),
        value_offset: Some(offset),
    };
    Program {
        name: "reads".to_owned(),
        section: Section::Xdp,
        insns: [vec![first, second, third, fourth], code(1)].concat(),
        relocations: vec![
            reference(0, 96),
            reference(2, 0),
            Relocation {
                insn: 4,
                map: MapId::from_u32(0),
                value_offset: None,
            },
        ],
        lines: Vec::new(),
    }
}

fn line(insn: u32, line: u32, text: &str) -> Line {
    Line {
        insn,
        location: Location {
            column: 3,
            ..Location::new("rändler.sk", line, text)
        },
    }
}

fn program(name: &str, section: Section, map: u32) -> Program {
    Program {
        name: name.to_owned(),
        section,
        insns: code(2),
        relocations: vec![Relocation {
            insn: 0,
            map: MapId::from_u32(map),
            value_offset: None,
        }],
        lines: vec![
            line(0, 1, "drop from \"é\\x\""),
            line(2, 2, "default allow"),
        ],
    }
}

fn map(name: &str, kind: MapKind, sizes: [u32; 4]) -> MapSpec {
    let [key_size, value_size, max_entries, flags] = sizes;
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

fn maps() -> PrimaryMap<MapId, MapSpec> {
    PrimaryMap::from_iter([
        map("counters", MapKind::PerCpuArray, [4, 4096, 9, 0]),
        map("sockets", MapKind::SockMap, [4, 8, 64, 0]),
        map("peers", MapKind::SockHash, [36, 8, 1024, 0]),
        map("keys", MapKind::SkStorage, [4, 36, 0, 1]),
        map("bytes", MapKind::Array, [4, 1 << 22, 1, 0x480]),
        map("zones", MapKind::Hash, [4, 2, 100, 1]),
        map("wide", MapKind::Hash, [12, 1, 100, 1]),
        map("live", MapKind::LpmTrie, [8, 8, 1000, 1]),
        map("rates", MapKind::LruHash, [8, 8, 1000, 0]),
        map("events", MapKind::RingBuf, [0, 0, 1 << 18, 0]),
        MapSpec::table("table", (0..100).collect()),
        MapSpec::table("more", vec![7; 3]),
    ])
}

fn manifest() -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        policy: "edge".to_owned(),
        interfaces: vec!["eth*".to_owned()],
        programs: vec![Attach {
            program: "xdp_in".to_owned(),
            point: AttachPoint::Xdp,
            class: Some(0),
        }],
        sockets: vec![SocketSlots {
            name: "web".to_owned(),
            drop_if_absent: true,
            members: 1,
            spread_by_source: false,
            pinned: false,
            origin: SlotOrigin::Listen,
            owner: None,
            slots: vec![Slot {
                index: 0,
                protocol: IpProtocol::TCP,
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                port: 80,
            }],
        }],
        ends: Vec::new(),
        intercepts: None,
        passing: None,
        idle: Vec::new(),
        groups: Vec::new(),
        pairs: Vec::new(),
        counters: Vec::new(),
        classes: Vec::new(),
        sets: Vec::new(),
        maps: Vec::new(),
        out_interfaces: Vec::new(),
        namespaces: Vec::new(),
        sources: vec![("edge.sk".to_owned(), "default allow\n".to_owned())],
        target: "5.10".to_owned(),
        made: Made::default(),
    }
}

/// Sections alternate, so that the order of programs is not that of the code.
pub(super) fn artifact() -> Artifact {
    Artifact {
        programs: vec![
            program("tc_in", Section::Classifier, 0),
            program("xdp_in", Section::Xdp, 0),
            program("tc_out", Section::Classifier, 4),
            program("lookup", Section::SkLookup, 1),
            program("send", Section::SkMsg, 2),
            program("sock_ops", Section::SockOps, 3),
            table_program(),
        ],
        maps: maps(),
        manifest: manifest(),
        lists: Vec::new(),
        netns: Vec::new(),
    }
}

#[test]
fn what_is_written_is_read() {
    let artifact = artifact();
    let bytes = write(&artifact).unwrap();
    assert_eq!(read(&bytes).unwrap(), artifact);
    assert_eq!(read_manifest(&bytes).unwrap(), artifact.manifest);
}

#[test]
fn the_file_has_the_offset_where_loaders_look() {
    let artifact = artifact();
    let bytes = write(&artifact).unwrap();
    let load = [0x18, 0x22, 0, 0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(bytes.windows(16).any(|window| window == load));
}

#[test]
fn tables_alone_need_no_other_maps() {
    let mut artifact = artifact();
    artifact.programs = vec![table_program()];
    artifact.programs[0].insns.truncate(4);
    artifact.programs[0].relocations.truncate(2);
    for relocation in &mut artifact.programs[0].relocations {
        relocation.map = MapId::from_u32(0);
    }
    artifact.maps = PrimaryMap::from_iter([MapSpec::table("t", vec![1; 100])]);
    assert_eq!(read(&write(&artifact).unwrap()).unwrap(), artifact);
}

/// An artifact with two `for netns` blocks.
fn with_namespaces() -> Artifact {
    let mut outer = small();
    let inner = small();
    outer.netns = vec![
        ("blue one/2".to_owned(), inner),
        ("a".to_owned(), artifact()),
    ];
    outer
}

#[test]
fn blocks_of_namespaces_travel_as_objects() {
    let artifact = with_namespaces();
    let bytes = write(&artifact).unwrap();
    assert_eq!(read(&bytes).unwrap(), artifact);
    let inner = namespaces(&bytes).unwrap();
    let expected = artifact.netns.iter();
    let expected = expected.map(|(name, inner)| (name.clone(), write(inner).unwrap()));
    assert_eq!(inner, expected.collect::<Vec<_>>());
    assert_eq!(namespaces(&inner[0].1), Ok(Vec::new()));
}

#[test]
fn nothing_is_read_from_nothing() {
    let mut empty = artifact();
    empty.programs.clear();
    empty.maps.clear();
    assert_eq!(read(&write(&empty).unwrap()).unwrap(), empty);
}

#[test]
fn lines_may_be_absent() {
    let mut artifact = artifact();
    for program in &mut artifact.programs {
        program.lines.clear();
    }
    assert_eq!(read(&write(&artifact).unwrap()).unwrap(), artifact);
}

#[test]
fn the_same_artifact_gives_the_same_bytes() {
    assert_eq!(write(&artifact()).unwrap(), write(&artifact()).unwrap());
}

#[test]
fn far_columns_and_lines_are_cut() {
    let mut artifact = artifact();
    artifact.programs[0].lines[0].location.column = 5000;
    artifact.programs[0].lines[0].location.line = u32::MAX;
    let back = read(&write(&artifact).unwrap()).unwrap();
    let found = &back.programs[0].lines[0];
    assert_eq!(
        (found.location.line, found.location.column),
        ((1 << 22) - 1, 1023)
    );
}

#[test]
fn lists_of_sets_travel_packed() {
    let mut artifact = artifact();
    let text: String = (0..2000)
        .map(|n| format!("10.0.{}.{}\n", n / 256, n % 256))
        .collect();
    let size = text.len();
    artifact.lists = vec![
        ("lists/bad.txt".to_owned(), text),
        ("b".to_owned(), String::new()),
    ];
    let bytes = write(&artifact).unwrap();
    assert_eq!(read(&bytes).unwrap(), artifact);
    assert_eq!(read_lists(&bytes).unwrap(), artifact.lists);
    artifact.lists.clear();
    let without = write(&artifact).unwrap();
    assert!(bytes.len() - without.len() < size / 2);
    assert_eq!(read_lists(&without), Ok(Vec::new()));
}

#[test]
fn lists_that_are_damaged_are_told() {
    let mut artifact = artifact();
    artifact.lists = vec![("a".to_owned(), "10.0.0.0/8\n".repeat(50))];
    let mut bytes = write(&artifact).unwrap();
    let packed = lists::encode(&artifact.lists).unwrap().unwrap();
    let at = bytes
        .windows(packed.len())
        .position(|w| w == packed)
        .unwrap();
    bytes[at] = 0xff;
    let error = read(&bytes).unwrap_err();
    assert!(matches!(error, ObjectError::Damaged { .. }), "{error}");
}

/// A table that is small enough to change everything around it often.
fn small() -> Artifact {
    let mut artifact = artifact();
    artifact.maps = PrimaryMap::from_iter([
        map("live", MapKind::LpmTrie, [8, 8, 1000, 1]),
        MapSpec::table("table", (0..100).collect()),
    ]);
    artifact.programs = vec![table_program(), program("tc_in", Section::Classifier, 0)];
    for (relocation, map) in artifact.programs[0].relocations.iter_mut().zip([1, 1, 0]) {
        relocation.map = MapId::from_u32(map);
    }
    artifact
}

#[test]
fn something_else_is_no_object() {
    assert_eq!(read(b"default allow\n"), Err(ObjectError::NotAnObject));
    let mut bytes = write(&artifact()).unwrap();
    // The machine is at 18.
    bytes[18] = 62;
    assert_eq!(read(&bytes), Err(ObjectError::NotAnObject));
}

#[test]
fn an_object_without_manifest_is_foreign() {
    let bytes = write(&artifact()).unwrap();
    let name = b".sockc.manifest";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap();
    let mut foreign = bytes;
    foreign[at + 1] = b'r';
    assert_eq!(read(&foreign), Err(ObjectError::Foreign));
    assert_eq!(read_manifest(&foreign), Err(ObjectError::Foreign));
}

#[test]
fn another_version_is_refused() {
    let mut artifact = artifact();
    artifact.manifest.version = 7;
    let bytes = write(&artifact).unwrap();
    let refused = Err(ObjectError::ManifestVersion { found: 7 });
    assert_eq!(read_manifest(&bytes), refused);
}

#[test]
fn every_refusal_says_what_to_do() {
    let part = "code";
    let cases = [
        (
            ObjectError::TooLarge { part },
            "its code is larger",
            "shorten it",
        ),
        (
            ObjectError::NotAnObject,
            "not a BPF object",
            "`sockc compile`",
        ),
        (ObjectError::CutShort, "ends too early", "compile it again"),
        (
            ObjectError::Foreign,
            "not written by sockc",
            "`sockc compile`",
        ),
        (
            ObjectError::ManifestVersion { found: 7 },
            "manifest version 7, this one reads 6",
            "compile the policy again",
        ),
        (
            ObjectError::damaged("no X"),
            "damaged: no X",
            "compile it again",
        ),
    ];
    for (error, what, remedy) in cases {
        let text = error.to_string();
        assert!(text.contains(what) && text.contains(remedy), "{text}");
    }
}
