//! Headers at edges are consistent and meet the edges they are made for.

use super::*;
use sockc_compiler::event::Parsed;
use sockc_compiler::header_field::HeaderField;
use sockc_compiler::location::Location;
use sockc_compiler::packet::build::Frame;
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::policy::{
    Action, AddressSet, Condition, Direction, Endpoint, FieldTest, Match, Rule, Side,
    SourceLocation,
};
use sockc_compiler::ranges::RangeSet;
use sockc_grammar::source::{SourceId, Span};

fn rule(matches: Match) -> Rule {
    let span = Span {
        source: SourceId(0),
        start: 0,
        end: 0,
    };
    let place = SourceLocation {
        span,
        location: Location::new("", 1, ""),
    };
    Rule::plain(Direction::In, Action::Allow, matches, place)
}

fn policy() -> Policy {
    let addresses = AddressSet {
        v4: RangeSet::from_ranges([(0x0101_0100, 0x0101_01ff)]),
        v6: RangeSet::default(),
    };
    let to = Side::Endpoints {
        negated: false,
        endpoints: vec![Endpoint {
            addresses: addresses.into(),
            ports: Some(RangeSet::from_ranges([(53, 60)])),
        }],
    };
    let mut policy = Policy::default();
    policy.rules.push(rule(Match {
        to: Some(to),
        conditions: vec![Condition::Header {
            field: HeaderField::Length,
            test: FieldTest::Range {
                low: 469,
                high: u32::MAX.into(),
            },
        }],
        ..Match::default()
    }));
    policy
}

#[test]
fn every_header_is_one_that_a_frame_can_have() {
    for header in edge_headers(&policy(), &mut Rng::new(7), 5000) {
        let bytes = Frame::new(header.clone()).bytes();
        let expected = Parsed::Ip(Header { mark: 0, ..header });
        assert_eq!(parse(&bytes, Layout::Ethernet), expected);
    }
}

#[test]
fn the_ends_and_their_neighbours_occur() {
    let headers = edge_headers(&policy(), &mut Rng::new(7), 2000);
    for last in [0x0101_00ff, 0x0101_0100, 0x0101_01ff, 0x0101_0200u32] {
        let address = IpAddr::V4(Ipv4Addr::from_bits(last));
        assert!(headers.iter().any(|header| header.to == address));
    }
    for length in [468, 469, 470] {
        assert!(headers.iter().any(|header| header.length == length));
    }
    for port in [52, 53, 60, 61] {
        let meets = |header: &Header| matches!(header.transport, Transport::Ports { to, .. } | Transport::Tcp { to, .. } if to == port);
        assert!(headers.iter().any(meets));
    }
    for fragment in [Fragment::Whole, Fragment::First, Fragment::Later] {
        assert!(headers.iter().any(|header| header.fragment == fragment));
    }
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let once = edge_headers(&policy(), &mut Rng::new(9), 100);
    assert_eq!(once, edge_headers(&policy(), &mut Rng::new(9), 100));
    assert_ne!(once, edge_headers(&policy(), &mut Rng::new(10), 100));
}

#[test]
fn an_empty_policy_has_edges_too() {
    assert_eq!(
        edge_headers(&Policy::default(), &mut Rng::new(1), 10).len(),
        10
    );
}
