//! Puts a policy in force: all of it, or none.
//!
//! Everything is made, verified and filled next to what is in force; hooks that are new sleep. Then one word switches all of
//! them at once. Until that word is written nothing that packets meet has changed, and whatever ends the work (a refusal, a
//! kill) leaves only things that [`crate::reconcile`] removes.
//!
//! A policy with `for netns` blocks is several: all are prepared, each in its namespace; when the last one is ready, the outer
//! policy's word is written, which the hooks of all of them follow.

mod applied;
pub(crate) mod forecast;
mod repin;
mod steps;
mod targets;
mod trial;
mod work;

use std::sync::Arc;

use sockc_compiler::artifact::Manifest;

pub use applied::{Applied, InterfaceHook, OtherHook};

use crate::blocks::Blocks;
use crate::blocks::departing;
use crate::blocks::ownership::{self, Outer};
use crate::blocks::part::{Part, parts};
use crate::blocks::reconcile::reconcile;
use crate::error::Error;
use crate::load::checked::Object;
use crate::options::{After, Options, Standpoint};
use crate::session::{self, Session};
use crate::sockets::owners::Owners;
use crate::state::Lock;
use crate::state::history::History;
use crate::state::namespaces::Held;
use crate::state::record::Record;
use crate::status::drift::check_ground;
use steps::{next, refuse_strangers, refuse_taken};
use targets::Targets;
use work::{Prepared, Work};

/// Puts the policy of an object in force in one network namespace, instead of the one that is, and those of its `for netns`
/// blocks in theirs.
///
/// # Errors
///
/// Any [`Error`]; what was in force before still is then.
pub fn apply(object: &[u8], manifest: &Manifest, options: &Options) -> Result<Applied, Error> {
    let manifest = Arc::new(manifest.clone());
    apply_object(&Object::new(object.to_vec()), &manifest, options)
}

/// The same with an object of which more may be known.
///
/// # Errors
///
/// Any [`Error`]; what was in force before still is then.
pub fn apply_object(
    object: &Object,
    manifest: &Arc<Manifest>,
    options: &Options,
) -> Result<Applied, Error> {
    let blocks = Blocks::of(object, manifest, options)?;
    let parts = parts(object, manifest, &blocks, options);
    let mut applied = stage(&parts, None)?.into_iter();
    let mut outer = applied.next().ok_or_else(|| Error::Object {
        cause: "it holds no policy".to_owned(),
    })?;
    outer.notes.extend(blocks.notes());
    let inner = blocks.there.into_iter().zip(applied);
    let inner = inner.map(|(block, applied)| {
        let entered = (block.place != block.name).then_some(block.place);
        (block.name, Applied { entered, ..applied })
    });
    Ok(Applied {
        netns: inner.collect(),
        ..outer
    })
}

