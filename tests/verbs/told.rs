//! What the verbs say of a state is true in it: sends that are counted, sockets that escaped, blocks of other policies, live maps
//! that no rule asks, packets that ask the same again.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{FRONT, Group, Lab};
use socket2::Socket;

use super::{Folder, Ran, ip, root, run};

fn on_server(lab: &Lab, arguments: &[&str]) -> Ran {
    lab.server.run(|| run(arguments)).unwrap()
}

fn done(lab: &Lab, arguments: &[&str]) -> Ran {
    let ran = on_server(lab, arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    ran
}

/// A network namespace with a name of its own, and an interface `eth0` in it.
struct Named<'a> {
    lab: &'a Lab,
    name: String,
}

impl<'a> Named<'a> {
    fn new(lab: &'a Lab, name: &str) -> Self {
        let name = format!("sockc-{name}-{}", std::process::id());
        ip(&lab.server, &format!("netns add {name}"));
        let named = Self { lab, name };
        named.interface();
        named
    }

    /// Makes the interface. The name of one that was just deleted in another namespace may be free a little later.
    fn interface(&self) {
        let name = &self.name;
        let pair = format!("link add told0 type veth peer name eth0 netns {name}");
        let made = || {
            let ran = Command::new("ip").args(pair.split(' ')).output().unwrap();
            let said = String::from_utf8_lossy(&ran.stderr).into_owned();
            assert!(
                ran.status.success() || said.contains("File exists"),
                "{ran:?}"
            );
            ran.status.success()
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.lab.server.run(made).unwrap() {
            assert!(Instant::now() < deadline, "{pair}: File exists");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        let name = self.name.clone();
        let _ = self
            .lab
            .server
            .run(|| Command::new("ip").args(["netns", "del", &name]).output());
    }
}

#[test]
fn rules_for_sends_are_counted_and_sockets_that_escape_are_told() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("told-sends"));
    let group = Group::new().unwrap();
    let text = format!(
        "group jobs = cgroup \"{}\"\ndefault send allow\ns: drop send tcp from group jobs to 192.0.2.2:81\n",
        group.path()
    );
    let path = folder.file("snd.sk", &text);
    done(&lab, &["apply", &path, "--no-counters"]);
    let status = done(&lab, &["status"]).stdout;
    assert!(status.contains("1, not counted"), "{status}");
    done(&lab, &["apply", &path]);
    let status = done(&lab, &["status"]).stdout;
    assert!(status.contains("1, counted"), "{status}");
    assert!(!status.contains("escaped"), "{status}");
    let json = done(&lab, &["status", "--json"]).json();
    assert_eq!(json["counters"], true);
    assert_eq!(json["escaped"].as_array().unwrap().len(), 0);

    lab.serve("192.0.2.2".parse().unwrap(), 32).unwrap();
    let here: SocketAddr = "192.0.2.2:81".parse().unwrap();
    let connected = lab.server.run(|| {
        let socket = group.mptcp_socket(here).ok()?;
        let listener = TcpListener::bind(here).unwrap();
        let socket = Socket::from(socket);
        socket.set_nonblocking(false).unwrap();
        socket
            .connect(&listener.local_addr().unwrap().into())
            .unwrap();
        Some((socket, listener))
    });
    let Some(_connection) = connected.unwrap() else {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs MPTCP");
        eprintln!("skipped: needs MPTCP");
        return;
    };
    let status = done(&lab, &["status"]).stdout;
    assert!(
        status.contains("escaped") && status.contains("sockets of group jobs that could not"),
        "{status}"
    );
    let json = done(&lab, &["status", "--json"]).json();
    assert!(json["escaped"][0]["sockets"].as_u64().unwrap() >= 1);
}

#[test]
fn a_live_map_with_entries_holds_them_before_any_rule_asks_it() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("told-map"));
    let text = format!(
        "interfaces {FRONT}\ndefault in allow\nsocket proxy = tcp listen 127.0.0.1:1234\n\
         live map tenants max 10 = {{ tcp 198.51.100.0/28:443 -> sock proxy }}\ndrop tcp to port telnet\n"
    );
    let path = folder.file("lm.sk", &text);
    done(&lab, &["apply", &path]);
    let list = done(&lab, &["map", "list", "tenants"]).stdout;
    assert!(list.contains("198.51.100.0/28:443"), "{list}");
    done(
        &lab,
        &["map", "add", "tenants", "192.0.2.7:80 -> sock proxy"],
    );
    let sockets = done(&lab, &["socket", "list"]).stdout;
    assert!(sockets.contains("proxy"), "{sockets}");
    let tried = run(&["try", &path]);
    assert_eq!(tried.code, Some(0), "{}{}", tried.stdout, tried.stderr);

    // A rule that asks the map finds what is in it.
    let path = folder.file("lm.sk", &format!("{text}redirect tcp by @tenants\n"));
    done(&lab, &["apply", &path]);
    let list = done(&lab, &["map", "list", "tenants"]).stdout;
    assert_eq!(
        list.lines().filter(|line| line.contains("-> sock")).count(),
        2
    );
}

