//! Rule sets of iptables, imported: what the policy decides against what iptables' own meaning says of the same packets.
//!
//! iptables is its meaning, written down in `meaning` over rules that `drawn` makes, with a text of them that the command reads. A rule
//! that the command says it left out is left out there, too, so what it reports is exactly what is missing. Not here: real packets.

pub(crate) mod drawn;
pub(crate) mod meaning;
pub(crate) mod packets;
mod text;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::process::Command;

use sockc_compiler::decide::decide;
use sockc_compiler::event::{
    Decider, Event, Fragment, Header, Parsed, SocketAnswer, Transport, Verdict, World,
};
use sockc_compiler::files::Texts;
use sockc_compiler::packet::{self, text::class_of};
use sockc_compiler::pipeline;
use sockc_compiler::policy::{Direction, Family, NetnsId, Policy, RuleId, SetId, SocketId};
use sockc_compiler::protocol::IpProtocol;
use sockc_grammar::parse_packet;
use sockc_grammar::print;
use sockc_grammar::source::{SourceMap, Span};
use sockc_testing::{Folder, Rng};

use crate::seeds;
use drawn::{List, Set};
use meaning::{Answer, answer};
use packets::Packet;

/// Packets for each rule set.
const PACKETS: usize = 3000;

/// A rule set of each family, as a policy.
struct Imported {
    sets: [Option<Set>; 2],
    text: String,
    policy: Policy,
    /// The lines of each family that are not in the policy.
    left_out: [BTreeSet<usize>; 2],
}

impl Imported {
    fn new(seed: u64, folder: &Folder) -> Self {
        let mut rng = Rng::new(seed);
        let v4 = Set::random(&mut rng, Family::V4);
        let v6 = (!rng.one_in(4)).then(|| v4.alike(&mut rng));
        let file = folder.file("rules.v4", &v4.text());
        let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
        command.args(["import", "iptables-save", &file, "--json"]);
        if let Some(v6) = &v6 {
            command.args(["--ip6", &folder.file("rules.v6", &v6.text())]);
        }
        let ran = command.output().unwrap();
        let shown = || format!("seed {seed}:\n{}", fs::read_to_string(&file).unwrap());
        assert!(ran.status.success(), "{}{ran:?}", shown());
        let said: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        let text = said["text"].as_str().unwrap().to_owned();
        let left_out = ["rules.v4", "rules.v6"].map(|file| {
            let all = said["report"].as_array().unwrap().iter();
            let of_file = all.filter(|one| {
                let turns_back = one["said"].as_str().unwrap().contains("goes back out of");
                let of_file = one["file"].as_str().unwrap().ends_with(file);
                // Rules about what goes back where it came from are about none of these packets.
                one["kind"] == "left-out" && of_file && !turns_back
            });
            of_file
                .map(|one| one["line"].as_u64().unwrap() as usize)
                .collect()
        });
        let policy = resolved(&text);
        let all = said["report"].as_array().unwrap().iter();
        for packet in all.filter_map(|one| one["packet"].as_str()) {
            assert!(is_packet(packet, &policy), "{packet}\n{}", shown());
        }
        Self {
            sets: [Some(v4), v6],
            policy,
            text,
            left_out,
        }
    }

    /// Whether a datagram gets through that is sent in parts of which the first has nothing but the smallest piece of its header, so of TCP
    /// not the flags. The kernel puts it together ahead of the chains of iptables.
    fn lets_parts_through(&self, packet: &Packet) -> bool {
        let part = |fragment: Fragment| Header {
            fragment,
            transport: match fragment {
                Fragment::Later => Transport::None,
                _ => packet.header.transport,
            },
            ..packet.header.clone()
        };
        let first = match packet.header.transport {
            Transport::Tcp { .. } => Parsed::Malformed,
            _ => Parsed::Ip(part(Fragment::First)),
        };
        let mut parts = [first, Parsed::Ip(part(Fragment::Later))].into_iter();
        parts.all(|part| self.decided_of(packet, part).verdict == Verdict::Allow)
    }

    /// What the policy says of a packet, with how many lines it writes for it.
    fn decided(&self, packet: &Packet) -> Answer {
        self.decided_of(packet, Parsed::Ip(packet.header.clone()))
    }

    /// The same of what stands in its place.
    fn decided_of(&self, packet: &Packet, parsed: Parsed) -> Answer {
        decided_by(&self.policy, packet, parsed)
    }
}

