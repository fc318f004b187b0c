//! Packets that leave by another interface, and packets that get a mark.

use std::process::Command;

use sockc_compiler::packet::build::Frame;
use sockc_compiler::policy::Action;
use sockc_compiler::target::Target;
use sockc_runtime::lab::{BACK, FRONT, MAC, Probe, Seen, Space};

use crate::knock::header;
use crate::stage::{CLIENT, SERVER, Stage, at, compile_changed, ip};

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
            let port = policy.ports.push(BACK.into());
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
    // In order behind it on the same wire.
    stage.assert_datagram(&second, &ten);
    nine.set_nonblocking(true).unwrap();
    assert!(nine.recv(&mut [0; 8]).is_err());
}