#[test]
fn entries_that_are_gone_are_told_as_damage() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("told-entries"));
    let text = "socket a = tcp listen 127.0.0.1:1234 owner uid root\n\
                live map ten max 4 = { tcp 198.51.100.1:80 -> sock a }\nredirect tcp by @ten\n";
    let path = folder.file("ten.sk", text);
    for wrong in ["rm $0", "ln -sf /etc/passwd $0"] {
        done(&lab, &["apply", &path]);
        let damage = || {
            let find = "find /sys/fs/bpf/sockc -name '*-entries'";
            let found = Command::new("sh").args(["-c", find]).output().unwrap();
            let pin = String::from_utf8(found.stdout).unwrap();
            let ran = Command::new("sh").args(["-c", wrong, pin.trim()]).status();
            assert!(ran.unwrap().success(), "{pin}");
        };
        lab.server.run(damage).unwrap();
        let status = on_server(&lab, &["status"]);
        assert_eq!(status.code, Some(5), "{wrong}: {}", status.stderr);
        assert!(
            status.stderr.contains("entries") && !status.stderr.contains("CAP_DAC_OVERRIDE"),
            "{}",
            status.stderr
        );
        done(&lab, &["unload", "--yes"]);
    }
}

#[test]
fn a_socket_that_no_rule_leads_to_is_told_so() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("told-socket"));
    let text = format!(
        "interfaces {FRONT}\ndefault in drop\nsocket px = tcp listen 127.0.0.1:9100\nallow tcp to port ssh\n"
    );
    let path = folder.file("px.sk", &text);
    done(&lab, &["apply", &path]);
    for verb in ["list", "refresh"] {
        let said = done(&lab, &["socket", verb]).stdout;
        let told = "no rule of the policy in force leads to a named socket";
        assert!(said.starts_with(told), "{verb}: {said}");
    }
}

#[test]
fn the_policy_of_a_block_is_told_as_one() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("told-block"));
    lab.serve("10.7.1.0".parse().unwrap(), 24).unwrap();
    let named = Named::new(&lab, "told");
    let name = &named.name;
    let text = format!(
        "interfaces {FRONT}\ndefault in drop\ndefault out allow\nsocket px = tcp listen 127.0.0.1:9100\n\
         redirect tcp 10.7.1.0/24:80 to sock px\n\
         for netns \"{name}\" {{\n  interfaces eth*\n  default in drop\n  default out allow\n  allow tcp to port 81\n}}\n"
    );
    let path = folder.file("hb.sk", &text);
    done(&lab, &["apply", &path]);
    let inner = done(&lab, &["status", "--netns", name]);
    assert!(
        !inner.stderr.contains("ip route"),
        "the redirect is not of this namespace: {}",
        inner.stderr
    );

    ip(&lab.server, "link del told0");
    named.interface();
    let inner = on_server(&lab, &["status", "--netns", name]);
    assert_eq!(inner.code, Some(5), "{}", inner.stderr);
    let remedy = "in the network namespace whose policy has the block";
    assert!(inner.stderr.contains(remedy), "{}", inner.stderr);
    // That is another one than the one the command named.
    assert!(!inner.stderr.contains("--netns"), "{}", inner.stderr);
    let refused = on_server(&lab, &["apply", "--running", "--netns", name]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("`for netns` block") && !refused.stderr.contains("changed after"),
        "{}",
        refused.stderr
    );
    done(&lab, &["apply", "--running"]);
    done(&lab, &["status", "--netns", name]);

    ip(&lab.server, &format!("netns del {name}"));
    let outer = on_server(&lab, &["status"]);
    assert_eq!(outer.code, Some(5), "{}", outer.stderr);
    let gone = format!("the network namespace \"{name}\" was removed");
    assert!(outer.stderr.contains(&gone), "{}", outer.stderr);
    ip(&lab.server, &format!("netns add {name}"));
    named.interface();
    done(&lab, &["apply", "--running"]);
    done(&lab, &["status"]);
}

