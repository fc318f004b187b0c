//! What the kernel does otherwise on connections that rules of a group concern: a row each, which the manual has too.
//!
//! Takes the manifest of a policy; gives what of it this kernel does on the connections that the policy takes in, found by
//! [`probe::streams`](crate::probe::streams). Of a policy that takes none in nothing is tried. What cannot be tried now is told as
//! the policy of before found it, if it did; else it is said that it is not known. Not here: what is tried.

use std::io;
use std::sync::{Mutex, PoisonError};

use sockc_compiler::artifact::{AttachPoint, Manifest};
use sockc_compiler::policy::Verb;

use crate::probe::streams::trials::{self, Trial};
use crate::probe::streams::{Bench, Fault, Faults, Way, apart};
use crate::state::record::Record;

/// What may be otherwise.
struct Row {
    word: &'static str,
    what: &'static str,
    ways: &'static [Way],
    trial: Trial,
}

const WRITTEN: &[Way] = &[Way::Send];
/// Where what is read stands in another queue than that of TCP.
const QUEUED: &[Way] = &[Way::Shortcut, Way::Receive];
const EVERY: &[Way] = &[Way::Send, Way::Shortcut, Way::Receive];

/// All of it, in the manual's order.
const ROWS: [Row; 14] = [
    row(
        "half-close",
        "a blocking read gives EAGAIN though nothing has come, as after a `shutdown` of the own side",
        &[Way::Send, Way::Receive],
        trials::half_close,
    ),
    row(
        "fionread",
        "FIONREAD says 0 while data waits",
        EVERY,
        trials::unread,
    ),
    row(
        "waitall",
        "a read with MSG_WAITALL does not wait for all",
        QUEUED,
        trials::wait_for_all,
    ),
    row(
        "rcvlowat",
        "a read gives less than SO_RCVLOWAT asks for",
        QUEUED,
        trials::low_water,
    ),
    row(
        "splice",
        "splice(2) from the socket finds nothing while data waits",
        QUEUED,
        trials::spliced,
    ),
    row(
        "peek",
        "MSG_PEEK does not show all that waits",
        QUEUED,
        trials::peeked,
    ),
    row(
        "peek-offset",
        "MSG_PEEK begins at the first byte, whatever SO_PEEK_OFF says",
        QUEUED,
        trials::peeked_behind,
    ),
    row(
        "trunc",
        "a read with MSG_TRUNC copies what it should only throw away",
        QUEUED,
        trials::thrown_away,
    ),
    row(
        "inq",
        "with TCP_INQ a read does not say how much is left",
        QUEUED,
        trials::left_beside,
    ),
    row(
        "info",
        "TCP_INFO does not count what has come",
        QUEUED,
        trials::told_of,
    ),
    row(
        "urgent",
        "urgent data is read as ordinary data",
        EVERY,
        trials::urgent,
    ),
    row(
        "write-nothing",
        "a write of no bytes after `shutdown` gives 0, and not EPIPE",
        WRITTEN,
        trials::nothing_written,
    ),
    row(
        "reset",
        "after a reset every write gives ECONNRESET, and not EPIPE from the second on",
        WRITTEN,
        trials::reset,
    ),
    row(
        "zerocopy",
        "a write with MSG_ZEROCOPY takes several numbers in the error queue, or none",
        WRITTEN,
        trials::numbered,
    ),
];

const fn row(word: &'static str, what: &'static str, ways: &'static [Way], trial: Trial) -> Row {
    Row {
        word,
        what,
        ways,
        trial,
    }
}

/// What trying one way gave.
#[derive(Clone)]
struct Tried {
    way: Way,
    /// The words of what is otherwise.
    found: Vec<&'static str>,
    /// Why not all could be tried.
    untried: Option<String>,
}

/// What was found in this process, where all could be tried: the kernel stays the same.
static KNOWN: Mutex<Vec<Tried>> = Mutex::new(Vec::new());

/// What this kernel does otherwise on the connections of a policy; `before` is the one in force.
pub(crate) fn look(manifest: &Manifest, before: Option<&Record>) -> Faults {
    let known: Vec<Tried> = ways(manifest)
        .into_iter()
        .map(|way| {
            let tried = of_way(way);
            let earlier = before.filter(|_| tried.untried.is_some());
            earlier
                .and_then(|before| found_by(before, way))
                .unwrap_or(tried)
        })
        .collect();
    let found = ROWS.iter().filter_map(|row| {
        let found = known.iter().filter(|one| one.found.contains(&row.word));
        let mut ways: Vec<Way> = found.map(|one| one.way).collect();
        ways.sort_unstable();
        (!ways.is_empty()).then(|| Fault {
            word: row.word.to_owned(),
            what: row.what.to_owned(),
            ways,
        })
    });
    Faults {
        found: found.collect(),
        untried: known.iter().find_map(|one| one.untried.clone()),
    }
}

