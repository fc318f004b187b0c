//! What verbs say of what named sockets were given, and since when these are there; and that commands that look go on doing so
//! where others took the numbers away.

use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, Ran, root, run};

const POLICY: &str = "socket web = tcp listen 127.0.0.1:8080\nsocket rest = registered members 4\n\
    redirect 127.0.0.9:80 to sock web\nredirect 127.0.0.9:81 to sock rest\n";

fn ran(lab: &Lab, arguments: &[&str]) -> Ran {
    let ran = lab.server.run(|| run(arguments)).unwrap();
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    ran
}

fn listener(lab: &Lab) -> TcpListener {
    lab.server
        .run(|| TcpListener::bind("127.0.0.1:8080").unwrap())
        .unwrap()
}

/// Connects so many times; whether anybody was there.
fn connects(lab: &Lab, to: &str, times: usize) -> bool {
    let connect = || (0..times).all(|_| std::net::TcpStream::connect(to).is_ok());
    lab.server.run(connect).unwrap()
}

/// What both verbs say of a name in JSON, of TCP over IPv4.
fn row(lab: &Lab, name: &str) -> Value {
    let [one, other] = [&["status", "--json"][..], &["socket", "list", "--json"]].map(|verb| {
        let said = ran(lab, verb).json();
        let rows = said["destinations"].as_array().unwrap().iter();
        let mut rows = rows.filter(|row| row["socket"] == name && row["slot"] == "tcp4");
        rows.next().cloned().unwrap_or_default()
    });
    assert_eq!(one, other);
    one
}

/// So many lookups: given, and not given.
fn counted(given: u64, misses: u64) -> Value {
    json!({
        "socket": "web", "slot": "tcp4", "lookups": given + misses, "given": given, "misses": misses,
        "errors": { "idle": 0, "unsuited": 0, "chosen": 0, "refused": 0 },
    })
}

fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[test]
fn what_a_name_was_given_is_told_in_words_and_in_json() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("destinations"));
    let policy = folder.file("web.sk", POLICY);
    let apply = ["apply", &policy, "--interface", FRONT];
    ran(&lab, &apply);
    assert_eq!(row(&lab, "web"), counted(0, 0));
    // Nothing is said in words of a name that was given nothing.
    assert!(!ran(&lab, &["status"]).stdout.contains("lookups:"));
    assert!(!connects(&lab, "127.0.0.9:80", 1));
    let server = listener(&lab);
    assert!(connects(&lab, "127.0.0.9:80", 2));
    assert_eq!(row(&lab, "web"), counted(2, 1));
    // Another policy goes on from there; one that counts nothing says nothing, and what was counted before is kept.
    folder.file("web.sk", &format!("# Another.\n{POLICY}"));
    ran(&lab, &apply);
    assert_eq!(row(&lab, "web"), counted(2, 1));
    for verb in [&["status"][..], &["socket", "list"]] {
        let said = ran(&lab, verb).stdout;
        let line = said.lines().find(|line| line.contains("lookups:")).unwrap();
        assert!(line.contains("socket web  tcp4"), "{said}");
        assert!(
            line.contains("3 lookups: 2 given to a socket, 1 found nobody there"),
            "{said}"
        );
    }
    ran(&lab, &[&apply[..], &["--no-counters"]].concat());
    let without = ran(&lab, &["status", "--json"]).json();
    assert_eq!(without["destinations"], json!([]));
    drop(server);
}

#[test]
fn since_when_a_socket_is_there_is_told_in_words_and_in_json() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("since"));
    let policy = folder.file("web.sk", POLICY);
    let apply = ["apply", &policy, "--interface", FRONT];
    ran(&lab, &apply);
    let since = |verb: &[&str]| {
        let said = ran(&lab, verb).json();
        let rows = said["sockets"].as_array().unwrap().iter();
        let mut rows = rows.filter(|row| row["socket"] == "web");
        rows.next().unwrap()["since"].as_u64()
    };
    let verbs = [
        &["status", "--json"][..],
        &["socket", "list", "--json"],
        &["socket", "refresh", "web", "--json"],
    ];
    assert!(verbs.iter().all(|verb| since(verb).is_none()));
    let before = seconds();
    let _server = listener(&lab);
    let after = seconds();
    for verb in verbs {
        let time = since(verb).unwrap();
        // The seconds of two clocks begin at different moments.
        assert!((before - 1..=after + 1).contains(&time), "{verb:?} {time}");
    }
    let applied = ran(&lab, &[&apply[..], &["--json"]].concat()).json();
    let time = applied["sockets"][0]["since"].as_u64().unwrap();
    assert!((before - 1..=after + 1).contains(&time), "{applied}");
    for verb in [&["status"][..], &["socket", "list"]] {
        let said = ran(&lab, verb).stdout;
        let line = said
            .lines()
            .find(|line| line.contains("listening:"))
            .unwrap();
        assert!(
            line.contains(", since 20") && line.contains(" UTC"),
            "{said}"
        );
    }
}
