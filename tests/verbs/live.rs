//! What is changed while a policy is in force: `set`, `map`, `socket`, in a lab.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use sockc_runtime::lab::{FRONT, Lab};

use super::{Folder, Ran, root, run};

const POLICY: &str = "\
default in drop
live set banned max 4 expires 10m
live map tenants max 100
socket late = registered
drop from @banned
redirect tcp by @tenants
allow if socket exists
";

/// A lab whose server has two foreign addresses and the policy in force.
fn lab(folder: &Folder) -> Lab {
    let lab = Lab::new().unwrap();
    for address in ["1.1.1.77", "3.3.3.3"] {
        lab.serve(address.parse().unwrap(), 32).unwrap();
    }
    let path = folder.file("live.sk", POLICY);
    let applied = on_server(&lab, &["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    lab
}

fn on_server(lab: &Lab, arguments: &[&str]) -> Ran {
    lab.server.run(|| run(arguments)).unwrap()
}

fn listener(lab: &Lab, at: &str) -> TcpListener {
    lab.server.run(|| TcpListener::bind(at).unwrap()).unwrap()
}

fn connects(lab: &Lab, to: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok();
    lab.client.run(connect).unwrap()
}

#[test]
fn who_is_in_a_live_set_is_dropped_until_it_is_out() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-set");
    let lab = lab(&folder);
    let _server = listener(&lab, "1.1.1.77:80");
    let client = "198.19.255.253";
    assert!(connects(&lab, "1.1.1.77:80"));
    let added = on_server(
        &lab,
        &["set", "add", "banned", "198.19.0.0/16", "::1", "--json"],
    );
    assert_eq!(added.json()["elements"], 2, "{}", added.stderr);
    assert!(!connects(&lab, "1.1.1.77:80"));
    let by = on_server(&lab, &["set", "test", "banned", client]);
    assert_eq!(by.code, Some(0));
    assert!(
        by.stdout
            .contains("by the element 198.19.0.0/16, expires in 9m"),
        "{}",
        by.stdout
    );
    assert_eq!(
        on_server(&lab, &["set", "test", "banned", "10.0.0.1"]).code,
        Some(1)
    );
    let list = on_server(&lab, &["set", "list", "banned", "--json"]).json();
    assert_eq!(list["elements"][0]["element"], "198.19.0.0/16");
    assert_eq!(
        on_server(&lab, &["set", "del", "banned", "198.19.0.0/16"]).code,
        Some(0)
    );
    assert!(connects(&lab, "1.1.1.77:80"));
}

#[test]
fn a_file_is_loaded_as_a_whole_or_not_at_all() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-load");
    let lab = lab(&folder);
    on_server(&lab, &["set", "add", "banned", "10.0.0.1"]);
    let listed = || {
        let list = on_server(&lab, &["set", "list", "banned"]).stdout;
        list.lines()
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let wrong = folder.file("wrong.txt", "10.0.0.2\n10.0.0.3/8\nx\n");
    let refused = on_server(&lab, &["set", "load", "banned", &wrong]);
    assert_eq!(refused.code, Some(1));
    for said in ["wrong.txt, line 2", "write `10.0.0.0/8`", "line 3"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    let many = folder.file(
        "many.txt",
        "10.0.0.2\n10.0.0.3\n10.0.0.4\n10.0.0.5\n10.0.0.6\n",
    );
    let refused = on_server(&lab, &["set", "load", "banned", &many]);
    assert_eq!(refused.code, Some(3));
    assert!(
        refused.stderr.contains("at most 4 elements"),
        "{}",
        refused.stderr
    );
    assert_eq!(listed(), ["10.0.0.1"]);
    let right = folder.file("right.txt", "# two\n10.0.0.2 # one\n2001:db8::/32\n");
    let loaded = on_server(
        &lab,
        &["set", "load", "banned", &right, "--expires", "never"],
    );
    assert_eq!(loaded.code, Some(0), "{}", loaded.stderr);
    assert_eq!(listed(), ["10.0.0.2", "2001:db8::/32"]);
    let unknown = on_server(&lab, &["set", "list", "bannd"]);
    assert_eq!(unknown.code, Some(64));
    assert!(
        unknown.stderr.contains("did you mean \"banned\"?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn connections_go_where_a_live_map_and_a_registered_socket_say() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-map");
    let lab = lab(&folder);
    let server = listener(&lab, "127.0.0.1:0");
    assert!(!connects(&lab, "3.3.3.3:4000"));
    let entry = "tcp 3.3.3.3:4000-4999 -> sock late";
    let added = on_server(&lab, &["map", "add", "tenants", entry]);
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    assert!(!connects(&lab, "3.3.3.3:4000"), "nobody is registered");
    let (pid, fd) = (
        std::process::id().to_string(),
        server.as_raw_fd().to_string(),
    );
    let register = ["socket", "register", "late", "--pid", &pid, "--fd", &fd];
    let registered = on_server(&lab, &register);
    assert_eq!(registered.code, Some(0), "{}", registered.stderr);
    assert!(
        registered.stdout.contains("now holds tcp4"),
        "{}",
        registered.stdout
    );
    assert!(connects(&lab, "3.3.3.3:4000"));
    assert!(connects(&lab, "3.3.3.3:4999"));
    assert!(!connects(&lab, "3.3.3.3:5000"));
    let list = on_server(&lab, &["map", "list", "tenants", "--json"]).json();
    assert_eq!(list["entries"][0], entry);
    let sockets = on_server(&lab, &["socket", "list", "--json"]).json();
    assert_eq!(sockets["sockets"][0]["state"], "listening");
    // Both survive an apply.
    let path = folder.file("live.sk", POLICY);
    let applied = on_server(&lab, &["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(connects(&lab, "3.3.3.3:4000"));
    assert_eq!(
        on_server(&lab, &["map", "del", "tenants", entry]).code,
        Some(0)
    );
    assert!(!connects(&lab, "3.3.3.3:4000"));
    let refused = on_server(&lab, &["map", "add", "tenants", "3.3.3.3 -> sock late"]);
    assert_eq!(refused.code, Some(64), "{}", refused.stderr);
}
