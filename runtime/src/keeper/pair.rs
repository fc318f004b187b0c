//! A pair: two connections and both directions between them, until both have ended or one has failed.

use std::time::{Duration, Instant};

use super::joint::Joint;
use super::side::Side;
use super::way::{Wait, Way};
use crate::sys::{socket, tcp};

/// How long data from a side that has reset its connection may still be on its way before the other side is reset, too.
const AFTER_RESET: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(4);

/// What becomes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on; the direction waits for this.
    Goes(Wait),
    /// It has ended.
    Ended,
    /// It was reset.
    Reset,
}

/// A pair: the client first, which has called the proxy, then the upstream.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) sides: [Side; 2],
    ways: [Way; 2],
    /// The side that has failed, and until when its data may be on its way.
    failed: Option<(usize, Instant)>,
}

impl Pair {
    /// One whose sides are in the maps; what the proxy has read is sent first, to the upstream and to the client.
    pub(super) fn new(sides: [Side; 2], early: [Vec<u8>; 2]) -> Self {
        Self {
            sides,
            ways: early.map(Way::new),
            failed: None,
        }
    }

    /// Something happened to a side: its peer sends no more, or the connection may have failed, which the kernel knows.
    pub(super) fn happened(&mut self, side: usize, ended: bool, failed: bool) {
        let error = || socket::error(self.sides[side].fd()).unwrap_or(libc::EIO);
        if failed && error() != 0 {
            self.fail(side);
        }
        // One that was reset has no end that could be passed on.
        self.ways[side].ended |= ended && self.failed.is_none_or(|(other, _)| other != side);
    }

    fn fail(&mut self, side: usize) {
        self.ways[side].ended = false;
        self.failed
            .get_or_insert((side, Instant::now() + AFTER_RESET));
    }

    /// Goes on with what arrives on a side.
    pub(super) fn go(&mut self, joint: &Joint, side: usize) -> Fate {
        let [source, target] = [&self.sides[side], &self.sides[1 - side]];
        let gone = self.ways[side].go(joint, source, target);
        let wait = match gone {
            Ok(wait) => wait,
            Err(_) => {
                let over = tcp::standing(target.fd()).is_ok_and(|target| target.closed);
                self.fail(if over { 1 - side } else { side });
                Wait::For(LOOK)
            }
        };
        if let Some((failed, until)) = self.failed {
            return self.after_failure(joint, failed, until);
        }
        match self.ways.iter().all(Way::is_done) {
            true => Fate::Ended,
            false => Fate::Goes(wait),
        }
    }

    /// What the side has sent before it failed still goes to the other.
    fn after_failure(&self, joint: &Joint, failed: usize, until: Instant) -> Fate {
        let [source, target] = [&self.sides[failed], &self.sides[1 - failed]];
        let through = self.ways[failed].is_through(joint, source, target);
        match through.unwrap_or(true) || Instant::now() >= until {
            true => Fate::Reset,
            false => Fate::Goes(Wait::For(LOOK)),
        }
    }

    /// Ends both connections after what they still have to send, or resets them.
    pub(super) fn close(self, joint: &Joint, fate: Fate) {
        for side in &self.sides {
            // The kernel refuses this of no socket.
            let _ = tcp::close_resets(side.fd(), fate == Fate::Reset);
        }
        joint.part(&self.sides);
    }
}
