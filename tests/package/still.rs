//! The static binary: that it is one, and that it works without any library of the machine.
//!
//! `SOCKC_STATIC` names it; building one takes longer than a test should, so `.ci/run` does that.

use std::process::Command;
use std::{env, fs};

use sockc_runtime::lab::Space;

use super::{Folder, bind_kernel, can_run, done, done_in, source};

#[test]
fn it_needs_nothing_of_the_machine() {
    let Some(binary) = env::var_os("SOCKC_STATIC") else {
        eprintln!("skipped: SOCKC_STATIC names no binary");
        return;
    };
    if !can_run(&["readelf", "chroot"]) {
        return;
    }
    let binary = source("").join(binary);
    let said = done(Command::new("readelf").arg("-lWd").arg(&binary));
    assert!(said.contains("LOAD"), "{said}");
    let wants = |what: &str| said.contains(what);
    assert!(!wants("INTERP") && !wants("(NEEDED)"), "{said}");
    // A root with nothing but it: a library that it wanted would not be there.
    let folder = Folder::new("still");
    let root = &folder.0;
    for name in ["etc", "proc", "sys", "run"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    fs::copy(&binary, root.join("sockc")).unwrap();
    fs::write(
        root.join("edge.sk"),
        "policy still\ninterfaces lo\ndefault in allow\ncount tcp to port 22\n",
    )
    .unwrap();
    let space = Space::with_bpffs().unwrap();
    bind_kernel(&space, root, &["proc", "sys"]);
    let sockc = |line: &str| {
        let mut command = Command::new("chroot");
        command.arg(root).arg("/sockc").args(line.split(' '));
        done_in(&space, &mut command)
    };
    sockc("check /edge.sk");
    sockc("apply /edge.sk");
    let said = sockc("status");
    assert!(said.contains("still"), "{said}");
    let said = sockc("counters");
    assert!(said.contains("count tcp to port 22"), "{said}");
    sockc("history");
    sockc("unload");
}
