//! A policy in a container that has no rights of the machine, by what its bpf file system delegates (Linux 6.9).

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Output;
use std::time::{Duration, Instant};

use sockc_testing::again;

use super::container::{Container, Delegated};
use super::table::{self, Row};
use super::{POLICY, can_run, said};

pub(super) const ALL: Delegated<'_> = &[
    ("delegate_cmds", "any"),
    ("delegate_maps", "any"),
    ("delegate_progs", "any"),
    ("delegate_attachs", "any"),
];

/// A container with the files that the manual names; nothing where it cannot be had, which is said.
pub(super) fn container(name: &str, delegated: Delegated<'_>) -> Option<Container> {
    if !can_run() {
        return None;
    }
    let container = match Container::new(name, delegated) {
        Ok(container) => container,
        Err(error) => {
            let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
            assert!(!wanted, "delegation: {error}");
            eprintln!("skipped: needs a kernel that delegates, Linux 6.9: {error}");
            return None;
        }
    };
    for name in ["edge", "next"] {
        let text = format!("policy {name}\n{POLICY}");
        container.folder.file(&format!("{name}.sk"), &text);
    }
    container.folder.file("list", "192.0.2.9\n192.0.2.10\n");
    container
        .folder
        .file("entries", "tcp 198.51.100.0/28:444 -> sock proxy\n");
    Some(container)
}

/// Runs it, which must end so.
pub(super) fn ends(container: &Container, line: &str, code: i32) -> String {
    let ran: Output = container.sh(&format!("exec ./{line}"));
    let told = said(&ran);
    assert_eq!(ran.status.code(), Some(code), "{line}: {told}");
    told
}

#[test]
fn each_command_of_the_table_runs_in_a_container_with_a_token() {
    let Some(container) = container("token", ALL) else {
        return;
    };
    let rows = table::rows().into_iter();
    for Row { command, .. } in rows.filter(|row| !row.command.contains("--drops")) {
        // The one network namespace that is sure to be there is the command's own.
        let line = command.replace("--netns blue", "--netns /proc/self/ns/net");
        ends(&container, &line, 0);
    }
}

const DECIDED: &str = "policy decided
interfaces lo
default in allow
default out allow
live set banned max 10
socket web = udp listen 127.0.0.1:7005
drop udp from @banned to port 7001
drop udp to port 7002 at tc
drop out udp to port 7003
reject udp to port 7004 at sk_lookup
redirect udp to 127.0.0.1:7006 to sock web
";

#[test]
fn its_hooks_decide_about_the_packets_of_the_container() {
    let Some(container) = container("decided", ALL) else {
        return;
    };
    container.folder.file("decided.sk", DECIDED);
    let bound = |port: u16| UdpSocket::bind(("127.0.0.1", port)).unwrap();
    // The services are there first: one of them is the policy's.
    let arrivals =
        container.inside(|| [7001, 7002, 7003, 7004, 7005, 7007].map(|port| (port, bound(port))));
    let told = ends(&container, "sockc apply decided.sk --yes", 0);
    // No kernel that delegates lacks TCX.
    assert!(told.contains("tcx"), "{told}");
    ends(&container, "sockc set add banned 127.0.0.9", 0);
    container.inside(|| {
        let from = UdpSocket::bind("127.0.0.9:0").unwrap();
        for port in [7001, 7002, 7003, 7004, 7006, 7007] {
            // What a rule for `out` drops is refused to who sends it.
            let _ = from.send_to(&[0], ("127.0.0.1", port));
        }
    });
    // Packets over `lo` arrive in their order: once the last one is there, so is all that comes.
    let (_, last) = arrivals.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    again(|| last.recv(&mut [0])).unwrap();
    let came = arrivals[..5].iter().filter(|(_, socket)| {
        socket.set_nonblocking(true).unwrap();
        let got = again(|| socket.recv(&mut [0])).map_err(|error| error.kind());
        assert!(matches!(got, Ok(1) | Err(ErrorKind::WouldBlock)), "{got:?}");
        got.is_ok()
    });
    let came: Vec<u16> = came.map(|(port, _)| *port).collect();
    assert_eq!(came, [7005], "by the redirect");
    let counted = ends(&container, "sockc counters --nonzero", 0);
    for port in ["7001", "7002", "7003", "7004", "7006"] {
        assert!(counted.contains(port), "{counted}");
    }
}

