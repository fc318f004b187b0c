//! Parts of policies, as tests need them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::source::{SourceId, Span};

use crate::decide::{Seen, covers};
use crate::event::{Header, SocketAnswer, World};
use crate::location::Location;
use crate::policy::{
    Action, AddressSet, Default, DefaultVerdict, Direction, Endpoint, Family, Group, Listen, Match,
    NetnsId, Policy, ProtocolMatch, Rule, Side, Socket, SocketId, SocketOrigin, SourceLocation,
    Spread,
};
use crate::protocol::IpProtocol;
use crate::ranges::RangeSet;

/// A rule for arriving packets that matches everything.
pub(crate) fn rule(action: Action) -> Rule {
    Rule::plain(Direction::In, action, Match::default(), place())
}

/// A `default` line.
pub(crate) fn default(direction: Direction, allow: bool) -> Default {
    Default {
        direction,
        verdict: if allow {
            DefaultVerdict::Allow
        } else {
            DefaultVerdict::Drop
        },
        log: None,
        place: place(),
    }
}

/// Whether a match covers a packet for which every lookup gives this answer.
pub(crate) fn hit(wanted: &Match, header: &Header, answer: SocketAnswer) -> bool {
    struct Found(SocketAnswer);
    impl World for Found {
        fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
            self.0
        }
        fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
            true
        }
    }
    let policy = Policy::default();
    let class = Some(Policy::plain_class());
    let world = Found(answer);
    let seen = Seen::new(&policy, Direction::In, [class, None], header, &world);
    covers(&seen, wanted)
}

/// A place in no text.
pub(crate) fn place() -> SourceLocation {
    SourceLocation {
        span: Span {
            source: SourceId(0),
            start: 0,
            end: 0,
        },
        location: Location::new("sample.sk", 1, "sample"),
    }
}

/// The loopback addresses of both families.
fn loopbacks() -> [IpAddr; 2] {
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
}

/// A socket that listens for TCP and UDP in both families.
pub(crate) fn socket(drop_if_absent: bool) -> Socket {
    Socket {
        name: if drop_if_absent { "silent" } else { "proxy" }.into(),
        origin: SocketOrigin::Listen(
            [6, 17]
                .into_iter()
                .flat_map(|protocol| loopbacks().map(|address| (protocol, address)))
                .map(|(protocol, address)| Listen {
                    protocol: IpProtocol(protocol),
                    address,
                    port: 1234,
                })
                .collect(),
        ),
        owner: None,
        members: 1,
        spread: Spread::ByFlow,
        pinned: false,
        drop_if_absent,
        fed: false,
        place: place(),
    }
}

/// A group of this name.
pub(crate) fn group(name: &str) -> Group {
    Group {
        name: name.into(),
        cgroup: format!("/{name}"),
        place: place(),
    }
}

/// 3.3.3.0/24
pub(crate) fn prefix() -> AddressSet {
    AddressSet {
        v4: RangeSet::from_ranges([(0x0303_0300, 0x0303_03ff)]),
        ..AddressSet::default()
    }
}

/// `tcp to ADDRESSES:PORT`
pub(crate) fn tcp(addresses: AddressSet, port: u16) -> Match {
    Match {
        protocols: vec![ProtocolMatch {
            family: None,
            number: IpProtocol::TCP,
            icmp: Vec::new(),
        }],
        to: Some(Side::Endpoints {
            negated: false,
            endpoints: vec![Endpoint {
                addresses: addresses.into(),
                ports: Some(RangeSet::from_ranges([(port, port)])),
            }],
        }),
        ..Match::default()
    }
}
