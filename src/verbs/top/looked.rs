//! One look at what is in force: what `counters --watch`, `set list` and `socket list` read.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sockc_compiler::artifact::CounterKind;
use sockc_compiler::policy::Verb;
use sockc_runtime::{Error, Options};

use crate::machine::clock::utc;
use crate::machine::counted::name;
use crate::machine::slots;
use crate::verbs::counters::ON_TRIAL;
use crate::verbs::counters::rates::{Look, Rated};

/// What is shown of a counter.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Packets and bytes a second; `None` at the first look.
    pub(super) rate: Option<[f64; 2]>,
    /// Packets and bytes since the counter was reset.
    pub(super) total: [u64; 2],
    pub(super) direction: String,
    pub(super) verdict: String,
    pub(super) name: String,
    /// Whether what is counted here does not go on.
    pub(super) drops: bool,
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen {
    /// When it was looked at.
    pub(super) time: String,
    /// Why there are no rates, or nothing at all.
    pub(super) note: Option<String>,
    pub(super) rows: Vec<Row>,
    /// Live sets, each with how full it is.
    pub(super) sets: Vec<String>,
    /// Named sockets, each with how it stands.
    pub(super) sockets: Vec<String>,
    /// Records of logs that were lost.
    pub(super) lost: u64,
}

/// Who looks, with what was seen before.
pub(super) struct Looker {
    place: Options,
    before: Option<Look>,
    last: Screen,
}

impl Looker {
    pub(super) fn new(place: Options) -> Self {
        Self {
            place,
            before: None,
            last: Screen::default(),
        }
    }

    /// Looks. While another command is at work what was seen before is shown once more, and so it is said.
    pub(super) fn look(&mut self) -> Result<Screen, Error> {
        match self.seen() {
            Ok(screen) => {
                self.last = screen.clone();
                Ok(screen)
            }
            Err(Error::Locked { .. }) => Ok(Screen {
                note: Some(
                    "another command is at work; this is what was there before it".to_owned(),
                ),
                ..self.last.clone()
            }),
            // It went between two questions.
            Err(Error::NothingInForce) => Ok(Screen {
                note: Some(NOTHING.to_owned()),
                time: now(),
                ..Screen::default()
            }),
            Err(error) => Err(error),
        }
    }

    fn seen(&mut self) -> Result<Screen, Error> {
        let at = Instant::now();
        let counts = sockc_runtime::counts(&self.place)?;
        if counts.values.is_empty() {
            self.before = None;
            return Err(Error::NothingInForce);
        }
        let look = Look::new(at, counts.values);
        // Counters of a policy on trial do not go on with those of the one before.
        let before = self.before.take().filter(|_| !counts.trial);
        let rated = look.since(before.as_ref());
        let counted = rated.iter().filter(|one| one.value.counter.counted);
        let lost = |one: &&Rated<'_>| one.value.counter.kind == CounterKind::Lost;
        let screen = Screen {
            time: now(),
            note: counts.trial.then(|| ON_TRIAL.to_owned()),
            lost: rated.iter().filter(lost).map(|one| one.value.packets).sum(),
            rows: counted.map(row).collect(),
            sets: self.sets()?,
            sockets: self.sockets()?,
        };
        self.before = (!counts.trial).then_some(look);
        Ok(screen)
    }

    fn sets(&self) -> Result<Vec<String>, Error> {
        let sets = sockc_runtime::set_names(&self.place)?.into_iter();
        Ok(sets
            .map(|set| format!("{}  {} of {}", set.name, set.elements, set.max))
            .collect())
    }

    fn sockets(&self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for (_, states) in sockc_runtime::socket_list(&self.place)? {
            let lines = slots::lines(&states);
            let lines = lines.iter();
            all.extend(
                lines
                    .map(|line| format!("{} {}  {}", line.state.socket, line.slot(), line.words())),
            );
        }
        Ok(all)
    }
}

/// What stands for a policy where there is none.
const NOTHING: &str = "no policy is in force in this network namespace";

fn row(rated: &Rated<'_>) -> Row {
    let counter = &rated.value.counter;
    let stopped = [Verb::Drop.word(), Verb::Reject.word()].contains(&&*counter.verdict);
    let decides = matches!(
        counter.kind,
        CounterKind::Rule | CounterKind::Default | CounterKind::Malformed | CounterKind::Refused
    );
    Row {
        rate: rated.a_second(),
        total: rated.value.since_reset(),
        direction: counter.direction.clone(),
        verdict: match counter.audit {
            true => format!("audit {}", counter.verdict),
            false => counter.verdict.clone(),
        },
        name: name(rated.value),
        drops: stopped && decides && !counter.audit,
    }
}

fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    utc(now.map_or(0, |now| now.as_secs()))
}
