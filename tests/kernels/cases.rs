//! Compiles the policies of `rules/` and chooses inputs for them; what becomes of each says the reference meaning.
//!
//! The world of the guest is simple: nobody has a socket. Real sockets are the business of other tests.

use sockc_compiler::files::Files;
use sockc_compiler::observer::Observer;
use sockc_compiler::policy::NetnsId;
use sockc_compiler::protocol::IpProtocol;
use std::fs;
use std::path::Path;

use sockc_compiler::artifact::Artifact;
use sockc_compiler::decide::decide;
use sockc_compiler::event::{Decider, Decision, Event, Header, SocketAnswer, Verdict, World};
use sockc_compiler::object;
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::pipeline::{self, Compilation};
use sockc_compiler::policy::{Action, Direction, Family, Policy, SocketId};
use sockc_compiler::target::Target;
use sockc_grammar::source::SourceMap;
use sockc_testing::Rng;

use crate::context::context;
use crate::edges::{MIN_FRAME, frames, lookups, truncations};
use crate::work::{Case, Input, Object};

/// Frames and lookups for each policy.
const COUNT: usize = 150;

/// A machine without sockets.
struct Nobody;

impl World for Nobody {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        SocketAnswer::None
    }

    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        false
    }
}

/// Writes the objects of `rules/` into a folder.
pub(crate) fn write(folder: &Path) -> Vec<Object> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut paths: Vec<_> = fs::read_dir(rules)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "sk"));
    paths.sort();
    paths.iter().map(|path| object(path, folder)).collect()
}

/// The lists that the policies name.
struct Repository;

impl Observer for Repository {}

impl Files for Repository {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::read(root.join(path)).map_err(|error| error.to_string())
    }
}

/// Compiles one policy, and writes its object.
fn object(path: &Path, folder: &Path) -> Object {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let outcome = compile(name, &format!("rules/{name}.sk"), text, &mut Repository).unwrap();
    let artifact = outcome.built.unwrap().artifact;
    let file = format!("{name}.o");
    fs::write(folder.join(&file), object::write(&artifact).unwrap()).unwrap();
    Object {
        name: name.to_owned(),
        file,
        cases: cases(&outcome.policy.unwrap(), &artifact),
        large: None,
    }
}

/// Compiles a policy for the oldest kernel; the error is what is wrong with it.
pub(crate) fn compile(
    name: &str,
    path: &str,
    text: String,
    files: &mut impl Files,
) -> Result<Compilation, String> {
    let mut sources = SourceMap::default();
    let id = sources.add(path, text);
    let outcome = pipeline::compile(&mut sources, id, name, &Target::baseline(), files);
    if outcome.failed() {
        let (wrong, bug) = (&outcome.diagnostics, &outcome.internal);
        return Err(format!("{name}: {wrong:?} {bug:?}"));
    }
    Ok(outcome)
}

/// Inputs for the programs of a policy.
pub(crate) fn cases(policy: &Policy, artifact: &Artifact) -> Vec<Case> {
    let mut rng = Rng::new(1);
    let mut cases = Vec::new();
    let arriving = present(artifact, &["xdp_in", "tc_in"]);
    let leaving = present(artifact, &["tc_out"]);
    for (direction, programs) in [(Direction::In, arriving), (Direction::Out, leaving)] {
        if !programs.is_empty() {
            let frames = frames(policy, &mut rng, COUNT)
                .into_iter()
                .chain(truncations(policy, &mut rng, MIN_FRAME))
                .map(|(_, frame)| frame)
                .filter(|frame| whole_ip_header(frame));
            cases.extend(frames.map(|frame| packet(policy, direction, &programs, frame)));
        }
    }
    let lookup = present(artifact, &["lookup"]);
    if !lookup.is_empty() {
        let headers = lookups(policy, &mut rng, COUNT).into_iter();
        cases.extend(headers.map(|header| looked_up(policy, &lookup, header)));
    }
    cases
}

/// Those of the programs that the object has.
pub(crate) fn present(artifact: &Artifact, names: &[&str]) -> Vec<String> {
    let has = |name: &&&str| {
        artifact
            .programs
            .iter()
            .any(|program| program.name == **name)
    };
    names.iter().filter(has).map(ToString::to_string).collect()
}

/// Whether the test run of TC takes a frame: it refuses one that says it is IP and ends inside the fixed header.
fn whole_ip_header(frame: &[u8]) -> bool {
    let least = match frame.get(12..14) {
        Some([0x08, 0x00]) => 14 + 20,
        Some([0x86, 0xdd]) => 14 + 40,
        _ => 0,
    };
    frame.len() >= least
}

fn packet(policy: &Policy, direction: Direction, programs: &[String], frame: Vec<u8>) -> Case {
    let packet = parse(&frame, Layout::Ethernet);
    let text = format!("{direction:?} {packet:?}");
    let decision = decide(
        policy,
        &Event::Packet {
            direction,
            class: Policy::plain_class(),
            packet,
        },
        &Nobody,
    );
    Case {
        programs: programs.to_vec(),
        input: Input::Frame(frame),
        passes: passes_packet_hooks(policy, &decision),
        text: format!("{text} {decision:?}"),
    }
}

/// What sk_lookup rejects has passed the packet hooks.
fn passes_packet_hooks(policy: &Policy, decision: &Decision) -> bool {
    let by_lookup = match decision.decider {
        Decider::Rule(rule) => {
            let rule = &policy.rules[rule];
            matches!(rule.action, Action::Redirect(_)) || rule.in_lookup()
        }
        _ => false,
    };
    match decision.verdict {
        Verdict::Drop | Verdict::Forward(_) => false,
        Verdict::Reject => by_lookup,
        Verdict::Allow | Verdict::Redirect(_) | Verdict::Shortcut(_) | Verdict::Feed(_) => true,
    }
}

fn looked_up(policy: &Policy, programs: &[String], header: Header) -> Case {
    let decision = decide(
        policy,
        &Event::Lookup {
            class: Policy::plain_class(),
            header: header.clone(),
        },
        &Nobody,
    );
    Case {
        programs: programs.to_vec(),
        input: Input::Lookup(context(&header).to_vec()),
        passes: decision.verdict == Verdict::Allow,
        text: format!("lookup {header:?} {decision:?}"),
    }
}
