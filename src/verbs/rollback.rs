//! `sockc rollback`: ends the trial of what waits to be confirmed; else puts a generation that was in force before in force again.
//!
//! Takes its object out of the history that the kernel keeps, so no file is read; all else is done as by `apply`: its code is
//! compared with its text, guards are asked, and whoever is there. Not here: what is kept, and how it is put in force.

use sockc_runtime::{Error, KeptGeneration, Options};

use crate::cli;
use crate::exit::Exit;
use crate::machine::{options, refused};
use crate::output::Output;
use crate::policies::ready::Ready;
use crate::verbs::{apply, confirm};

/// Ends a trial, or finds the generation and applies it.
pub(crate) fn run(arguments: &cli::Rollback, output: &mut Output) -> Exit {
    let options = options(&arguments.place);
    if arguments.generation.is_none() {
        match sockc_runtime::rollback(&options) {
            Err(Error::NoneOnTrial { .. }) => {}
            ended => return confirm::rolled_back(ended, output),
        }
    }
    match look(arguments.generation, &options) {
        Ok(Found::Kept(now, kept)) => roll_back(now, *kept, arguments, output),
        Ok(Found::InForce(generation)) => {
            output.error(format!(
                "generation {generation} is in force; nothing was changed"
            ));
            Exit::Guard
        }
        Err(error) => refused(&error, output),
    }
}

/// What is to come back.
enum Found {
    /// A generation that is kept, and the one that is in force now.
    Kept(Option<u32>, Box<KeptGeneration>),
    /// The one in force.
    InForce(u32),
}

fn look(generation: Option<u32>, options: &Options) -> Result<Found, Error> {
    // Where programs of sockc hang that nobody here knows of, this says so.
    let running = sockc_runtime::running(options)?;
    if let Some(running) = running.as_ref().filter(|running| running.owned) {
        return Err(Error::OtherPolicy {
            netns: options.netns.clone(),
            policy: running.policy.clone(),
            owned: true,
        });
    }
    let now = running.map(|running| running.generation);
    if let Some(generation) = generation.filter(|_| generation == now) {
        return Ok(Found::InForce(generation));
    }
    let kept = match generation {
        Some(generation) => sockc_runtime::kept(options, generation)?,
        None => sockc_runtime::before(options)?,
    };
    Ok(Found::Kept(now, Box::new(kept)))
}

fn roll_back(
    now: Option<u32>,
    kept: KeptGeneration,
    arguments: &cli::Rollback,
    output: &mut Output,
) -> Exit {
    let subject = cli::Subject {
        interfaces: Vec::new(),
        add_routes: arguments.add_routes,
        place: arguments.place.clone(),
        guards: arguments.guards.clone(),
        counting: cli::Counting::default(),
        lints: cli::Lints::default(),
    };
    let again = cli::Apply {
        file: None,
        running: false,
        boot: cli::Boot::default(),
        subject,
        watch: false,
        why: arguments.why.clone(),
        reading: cli::Reading::default(),
        yes: arguments.yes,
        confirm: None,
        no_confirm: true,
        lock_me_out: arguments.lock_me_out,
    };
    match Ready::of_kept(now, kept, &again.subject, output) {
        Ok(ready) => apply::once(&ready, &again, output),
        Err(exit) => exit,
    }
}
