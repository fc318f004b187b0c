//! One direction of a pair: what arrives on its source is sent by its target.
//!
//! ```text
//!  Held ──▶ Flowing ──▶ Ended        the kernel moves the data, as long as the target is not too far behind
//!    ▲ └──────┘│  ▲
//!    └─────────┘  │                  too far behind: what comes waits in TCP, whose window tells the sender
//!  Held ──▶ Copying                  the kernel takes no socket in whose other side has ended: the rest is copied here
//! ```
//!
//! What was moved and not yet written to the target is known exactly while nothing comes: the program counts what it moves,
//! TCP what was written. So the end of the source is passed on when all is written, and never before.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::joint::Joint;
use super::pair::Side;
use crate::sys::tcp;

/// So many bytes may be on the way in the kernel; beyond it the source is held.
const MOST: u64 = 4 << 20;
/// And so many when it flows again.
const FEW: u64 = 1 << 20;
/// Bytes that are copied at once.
const COPIED: usize = 1 << 18;
/// How soon something is looked at again that the kernel does not tell of, and how late at most.
const SOON: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(64);

/// How the data of a direction moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Not now: what comes waits in the source.
    Held,
    /// By the kernel.
    Flowing,
    /// By this process.
    Copying,
    /// Nothing more comes, and the target's peer has been told.
    Ended,
}

/// What a direction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// For its source or the program.
    Told,
    /// For the source, data included.
    Data,
    /// So long, for its target.
    For(Duration),
    /// For nothing: it has ended.
    Nothing,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    mode: Mode,
    /// Bytes to be written before anything else, from `done` on.
    first: Vec<u8>,
    done: usize,
    /// What was written to the target before anything was moved.
    base: Option<u64>,
    /// What was moved when it was looked at last: while copying, nothing is on the way if it is the same twice.
    seen: Option<u64>,
    /// Whether the source has ended.
    pub(super) ended: bool,
    /// How long it has waited for its target.
    delay: Duration,
}

impl Way {
    /// One that sends these bytes first, which the proxy has read from the source already.
    pub(super) fn new(first: Vec<u8>) -> Self {
        Self {
            mode: Mode::Held,
            first,
            done: 0,
            base: None,
            seen: None,
            ended: false,
            delay: SOON,
        }
    }

    /// Whether everything that came was passed on, and the end.
    pub(super) fn is_done(&self) -> bool {
        self.mode == Mode::Ended
    }

    /// Goes as far as it can now.
    pub(super) fn go(&mut self, joint: &Joint, source: &Side, target: &Side) -> io::Result<Wait> {
        loop {
            let wait = match self.mode {
                Mode::Held => self.held(joint, source, target)?,
                Mode::Flowing => self.flowing(joint, source, target)?,
                Mode::Copying => self.copying(joint, source, target)?,
                Mode::Ended => Some(Wait::Nothing),
            };
            if let Some(wait) = wait {
                return Ok(wait);
            }
        }
    }

    /// Whether nothing of it is on the way any more: what it moved is written, and the target's peer has confirmed it.
    pub(super) fn is_through(
        &self,
        joint: &Joint,
        source: &Side,
        target: &Side,
    ) -> io::Result<bool> {
        let rests = self.done == self.first.len() && tcp::unconfirmed(target.fd())? == 0;
        Ok(rests && self.behind(joint, source, target)? == 0)
    }

    fn held(&mut self, joint: &Joint, source: &Side, target: &Side) -> io::Result<Option<Wait>> {
        if !self.write_first(target.fd())? {
            return Ok(Some(self.later()));
        }
        if self.base.is_none() {
            self.base = Some(tcp::written(target.fd())?);
        }
        if self.behind(joint, source, target)? > FEW {
            return Ok(Some(self.later()));
        }
        self.delay = SOON;
        match joint.let_flow(source.cookie, source.fd()) {
            Ok(()) => {
                self.mode = Mode::Flowing;
                // What came before now waits until more comes, unless the kernel looks.
                tcp::look_again(source.fd())?;
            }
            // The other side has ended, or the connection has: `sock_map_sk_state_allowed`.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                self.mode = Mode::Copying;
                self.seen = None;
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    fn flowing(&mut self, joint: &Joint, source: &Side, target: &Side) -> io::Result<Option<Wait>> {
        let behind = self.behind(joint, source, target)?;
        if self.ended {
            // Asked after what was moved: so nothing can be missing between the two.
            let came = source.came()?;
            let moved = joint.moved_from(source.cookie)?;
            if moved == came && self.behind(joint, source, target)? == 0 {
                return self.pass_end(target);
            }
            if moved < came {
                tcp::look_again(source.fd())?;
            }
            return Ok(Some(self.later()));
        }
        if behind > MOST {
            joint.hold(source.cookie)?;
            self.mode = Mode::Held;
            return Ok(Some(self.later()));
        }
        Ok(Some(Wait::Told))
    }

    fn copying(&mut self, joint: &Joint, source: &Side, target: &Side) -> io::Result<Option<Wait>> {
        // What the kernel still has on the way comes first.
        if self.seen != Some(u64::MAX) {
            let moved = joint.moved_from(source.cookie)?;
            let quiet = self.behind(joint, source, target)? == 0 && self.seen == Some(moved);
            self.seen = Some(if quiet { u64::MAX } else { moved });
            if !quiet {
                return Ok(Some(self.later()));
            }
        }
        loop {
            if !self.write_first(target.fd())? {
                return Ok(Some(self.later()));
            }
            self.delay = SOON;
            self.first.resize(COPIED, 0);
            self.done = 0;
            let read = tcp::read(source.fd(), &mut self.first);
            self.first
                .truncate(*read.as_ref().ok().and_then(Option::as_ref).unwrap_or(&0));
            match read {
                Ok(None) => return Ok(Some(Wait::Data)),
                Ok(Some(0)) => return self.pass_end(target),
                Ok(Some(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what comes first; says whether that is all written.
    fn write_first(&mut self, target: BorrowedFd<'_>) -> io::Result<bool> {
        while self.done < self.first.len() {
            match tcp::write(target, &self.first[self.done..])? {
                Some(written) => self.done += written,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// What was moved and not written to the target.
    fn behind(&self, joint: &Joint, source: &Side, target: &Side) -> io::Result<u64> {
        let Some(base) = self.base.filter(|_| self.seen != Some(u64::MAX)) else {
            return Ok(0);
        };
        let moved = joint.moved_from(source.cookie)?;
        Ok((moved + base).saturating_sub(tcp::written(target.fd())?))
    }

    fn pass_end(&mut self, target: &Side) -> io::Result<Option<Wait>> {
        self.mode = Mode::Ended;
        match tcp::end(target.fd()) {
            // It has gone meanwhile, which is told by itself.
            Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {}
            ended => ended?,
        }
        Ok(Some(Wait::Nothing))
    }

    fn later(&mut self) -> Wait {
        let delay = self.delay;
        self.delay = (delay * 2).min(LATE);
        Wait::For(delay)
    }
}

impl Side {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
