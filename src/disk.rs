//! The files that a policy names, read from the machine.
//!
//! A list that takes long says on a terminal how far its reading has come.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use sockc_compiler::files::{Files, Progress};

/// What takes less time says nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a line is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// The machine's files.
#[derive(Debug)]
pub(crate) struct Disk {
    terminal: bool,
    started: Instant,
    /// When the line was drawn last; it is taken away in the end.
    drawn: Option<Instant>,
}

impl Disk {
    /// Begins to read now.
    pub(crate) fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            started: Instant::now(),
            drawn: None,
        }
    }
}

impl Files for Disk {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        fs::read(path).map_err(|error| error.to_string())
    }

    fn progress(&mut self, progress: Progress<'_>) {
        let now = Instant::now();
        let waited = now - self.drawn.map_or(self.started, |drawn| drawn);
        let wait = if self.drawn.is_some() {
            REDRAW
        } else {
            PATIENCE
        };
        if !self.terminal || waited < wait {
            return;
        }
        self.drawn = Some(now);
        let percent = progress.done * 100 / progress.total.max(1);
        draw(&format!("reading {}: {percent} %", progress.name));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            draw("");
        }
    }
}

/// Draws a line over the one before; a terminal that is gone needs none.
fn draw(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
}
