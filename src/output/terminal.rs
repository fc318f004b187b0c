//! A terminal that a command has for itself: drawn on, waited on for keys and signals, and given back as it was.
//!
//! Takes frames; gives the bytes of keys, and what signals ask for. Nothing here waits without an end: what is typed is read
//! where poll(2) says that it is there, and a frame that the terminal does not take is given up when a signal comes or something
//! is typed. In the background the terminal is somebody else's: nothing is drawn, read or set until it is this one's again. Not
//! here: what keys mean, and what is drawn.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpgrp, read, tcgetpgrp};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, MoveTo, Show};
use ratatui::crossterm::queue;
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::Rect;
use ratatui::{Frame, TerminalOptions, Viewport};
use rustix::termios::{
    OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// How the terminal was before it was taken; nothing while nobody has it. It stands here since a panic gives it back too.
static TAKEN: Mutex<Option<Termios>> = Mutex::new(None);

/// How long a terminal that is given back may take nothing.
const GRACE: Duration = Duration::from_secs(1);
/// In the background it is looked so often whether this command has the terminal again: not all shells tell it by a signal.
const BEHIND: Duration = Duration::from_millis(100);
/// So much is written at once at most.
const PIECE: usize = 4096;
/// The size of a terminal that does not know its own, as a serial line.
const USUAL: (u16, u16) = (80, 24);
/// Nobody has a larger one; what a program makes up must not cost all memory.
const LARGEST: (u16, u16) = (1_000, 500);

/// A signal, as far as a terminal is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The command is to end.
    End,
    /// It is to stop until somebody has it go on.
    Stop,
    /// The terminal has another size, or the command goes on after it was stopped.
    Anew,
}

/// The signals that are heard, each with what it asks for.
const SIGNALS: [(Signal, Asked); 7] = [
    (Signal::SIGTERM, Asked::End),
    (Signal::SIGINT, Asked::End),
    (Signal::SIGQUIT, Asked::End),
    (Signal::SIGHUP, Asked::End),
    (Signal::SIGTSTP, Asked::Stop),
    (Signal::SIGCONT, Asked::Anew),
    (Signal::SIGWINCH, Asked::Anew),
];

/// What was waited for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Nothing came.
    Nothing,
    /// Something was typed.
    Typed(Vec<u8>),
    /// Everything is to be drawn again.
    Anew,
    /// The command is to end, or nobody is at the terminal any more.
    End,
}

/// Signals that end nothing by themselves any more, in this thread and in those that it starts.
#[derive(Debug)]
pub(crate) struct Signals(Arc<SignalFd>);

