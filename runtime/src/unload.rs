//! Takes everything away.
//!
//! One word puts the policy and those of its `for netns` blocks out of force; then what is left of the blocks goes, and the
//! namespace's own folder last, since it is what a second unload finds the blocks by.

use crate::blocks::{departing, ownership};
use crate::delivery;
use crate::elsewhere;
use crate::error::Error;
use crate::options::Options;
use crate::reconcile::{Off, off, remove_all};
use crate::session::{self, Session};
use crate::state::at_start::{self, Standing};
use crate::state::history::{History, unkept};
use crate::state::in_force::record_in_force;
use crate::state::record::Record;
use crate::state::{Access, Lock};

/// What an unload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unloaded {
    /// Whether something was there.
    pub removed: bool,
    /// What a person should know of the namespaces of its `for netns` blocks: those where no policy holds any more, those that
    /// lost their names, and those where another policy is, which stays; and what was made for redirects `at tc`.
    pub notes: Vec<String>,
}

/// Removes the policy of a network namespace with all that sockc left there, also what is damaged. The policies of its `for
/// netns` blocks go with it.
///
/// # Errors
///
/// [`Error::Elsewhere`] if a policy may be in force that is pinned where nobody here sees it; [`Error::Left`] if the policy is out of force and not everything could be removed; with any other, nothing was changed.
pub fn unload(options: &Options) -> Result<Unloaded, Error> {
    let kept_in = options.kept_in.as_deref();
    session::enter(options, |session| {
        let state = &session.state;
        let lock = Lock::take(state, Access::Change, options.lock_wait)?;
        // What is damaged goes all the same.
        if let Err(error @ Error::OnTrial { .. }) = state.refuse_on_trial(&session.namespace) {
            return Err(error);
        }
        let blocks = ownership::blocks(session)?;
        if lock.is_none() && blocks.is_empty() {
            elsewhere::refuse(session, &options.bpffs)?;
            return forget_alone(session, options);
        }
        let mut notes = match departing::of(&blocks, session, options) {
            Ok(departing) => departing::notes(&departing, &[]),
            // What is damaged goes all the same.
            Err(error) => vec![format!(
                "how the network namespaces of its `for netns` blocks stand is not known: {error}"
            )],
        };
        // What is damaged tells nothing, and goes all the same.
        let record = record_in_force(state).ok().flatten();
        notes.extend(delivery::given_up(state, record.as_ref()));
        notes.extend(kept(session, record.as_ref()));
        let off = off(state)?;
        let left = ownership::release(&blocks, options, session);
        let left = left.into_iter().map(|one| (one.what, one.cause));
        let (mut left, mut causes): (Vec<String>, Vec<Error>) = left.unzip();
        // What is left of a block is found by what is here, so that stays until the block is gone, but where the word does not
        // keep it from packets.
        let mut own = Ok(());
        if causes.is_empty() || off == Off::Unknown {
            own = remove_all(state);
            state.remove_if_empty();
        }
        left.insert(0, own_words(off, own.is_ok()).to_owned());
        causes.extend(own.err());
        // Where no packet meets it any more, it does not come back either.
        let is_off = causes.is_empty() || off == Off::Written;
        let forgotten = is_off.then(|| at_start::forget(kept_in, &session.namespace));
        let unforgotten = forgotten.flatten();
        drop(lock);
        match causes.into_iter().next() {
            None => Ok(Unloaded {
                removed: true,
                notes: notes.into_iter().chain(unforgotten).collect(),
            }),
            Some(cause) => Err(Error::Left {
                left: left.into_iter().chain(unforgotten).collect(),
                cause: Box::new(cause),
            }),
        }
    })
}

/// Where nothing is in force, what is kept for the next start of the machine goes all the same.
fn forget_alone(session: &Session, options: &Options) -> Result<Unloaded, Error> {
    let mut done = Unloaded::default();
    let kept_in = options.kept_in.as_deref();
    let standing = match at_start::standing(kept_in, &session.namespace) {
        None | Some(Standing::Unloaded) => return Ok(done),
        Some(standing) => standing,
    };
    let state = &session.state;
    let lock = Lock::take_or_make(state, options.lock_wait)?;
    if record_in_force(state)?.is_some() {
        return Err(Error::Moved {
            what: "a policy was put in force just now".to_owned(),
        });
    }
    let gone = || "what was kept for the next start of the machine is not any more".to_owned();
    let told = at_start::forget(kept_in, &session.namespace);
    let told = told.or_else(|| (standing == Standing::Kept).then(gone));
    done.notes.extend(told);
    state.remove_if_empty();
    drop(lock);
    Ok(done)
}

/// Keeps what goes, and says what cannot be kept.
fn kept(session: &Session, record: Option<&Record>) -> Option<String> {
    let record = record.filter(|record| record.is_of(&session.namespace))?;
    let history = History::of(&session.state, record.cookie);
    let kept = History::keep(&session.state, record).and_then(|()| history.let_go(None));
    Some(unkept(&kept.err()?))
}

/// What is left of the namespace's own policy.
fn own_words(off: Off, removed: bool) -> &'static str {
    match off {
        Off::Unknown if removed => "the policy here is taken away",
        Off::Written => {
            "no packet meets the policy any more, but not all that belongs to it could be removed (`sockc unload` again removes the rest)"
        }
        Off::Unknown => {
            "the policy was taken away in part only, and may still be in force at some hooks (try `sockc unload` again)"
        }
    }
}
