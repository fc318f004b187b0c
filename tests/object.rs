//! The object file in front of those who read such files: aya, libbpf (`bpftool`, `ip`, `tc`), `llvm-objdump`, the kernel.
//!
//! The checks take the bytes of any sockc object (`object/checks.rs`); here they are given one made by hand that has a
//! program of every section and a map of every kind (`object/fixture.rs`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test of files of its own ends where something is wrong"
)]

#[path = "object/checks.rs"]
mod checks;
#[path = "object/fixture.rs"]
mod fixture;

use std::path::Path;

use sockc_compiler::files::Files;
use sockc_compiler::object;
use sockc_compiler::observer::Observer;
use sockc_compiler::pipeline;
use sockc_compiler::target::Target;
use sockc_grammar::source::SourceMap;

/// The sample as an object.
fn bytes() -> Vec<u8> {
    object::write(&fixture::artifact()).unwrap()
}

#[test]
fn it_is_read_back() {
    assert_eq!(object::read(&bytes()).unwrap(), fixture::artifact());
}

#[test]
fn aya_parses_it() {
    checks::aya_parses(&bytes());
}

#[test]
fn llvm_disassembles_it() {
    checks::llvm_disassembles(&bytes());
}

#[test]
fn aya_loads_it() {
    checks::aya_loads(&bytes());
}

#[test]
fn bpftool_loads_it() {
    checks::bpftool_loads(&bytes());
}

#[test]
fn ip_attaches_it() {
    checks::ip_attaches(&bytes());
}

#[test]
fn tc_attaches_it() {
    checks::tc_attaches(&bytes());
}

/// Tables decide without our runtime, at the address that the program asked for.
#[test]
fn a_table_decides_for_every_loader() {
    for (byte, expected) in [(0, 2), (2, 2), (3, 1), (7, 1)] {
        let mut frame = [0; 60];
        frame[1] = byte;
        let bytes = bytes();
        for code in [
            checks::aya_runs(&bytes, "from_table", &frame),
            checks::bpftool_runs(&bytes, "from_table", &frame),
        ] {
            assert!(code.is_none_or(|code| code == expected), "{byte}: {code:?}");
        }
    }
}

#[test]
fn counters_have_names() {
    let dump = checks::bpftool_dump(&bytes(), "counters");
    assert!(
        dump.is_none_or(|text| text.contains("\"packets\": 0") && text.contains("\"bytes\": 0"))
    );
}

/// Every policy in `rules/`, as an object.
fn compiled() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    let mut policies: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "sk"))
        .collect();
    policies.sort();
    policies
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let mut sources = SourceMap::default();
            let id = sources.add(&name, std::fs::read_to_string(&path).unwrap());
            let outcome =
                pipeline::compile(&mut sources, id, "policy", &Target::baseline(), &mut Folder);
            let built = outcome
                .built
                .unwrap_or_else(|| panic!("{name} does not compile"));
            (name, object::write(&built.artifact).unwrap())
        })
        .collect()
}

/// The lists that the policies name, next to them.
struct Folder;

impl Observer for Folder {}

impl Files for Folder {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        std::fs::read(rules.join(path)).map_err(|error| error.to_string())
    }
}

#[test]
fn compiled_policies_are_read_by_everyone() {
    for (_, bytes) in compiled() {
        checks::aya_parses(&bytes);
        checks::llvm_disassembles(&bytes);
        checks::bpftool_loads(&bytes);
        checks::ip_attaches(&bytes);
        checks::tc_attaches(&bytes);
    }
}

#[test]
fn the_kernel_shows_the_line_of_a_rule() {
    let policies = compiled();
    let (_, bytes) = policies
        .iter()
        .find(|(name, _)| name == "two-sentences.sk")
        .unwrap();
    let rule = "; allow tcp to 1.1.1.0/24:53 if socket exists [file:two-sentences.sk line_num:";
    let dump = checks::bpftool_lines(bytes, "xdp_in");
    assert!(dump.is_none_or(|text| text.contains(rule)));
}
