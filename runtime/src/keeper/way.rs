//! One direction of a pair: what arrives on its source is sent by its target.
//!
//! ```text
//!  Opening ──▶ Flowing ──▶ Ended     the kernel moves the data, as far as it may; what it leaves is copied here
//!     └──────▶ Copying ──────┘       the kernel takes no socket in whose other side has ended: all is copied here
//! ```
//!
//! The program counts what it moves and what it leaves, TCP what was written. So what is under way is known exactly, the
//! order is kept by counts of bytes, and the end of the source is passed on when all is written, and never before.

use std::io;
use std::time::Duration;

use super::joint::{Came, Joint};
use super::side::Side;
use crate::sys::tcp;

/// So many bytes may be under way: moved or copied, and not confirmed by the target's peer.
const MOST: u64 = 4 << 20;
/// Beyond it, it is looked again how many are.
const MANY: u64 = MOST / 2;
/// Room that the target gets for what it has to send. It must hold everything that is under way, whatever its peer reads: what does not
/// fit would wait in the kernel's queue of the target, and what comes from there would wait behind it (`sk_psock_backlog`).
pub(super) const ROOM: libc::c_int = 2 * MOST as libc::c_int;
/// Bytes that are copied at once, and how often before others have their turn.
const COPIED: u64 = 1 << 18;
const AT_ONCE: usize = 16;
/// How soon something is looked at again that the kernel does not tell of, and how late at most.
const SOON: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(64);

/// How the data of a direction moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Not yet: what the proxy had read comes first, and what waits.
    Opening,
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

/// What waits after some of it was copied.
enum Rest {
    Nothing,
    /// More, perhaps; it goes on after this.
    Something(Wait),
    /// The end of the source.
    End,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    mode: Mode,
    /// Bytes that were read and are to be written before anything else, from `done` on.
    held: Vec<u8>,
    done: usize,
    /// What was read from the source and written to the target before data flowed.
    drained: u64,
    base: u64,
    /// Bytes that were copied since.
    copied: u64,
    /// What the program was told last.
    allowed: (u64, u64),
    /// Whether the source has ended.
    pub(super) ended: bool,
    /// How long it has waited for its target.
    delay: Duration,
}

