//! How long each stage takes: said in the end with `-v`, and while it lasts on a terminal.
//!
//! Takes the stages as they begin; a stage that comes again adds to its first. What takes less than a second draws
//! nothing. Not here: what the stages are.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use sockc_compiler::observer::Observer;

/// What takes less time says nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a line is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// The stages of a run.
#[derive(Debug)]
pub(crate) struct Watch {
    verbose: bool,
    terminal: bool,
    began: Instant,
    /// What each stage took, in the order of their first beginnings.
    stages: Vec<(String, Duration)>,
    /// The stage that lasts, and when it began.
    current: Option<(usize, Instant)>,
    /// When a line was drawn last; it is taken away in the end.
    drawn: Option<Instant>,
}

impl Watch {
    /// Begins now.
    pub(crate) fn new(verbose: bool) -> Self {
        Self {
            verbose,
            terminal: io::stderr().is_terminal(),
            began: Instant::now(),
            stages: Vec::new(),
            current: None,
            drawn: None,
        }
    }

    /// One that says nothing, for work beside what another one tells of.
    pub(crate) fn quiet() -> Self {
        let mut quiet = Self::new(false);
        quiet.terminal = false;
        quiet
    }

    /// Ends the stage that lasts.
    fn pause(&mut self) {
        if let Some((index, since)) = self.current.take()
            && let Some((_, took)) = self.stages.get_mut(index)
        {
            *took += since.elapsed();
        }
    }

    /// Takes away what was drawn.
    pub(crate) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            draw("");
        }
    }

    /// What `-v` says: the stages, the whole, and the most memory that was used.
    pub(crate) fn report(&mut self) -> Option<String> {
        self.pause();
        self.clear();
        if !self.verbose {
            return None;
        }
        let whole = ("in all".to_owned(), self.began.elapsed());
        let rows: Vec<_> = self.stages.iter().chain([&whole]).collect();
        let width = rows.iter().map(|(name, _)| name.chars().count()).max();
        let width = width.unwrap_or(0);
        let mut text: String = rows
            .iter()
            .map(|(name, took)| format!("{name:width$}  {:>9.1} ms\n", took.as_secs_f64() * 1e3))
            .collect();
        if let Some(kilobytes) = peak_memory() {
            text += &format!(
                "{:width$}  {:>9.1} MiB\n",
                "most memory",
                kilobytes / 1024.0
            );
        }
        Some(text)
    }

    /// Draws how far a stage has come, if it lasts long and somebody looks.
    fn draw(&mut self, far: impl FnOnce(&str) -> String) {
        if !self.terminal {
            return;
        }
        let now = Instant::now();
        let (since, wait) = match self.drawn {
            Some(drawn) => (drawn, REDRAW),
            None => (self.began, PATIENCE),
        };
        if now - since < wait {
            return;
        }
        if let Some((name, _)) = self.current.and_then(|(index, _)| self.stages.get(index)) {
            draw(&far(name));
            self.drawn = Some(now);
        }
    }
}

impl Observer for Watch {
    fn stage(&mut self, name: &str) {
        self.pause();
        let known = self.stages.iter().position(|(known, _)| known == name);
        let index = known.unwrap_or_else(|| {
            self.stages.push((name.to_owned(), Duration::ZERO));
            self.stages.len() - 1
        });
        self.current = Some((index, Instant::now()));
        self.draw(|name| format!("{name} …"));
    }

    fn progress(&mut self, done: u64, of: u64) {
        self.draw(|name| format!("{name}: {} %", percent(done, of)));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.clear();
    }
}

fn percent(done: u64, of: u64) -> u64 {
    done.saturating_mul(100) / of.max(1)
}

/// The most memory that this process used, in KiB, if the kernel says so.
fn peak_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Draws a line over the one before; a terminal that is gone needs none.
fn draw(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(verbose: bool) -> Watch {
        let mut watch = Watch::new(verbose);
        watch.terminal = false;
        watch
    }

    #[test]
    fn stages_that_come_again_are_one_line() {
        let mut watch = watch(true);
        for stage in ["read", "resolve", "read"] {
            watch.stage(stage);
        }
        let report = watch.report().unwrap();
        let names: Vec<_> = report
            .lines()
            .map(|line| line.split("  ").next().unwrap())
            .collect();
        assert_eq!(
            names[..2],
            ["read       ", "resolve    "].map(str::trim_end)
        );
        assert_eq!(names[2], "in all");
        assert!(report.contains("most memory"));
    }

    #[test]
    fn a_quiet_run_reports_nothing() {
        let mut watch = watch(false);
        watch.stage("read");
        assert_eq!(watch.report(), None);
    }

    #[test]
    fn nothing_of_nothing_is_no_part() {
        assert_eq!((percent(0, 0), percent(1, 3), percent(3, 3)), (0, 33, 100));
    }
}
