//! Random lists of what passes through, of the whole language, and of what leaves after it: verdicts, marks, counters, records and
//! tokens of both, in the interpreter.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sockc_compiler::artifact::AttachPoint;
use sockc_compiler::bulk::Structure;
use sockc_compiler::event::{Decision, Event, Header, Parsed, SocketAnswer, Verdict, World};
use sockc_compiler::hook::Hook;
use sockc_compiler::log;
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::policy::{Direction, Family, NetnsId, RuleId, SetId, SocketId};
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::simulate::filling::slots;
use sockc_compiler::simulate::simulate;
use sockc_testing::{Rng, may_pass, passing};

use crate::cases::frames;
use crate::effects::{Reference, wrong_records};
use crate::interpreted::made_up;
use crate::made::Made;
use crate::policies::closed;
use crate::simulated::{check_mark, check_tokens};
use crate::world::there;
use crate::{Subject, frames as count, listed, rules_of, seeds, target_of};

/// A random policy in which half of the rules on packets that arrive are about what passes through.
fn text(seed: u64) -> String {
    let options = may_pass(rules_of(seed));
    passing(seed, &listed(seed, &closed(seed, options)))
}

/// What was seen of all policies.
#[derive(Debug, Default)]
struct Seen {
    verdicts: [usize; 3],
    marks: usize,
    logged: usize,
    taken: usize,
    effective: BTreeSet<String>,
}

impl Seen {
    fn note(&mut self, verdict: Verdict, decision: &Decision) {
        let place = match verdict {
            Verdict::Allow => 0,
            Verdict::Drop => 1,
            _ => 2,
        };
        self.verdicts[place] += 1;
        self.marks += usize::from(decision.mark.is_some());
    }
}

/// The same world for both lists: its answers are drawn from the packet with the mark that it came with.
struct AsItCame<'a> {
    made: &'a Made<'a>,
    mark: u32,
}

impl World for AsItCame<'_> {
    /// What passes through has no socket on this machine, whichever list asks.
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        SocketAnswer::None
    }

    fn present(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool {
        self.made.present(socket, family, protocol)
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        self.made.member(set, address)
    }

    fn conforms(&self, rule: RuleId, header: &Header) -> bool {
        let came = Header {
            mark: self.mark,
            ..header.clone()
        };
        self.made.conforms(rule, &came)
    }
}

fn check(subject: &Subject, seed: u64, seen: &mut Seen) {
    let rng = &mut Rng::new(seed);
    let reference = Reference::new(subject);
    let (policy, artifact) = (&subject.policy, &subject.built.artifact);
    let world = Made {
        seed,
        policy,
        answers: &made_up,
        there: there(slots(policy, artifact), rng),
    };
    let classes: Vec<_> = policy.classes.keys().collect();
    for (header, frame) in frames(policy, rng, count() / 4) {
        let mut packet = parse(&frame, Layout::Ethernet);
        if let Parsed::Ip(parsed) = &mut packet {
            parsed.mark = header.mark;
        }
        let [came_in, leaves] = [(); 2].map(|()| *rng.pick(&classes).unwrap());
        if subject.program(&AttachPoint::TcOut, Some(leaves)).is_none() {
            continue;
        }
        let event = Event::of_packet(Direction::Forward, [came_in, leaves], packet.clone());
        let world = &AsItCame {
            made: &world,
            mark: header.mark,
        };
        let (wanted, left) = reference.on_its_way_out(&event, &frame, world);
        let ran = simulate(policy, artifact, &event, &frame, world);
        let ran = ran.unwrap_or_else(|fault| panic!("{}\n{event:?}\n{fault}", subject.text));
        let context = || format!("{}\n{event:?}\n{wanted:?}\n{ran:?}", subject.text);
        assert_eq!(ran.verdict, wanted.verdict, "verdict\n{}", context());
        assert_eq!(
            ran.effects.counted,
            wanted.counted,
            "counters\n{}",
            context()
        );
        check_mark(&ran, &wanted, &packet, &context);
        check_tokens(&reference, &ran, &wanted, &packet, &context);
        let of_list =
            |record: &Vec<u8>| log::parse(record).is_some_and(|one| one.hook == Hook::TcForward);
        let (own, others): (Vec<_>, Vec<_>) =
            ran.effects.records.iter().cloned().partition(of_list);
        let wrong = wrong_records(&wanted.logged, &own, &packet, false);
        assert!(wrong.is_none(), "{wrong:?}\n{}", context());
        let (logged, leaving) = left.unwrap_or((Vec::new(), packet));
        let wrong = wrong_records(&logged, &others, &leaving, false);
        assert!(wrong.is_none(), "of what leaves: {wrong:?}\n{}", context());
        seen.note(wanted.verdict, &wanted.decision);
        seen.logged += own.len();
        seen.taken += wanted.taken.len();
        seen.effective
            .extend(reference.effective(&wanted.decision).map(str::to_owned));
    }
}

#[test]
fn the_interpreter_agrees_on_what_passes_through() {
    for structure in [Structure::Tree, Structure::Tables] {
        let mut seen = Seen::default();
        for seed in seeds() {
            let subject = Subject::placeable(text(seed), structure, &target_of(seed));
            check(&subject, seed, &mut seen);
        }
        assert!(seen.verdicts.iter().all(|seen| *seen > 50), "{seen:?}");
        assert!(seen.marks.min(seen.logged).min(seen.taken) > 20, "{seen:?}");
        for word in [
            "forward ",
            "to zone",
            "to interface",
            "on zone",
            "up to ",
            "@",
        ] {
            let has = |rule: &String| rule.contains("forward ") && rule.contains(word);
            assert!(seen.effective.iter().any(has), "{word}: {seen:?}");
        }
    }
}
