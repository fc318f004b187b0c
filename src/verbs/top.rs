//! `sockc top`: what rules count a second, live sets, live maps and sockets, on a terminal, until `q`.
//!
//! Takes what `counters --watch`, `set list`, `map list` and `socket list` read; draws it anew at each look and each key. Not
//! here: what keys do, and how a screen is drawn.

mod drawn;
mod keys;
mod looked;
mod view;

use std::io;
use std::time::{Duration, Instant};

use sockc_runtime::Error;

use crate::cli;
use crate::exit::Exit;
use crate::machine::{options, refused};
use crate::output::Output;
use crate::output::terminal::{Signals, Terminal, Woken};
use keys::Keys;
use looked::{Looker, Screen};
use view::{View, Wish};

/// Escape is a key of its own where nothing follows it for so long.
const ALONE: Duration = Duration::from_millis(50);

/// Shows it.
pub(crate) fn run(arguments: &cli::Top, output: &mut Output) -> Exit {
    if output.is_json() {
        output.error("top prints no JSON; run `sockc counters --json` at the times you want");
        return Exit::Usage;
    }
    if !output.is_on_terminal() {
        output.error("top needs a terminal, to draw on and for its keys; `sockc counters --watch` prints lines instead");
        return Exit::Usage;
    }
    // Ahead of all threads, which are not to be ended by them either.
    let signals = match Signals::hear() {
        Ok(signals) => signals,
        Err(error) => return unusable(&error, output),
    };
    let mut looker = Looker::new(options(&arguments.place));
    // What is refused at once is said where everything is said.
    let first = match looker.look() {
        Ok(first) => first,
        Err(error) => return refused(&error, output),
    };
    let shown = Terminal::take(signals).and_then(|terminal| {
        Shown {
            terminal,
            looker,
            screen: first,
            view: View::new(arguments.sort, arguments.nonzero),
            keys: Keys::default(),
        }
        .run(arguments.every)
    });
    match shown {
        Ok(None) => Exit::Done,
        Ok(Some(error)) => refused(&error, output),
        Err(error) => unusable(&error, output),
    }
}

fn unusable(error: &io::Error, output: &mut Output) -> Exit {
    output.error(format!("the terminal cannot be used: {error}"));
    Exit::Refused
}

/// What is shown, and where. The terminal is given back with it.
struct Shown {
    terminal: Terminal,
    looker: Looker,
    screen: Screen,
    view: View,
    keys: Keys,
}

impl Shown {
    /// Draws until it is to end; gives why the runtime refused, if that ends it.
    fn run(mut self, every: Duration) -> io::Result<Option<Error>> {
        let mut next = Instant::now() + every;
        loop {
            let (screen, view) = (&self.screen, &mut self.view);
            self.terminal
                .draw(|frame| drawn::draw(frame, screen, view))?;
            let left = next.saturating_duration_since(Instant::now());
            let at_most = match self.keys.has_begun() {
                true => ALONE,
                false => left,
            };
            let typed = match self.terminal.wait(at_most)? {
                Woken::End => return Ok(None),
                Woken::Typed(bytes) => self.keys.more(&bytes),
                Woken::Nothing if self.keys.has_begun() => vec![self.keys.over()],
                Woken::Nothing | Woken::Anew => Vec::new(),
            };
            for key in typed {
                match self.view.key(key) {
                    Wish::End => return Ok(None),
                    Wish::Stop => self.terminal.stop()?,
                    Wish::Draw => {}
                }
            }
            if next <= Instant::now() {
                if !self.view.paused {
                    match self.looker.look() {
                        Ok(seen) => self.screen = seen,
                        Err(error) => return Ok(Some(error)),
                    }
                }
                next = Instant::now() + every;
            }
        }
    }
}
