//! Errors about the path of a connection that a redirect `at tc` has taken: they are for the server, and come here by a rule that
//! gives them the mark.

use nix::sys::socket::{getsockopt, sockopt::IpMtu};
use sockc_runtime::lab::PacketSocket;

use super::past::{hardware, ipv4, sum};
use super::{CLIENT, Line, proxies, server};
use crate::stage::{PATIENCE, accept, assert_talks, at, connect, wait_for};

const POLICY: &str = "
    socket proxy = tcp listen 127.0.0.1:7001
    default in drop
    errors: allow icmp fragmentation-needed to 10.7.0.0/16 mark 0x20c5
    web: redirect tcp to 10.7.0.0/16:80 to sock proxy at tc
    rest: allow";

const IPV4: u16 = 0x0800;
const ICMP: u8 = 1;

/// Says that a packet was too big, which is that whose headers these are.
fn too_big(headers: &[u8], mtu: u16) -> Vec<u8> {
    let mut message = vec![3, 4, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(headers);
    let sum = sum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

#[test]
fn an_error_about_a_path_comes_here_by_a_rule_with_the_mark() {
    let Some(line) = Line::new() else { return };
    let proxies = proxies(&line);
    line.apply(POLICY, true).unwrap();
    let open = || PacketSocket::open("near", IPV4).unwrap();
    let wire = line.client.run(open).unwrap();
    let mut client = connect(&line.client, at(CLIENT[0]), server(0, 80), PATIENCE).unwrap();
    let mut taken = accept(&proxies[0]);
    assert_talks(&mut client, &mut taken);
    // What the proxy sent in the name of the server, with a byte in it; the error is about the next one.
    let mut next = loop {
        let frame = wire.wait(5_000).unwrap().expect("what the proxy has sent");
        let packet = &frame[14..];
        let length = u16::from_be_bytes([packet[2], packet[3]]);
        if packet[9] == 6 && packet[12..16] == [10, 7, 0, 2] && length == 53 {
            break packet[..28].to_vec();
        }
    };
    let number = u32::from_be_bytes(next[24..].try_into().unwrap());
    next[24..].copy_from_slice(&number.wrapping_add(1).to_be_bytes());
    let mtu = || getsockopt(&taken, IpMtu).unwrap();
    assert_eq!(mtu(), 1500);
    let mut frame = hardware(&line.router, "near");
    frame.extend(hardware(&line.client, "near"));
    frame.extend(IPV4.to_be_bytes());
    frame.extend(ipv4(1, 0, ICMP, &too_big(&next, 1000)));
    wire.send(&frame).unwrap();
    wait_for("the smaller MTU", || mtu() == 1000);
    assert_eq!(line.counted("errors"), 1);
}
