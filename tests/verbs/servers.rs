//! Servers of others behind the names of a policy: nginx, haproxy, unbound and nsd, restarted, reloaded and shared out by prefix,
//! under load.

mod asked;
mod names;
mod proxy;
mod query;
mod web;

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Folder, Ran, root, run};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of others, in a folder of its own; it is killed with all its workers when this is dropped.
struct Server(Child);

impl Server {
    /// Starts one in the calling thread's namespace.
    fn start(command: &str, arguments: &[&str]) -> Self {
        let mut server = Command::new(command);
        server.args(arguments).stdin(Stdio::null());
        server.stdout(Stdio::null()).stderr(Stdio::null());
        server.process_group(0);
        Self(server.spawn().unwrap())
    }

    /// Waits until it has ended by itself.
    fn ends(mut self) {
        let name = self.0.id();
        until(&format!("{name} ends"), || {
            self.0.try_wait().unwrap().is_some()
        });
        // Its number may be another's by now.
        std::mem::forget(self);
    }

    /// Ends it as a crash does.
    fn kill(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Tells those who make load to stop when this is dropped, also where the test fails: they are waited for.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether the programs of others are there; where they are not, the test says so.
fn installed(programs: &[&str]) -> bool {
    let is_there = |program: &&str| {
        let mut asked = Command::new("sh");
        asked.args(["-c", &format!("command -v {program}")]);
        let asked = asked.stdout(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let missing: Vec<_> = programs.iter().filter(|one| !is_there(one)).collect();
    if missing.is_empty() {
        return root();
    }
    assert!(
        std::env::var_os("SOCKC_KERNEL").is_none_or(|how| how != "require"),
        "SOCKC_KERNEL=require, and there is no {missing:?}"
    );
    println!("skipped: no {missing:?}");
    false
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not in a minute");
    }
}

/// Puts a policy in force in the calling thread's namespace.
fn apply(folder: &Folder, policy: &str) {
    let path = folder.file("policy.sk", policy);
    let applied = run(&["apply", &path]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
}

/// What `status` says of one slot of a name: its state, and the process behind it.
fn slot(name: &str, slot: &str) -> (String, Option<u32>) {
    let status: Ran = run(&["status", "--json"]);
    let said = status.json();
    let slots = said["sockets"].as_array().unwrap();
    let one = slots
        .iter()
        .find(|one| one["socket"] == name && one["slot"] == slot);
    let one = one.unwrap_or_else(|| panic!("no {name} {slot}: {said}"));
    let process = one["who"]["process"].as_u64().map(|id| id as u32);
    (one["state"].as_str().unwrap().to_owned(), process)
}
