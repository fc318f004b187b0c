//! `sockc counters --watch`: what was counted since the last look, a second.
//!
//! On a terminal one table stands where the last one stood; elsewhere each look adds the lines of what was counted. Not here: what is
//! counted.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockc_runtime::Options;

use super::rates::{COLUMNS, Look, Rated, words};
use super::wanted::{all_there, is_chosen};
use crate::cli;
use crate::exit::Exit;
use crate::machine::clock;
use crate::machine::counted::{bytes_of, in_words, name};
use crate::machine::losses::Losses;
use crate::machine::refused;
use crate::output::{Output, columns};

/// What makes a terminal empty, and writes at its top.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Why nothing is shown.
const ON_TRIAL: &str = "the policy waits to be confirmed; its counters are not compared with those of the one before until one of both stays";

pub(super) fn run(
    place: &Options,
    arguments: &cli::Counters,
    every: Duration,
    output: &mut Output,
) -> Exit {
    if output.is_json() {
        output.error("--watch prints no JSON; run `sockc counters --json` at the times you want");
        return Exit::Usage;
    }
    let end = match sockc_runtime::end_signals() {
        Ok(end) => end,
        Err(error) => {
            output.error(format!("cannot hear of interrupts: {error}"));
            return Exit::Refused;
        }
    };
    let mut before: Option<Look> = None;
    let mut waits = false;
    let mut losses = Losses::default();
    loop {
        let counts = match sockc_runtime::counts(place) {
            Ok(counts) => counts,
            Err(error) => return refused(&error, output),
        };
        // Once it was read: what the wait for another command took is of the time before.
        let at = Instant::now();
        if counts.trial && !waits {
            output.note(ON_TRIAL);
        }
        waits = counts.trial;
        if !waits {
            let values = counts.values;
            // Whoever waits for a policy need not begin again; a rule that is not there was there once.
            if before.is_none()
                && !values.is_empty()
                && let Err(exit) = all_there(&values, &arguments.rules, output)
            {
                return exit;
            }
            let now = Look::new(at, values);
            show(&now, before.as_ref(), arguments, output);
            if output.is_broken() {
                return Exit::Done;
            }
            before = Some(now);
        }
        // A table that is drawn anew takes what was said below the one before with it.
        let known = match output.is_terminal() && !waits {
            true => Losses::default(),
            false => losses,
        };
        losses = Losses::look(place);
        losses.note_since(&known, output);
        let mut wait = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(every).unwrap_or(PollTimeout::MAX);
        if poll(&mut wait, time).is_ok_and(|ended| ended > 0) {
            return Exit::Done;
        }
    }
}

/// Shows what came since the look before; at the first look what there is.
fn show(now: &Look, before: Option<&Look>, arguments: &cli::Counters, output: &mut Output) {
    let terminal = output.is_terminal();
    let mut rows = vec![COLUMNS.map(String::from).to_vec()];
    for rated in now.since(before) {
        let value = rated.value;
        if !value.counter.counted || !is_chosen(value, &arguments.rules) {
            continue;
        }
        let came = rated.more.is_none_or(|more| more != [0, 0]);
        // Lines that follow each other say what is new; a table says how all stands.
        let shown = match (terminal, before.is_some()) {
            (false, true) => came,
            _ => true,
        };
        if !shown || (arguments.nonzero && value.since_reset()[0] == 0) {
            continue;
        }
        rows.push(cells(&rated));
    }
    let time = clock::now();
    let mut text = String::new();
    if terminal {
        text.push_str(CLEAR);
    }
    text.push_str(&format!(
        "{time}{}\n",
        if now.is_empty() {
            ": no policy is in force"
        } else {
            ""
        }
    ));
    if rows.len() > 1 {
        for line in columns::lines(&rows) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    output.bytes(text.as_bytes());
}

/// What stands in the columns for a counter.
fn cells(rated: &Rated<'_>) -> Vec<String> {
    let (value, rate) = (rated.value, rated.a_second());
    let [packets, bytes] = value.since_reset();
    // What has no bytes has none a second either.
    let bytes = bytes_of(&value.counter, [packets, bytes]);
    vec![
        words(rate.map(|[packets, _]| packets)),
        words(rate.filter(|_| bytes.is_some()).map(|[_, bytes]| bytes)),
        packets.to_string(),
        in_words(bytes),
        value.counter.direction.clone(),
        name(value),
    ]
}

#[cfg(test)]
mod tests {
    use sockc_compiler::artifact::{Counter, CounterKind};
    use sockc_compiler::location::Location;
    use sockc_runtime::CounterValue;

    use super::*;

    fn value(direction: &str, packets: u64, bytes: u64) -> CounterValue {
        CounterValue {
            netns: None,
            entered: None,
            counter: Counter {
                kind: CounterKind::Rule,
                label: None,
                location: Location::new("edge.sk", 1, "drop udp"),
                direction: direction.to_owned(),
                verdict: "drop".to_owned(),
                audit: false,
                log: None,
                counted: true,
            },
            packets,
            bytes,
            reset: [0, 0],
        }
    }

    #[test]
    fn calls_have_no_bytes_here_either() {
        let begin = Instant::now();
        for (direction, bytes, wanted) in [
            ("connect", 0, ["1.0", "-", "3", "-"]),
            ("in", 600, ["1.0", "150.0", "3", "600"]),
        ] {
            let before = Look::new(begin, vec![value(direction, 1, bytes / 2)]);
            let after = begin + Duration::from_secs(2);
            let now = Look::new(after, vec![value(direction, 3, bytes)]);
            let rated = now.since(Some(&before));
            assert_eq!(cells(&rated[0])[..4], wanted, "{direction}");
        }
    }
}