impl Way {
    /// One that sends these bytes first, which the proxy has read from the source already.
    pub(super) fn new(first: Vec<u8>) -> Self {
        Self {
            mode: Mode::Opening,
            held: first,
            done: 0,
            drained: 0,
            base: 0,
            copied: 0,
            allowed: (0, 0),
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
                Mode::Opening => self.opening(joint, source, target)?,
                Mode::Flowing => self.flowing(joint, source, target)?,
                Mode::Copying => self.copying(source, target)?,
                Mode::Ended => Some(Wait::Nothing),
            };
            if let Some(wait) = wait {
                return Ok(wait);
            }
        }
    }

    /// Whether nothing of it is on the way any more: what it moved is written, and the target's peer has confirmed it. What was
    /// left to the source's reader is gone with a source that has failed.
    pub(super) fn is_through(
        &self,
        joint: &Joint,
        source: &Side,
        target: &Side,
    ) -> io::Result<bool> {
        let rests = self.done == self.held.len() && tcp::unconfirmed(target.fd())? == 0;
        Ok(rests && (self.mode != Mode::Flowing || self.is_written(joint, source, target)?))
    }

    fn opening(&mut self, joint: &Joint, source: &Side, target: &Side) -> io::Result<Option<Wait>> {
        // The kernel hands on the whole of a segment of which a part was read already (`tcp_read_skb`). So all is read that
        // there is: a segment that comes now is a whole one.
        match self.copy(source, target)? {
            Rest::Nothing => {}
            Rest::Something(wait) => return Ok(Some(wait)),
            Rest::End => {
                self.mode = Mode::Copying;
                return Ok(None);
            }
        }
        self.base = tcp::all_written(target.fd())?;
        self.copied = 0;
        self.allow(joint, source, target)?;
        // Sequence numbers begin again at 0.
        let next = source.next.wrapping_add(self.drained as u32);
        match joint.let_flow(source, next) {
            Ok(()) => {
                self.mode = Mode::Flowing;
                // What came before now waits until more comes, unless the kernel looks.
                tcp::look_again(source.fd())?;
            }
            // The other side has ended, or the connection has (`sock_map_sk_state_allowed`); or somebody else sees its data.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EBUSY)) => {
                self.mode = Mode::Copying;
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    fn flowing(&mut self, joint: &Joint, source: &Side, target: &Side) -> io::Result<Option<Wait>> {
        if self.done < self.held.len() || joint.came_from(source.cookie)?.left > self.copied {
            return self.catch_up(joint, source, target);
        }
        self.held = Vec::new();
        self.done = 0;
        self.allow(joint, source, target)?;
        if self.ended {
            // Asked before what was moved and left: so nothing can be missing between the two.
            let all = source.came()?.saturating_sub(self.drained);
            let Came { left, moved } = joint.came_from(source.cookie)?;
            if left > self.copied {
                return Ok(None);
            }
            if left + moved == all && self.is_written(joint, source, target)? {
                return self.pass_end(target);
            }
            if left + moved < all {
                tcp::look_again(source.fd())?;
            }
            return Ok(Some(self.later()));
        }
        if self.under_way(joint, source, target)? > MANY {
            return Ok(Some(self.later()));
        }
        self.delay = SOON;
        Ok(Some(Wait::Told))
    }

    /// Copies what the program has left to the reader of the source. It moves nothing meanwhile, so what it has moved comes
    /// first, then this, then what it moves when it is told how much was copied.
    fn catch_up(
        &mut self,
        joint: &Joint,
        source: &Side,
        target: &Side,
    ) -> io::Result<Option<Wait>> {
        for _ in 0..AT_ONCE {
            let room = self.under_way(joint, source, target)? + COPIED <= MOST;
            if !room || !self.is_written(joint, source, target)? || !self.write_held(target)? {
                return Ok(Some(self.later()));
            }
            if joint.came_from(source.cookie)?.left == self.copied {
                self.allow(joint, source, target)?;
                // The program may have begun before it was told, and leave one more.
                source.settle()?;
                return Ok(None);
            }
            // Where there is nothing, what was left is still on its way to the reader, even if the source has ended.
            if self.read(source)?.is_none_or(|count| count == 0) {
                return Ok(Some(self.later()));
            }
            self.delay = SOON;
        }
        Ok(Some(Wait::For(Duration::ZERO)))
    }

    fn copying(&mut self, source: &Side, target: &Side) -> io::Result<Option<Wait>> {
        match self.copy(source, target)? {
            Rest::Nothing => Ok(Some(Wait::Data)),
            Rest::Something(wait) => Ok(Some(wait)),
            Rest::End => self.pass_end(target),
        }
    }

    /// Copies what waits, as far as there is room.
    fn copy(&mut self, source: &Side, target: &Side) -> io::Result<Rest> {
        for _ in 0..AT_ONCE {
            let room = u64::from(tcp::unconfirmed(target.fd())?) + COPIED <= MOST;
            if !room || !self.write_held(target)? {
                return Ok(Rest::Something(self.later()));
            }
            self.delay = SOON;
            match self.read(source)? {
                None => return Ok(Rest::Nothing),
                Some(0) => return Ok(Rest::End),
                Some(count) => self.drained += count as u64,
            }
        }
        Ok(Rest::Something(Wait::For(Duration::ZERO)))
    }

    /// Reads what is to be written next; all that was read is written.
    fn read(&mut self, source: &Side) -> io::Result<Option<usize>> {
        self.held.resize(COPIED as usize, 0);
        self.done = 0;
        let read = tcp::read(source.fd(), &mut self.held);
        let count = read.as_ref().ok().copied().flatten();
        self.held.truncate(count.unwrap_or(0));
        read
    }

    /// Writes what was read; says whether that is all written.
    fn write_held(&mut self, target: &Side) -> io::Result<bool> {
        while self.done < self.held.len() {
            match tcp::write(target.fd(), &self.held[self.done..])? {
                Some(written) => {
                    self.done += written;
                    self.copied += written as u64;
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Tells the program what was copied, and how much it may move.
    fn allow(&mut self, joint: &Joint, source: &Side, target: &Side) -> io::Result<()> {
        let confirmed = tcp::standing(target.fd())?.acked.saturating_sub(self.base);
        let most = (confirmed + MOST).saturating_sub(self.copied);
        let allowed = (self.copied, most);
        if self.allowed != allowed {
            joint.allow(source.slot, self.copied, most)?;
            self.allowed = allowed;
        }
        Ok(())
    }

    /// Whether what was moved and copied is written to the target.
    fn is_written(&self, joint: &Joint, source: &Side, target: &Side) -> io::Result<bool> {
        let moved = joint.came_from(source.cookie)?.moved;
        Ok(tcp::written(target.fd())? >= self.base + moved + self.copied)
    }

    /// What was moved and copied, and is not confirmed.
    fn under_way(&self, joint: &Joint, source: &Side, target: &Side) -> io::Result<u64> {
        let moved = joint.came_from(source.cookie)?.moved;
        let confirmed = tcp::standing(target.fd())?.acked;
        Ok((self.base + moved + self.copied).saturating_sub(confirmed))
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
