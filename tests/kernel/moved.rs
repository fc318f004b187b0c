//! Packets that leave by another interface, and packets that get a mark.

use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use sockc_compiler::packet::build::Frame;
use sockc_compiler::policy::Action;
use sockc_compiler::target::Target;
use sockc_runtime::NamedKind;
use sockc_runtime::lab::{BACK, FRONT, Lab, MAC, Probe, Seen, Space};
use sockc_testing::again;

use crate::knock::header;
use crate::stage::{CLIENT, PATIENCE, SERVER, Stage, at, compile_changed, ip};

fn datagram(port: u16) -> Vec<u8> {
    let from = std::net::SocketAddr::new(ip(CLIENT[0]), 4000);
    let to = std::net::SocketAddr::new(ip(SERVER[0]), port);
    let frame = Frame::new(header(17, from, to, 0)).payload(b"as it is");
    frame.addresses(MAC, MAC).bytes()
}

#[test]
fn a_packet_leaves_by_the_other_interface_as_it_is() {
    for hook in ["tc", "xdp"] {
        let Some(stage) = Stage::new() else { return };
        let (client, server) = (&stage.lab.client, &stage.lab.server);
        let large = || {
            let mut ip = Command::new("ip");
            ip.args(["link", "set", FRONT, "mtu", "9000"]).status()
        };
        if hook == "xdp" {
            // Beyond a page, veth takes no native program; a generic one can send to any interface.
            for space in [client, server] {
                assert!(space.run(large).unwrap().unwrap().success());
            }
        }
        let text = format!(
            "default in allow
             drop udp to port 9 at {hook}"
        );
        let compiled = compile_changed(&text, &Target::baseline(), |policy| {
            let port = policy.out_interfaces.push(BACK.into());
            for rule in policy.rules.values_mut() {
                rule.action = Action::Forward(port);
            }
        });
        stage.apply_compiled(&compiled).unwrap();
        let mut inward = Probe::new(client, server, FRONT).unwrap();
        let mut outward = Probe::new(server, client, BACK).unwrap();
        outward.arrived().unwrap();
        assert_eq!(inward.send(&datagram(9)).unwrap(), Seen::NotSeen, "{hook}");
        assert!(outward.arrived().unwrap().contains(&datagram(9)), "{hook}");
        assert_eq!(inward.send(&datagram(10)).unwrap(), Seen::Passed, "{hook}");
        assert!(
            !outward.arrived().unwrap().contains(&datagram(10)),
            "{hook}"
        );
    }
}

/// The number of the interface that packets leave by.
const NUMBER: u32 = 83;

/// A pair of interfaces of one name, the server's with [`NUMBER`], that runs.
fn join(lab: &Lab, name: &str) {
    let client = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        lab.client.net().as_raw_fd()
    );
    let pair = format!("link add {name} index {NUMBER} type veth peer name {name} netns {client}");
    ip_link(&lab.server, &pair);
    let up = format!("link set {name} up");
    for space in [&lab.server, &lab.client] {
        ip_link(space, &up);
    }
    let show = format!("link show {name}");
    let until = Instant::now() + PATIENCE;
    for space in [&lab.server, &lab.client] {
        while !ip_link(space, &show).contains("state UP") {
            assert!(Instant::now() < until, "{name} does not run");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn ip_link(space: &Space, line: &str) -> String {
    let ip = || Command::new("ip").args(line.split(' ')).output();
    let ran = space.run(ip).unwrap().unwrap();
    assert!(ran.status.success(), "{line}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

/// How the interface that packets leave by stands: whether there is one again, and what they leave by instead.
fn target(stage: &Stage) -> Vec<(bool, Option<String>)> {
    let status = stage.status().unwrap();
    assert_eq!(status.drift, []);
    let named = status.coverage.named.into_iter();
    let targets = named.filter(|one| one.kind == NamedKind::Target);
    targets.map(|one| (one.again, one.instead)).collect()
}

/// A number is no interface: the kernel gives that of one that is gone to the next that asks for it.
#[test]
fn nothing_leaves_by_an_interface_that_got_the_number_of_one_that_is_gone() {
    for hook in ["tc", "xdp"] {
        let Some(stage) = Stage::new() else { return };
        let (client, server) = (&stage.lab.client, &stage.lab.server);
        if hook == "xdp" {
            for space in [client, server] {
                ip_link(space, &format!("link set {FRONT} mtu 9000"));
            }
        }
        join(&stage.lab, "r0");
        let text = format!("default in allow\nredirect udp to port 9 to interface r0 at {hook}\n");
        stage.apply(&text);
        let mut inward = Probe::new(client, server, FRONT).unwrap();
        let mut leaves_by = |name: &str| {
            let mut outward = Probe::new(server, client, name).unwrap();
            outward.arrived().unwrap();
            assert_eq!(inward.send(&datagram(9)).unwrap(), Seen::NotSeen, "{hook}");
            outward.arrived().unwrap().contains(&datagram(9))
        };
        assert!(leaves_by("r0"), "{hook}");
        assert_eq!(target(&stage), []);

        ip_link(server, "link del r0");
        join(&stage.lab, "other0");
        assert!(!leaves_by("other0"), "{hook}: packets leave by another one");
        assert_eq!(target(&stage), [(false, None)], "{hook}");

        // One with the name and the number is another one still, which no program was told of.
        ip_link(server, "link del other0");
        join(&stage.lab, "r0");
        assert!(!leaves_by("r0"), "{hook}");
        assert_eq!(target(&stage), [(true, None)], "{hook}");
        stage.apply(&text);
        assert!(leaves_by("r0"), "{hook}");
        assert_eq!(target(&stage), []);

        // Under another name it is the one.
        for line in ["down", "name r9", "up"] {
            let name = if line == "up" { "r9" } else { "r0" };
            ip_link(server, &format!("link set {name} {line}"));
        }
        assert_eq!(target(&stage), [(false, Some("r9".to_owned()))], "{hook}");
    }
}

/// Throws away what comes with a mark, ahead of what the space takes for itself.
fn discard(space: &Space, mark: &str) {
    for line in [
        "rule add pref 100 table local",
        "rule del pref 0 table local",
        &format!("rule add pref 10 fwmark {mark} blackhole"),
    ] {
        let run = || {
            let words = line.split(' ');
            Command::new("ip").args(words).status().unwrap().success()
        };
        assert!(space.run(run).unwrap(), "{line}");
    }
}

/// The server's routing throws away what has the mark; what an allow leaves unmarked arrives.
#[test]
fn the_stack_sees_the_mark_of_an_allow() {
    let Some(stage) = Stage::new() else { return };
    let text = "default in allow
         allow udp to port 9 at tc
         allow udp to port 10 at tc";
    let compiled = compile_changed(text, &Target::baseline(), |policy| {
        for (rule, mark) in policy.rules.values_mut().zip([0x1234_5678, 9]) {
            rule.mark = Some(mark);
        }
    });
    stage.apply_compiled(&compiled).unwrap();
    let [first, second] = [9, 10].map(|port| format!("{}:{port}", SERVER[0]));
    let (nine, ten) = (stage.udp(&first), stage.udp(&second));
    stage.assert_datagram(&first, &nine);
    discard(&stage.lab.server, "0x12345678");
    let client = crate::stage::udp(&stage.lab.client, crate::stage::client_for(at(&first)));
    client.send_to(b"lost", at(&first)).unwrap();
    // In order after it on the same wire.
    stage.assert_datagram(&second, &ten);
    nine.set_nonblocking(true).unwrap();
    assert!(again(|| nine.recv(&mut [0; 8])).is_err());
}
