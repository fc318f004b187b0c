//! The tests of this folder on the older kernels: each boots under QEMU with this very program, and does them all there.
//!
//! What a kernel cannot, a test in the guest says as it does on any machine (`skip`), and it is written down here.

use std::collections::BTreeSet;
use std::fs;

use crate::guests::{self, Scratch};

/// What tests are skipped for on the kernels as Debian builds them for clouds.
const CANNOT: [(&str, &str); 8] = [
    // Guests have this program and a shell, and no others.
    ("5.10", "programs of others"),
    ("6.1", "programs of others"),
    ("6.12", "programs of others"),
    // Its build has no CONFIG_MPTCP, and no CONFIG_TLS.
    ("5.10", "MPTCP"),
    ("5.10", "TLS of the kernel"),
    // Linux 5.13 has them; before, what comes ahead of accept(2) is read unseen, and what a slow receiver does not take at once is
    // thrown away (`sk_psock_skb_redirect` before 5.11).
    ("5.10", "sk_skb programs without a parser"),
    // It takes no UNIX sockets into a SOCKMAP, and redirects nothing to those of UDP.
    ("5.10", "queues other than those of TCP"),
    ("5.10", "splice"),
];

#[test]
fn the_older_kernels_do_the_same() {
    if guests::folder().is_some() {
        return;
    }
    let scratch = Scratch::new();
    let work = scratch.0.join("work");
    fs::create_dir_all(&work).unwrap();
    let mut complaints = Vec::new();
    for (kernel, answer) in guests::boot(&work, &scratch.0) {
        match answer {
            Ok(console) => complaints.extend(judge(kernel, &console)),
            Err(reason) => guests::skip(kernel, &reason),
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// What went otherwise than it should.
fn judge(kernel: &str, console: &str) -> Option<String> {
    let release = match guests::ended(console) {
        Ok(release) => release,
        Err(tail) => return Some(format!("{kernel}:\n{tail}")),
    };
    let results = console
        .lines()
        .filter(|line| line.starts_with("test result:"));
    println!("{release}: {}", results.collect::<String>());
    let needed = console
        .lines()
        .filter_map(|line| line.split("skipped: needs ").nth(1));
    let needed: BTreeSet<&str> = needed.map(str::trim).collect();
    let cannot = CANNOT.iter().filter(|(of, _)| *of == kernel);
    let cannot: BTreeSet<&str> = cannot.map(|(_, what)| *what).collect();
    (needed != cannot).then(|| format!("{release} needs {needed:?}, and lacks {cannot:?}"))
}
