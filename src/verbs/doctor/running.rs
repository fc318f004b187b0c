//! What of the policy in force does not hold, or shares its place: in short, since `status` says it.

use sockc_runtime::{
    Error, Health, HookStatus, Means, Options, SlotState, Status, Waiting, of_namespaces,
};

use super::Finding;
use crate::machine::others::{self, Near};
use crate::machine::{is_changed, slots, waiting};
use crate::output::count;
use crate::verbs::status::{Facts, faults};

/// What is in force.
const CHECK: &str = "policy";

/// Looks at it.
pub(super) fn of(options: &Options, health: &Health) -> Vec<Finding> {
    match sockc_runtime::status(options) {
        Ok(Some(status)) => of_status(&status, options, health),
        Ok(None) => {
            let mut found = vec![Finding::ok(
                CHECK,
                "none is in force in this network namespace",
            )];
            found.extend(in_the_way(health, &[]));
            let all = sockc_runtime::others(options);
            found.extend(elsewhere(all.map(|all| {
                let words = all.iter().map(|one| one.words(&[]));
                words.collect()
            })));
            found.extend(history(options));
            found
        }
        // Said by checks of their own.
        Err(Error::NoBpffs { .. }) => Vec::new(),
        Err(Error::Rights { .. }) => {
            let unseen = Finding::unseen(
                CHECK,
                "what is in force was not looked at",
                (
                    "the kernel shows it to nobody without the rights that miss",
                    "see `rights` above",
                ),
            );
            vec![unseen.needed()]
        }
        Err(error @ Error::NoAccess { .. }) => {
            let unseen = Finding::unseen(
                CHECK,
                error.told_by_status().to_string(),
                (
                    "what is pinned belongs to another user",
                    "run it as the user who applied the policy, or as root",
                ),
            );
            vec![unseen.needed()]
        }
        Err(error) => {
            let fault = Finding::fault(
                CHECK,
                error.told_by_status().to_string(),
                (
                    "what is in force cannot be spoken of",
                    "do what that says, and run `sockc status` again",
                ),
            );
            vec![match is_changed(&error) {
                true => fault.changed(),
                false => fault,
            }]
        }
    }
}

fn of_status(status: &Status, options: &Options, health: &Health) -> Vec<Finding> {
    let Status {
        policy, generation, ..
    } = status;
    let number = faults(status) + Facts::look(status, options).faults();
    let mut found = vec![match number {
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
            (
                "the policy may not hold, or not everywhere",
                "`sockc status` says which, and what to do about each",
            ),
        )
        .changed(),
    }];
    // Of a block it is the outer policy's.
    if let Some(trial) = status.trial.as_ref().filter(|_| !status.owned) {
        found.push(on_trial(trial));
    }
    found.extend(slow(status));
    found.extend(beside(status));
    found.extend(in_the_way(health, &status.hooks));
    let foreign = status.hooks.iter().flat_map(|hook| &hook.foreign);
    let told = of_namespaces(foreign);
    let near = Near::look(options, &[&status.manifest]);
    found.extend(elsewhere(near.map(|near| near.words(&told))));
    found.extend(nobody(status));
    found.extend(history(options));
    found
}

fn on_trial(trial: &Waiting) -> Finding {
    let [until, _] = waiting::words(trial);
    Finding::note(
        CHECK,
        until,
        (
            "nothing else can be changed until then",
            "`sockc confirm` keeps it, and `sockc rollback` takes it back at once",
        ),
    )
}

/// Policies of other network namespaces that decide of groups.
fn elsewhere(found: Result<Vec<String>, Error>) -> Vec<Finding> {
    let why = "what they decide of the processes of groups holds here too";
    let note = |words, remedy| Finding::note("groups", words, (why, remedy));
    let unknown = |words, remedy| Finding::unseen("groups", words, (why, remedy));
    // Commands that are suggested are those of this namespace, and these are for others.
    let to_end = "where it is not wanted, unload it in the namespace where it was applied";
    match found {
        Ok(words) => words.into_iter().map(|words| note(words, to_end)).collect(),
        Err(error) => vec![unknown(
            others::unknown(&error),
            "run it again, as root of the machine",
        )],
    }
}

