//! The `for netns` blocks of a policy on its way, and which of their namespaces are gone.
//!
//! Takes the blocks of an object, and the record of the policy in force; gives those that can be put in force. Only where what
//! is named and not there is left out (`apply --running`, `apply --boot`) a block may be: one whose namespace has ended, or never was. One whose namespace lost
//! no more than its name is entered by another way, since its processes would lose their policy otherwise. Changes nothing.

pub(crate) mod departing;
pub(crate) mod entrance;
pub(crate) mod ownership;
pub(crate) mod part;
pub(crate) mod reconcile;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sockc_compiler::artifact::{MANIFEST_VERSION, Manifest};
use sockc_compiler::object;

use crate::attach;
use crate::error::Error;
use crate::hook::Point;
use crate::load::checked::Object;
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::State;
use crate::state::in_force::record_in_force;
use crate::state::namespaces::{Held, Living, Lost, Owner};
use crate::sys::netns;

/// Between two looks at hooks that are about to go.
const PAUSE: Duration = Duration::from_millis(20);

/// A block and the namespace that it is for.
#[derive(Debug)]
pub(crate) struct Block {
    /// The name of the namespace in the policy.
    pub(crate) name: String,
    /// By which name or path it is entered.
    pub(crate) place: String,
    /// Its object.
    pub(crate) object: Vec<u8>,
    /// The object's manifest.
    pub(crate) manifest: Arc<Manifest>,
}

/// The blocks of a policy.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// Those that are put in force.
    pub(crate) there: Vec<Block>,
    /// The namespaces of those that are left out.
    pub(crate) gone: Vec<Held>,
}

impl Blocks {
    /// Those of an object; an error if one of another version is among them.
    pub(crate) fn of(
        object: &Object,
        manifest: &Manifest,
        options: &Options,
    ) -> Result<Self, Error> {
        let inner = inner(object, manifest)?;
        let known = match options.leave_out_missing && !inner.is_empty() {
            true => known(options)?,
            false => Vec::new(),
        };
        let mut blocks = Self {
            there: Vec::new(),
            gone: Vec::new(),
        };
        for (name, object, manifest) in inner {
            let mut known = known.iter();
            let place = match known.find(|(held, _)| held.name == name) {
                Some((held, None)) => {
                    blocks.gone.push(held.clone());
                    continue;
                }
                Some((_, Some(place))) => place.clone(),
                None if options.leave_out_unknown && !is_there(&name)? => {
                    blocks.gone.push(Held::never(&name));
                    continue;
                }
                None => name.clone(),
            };
            blocks.there.push(Block {
                name,
                place,
                object,
                manifest,
            });
        }
        Ok(blocks)
    }

    /// What a person has to know of them.
    pub(crate) fn notes(&self) -> Vec<String> {
        let gone = self.gone.iter().map(|held| {
            format!(
                "there is no network namespace \"{}\" now; when there is, the policy of its `for netns` block does not hold in it until `sockc apply --running`",
                held.name
            )
        });
        let nameless = self.there.iter().filter(|one| one.place != one.name);
        let nameless = nameless.map(|one| {
            format!(
                "the network namespace \"{}\" has lost its name, and is entered by {}: its policy holds there",
                one.name, one.place
            )
        });
        gone.chain(nameless).collect()
    }
}

/// Whether there is a network namespace of a name.
fn is_there(name: &str) -> Result<bool, Error> {
    match netns::open(name) {
        Err(cause) if netns::is_absent(&cause) => Ok(false),
        there => there.map(|_| true).map_err(|cause| Error::Netns {
            name: name.to_owned(),
            cause,
        }),
    }
}

/// How the namespace of a block is entered; nothing if it has ended.
fn place(held: &Held, session: &Session, options: &Options) -> Result<Option<String>, Error> {
    let near = &session.state;
    let owner = Owner::of(&session.namespace);
    let Some(lost) = entrance::look(held, near, owner)? else {
        return Ok(Some(held.name.clone()));
    };
    match (lost.lost, lost.living) {
        (Lost::MadeAnew, _) => Ok(Some(held.name.clone())),
        (
            Lost::Removed,
            Some(Living {
                path: Some(path), ..
            }),
        ) => Ok(Some(path)),
        (Lost::Removed, Some(Living { path: None, .. })) => {
            wait_for_end(held, &near.sibling(held.inode), options).map(|()| None)
        }
        (Lost::Removed, None) => Ok(None),
    }
}

/// The kernel takes the hooks off with the namespace, some time after its last holder has left it.
fn wait_for_end(held: &Held, state: &State, options: &Options) -> Result<(), Error> {
    let until = Instant::now() + options.lock_wait;
    while is_hooked(state, held)? {
        if Instant::now() > until {
            return Err(Error::Netns {
                name: held.name.clone(),
                cause: io::Error::other(
                    "it has lost its name and goes on, and who holds it cannot be seen here",
                ),
            });
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Whether a hook of a block hangs on something yet.
fn is_hooked(state: &State, held: &Held) -> Result<bool, Error> {
    let record = match record_in_force(state) {
        Ok(Some(record)) if record.cookie == held.cookie => record,
        // The folder is that of another namespace by now, or nothing is left.
        Ok(_) | Err(Error::State { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    for attached in &record.hooks {
        let point = attached.hook.point;
        if point.is_packet() || point == Point::Lookup {
            let there = attach::describe(state, &attached.hook)?;
            if there.is_some_and(|there| there.alive) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The namespaces of the blocks of the policy in force, and how they are entered. That no other policy comes in between is seen
/// to under the lock.
fn known(options: &Options) -> Result<Vec<(Held, Option<String>)>, Error> {
    session::enter(options, |session| {
        let record = record_in_force(&session.state)?;
        let held = record.into_iter().flat_map(|record| record.netns);
        let placed = held.map(|held| {
            let place = place(&held, session, options)?;
            Ok((held, place))
        });
        placed.collect()
    })
}

/// The name, the object and the manifest of a block.
type Inner = (String, Vec<u8>, Arc<Manifest>);

/// The objects of `for netns` blocks, with the names of the namespaces; an error if one of another version is among them.
fn inner(object: &Object, manifest: &Manifest) -> Result<Vec<Inner>, Error> {
    check_version(manifest)?;
    object.check()?;
    let wrong = |error: object::ObjectError| Error::Object {
        cause: error.to_string(),
    };
    let objects = object::namespaces(object.bytes()).map_err(wrong)?;
    let inner = objects.into_iter().map(|(name, object)| {
        let manifest = object::read_manifest(&object).map_err(wrong)?;
        check_version(&manifest)?;
        Ok((name, object, Arc::new(manifest)))
    });
    inner.collect()
}

fn check_version(manifest: &Manifest) -> Result<(), Error> {
    if manifest.version == MANIFEST_VERSION {
        return Ok(());
    }
    Err(Error::Version {
        found: manifest.version,
        known: MANIFEST_VERSION,
    })
}
