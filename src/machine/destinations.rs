//! What became of what was given to named sockets, as lines and as JSON, the same for every verb.
//!
//! Takes what the runtime read; gives words. Not here: who is behind the names, which is told of their slots.

use serde::Serialize;
use sockc_compiler::destination::Ending;
use sockc_runtime::{Destination, SlotKind};

use crate::output::Output;

/// What a name was given, of one protocol and family, in JSON.
#[derive(Serialize)]
pub(crate) struct Row<'a> {
    socket: &'a str,
    /// `tcp4`, `tcp6`, `udp4` or `udp6`.
    slot: String,
    /// Socket lookups, and packets at TC.
    lookups: u64,
    /// A socket got them.
    given: u64,
    /// Nobody was there.
    misses: u64,
    /// Somebody was there who did not get them.
    errors: Errors,
}

/// Why who was there did not get it.
#[derive(Serialize)]
struct Errors {
    /// It is closed, or, at TC, does not listen or is connected.
    idle: u64,
    /// The kernel says that it does not listen any more or is connected; at TC, before Linux 6.6, that it is of a reuseport group.
    unsuited: u64,
    /// A lookup program of somebody else, which was asked before, had chosen another socket.
    chosen: u64,
    /// The kernel refused it for another reason.
    refused: u64,
}

/// All of them in JSON.
pub(crate) fn rows(destinations: &[Destination]) -> Vec<Row<'_>> {
    destinations
        .iter()
        .map(|one| Row {
            socket: &one.socket,
            slot: SlotKind::of(&one.slot).name(),
            lookups: one.endings.all(),
            given: one.endings.of(Ending::Given),
            misses: one.endings.of(Ending::Missed),
            errors: Errors {
                idle: one.endings.of(Ending::Idle),
                unsuited: one.endings.of(Ending::Unsuited),
                chosen: one.endings.of(Ending::Chosen),
                refused: one.endings.of(Ending::Refused),
            },
        })
        .collect()
}

/// A line for each that was given something.
pub(crate) fn tell(destinations: &[Destination], output: &mut Output) {
    let given = destinations.iter().filter(|one| one.endings.all() > 0);
    let rows = given.map(|one| {
        vec![
            format!("  socket {}", one.socket),
            SlotKind::of(&one.slot).name(),
            words(one),
        ]
    });
    output.table(&rows.collect::<Vec<_>>());
}

/// How many lookups there were, and what became of them.
fn words(one: &Destination) -> String {
    let lookups = match one.endings.all() {
        1 => "1 lookup".to_owned(),
        all => format!("{all} lookups"),
    };
    let parts = Ending::ALL.into_iter().filter_map(|ending| {
        let count = one.endings.of(ending);
        (count > 0).then(|| format!("{count} {}", ended(ending)))
    });
    format!("{lookups}: {}", parts.collect::<Vec<_>>().join(", "))
}

/// What is said of a number of lookups that ended so.
fn ended(ending: Ending) -> &'static str {
    match ending {
        Ending::Given => "given to a socket",
        Ending::Missed => "found nobody there",
        Ending::Idle => {
            "found a socket that takes nothing: it does not listen, is connected or closed"
        }
        Ending::Unsuited => {
            "refused by the kernel: the socket does not listen any more, is connected, or (at TC before Linux 6.6) of a reuseport group"
        }
        Ending::Chosen => "had a socket already, from a lookup program of somebody else",
        Ending::Refused => "refused by the kernel for another reason",
    }
}
