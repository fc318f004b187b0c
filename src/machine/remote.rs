//! The SSH connection that a command comes over.
//!
//! Takes the environment of this process and of those around it, since `sudo` leaves `SSH_CONNECTION` out; gives its text, which
//! names both ends, and since when the outermost process with it runs: that is as old as the login.

use std::fs;

use sockc_runtime::Connection;

/// What sshd sets.
const NAME: &[u8] = b"SSH_CONNECTION=";
/// So many processes are asked.
const AROUND: usize = 64;
/// Nanoseconds of the unit in which the kernel tells when a process began.
const TICK: u64 = 10_000_000;
/// Where that stands in `/proc/PID/stat`, after the name in parentheses.
const BEGAN: usize = 19;

/// The connection, if the command comes over one.
pub(crate) fn connection() -> Option<Connection> {
    let mut found: Option<Connection> = None;
    let mut process = Some("self".to_owned());
    for _ in 0..AROUND {
        let Some(one) = process else { break };
        if let Some(ends) = of(&one) {
            match &mut found {
                Some(inner) if inner.ends != ends => break,
                inner => {
                    let began = began(&one);
                    *inner = Some(Connection { ends, began });
                }
            }
        }
        process = parent(&one);
    }
    found
}

/// The connection of a process.
fn of(process: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(NAME))?;
    let value = String::from_utf8_lossy(value).into_owned();
    (!value.is_empty()).then_some(value)
}

/// When a process began, in nanoseconds since boot.
fn began(process: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    let ticks: u64 = after.split_whitespace().nth(BEGAN)?.parse().ok()?;
    ticks.checked_mul(TICK)
}

/// The process that started another one; the first of all has none.
fn parent(process: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    let parent = line.trim();
    (parent != "0").then(|| parent.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_began_after_the_one_that_started_it() {
        let own = began("self").unwrap();
        assert!(own > 0);
        let around = parent("self").unwrap();
        assert!(began(&around).is_none_or(|began| began <= own));
    }
}
