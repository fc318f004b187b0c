//! A ring buffer's records, taken out one by one.
//!
//! The kernel maps both counters and the data twice in a row, so that every record is in one piece; aya does that part.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use aya::maps::{Map, MapData, RingBuf};

/// A reader. A ring has one: what it takes is gone.
pub(crate) struct Ring(RingBuf<MapData>);

impl Ring {
    /// Opens a pinned ring.
    pub(crate) fn open(pin: &Path) -> io::Result<Self> {
        let data = MapData::from_pin(pin).map_err(io::Error::other)?;
        let map = Map::from_map_data(data).map_err(io::Error::other)?;
        RingBuf::try_from(map).map(Self).map_err(io::Error::other)
    }

    /// What can be waited on for records.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring holds the descriptor as long as it is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }

    /// The oldest record, if there is one.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        self.0.next().map(|record| record.to_vec())
    }
}
