//! One look at what is in force: what `counters --watch`, `set list`, `map list` and `socket list` read.
//!
//! Takes what was seen before, for what was counted since; gives all that is shown. Not here: when somebody looks, and how
//! that is drawn.

use std::rc::Rc;
use std::time::{Duration, Instant};

use sockc_compiler::artifact::CounterKind;
use sockc_compiler::policy::Verb;
use sockc_runtime::{CounterValue, Counts, Error, Options};

use crate::machine::clock::now;
use crate::machine::counted::{bytes_of, counts_packets, is_left_out, name};
use crate::machine::{slots, waiting};
use crate::verbs::counters::LEFT_OUT;
use crate::verbs::counters::rates::{Look, Rated};

/// Another command is waited for so long: keys are not to wait.
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// Sets, maps and sockets are looked at again after so many times as long as that took: large ones are not to cost a processor.
const SPARED: u32 = 10;

/// What is shown of a counter.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Packets and bytes a second; `None` where there is nothing to compare with.
    pub(super) rate: Option<[f64; 2]>,
    /// Packets and bytes since the counter was reset.
    pub(super) total: [u64; 2],
    /// The bytes of that, if there are any: lookups and calls have none.
    pub(super) bytes: Option<u64>,
    pub(super) direction: String,
    pub(super) name: String,
    /// Whether packets are counted here that met its verdict.
    pub(super) decides: bool,
    /// Whether it goes no further.
    pub(super) drops: bool,
}

/// What is in force.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) policy: String,
    pub(super) generation: u32,
    /// What becomes of it unless it is confirmed, if it is on trial.
    pub(super) trial: Option<String>,
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen {
    /// When it was looked at.
    pub(super) time: String,
    pub(super) in_force: Option<InForce>,
    /// What has to be said of it.
    pub(super) notes: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// What else there is, a line each: what it is, and how it stands.
    pub(super) lists: Lists,
    /// How many records of logs found no room, since that was counted or was reset.
    pub(super) lost: u64,
}

/// Live sets, live maps and named sockets, a line each.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    pub(super) sets: Vec<String>,
    pub(super) maps: Vec<String>,
    pub(super) sockets: Vec<String>,
}

/// What counters are compared with: they go on only within a generation, and not over the end of a trial.
struct Before {
    generation: (u32, bool),
    look: Look,
}

/// Who looks, with what was seen before.
pub(super) struct Looker {
    place: Options,
    before: Option<Before>,
    last: Rc<Screen>,
    /// When the lists are looked at next.
    lists_at: Instant,
    /// When what was in force went, if that was seen.
    gone: Option<String>,
}

impl Looker {
    pub(super) fn new(place: Options) -> Self {
        Self {
            place: Options {
                lock_wait: LOCK_WAIT,
                ..place
            },
            before: None,
            last: Rc::default(),
            lists_at: Instant::now(),
            gone: None,
        }
    }

    /// Looks. While another command is at work what was seen before is shown once more, and so it is said.
    pub(super) fn look(&mut self) -> Result<Rc<Screen>, Error> {
        match self.seen() {
            Ok(screen) => {
                self.last = Rc::new(screen);
                Ok(Rc::clone(&self.last))
            }
            Err(Error::Locked { .. }) if self.last.time.is_empty() => Ok(Rc::new(Screen {
                notes: vec![BUSY_AT_FIRST.to_owned()],
                time: now(),
                ..Screen::default()
            })),
            Err(Error::Locked { .. }) => Ok(Rc::new(Screen {
                notes: vec![BUSY.to_owned()],
                ..Screen::clone(&self.last)
            })),
            Err(error) => Err(error),
        }
    }

    fn seen(&mut self) -> Result<Screen, Error> {
        let counts = sockc_runtime::counts(&self.place)?;
        // Once it was read: what the wait for another command took is of the time before.
        let at = Instant::now();
        let Some((policy, generation)) = counts.in_force.clone() else {
            return Ok(self.nothing());
        };
        let known = self.before.as_ref().map(|before| before.generation);
        let lists = match known == Some((generation, counts.trial)) && at < self.lists_at {
            true => self.last.lists.clone(),
            false => match self.lists() {
                // It went between two questions.
                Err(Error::NothingInForce) => return Ok(self.nothing()),
                lists => lists?,
            },
        };
        self.gone = None;
        let trial = counts.waiting.as_ref().map(waiting::line);
        let mut values = counts.values.iter();
        let left_out = values.any(|value| is_left_out(&value.counter));
        let (rows, lost) = self.counted(at, generation, counts);
        Ok(Screen {
            time: now(),
            in_force: Some(InForce {
                policy,
                generation,
                trial,
            }),
            notes: left_out.then(|| LEFT_OUT.to_owned()).into_iter().collect(),
            rows,
            lists,
            lost,
        })
    }

    /// What is shown of the counters, and how many records of logs were lost.
    fn counted(&mut self, at: Instant, generation: u32, counts: Counts) -> (Vec<Row>, u64) {
        let generation = (generation, counts.trial);
        let look = Look::new(at, counts.values);
        let before = self.before.take();
        let before = before.filter(|before| before.generation == generation);
        let rated = look.since(before.as_ref().map(|before| &before.look));
        let lost = |one: &&Rated<'_>| one.value.counter.kind == CounterKind::Lost;
        let lost = rated
            .iter()
            .filter(lost)
            .map(|one| one.value.since_reset()[0])
            .sum();
        let counted = rated.iter().filter(|one| one.value.counter.counted);
        let rows = counted.map(row).collect();
        self.before = Some(Before { generation, look });
        (rows, lost)
    }

