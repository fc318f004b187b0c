//! Events that programs write for each processor, taken out as they come.
//!
//! The kernel has a ring of each processor that is mapped here; aya does that part. Unlike a ring buffer it takes a packet's bytes as
//! they lie there, in several pieces or one (`bpf_skb_output`, `bpf_xdp_output`).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::maps::perf::{PerfEvent, PerfEventArrayBuffer};
use aya::maps::{Map, MapData, PerfEventArray};
use aya_obj::generated::bpf_map_type;

use super::map::{self, Shape};

/// Pages of the ring of each processor, a power of two: 256 KiB where pages have 4 KiB. The kernel allows 516 KiB for each
/// processor to whoever has no CAP_IPC_LOCK (`perf_event_mlock_kb`).
const PAGES: usize = 64;

/// The rings of all processors.
pub(crate) struct Events {
    map: OwnedFd,
    rings: Vec<PerfEventArrayBuffer<MapData>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("processors", &self.rings.len())
            .finish_non_exhaustive()
    }
}

impl Events {
    /// Rings without events.
    pub(crate) fn new(title: &str) -> io::Result<Self> {
        let processors = aya::util::nr_cpus().map_err(|(_, error)| error)?;
        let made = map::create(
            title,
            Shape {
                kind: bpf_map_type::BPF_MAP_TYPE_PERF_EVENT_ARRAY as u32,
                key: 4,
                value: 4,
                entries: u32::try_from(processors).map_err(io::Error::other)?,
            },
        )?;
        let data = MapData::from_fd(made.try_clone()?).map_err(io::Error::other)?;
        let map = Map::from_map_data(data).map_err(io::Error::other)?;
        let mut array = PerfEventArray::try_from(map).map_err(io::Error::other)?;
        let online = aya::util::online_cpus().map_err(|(_, error)| error)?;
        let rings = online.into_iter();
        let rings = rings.map(|processor| array.open(processor, Some(PAGES)));
        let rings: Result<Vec<_>, _> = rings.collect();
        Ok(Self {
            rings: rings.map_err(io::Error::other)?,
            map: made,
        })
    }

    /// The map that programs write to.
    pub(crate) fn map(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }

    /// What can be waited on for events.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(AsFd::as_fd)
    }

    /// Takes all that is there, of one processor after the other. What the kernel says of lost events is what the program that
    /// wrote them was told already.
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
