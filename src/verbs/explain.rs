//! `sockc explain`: which rule decides a packet, and why the earlier ones did not.
//!
//! The verdict is that of the reference meaning; the emitted programs run in the compiler's interpreter next to it, and a
//! difference is a bug that is said. With `--pcap` every packet of a recording gets a line, and every rule a sum.

mod recording;
mod report;

use sockc_compiler::coverage;
use sockc_compiler::decide;
use sockc_compiler::event::{Decision, Event, Parsed, Verdict};
use sockc_compiler::explain::{Trace, explain};
use sockc_compiler::packet::text::{self, Described, DescribedWorld};
use sockc_compiler::passage;
use sockc_compiler::policy::{Direction, Policy};
use sockc_compiler::simulate::simulate;
use sockc_grammar::ast::{On, Packet, With};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::parse_packet;
use sockc_grammar::source::{SourceMap, Span};

use crate::cli;
use crate::exit::Exit;
use crate::output::Output;
use crate::policies::compiled::Compiled;
use crate::policies::outside::{self, Outside};
use crate::verbs::trial::{Subject, frame};

/// Explains a packet in words, or every packet of a recording.
pub(crate) fn run(arguments: &cli::Explain, output: &mut Output) -> Exit {
    let compiled = match Compiled::to_look_at(&arguments.file, output) {
        Ok(compiled) => compiled,
        Err(exit) => return exit,
    };
    match (&arguments.pcap, arguments.packet.is_empty()) {
        (Some(path), true) => recording::run(&compiled, path, arguments, output),
        (None, false) => {
            let packet = arguments.packet.join(" ");
            one(&compiled, &packet, arguments.all, output)
        }
        _ => {
            output.error("explain takes a packet such as `tcp from 8.8.8.8:40000 to 192.0.2.1:22`, or --pcap FILE");
            Exit::Usage
        }
    }
}

fn one(compiled: &Compiled, packet: &str, all: bool, output: &mut Output) -> Exit {
    let mut sources = SourceMap::default();
    let question = match read(compiled, packet, &mut sources) {
        Ok(question) => question,
        Err(diagnostics) => {
            output.diagnostics(&sources, &diagnostics);
            return Exit::Usage;
        }
    };
    let outside = question.outside.as_ref();
    if let Some(outside) = outside.filter(|one| !one.looked_up) {
        let before = question.before();
        report::unseen(&question, (outside, before.as_ref()), output);
        return Exit::Done;
    }
    let bytes = bytes(&question.described.event);
    let before = question.before();
    let described = question.asked(before.as_ref());
    let mut answer = Answer::of(question.subject, &described, &bytes);
    answer.around.splice(0..0, before);
    report::one(&question, &answer, all, output);
    answer.exit(output)
}

/// What is to be explained.
pub(crate) struct Question<'a> {
    subject: Subject<'a>,
    described: Described,
    /// The interfaces or zones that the packet names after `on` and `to`, as it names them.
    named: [Option<On>; 2],
    /// Where the packet is, if the policy is not there.
    outside: Option<Outside>,
}

impl Question<'_> {
    /// The packet as its list is asked about it: with the mark that it goes on with from where it came in.
    fn asked(&self, before: Option<&Around>) -> Described {
        let event = &self.described.event;
        Described {
            event: before.map_or_else(
                || event.clone(),
                |before| passage::after(event, &before.decision),
            ),
            ..self.described.clone()
        }
    }

    /// What the list of what arrives says of a packet that passes through, where it came in.
    fn before(&self) -> Option<Around> {
        let policy = self.subject.policy;
        let world = DescribedWorld::new(policy, &self.described);
        let event = decide::before(&self.described.event)?;
        let outside = outside::beyond(policy, self.named[0].as_ref());
        let decision = match outside {
            Some(_) => report::NOBODY,
            None => decide::decide(policy, &event, &world),
        };
        Some(Around {
            event,
            decision,
            outside,
        })
    }
}

/// What the lists say that a packet meets where it leaves: of what passes through, and of what a redirect sends out of an interface.
fn behind(
    policy: &Policy,
    event: &Event,
    decision: &Decision,
    world: &DescribedWorld<'_>,
) -> Vec<Around> {
    let mut found = Vec::new();
    let first = coverage::redirected(policy, event, decision);
    let mut next = first.or_else(|| decide::next(event, decision));
    while let Some(event) = next {
        let decision = decide::decide(policy, &event, world);
        next = decide::next(&event, &decision);
        found.push(Around {
            event,
            decision,
            outside: None,
        });
    }
    found
}

/// What another list says of a packet that passes through, or that the policy is not where that would be asked.
struct Around {
    event: Event,
    decision: Decision,
    outside: Option<Outside>,
}

/// A packet of the command line, and the policy that it is for: `in netns` without a socket state names a block.
fn read<'a>(
    compiled: &'a Compiled,
    packet: &str,
    sources: &mut SourceMap,
) -> Result<Question<'a>, Vec<Diagnostic>> {
    let id = sources.add("<packet>", packet);
    let whole = Span {
        source: id,
        start: 0,
        end: u32::try_from(packet.len()).unwrap_or(u32::MAX),
    };
    let mut tree = parse_packet(sources, id)?;
    let subject = subject(compiled, &mut tree);
    let mut described =
        text::read(&tree, subject.policy, whole).map_err(|mistake| vec![*mistake])?;
    let named = [&tree.on, &tree.leaves].map(|on| on.as_ref().map(|on| &on.value));
    let outside = outside::take(subject.policy, &mut described, named);
    Ok(Question {
        subject,
        described,
        named: named.map(Option::<&On>::cloned),
        outside,
    })
}

