//! What of the policy in force does not hold, or shares its place: in short, since `status` says it.

use sockc_runtime::{Error, Means, Options, Status};

use super::Finding;
use crate::machine::{is_changed, waiting};
use crate::output::count;
use crate::verbs::status::{Facts, faults};

/// What is in force.
const CHECK: &str = "policy";

/// Looks at it.
pub(super) fn of(options: &Options) -> Vec<Finding> {
    match sockc_runtime::status(options) {
        Ok(Some(status)) => of_status(&status, options),
        Ok(None) => vec![Finding::ok(
            CHECK,
            "none is in force in this network namespace",
        )],
        // Said by checks of their own.
        Err(Error::NoBpffs { .. }) => Vec::new(),
        Err(Error::Rights { .. } | Error::RightsToRead { .. }) => vec![Finding::note(
            CHECK,
            "what is in force was not looked at",
            "it is shown to those who have the rights that miss, and to the group that may read it",
        )],
        Err(error @ Error::NoAccess { .. }) => vec![Finding::note(
            CHECK,
            error.told_by_status().to_string(),
            "what is pinned belongs to another user",
        )],
        Err(error) => {
            let fault = Finding::fault(
                CHECK,
                error.told_by_status().to_string(),
                "what is in force cannot be spoken of",
            );
            vec![match is_changed(&error) {
                true => fault.changed(),
                false => fault,
            }]
        }
    }
}

fn of_status(status: &Status, options: &Options) -> Vec<Finding> {
    let Status {
        policy, generation, ..
    } = status;
    let number = faults(status) + Facts::look(status, options).faults();
    let mut found = vec![match number {
        0 if status.partial => Finding::note(
            CHECK,
            format!(
                "\"{policy}\" was put in force, generation {generation}, and hooks were not looked at"
            ),
            "the kernel shows them to nobody without CAP_BPF and CAP_NET_ADMIN",
        ),
        0 => Finding::ok(
            CHECK,
            format!("\"{policy}\" is in force, generation {generation}"),
        ),
        number => Finding::fault(
            CHECK,
            format!(
                "\"{policy}\" is not in force as it should be: {}",
                count::of(usize::try_from(number).unwrap_or(usize::MAX), "fault")
            ),
            "the policy may not hold, or not everywhere",
        )
        .with("`sockc status` says which, and what to do about each")
        .changed(),
    }];
    // Of a block it is the outer policy's.
    if let Some(trial) = status.trial.as_ref().filter(|_| !status.owned) {
        let [until, _] = waiting::words(trial);
        let why = "nothing else can be changed until then";
        found.push(Finding::note(CHECK, until, why));
    }
    found.extend(slow(status));
    found.extend(beside(status));
    found
}

fn slow(status: &Status) -> Vec<Finding> {
    let generic = status.hooks.iter();
    let generic = generic.filter(|hook| hook.means == Means::XdpGeneric);
    let notes = generic.map(|hook| {
        let name = hook.now.as_ref().unwrap_or(&hook.target);
        Finding::note(
            "cards",
            format!("the program at xdp on {name} is a generic one"),
            "the driver takes none, so that packets cost as much there as at tc, and a copy where they are shared",
        )
    });
    notes.collect()
}

/// Programs of others on the same places.
fn beside(status: &Status) -> Vec<Finding> {
    let hooks = status.hooks.iter();
    let notes = hooks.flat_map(|hook| {
        let target = hook.now.as_ref().unwrap_or(&hook.target);
        let foreign = hook.foreign.iter();
        foreign.map(move |one| {
            Finding::note(
                "foreign",
                one.beside(&hook.hook, target),
                "what it decides is not what the policy says",
            )
        })
    });
    notes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn what_is_changed_ends_with_its_own_code() {
        let fault = Finding::fault(CHECK, "", "");
        assert_eq!(
            (fault.ends, fault.changed().ends),
            (Exit::Refused, Exit::Changed)
        );
        assert!(Exit::Changed > Exit::Refused);
    }
}
