//! Fragments: every bit of their fields at every packet hook. Whoever takes a later fragment for a whole packet reads ports
//! from its payload.

use super::{built, header};
use crate::artifact::Artifact;
use crate::event::{Fragment, Header, Parsed, Transport};
use crate::interpret::{Bare, Input, Maps, Skb, Xdp, run};
use crate::packet::build::{Broken, Extension, Frame};
use crate::packet::parse::{Layout, parse};

/// A packet that ends within its fragment header is malformed, whatever stands after its end: a default that drops has it.
#[test]
fn a_packet_that_ends_in_its_fragment_header_is_malformed() {
    for (hook, name, pass) in [
        ("in if fragment at xdp", "xdp_in", 2),
        ("in if fragment at tc", "tc_in", -1),
        ("out if fragment", "tc_out", -1),
    ] {
        let text = format!("default in drop\ndefault out drop\nallow {hook}\n");
        let built = built(&text);
        for payload in 0..12 {
            let header = Header {
                fragment: Fragment::Later,
                transport: Transport::None,
                length: 80,
                ..header("2001:db8::1", "2001:db8::2")
            };
            let broken = Broken {
                length_field: Some(payload),
                ..Broken::default()
            };
            let frame = Frame::new(header).broken(broken).bytes();
            let is_whole = matches!(parse(&frame, Layout::Ethernet), Parsed::Ip(_));
            assert_eq!(is_whole, payload >= 8, "{payload}");
            let passed = passes(&built.artifact, name, pass, &frame);
            assert_eq!(passed, is_whole, "{name} {payload}");
        }
    }
}

/// Each hook's program, with the code that lets a packet pass.
const HOOKS: [(&str, &str, i32); 3] = [
    ("allow in tcp to port 80 at xdp\n", "xdp_in", 2),
    ("allow in tcp to port 80 at tc\n", "tc_in", -1),
    ("allow out tcp to port 80\n", "tc_out", -1),
];

fn passes(artifact: &Artifact, name: &str, pass: i32, frame: &[u8]) -> bool {
    let input = match name {
        "xdp_in" => Input::Xdp(Xdp::new(frame.to_vec())),
        _ => Input::Skb(Skb {
            egress: name == "tc_out",
            ..Skb::new(frame.to_vec())
        }),
    };
    let mut programs = artifact.programs.iter();
    let program = programs.find(|program| program.name == name).unwrap();
    let mut maps = Maps::new(&artifact.maps);
    let outcome = run(program, &mut maps, input, &mut Bare::default());
    outcome.unwrap().code() == pass
}

/// Frames whose first bytes after the IP headers are a TCP header to port 80, each with the part it is.
fn check(frames: &[(Vec<u8>, Fragment)]) {
    for (rule, name, pass) in HOOKS {
        let built = built(&format!("default in drop\ndefault out drop\n{rule}"));
        for (frame, fragment) in frames {
            let Parsed::Ip(header) = parse(frame, Layout::Ethernet) else {
                panic!("{frame:02x?}");
            };
            assert_eq!(header.fragment, *fragment, "{frame:02x?}");
            let said = passes(&built.artifact, name, pass, frame);
            assert_eq!(said, *fragment != Fragment::Later, "{name}: {frame:02x?}");
        }
    }
}

fn fragment(offset: u16, more: bool) -> Fragment {
    match (offset, more) {
        (1.., _) => Fragment::Later,
        (0, true) => Fragment::First,
        (0, false) => Fragment::Whole,
    }
}

#[test]
fn every_bit_of_the_offset_makes_a_later_fragment_of_ipv4() {
    let whole = Frame::new(header("10.0.0.1", "10.0.0.2")).bytes();
    let single = (0..13).map(|bit| 1 << bit);
    let mut frames = Vec::new();
    for offset in single.chain([0, 185, 0x1fff]) {
        // More fragments, not to be fragmented, and the reserved bit.
        for flags in 0..8u16 {
            let mut frame = whole.clone();
            frame[20..22].copy_from_slice(&(flags << 13 | offset).to_be_bytes());
            frames.push((frame, fragment(offset, flags & 1 != 0)));
        }
    }
    check(&frames);
}

/// The byte that is a length in other extension headers is reserved, and so are two bits after the offset.
#[test]
fn every_bit_of_the_offset_makes_a_later_fragment_of_ipv6() {
    let atomic = Frame::new(header("2001:db8::1", "2001:db8::2"))
        .extension(Extension::Fragment)
        .payload(&[0; 40])
        .bytes();
    let single = (0..13).map(|bit| 1 << bit);
    let mut frames = Vec::new();
    for offset in single.chain([0, 185, 0x1fff]) {
        for low in 0..8u16 {
            for reserved in [0, 1, 2, 0xff] {
                let mut frame = atomic.clone();
                frame[14 + 41] = reserved;
                frame[14 + 42..14 + 44].copy_from_slice(&(offset << 3 | low).to_be_bytes());
                frames.push((frame, fragment(offset, low & 1 != 0)));
            }
        }
    }
    check(&frames);
}
