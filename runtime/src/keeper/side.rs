//! One connection of a pair, as the keeper knows it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::expected::Expected;
use crate::sys::tcp;

/// One connection of a pair.
#[derive(Debug)]
pub(super) struct Side {
    socket: OwnedFd,
    pub(super) cookie: u64,
    /// Its slot in the array of how much may be moved; the other side's is the next or the one before.
    pub(super) slot: u32,
    /// What the proxy had read from it.
    read: u64,
    /// The sequence number of the byte that comes after that.
    pub(super) next: u32,
}

impl Side {
    /// The connection behind a descriptor; the proxy reads no more from it.
    pub(super) fn new(socket: OwnedFd, cookie: u64) -> io::Result<Self> {
        let (unread, received) = while_still(socket.as_fd(), || tcp::unread(socket.as_fd()))?;
        Ok(Self {
            socket,
            cookie,
            slot: 0,
            read: received.saturating_sub(unread.into()),
            next: 0,
        })
    }

    /// Finds the sequence number of the byte that comes after what the proxy had read, once it is joined.
    pub(super) fn place(&mut self, expected: &Expected) -> io::Result<()> {
        let (expected, received) = while_still(self.fd(), || expected.of(self.cookie))?;
        // Sequence numbers begin again at 0.
        self.next = expected.wrapping_sub((received - self.read) as u32);
        Ok(())
    }

    /// What came on it since it was handed over; the other side has ended, which the kernel counts as one byte.
    pub(super) fn came(&self) -> io::Result<u64> {
        let received = tcp::standing(self.socket.as_fd())?.received;
        Ok(received.saturating_sub(self.read + 1))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Waits until the kernel has done what it does with data that has come: it holds the lock of the socket meanwhile.
    pub(super) fn settle(&self) -> io::Result<()> {
        tcp::standing(self.fd()).map(drop)
    }
}

/// The answer to a question, and what had been received then: what comes between both would count in one of them only.
fn while_still<T>(socket: BorrowedFd<'_>, ask: impl Fn() -> io::Result<T>) -> io::Result<(T, u64)> {
    loop {
        let before = tcp::standing(socket)?.received;
        let answer = ask()?;
        if tcp::standing(socket)?.received == before {
            return Ok((answer, before));
        }
    }
}
