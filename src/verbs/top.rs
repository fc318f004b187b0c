//! `sockc top`: what rules count a second, live sets, live maps and sockets, on a terminal, until `q`.
//!
//! Takes what `counters --watch`, `set list`, `map list` and `socket list` read; draws it anew at each look and each key. Not
//! here: what keys do, and how a screen is drawn.

mod drawn;
mod keys;
mod looked;
mod view;

use std::io;
use std::rc::Rc;
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

/// A look comes after so many times as long as the one before it took, if that is more than was asked for: with very many rules
/// it takes long, and meanwhile no key is heard.
const SPARED: u32 = 10;

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
    let mut looker = Looker::new(options(&arguments.place));
    // What is refused at once is said where everything is said. Until then signals do what they do by themselves.
    let began = Instant::now();
    let first = match looker.look() {
        Ok(first) => first,
        Err(error) => return refused(&error, output),
    };
    let next = after(arguments.every, began);
    let terminal = Signals::hear().and_then(Terminal::take);
    let shown = terminal.and_then(|terminal| match terminal {
        Some(terminal) => Shown {
            terminal,
            looker,
            screen: first,
            view: View::new(arguments.sort, arguments.nonzero),
            keys: Keys::default(),
            commands: drawn::COMMANDS.map(|command| output.suggested(command)),
        }
        .run(arguments.every, next),
        None => Ok(None),
    });
    match shown {
        Ok(None) => Exit::Done,
        Ok(Some(error)) => refused(&error, output),
        Err(error) => unusable(&error, output),
    }
}

/// When the look comes that follows one which ends now.
fn after(every: Duration, began: Instant) -> Instant {
    Instant::now() + every.max(began.elapsed() * SPARED)
}

fn unusable(error: &io::Error, output: &mut Output) -> Exit {
    output.error(format!("the terminal cannot be used: {error}"));
    Exit::Refused
}

/// What is shown, and where. The terminal is given back with it.
struct Shown {
    terminal: Terminal,
    looker: Looker,
    screen: Rc<Screen>,
    view: View,
    keys: Keys,
    /// What shows all of each list.
    commands: [String; 3],
}

impl Shown {
    /// Draws until it is to end; gives why the runtime refused, if that ends it.
    fn run(mut self, every: Duration, mut next: Instant) -> io::Result<Option<Error>> {
        loop {
            let (screen, view, commands) = (&self.screen, &mut self.view, &self.commands);
            self.terminal
                .draw(|frame| drawn::draw(frame, screen, view, commands))?;
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
                    Wish::Stop if self.terminal.stop()? == Woken::End => return Ok(None),
                    Wish::Stop => {}
                    Wish::Draw => {}
                }
            }
            if next <= Instant::now() {
                let began = Instant::now();
                if !self.view.paused {
                    match self.looker.look() {
                        Ok(seen) => self.screen = seen,
                        Err(error) => return Ok(Some(error)),
                    }
                }
                next = after(every, began);
            }
        }
    }
}
