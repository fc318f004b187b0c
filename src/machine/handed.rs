//! How many descriptors systemd, or whoever speaks its protocol (`sd_listen_fds(3)`), handed to this command.
//!
//! Takes the environment; gives their numbers. Not here: what they are, and what is done with them.

use std::env;
use std::ops::Range;

/// The first of them.
const FIRST: i32 = 3;

/// The most of them that a process is handed: as many sockets as a name of a policy may have members.
const MOST: i32 = 1024;

/// The descriptors; or why there are none, with what the user may do `instead` of handing some over.
pub(crate) fn descriptors(instead: &str) -> Result<Range<i32>, String> {
    let variable = |name: &str| env::var(name).ok();
    let count = count(
        variable("LISTEN_FDS").as_deref(),
        variable("LISTEN_PID").as_deref(),
        std::process::id(),
        instead,
    )?;
    Ok(FIRST..FIRST + count)
}

fn count(
    descriptors: Option<&str>,
    process: Option<&str>,
    own: u32,
    instead: &str,
) -> Result<i32, String> {
    let descriptors = descriptors.ok_or_else(|| {
        format!("no sockets were handed over: LISTEN_FDS is not set; start the command by systemd or systemd-socket-activate, or {instead}")
    })?;
    if process.is_some_and(|process| process.parse() != Ok(own)) {
        return Err("LISTEN_PID names another process, so the sockets are not for this command; start it by `exec`".into());
    }
    let count = descriptors.parse().ok();
    count
        .filter(|count| (1..=MOST).contains(count))
        .ok_or_else(|| {
            format!(
                "LISTEN_FDS is `{descriptors}`; it must be the number of sockets, from 1 to {MOST}"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_that_were_handed_to_this_process() {
        let of = |fds, pid| count(fds, pid, 7, "name one");
        assert_eq!(of(Some("2"), Some("7")), Ok(2));
        assert_eq!(of(Some("1"), None), Ok(1));
        assert!(of(None, None).is_err_and(|why| why.ends_with("or name one")));
        assert!(of(Some("1"), Some("8")).is_err_and(|why| why.contains("LISTEN_PID")));
        for wrong in ["0", "-1", "1025", "two", "", "99999999999"] {
            assert!(of(Some(wrong), None).is_err(), "{wrong}");
        }
    }
}
