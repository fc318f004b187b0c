//! What is tried: the packets of the command line, else one for each rule and each default.

use sockc_compiler::packet::text;
use sockc_compiler::policy::Policy;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::parse_packet;
use sockc_grammar::source::{SourceMap, Span};

use super::choose::{Case, Owner, choose};
use super::words;
use crate::exit::Exit;
use crate::output::Output;

/// The cases; says which rules none was found for.
pub(crate) fn cases(
    policy: &Policy,
    packets: &[String],
    output: &mut Output,
) -> Result<Vec<Case>, Exit> {
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
fn read(policy: &Policy, packet: &str, sources: &mut SourceMap) -> Result<Case, Vec<Diagnostic>> {
    let id = sources.add("<packet>", packet);
    let whole = Span {
        source: id,
        start: 0,
        end: u32::try_from(packet.len()).unwrap_or(u32::MAX),
    };
    let tree = parse_packet(sources, id)?;
    text::read(&tree, policy, whole).map_err(|mistake| vec![*mistake])
}

fn chosen(policy: &Policy, output: &mut Output) -> Result<Vec<Case>, Exit> {
    let choice = choose(policy).map_err(|error| {
        output.error(format!("no packets could be chosen: {error}"));
        Exit::Policy
    })?;
    for owner in choice.unreached {
        // A default that every packet is decided before is nothing to wonder about.
        if matches!(owner, Owner::Rule(_)) {
            output.note(format!(
                "no packet that the lab can send reaches {}",
                words::owner(policy, owner)
            ));
        }
    }
    Ok(choice.cases)
}
