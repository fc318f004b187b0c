//! Settles a namespace together with those of `for netns` blocks that its policy no longer has, or never got.
//!
//! What one folder needs is in [`crate::reconcile`]; whose a block is, in [`super::ownership`]. The caller holds the lock of the namespace.

use super::{entrance, ownership};
use crate::error::Error;
use crate::options::Options;
use crate::reconcile::{reconcile_to, remove_all};
use crate::session::{self, Session};
use crate::state::history::History;
use crate::state::in_force;
use crate::state::namespaces::Held;
use crate::state::readers::Extent;
use crate::state::record::Record;
use crate::state::{Access, Lock};

/// Settles; gives the record of the generation in force. Where nothing is in force, everything that a killed command left goes.
pub(crate) fn reconcile(session: &Session, options: &Options) -> Result<Option<Record>, Error> {
    let (record, on_trial) = settle(session, options)?;
    // A block that only the policy before has sleeps while the next one is on trial.
    if record.is_none() && !on_trial {
        let lost = session.state.kept_trial().ok().flatten();
        if lost.is_some_and(|trial| trial.generation != 0 && trial.fallback == 0) {
            // `rollback` asks for it alone.
            let _ = History::note_lost(&session.state, session.namespace.cookie);
        }
        clear(session, options, &session.state.generations()?, &[])?;
        remove_all(&session.state)?;
    }
    Ok(record)
}

/// Settles what is in force, and takes nothing away where nothing is: for commands that neither put a policy in force nor take
/// one away.
pub(crate) fn reconcile_in_force(
    session: &Session,
    options: &Options,
) -> Result<Option<Record>, Error> {
    settle(session, options).map(|(record, _)| record)
}

/// The record in force, with what is of others removed, and whether it is on trial: then both policies stay with all that is theirs.
/// Whether it is gets asked once, since a deadline may pass at any time.
fn settle(session: &Session, options: &Options) -> Result<(Option<Record>, bool), Error> {
    let state = &session.state;
    let on_trial = state.settle_trial()?;
    let record = in_force::record_in_force(state)?;
    let Some(record) = record.filter(|record| record.is_of(&session.namespace)) else {
        // One may have begun between both looks: it is written ahead of the word.
        let on_trial = on_trial || state.trial_of(&session.namespace)?.is_some();
        return Ok((None, on_trial));
    };
    // One that was killed after its switch may not have come to that.
    History::let_read(state, &record, Extent::Folder)?;
    if on_trial {
        return Ok((Some(record), true));
    }
    let mut stale = state.generations()?;
    stale.retain(|other| *other != record.generation);
    clear(session, options, &stale, &record.netns)?;
    if !stale.is_empty() {
        within_blocks(options, &record)?;
    }
    reconcile_to(state, &record)?;
    Ok((Some(record), false))
}

/// Settles the namespaces of a policy's blocks: what others left there would wake with the next generation of that number.
pub(crate) fn within_blocks(options: &Options, record: &Record) -> Result<(), Error> {
    for held in &record.netns {
        let Some(place) = entrance::entrance(held)? else {
            continue;
        };
        let inner = options.within(&place);
        let settled = session::enter(&inner, |session| {
            let lock = Lock::take(&session.state, Access::Change, inner.lock_wait)?;
            lock.map_or(Ok(()), |_lock| reconcile(session, &inner).map(drop))
        });
        match settled {
            // What is damaged there is told there, and an apply mends it there.
            Err(error) if error.is_damage() => {}
            settled => settled?,
        }
    }
    Ok(())
}

/// Removes what is left in the namespaces that some generations have a block for, but for those of `kept`.
fn clear(
    session: &Session,
    options: &Options,
    generations: &[u32],
    kept: &[Held],
) -> Result<(), Error> {
    for generation in generations {
        let record = match Record::read_alone(&session.state.record(*generation)) {
            Ok(record) => record,
            // It is written before anything is made in a block's namespace, and removed after that.
            Err(Error::State { .. }) => continue,
            Err(error) => return Err(error),
        };
        let is_kept = |held: &&Held| kept.iter().any(|one| one.inode == held.inode);
        for held in record.netns.iter().filter(|held| !is_kept(held)) {
            ownership::release_one(held, options, session)?;
        }
    }
    Ok(())
}