impl Signals {
    /// Hears of them from now on.
    pub(crate) fn hear() -> io::Result<Self> {
        let mut set = SigSet::empty();
        SIGNALS.iter().for_each(|(signal, _)| set.add(*signal));
        set.thread_block()?;
        // Where it is blocked, a command that lost the terminal between two calls is not stopped in the second one (tty_check_change).
        SigSet::from(Signal::SIGTTOU).thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(Arc::new(SignalFd::with_flags(&set, flags)?)))
    }

    /// What all that came ask for; the end before everything else.
    fn take(&self) -> io::Result<Option<Asked>> {
        let mut found = None;
        while let Some(one) = self.0.read_signal()? {
            let number = i32::try_from(one.ssi_signo).unwrap_or(0);
            let asked = SIGNALS.iter().find(|(signal, _)| *signal as i32 == number);
            found = match (found, asked.map(|(_, asked)| *asked)) {
                (Some(Asked::End), _) | (_, Some(Asked::End)) => Some(Asked::End),
                (Some(Asked::Stop), Some(Asked::Anew)) => Some(Asked::Stop),
                (found, asked) => asked.or(found),
            };
        }
        Ok(found)
    }

    /// Waits for one, at most so long.
    fn wait(&self, at_most: Duration) -> io::Result<()> {
        let mut wait = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        match poll(&mut wait, time) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The terminal of standard input and standard output.
pub(crate) struct Terminal {
    signals: Signals,
    paper: Arc<File>,
    screen: ratatui::Terminal<CrosstermBackend<Paper>>,
    /// Whether the last frame was given up: what stands on the terminal is not known.
    torn: bool,
}

impl Terminal {
    /// Takes it, as soon as it is this command's; nothing where the command is to end ahead of that.
    pub(crate) fn take(signals: Signals) -> io::Result<Option<Self>> {
        let paper = Arc::new(open()?);
        let screen = screen(&paper, &signals)?;
        let mut terminal = Self {
            signals,
            paper,
            screen,
            torn: true,
        };
        let woken = terminal.come_back()?;
        Ok((woken == Woken::Anew).then_some(terminal))
    }

    /// Makes the terminal what it has to be, whatever it is; nothing of what was drawn is relied on.
    fn enter(&mut self) -> io::Result<()> {
        let stdin = io::stdin();
        let now = tcgetattr(&stdin)?;
        let mut raw = now.clone();
        raw.make_raw();
        // What another reader took first is not waited for.
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        self.screen = screen(&self.paper, &self.signals)?;
        taken().get_or_insert(now);
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        let mut text = Vec::new();
        queue!(
            text,
            EnterAlternateScreen,
            Hide,
            Clear(ClearType::All),
            MoveTo(0, 0)
        )?;
        write(&self.paper, &text, Patience::Asked(&self.signals))?;
        self.torn = false;
        Ok(())
    }

    /// Draws a frame. One that nobody takes is given up when a signal comes or something is typed; that, and that the terminal
    /// has gone, `wait` tells next.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if !is_ours() {
            return Ok(());
        }
        let drawn = match self.torn {
            true => self.enter(),
            false => Ok(()),
        };
        match drawn.and_then(|()| self.screen.draw(draw).map(drop)) {
            Err(error) if is_told_next(&error) => self.torn = true,
            drawn => drawn?,
        }
        Ok(())
    }

    /// Waits for something that is typed, and for signals.
    pub(crate) fn wait(&mut self, at_most: Duration) -> io::Result<Woken> {
        let stdin = io::stdin();
        let mut wait = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.0.as_fd(), PollFlags::POLLIN),
        ];
        let milliseconds = at_most.as_nanos().div_ceil(1_000_000);
        let time = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        match poll(&mut wait, time) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Woken::Nothing),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let [typed, signal] = wait.map(|one| one.revents().unwrap_or(PollFlags::empty()));
        if !signal.is_empty()
            && let Some(asked) = self.signals.take()?
        {
            return self.asked(asked);
        }
        let gone = typed.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL);
        match typed.contains(PollFlags::POLLIN) {
            true => typed_there(gone),
            false if gone => Ok(Woken::End),
            false => Ok(Woken::Nothing),
        }
    }

    fn asked(&mut self, asked: Asked) -> io::Result<Woken> {
        match asked {
            Asked::End => return Ok(Woken::End),
            Asked::Stop => stop(Whom::Oneself)?,
            Asked::Anew => {}
        }
        self.come_back()
    }

    /// Stops as other commands do at Ctrl-Z, which this terminal only tells as a key.
    pub(crate) fn stop(&mut self) -> io::Result<Woken> {
        stop(Whom::Group)?;
        self.come_back()
    }

    /// Enters the terminal as soon as it is this command's: what came meanwhile is heard first, for whoever was asked to end while
    /// it was stopped or behind is not to touch what a shell has by then.
    fn come_back(&mut self) -> io::Result<Woken> {
        loop {
            match self.signals.take()? {
                Some(Asked::End) => return Ok(Woken::End),
                Some(Asked::Stop) => stop(Whom::Oneself)?,
                Some(Asked::Anew) => {}
                None if is_ours() => break,
                None => self.signals.wait(BEHIND)?,
            }
        }
        match self.enter() {
            Err(error) if is_told_next(&error) => self.torn = true,
            entered => entered?,
        }
        Ok(Woken::Anew)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// What was typed. Nothing may be there where another reader took it, or nobody is at the terminal any more.
fn typed_there(gone: bool) -> io::Result<Woken> {
    let mut bytes = [0; 64];
    match read(io::stdin().as_fd(), &mut bytes) {
        Ok(0) if gone => Ok(Woken::End),
        Ok(0) | Err(Errno::EINTR | Errno::EAGAIN) => Ok(Woken::Nothing),
        Ok(length) => Ok(Woken::Typed(bytes[..length].to_vec())),
        // What the kernel says of a terminal that was hung up.
        Err(Errno::EIO) => Ok(Woken::End),
        Err(error) => Err(error.into()),
    }
}

/// Who is to stop.
#[derive(Clone, Copy)]
enum Whom {
    /// This process, which was asked alone.
    Oneself,
    /// All that a key of the terminal stops.
    Group,
}

/// Gives the terminal back as it was, and waits until somebody has this go on. The signal does what it does by itself: where
/// no shell is there that could have it go on (an orphaned process group), the kernel does not stop anybody (get_signal).
fn stop(whom: Whom) -> io::Result<()> {
    give_back();
    match whom {
        Whom::Oneself => raise(Signal::SIGTSTP)?,
        Whom::Group => kill(Pid::from_raw(0), Signal::SIGTSTP)?,
    }
    let stops = SigSet::from(Signal::SIGTSTP);
    stops.thread_unblock()?;
    stops.thread_block()?;
    Ok(())
}

/// Whether the terminal is this command's now. One that controls no session is nobody else's.
fn is_ours() -> bool {
    tcgetpgrp(io::stdin()).map_or(true, |group| group == getpgrp())
}

/// Gives the terminal back as it was, if a command has it.
pub(crate) fn give_back() {
    let Some(before) = taken().take() else {
        return;
    };
    let mut text = Vec::new();
    // Writing to memory does not fail. A terminal that is gone needs nothing.
    let _ = queue!(text, Show, LeaveAlternateScreen);
    if let Ok(paper) = open() {
        let _ = write(&paper, &text, Patience::Until(Instant::now() + GRACE));
    }
    // In the background the modes are those of whoever has it now.
    if is_ours() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

fn taken() -> MutexGuard<'static, Option<Termios>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The terminal of standard output, opened once more where that may be done: what is written there waits for nobody, and that
/// changes nothing for others who have it open.
fn open() -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let again = OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits())
        .open("/proc/self/fd/1")
        .ok()
        .filter(File::is_terminal);
    match again {
        Some(file) => Ok(file),
        None => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
    }
}