#[test]
fn a_plan_tells_that_rules_begin_to_count() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("told-count"));
    let text = format!("interfaces {FRONT}\ndefault in drop\nallow tcp to port 81\n");
    let path = folder.file("if.sk", &text);
    done(&lab, &["apply", &path, "--no-counters"]);
    let planned = on_server(&lab, &["plan", &path, "--exit-code"]);
    assert_eq!(planned.code, Some(2), "{}", planned.stdout);
    assert!(
        planned.stdout.contains("the rules begin to count")
            && !planned.stdout.contains("would load the same again"),
        "{}",
        planned.stdout
    );
    done(&lab, &["apply", &path]);
    let planned = on_server(&lab, &["plan", &path, "--exit-code"]);
    assert_eq!(planned.code, Some(0), "{}", planned.stdout);
    assert!(planned.stdout.contains("would load the same again"));
}

#[test]
fn a_policy_that_another_bpf_file_system_keeps_is_not_taken_for_somebody_elses() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("told-elsewhere"));
    let text = format!("interfaces {FRONT}\ndefault in drop\nallow tcp to port 81 at xdp\n");
    let path = folder.file("if.sk", &text);
    done(&lab, &["apply", &path]);
    let other = folder.0.join("bpf");
    std::fs::create_dir(&other).unwrap();
    let other = other.to_str().unwrap();
    let mount = || {
        let ran = Command::new("mount")
            .args(["-t", "bpf", "-o", "mode=0700", "bpf", other])
            .status();
        assert!(ran.unwrap().success());
    };
    lab.server.run(mount).unwrap();
    let refused = on_server(&lab, &["apply", &path, "--bpffs", other]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("another bpf file system")
            && !refused.stderr.contains("did not make"),
        "{}",
        refused.stderr
    );
    lab.server
        .run(|| Command::new("umount").arg(other).status().unwrap())
        .unwrap();
}

#[test]
fn an_explained_packet_asks_the_same_again() {
    let folder = Folder::new("told-explain");
    let path = folder.file(
        "nd.sk",
        "interfaces eth0\ndefault in drop\nsocket inner = tcp listen 127.0.0.1:1\n\
         for netns \"blue\" {\n  interfaces eth1\n  default in drop\n  redirect tcp 10.98.7.1:* to sock inner\n}\n",
    );
    for packet in [
        "tcp from 1.1.1.1:5 to 10.98.7.1:5 with in netns \"blue\"",
        "tcp from 1.1.1.1:5 to 10.98.7.1:5 with in netns \"blue\", socket listening",
        "tcp from 1.1.1.1:5 to 10.98.7.1:5 on interface \"lo\"",
    ] {
        let said = run(&["explain", &path, packet]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let (first, rest) = said.stdout.split_once('\n').unwrap();
        assert_eq!(first, packet, "{}", said.stdout);
        let again = run(&["explain", &path, first]);
        assert_eq!(again.stdout.split_once('\n').unwrap().1, rest);
        assert!(!rest.contains("there is no default"), "{rest}");
    }
}

#[test]
fn what_the_routing_throws_away_is_no_difference() {
    let folder = Folder::new("told-loopback");
    let path = folder.file(
        "nl.sk",
        "interfaces eth0, eth?, \"wan port\"\nzone wan = eth0\ndefault in drop\ndefault out allow\n\
         no-local: reject tcp to 127.0.0.1:9100 at sk_lookup\n",
    );
    let tried = run(&["try", &path]);
    assert_eq!(tried.code, Some(0), "{}{}", tried.stdout, tried.stderr);
    assert!(!tried.stdout.contains("WRONG"), "{}", tried.stdout);
}

#[test]
fn a_reject_at_xdp_is_seen_to_be_answered() {
    let folder = Folder::new("told-xdp");
    let path = folder.file(
        "xdp.sk",
        "interfaces eth0\ndefault in drop\nreject tcp to port 99 at xdp\nreject udp to port 98 at xdp\n",
    );
    let tried = run(&["try", &path]);
    assert_eq!(tried.code, Some(0), "{}{}", tried.stdout, tried.stderr);
    assert!(!tried.stdout.contains("WRONG"), "{}", tried.stdout);
}
