//! Objects that somebody made to break what reads them: each is refused, by the command and by the library, and leaves
//! nothing.

use std::fs;

use sha2::{Digest, Sha256};
use sockc_compiler::object;
use sockc_runtime::lab::{FRONT, Lab};
use sockc_runtime::{Options, apply as put_in_force};

use super::{Folder, root, run};

const POLICY: &str =
    "default in drop\nlive set banned max 100\ndrop from @banned\nweb: allow tcp to port 443\n";

/// A number of so many bytes in an ELF file of this machine's order.
fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    let mut wide = [0; 8];
    wide[..size].copy_from_slice(&bytes[at..at + size]);
    usize::try_from(u64::from_le_bytes(wide)).unwrap()
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Where a section begins, and how long it is.
fn section(bytes: &[u8], wanted: &str) -> (usize, usize) {
    let (table, size, count) = (
        number(bytes, 0x28, 8),
        number(bytes, 0x3a, 2),
        number(bytes, 0x3c, 2),
    );
    let header = |index: usize| table + index * size;
    let range = |index: usize| {
        (
            number(bytes, header(index) + 0x18, 8),
            number(bytes, header(index) + 0x20, 8),
        )
    };
    let (names, _) = range(number(bytes, 0x3e, 2));
    let name = |index: usize| {
        let start = names + number(bytes, header(index), 4);
        let end = start + bytes[start..].iter().position(|byte| *byte == 0).unwrap();
        std::str::from_utf8(&bytes[start..end]).unwrap()
    };
    let found = (0..count).find(|index| name(*index) == wanted);
    range(found.unwrap_or_else(|| panic!("no {wanted}")))
}

/// Makes the sum anew, as whoever changes an object on purpose does.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let (at, _) = section(&bytes, ".sockc.sum");
    bytes[at..at + 32].fill(0);
    let sum = Sha256::digest(&bytes);
    bytes[at..at + 32].copy_from_slice(&sum);
    bytes
}

/// The object with some of its bytes changed.
fn crafted(honest: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = honest.to_vec();
    change(&mut bytes);
    sealed(bytes)
}

/// Each object with what was done to it.
fn objects(honest: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (btf, _) = section(honest, ".BTF");
    let (ext, _) = section(honest, ".BTF.ext");
    let (symbols, length) = section(honest, ".symtab");
    let (names, _) = section(honest, ".strtab");
    let info = |field: usize| ext + number(honest, ext + 4, 4) + number(honest, ext + field, 4);
    let strings = btf + number(honest, btf + 4, 4) + number(honest, btf + 16, 4);
    let mut huge = object::read(honest).unwrap();
    let map = huge
        .maps
        .keys()
        .find(|id| huge.maps[*id].name.contains("counters"))
        .unwrap();
    huge.maps[map].max_entries = 1 << 25;
    let mut larger = object::read(honest).unwrap();
    let map = larger
        .maps
        .keys()
        .find(|id| larger.maps[*id].name.contains("banned"))
        .unwrap();
    larger.maps[map].max_entries = 101;
    vec![
        (
            "records of no bytes for functions",
            crafted(honest, |bytes| put(bytes, info(8), 0)),
        ),
        (
            "records of no bytes for lines",
            crafted(honest, |bytes| put(bytes, info(16), 0)),
        ),
        (
            "types past the end",
            crafted(honest, |bytes| put(bytes, btf + 8, u32::MAX - 7)),
        ),
        (
            "strings past the end",
            crafted(honest, |bytes| put(bytes, btf + 16, u32::MAX - 7)),
        ),
        (
            "more types than there are",
            crafted(honest, |bytes| put(bytes, btf + 12, 1 << 30)),
        ),
        (
            "a header of 4 GiB",
            crafted(honest, |bytes| put(bytes, btf + 4, u32::MAX)),
        ),
        (
            "a name of a type that is no text",
            crafted(honest, |bytes| bytes[strings + 1] = 0xff),
        ),
        (
            "a name of a symbol that is no text",
            crafted(honest, |bytes| bytes[names + 1] = 0xff),
        ),
        (
            "symbols far away",
            crafted(honest, |bytes| {
                for symbol in (24..length).step_by(24) {
                    bytes[symbols + symbol + 8..symbols + symbol + 16]
                        .copy_from_slice(&(1u64 << 40).to_le_bytes());
                }
            }),
        ),
        (
            "symbols at the end of all numbers",
            crafted(honest, |bytes| {
                for symbol in (24..length).step_by(24) {
                    bytes[symbols + symbol + 8..symbols + symbol + 24].fill(0xff);
                }
            }),
        ),
        (
            "counters for 32 million rules",
            object::write(&huge).unwrap(),
        ),
        (
            "another room in a live set",
            object::write(&larger).unwrap(),
        ),
    ]
}

/// What a lab has under the folder of sockc.
fn left(lab: &Lab) -> usize {
    let count = || {
        let found = std::process::Command::new("find")
            .args(["/sys/fs/bpf", "-type", "f"])
            .output();
        found
            .unwrap()
            .stdout
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    };
    lab.server.run(count).unwrap()
}

#[test]
fn objects_made_to_break_readers_are_refused_and_leave_nothing() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("crafted"));
    let policy = folder.file("edge.sk", POLICY);
    let path = folder.0.join("edge.o").to_str().unwrap().to_owned();
    assert_eq!(run(&["compile", &policy, "-o", &path]).code, Some(0));
    let honest = fs::read(&path).unwrap();
    // The sum as we make it is the compiler's.
    assert_eq!(sealed(honest.clone()), honest);
    let before = left(&lab);
    for (what, bytes) in objects(&honest) {
        fs::write(&path, &bytes).unwrap();
        for verb in ["apply", "plan"] {
            let ran = lab
                .server
                .run(|| run(&[verb, &path, "--interface", FRONT]))
                .unwrap();
            assert_eq!(ran.code, Some(1), "{what}: {}", ran.stderr);
            assert!(
                !ran.stderr.contains("bug in sockc"),
                "{what}: {}",
                ran.stderr
            );
            assert!(ran.stderr.contains("edge.o"), "{what}: {}", ran.stderr);
        }
        // A library that is handed such an object says no, too; its manifest may be what nobody can read.
        if let Ok(manifest) = object::read_manifest(&bytes) {
            let options = Options {
                interfaces: vec![FRONT.to_owned()],
                ..Options::default()
            };
            let refused = lab
                .server
                .run(|| put_in_force(&bytes, &manifest, &options).is_err());
            assert!(refused.unwrap(), "{what}");
        }
        assert_eq!(left(&lab), before, "{what}");
    }
    let status = lab.server.run(|| run(&["status"])).unwrap();
    assert_eq!(
        status.stdout,
        "no policy is in force in this network namespace\n"
    );
}
