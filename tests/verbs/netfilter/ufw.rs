//! Rules of ufw in the kernel's own iptables, put there as the start of ufw does, and as the policy that they are imported to.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;

use sockc_runtime::lab::{CLIENT, FRONT, SERVER};

use super::super::monitored::done;
use super::super::ufw::files::Files;
use super::{Fate, OTHER, SENT, Scene, iptables, program};
use crate::Folder;

/// The user's rules, with `OTHER` for the other client: what becomes of packets is the same as of the other rule sets here.
const USER: &str = "
### tuple ### limit tcp 22 any any any in
-A ufw6-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set
-A ufw6-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 -j ufw6-user-limit
-A ufw6-user-input -p tcp --dport 22 -j ufw6-user-limit-accept

### tuple ### allow tcp 23 any any any in
-A ufw6-user-input -p tcp --dport 23 -j ACCEPT

### tuple ### allow udp 9 any any any in
-A ufw6-user-input -p udp --dport 9 -j ACCEPT

### tuple ### reject udp 55 any any any in
-A ufw6-user-input -p udp --dport 55 -j REJECT

### tuple ### deny any any any any other in
-A ufw6-user-input -s OTHER -j DROP

### tuple ### allow tcp 80,8000:8010 any any any in_front
-A ufw6-user-input -i front -p tcp -m multiport --dports 80,8000:8010 -j ACCEPT

### tuple ### reject_log tcp 81 any any any in
-A ufw6-user-logging-input -p tcp --dport 81 -m conntrack --ctstate NEW -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW BLOCK] \"
-A ufw6-user-logging-input -p tcp --dport 81 -j RETURN
-A ufw6-user-input -p tcp --dport 81 -j ufw6-user-logging-input
-A ufw6-user-input -p tcp --dport 81 -j REJECT --reject-with tcp-reset

### tuple ### allow any 53 any any any in
-A ufw6-user-input -p tcp --dport 53 -j ACCEPT
-A ufw6-user-input -p udp --dport 53 -j ACCEPT

### tuple ### reject udp 54 any any any in
-A ufw6-user-input -p udp --dport 54 -j REJECT
";

/// What the start of ufw puts ahead of the files, and behind them.
fn start(own: &str) -> [String; 2] {
    let (mut ahead, mut behind) = (String::new(), String::new());
    for list in ["input", "output", "forward"] {
        let chain = list.to_uppercase();
        for part in [
            "before-logging",
            "before",
            "after",
            "after-logging",
            "reject",
            "track",
        ] {
            ahead += &format!(":{own}-{part}-{list} - [0:0]\n");
            behind += &format!("-A {chain} -j {own}-{part}-{list}\n");
        }
        for part in ["user", "user-logging", "skip-to-policy"] {
            ahead += &format!(":{own}-{part}-{list} - [0:0]\n");
        }
        behind += &format!("-A {own}-before-{list} -j {own}-user-{list}\n");
    }
    for part in [
        "logging-deny",
        "logging-allow",
        "user-limit",
        "user-limit-accept",
    ] {
        ahead += &format!(":{own}-{part} - [0:0]\n");
    }
    behind += &format!("-A {own}-skip-to-policy-input -j DROP\n:INPUT DROP [0:0]\n");
    [ahead, behind].map(|lines| format!("*filter\n{lines}COMMIT\n"))
}

/// Puts the files in force in a scene.
fn started(scene: &Scene, files: &Files<'_>, family: usize) {
    let [ahead, behind] = start(["ufw", "ufw6"][family]);
    let [before, after, user] = files.rules(family);
    let work = || {
        for text in [ahead, before, after, user, behind] {
            let mut restore = program(family, "restore");
            let mut child = restore.arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            input.write_all(text.as_bytes()).unwrap();
            drop(input);
            assert!(child.wait().unwrap().success(), "{text}");
        }
    };
    scene.lab.server.run(work).unwrap();
}

/// One who goes on to try is refused.
fn is_limited(scene: &Scene, family: usize) {
    let (from, to) = (
        SocketAddr::new(CLIENT[family], 0),
        SocketAddr::new(SERVER[family], 22),
    );
    // It is the sixth within half a minute, or a later one where the machine is slow.
    let tries = scene
        .lab
        .client
        .run(|| (0..200).any(|_| scene.connects(from, to, Fate::Through) == Fate::Refused));
    assert!(tries.unwrap(), "nothing is refused");
}

#[test]
fn real_sockets_meet_the_same_by_ufw_and_by_the_policy() {
    if !iptables() {
        return;
    }
    let folder = Folder::new("netfilter-ufw");
    let wanted: Vec<Fate> = SENT.iter().map(|one| one.3).collect();
    let users = OTHER.map(|other| USER.replace("OTHER", &other.to_string()));
    let files = Files {
        user: [&users[0], &users[1]],
        ..Files::default()
    };
    let own = files.write(&folder, "etc");
    let out = folder.0.join("edge.sk");
    let out = out.to_str().unwrap();
    for family in [0, 1] {
        let scene = Scene::new(family);
        started(&scene, &files, family);
        assert_eq!(scene.fates(family), wanted, "{}", files.rules(family)[2]);
        is_limited(&scene, family);
        drop(scene);
        let scene = Scene::new(family);
        done(&scene.lab, &["import", "ufw", &own, "-o", out]);
        done(&scene.lab, &["apply", out, "--interface", FRONT]);
        let text = std::fs::read_to_string(out).unwrap();
        assert_eq!(scene.fates(family), wanted, "{text}");
        is_limited(&scene, family);
    }
}
