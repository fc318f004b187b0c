//! Boots this very test program on every older kernel that is supported, and gives the consoles.
//!
//! In the guest it is started with `SOCKC_GUEST=FOLDER`, as root and alone on the machine. Nothing is downloaded twice: see
//! fetch.sh. Not here: what a guest does, and what its console must say.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::Mutex;
use std::thread;

use crate::machine::Guest;

/// The kernels that are supported, next to that of this machine.
const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];

/// How many guests run at a time.
const ABREAST: usize = 2;

/// The folder of the files for the guest that we are; nothing on the host.
pub(crate) fn folder() -> Option<PathBuf> {
    env::var_os("SOCKC_GUEST").map(PathBuf::from)
}

/// A folder of our own, removed at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let name = format!("kernels-{}", process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind lies in the target folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A kernel, and its console or why it has none.
pub(crate) type Booted = (&'static str, Result<String, String>);

/// Boots the kernels with the files of a folder, a few at a time.
pub(crate) fn boot(work: &Path, scratch: &Path) -> Vec<Booted> {
    let guest = fetch().and_then(|cache| {
        let program = env::current_exe().unwrap();
        Guest::new(&cache, &program, work, scratch).map_err(|error| error.to_string())
    });
    let guest = match guest {
        Ok(guest) => guest,
        Err(reason) => return vec![("kernels under QEMU", Err(reason))],
    };
    let boot = |kernel| {
        guest
            .boot(kernel, scratch)
            .map_err(|error: io::Error| error.to_string())
    };
    // The newest takes longest: it begins first, and the next ones as others end.
    let waiting = Mutex::new(KERNELS.to_vec());
    let booted = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..ABREAST {
            scope.spawn(|| {
                loop {
                    let Some(kernel) = waiting.lock().unwrap().pop() else {
                        return;
                    };
                    let answer = boot(kernel);
                    booted.lock().unwrap().push((kernel, answer));
                }
            });
        }
    });
    booted.into_inner().unwrap()
}

/// Says that a kernel cannot be had, which fails where everything must be tested.
pub(crate) fn skip(what: &str, reason: &str) {
    let required = env::var_os("SOCKC_KERNEL").is_some_and(|value| value == "require");
    assert!(!required, "{what}: {reason}");
    println!("skipped: {what}: {reason}");
}

/// The release that a guest names at its end, if all went well in it; else the last lines of its console.
pub(crate) fn ended(console: &str) -> Result<&str, String> {
    let exit = console.split("@@EXIT ").nth(1);
    let release = exit.and_then(|rest| rest.lines().next()?.strip_prefix("0 "));
    release.ok_or_else(|| tail(console))
}

/// The last lines of a console.
pub(crate) fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Brings the kernels and the tools, and gives the folder they are in; the error is the reason why not.
fn fetch() -> Result<PathBuf, String> {
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(home) => Path::new(&home).join("sockc/kernels"),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels"),
    };
    let output = Command::new("bash")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/kernels/fetch.sh"
        ))
        .arg(&cache)
        .output()
        .map_err(|error| format!("needs bash: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(cache),
        Some(2) => Err(errors
            .lines()
            .last()
            .unwrap_or("no reason given")
            .to_owned()),
        _ => panic!("fetch.sh failed: {errors}"),
    }
}
