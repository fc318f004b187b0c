//! Whether a frame gets past the hooks: an observation that shares nothing with our programs.
//!
//! Each frame is followed by two sentinels, frames of an EtherType that is not IP and therefore always passes. Frames of
//! one wire are handled in order, so what has not been seen when the sentinels arrive has been thrown away: no clock
//! decides. (Two, because receive offload may hold a TCP segment back to the end of the round that the first is part of.)

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::error::{Error, While};
use super::packet_socket::PacketSocket;
use super::{MAC, Space};

/// The EtherType of the sentinels: reserved for local experiments.
const SENTINEL: u16 = 0x88b5;
/// The EtherTypes that carry IP, or a tag.
const WATCHED: [u16; 4] = [0x0800, 0x86dd, 0x8100, 0x88a8];
/// How long a sentinel may take: only a broken wire takes this long.
const PATIENCE: u16 = 5_000;

/// What was seen of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It arrived after the hooks.
    Passed,
    /// It did not arrive, and what was sent after it did.
    NotSeen,
}

/// A wire with a sender at one end and an observer at the other.
#[derive(Debug)]
pub struct Probe {
    senders: Vec<(u16, PacketSocket)>,
    observers: Vec<PacketSocket>,
    sentinels: PacketSocket,
    sent: u64,
}

impl Probe {
    /// Sends at `interface` of `from`, observes at `interface` of `to`.
    pub fn new(from: &Space, to: &Space, interface: &str) -> Result<Self, Error> {
        let doing = || format!("opening packet sockets on `{interface}`");
        let senders = from.run(|| {
            WATCHED
                .into_iter()
                .chain([SENTINEL])
                .map(|ethertype| Ok((ethertype, PacketSocket::open(interface, ethertype)?)))
                .collect::<io::Result<_>>()
        })?;
        let observers = to.run(|| {
            WATCHED
                .into_iter()
                .map(|ethertype| PacketSocket::open(interface, ethertype))
                .collect::<io::Result<_>>()
        })?;
        let sentinels = to.run(|| PacketSocket::open(interface, SENTINEL))?;
        Ok(Self {
            senders: senders.doing(doing)?,
            observers: observers.doing(doing)?,
            sentinels: sentinels.doing(doing)?,
            sent: 0,
        })
    }

    /// Sends a frame and says whether it arrived.
    pub fn send(&mut self, frame: &[u8]) -> Result<Seen, Error> {
        let pinned = Pinned::first().doing(|| "keeping to one processor".into())?;
        self.drain().doing(|| "reading old frames".into())?;
        self.transmit(frame)
            .doing(|| format!("sending a frame of {} bytes", frame.len()))?;
        let arrived = self.arrived()?;
        drop(pinned);
        let expected = untagged(frame);
        Ok(if arrived.contains(&expected) {
            Seen::Passed
        } else {
            Seen::NotSeen
        })
    }

    /// Sends a frame at which nothing looks on its way, but `others` that look there too, and waits until the other end has had it.
    pub fn send_unseen(&mut self, frame: &[u8], others: &Self) -> Result<(), Error> {
        let doing = || "looking away".into();
        self.look(others, false).doing(doing)?;
        let pinned = Pinned::first().doing(|| "keeping to one processor".into())?;
        let sent = self.transmit(frame);
        let arrived = self.arrived();
        drop(pinned);
        self.look(others, true).doing(doing)?;
        sent.doing(|| format!("sending a frame of {} bytes", frame.len()))?;
        arrived.map(drop)
    }

    /// Whether the sockets at the other end, and those by which another probe sends there, look at frames of IP.
    fn look(&self, others: &Self, look: bool) -> io::Result<()> {
        let senders = others.senders.iter();
        let senders = senders.filter(|(kind, _)| WATCHED.contains(kind));
        let senders = senders.map(|(_, socket)| socket);
        let mut all = self.observers.iter().chain(senders);
        all.try_for_each(|socket| socket.look(look))
    }

    /// Whether a frame arrived that something else than this probe sent, under the same terms as [`Self::arrived`].
    pub fn saw(&mut self, frame: &[u8]) -> Result<bool, Error> {
        let arrived = self.arrived()?;
        Ok(arrived.contains(&untagged(frame)))
    }

    /// Every frame that arrived since the last call or the last [`Self::send`]. What another probe's frame set off before it
    /// returned is among them.
    pub fn arrived(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let _pinned = Pinned::first().doing(|| "keeping to one processor".into())?;
        for _ in 0..2 {
            self.sentinel()
                .doing(|| "waiting for the frame that marks the end".into())?;
        }
        self.drain().doing(|| "reading frames".into())
    }

    fn transmit(&self, frame: &[u8]) -> io::Result<()> {
        let ethertype = ethertype(frame);
        let (_, sender) = self
            .senders
            .iter()
            .find(|(kind, _)| Some(*kind) == ethertype)
            .ok_or_else(|| io::Error::other("the frame is of an EtherType that is not watched"))?;
        sender.send(frame)
    }

    /// Sends a sentinel and waits for it.
    fn sentinel(&mut self) -> io::Result<()> {
        self.sent += 1;
        let mut frame = Vec::with_capacity(60);
        frame.extend(MAC.iter().chain(&MAC));
        frame.extend(SENTINEL.to_be_bytes());
        frame.extend(self.sent.to_be_bytes());
        frame.resize(60, 0);
        self.transmit(&frame)?;
        while let Some(seen) = self.sentinels.wait(PATIENCE)? {
            if seen == frame {
                return Ok(());
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it never came, although frames that are not IP always pass",
        ))
    }

    fn drain(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        for observer in &self.observers {
            while let Some(frame) = observer.receive()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }
}

/// The calling thread kept on the first of its processors, the same for every probe: frames sent from two processors
/// wait in two queues and may overtake each other.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// Keeps it there until this is dropped.
    pub fn first() -> nix::Result<Self> {
        let before = sched_getaffinity(Pid::from_raw(0))?;
        let first = (0..CpuSet::count()).find(|&cpu| before.is_set(cpu) == Ok(true));
        let mut one = CpuSet::new();
        one.set(first.unwrap_or(0))?;
        sched_setaffinity(Pid::from_raw(0), &one)?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // The processors were the thread's a moment ago; should they be gone, staying where it is does no harm.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}

fn ethertype(frame: &[u8]) -> Option<u16> {
    frame
        .get(12..14)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_be_bytes)
}

/// The frame without its outer VLAN tag, which the kernel takes off before it hands a frame on.
fn untagged(frame: &[u8]) -> Vec<u8> {
    match (ethertype(frame), frame.get(16..)) {
        (Some(0x8100 | 0x88a8), Some(rest)) => [&frame[..12], rest].concat(),
        _ => frame.to_vec(),
    }
}
