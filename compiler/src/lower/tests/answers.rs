//! How many answers rejected packets get: a receiver's bucket, and one of all.

use super::made::{at, built_for, policy};
use crate::artifact::{Artifact, CounterKind};
use crate::event::{Header, Transport};
use crate::hook::Hook;
use crate::interpret::{Bare, Input, Maps, Skb, Xdp, run};
use crate::packet::build::Frame;
use crate::policy::Action;
use crate::protocol::IpProtocol;
use crate::target::Target;

const SECOND: u64 = 1_000_000_000;
const HOOKS: [Hook; 2] = [Hook::Xdp, Hook::TcIn];
const FAMILIES: [(&str, &str); 2] = [("10.0.0.", "192.0.2.1"), ("2001:db8::", "2001:db8:9::1")];

struct Machine {
    artifact: Artifact,
    maps: Maps,
    now: u64,
}

impl Machine {
    fn new(hook: Hook, target: &Target) -> Self {
        let artifact = built_for(policy([at(hook, Action::Reject)]), target).artifact;
        let maps = Maps::new(&artifact.maps);
        Self {
            artifact,
            maps,
            now: 1_000 * SECOND,
        }
    }

    /// Whether a packet from host `from` of a family is answered.
    fn answers(&mut self, (net, to): (&str, &str), from: u32, protocol: u8) -> bool {
        let transport = match protocol {
            6 => Transport::Tcp {
                from: 40_000,
                to: 80,
                flags: 2,
            },
            _ => Transport::Ports { from: 4000, to: 53 },
        };
        let header = Header {
            from: format!("{net}{from}").parse().unwrap(),
            to: to.parse().unwrap(),
            protocol: IpProtocol(protocol),
            transport,
            ..Header::PLAIN
        };
        let frame = Frame::new(header).shrink().bytes();
        let program = &self.artifact.programs[0];
        let input = match program.name.as_str() {
            "xdp_in" => Input::Xdp(Xdp::new(frame)),
            _ => Input::Skb(Skb::new(frame)),
        };
        let mut world = Bare {
            now: self.now,
            random: 0,
        };
        match run(program, &mut self.maps, input, &mut world)
            .unwrap()
            .code()
        {
            3 | 7 => true,
            1 | 2 => false,
            other => panic!("{other}"),
        }
    }

    fn withheld(&self) -> u64 {
        let counters = &self.artifact.manifest.counters;
        let slot = counters
            .iter()
            .position(|one| one.kind == CounterKind::Withheld)
            .unwrap();
        let [packets, _] = self.maps.counted(slot.try_into().unwrap()).unwrap();
        packets
    }
}

fn machines() -> impl Iterator<Item = Machine> {
    let targets = [Target::baseline(), Target::baseline().with_atomics()];
    HOOKS
        .into_iter()
        .flat_map(move |hook| targets.clone().map(|target| Machine::new(hook, &target)))
}

#[test]
fn one_address_gets_six_unreachables_and_then_one_a_second() {
    for mut machine in machines() {
        for family in FAMILIES {
            let answered =
                |machine: &mut Machine| (0..20).filter(|_| machine.answers(family, 7, 17)).count();
            let before = machine.withheld();
            assert_eq!(answered(&mut machine), 6);
            assert_eq!(machine.withheld() - before, 14);
            machine.now += SECOND;
            assert_eq!(answered(&mut machine), 1);
            machine.now += 60 * SECOND;
            assert_eq!(answered(&mut machine), 6);
            assert!(machine.answers(family, 8, 17));
            machine.now += 60 * SECOND;
        }
    }
}

#[test]
fn all_addresses_together_get_fifty_and_then_a_thousand_a_second() {
    for mut machine in machines() {
        let mut answered = |now: u64, hosts: std::ops::Range<u32>| {
            machine.now = now;
            hosts
                .filter(|&host| {
                    let net = format!("10.1.{}.", host / 200);
                    machine.answers((&net, "192.0.2.1"), host % 200, 17)
                })
                .count()
        };
        let start = 2_000 * SECOND;
        assert_eq!(answered(start, 0..400), 50);
        assert_eq!(answered(start + SECOND / 100, 400..800), 10);
        assert_eq!(answered(start + SECOND, 800..1_200), 50);
    }
}

#[test]
fn resets_have_limits_of_their_own() {
    for mut machine in machines() {
        let answered = |machine: &mut Machine, protocol| {
            let sent = 0..150;
            sent.filter(|_| machine.answers(FAMILIES[0], 7, protocol))
                .count()
        };
        assert_eq!(answered(&mut machine, 6), 100);
        assert_eq!(answered(&mut machine, 17), 6);
        machine.now += SECOND / 10;
        assert_eq!(answered(&mut machine, 6), 10);
    }
}