/// Prepares the first of some policies in its namespace, then the others; when none is left, one word switches all. Those
/// that have an `outer` one stand in it.
fn stage(parts: &[Part<'_>], outer: Option<&Outer>) -> Result<Vec<Applied>, Error> {
    let Some((part, rest)) = parts.split_first() else {
        return outer.map_or(Ok(()), switch).map(|()| Vec::new());
    };
    session::enter(&part.options, |session| {
        let held = match outer {
            None => ownership::open(rest, session)?,
            Some(_) => Vec::new(),
        };
        let targets = Targets::make(part.manifest, &part.options, &session.state)?;
        let owners = Owners::of(part.manifest)?;
        let _lock = Lock::take_or_make(&session.state, part.options.lock_wait)?;
        session.state.refuse_on_trial(&session.namespace)?;
        Standpoint::check(session, &part.options.only_if, part.block).inspect_err(|_| {
            // Where nothing was in force, the lock has made the folder.
            session.state.remove_if_empty();
        })?;
        let sought = repin::repin(&session.state)?;
        let made = (targets, owners, held);
        put(part, rest, session, outer, made).map_err(|error| sought.explain(error))
    })
    .map_err(|error| part.placed(error))
}

/// Puts one policy in force in its namespace, whose lock is held, with those that come after it.
fn put(
    part: &Part<'_>,
    rest: &[Part<'_>],
    session: &Session,
    outer: Option<&Outer>,
    (targets, owners, held): (Targets, Owners, Vec<Held>),
) -> Result<Vec<Applied>, Error> {
    let before = reconcile(session, &part.options)?;
    check_generation(before.as_ref(), &part.options)?;
    ownership::check(before.as_ref(), outer, &part.options)?;
    let unhindered = match before {
        Some(_) => Ok(()),
        None => refuse_strangers(part, session, &targets),
    };
    let taken = || refuse_taken(part, session, &targets, before.as_ref());
    unhindered.and_then(|()| taken()).inspect_err(|_| {
        session.state.remove_if_empty();
    })?;
    if let Some(before) = &before {
        check_ground(&session.state, before)?;
        ownership::check_word(&session.state, outer, &part.options)?;
    }
    // Ahead of the switch: what is left there would not be of the generation that the record names.
    let ended = ownership::ended(part.gone, &held);
    let mut left = ownership::release(&ended, &part.options, session);
    let record = next(part, session, before.as_ref(), outer, held)?;
    trial::check(before.as_ref(), &record, &part.options).inspect_err(|_| {
        session.state.remove_if_empty();
    })?;
    let gone = ownership::gone(before.as_ref(), &record);
    let departing = departing::of(&gone, session, &part.options)?;
    // What a killed command put in force was not kept by it; from the switch on it is in force no more.
    let unkept = before
        .as_ref()
        .and_then(|before| History::keep(&session.state, before).err());
    let mut work = Work::new(part, session, targets, &owners, (before, record));
    work.note_unkept(unkept);
    match advance(&mut work, (part, rest), session, outer) {
        Ok((prepared, later)) => {
            let mut applied = work.finish(prepared);
            if part.options.confirm.is_none() {
                left.extend(ownership::release(&gone, &part.options, session));
            }
            applied.notes.extend(departing::notes(&departing, &left));
            Ok([vec![applied], later].concat())
        }
        Err(error) => {
            work.undo();
            Err(error)
        }
    }
}

/// Refuses if the caller wants to follow another generation than the one in force.
fn check_generation(before: Option<&Record>, options: &Options) -> Result<(), Error> {
    let now = before.map(|before| before.generation);
    let what = match (options.only_after, now) {
        (After::Generation(expected), now) if now != Some(expected) => {
            format!("generation {expected} is in force no more")
        }
        (After::Nothing, Some(now)) => {
            format!("generation {now} is in force, and nothing was before")
        }
        _ => return Ok(()),
    };
    Err(Error::Moved { what })
}

/// Prepares one policy and goes on with the others.
fn advance<'a>(
    work: &mut Work<'a>,
    (part, rest): (&Part<'_>, &[Part<'_>]),
    session: &Session,
    outer: Option<&Outer>,
) -> Result<(Prepared<'a>, Vec<Applied>), Error> {
    let prepared = work.prepare(outer)?;
    let own = Outer::new(session, work.record(), &part.options);
    let later = stage(rest, Some(outer.unwrap_or(&own)))?;
    Ok((prepared, later))
}

/// Writes the word that every hook in every namespace follows. Blocks that the new policy has no more have no program for its
/// generation, and sleep from then on. Once it is written nothing is a failure: the policies are in force.
fn switch(outer: &Outer) -> Result<(), Error> {
    outer.options.step("switch")?;
    match &outer.options.confirm {
        Some(confirm) => {
            let generation = outer.record.generation;
            outer.state.begin_trial(generation, confirm.within)?;
        }
        // One of this generation may have ended when nobody cleared it.
        None => outer.state.end_trial()?,
    }
    outer.state.switch_to(outer.record.generation)
}