/// What a policy says of what stands in the place of a packet, with how many lines it writes for it.
pub(crate) fn decided_by(policy: &Policy, packet: &Packet, parsed: Parsed) -> Answer {
    let class = |name: &str| class_of(policy, name);
    let event = match packet.list {
        List::Forward => Event::Passing {
            came_in: class(packet.on),
            leaves: class(packet.leaves),
            packet: parsed,
        },
        list => Event::Packet {
            direction: match list {
                List::In => Direction::In,
                _ => Direction::Out,
            },
            class: class(if list == List::In {
                packet.on
            } else {
                packet.leaves
            }),
            packet: parsed,
        },
    };
    let decision = decide(policy, &event, packet);
    let logs = |id: &RuleId| policy.rules[*id].log.is_some();
    let decider = match decision.decider {
        Decider::Rule(id) => logs(&id),
        _ => false,
    };
    Answer {
        verdict: decision.verdict,
        lines: decision.counted.iter().filter(|id| logs(id)).count() + usize::from(decider),
    }
}

/// Whether a packet that a report shows is one that can be asked about.
pub(crate) fn is_packet(text: &str, policy: &Policy) -> bool {
    let mut sources = SourceMap::default();
    let id = sources.add("packet", text.to_owned());
    let whole = Span {
        source: id,
        start: 0,
        end: u32::try_from(text.len()).unwrap(),
    };
    let read = parse_packet(&sources, id).map(|tree| packet::text::read(&tree, policy, whole));
    matches!(read, Ok(Ok(_)))
}

/// A policy without mistakes, in its canonical form.
pub(crate) fn resolved(text: &str) -> Policy {
    let mut sources = SourceMap::default();
    let id = sources.add("imported.sk", text.to_owned());
    assert_eq!(print::format(&sources, id).unwrap(), text);
    let files = &mut Texts::default();
    let outcome = pipeline::check_soundness(&mut sources, id, "imported", files);
    assert!(!outcome.failed(), "{text}\n{:?}", outcome.diagnostics);
    outcome.policy.unwrap()
}

/// The sockets and rates of a packet are drawn with it.
impl World for Packet {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        self.socket
    }

    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        true
    }

    /// What INPUT is asked about is for this machine, so all that is for one is for it.
    fn member(&self, _: SetId, address: IpAddr) -> bool {
        packets::is_of_one(address)
    }

    fn conforms(&self, _: RuleId, _: &Header) -> bool {
        self.fits
    }
}

/// How often each answer came.
#[derive(Debug, Default)]
struct Seen {
    allowed: usize,
    dropped: usize,
    rejected: usize,
    lines: usize,
    left_out: usize,
    rules: usize,
}

impl Seen {
    fn add(&mut self, answer: Answer) {
        match answer.verdict {
            Verdict::Allow => self.allowed += 1,
            Verdict::Drop => self.dropped += 1,
            _ => self.rejected += 1,
        }
        self.lines += answer.lines;
    }

    /// A test that seldom saw an answer would be about little, and so would one whose rules are left out.
    fn check(&self) {
        println!("{self:?}");
        let few = [self.allowed, self.dropped, self.rejected, self.lines];
        assert!(few.into_iter().min() > Some(1000), "{self:?}");
        assert!(self.left_out * 20 < self.rules, "{self:?}");
    }
}

/// Whether something gets through in parts that iptables takes away.
fn is_opened(imported: &Imported, packet: &Packet, wanted: Answer) -> bool {
    let is_whole = packet.header.fragment == Fragment::Whole;
    let has_parts = packet.header.transport != Transport::None;
    wanted.verdict != Verdict::Allow && is_whole && has_parts && imported.lets_parts_through(packet)
}

#[test]
fn an_imported_policy_decides_as_iptables_does() {
    let folder = Folder::new("import-iptables");
    let mut seen = Seen::default();
    for seed in seeds() {
        let imported = Imported::new(seed, &folder);
        let mut rng = Rng::new(seed ^ 0x5eed);
        for (set, left_out) in imported.sets.iter().zip(&imported.left_out) {
            let rules = set.as_ref().map_or(0, Set::len);
            seen.rules += rules;
            seen.left_out += left_out.len();
        }
        for _ in 0..PACKETS {
            let packet = packets::packet(&mut rng);
            let family = usize::from(packet.header.family() == Family::V6);
            let (set, left_out) = (&imported.sets[family], &imported.left_out[family]);
            let given = imported.decided(&packet);
            let whole = answer(set.as_ref(), &BTreeSet::new(), &packet);
            // A rule that is left out where one chain calls it may stand where another one does.
            let wanted = match whole == given {
                true => whole,
                false => answer(set.as_ref(), left_out, &packet),
            };
            assert_eq!(
                given,
                wanted,
                "seed {seed}: {packet:?}\n{}\nleft out: {left_out:?}\n{}",
                set.as_ref().map(Set::text).unwrap_or_default(),
                imported.text
            );
            if is_opened(&imported, &packet, wanted) {
                panic!(
                    "seed {seed}: in parts, {packet:?} gets through\n{}",
                    imported.text
                );
            }
            seen.add(wanted);
        }
    }
    seen.check();
}
