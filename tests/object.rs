//! The object file in front of those who read such files: aya, libbpf (`bpftool`, `ip`, `tc`), `llvm-objdump`, the kernel.
//!
//! The checks take the bytes of any object of ours (`object/checks.rs`); here they are given one made by hand that has a
//! program of every section and a map of every kind (`object/sample.rs`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test of files of its own ends where something is wrong"
)]

#[path = "object/checks.rs"]
mod checks;
#[path = "object/sample.rs"]
mod sample;

use sockc_compiler::object;

/// The sample as an object.
fn bytes() -> Vec<u8> {
    object::write(&sample::artifact()).unwrap()
}

#[test]
fn it_is_read_back() {
    assert_eq!(object::read(&bytes()).unwrap(), sample::artifact());
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

#[test]
fn counters_have_names() {
    let dump = checks::bpftool_dump(&bytes(), "counters");
    assert!(
        dump.is_none_or(|text| text.contains("\"packets\": 0") && text.contains("\"bytes\": 0"))
    );
}
