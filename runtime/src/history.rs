//! What was in force before in a network namespace, and can come back.
//!
//! Takes the options of a caller; gives what is in force and which generations are kept, and what is kept of one. Nothing is
//! changed, and no lock is taken: what another command lets go meanwhile is not there. Whether an object is what its text compiles
//! to is not asked here, but that it has the bytes it was written with, so that damage is told and never used.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use sockc_compiler::artifact::{MANIFEST_VERSION, Manifest};
use sockc_compiler::object::{self, ObjectError};

use crate::confirm::{self, Waiting};
use crate::error::Error;
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::author::Author;
use crate::state::history;
use crate::state::in_force;
use crate::state::record::Record;

/// A generation, as it was put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub generation: u32,
    /// When it was put in force, in seconds since 1970; `None` of an older sockc.
    pub applied: Option<u64>,
    /// By whom; `None` of an older sockc.
    pub author: Option<Author>,
    /// The interfaces or patterns that were given instead of the policy's.
    pub interfaces: Vec<String>,
    /// Whether it is that of a `for netns` block, which goes and comes with the policy that has it.
    pub owned: bool,
}

/// A generation with its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What is known of it.
    pub about: Generation,
    /// The object's manifest.
    pub manifest: Arc<Manifest>,
    /// The object.
    pub object: Vec<u8>,
}

impl Kept {
    fn of(record: Record, object: Vec<u8>) -> Self {
        Self {
            about: about(&record),
            manifest: record.manifest,
            object,
        }
    }
}

/// What is pinned in a history and is not as sockc left it.
#[derive(Debug)]
pub struct Unreadable {
    /// The generation whose name it has.
    pub generation: u32,
    /// What is wrong.
    pub error: Error,
}

/// The generations of a network namespace.
#[derive(Debug, Default)]
pub struct History {
    /// The one in force.
    pub in_force: Option<Generation>,
    /// Whether that one waits to be confirmed.
    pub trial: Option<Waiting>,
    /// Those that are kept besides, the newest first.
    pub kept: Vec<Generation>,
    /// Those that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// The folder that they are pinned in.
    pub folder: PathBuf,
}

/// The generations of a network namespace.
///
/// # Errors
///
/// Any [`Error`]. What is wrong with a kept one is no error.
pub fn history(options: &Options) -> Result<History, Error> {
    session::enter(options, |session| {
        let in_force = in_force::record_in_force(&session.state)?;
        let now = in_force.as_ref().map(|record| record.generation);
        let pins = of(session);
        let mut found = History {
            trial: confirm::waiting(&session.state)?.filter(|one| Some(one.generation) == now),
            in_force: in_force.map(|record| about(&record)),
            folder: pins.root().to_owned(),
            ..History::default()
        };
        for generation in pins.generations()? {
            if Some(generation) == now {
                continue;
            }
            match pins.read_bare(generation) {
                Ok(record) => found.kept.push(about(&record)),
                // Another command has let it go meanwhile.
                Err(_) if fs::symlink_metadata(pins.record(generation)).is_err() => {}
                Err(error) => found.unreadable.push(Unreadable { generation, error }),
            }
        }
        Ok(found)
    })
}

/// What is kept of a generation, or what is in force if that is the one: its object and what it was put in force with.
///
/// # Errors
///
/// [`Error::NotKept`] if it is not there; [`Error::State`] if it is damaged; others.
pub fn kept(options: &Options, generation: u32) -> Result<Kept, Error> {
    session::enter(options, |session| read(session, generation))
}

/// The generation that was in force before the one that is, or last where nothing is. One that is damaged is not left out: what
/// comes back is never another one than a person would think.
///
/// # Errors
///
/// As [`kept`].
pub fn before(options: &Options) -> Result<Kept, Error> {
    session::enter(options, |session| {
        let in_force = in_force::record_in_force(&session.state)?;
        let now = in_force.map(|record| record.generation);
        let history = of(session);
        let kept = history.generations()?;
        if now.is_none() && history.is_lost() {
            let generation = None;
            return Err(Error::NotKept { generation, kept });
        }
        let last = kept.into_iter().find(|one| Some(*one) != now);
        let last = last.ok_or(Error::NotKept {
            generation: None,
            kept: Vec::new(),
        })?;
        read(session, last)
    })
}

/// What is in force again if what is on trial is not confirmed, and how long that waits; nothing where nothing waits, or where nothing was
/// in force before it.
///
/// # Errors
///
/// Any [`Error`].
pub fn comes_back(options: &Options) -> Result<Option<(Waiting, Kept)>, Error> {
    session::enter(options, |session| {
        let state = &session.state;
        let waiting = confirm::waiting(state)?.filter(|one| one.fallback != 0);
        let Some(waiting) = waiting else {
            return Ok(None);
        };
        match Record::read(&state.record(waiting.fallback)) {
            Ok((record, object)) => Ok(Some((waiting, Kept::of(record, object)))),
            // The trial has ended meanwhile, and one of both policies was removed.
            Err(_) if confirm::waiting(state)?.is_none() => Ok(None),
            Err(error) => Err(error),
        }
    })
}

fn of(session: &Session) -> history::History {
    history::History::of(&session.state, session.namespace.cookie)
}

