//! `sockc confirm`, and `sockc rollback` where something is on trial: end the trial of a policy that `sockc apply --confirm` has put in
//! force.

use serde::Serialize;
use sockc_runtime::{Error, Settled, wall_time};

use crate::cli;
use crate::exit::Exit;
use crate::machine::clock::utc;
use crate::machine::{options, refused, remote};
use crate::output::Output;

/// The JSON of both verbs.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    /// The policy in force; null if none is.
    policy: Option<&'a str>,
    /// Its generation.
    generation: Option<u32>,
    /// The one that was on trial.
    on_trial: u32,
    /// Since when the policy is in force again, in seconds since 1970, if its deadline came before the command.
    since: Option<u64>,
    notes: Vec<String>,
}

/// Keeps what is on trial.
pub(crate) fn run(arguments: &cli::Confirm, output: &mut Output) -> Exit {
    let connection = (!arguments.same_connection)
        .then(remote::connection)
        .flatten();
    // Of what names no connection nobody knows whether it is a new one.
    if let Some(text) = connection.as_ref().map(|one| &one.ends)
        && remote::ends(text).is_none()
    {
        output.error(format!(
            "SSH_CONNECTION says \"{}\", which names no connection, so that nobody knows whether this one is a new one; nothing was changed; log in once more and run `sockc confirm` there (`sockc confirm --same-connection` confirms from here all the same)",
            remote::quoted(text)
        ));
        return Exit::Guard;
    }
    let done = sockc_runtime::confirm(&options(&arguments.place), connection.as_ref());
    ended(done, "sockc.confirm/1", output, |settled| {
        let generation = settled.generation;
        match &settled.policy {
            Some(policy) => format!("policy \"{policy}\" is confirmed, generation {generation}"),
            None => format!("generation {generation} is confirmed"),
        }
    })
}

/// Says that what was before is back.
pub(crate) fn rolled_back(done: Result<Settled, Error>, output: &mut Output) -> Exit {
    ended(done, "sockc.rollback/1", output, |settled| {
        let generation = settled.generation;
        let how = match settled.since {
            None => "is taken back".to_owned(),
            Some(since) => format!("was not confirmed{}", at(since)),
        };
        match (&settled.policy, settled.now) {
            (_, 0) => {
                format!("generation {generation} {how}: no policy is in force, as before it")
            }
            (Some(policy), now) => format!(
                "generation {generation} {how}: policy \"{policy}\" is in force again, generation {now}"
            ),
            (None, now) => {
                format!("generation {generation} {how}: generation {now} is in force again")
            }
        }
    })
}

/// A moment after boot as the clock of the day stands now.
fn at(since: u64) -> String {
    wall_time(since).map_or_else(String::new, |time| format!(" until {}", utc(time)))
}

fn ended(
    done: Result<Settled, Error>,
    format: &'static str,
    output: &mut Output,
    words: impl FnOnce(&Settled) -> String,
) -> Exit {
    let settled = match done {
        Ok(settled) => settled,
        Err(error) => return refused(&error, output),
    };
    let notes = settled.notes.iter();
    let notes: Vec<String> = notes.map(|note| output.suggested(note)).collect();
    if output.is_json() {
        output.value(&Report {
            format,
            policy: settled.policy.as_deref(),
            generation: (settled.now != 0).then_some(settled.now),
            on_trial: settled.generation,
            since: settled.since.and_then(wall_time),
            notes: notes.clone(),
        });
    } else {
        output.line(words(&settled));
    }
    notes.into_iter().for_each(|note| output.note(note));
    Exit::Done
}
