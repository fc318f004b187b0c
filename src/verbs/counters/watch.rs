//! `sockc counters --watch`: what was counted since the last look, a second.
//!
//! On a terminal one table stands where the last one stood; elsewhere each look adds the lines of what was counted. Not here: what is
//! counted.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockc_runtime::Options;

use super::rates::{COLUMNS, Look, words};
use super::wanted::{all_there, is_chosen};
use crate::cli;
use crate::exit::Exit;
use crate::machine::clock;
use crate::machine::counted::name;
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
        let [packets, bytes] = value.since_reset();
        if !shown || (arguments.nonzero && packets == 0) {
            continue;
        }
        let rate = rated.a_second();
        rows.push(vec![
            words(rate.map(|[packets, _]| packets)),
            words(rate.map(|[_, bytes]| bytes)),
            packets.to_string(),
            bytes.to_string(),
            value.counter.direction.clone(),
            name(value),
        ]);
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
