//! What is tried: the packets of the command line, else one for each rule and each default.

use sockc_compiler::packet::text;
use sockc_compiler::policy::{Direction, Policy};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::parse_packet;
use sockc_grammar::source::{SourceMap, Span};

use super::choose::{Case, Owner, choose};
use super::words;
use crate::exit::Exit;
use crate::output::Output;
use crate::policies::outside;

/// A case, and whether the policy meets its packet.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    /// What is played.
    pub(crate) case: Case,
    /// Where the packet is, if the policy is not there.
    pub(crate) outside: Option<Outside>,
}

impl Tried {
    /// A case that the policy's hooks meet.
    pub(crate) fn inside(case: Case) -> Self {
        Self {
            case,
            outside: None,
        }
    }
}

/// A packet on an interface that the policy is not on.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    /// The packet, as it was given.
    pub(crate) packet: String,
    /// That the policy is not there.
    pub(crate) why: String,
    /// Whether socket lookups meet it.
    pub(crate) looked_up: bool,
}

/// The cases; says which rules none was found for.
pub(crate) fn cases(
    policy: &Policy,
    packets: &[String],
    output: &mut Output,
) -> Result<Vec<Tried>, Exit> {
    if packets.is_empty() {
        return chosen(policy, output);
    }
    let mut cases = Ok(Vec::new());
    for packet in packets {
        let mut sources = SourceMap::default();
        match read(policy, packet, &mut sources) {
            Ok(case) => {
                if let Ok(cases) = &mut cases {
                    cases.push(case);
                }
            }
            Err(diagnostics) => {
                output.diagnostics(&sources, &diagnostics);
                cases = Err(Exit::Usage);
            }
        }
    }
    cases
}

/// A packet of the command line.
fn read(policy: &Policy, packet: &str, sources: &mut SourceMap) -> Result<Tried, Vec<Diagnostic>> {
    let id = sources.add("<packet>", packet);
    let whole = Span {
        source: id,
        start: 0,
        end: u32::try_from(packet.len()).unwrap_or(u32::MAX),
    };
    let tree = parse_packet(sources, id)?;
    let mut case = text::read(&tree, policy, whole).map_err(|mistake| vec![*mistake])?;
    let named = [&tree.on, &tree.leaves].map(|on| on.as_ref().map(|on| &on.value));
    let outside = outside::take(policy, &mut case, named).map(|found| Outside {
        packet: packet.to_owned(),
        why: found.words(policy),
        looked_up: found.looked_up,
    });
    Ok(Tried { case, outside })
}

/// That what passes through and gets to a rule of `out` was not looked for, where there may be some.
fn alone(policy: &Policy, owner: Owner) -> &'static str {
    let leaving =
        matches!(owner, Owner::Rule(rule) if policy.rules[rule].direction == Direction::Out);
    if leaving && policy.has_list(Direction::Forward) {
        "; for a rule of `out` none is looked for that passes through"
    } else {
        ""
    }
}

fn chosen(policy: &Policy, output: &mut Output) -> Result<Vec<Tried>, Exit> {
    let choice = choose(policy).map_err(|error| {
        output.error(format!("no packets could be chosen: {error}"));
        Exit::Policy
    })?;
    for owner in choice.unreached {
        // A default that every packet is decided before is nothing to wonder about.
        if matches!(owner, Owner::Rule(_)) {
            output.note(format!(
                "no packet was found that the lab can send and that reaches {}{}",
                words::owner(policy, owner),
                alone(policy, owner)
            ));
        }
    }
    Ok(choice.cases.into_iter().map(Tried::inside).collect())
}