/// The policy of the block that a packet names, else the file's own. What names the block is taken off the packet.
fn subject<'a>(compiled: &'a Compiled, packet: &mut Packet) -> Subject<'a> {
    // A group's sockets count whatever namespace they are in.
    let written = packet.direction.as_ref().map(|written| written.value);
    if written
        .map(Direction::of)
        .is_some_and(Direction::of_processes)
    {
        return Subject::outer(compiled);
    }
    let block = |name: &str| Subject::all(compiled).find(|one| one.netns == Some(name));
    // Where it does not stand after a socket state, it says where the packet is.
    let alone = packet.with.iter().enumerate().find_map(|(place, item)| {
        let before = place
            .checked_sub(1)
            .and_then(|place| packet.with.get(place));
        match (&item.value, before.map(|item| &item.value)) {
            (_, Some(With::Socket(_))) => None,
            (With::Netns(name), _) => Some((place, block(&name.value)?)),
            _ => None,
        }
    });
    if let Some((place, subject)) = alone {
        packet.with.remove(place);
        return subject;
    }
    let asks = |item: &With| matches!(item, With::Socket(Some(_)));
    if packet.with.iter().any(|item| asks(&item.value)) && !names_block_alone(compiled, packet) {
        return Subject::outer(compiled);
    }
    let named = packet.with.iter().find_map(|item| match &item.value {
        With::Netns(name) => block(&name.value),
        _ => None,
    });
    let Some(subject) = named else {
        return Subject::outer(compiled);
    };
    packet
        .with
        .retain(|item| !matches!(item.value, With::Netns(_)));
    subject
}

/// Whether no condition of the file's own policy looks into the namespace that a packet names.
fn names_block_alone(compiled: &Compiled, packet: &Packet) -> bool {
    packet.with.iter().all(|item| match &item.value {
        With::Netns(name) => {
            let mut asked = compiled.policy.namespaces.values();
            !asked.any(|one| *one == name.value)
        }
        _ => true,
    })
}

/// The frame of a packet in words; other events have none.
fn bytes(event: &Event) -> Vec<u8> {
    event.packet().map_or_else(Vec::new, frame::bytes)
}

/// What the rules say, and what the programs do.
struct Answer {
    trace: Trace,
    /// Of what passes through: what the lists say that it meets where it came in ([`Question::before`]), and where it leaves; of what a
    /// redirect sends out of an interface, what those there say.
    around: Vec<Around>,
    /// What the programs did instead, if it is something else, or the fault that ended them.
    differs: Option<String>,
}

impl Answer {
    fn of(subject: Subject<'_>, described: &Described, frame: &[u8]) -> Self {
        let policy = subject.policy;
        let world = DescribedWorld::new(policy, described);
        let event = &described.event;
        let trace = explain(policy, event, &world);
        let around = behind(policy, event, &trace.decision, &world);
        // What passes through and what leaves is one program; behind a redirect there is another one.
        let next = around.first().filter(|_| event.direction().passes());
        let wanted = next.map_or(&trace.decision, |next| &next.decision);
        let differs = match simulate(policy, subject.artifact, event, frame, &world) {
            Ok(ran) => (!agree(wanted, ran.verdict, event)).then(|| format!("{:?}", ran.verdict)),
            Err(fault) => Some(format!("{fault:?}")),
        };
        Self {
            trace,
            around,
            differs,
        }
    }

    /// How the command ends; a difference is said.
    fn exit(&self, output: &mut Output) -> Exit {
        let Some(differs) = &self.differs else {
            return Exit::Done;
        };
        output.error(format!(
            "this is a bug in sockc: the rules say {:?}, the programs {differs}\n  please report it together with the policy and the packet",
            self.trace.decision.verdict
        ));
        Exit::Bug
    }
}

/// Whether programs did what the rules say. What is rejected but cannot be answered is dropped; a shortcut shows as an
/// allow, and a lookup is made only for what names a port.
fn agree(decision: &Decision, ran: Verdict, event: &Event) -> bool {
    let of_process = matches!(event, Event::Process { .. });
    match (decision.verdict, ran) {
        (wanted, ran) if wanted == ran => true,
        (Verdict::Reject, Verdict::Drop) => true,
        (Verdict::Shortcut(_), Verdict::Allow) => of_process,
        // The frame of a malformed packet is dropped, whatever else it would get.
        (Verdict::Drop, Verdict::Reject) => event.packet() == Some(&Parsed::Malformed),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_compiler::event::{Decider, Header};

    /// Programs that let go what the rules drop, or the reverse, are a bug whatever the packet.
    #[test]
    fn only_what_cannot_be_told_apart_agrees() {
        let event = |packet| Event::Packet {
            direction: sockc_compiler::policy::Direction::In,
            class: Policy::plain_class(),
            packet,
        };
        let (whole, malformed) = (event(Parsed::Ip(Header::PLAIN)), event(Parsed::Malformed));
        let agrees = |wanted, ran, event: &Event| {
            let decision = Decision {
                verdict: wanted,
                decider: Decider::Default,
                counted: Vec::new(),
                mark: None,
                member: None,
            };
            agree(&decision, ran, event)
        };
        let all = [Verdict::Allow, Verdict::Drop, Verdict::Reject];
        for wanted in all {
            for ran in all {
                let same = wanted == ran || (wanted, ran) == (Verdict::Reject, Verdict::Drop);
                assert_eq!(agrees(wanted, ran, &whole), same, "{wanted:?} {ran:?}");
            }
        }
        assert!(agrees(Verdict::Drop, Verdict::Reject, &malformed));
        assert!(!agrees(Verdict::Drop, Verdict::Allow, &malformed));
    }
}
