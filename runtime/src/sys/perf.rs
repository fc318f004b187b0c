//! Events that programs write for each processor, taken out as they come.
//!
//! The kernel has a ring for each processor that is mapped here; aya does that part. It takes a packet's bytes as they lie there, in
//! several pieces or one (`bpf_skb_event_output`, `bpf_xdp_event_output`). The rings are in the map as long as this process has it open
//! by the descriptor that they were put in with: however it ends, the kernel takes them out (`perf_event_fd_array_release`).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use aya::maps::perf::{PerfBufferError, PerfEvent, PerfEventArrayBuffer};
use aya::maps::{Map, MapData, PerfEventArray};

/// Pages of the ring of each processor, a power of two: 128 KiB where pages have 4 KiB. The kernel allows 516 KiB for each
/// processor to whoever has no CAP_IPC_LOCK (`perf_event_mlock_kb`), and RLIMIT_MEMLOCK beyond that (`perf_mmap`). Three generations
/// may be read at once: one that is gone and read once more, the one in force, and the one that is to come.
const PAGES: usize = 32;

/// The rings of the processors that are online.
pub(crate) struct Events {
    array: PerfEventArray<MapData>,
    rings: Vec<PerfEventArrayBuffer<MapData>>,
    /// Those before, which are read once more: nobody writes to them from now on.
    former: Vec<PerfEventArrayBuffer<MapData>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("processors", &self.rings.len())
            .finish_non_exhaustive()
    }
}

impl Events {
    /// Opens a pinned map of rings, and puts one into it for each processor.
    pub(crate) fn open(pin: &Path) -> io::Result<Self> {
        let data = MapData::from_pin(pin).map_err(io::Error::other)?;
        let map = Map::from_map_data(data).map_err(io::Error::other)?;
        let mut events = Self {
            array: PerfEventArray::try_from(map).map_err(io::Error::other)?,
            rings: Vec::new(),
            former: Vec::new(),
        };
        events.renew()?;
        Ok(events)
    }

    /// Puts a new ring in for each processor that is online: the one of a processor that was away since takes nothing any more.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        let mut rings = Vec::new();
        for processor in aya::util::online_cpus().map_err(|(_, error)| error)? {
            match self.array.open(processor, Some(PAGES)) {
                Ok(ring) => rings.push(ring),
                // It went away just now.
                Err(PerfBufferError::OpenError { io_error })
                    if io_error.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        // It may be renewed again before anybody has read what stands in those before.
        self.former.append(&mut self.rings);
        self.rings = rings;
        Ok(())
    }

    /// What can be waited on for events.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(AsFd::as_fd)
    }

    /// Takes all that is there, of one processor after the other. What the kernel says of lost events the program that wrote them was
    /// told already.
    pub(crate) fn take(&mut self, mut each: impl FnMut(&[u8])) {
        for mut ring in std::mem::take(&mut self.former) {
            read(&mut ring, &mut each);
        }
        for ring in &mut self.rings {
            read(ring, &mut each);
        }
    }
}

fn read(ring: &mut PerfEventArrayBuffer<MapData>, each: &mut impl FnMut(&[u8])) {
    ring.for_each(|event| match event {
        PerfEvent::Sample { head, tail: [] } => each(head),
        PerfEvent::Sample { head, tail } => each(&[head, tail].concat()),
        PerfEvent::Lost { .. } => {}
    });
}
