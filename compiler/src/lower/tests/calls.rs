//! The programs of calls say what the rules say, of IPv4, IPv6, and addresses that stand for another.

use std::net::SocketAddr;

use super::headers::Nothing;
use crate::artifact::Section;
use crate::bulk::Structure;
use crate::decide::decide;
use crate::event::{Event, Header, Transport, Verdict};
use crate::files::Texts;
use crate::hook::Hook;
use crate::interpret::{Bare, Input, Maps, run};
use crate::pipeline::{Options, compile};
use crate::policy::{Direction, GroupId, Policy};
use crate::protocol::IpProtocol;
use crate::target::Target;
use crate::values::addresses::reached;

const TEXT: &str = "
group jobs = cgroup \"/jobs\"
group others = cgroup \"/others\"
default connect allow
count connect udp
drop connect tcp from group jobs to 10.50.0.0/24 at connect
allow connect udp from group jobs to 10.50.0.7:53
drop connect udp to 10.50.0.0/24, [2001:db8::/32]:443
drop connect to 127.0.0.0/8:25, [::1]:443, [2001:db8:1::/48]:25
drop connect to [1::]:443, [0:0:1::]:443, [::1:0:0:0]:443
reject connect tcp from group others to port 25 log";

#[test]
fn programs_of_calls_say_what_the_rules_say() {
    for structure in [Structure::Tree, Structure::Tables] {
        say_what_the_rules_say(structure);
    }
}

fn say_what_the_rules_say(structure: Structure) {
    let mut sources = sockc_grammar::source::SourceMap::default();
    let id = sources.add("test.sk", TEXT);
    let target = Target::newest();
    let options = Options {
        structure,
        ..Options::from(&target)
    };
    let outcome = compile(&mut sources, id, "test", options, &mut Texts::default());
    assert!(outcome.internal.is_none(), "{:?}", outcome.internal);
    let (policy, built) = (outcome.policy.unwrap(), outcome.built.unwrap());
    assert_eq!(built.bulk.is_some(), structure == Structure::Tables);
    let mut refused = 0;
    for group in [0, 1] {
        for protocol in [6, 17, 1] {
            for to in [
                "10.50.0.7:53",
                "10.50.0.8:53",
                "10.51.0.7:25",
                "[2001:db8::1]:443",
                "[2001:db8::1]:25",
                // This machine, by no address of its own.
                "0.0.0.0:25",
                "0.0.0.1:25",
                "0.0.0.0:53",
                "[::]:443",
                "[::]:25",
                "[::2]:443",
                // One word is none of the unspecified address, or of an IPv4-mapped one.
                "[1::]:443",
                "[0:0:1::]:443",
                "[::1:0:0:0]:443",
                "[1::ffff:a32:8]:53",
                "[0:0:1::ffff:a32:8]:53",
                "[::fffe:a32:8]:53",
            ] {
                let to: SocketAddr = to.parse().unwrap();
                let reached = SocketAddr::new(reached(Direction::Connect, to.ip()), to.port());
                let wanted = verdict(&policy, group, protocol, reached);
                for hook in Hook::of(Direction::Connect) {
                    let Some(to) = as_named(hook.spec().section, to) else {
                        continue;
                    };
                    if protocol == 6 && !hook.spec().sees.protocols.contains(&IpProtocol::TCP) {
                        continue;
                    }
                    let point = (hook.spec().attach)(group as usize);
                    let mut attached = built.artifact.manifest.programs.iter();
                    let name = &attached.find(|one| one.point == point).unwrap().program;
                    let mut programs = built.artifact.programs.iter();
                    let program = programs.find(|one| one.name == *name).unwrap();
                    let input = Input::Call {
                        section: hook.spec().section,
                        protocol: IpProtocol(protocol),
                        to,
                    };
                    let mut maps = Maps::new(&built.artifact.maps);
                    let ran = run(program, &mut maps, input, &mut Bare::default()).unwrap();
                    let goes_on = wanted == Verdict::Allow || protocol == 1;
                    assert_eq!(ran.code() == 1, goes_on, "{group} {protocol} {hook:?} {to}");
                    refused += u32::from(!goes_on);
                }
            }
        }
    }
    assert!(refused > 40);
}

fn verdict(policy: &Policy, group: u32, protocol: u8, to: SocketAddr) -> Verdict {
    let from = 0;
    let event = Event::Process {
        direction: Direction::Connect,
        group: GroupId::from_u32(group),
        header: Header {
            from: match to {
                SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
            },
            to: to.ip(),
            protocol: IpProtocol(protocol),
            transport: match protocol {
                6 => Transport::Tcp {
                    from,
                    to: to.port(),
                    flags: 2,
                },
                _ => Transport::Ports {
                    from,
                    to: to.port(),
                },
            },
            ..Header::PLAIN
        },
    };
    decide(policy, &event, &Nothing).verdict
}

/// An address as a call names it: IPv4 at a call of IPv6 stands in IPv6.
fn as_named(section: Section, to: SocketAddr) -> Option<SocketAddr> {
    match (to, section.is_call_of_v6()) {
        (SocketAddr::V4(v4), true) => {
            Some(SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()))
        }
        (SocketAddr::V6(_), false) => None,
        (same, _) => Some(same),
    }
}