/// What is otherwise in one way. What could not be tried is tried again when it is asked for the next time.
fn of_way(way: Way) -> Tried {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(one) = known.iter().find(|one| one.way == way) {
        return one.clone();
    }
    let tried = apart(|| tried(way));
    if tried.untried.is_none() {
        known.push(tried.clone());
    }
    tried
}

/// What an apply of before found in this way, if it could try all. Its record is as old as the kernel that runs.
fn found_by(before: &Record, way: Way) -> Option<Tried> {
    told(before.faults.as_ref()?, &ways(&before.manifest), way)
}

/// What was found in one of the ways that were tried.
fn told(faults: &Faults, tried: &[Way], way: Way) -> Option<Tried> {
    if faults.untried.is_some() || !tried.contains(&way) {
        return None;
    }
    let is_otherwise = |row: &&Row| {
        let mut found = faults.found.iter();
        found.any(|fault| fault.word == row.word && fault.ways.contains(&way))
    };
    Some(Tried {
        way,
        found: ROWS
            .iter()
            .filter(is_otherwise)
            .map(|row| row.word)
            .collect(),
        untried: None,
    })
}

/// Why something could not be tried.
fn why(way: Way, what: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EBUSY) => format!(
            "{what}, {}: a policy in force takes in the sockets that it is tried on",
            way.word()
        ),
        _ => format!("{what}, {}: {error}", way.word()),
    }
}

/// Tries all that may be otherwise in one way.
fn tried(way: Way) -> Tried {
    let (mut found, mut untried) = (Vec::new(), None);
    let said = |what: &str, error: &io::Error| Some(why(way, what, error));
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.ways.contains(&way)).collect();
    match Bench::new(way, rows.len()) {
        Err(error) => untried = said("a table of sockets", &error),
        Ok(bench) => {
            for row in rows {
                match bench.pair().and_then(|pair| (row.trial)(&pair)) {
                    Ok(true) => found.push(row.word),
                    Ok(false) => {}
                    Err(error) => untried = untried.or_else(|| said(row.word, &error)),
                }
            }
        }
    }
    Tried {
        way,
        found,
        untried,
    }
}

/// In which ways connections stand in tables under a policy.
fn ways(manifest: &Manifest) -> Vec<Way> {
    let mut ways = Vec::new();
    let hangs = |is: fn(&AttachPoint) -> bool| manifest.programs.iter().any(|one| is(&one.point));
    if hangs(|point| matches!(point, AttachPoint::SkMsg(_))) {
        ways.push(Way::Send);
    }
    let mut counters = manifest.counters.iter();
    let is_put = counters.any(|one| one.verdict == Verb::Shortcut.word())
        || manifest.ends.iter().any(|end| end.input);
    if is_put {
        ways.push(Way::Shortcut);
    }
    if hangs(|point| matches!(point, AttachPoint::SkSkb(_))) {
        ways.push(Way::Receive);
    }
    ways
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::pelted::pelted;

    fn fault(word: &str, ways: &[Way]) -> Fault {
        Fault {
            word: word.to_owned(),
            what: String::new(),
            ways: ways.to_vec(),
        }
    }

    /// What an apply of before found while all could be tried.
    #[test]
    fn what_was_found_is_told_in_place_of_what_cannot_be_tried_now() {
        let found = vec![
            fault("reset", &[Way::Send]),
            fault("waitall", &[Way::Shortcut, Way::Receive]),
        ];
        let before = Faults {
            found,
            untried: None,
        };
        for (way, words) in [
            (Way::Send, ["reset"].as_slice()),
            (Way::Receive, &["waitall"]),
        ] {
            let tried = told(&before, &[Way::Send, Way::Receive], way).unwrap();
            assert_eq!((tried.found.as_slice(), tried.untried), (words, None));
        }
        assert!(told(&before, &[Way::Send], Way::Receive).is_none());
        let partly = Faults {
            untried: Some("why".to_owned()),
            ..before
        };
        assert!(told(&partly, &[Way::Send], Way::Send).is_none());
    }

    /// A signal ends a read that has a time limit, or one that waits for more; the kernel does neither.
    #[test]
    fn signals_change_nothing_of_what_is_found() {
        if !crate::lab::permitted() {
            return;
        }
        for way in [Way::Send, Way::Shortcut, Way::Receive] {
            let quiet = apart(|| super::tried(way));
            assert_eq!(quiet.untried, None, "{way:?}");
            let disturbed = pelted(usize::MAX, Duration::from_micros(300), |target| {
                apart(|| {
                    let _signals = target.here();
                    super::tried(way)
                })
            });
            assert_eq!(disturbed.untried, None, "{way:?}");
            assert_eq!(disturbed.found, quiet.found, "{way:?}");
        }
    }

    #[test]
    fn a_socket_of_a_policy_is_named_as_the_reason() {
        let busy = io::Error::from_raw_os_error(libc::EBUSY);
        assert!(why(Way::Send, "reset", &busy).contains("a policy in force takes in"));
        let other = io::Error::from_raw_os_error(libc::EPERM);
        assert!(why(Way::Send, "reset", &other).contains("not permitted"));
    }
}
