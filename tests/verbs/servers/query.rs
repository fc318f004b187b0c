//! Questions to name servers (RFC 1035), each with a name of its own, and the answers to them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use sockc_testing::again;

/// The zone that every server here answers for.
pub(super) const ZONE: &str = "here";
/// How long the digits are that begin a name.
const DIGITS: usize = 8;
/// The bytes of a header.
const HEADER: usize = 12;

/// The question for the address of the name of a number.
pub(super) fn question(number: u32) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [&format!("{number:0DIGITS$}"), ZONE] {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// The number of the name that an answer is about, and the last byte of the address in it; `None` where it is no answer
/// with an address.
pub(super) fn answer(message: &[u8]) -> Option<(u32, u8)> {
    let answers = u16::from_be_bytes([*message.get(6)?, *message.get(7)?]);
    let name = message.get(HEADER + 1..HEADER + 1 + DIGITS)?;
    let number = std::str::from_utf8(name).ok()?.parse().ok()?;
    // One answer of 16 bytes follows the question: a pointer to the name, type, class, time, length, address.
    let address = message.get(question(number).len() + 12..)?;
    (answers == 1).then_some((number, *address.get(3)?))
}

/// Who answers by UDP within a moment: the last byte of the address.
pub(super) fn by_udp(to: SocketAddr, wait: Duration) -> Option<u8> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(wait)).unwrap();
    socket.send_to(&question(0), to).ok()?;
    let mut room = [0; 512];
    let length = again(|| socket.recv(&mut room)).ok()?;
    answer(&room[..length]).map(|(_, who)| who)
}

/// Who answers by TCP.
pub(super) fn by_tcp(to: SocketAddr, wait: Duration) -> Option<u8> {
    let mut stream = TcpStream::connect_timeout(&to, wait).ok()?;
    stream.set_read_timeout(Some(wait)).unwrap();
    let question = question(0);
    let length = (question.len() as u16).to_be_bytes();
    stream.write_all(&[&length[..], &question].concat()).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    answer(&message).map(|(_, who)| who)
}
