//! What the policy in force has counted.

use sockc_compiler::artifact::Counter;

use crate::blocks::entrance;
use crate::elsewhere;
use crate::error::Error;
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::gone::Departed;
use crate::state::in_force::record_in_force;
use crate::state::namespaces::{Held, Owner};
use crate::state::{Access, Lock, totals};

/// A counter and what it has counted since its rule came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterValue {
    /// The namespace of the `for netns` block that counts; `None` for the policy itself.
    pub netns: Option<String>,
    /// The path by which that namespace is entered, if it lost its name.
    pub entered: Option<String>,
    /// What is counted.
    pub counter: Counter,
    /// Packets, lookups or writes.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// All that was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What the statements of the policy in force counted; empty if nothing is in force.
    pub values: Vec<CounterValue>,
    /// What those without a label counted that an apply took away.
    pub departed: Vec<Departed>,
}

/// What the policy in force has counted, and those of its `for netns` blocks; empty if nothing is in force.
///
/// # Errors
///
/// Any [`Error`].
pub fn counters(options: &Options) -> Result<Vec<CounterValue>, Error> {
    counts(options).map(|counts| counts.values)
}

/// The same, with what statements counted that are gone.
///
/// # Errors
///
/// Any [`Error`].
pub fn counts(options: &Options) -> Result<Counts, Error> {
    let mut own = look(options, Halves::Told)?;
    if matches!(own, Look::Half) {
        // What an apply that ended early did not carry over is mended first: else totals would seem to fall.
        super::status(options)?;
        own = look(options, Halves::Read)?;
    }
    let Look::Counted(own) = own else {
        let refuse = |session: &Session| elsewhere::refuse(session, &options.bpffs);
        return session::enter(options, refuse).map(|()| Counts::default());
    };
    let mut counts = own.counts;
    for held in own.held {
        let Some(place) = entrance::entrance(&held)? else {
            // `status` says that the namespace is gone.
            continue;
        };
        let inner = match look(&options.within(&place), Halves::Read) {
            // It ended just now.
            Err(error) if error.is_no_namespace() => continue,
            inner => inner?,
        };
        // `status` says that another policy is there, or none.
        let Look::Counted(inner) = inner else {
            continue;
        };
        if inner.owner != Some(own.namespace) {
            continue;
        }
        let entered = (place != held.name).then_some(place);
        let values = inner.counts.values.into_iter();
        counts.values.extend(values.map(|value| CounterValue {
            netns: Some(held.name.clone()),
            entered: entered.clone(),
            ..value
        }));
        let departed = inner.counts.departed.into_iter();
        counts.departed.extend(departed.map(|departed| Departed {
            netns: Some(held.name.clone()),
            ..departed
        }));
    }
    Ok(counts)
}

/// What becomes of numbers that may not have been carried over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Halves {
    /// It is told that they are there.
    Told,
    /// What is there is read.
    Read,
}

/// What a look at one namespace gives.
enum Look {
    /// Generations are there that are not in force.
    Half,
    /// No policy is in force.
    Nothing,
    /// What its policy has counted.
    Counted(Box<Counted>),
}

/// What the policy of one namespace has counted.
struct Counted {
    counts: Counts,
    /// The namespaces of its blocks.
    held: Vec<Held>,
    /// Its namespace, and that of the policy whose block it is.
    namespace: Owner,
    owner: Option<Owner>,
}

fn look(options: &Options, halves: Halves) -> Result<Look, Error> {
    session::enter(options, |session| {
        // An apply carries totals over right after its switch: wait for that, so that no total seems to fall.
        let _lock = Lock::take(&session.state, Access::Read, options.lock_wait)?;
        if halves == Halves::Told && session.state.generations()?.len() > 1 {
            return Ok(Look::Half);
        }
        let Some(record) = record_in_force(&session.state)? else {
            return Ok(Look::Nothing);
        };
        let totals = totals::totals(&session.state, &record)?;
        let counters = record.manifest.counters.iter().cloned().zip(totals);
        let values = counters.map(|(counter, total)| CounterValue {
            netns: None,
            entered: None,
            counter,
            packets: total.packets,
            bytes: total.bytes,
        });
        Ok(Look::Counted(Box::new(Counted {
            counts: Counts {
                values: values.collect(),
                departed: totals::gone(&session.state, &record)?.departed(),
            },
            held: record.netns,
            namespace: Owner::of(&session.namespace),
            owner: record.owner,
        })))
    })
}
