//! dnsperf and dig against unbound and nsd, while policies that name the one and the other come into force.

use std::process::{Command, Output, Stdio};

use sockc_runtime::lab::Lab;

use super::names::{SOON, nsd_at, unbound};
use super::query::{by_tcp, by_udp};
use super::{PATIENCE, apply, installed, until};
use crate::{Folder, ip, run};

/// How many questions a second, for how many seconds, by how many clients.
const RATE: &str = "1000";
const SECONDS: &str = "3";
const CLIENTS: &str = "10";
/// How many policies come meanwhile at least.
const POLICIES: usize = 4;
/// What is asked: nsd is bound there, and unbound to every address.
const TO: [&str; 2] = ["127.0.0.9", "2001:db8:53::9"];
/// Of whom what the addresses in their answers end in.
const SERVERS: [(&str, &str); 2] = [("wide", "192.0.2.1"), ("own", "192.0.2.2")];

fn policy(socket: &str) -> String {
    format!(
        "interfaces lo\n\
         socket wide = udp listen 0.0.0.0:53, tcp listen 0.0.0.0:53, udp listen [::]:53, tcp listen [::]:53 owner uid root\n\
         socket own = udp listen {four}:53, tcp listen {four}:53, udp listen [{six}]:53, tcp listen [{six}]:53 owner uid root\n\
         redirect udp, tcp to {four}:53, [{six}]:53 to sock {socket}\n",
        four = TO[0],
        six = TO[1],
    )
}

/// What dig says: it takes an answer from nobody but whom it asked.
fn dig(to: &str, more: &[&str]) -> String {
    let mut dig = Command::new("dig");
    dig.args([
        &format!("@{to}"),
        "+short",
        "+tries=1",
        "+time=30",
        "x.here",
        "A",
    ]);
    let ran = dig.args(more).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{to} {more:?}: {said}");
    said.trim_end().to_owned()
}

/// A number of dnsperf's account.
fn number(account: &str, what: &str) -> u64 {
    let line = account
        .lines()
        .find_map(|line| line.trim().strip_prefix(what));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no {what}: {account}"))
}

/// Every question was answered, and none with an error.
fn insist(ran: &Output, context: &str) {
    let account = String::from_utf8_lossy(&ran.stdout);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{context}: {account}{said}");
    let sent = number(&account, "Queries sent:");
    assert!(sent > 500, "{context}: {account}");
    assert_eq!(
        number(&account, "Queries lost:"),
        0,
        "{context}: {account}{said}"
    );
    assert_eq!(
        number(&account, "Queries completed:"),
        sent,
        "{context}: {account}"
    );
    let codes = format!("NOERROR {sent} (100.00%)");
    assert!(account.contains(&codes), "{context}: {account}");
}

#[test]
fn no_question_of_dnsperf_is_lost_where_the_server_behind_a_name_changes() {
    if !installed(&["unbound", "nsd", "dnsperf", "dig"]) {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("dnsperf"));
    ip(
        &lab.server,
        &format!("address add {}/128 dev lo nodad", TO[1]),
    );
    let names: String = (0..1000).map(|one| format!("{one:08}.here A\n")).collect();
    let names = folder.file("names", &names);
    let work = || {
        let _wide = unbound(&folder, 1, " interface-automatic: yes\n");
        let _own = nsd_at(&folder, &TO);
        for own in [
            "127.0.0.1:53",
            "[::1]:53",
            "127.0.0.9:53",
            "[2001:db8:53::9]:53",
        ] {
            let own = own.parse().unwrap();
            until(&format!("{own} answers"), || {
                by_udp(own, SOON).is_some() && by_tcp(own, PATIENCE).is_some()
            });
        }
        apply(&folder, &policy("wide"));
        for to in TO {
            for mode in ["udp", "tcp"] {
                under(&folder, &names, to, mode);
            }
        }
        run(&["unload", "--yes"]);
    };
    lab.server.run(work).unwrap();
}

/// Policies that come and go under the load of one protocol and family: so many that a load beside this test only takes longer.
fn under(folder: &Folder, names: &str, to: &str, mode: &str) {
    let context = format!("{to} by {mode}");
    let mut policies = 0;
    while policies < POLICIES {
        let mut dnsperf = Command::new("dnsperf");
        dnsperf.args(["-s", to, "-d", names, "-m", mode, "-t", "60"]);
        dnsperf.args(["-l", SECONDS, "-Q", RATE, "-c", CLIENTS]);
        dnsperf.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = dnsperf.spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            for (socket, address) in SERVERS {
                apply(folder, &policy(socket));
                assert_eq!(dig(to, &[]), address, "{context}");
                assert_eq!(dig(to, &["+tcp"]), address, "{context}");
                policies += 1;
            }
        }
        insist(&child.wait_with_output().unwrap(), &context);
    }
}