#[test]
fn a_trial_ends_there_too_by_hand_and_by_itself() {
    let Some(container) = container("trial", ALL) else {
        return;
    };
    ends(&container, "sockc apply edge.sk --yes", 0);
    let told = ends(&container, "sockc apply next.sk --yes --confirm 5m", 0);
    assert!(told.contains("it waits to be confirmed"), "{told}");
    ends(&container, "sockc rollback --yes", 0);
    let is_back = || ends(&container, "sockc status", 0).contains("policy \"edge\" is in force");
    assert!(is_back());
    ends(&container, "sockc apply next.sk --yes --confirm 1s", 0);
    let began = Instant::now();
    while !is_back() {
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn without_delegation_the_rights_miss_and_it_says_whose() {
    let Some(container) = container("bare", &[]) else {
        return;
    };
    for line in ["sockc apply edge.sk --yes", "sockc status"] {
        let told = ends(&container, line, 3);
        let words = "this needs the rights CAP_NET_ADMIN and CAP_BPF of the machine: those of a user namespace count where its bpf file system delegates";
        assert!(told.contains(words), "{line}: {told}");
    }
}

/// Each cause has its own words: what is said here is what somebody does next.
#[test]
fn what_misses_inside_is_told_from_what_is_not_delegated() {
    let Some(container) = container("inside", ALL) else {
        return;
    };
    let without = "setpriv --inh-caps -bpf --bounding-set -bpf";
    for (line, words) in [
        (
            format!("{without} ./sockc status"),
            "CAP_BPF by its own name",
        ),
        (
            "mkdir /sys/fs/bpf/in; ./sockc status --bpffs /sys/fs/bpf/in".to_owned(),
            "there is no root of one where sockc looks",
        ),
        (
            "./sockc status --bpffs /nowhere".to_owned(),
            "there is no root of one where sockc looks",
        ),
        (
            "setpriv --inh-caps -net_admin --bounding-set -net_admin ./sockc status".to_owned(),
            "this needs the rights CAP_NET_ADMIN in this user namespace",
        ),
    ] {
        let ran = container.sh(&line);
        let told = said(&ran);
        assert_eq!(ran.status.code(), Some(3), "{line}: {told}");
        assert!(told.contains(words), "{line}: {told}");
    }
}

/// What one container may not is nothing that the kernel cannot.
#[test]
fn what_is_delegated_is_not_kept_as_what_the_kernel_can_do() {
    let maps = [("delegate_progs", "0x48")];
    let delegated = [&ALL[..2], &maps, &ALL[3..]].concat();
    let Some(container) = container("kept", &delegated) else {
        return;
    };
    let plain = "interfaces lo\ndefault in allow\ndrop udp to port 7002 at tc\n";
    container.folder.file("plain.sk", plain);
    let line = "mount -t tmpfs tmpfs /run; ./sockc apply plain.sk --yes && ls /run";
    let ran = container.sh(line);
    let told = said(&ran);
    assert!(ran.status.success(), "{told}");
    assert!(!ran.stdout.ends_with(b"sockc\n"), "{told}");
    let told = ends(&container, "sockc doctor", 0);
    assert!(
        told.contains("what this kernel can do is not known"),
        "{told}"
    );
}

#[test]
fn commands_that_every_policy_takes_must_be_delegated() {
    let delegated = [&[("delegate_cmds", "0x21")], &ALL[1..]].concat();
    let Some(container) = container("commands", &delegated) else {
        return;
    };
    let told = ends(&container, "sockc apply edge.sk --yes", 3);
    assert!(told.contains("of the machine"), "{told}");
}

#[test]
fn a_type_of_program_that_is_not_delegated_is_refused_and_nothing_changes() {
    // All but XDP, which is number 6.
    let progs = [("delegate_progs", "0xffffffffffffffbf")];
    let delegated = [&ALL[..2], &progs, &ALL[3..]].concat();
    let Some(container) = container("narrow", &delegated) else {
        return;
    };
    let told = ends(&container, "sockc apply edge.sk --yes", 3);
    let words = "does not delegate `xdp`; whoever mounts it adds that to `delegate_progs`";
    assert!(told.contains(words), "{told}");
    let told = ends(&container, "sockc status", 0);
    assert!(told.contains("no policy is in force"), "{told}");
    let told = ends(&container, "sockc doctor", 0);
    assert!(
        told.contains("delegate_progs name only some types"),
        "{told}"
    );
}

#[test]
fn what_the_token_does_not_give_is_said() {
    let Some(container) = container("beyond", ALL) else {
        return;
    };
    ends(&container, "sockc apply edge.sk --yes", 0);
    let told = ends(&container, "sockc monitor --drops --for 1ms", 3);
    assert!(
        told.contains("this needs the rights CAP_PERFMON of the machine"),
        "{told}"
    );
    let told = ends(&container, "sockc doctor", 0);
    assert!(
        told.contains("those of this user namespace, as its bpf file system delegates them"),
        "{told}"
    );
}
