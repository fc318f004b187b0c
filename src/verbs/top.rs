//! `sockc top`: what rules count a second, live sets and sockets, on a terminal, until `q`.
//!
//! Takes what `counters --watch`, `set list` and `socket list` read; draws it anew at each look and each key. Not here: what keys do, and
//! how a screen is drawn.

mod drawn;
mod keys;
mod looked;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::crossterm::event::{self, Event};
use ratatui::{DefaultTerminal, TerminalOptions, Viewport};

use crate::cli;
use crate::exit::Exit;
use crate::machine::{options, refused};
use crate::output::Output;
use keys::View;
use looked::{Looker, Screen};

/// How long a key may wait for what else is done.
const PACE: Duration = Duration::from_millis(100);

/// Shows it.
pub(crate) fn run(arguments: &cli::Top, output: &mut Output) -> Exit {
    if output.is_json() {
        output.error("top prints no JSON; run `sockc counters --json` at the times you want");
        return Exit::Usage;
    }
    if !output.is_on_terminal() {
        output.error("top needs a terminal, to draw on and for its keys; `sockc counters --watch` prints lines");
        return Exit::Usage;
    }
    // Before threads are started, and before there is a screen to be given back.
    let end = match sockc_runtime::end_signals() {
        Ok(end) => end,
        Err(error) => {
            output.error(format!("cannot hear of interrupts: {error}"));
            return Exit::Refused;
        }
    };
    let mut looker = Looker::new(options(&arguments.place));
    // What is refused at once is said where everything is said.
    let first = match looker.look() {
        Ok(first) => first,
        Err(error) => return refused(&error, output),
    };
    let options = TerminalOptions {
        viewport: Viewport::Fullscreen,
    };
    let shown = ratatui::try_init_with_options(options)
        .and_then(|mut terminal| show(&mut terminal, looker, first, arguments.every, &end));
    ratatui::restore();
    match shown {
        Ok(None) => Exit::Done,
        Ok(Some(error)) => refused(&error, output),
        Err(error) => {
            output.error(format!("the terminal cannot be used: {error}"));
            Exit::Refused
        }
    }
}

/// Draws until it is to end; gives why the runtime refused, if that ends it.
fn show(
    terminal: &mut DefaultTerminal,
    mut looker: Looker,
    mut screen: Screen,
    every: Duration,
    end: &OwnedFd,
) -> io::Result<Option<sockc_runtime::Error>> {
    let mut view = View::default();
    let mut next = Instant::now() + every;
    loop {
        terminal.draw(|frame| drawn::draw(frame, &screen, &mut view))?;
        if event::poll(PACE.min(next.saturating_duration_since(Instant::now())))?
            && let Event::Key(key) = event::read()?
            && view.key(key)
        {
            return Ok(None);
        }
        let mut ended = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ended, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            return Ok(None);
        }
        if next <= Instant::now() {
            next = Instant::now() + every;
            match looker.look() {
                Ok(seen) => screen = seen,
                Err(error) => return Ok(Some(error)),
            }
        }
    }
}
