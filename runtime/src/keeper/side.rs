//! One connection of a pair, as the keeper knows it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
        let (read, next) = loop {
            let before = tcp::standing(socket.as_fd())?.received;
            let unread = tcp::unread(socket.as_fd())?;
            let next = tcp::expected(socket.as_fd())?;
            // What comes between the questions counts in some of them only.
            if tcp::standing(socket.as_fd())?.received == before {
                break (
                    before.saturating_sub(unread.into()),
                    next.wrapping_sub(unread),
                );
            }
        };
        Ok(Self {
            socket,
            cookie,
            slot: 0,
            read,
            next,
        })
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