/// Named sockets that the policy knows and that nobody is behind, or somebody who was not taken.
fn nobody(status: &Status) -> Vec<Finding> {
    let slots = slots::lines(&status.sockets);
    let slots = slots
        .iter()
        .filter(|line| slots::is_empty(line.state))
        .map(|line| {
            let words = format!("{} {}  {}", line.state.socket, line.slot(), line.words());
            (words, to_fill(line.state))
        });
    let ends = status.ends.iter().filter(|end| end.held.is_none());
    let ends = ends.flat_map(|end| {
        let told = slots::ends(std::slice::from_ref(end)).into_iter();
        told.map(|told| (told.words(), to_hand_over(&end.name)))
    });
    let why = "what rules redirect there gets what they say of a socket that is absent";
    slots
        .chain(ends)
        .map(|(words, remedy)| Finding::note("sockets", format!("socket {words}"), (why, remedy)))
        .collect()
}

/// What puts a socket into an empty slot. Where somebody is there who was not taken, the words say by what that ends.
fn to_fill(slot: &SlotState) -> String {
    let name = &slot.socket;
    match slot.slot.port {
        0 => to_hand_over(name),
        _ if slots::is_not_taken(slot) => {
            format!("see to that, and run `sockc socket refresh {name}`")
        }
        _ => {
            format!(
                "start the service; where it runs already, `sockc socket refresh {name}` looks again"
            )
        }
    }
}

fn to_hand_over(name: &str) -> String {
    format!("`sockc socket register {name}` hands one over")
}

/// Where generations are kept, if sockc does not use that: others can change it.
fn history(options: &Options) -> Option<Finding> {
    match sockc_runtime::history(options) {
        Err(error @ Error::Untrusted { .. }) => Some(Finding::fault(
            "history",
            error.told_by_status().to_string(),
            (
                "no generation is kept there, and none comes back from there",
                "do what that says, and apply the policy again, so that it is kept",
            ),
        )),
        // All else is said by checks of their own.
        Ok(_) | Err(_) => None,
    }
}

fn slow(status: &Status) -> Vec<Finding> {
    let generic = status.hooks.iter();
    let generic = generic.filter(|hook| hook.means == Means::XdpGeneric);
    let notes = generic.map(|hook| {
        let name = hook.now.as_ref().unwrap_or(&hook.target);
        Finding::note(
            "cards",
            format!("the program at xdp on {name} is a generic one"),
            (
                "the driver takes none, so that packets cost as much there as at tc, and a copy where they are shared",
                "write `at tc` behind `default in`, or use an interface whose driver takes programs",
            ),
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
                (
                    "what it decides is not what the policy says",
                    "have whoever put it there take it off, where it is not wanted; `bpftool net` and `bpftool cgroup tree` list such programs",
                ),
            )
        })
    });
    notes.collect()
}

/// XDP programs of others on interfaces where the policy in force has none: a policy that is to have one there is refused.
fn in_the_way(health: &Health, hooks: &[HookStatus]) -> Vec<Finding> {
    let cards = health.cards.iter();
    let programs = cards.filter_map(|card| Some((card, card.xdp.as_ref()?)));
    let is_known = |id: u32| {
        let mut hooks = hooks.iter();
        hooks.any(|hook| hook.dispatcher == Some(id) || hook.foreign.iter().any(|one| one.id == id))
    };
    let of_others = programs.filter(|(_, (id, _))| !is_known(*id));
    let notes = of_others.map(|(card, (id, name))| {
        Finding::note(
            "foreign",
            format!("program {id} \"{name}\" of somebody else is at xdp of {}", card.name),
            (
                "it decides before a policy at tc, and a policy that is to be at xdp there is refused",
                "have whoever put it there take it off, where it is not wanted (`bpftool net` lists such programs), or write `at tc` behind `default in`",
            ),
        )
    });
    notes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn what_is_changed_ends_with_its_own_code() {
        let fault = Finding::fault(CHECK, "", ("", ""));
        assert_eq!(
            (fault.ends, fault.changed().ends),
            (Exit::Refused, Exit::Changed)
        );
        assert!(Exit::Changed > Exit::Refused);
    }
}
