//! What is tried: the packets of the command line, else one for each rule and each default.

use sockc_compiler::policy::Policy;

use super::choose::{Case, Owner, choose};
use super::words;
use super::world::LabWorld;
use crate::exit::Exit;
use crate::output::Output;

/// The cases; says which rules none was found for.
pub(crate) fn cases(
    policy: &Policy,
    packets: &[String],
    output: &mut Output,
) -> Result<Vec<Case>, Exit> {
    if !packets.is_empty() {
        output.error("packets on the command line are not read yet");
        return Err(Exit::Usage);
    }
    let choice = choose(policy, &LabWorld::new(policy)).map_err(|error| {
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
