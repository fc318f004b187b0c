//! What conditions on the IP header and on the frame say of real packets of both families, at XDP and at TC, against the reference meaning.
//!
//! Takes the fields and their conditions from the table, so a new one is here as soon as it is there.

use std::net::SocketAddr;

use sockc_compiler::decide::decide;
use sockc_compiler::event::{Event, Header, Parsed, SocketAnswer, Verdict, World};
use sockc_compiler::field::FieldKind;
use sockc_compiler::header_field::{self, Row};
use sockc_compiler::policy::{Direction, Family, NetnsId, Policy, SocketId};
use sockc_compiler::protocol::IpProtocol;

use crate::knock::{Knocker, header};
use crate::stage::{CLIENT, SERVER, Stage, compile, ip};

/// A machine that is not asked.
struct Nobody;

impl World for Nobody {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        SocketAnswer::None
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        false
    }
}

/// Datagrams of both families with each value at the edges of a field.
fn headers(row: &Row) -> Vec<Header> {
    let ends = CLIENT.into_iter().zip(SERVER);
    let values = row.edges.iter().flatten();
    let all =
        ends.flat_map(|(client, server)| values.clone().map(move |value| (client, server, value)));
    all.map(|(client, server, value)| {
        let [from, to] =
            [(client, 999), (server, 80)].map(|(end, port)| SocketAddr::new(ip(end), port));
        let mut header = header(17, from, to, 0);
        (row.set)(&mut header, *value);
        header
    })
    .collect()
}

fn check(place: &str) {
    let Some(stage) = Stage::new() else { return };
    let mut knocker = Knocker::new(&stage);
    let asked = [FieldKind::IpHeader, FieldKind::Ether];
    let fields = header_field::rows().filter(|row| asked.contains(&row.variables[0].kind()));
    for row in fields {
        let mut seen = [false; 2];
        for condition in row.drawn {
            let compiled = compile(&format!("default in allow\ndrop udp if {condition}{place}"));
            stage.apply_compiled(&compiled).unwrap();
            for header in headers(row) {
                let event = Event::Packet {
                    direction: Direction::In,
                    class: Policy::plain_class(),
                    packet: Parsed::Ip(header.clone()),
                };
                let allowed = decide(&compiled.policy, &event, &Nobody).verdict == Verdict::Allow;
                assert_eq!(
                    knocker.passes(&header),
                    allowed,
                    "{condition}{place}: {header:?}"
                );
                seen[usize::from(allowed)] = true;
            }
        }
        assert_eq!(seen, [true; 2], "{}: packets of both kinds", row.word());
    }
}

#[test]
fn codepoints_of_the_header_are_told_apart_at_xdp() {
    check("");
}

#[test]
fn codepoints_of_the_header_are_told_apart_at_tc() {
    check(" at tc");
}