fn read(session: &Session, generation: u32) -> Result<Kept, Error> {
    let in_force = in_force::in_force(&session.state)?;
    let found = in_force.filter(|(record, _)| record.generation == generation);
    let (record, object) = match found {
        Some(found) => found,
        None => read_kept(session, generation)?,
    };
    Ok(Kept::of(record, object))
}

fn read_kept(session: &Session, generation: u32) -> Result<(Record, Vec<u8>), Error> {
    let pins = of(session);
    let kept = pins.generations()?;
    if !kept.contains(&generation) {
        return Err(Error::NotKept {
            generation: Some(generation),
            kept,
        });
    }
    let (record, object) = pins.read(generation)?;
    let damaged = |cause: String| Error::State {
        path: pins.record(generation),
        cause,
    };
    object::check_sum(&object).map_err(|error| damaged(error.to_string()))?;
    let known = MANIFEST_VERSION;
    let manifest = object::read_manifest(&object).map_err(|error| match error {
        ObjectError::ManifestVersion { found } => Error::Version { found, known },
        error => damaged(error.to_string()),
    })?;
    if manifest != *record.manifest {
        let cause = "its manifest is not the one of its object";
        return Err(damaged(cause.to_owned()));
    }
    Ok((record, object))
}

fn about(record: &Record) -> Generation {
    Generation {
        generation: record.generation,
        applied: record.applied,
        author: record.author.clone(),
        interfaces: record.interfaces.clone(),
        owned: record.owner.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sockc_compiler::files::Texts;
    use sockc_compiler::pipeline;
    use sockc_compiler::target::Target;
    use sockc_grammar::source::SourceMap;

    use super::*;
    use crate::lab::{BPFFS, Space, permitted};
    use crate::state::State;
    use crate::state::chunks::{self, Kept as Chunks};
    use crate::sys::{bpffs, netns};

    fn object(text: &str) -> Vec<u8> {
        let mut sources = SourceMap::default();
        let id = sources.add("a.sk", text);
        let target = Target::baseline();
        let outcome = pipeline::compile(&mut sources, id, "a", &target, &mut Texts::default());
        object::write(&outcome.built.unwrap().artifact).unwrap()
    }

    /// The record of a generation in the history of this namespace, with some of its bytes changed.
    fn written(pins: &history::History, change: impl FnOnce(&mut Vec<u8>)) {
        let path = pins.record(1);
        let mut bytes = Chunks::open(&path).unwrap().read(0, usize::MAX).unwrap();
        change(&mut bytes);
        bpffs::unpin(&path).unwrap();
        chunks::write("record", &[&bytes], &path).unwrap();
    }

    /// Whatever byte is another one, and wherever it ends: it is told, or nothing that anybody is told or gets is other.
    #[test]
    fn a_damaged_generation_is_told_and_never_used() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space.run(damaged).unwrap();
    }

    fn damaged() {
        let options = Options::default();
        let namespace = netns::Namespace::current().unwrap();
        let state = State::at(Path::new(BPFFS), namespace.inode).unwrap();
        let object = object("interfaces lo default in allow drop udp to port 22");
        let manifest = object::read_manifest(&object).unwrap();
        let author = Author {
            note: Some("NET-88".to_owned()),
            ..Author::default()
        };
        let record = {
            let mut record = Record::new(1, manifest, namespace.cookie);
            record.is_of_object(&object);
            record.interfaces = vec!["lo".to_owned()];
            record.is_applied_by(Some(author), &object);
            record
        };
        crate::state::make_folder(&state.generation(1)).unwrap();
        record.write(&object, &state.record(1)).unwrap();
        history::History::keep(&state, &record).unwrap();
        // As after an unload.
        bpffs::remove_tree(state.root()).unwrap();
        let pins = history::History::of(&state, namespace.cookie);
        let honest = kept(&options, 1).unwrap();
        assert_eq!(honest.object, object);
        let length = Chunks::open(&pins.record(1)).unwrap();
        let length = length.read(0, usize::MAX).unwrap().len();
        let json = length - object.len();
        let mut told = 0;
        // The head and the record are looked at closely, the object by samples.
        let places = (0..json.min(900)).chain((json..length).step_by(211));
        for place in places {
            written(&pins, |bytes| bytes[place] ^= 1);
            match kept(&options, 1) {
                Ok(found) => assert_eq!(found, honest, "{place}"),
                Err(error) => {
                    told += 1;
                    assert!(
                        matches!(error, Error::State { .. } | Error::Version { .. }),
                        "{place}: {error}"
                    );
                }
            }
            written(&pins, |bytes| bytes[place] ^= 1);
        }
        assert!(told > 100, "{told}");
        for end in [0, 7, 8, json - 1, json, length - 1] {
            let mut cut = Vec::new();
            written(&pins, |bytes| {
                cut = bytes.split_off(end);
            });
            let error = kept(&options, 1).unwrap_err();
            assert!(matches!(error, Error::State { .. }), "{end}: {error}");
            assert!(before(&options).unwrap_err().is_damage(), "{end}");
            written(&pins, |bytes| bytes.append(&mut cut));
        }
        assert_eq!(kept(&options, 1).unwrap(), honest);
        bpffs::remove_tree(&pins.record(2)).unwrap();
        std::fs::hard_link(pins.record(1), pins.record(2)).unwrap();
        let other = kept(&options, 2).unwrap_err();
        assert!(other.to_string().contains("generation 1"), "{other}");
    }
}
