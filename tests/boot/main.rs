//! What comes back when a machine starts: what is kept on disk, and the units that put it in force.
//!
//! Everything here needs root, and says `skipped: needs root` elsewhere; `SOCKC_KERNEL=require` makes that a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is wrong"
)]

mod kept;
mod units;
mod watch;

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio, id};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sockc_runtime::lab::Space;
use sockc_testing::Folder;

/// What a command printed and how it ended.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// Runs the command.
fn run(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
    command.args(arguments).stdin(Stdio::null());
    Ran::of(command.output().unwrap())
}

/// Does in a namespace of a lab what a line of words says to `ip`.
fn ip(space: &Space, line: &str) {
    let ran = space.run(|| Command::new("ip").args(line.split(' ')).output().unwrap());
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{line}: {ran:?}");
}

/// A network namespace with a name in another one's mounts, as `ip netns add` gives it.
struct Named<'a> {
    name: String,
    place: &'a Space,
}

impl<'a> Named<'a> {
    fn new(name: &str, place: &'a Space) -> Self {
        let space = Space::new().unwrap();
        let from = format!("/proc/{}/fd/{}", id(), space.net().as_raw_fd());
        let nothing = None::<&str>;
        let make = || {
            let path = Self::path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            mount(
                Some(from.as_str()),
                &path,
                nothing,
                MsFlags::MS_BIND,
                nothing,
            )
            .unwrap();
        };
        place.run(make).unwrap();
        Self {
            name: name.to_owned(),
            place,
        }
    }

    fn path(name: &str) -> PathBuf {
        Path::new("/run/netns").join(name)
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        let path = Self::path(&self.name);
        // As `ip netns del` does it: who looks at it at this moment is in nobody's way.
        let remove = || umount2(&path, MntFlags::MNT_DETACH).map(|()| fs::remove_file(&path));
        let _ = self.place.run(remove);
    }
}

/// Whether a test that needs root may run; says so where it may not.
fn root() -> bool {
    let missing = sockc_runtime::lab::missing_rights();
    if !missing.is_empty() {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs {missing:?}");
        eprintln!("skipped: needs root");
    }
    missing.is_empty()
}
