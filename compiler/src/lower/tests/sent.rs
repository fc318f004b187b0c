//! Packets sent out of another interface, and packets with another mark.

use super::made::{at, built, policy, run_on};
use crate::artifact::in_slot;
use crate::event::{Header, Transport};
use crate::hook::Hook;
use crate::interpret::Maps;
use crate::packet::build::Frame;
use crate::policy::{Action, Direction};
use crate::protocol::IpProtocol;

fn frame() -> Vec<u8> {
    let header = Header {
        from: "10.0.0.1".parse().unwrap(),
        to: "10.0.0.2".parse().unwrap(),
        protocol: IpProtocol::UDP,
        transport: Transport::Ports { from: 1, to: 2 },
        ..Header::PLAIN
    };
    Frame::new(header).vlan(3).shrink().bytes()
}

#[test]
fn a_packet_leaves_by_the_interface_whose_index_is_known() {
    for (hook, direction, dropped, moved) in [
        (Hook::Xdp, Direction::In, 1, 4),
        (Hook::TcIn, Direction::In, 2, 7),
        (Hook::TcOut, Direction::Out, 2, 7),
    ] {
        let mut policy = policy([]);
        policy.out_interfaces.push("eth8".into());
        let port = policy.out_interfaces.push("eth9".into());
        let mut rule = at(hook, Action::Forward(port));
        rule.direction = direction;
        policy.rules.push(rule);
        if direction == Direction::Out {
            policy.defaults.clear();
        }
        let artifact = built(policy);
        assert_eq!(artifact.manifest.out_interfaces, ["eth8", "eth9"]);
        let mut maps = Maps::new(&artifact.maps);
        let unknown = run_on(&artifact, &mut maps, frame());
        assert_eq!((unknown.code(), unknown.forwarded), (dropped, None));
        let ports = maps.named("ports").unwrap();
        let slot = 1u32.to_ne_bytes();
        maps.update(ports, &slot, &in_slot(9), 0).unwrap();
        let outcome = run_on(&artifact, &mut maps, frame());
        assert_eq!(outcome.code(), moved);
        let way = outcome.forwarded.unwrap();
        assert_eq!((way.ifindex, way.ingress), (9, false));
        assert_eq!(outcome.frame, frame());
        // That is what the kernel does when the interface goes.
        maps.delete(ports, &slot).unwrap();
        let gone = run_on(&artifact, &mut maps, frame());
        assert_eq!((gone.code(), gone.forwarded), (dropped, None));
    }
}

#[test]
fn an_allow_sets_the_mark_and_goes_on() {
    for (hook, direction) in [(Hook::TcIn, Direction::In), (Hook::TcOut, Direction::Out)] {
        let mut rule = at(hook, Action::Allow);
        (rule.direction, rule.mark) = (direction, Some(0x8000_0001));
        let mut policy = policy([rule]);
        if direction == Direction::Out {
            policy.defaults.clear();
        }
        let artifact = built(policy);
        let mut maps = Maps::new(&artifact.maps);
        let outcome = run_on(&artifact, &mut maps, frame());
        assert_eq!((outcome.code(), outcome.mark), (-1, Some(0x8000_0001)));
    }
}
