//! The verbs at work: `try`, and `apply`, `status`, `counters`, `unload` against a kernel; and how the command prints.
//!
//! Tests that need root run in a lab and say `skipped: needs root` elsewhere; `SOCKC_KERNEL=require` makes that a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is wrong"
)]

mod asking;
mod became;
mod bfcli;
mod blocks;
mod called;
mod changing;
mod connected;
mod crafted;
mod destinations;
mod doctor;
mod dropped;
mod elsewhere;
mod expecting;
mod explaining;
mod facts;
mod firewalld;
mod flooded;
mod foreign;
mod generations;
mod groups;
mod guards;
mod handing;
mod importing;
mod inherited;
mod interfaces;
mod iptables;
mod live;
mod loading;
mod lockout;
mod members;
mod monitored;
mod named;
mod netfilter;
mod nft;
mod objects;
mod own;
mod paired;
mod passing;
mod plain;
mod plane;
mod planning;
mod reach;
mod reached;
mod recorded;
mod refusing;
mod replaying;
mod running;
mod servers;
mod spaces;
mod streamed;
mod told;
mod topped;
mod transparent;
mod trying;
mod ufw;
mod unhooked;
mod unread;
mod veth;
mod within;
mod workers;
mod zones;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sockc_runtime::lab::Space;
use sockc_testing::Folder;

/// The command with its arguments.
fn sockc(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("NO_COLOR");
    command
}

/// Does in a namespace of a lab what a line of words says to `ip`.
fn ip(space: &Space, line: &str) {
    let ran = space.run(|| Command::new("ip").args(line.split(' ')).output().unwrap());
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{line}: {ran:?}");
}

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

fn run(arguments: &[&str]) -> Ran {
    Ran::of(sockc(arguments).output().unwrap())
}

fn run_with_input(arguments: &[&str], input: &str) -> Ran {
    let mut child = sockc(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

/// The example policies.
fn rules() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "sk"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 8);
    paths
}

/// A program of C that stands here and uses `examples/sockc.h`, built once into a folder.
fn program_of_c(folder: &Folder, name: &str) -> PathBuf {
    let program = folder.0.join(name);
    if !program.exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut gcc = Command::new("gcc");
        gcc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-I"]);
        gcc.arg(root.join("examples"));
        gcc.arg(root.join(format!("tests/verbs/{name}.c")));
        gcc.arg("-o").arg(&program);
        let built = gcc.output().unwrap();
        assert!(built.status.success(), "{built:?}");
    }
    program
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

/// A name in `/run/netns` of a network namespace; it goes when this is dropped.
struct NetnsName(String);

impl NetnsName {
    fn new(name: &str, space: &sockc_runtime::lab::Space) -> Self {
        use std::os::fd::AsRawFd;
        let name = format!("sockc-{name}-{}", std::process::id());
        fs::create_dir_all("/run/netns").unwrap();
        let target = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            space.net().as_raw_fd()
        );
        let path = Path::new("/run/netns").join(&name);
        std::os::unix::fs::symlink(target, path).unwrap();
        Self(name)
    }
}

impl Drop for NetnsName {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new("/run/netns").join(&self.0));
    }
}