    /// What is shown where no policy is in force.
    fn nothing(&mut self) -> Screen {
        self.before = None;
        if self.last.in_force.is_some() {
            self.gone = Some(now());
        }
        let note = match &self.gone {
            Some(time) => {
                format!("the policy was taken out of force ({time}); waiting for another one")
            }
            None => "no policy is in force in this network namespace; waiting for one".to_owned(),
        };
        Screen {
            time: now(),
            notes: vec![note],
            ..Screen::default()
        }
    }

    fn lists(&mut self) -> Result<Lists, Error> {
        let began = Instant::now();
        let lists = Lists {
            sets: as_far_as_shown(self.sets())?,
            maps: as_far_as_shown(self.maps())?,
            sockets: as_far_as_shown(self.sockets())?,
        };
        self.lists_at = Instant::now() + began.elapsed() * SPARED;
        Ok(lists)
    }

    fn sets(&self) -> Result<Vec<String>, Error> {
        let sets = sockc_runtime::set_names(&self.place)?.into_iter();
        Ok(sets
            .map(|set| format!("{}  {} of {}", set.name, set.elements, set.max))
            .collect())
    }

    fn maps(&self) -> Result<Vec<String>, Error> {
        let maps = sockc_runtime::map_names(&self.place)?.into_iter();
        Ok(maps
            .map(|map| format!("{}  {} of {}", map.name, map.entries, map.max))
            .collect())
    }

    fn sockets(&self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for (_, states) in sockc_runtime::socket_list(&self.place)? {
            let lines = slots::lines(&states);
            let words = |line: &slots::Line<'_>| {
                format!("{} {}  {}", line.state.socket, line.slot(), line.words())
            };
            all.extend(lines.iter().map(words));
        }
        let ends = sockc_runtime::socket_ends(&self.place)?;
        all.extend(slots::ends(&ends).iter().map(slots::End::words));
        Ok(all)
    }
}

/// A list, or that it is not shown to a member of the group that may read what is counted.
fn as_far_as_shown(list: Result<Vec<String>, Error>) -> Result<Vec<String>, Error> {
    match list {
        Err(Error::Rights { missing }) => {
            Ok(vec![format!("not shown without {}", missing.join(" and "))])
        }
        list => list,
    }
}

/// Why what is shown is older than it could be.
const BUSY: &str = "another command is at work here; this is what was there before it";

/// The same where nothing was seen yet.
const BUSY_AT_FIRST: &str = "another command is at work here; waiting for it";

fn row(rated: &Rated<'_>) -> Row {
    let counter = &rated.value.counter;
    let total = rated.value.since_reset();
    let stopped = [Verb::Drop.word(), Verb::Reject.word()].contains(&&*counter.verdict);
    let of_packets = matches!(
        counter.kind,
        CounterKind::Rule | CounterKind::Default | CounterKind::Malformed | CounterKind::Refused
    );
    let decides = of_packets
        && counts_packets(rated.value)
        && !counter.audit
        && counter.verdict != Verb::Count.word();
    Row {
        rate: rated.a_second(),
        total,
        bytes: bytes_of(counter, total),
        direction: counter.direction.clone(),
        name: short(rated.value),
        decides,
        drops: decides && stopped,
    }
}

/// As `counters` names it, without the folder of its file: a screen is narrow.
fn short(value: &CounterValue) -> String {
    let whole = name(value);
    let folder = value
        .counter
        .location
        .file
        .rfind('/')
        .map_or(0, |at| at + 1);
    match value.counter.location.line {
        0 => whole,
        _ => whole.get(folder..).unwrap_or(&whole).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use sockc_compiler::artifact::Counter;
    use sockc_compiler::location::Location;

    use super::*;

    fn counts(packets: u64, reset: u64) -> Counts {
        let counter = |kind| Counter {
            kind,
            label: None,
            location: Location::new("edge.sk", 1, "drop udp"),
            direction: "in".to_owned(),
            verdict: "drop".to_owned(),
            audit: false,
            log: None,
            counted: true,
        };
        let value = |kind| CounterValue {
            netns: None,
            entered: None,
            counter: counter(kind),
            packets,
            bytes: 60 * packets,
            reset: [reset, 60 * reset],
        };
        Counts {
            values: vec![value(CounterKind::Rule), value(CounterKind::Lost)],
            ..Counts::default()
        }
    }

    #[test]
    fn rates_are_of_one_generation_and_totals_since_a_reset() {
        let mut looker = Looker::new(Options::default());
        let begin = Instant::now();
        let at = |second| begin + Duration::from_secs(second);
        for (second, generation, has_rate) in [(0, 2, false), (1, 2, true), (2, 1, false)] {
            let (rows, lost) = looker.counted(at(second), generation, counts(10 + second, 4));
            assert_eq!(rows[0].rate.is_some(), has_rate, "{second}");
            assert_eq!((rows[0].total[0], lost), (6 + second, 6 + second));
            assert!(rows[0].decides && rows[0].drops);
        }
    }
}
