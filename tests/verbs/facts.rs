//! What `status` knows of a policy besides its hooks, and what the verbs say of redirects that nothing can come to.

use std::process::Command;

use sockc_runtime::lab::{BPFFS, FRONT, Lab, Netlink};

use super::spaces::Named;
use super::{Folder, Ran, root, run};

const POLICY: &str = "\
default in drop
live set banned max 100
live map tenants max 50 = { tcp 198.51.100.0/28:443 -> sock proxy }
socket proxy = tcp listen 127.0.0.1:1234
listed: drop from @banned at tc
proxied: redirect tcp 10.7.1.0/24:80 to sock proxy
redirect by @tenants
ssh: allow tcp to port 22 up to 3 connections/minute per source
";

fn on_server(lab: &Lab, arguments: &[&str]) -> Ran {
    lab.server.run(|| run(arguments)).unwrap()
}

#[test]
fn status_says_what_is_in_force_and_what_it_holds() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("facts"));
    let path = folder.file("edge.sk", POLICY);
    let applied = on_server(&lab, &["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(applied.stdout.contains("lookup"), "{}", applied.stdout);
    let added = on_server(
        &lab,
        &["set", "add", "banned", "192.0.2.9", "198.51.100.0/24"],
    );
    assert_eq!(added.code, Some(0), "{}", added.stderr);

    let status = on_server(&lab, &["status"]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    for words in [
        "edge.sk, sha256 ",
        " UTC",
        "4, counted",
        "up to 3 connections/minute per source",
        "banned: 2 elements of 100",
        "tenants: 1 entry of 50",
    ] {
        assert!(status.stdout.contains(words), "{words}: {}", status.stdout);
    }
    let json = on_server(&lab, &["status", "--json"]).json();
    assert_eq!(json["sets"][0]["elements"], 2, "{json}");
    assert_eq!(json["maps"][0]["max"], 50);
    assert_eq!(
        (&json["rules"], &json["counters"]),
        (&4.into(), &true.into())
    );
    assert!(json["applied"].as_u64().unwrap() > 1_600_000_000);
    let planned = on_server(&lab, &["plan", &path, "--interface", FRONT, "--json"]).json();
    assert_eq!(planned["running"]["digest"], json["digest"]);
}

#[test]
fn a_redirect_of_addresses_that_are_not_local_is_told() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("local"));
    let path = folder.file("edge.sk", POLICY);
    let remedy = "`ip route add local 10.7.1.0/24 dev lo`";
    let all: [&[&str]; 3] = [
        &["plan", &path, "--interface", FRONT],
        &["apply", &path, "--interface", FRONT],
        &["status"],
    ];
    for verb in all {
        let said = on_server(&lab, verb);
        assert_eq!(said.code, Some(0), "{verb:?}: {}", said.stderr);
        assert!(said.stderr.contains(remedy), "{verb:?}: {}", said.stderr);
    }
    lab.serve("10.7.1.0".parse().unwrap(), 24).unwrap();
    lab.serve("198.51.100.0".parse().unwrap(), 28).unwrap();
    for verb in all {
        let said = on_server(&lab, verb);
        assert!(
            !said.stderr.contains("ip route"),
            "{verb:?}: {}",
            said.stderr
        );
    }
}

/// A range of which half is local, and addresses that no route makes local.
#[test]
fn what_of_a_range_is_not_local_and_what_no_route_mends_is_told() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("half"));
    let text = "socket proxy = tcp listen 127.0.0.1:9000 owner uid root\n\
                half: redirect tcp 10.7.1.0/24:80 to sock proxy\n\
                many: redirect tcp 224.0.0.5:80 to sock proxy\n";
    let path = folder.file("half.sk", text);
    lab.serve("10.7.1.0".parse().unwrap(), 25).unwrap();
    let said = on_server(&lab, &["plan", &path]).stderr;
    assert!(
        said.contains("10.7.1.159 is no address of this machine, so `half`"),
        "{said}"
    );
    assert!(
        said.contains("neighbours, is not reached any more"),
        "{said}"
    );
    assert!(said.contains("224.0.0.5 is an address of many"), "{said}");
    assert!(!said.contains("route add local 224"), "{said}");
}

/// An entry of a live map is a redirect as any other, and so is a rule of a `for netns` block.
#[test]
fn redirects_by_entries_and_in_blocks_are_told_too() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("entries"));
    let other = Named::new(&format!("sockc-facts-{}", std::process::id()));
    let policy = format!(
        "{POLICY}for netns \"{}\" {{\ninterfaces lo\ndefault in allow\nlive set far max 7\nredirect tcp 10.9.1.0/24:80 to sock proxy\ndrop from @far at tc\n}}\n",
        other.name
    );
    let path = folder.file("edge.sk", &policy);
    let in_block = "`ip route add local 10.9.1.0/24 dev lo`";
    let of_entry = "`ip route add local 198.51.100.0/28 dev lo`";
    let apply = ["apply", &path, "--interface", FRONT];
    for verb in [&["plan", &path, "--interface", FRONT][..], &apply] {
        let said = on_server(&lab, verb);
        assert_eq!(said.code, Some(0), "{verb:?}: {}", said.stderr);
        assert!(said.stderr.contains(in_block), "{verb:?}: {}", said.stderr);
    }
    let status = on_server(&lab, &["status"]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    for words in [of_entry, in_block, "of the live map tenants"] {
        assert!(status.stderr.contains(words), "{words}: {}", status.stderr);
    }
    assert!(
        status.stdout.contains("far: 0 elements of 7"),
        "{}",
        status.stdout
    );
    let json = on_server(&lab, &["status", "--json"]).json();
    assert_eq!(json["netns"][0]["status"]["sets"][0]["max"], 7, "{json}");

    lab.serve("198.51.100.0".parse().unwrap(), 28).unwrap();
    let local = || Netlink::open()?.local("10.9.1.0".parse().unwrap(), 24);
    other.space.run(local).unwrap().unwrap();
    let status = on_server(&lab, &["status"]);
    for words in [of_entry, in_block] {
        assert!(!status.stderr.contains(words), "{}", status.stderr);
    }
    on_server(&lab, &["unload"]);
}

#[test]
fn filters_of_others_on_our_interface_are_named() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("filters"));
    let path = folder.file("edge.sk", POLICY);
    let applied = on_server(&lab, &["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let object = folder.0.join("other.o").to_str().unwrap().to_owned();
    let other = folder.file("other.sk", "default in allow\ncount tcp at tc\n");
    assert_eq!(run(&["compile", &other, "-o", &object]).code, Some(0));
    lab.server
        .run(|| {
            let pin = format!("{BPFFS}/other");
            for line in [
                format!("bpftool prog loadall {object} {pin} type classifier"),
                format!("tc qdisc add dev {FRONT} clsact"),
                format!("tc filter add dev {FRONT} ingress bpf da pinned {pin}/tc_in"),
            ] {
                let mut words = line.split(' ');
                let ran = Command::new(words.next().unwrap()).args(words).output();
                let ran = ran.unwrap();
                assert!(ran.status.success(), "{line}: {ran:?}");
            }
        })
        .unwrap();
    let status = on_server(&lab, &["status"]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    assert!(
        status
            .stderr
            .contains("\"tc_in\" of somebody else is on tc-in")
            && status.stderr.contains("decides after ours"),
        "{}",
        status.stderr
    );
}
