//! What the policy in force has counted.

use std::thread;
use std::time::{Duration, Instant};

use sockc_compiler::artifact::Counter;

use crate::blocks::entrance;
use crate::confirm::{self, Waiting};
use crate::elsewhere;
use crate::error::Error;
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::gone::Departed;
use crate::state::in_force::{self, record_in_force};
use crate::state::namespaces::{Held, Owner};
use crate::state::record::Record;
use crate::state::{Access, Lock, State, totals};
use crate::sys::caps;

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
    /// Packets and bytes when it was reset last; 0 where it never was.
    pub reset: [u64; 2],
}

impl CounterValue {
    /// Packets and bytes since it was reset, or since its rule came.
    #[must_use]
    pub fn since_reset(&self) -> [u64; 2] {
        let [packets, bytes] = self.reset;
        [
            self.packets.wrapping_sub(packets),
            self.bytes.wrapping_sub(bytes),
        ]
    }
}

/// All that was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The name of the policy in force, and its generation; nothing where none is.
    pub in_force: Option<(String, u32)>,
    /// What the statements of the policy in force counted; empty if nothing is in force.
    pub values: Vec<CounterValue>,
    /// What those without a label counted that an apply took away.
    pub departed: Vec<Departed>,
    /// Whether the policy waits to be confirmed: until then its counters are not those of the one before, which go on with whichever
    /// of both stays.
    pub trial: bool,
    /// How that trial stands, where it is the policy's own and not that of a block.
    pub waiting: Option<Waiting>,
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
    let began = Instant::now();
    let mut own = look(options, Halves::Told)?;
    while let (Look::Half, true) = (&own, caps::only_reads()) {
        // Whoever holds no lock waits so for the end of an apply, and mends nothing.
        own = wait(options, began)?;
    }
    if matches!(own, Look::Half) {
        // What an apply that ended early did not carry over is mended first: else totals would seem to fall.
        super::status(&options.since(began))?;
        own = look(&options.since(began), Halves::Read)?;
    }
    let Look::Counted(own) = own else {
        let refuse = |session: &Session| elsewhere::refuse(session, &options.bpffs);
        return session::enter(options, refuse).map(|()| Counts::default());
    };
    let mut counts = own.counts;
    if caps::only_reads() && !own.held.is_empty() {
        // What its blocks count is part of it, and nobody comes into their namespaces without rights.
        let missing = caps::missing(true);
        return Err(Error::Rights { missing });
    }
    for held in own.held {
        let Some(place) = entrance::entrance(&held)? else {
            // `status` says that the namespace is gone.
            continue;
        };
        let inner = match look(&options.since(began).within(&place), Halves::Read) {
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
        counts.trial |= inner.counts.trial;
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

/// Looks again after a while, as long as one may wait for other commands.
fn wait(options: &Options, began: Instant) -> Result<Look, Error> {
    if began.elapsed() >= options.lock_wait {
        return session::look(options, |session| {
            Err(Error::Locked {
                path: session.state.root().to_owned(),
                waited: options.lock_wait,
            })
        });
    }
    thread::sleep(Duration::from_millis(20));
    look(options, Halves::Told)
}

/// Whether generations are there that are not in force. Members of the group that may read list no folder: for them it is the one
/// before, whose numbers may not have been carried over yet.
fn has_others(state: &State) -> Result<bool, Error> {
    if !caps::only_reads() {
        return Ok(state.generations()?.len() > 1);
    }
    let before = state.word()?.and_then(|word| word.checked_sub(1));
    Ok(before.is_some_and(|before| state.generation(before).exists()))
}

fn look(options: &Options, halves: Halves) -> Result<Look, Error> {
    session::look(options, |session| {
        in_force::steadily(&session.state, |_| look_within(session, options, halves))
    })
}

fn look_within(session: &Session, options: &Options, halves: Halves) -> Result<Look, Error> {
    // An apply carries totals over right after its switch: wait for that, so that no total seems to fall.
    let _lock = Lock::take(&session.state, Access::Read, options.lock_wait)?;
    let waiting = confirm::waiting(&session.state)?;
    let trial = waiting.is_some();
    if halves == Halves::Told && !trial && has_others(&session.state)? {
        return Ok(Look::Half);
    }
    let Some(record) = record_in_force(&session.state)? else {
        return Ok(Look::Nothing);
    };
    let values = values(&session.state, &record)?;
    Ok(Look::Counted(Box::new(Counted {
        counts: Counts {
            in_force: Some((record.manifest.policy.clone(), record.generation)),
            values,
            departed: totals::gone(&session.state, &record)?.departed(),
            trial,
            waiting,
        },
        held: record.netns,
        namespace: Owner::of(&session.namespace),
        owner: record.owner,
    })))
}

/// What each counter of a policy has counted.
fn values(state: &State, record: &Record) -> Result<Vec<CounterValue>, Error> {
    let totals = totals::totals(state, record)?.into_iter();
    let resets = totals::resets(state, record)?;
    let counters = record.manifest.counters.iter().cloned();
    let values = counters.zip(totals).zip(resets);
    Ok(values
        .map(|((counter, total), reset)| CounterValue {
            netns: None,
            entered: None,
            counter,
            packets: total.packets,
            bytes: total.bytes,
            reset: [reset.packets, reset.bytes],
        })
        .collect())
}

/// Has counters begin at 0 again for those who show them, also in the namespaces of `for netns` blocks; their totals go on. Gives how
/// many were chosen.
///
/// # Errors
///
/// Any [`Error`].
pub fn reset_counters(
    options: &Options,
    chosen: &(dyn Fn(&CounterValue) -> bool + Sync),
) -> Result<usize, Error> {
    // What an apply that ended early did not carry over comes first.
    super::status(options)?;
    let Some(own) = reset_in(options, None, chosen)? else {
        return Ok(0);
    };
    let mut count = own.count;
    for held in own.held {
        let Some(place) = entrance::entrance(&held)? else {
            continue;
        };
        let of_block = Some((own.namespace, held.name.as_str()));
        match reset_in(&options.within(&place), of_block, chosen) {
            Err(error) if error.is_no_namespace() => {}
            inner => count += inner?.map_or(0, |inner| inner.count),
        }
    }
    Ok(count)
}

/// What was reset in a namespace.
struct Reset {
    count: usize,
    held: Vec<Held>,
    namespace: Owner,
}

fn reset_in(
    options: &Options,
    of_block: Option<(Owner, &str)>,
    chosen: &(dyn Fn(&CounterValue) -> bool + Sync),
) -> Result<Option<Reset>, Error> {
    session::enter(options, |session| {
        let _lock = Lock::take(&session.state, Access::Change, options.lock_wait)?;
        // What is carried over at its end would undo it.
        session.state.refuse_on_trial(&session.namespace)?;
        let Some(record) = record_in_force(&session.state)? else {
            return Ok(None);
        };
        if of_block.is_some_and(|(owner, _)| record.owner != Some(owner)) {
            return Ok(None);
        }
        let mut values = values(&session.state, &record)?;
        let mut count = 0;
        for value in &mut values {
            value.netns = of_block.map(|(_, name)| name.to_owned());
            if chosen(value) {
                value.reset = [value.packets, value.bytes];
                count += 1;
            }
        }
        if count > 0 {
            let resets = values.iter().map(|value| totals::Total {
                packets: value.reset[0],
                bytes: value.reset[1],
            });
            let resets: Vec<_> = resets.collect();
            totals::reset(&session.state, &record, &resets)?;
        }
        Ok(Some(Reset {
            count,
            held: record.netns,
            namespace: Owner::of(&session.namespace),
        }))
    })
}
