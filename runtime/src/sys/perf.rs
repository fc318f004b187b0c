//! Events that programs write for each processor, taken out as they come.
//!
//! The kernel has a ring for each processor that is mapped here; aya does that part. It takes a packet's bytes as they lie there, in
//! several pieces or one (`bpf_skb_event_output`, `bpf_xdp_event_output`). The rings are in the map as long as this process has it open
//! by the descriptor that they were put in with: however it ends, the kernel takes them out (`perf_event_fd_array_release`).

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use aya::maps::perf::{PerfEvent, PerfEventArrayBuffer};
use aya::maps::{Map, MapData, PerfEventArray};

/// Pages of the ring of each processor, a power of two: 256 KiB where pages have 4 KiB. The kernel allows 516 KiB for each
/// processor to whoever has no CAP_IPC_LOCK (`perf_event_mlock_kb`).
const PAGES: usize = 64;

/// The rings of the processors that are online.
pub(crate) struct Events {
    array: PerfEventArray<MapData>,
    rings: Vec<PerfEventArrayBuffer<MapData>>,
    processors: BTreeSet<u32>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("processors", &self.processors)
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
            processors: BTreeSet::new(),
        };
        events.follow()?;
        Ok(events)
    }

    /// Puts a ring in for each processor that came since.
    pub(crate) fn follow(&mut self) -> io::Result<()> {
        for processor in aya::util::online_cpus().map_err(|(_, error)| error)? {
            if !self.processors.contains(&processor) {
                let ring = self.array.open(processor, Some(PAGES));
                self.rings.push(ring.map_err(io::Error::other)?);
                self.processors.insert(processor);
            }
        }
        Ok(())
    }

    /// What can be waited on for events.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(AsFd::as_fd)
    }

    /// Takes all that is there, of one processor after the other. What the kernel says of lost events the program that wrote them was
    /// told already.
    pub(crate) fn take(&mut self, mut each: impl FnMut(&[u8])) {
        for ring in &mut self.rings {
            ring.for_each(|event| match event {
                PerfEvent::Sample { head, tail: [] } => each(head),
                PerfEvent::Sample { head, tail } => each(&[head, tail].concat()),
                PerfEvent::Lost { .. } => {}
            });
        }
    }
}
