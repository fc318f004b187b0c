//! apply, status, counters and unload, in a lab.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, Ran, root, run};

const POLICY: &str = "\
default in drop
socket proxy = tcp listen 127.0.0.1:1234
pings: count icmp echo-request
allow tcp to 1.1.1.0/24:53 if socket exists
proxied: redirect 3.3.3.3:* to sock proxy
allow if socket exists
";

/// A lab with two foreign addresses on the server.
fn lab() -> Lab {
    let lab = Lab::new().unwrap();
    for address in ["1.1.1.77", "3.3.3.3"] {
        lab.serve(address.parse().unwrap(), 32).unwrap();
    }
    lab
}

fn on_server(lab: &Lab, arguments: &[&str]) -> Ran {
    lab.server.run(|| run(arguments)).unwrap()
}

fn connects(lab: &Lab, to: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok();
    lab.client.run(connect).unwrap()
}

#[test]
fn a_policy_comes_into_force_counts_and_goes() {
    if !root() {
        return;
    }
    let (lab, folder) = (lab(), Folder::new("running"));
    let path = folder.file("edge.sk", POLICY);
    let none = on_server(&lab, &["status"]);
    assert_eq!(
        (none.code, none.stdout.as_str()),
        (Some(0), "no policy is in force in this network namespace\n")
    );

    let applied = on_server(&lab, &["apply", &path, "--interface", FRONT, "--json"]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert_eq!(applied.json()["format"], "sockc.apply/1");
    assert!(
        applied.json()["sockets"][0]["state"]
            .as_str()
            .unwrap()
            .starts_with("absent")
    );

    // Two sentences on real sockets; the listener comes after the policy.
    assert!(!connects(&lab, "1.1.1.77:53") && !connects(&lab, "3.3.3.3:65535"));
    let listen = |address: &'static str| {
        lab.server
            .run(|| TcpListener::bind(address).unwrap())
            .unwrap()
    };
    let (_dns, proxy) = (listen("1.1.1.77:53"), listen("127.0.0.1:1234"));
    let again = on_server(&lab, &["apply", &path, "--interface", FRONT]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(connects(&lab, "1.1.1.77:53") && connects(&lab, "3.3.3.3:65535"));
    let accepted = proxy.accept().unwrap().0.local_addr().unwrap();
    assert_eq!(accepted, SocketAddr::new(IpAddr::from([3, 3, 3, 3]), 65535));

    let status = on_server(&lab, &["status", "--json"]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    assert_eq!(status.json()["policy"], "edge");
    let table = on_server(&lab, &["counters", "--nonzero"]).stdout;
    let proxied = table
        .lines()
        .find(|line| line.contains("edge.sk:5"))
        .unwrap();
    let cells: Vec<&str> = proxied.split_whitespace().collect();
    assert_eq!(cells[1], "-", "a lookup has no bytes: {table}");
    assert!(!table.contains("edge.sk:3"), "nobody pinged: {table}");
    let counters = on_server(&lab, &["counters", "--json"]).json();
    let proxied = counters["rules"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["rule"] == "proxied");
    let proxied = proxied.unwrap();
    assert_eq!(
        (&proxied["line"], &proxied["verdict"]),
        (&5.into(), &"redirect".into())
    );
    assert!(proxied["packets"].as_u64().unwrap() >= 1, "{counters}");

    assert_eq!(on_server(&lab, &["unload", "--yes"]).code, Some(0));
    assert_eq!(
        on_server(&lab, &["status"]).stdout,
        "no policy is in force in this network namespace\n"
    );
    assert!(!connects(&lab, "3.3.3.3:65535"));
}

#[test]
fn an_object_can_be_applied_alone() {
    if !root() {
        return;
    }
    let (lab, folder) = (lab(), Folder::new("object"));
    let path = folder.file("edge.sk", POLICY);
    let object = folder.0.join("edge.o").to_str().unwrap().to_owned();
    assert_eq!(run(&["compile", &path, "-o", &object]).code, Some(0));
    std::fs::remove_file(path).unwrap();
    let applied = on_server(&lab, &["apply", &object, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
}

#[test]
fn a_policy_without_counters_says_so() {
    if !root() {
        return;
    }
    let (lab, folder) = (lab(), Folder::new("uncounted"));
    let path = folder.file("edge.sk", POLICY);
    let applied = on_server(
        &lab,
        &["apply", &path, "--no-counters", "--interface", FRONT],
    );
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let told = on_server(&lab, &["counters"]);
    assert_eq!(
        told.stdout, "this policy was compiled without counters\n",
        "{}",
        told.stderr
    );
    let json = on_server(&lab, &["counters", "--json"]).json();
    assert_eq!(json["counted"], false);
    assert_eq!(json["rules"].as_array().unwrap().len(), 0);
    assert_eq!(on_server(&lab, &["unload", "--yes"]).code, Some(0));
}

#[test]
fn a_refusal_says_what_to_do_and_changes_nothing() {
    if !root() {
        return;
    }
    let (lab, folder) = (lab(), Folder::new("refused"));
    let path = folder.file("edge.sk", POLICY);
    let cut = folder.0.join("cut.o");
    std::fs::write(&cut, b"\x7fELF\x02\x01").unwrap();
    for (arguments, code, words) in [
        (&["apply", path.as_str()][..], 3, "--interface"),
        (&["apply", &path, "--interface", "nowhere0"], 3, "nowhere0"),
        (
            &["apply", &path, "--interface", FRONT, "--bpffs", "/tmp"],
            3,
            "bpf",
        ),
        (
            &["apply", &path, "--netns", "nobody-has-this"],
            3,
            "nobody-has-this",
        ),
        (&["apply", cut.to_str().unwrap()], 1, "cut.o"),
    ] {
        let ran = on_server(&lab, arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        assert_eq!(
            on_server(&lab, &["status"]).stdout,
            "no policy is in force in this network namespace\n"
        );
    }
}
