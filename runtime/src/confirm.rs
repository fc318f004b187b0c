//! Ends the trial of a policy: confirms it, or takes it back.
//!
//! Takes where it is in force, and over which connection the confirmation comes; gives what is in force then. Both are one
//! write, after which the rest of the other policy is removed, by whatever command comes next if this one is killed. What a killed
//! confirmation did not keep for the next start of the machine, the next confirmation keeps. What a trial is, and what ends it where nobody confirms, is said in [`crate::state::trial`].

use std::thread;
use std::time::Duration;

use crate::blocks::reconcile::{reconcile, within_blocks};
use crate::elsewhere;
use crate::error::Error;
use crate::options::{Connection, Options};
use crate::session::{self, Session};
use crate::state::at_start;
use crate::state::history::{History, unkept};
use crate::state::record::Record;
use crate::state::trial::{MARGIN, Trial};
use crate::state::{Access, Lock, State};
use crate::sys::clock;

/// A policy in force that waits to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its generation.
    pub generation: u32,
    /// The one that comes back; 0 for none.
    pub fallback: u32,
    /// After so long.
    pub left: Duration,
}

/// How a trial was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The generation that was on trial.
    pub generation: u32,
    /// The one in force; 0 for none.
    pub now: u32,
    /// The policy in force.
    pub policy: Option<String>,
    /// Since when it is, in nanoseconds since boot, if the deadline came before the command.
    pub since: Option<u64>,
    /// What could not be removed yet of the other policy.
    pub notes: Vec<String>,
}

/// The trial that runs in a state folder.
pub(crate) fn waiting(state: &State) -> Result<Option<Waiting>, Error> {
    let running = state.running_trial()?;
    Ok(running.map(|trial| Waiting {
        generation: trial.generation,
        fallback: trial.fallback,
        left: trial.left(),
    }))
}

/// Keeps what is on trial in a network namespace. `connection` is the SSH connection that this comes over, if it is one: that
/// which the policy was applied from is refused.
///
/// # Errors
///
/// [`Error::TooLate`] if the policy before is in force again, [`Error::NoneOnTrial`] if nothing waits; any other [`Error`].
pub fn confirm(options: &Options, connection: Option<&Connection>) -> Result<Settled, Error> {
    with(options, |session, named| {
        let state = &session.state;
        let Some(trial) = named else {
            return match unfinished(session, options)? {
                Some(settled) => Ok(settled),
                None => Err(removed(state)?.unwrap_or_else(|| none(state))),
            };
        };
        if trial.left() < MARGIN {
            thread::sleep(trial.left());
            return Err(lost(session, options, trial));
        }
        let was_there = |connection: &Connection| was_there(state, trial, connection);
        if connection.is_some_and(was_there) {
            return Err(Error::SameConnection {
                fallback: trial.fallback,
                left: trial.left(),
            });
        }
        options.step("confirm")?;
        state.end_trial()?;
        // Whoever lost the processor for the whole margin may have written too late: dispatchers were with the policy before
        // then, which stays. They have been with the new one from that write to the next.
        if clock::since_boot() >= trial.deadline {
            state.switch_to(trial.fallback)?;
            return Err(lost(session, options, trial));
        }
        Ok(settled(session, options, (trial, trial.generation), None))
    })
}

/// Brings back what was in force before what is on trial in a network namespace.
///
/// # Errors
///
/// [`Error::NoneOnTrial`] if nothing waits; any other [`Error`].
pub fn rollback(options: &Options) -> Result<Settled, Error> {
    with(options, |session, named| {
        let Some(trial) = named else {
            let state = &session.state;
            return Err(match taken_back(state)? {
                true => Error::NoneOnTrial {
                    generation: state.word()?,
                },
                false => none(state),
            });
        };
        let since = trial.is_over(clock::since_boot()).then_some(trial.deadline);
        options.step("roll back")?;
        session.state.switch_to(trial.fallback)?;
        // Only for who asks later since when.
        let _ = session.state.note_end(trial);
        Ok(settled(session, options, (trial, trial.fallback), since))
    })
}

/// Runs `work` under the lock on the trial that the word names, ended or not.
fn with<T: Send>(
    options: &Options,
    work: impl FnOnce(&Session, Option<Trial>) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    session::enter(options, |session| {
        let state = &session.state;
        let Some(_lock) = Lock::take(state, Access::Change, options.lock_wait)? else {
            elsewhere::refuse(session, &options.bpffs)?;
            return Err(Error::NoneOnTrial { generation: None });
        };
        if state.is_block()? {
            return Err(Error::NoTrial {
                why: "this is the policy of a `for netns` block, which is confirmed, or taken back, in the network namespace whose policy has the block".to_owned(),
            });
        }
        let named = state.named_trial()?;
        work(session, state.filter_of(named, &session.namespace)?)
    })
}

