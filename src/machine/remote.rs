//! The SSH connection that a command comes over.
//!
//! Takes the environment of this process and of those around it, since `sudo` leaves `SSH_CONNECTION` out; gives its text, which
//! names both ends, and since when the process runs that started the outermost one with it: sshd starts one as a connection comes, which
//! serves it for as long as it is there. Several sessions over one connection (`ControlMaster` of OpenSSH) are children of that one, so that
//! none of them makes the connection younger. What nobody holds any more, as in `tmux`, is a child of the first process of all, and so as
//! old as the machine.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use sockc_runtime::{Connection, Ends};

/// What sshd sets.
const NAME: &[u8] = b"SSH_CONNECTION=";
/// So much of what an environment says is quoted.
const QUOTED: usize = 80;
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
    let mut server = None;
    for _ in 0..AROUND {
        let Some(one) = process else { break };
        if let Some(ends) = of(&one) {
            match &mut found {
                Some(inner) if inner.ends != ends => break,
                inner => {
                    *inner = Some(Connection { ends, began: None });
                    server = parent(&one);
                }
            }
        }
        process = parent(&one);
    }
    found.map(|found| Connection {
        // What nothing is known of is taken to be old.
        began: Some(server.as_deref().and_then(began).unwrap_or(0)),
        ..found
    })
}

/// The ends that `SSH_CONNECTION` names: the client's address and port, the server's address and port; `None` where it is
/// something else. An IPv6 address of one wire has its interface behind a `%`.
pub(crate) fn ends(text: &str) -> Option<Ends> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [client, client_port, server, server_port] = words[..] else {
        return None;
    };
    let (client, far) = address(client)?;
    let (server, near) = address(server)?;
    let port = |word: &str| word.parse().ok().filter(|port: &u16| *port > 0);
    let ends = Ends {
        local: SocketAddr::new(server, port(server_port)?),
        remote: SocketAddr::new(client, port(client_port)?),
        zone: near.or(far).map(str::to_owned),
    };
    (client.is_ipv4() == server.is_ipv4()).then_some(ends)
}

/// The beginning of what an environment says, for messages.
pub(crate) fn quoted(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

/// An address and its interface.
fn address(word: &str) -> Option<(IpAddr, Option<&str>)> {
    let (address, zone) = match word.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (word, None),
    };
    let address: IpAddr = address.parse().ok()?;
    Some((address.to_canonical(), zone))
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
    fn ends_are_read_or_nothing_is() {
        let read = |text| {
            let ends = ends(text)?;
            let zone = ends.zone.unwrap_or_default();
            Some(format!("{} {} {zone}", ends.remote, ends.local))
        };
        for (text, is) in [
            (
                "192.0.2.7 51022 192.0.2.1 22",
                "192.0.2.7:51022 192.0.2.1:22 ",
            ),
            (
                "::ffff:192.0.2.7 51022 192.0.2.1 22",
                "192.0.2.7:51022 192.0.2.1:22 ",
            ),
            (
                "fe80::2%eth0 51022 fe80::1%eth0 22",
                "[fe80::2]:51022 [fe80::1]:22 eth0",
            ),
        ] {
            assert_eq!(read(text).as_deref(), Some(is));
        }
        for rubbish in [
            "",
            "192.0.2.7 51022 192.0.2.1",
            "192.0.2.7 51022 192.0.2.1 22 more",
            "192.0.2.7 51022 192.0.2.1 0",
            "192.0.2.7 65536 192.0.2.1 22",
            "192.0.2.7 -1 192.0.2.1 22",
            "192.0.2.7 51022 2001:db8::1 22",
            "%eth0 51022 %eth0 22",
            "UNKNOWN 65535 UNKNOWN 65535",
            "\u{fffd}\u{1b}[2J",
        ] {
            assert_eq!(read(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn a_process_began_after_the_one_that_started_it() {
        let own = began("self").unwrap();
        assert!(own > 0);
        let around = parent("self").unwrap();
        assert!(began(&around).is_none_or(|began| began <= own));
    }
}
