//! What random frames do not reach: buffers that the kernel joined, tags that it took off, headers that are not linear.

mod answers;
mod asked;
mod calls;
mod conditions;
mod counts;
mod datagrams;
mod destinations;
mod doors;
mod entries;
mod first_match;
mod fragments;
mod headers;
mod intercepts;
mod layers;
mod leaving;
mod logs;
mod made;
mod member_table;
mod members;
mod origins;
mod passing;
mod questions;
mod rated;
mod rates;
mod reject;
mod sampled;
mod sent;
mod spread;

use sockc_grammar::source::SourceMap;

use crate::event::{Fragment, Header, Parsed, Transport};
use crate::interpret::{Input, Maps, Quiet, Skb, run};
use crate::packet::build::Frame;
use crate::packet::parse::{Layout, parse};
use crate::pipeline::{Built, compile};
use crate::protocol::IpProtocol;
use crate::target::Target;

const DROP: i32 = 2;
const NEXT: i32 = -1;

fn built(text: &str) -> Built {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", text);
    let outcome = compile(
        &mut sources,
        id,
        "t",
        &Target::baseline(),
        &mut crate::files::Texts::default(),
    );
    assert!(!outcome.failed(), "{outcome:?}");
    outcome.built.unwrap()
}

fn header(from: &str, to: &str) -> Header {
    Header {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        protocol: IpProtocol::TCP,
        fragment: Fragment::Whole,
        transport: Transport::Tcp {
            from: 1,
            to: 80,
            flags: 2,
        },
        length: 60,
        ..Header::PLAIN
    }
}

/// What `tc_out` returns, and the packets and bytes that its counters show.
fn send(built: &Built, skb: Skb) -> (i32, u64, u64) {
    let program = built
        .artifact
        .programs
        .iter()
        .find(|program| program.name == "tc_out")
        .unwrap();
    let mut maps = Maps::new(&built.artifact.maps);
    let input = Input::Skb(Skb {
        egress: true,
        ..skb
    });
    let outcome = run(program, &mut maps, input, &mut Quiet).unwrap();
    let sum = |at: usize| {
        let slots = 0..built.artifact.manifest.counters.len() as u32;
        let counted = slots.map(|slot| maps.counted(slot).unwrap());
        counted.map(|numbers| numbers[at]).sum()
    };
    (outcome.code(), sum(0), sum(1))
}

/// A joined buffer: the header says the length of an empty packet, the buffer holds `length` bytes of IP.
fn joined(header: Header, length: usize) -> Skb {
    let mut frame = Frame::new(header.clone()).bytes();
    let field = if header.from.is_ipv4() { 16 } else { 18 };
    frame[field..field + 2].fill(0);
    frame.resize(14 + length, 0);
    Skb {
        gso_segs: 50,
        ..Skb::new(frame)
    }
}

#[test]
fn big_tcp_has_the_length_of_its_buffer() {
    let built = built("default out allow\ndrop out tcp if length > 70000\n");
    for addresses in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
        let header = header(addresses.0, addresses.1);
        assert_eq!(
            send(&built, joined(header.clone(), 70_000)),
            (NEXT, 50, 70_000)
        );
        assert_eq!(
            send(&built, joined(header.clone(), 70_001)),
            (DROP, 50, 70_001)
        );
    }
}

#[test]
fn a_length_of_zero_is_malformed_where_nothing_was_joined() {
    let built = built("default out drop\nallow out tcp\n");
    for addresses in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
        let header = header(addresses.0, addresses.1);
        assert_eq!(send(&built, joined(header, 65_535)).0, DROP);
    }
}

#[test]
fn headers_beyond_the_linear_part_are_pulled() {
    let built = built("default out drop\nallow out tcp to port 80\n");
    let frame = Frame::new(header("2001:db8::1", "2001:db8::2")).bytes();
    for linear in 0..=frame.len() {
        let skb = Skb::new(frame.clone()).with_linear(linear);
        assert_eq!(send(&built, skb).0, NEXT, "{linear} bytes are linear");
    }
}

#[test]
fn a_tag_that_was_taken_off_counts() {
    let built = built("default out drop\nallow out tcp to port 80\n");
    let tagged = |tags: u16| {
        let frame = Frame::new(header("10.0.0.1", "10.0.0.2"));
        (0..tags).fold(frame, |frame, tag| frame.vlan(tag)).bytes()
    };
    let with = |tags, vlan| {
        send(
            &built,
            Skb {
                vlan,
                ..Skb::new(tagged(tags))
            },
        )
        .0
    };
    assert_eq!(with(2, None), NEXT);
    assert_eq!(with(3, None), DROP);
    assert_eq!(with(1, Some((0x8100, 7))), NEXT);
    assert_eq!(with(2, Some((0x8100, 7))), DROP);
}

/// A header that is shorter than any can be is malformed, as it is to the reference.
#[test]
fn a_header_shorter_than_any_is_malformed() {
    let built = built("default out drop\nallow out tcp\n");
    let frame = Frame::new(header("10.0.0.1", "10.0.0.2")).payload(&[0; 40]);
    for (place, bits) in [(14, 0), (14 + 20 + 12, 4)] {
        for words in 0..16u8 {
            let mut bytes = frame.bytes();
            bytes[place] &= !(0xf << bits);
            bytes[place] |= words << bits;
            let read = parse(&bytes, Layout::Ethernet);
            let (code, ..) = send(&built, Skb::new(bytes));
            let is_tcp = matches!(&read, Parsed::Ip(header) if header.protocol == IpProtocol::TCP);
            assert_eq!(code == NEXT, is_tcp, "{words} words at {place}: {read:?}");
            assert!(words >= 5 || !is_tcp, "{words} words at {place}");
        }
    }
}