/// What a confirmation had still to do that was killed after its write: what it confirmed is in force for good, and the next start of the
/// machine would put something else in force. Nothing where all that is done.
fn unfinished(session: &Session, options: &Options) -> Result<Option<Settled>, Error> {
    let state = &session.state;
    let Some(word) = state.word()?.filter(|word| *word != 0) else {
        return Ok(None);
    };
    let confirmed = state.kept_trial()?.filter(|trial| trial.confirmed(word));
    // What cannot be read cannot be kept; whoever reads it next says why.
    let (Some(trial), Ok((record, object))) = (confirmed, Record::read(&state.record(word))) else {
        return Ok(None);
    };
    let kept_in = options.kept_in.as_deref();
    let is_done = !record.is_of(&session.namespace)
        || at_start::is_kept(kept_in, &session.namespace, (&record, &object));
    let mut trial = trial;
    // Confirming cleared it.
    trial.generation = word;
    Ok((!is_done).then(|| settled(session, options, (trial, word), None)))
}

/// Whether the last trial is one that a person took back. Who did knows that the policy before is in force, so that a rollback after that
/// is meant to go further; who comes after a deadline may not know that it has passed.
fn taken_back(state: &State) -> Result<bool, Error> {
    let word = state.word()?.filter(|word| *word != 0);
    let kept = state.kept_trial()?;
    Ok(kept.is_some_and(|trial| trial.is_taken_back() && word == Some(trial.fallback)))
}

/// That nothing waits, or what became of what did.
fn none(state: &State) -> Error {
    let word = match state.word() {
        Ok(word) => word.filter(|word| *word != 0),
        Err(error) => return error,
    };
    match state.kept_trial() {
        // It was cleared, or whoever was to was killed, and the word is that of the generation before: nobody confirmed it. One
        // that would go on was never switched to.
        Ok(Some(trial))
            if word == Some(trial.fallback)
                && (trial.generation == 0 || trial.is_over(clock::since_boot())) =>
        {
            Error::TooLate {
                generation: trial.fallback + 1,
                fallback: trial.fallback,
                since: trial.deadline.min(clock::since_boot()),
            }
        }
        Ok(_) => Error::NoneOnTrial { generation: word },
        Err(error) => error,
    }
}

/// That others took away what says until when the generation in force is on trial, if they did: whether it is nobody can say, so neither
/// that it is in force for good. An older sockc left none.
fn removed(state: &State) -> Result<Option<Error>, Error> {
    let Some(word) = state.word()?.filter(|word| *word != 0) else {
        return Ok(None);
    };
    let pin = state.trial();
    let record = Record::read_alone(&state.record(word));
    let pins = record.ok().and_then(|record| record.pins);
    let mut pins = pins.into_iter().flatten();
    let had = pins.any(|one| state.root().join(one.path) == pin);
    let is_gone = had && state.kept_trial()?.is_none();
    Ok(is_gone.then(|| Error::State {
        path: pin,
        cause: "nothing is there any more, and the programs of hooks go by what was: what is on trial is taken back at its deadline, and cannot be confirmed".to_owned(),
    }))
}

/// Whether a connection was there when the policy on trial was put in force.
fn was_there(state: &State, trial: Trial, connection: &Connection) -> bool {
    // What cannot be read shows nothing.
    let Ok(record) = Record::read_alone(&state.record(trial.generation)) else {
        return true;
    };
    let is_same = record.connection.as_ref() == Some(&connection.ends);
    let switched = trial.deadline.checked_sub(record.within.unwrap_or(0));
    is_same
        || connection
            .began
            .zip(switched)
            .is_some_and(|(began, switched)| began < switched)
}

/// That the policy before is in force again; what is left of the other one is removed.
fn lost(session: &Session, options: &Options, trial: Trial) -> Error {
    let _ = clean(session, options);
    Error::TooLate {
        generation: trial.generation,
        fallback: trial.fallback,
        since: trial.deadline.min(clock::since_boot()),
    }
}

/// What is in force now for good, of which the word says so already; what is left of the other one is removed.
fn settled(
    session: &Session,
    options: &Options,
    (trial, now): (Trial, u32),
    since: Option<u64>,
) -> Settled {
    let record = Record::read_alone(&session.state.record(now)).ok();
    // What is not confirmed was never in force for good, and its number comes again.
    let confirmed = record.as_ref().filter(|_| now == trial.generation);
    let kept = confirmed.map(|record| History::keep(&session.state, record));
    let unkept = kept.and_then(Result::err).map(|error| unkept(&error));
    let at_start = confirmed.and_then(|record| keep_for_start(session, options, record));
    let cleaned = clean(session, options);
    let told = unkept.into_iter().chain(at_start);
    let notes = told.chain(cleaned.err().map(|error| {
        format!(
            "not everything of the other policy is removed yet: {}; the next command removes the rest",
            error.bare()
        )
    }));
    Settled {
        generation: trial.generation,
        now,
        policy: record.map(|record| record.manifest.policy.clone()),
        since,
        notes: notes.collect(),
    }
}

/// Keeps what is confirmed for the next start of the machine.
fn keep_for_start(session: &Session, options: &Options, record: &Record) -> Option<String> {
    let state = &session.state;
    match Record::read(&state.record(record.generation)) {
        Ok((record, object)) => at_start::keep(
            options.kept_in.as_deref(),
            &session.namespace,
            (&record, &object),
        ),
        Err(error) => Some(at_start::unread(record, error.bare())),
    }
}

/// Removes what is not of the policy in force, here and in the namespaces of its blocks.
fn clean(session: &Session, options: &Options) -> Result<(), Error> {
    let Some(record) = reconcile(session, options)? else {
        session.state.remove_if_empty();
        return Ok(());
    };
    within_blocks(options, &record)
}
