//! How sockc comes to a machine and goes: the Debian package in a Debian that has nothing else, and the static binary.
//!
//! What `docs/install.md` says is run as it stands there. Takes root, mmdebstrap and the machine's own package sources; tests say
//! `skipped: …` where one of them is missing, and `SOCKC_KERNEL=require` makes that a failure. Not here: building with
//! optimisation, which takes minutes and changes nothing of what is asked here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is wrong"
)]

mod clean;
mod manual;
mod packing;
mod still;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::mount::{MsFlags, mount};
use sockc_runtime::lab::{Space, missing_rights};
use sockc_testing::Folder;

/// The command that was built with these tests.
const SOCKC: &str = env!("CARGO_BIN_EXE_sockc");

/// A file of the repository.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What a command that succeeded printed.
fn done(command: &mut Command) -> String {
    let ran = command.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{command:?}\n{}", printed(&ran));
    printed(&ran)
}

fn printed(ran: &Output) -> String {
    let bytes = [ran.stdout.as_slice(), ran.stderr.as_slice()].concat();
    String::from_utf8(bytes).unwrap()
}

/// The same in a namespace of the test's own.
fn done_in(space: &Space, command: &mut Command) -> String {
    space.run(|| done(command)).unwrap()
}

/// Shows a root what the kernel shows in a namespace of the test's own.
fn bind_kernel(space: &Space, root: &Path, names: &[&str]) {
    let bind = || {
        for name in names {
            let (from, to) = (Path::new("/").join(name), root.join(name));
            let (nothing, flags) = (None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC);
            mount(Some(&from), &to, nothing, flags, nothing).unwrap();
        }
    };
    space.run(bind).unwrap();
}

/// Whether a test may run: as root, with these programs; says so where it may not.
fn can_run(programs: &[&str]) -> bool {
    let mut missing: Vec<&str> = missing_rights();
    let there = |name: &&&str| {
        let paths = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&paths).any(|folder| folder.join(**name).exists())
    };
    missing.extend(programs.iter().filter(|name| !there(name)));
    if !missing.is_empty() {
        assert!(!required(), "this test needs {missing:?}");
        eprintln!("skipped: needs {missing:?}");
    }
    missing.is_empty()
}

/// Whether what cannot run is a failure.
fn required() -> bool {
    env::var("SOCKC_KERNEL").as_deref() == Ok("require")
}
