//! Pieces, kinds and keys by hand.

use super::*;

fn ports_of(piece: Piece) -> std::ops::RangeInclusive<u32> {
    let first = u32::from(piece.port);
    first..=first + (1 << (16 - piece.bits)) - 1
}

#[test]
fn pieces_make_up_their_range() {
    for (range, count) in [
        ((0, 65535), 1),
        ((53, 53), 1),
        ((8000, 8099), 3),
        ((1024, 65535), 6),
        ((1, 65534), 30),
        ((65535, 65535), 1),
    ] {
        let made = pieces(range);
        assert_eq!(made.len(), count, "{range:?}");
        let ports: Vec<u32> = made.iter().flat_map(|piece| ports_of(*piece)).collect();
        let wanted: Vec<u32> = (u32::from(range.0)..=u32::from(range.1)).collect();
        assert_eq!(ports, wanted, "{range:?}");
    }
}

#[test]
fn the_pieces_of_a_range_hold_those_of_any_within_it() {
    let within = |range, port: u32| {
        let mut pieces = pieces(range).into_iter();
        pieces
            .find(|piece| ports_of(*piece).contains(&port))
            .unwrap()
    };
    for (outer, inner) in [
        ((1, 100), (17, 80)),
        ((0, 65535), (1, 1)),
        ((8, 40), (16, 31)),
    ] {
        for port in u32::from(inner.0)..=u32::from(inner.1) {
            assert!(
                within(outer, port).bits <= within(inner, port).bits,
                "{port}"
            );
        }
    }
}

#[test]
fn a_key_is_cut_to_its_kind_and_says_it() {
    let piece = Piece { port: 80, bits: 12 };
    let address = "198.51.100.77".parse().unwrap();
    let key = Key::new(address, 24, piece);
    assert_eq!(key, Key::new("198.51.100.0".parse().unwrap(), 24, piece));
    assert_eq!(
        key.kind(),
        Kind {
            length: 24,
            bits: 12,
            v6: false
        }
    );
    assert_eq!(key.meta & 0xffff, 80);
    let every = Piece { port: 0, bits: 0 };
    let v6 = Key::new("2001:db8::1".parse().unwrap(), 128, every);
    assert_eq!(
        v6.kind(),
        Kind {
            length: 128,
            bits: 0,
            v6: true
        }
    );
    let none = Key::new("::1".parse().unwrap(), 0, every);
    assert_eq!(none.words, [0; 4]);
    assert_eq!(key.words[1], key.meta);
    assert_ne!(
        none.meta,
        Key::new("0.0.0.0".parse().unwrap(), 0, every).meta
    );
}

#[test]
fn plans_have_the_most_specific_kind_first_and_no_more_than_are_tried() {
    let kind = |length, bits| Kind {
        length,
        bits,
        v6: false,
    };
    let plan = Plan {
        seed: 7,
        side: 1,
        kinds: vec![kind(24, 16), kind(32, 0), kind(24, 0), kind(32, 0)],
    };
    let bytes = plan.bytes(100).unwrap();
    let read = Plan::read(&bytes, 1);
    assert_eq!(read.kinds, [kind(32, 0), kind(24, 16), kind(24, 0)]);
    assert_eq!(read.bytes(100), Some(bytes.clone()));
    assert_eq!(bytes.len(), PLAN as usize);
    let cuts: Vec<u32> = (0..4)
        .map(|number| {
            let at = (V4_AT + V4_KIND * number + 4) as usize;
            u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
        })
        .collect();
    let wanted = [kind(32, 0), kind(24, 16), kind(24, 0)].map(Kind::cut);
    assert_eq!(cuts[..3], wanted);
    assert_eq!(cuts[3], 0);
    let many = (0..=KINDS as u8).map(|length| kind(length, 0)).collect();
    assert_eq!(
        Plan {
            seed: 0,
            side: 0,
            kinds: many
        }
        .bytes(100),
        None
    );
}

#[test]
fn sizes_follow_the_maximum() {
    for max in [1, 31, 32, 33, 1_000_000, 1 << 24] {
        assert!(1 << head_bits(max) >= 2 * max.min(1 << 25), "{max}");
        assert!(side_nodes(max) > max);
    }
}

#[test]
fn chains_stay_short() {
    let bits = head_bits(50_000);
    let mut sizes = vec![0_u8; 1 << bits];
    for number in 0..50_000_u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + 4 * number);
        let key = Key::new(address.into(), 32, Piece { port: 0, bits: 0 });
        sizes[key.hash(1, bits) as usize] += 1;
    }
    assert!(usize::from(*sizes.iter().max().unwrap()) <= DEPTH);
}
