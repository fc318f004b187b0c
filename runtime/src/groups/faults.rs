//! What the kernel does otherwise on connections that rules of a group concern: a row each, which the manual has too.
//!
//! Takes the manifest of a policy; gives what of it this kernel does on the connections that the policy takes in, found by
//! [`probe::streams`](crate::probe::streams). Of a policy that takes none in nothing is tried. Not here: what is tried.

use std::io;
use std::sync::{Mutex, PoisonError};

use sockc_compiler::artifact::{AttachPoint, Manifest};
use sockc_compiler::policy::Verb;

use crate::probe::streams::trials::{self, Trial};
use crate::probe::streams::{Bench, Fault, Faults, Way, apart};

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
struct Tried {
    way: Way,
    /// The words of what is otherwise.
    found: Vec<&'static str>,
    /// Why not all could be tried.
    untried: Option<String>,
}

/// What was found in this process: the kernel stays the same.
static KNOWN: Mutex<Vec<Tried>> = Mutex::new(Vec::new());

/// What this kernel does otherwise on the connections of a policy.
pub(crate) fn look(manifest: &Manifest) -> Faults {
    let ways = ways(manifest);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    for way in &ways {
        if known.iter().all(|one| one.way != *way) {
            known.push(apart(|| tried(*way)));
        }
    }
    let known: Vec<_> = known.iter().filter(|one| ways.contains(&one.way)).collect();
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

/// Tries all that may be otherwise in one way.
fn tried(way: Way) -> Tried {
    let (mut found, mut untried) = (Vec::new(), None);
    let said = |what: &str, error: &io::Error| Some(format!("{what}, {}: {error}", way.word()));
    match Bench::new(way) {
        Err(error) => untried = said("a table of sockets", &error),
        Ok(bench) => {
            for row in ROWS.iter().filter(|row| row.ways.contains(&way)) {
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