/// A screen of the terminal's size, of which nothing is drawn.
fn screen(
    paper: &Arc<File>,
    signals: &Signals,
) -> io::Result<ratatui::Terminal<CrosstermBackend<Paper>>> {
    let paper = Paper {
        file: Arc::clone(paper),
        signals: Signals(Arc::clone(&signals.0)),
        text: Vec::new(),
    };
    let (width, height) = size();
    // One that asked by itself would start programs where the terminal has gone.
    let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
    ratatui::Terminal::with_options(CrosstermBackend::new(paper), TerminalOptions { viewport })
}

fn size() -> (u16, u16) {
    let size = tcgetwinsize(io::stdout()).map(|size| (size.ws_col, size.ws_row));
    match size {
        Ok((0, _) | (_, 0)) | Err(_) => USUAL,
        Ok((width, height)) => (width.min(LARGEST.0), height.min(LARGEST.1)),
    }
}

/// What is drawn, kept until a frame is whole.
struct Paper {
    file: Arc<File>,
    signals: Signals,
    text: Vec<u8>,
}

impl Write for Paper {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.text);
        if taken().is_none() {
            // What a screen has to say when it goes is said by `give_back`.
            return Ok(());
        }
        write(&self.file, &text, Patience::Asked(&self.signals))
    }
}

/// How long it is waited for a terminal that takes nothing.
#[derive(Clone, Copy)]
enum Patience<'a> {
    /// Until a signal comes, or something is typed.
    Asked(&'a Signals),
    /// Until then.
    Until(Instant),
}

impl Patience<'_> {
    /// Waits; whether the terminal takes something.
    fn wait(self, file: &File) -> io::Result<bool> {
        let stdin = io::stdin();
        let mut wait = vec![PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
        let time = match self {
            Self::Asked(signals) => {
                wait.push(PollFd::new(signals.0.as_fd(), PollFlags::POLLIN));
                wait.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
                PollTimeout::NONE
            }
            Self::Until(end) => {
                let left = end.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)
            }
        };
        match poll(&mut wait, time) {
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(wait.first().is_some_and(|one| one.any() == Some(true))),
        }
    }
}

/// Writes all of it.
fn write(mut file: &File, mut text: &[u8], patience: Patience<'_>) -> io::Result<()> {
    while !text.is_empty() {
        if !patience.wait(file)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let piece = &text[..text.len().min(PIECE)];
        match file.write(piece) {
            Ok(length) => text = &text[length..],
            Err(error) if is_for_now(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the next `wait` tells why something was not written: a signal came, something was typed, or the terminal was hung up.
fn is_told_next(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut || error.raw_os_error() == Some(Errno::EIO as i32)
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}
