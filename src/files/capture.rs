//! Recordings of packets: pcap and pcapng, with Ethernet, raw IP or Linux cooked frames.
//!
//! Takes a file; gives each packet as an Ethernet frame, with zeros where the recording was cut short, so that a packet
//! is not malformed just because only its beginning was kept. What `monitor --pcap-out` made of calls and of data of connections
//! is told apart by its comment: those frames were never packets. One packet at a time is in memory. Not here: what becomes of the packets.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::rc::Rc;

use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{Block, PcapNgReader};
use sockc_compiler::policy::Direction;

use crate::files::bounded;

/// A packet of a recording.
#[derive(Debug)]
pub(crate) struct Packet {
    /// An Ethernet frame; recordings without Ethernet headers get one of zeros.
    pub(crate) frame: Vec<u8>,
    /// How much of the frame's beginning was recorded; zeros follow.
    pub(crate) recorded: usize,
    /// Whether it left the machine, if the recording says so.
    pub(crate) leaves: Option<bool>,
    /// The interface, if the recording names it.
    pub(crate) interface: Option<Rc<str>>,
    /// Whether it is no packet: `monitor` made the frame of what a process did, a call or data of a connection.
    pub(crate) of_process: bool,
}

/// What stands in a comment of `monitor --pcap-out` ahead of the words of the record.
pub(crate) const MADE_FROM: &str = "made from what the log tells: ";

/// The longest packet that is believed: an IP packet of 64 KiB and every header in front of it.
pub(crate) const MAX_FRAME: usize = 65_536 + 256;

/// Bytes of the magic number that says which kind of file it is: pcapng begins with a section header block.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Calls `each` for every packet, in order, with how many of the file's bytes have been read and how many there are.
///
/// # Errors
/// Why the file cannot be read, or from where on it is damaged; the packets ahead were seen.
pub(crate) fn packets(path: &Path, each: &mut dyn FnMut(Packet, (u64, u64))) -> Result<(), String> {
    let mut file = bounded::open(path, false).map_err(|error| error.to_string())?;
    let size = file.metadata().map_or(0, |known| known.len());
    let mut magic = [0; 4];
    file.read_exact(&mut magic)
        .and_then(|()| file.rewind())
        .map_err(|error| format!("it has no header: {error}"))?;
    let read = Rc::new(Cell::new(0));
    let file = BufReader::new(Counted {
        file,
        read: Rc::clone(&read),
    });
    let each = &mut |packet| each(packet, (read.get(), size));
    if magic == SECTION_HEADER {
        pcapng(file, each)
    } else {
        pcap(file, each)
    }
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

fn pcap(file: impl Read, each: &mut dyn FnMut(Packet)) -> Result<(), String> {
    let mut reader = PcapReader::new(file)
        .map_err(|error| format!("it is no recording (pcap or pcapng): {error}"))?;
    let link = reader.header().datalink;
    let mut count = 0u64;
    // Raw packets: the others are refused where the recording was cut short.
    while let Some(packet) = reader.next_raw_packet() {
        count += 1;
        let packet = packet.map_err(|error| format!("packet {count}: {error}"))?;
        each(frame(link, &packet.data, packet.orig_len)?);
    }
    Ok(())
}

/// An interface of a recording.
#[derive(Clone)]
struct Interface {
    link: DataLink,
    name: Option<Rc<str>>,
}

impl Interface {
    fn of(described: &InterfaceDescriptionBlock<'_>) -> Self {
        let name = described.options.iter().find_map(|option| match option {
            InterfaceDescriptionOption::IfName(name) => Some(&**name),
            _ => None,
        });
        Self {
            link: described.linktype,
            // `any` is all of them.
            name: name.filter(|name| *name != "any").map(Rc::from),
        }
    }
}

fn pcapng(file: impl Read, each: &mut dyn FnMut(Packet)) -> Result<(), String> {
    let mut reader = PcapNgReader::new(file).map_err(|error| error.to_string())?;
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut count = 0u64;
    while let Some(block) = reader.next_block() {
        count += 1;
        let interface = |interfaces: &[Interface], number: u32| {
            let found = interfaces.get(number as usize).cloned();
            found.ok_or_else(|| format!("block {count} names an interface that is not described"))
        };
        match block.map_err(|error| format!("block {count}: {error}"))? {
            Block::SectionHeader(_) => interfaces.clear(),
            Block::InterfaceDescription(described) => interfaces.push(Interface::of(&described)),
            Block::EnhancedPacket(packet) => {
                let on = interface(&interfaces, packet.interface_id)?;
                let found = frame(on.link, &packet.data, packet.original_len)?;
                each(Packet {
                    leaves: leaves(&packet).or(found.leaves),
                    interface: on.name,
                    of_process: of_process(&packet),
                    ..found
                });
            }
            Block::SimplePacket(packet) => {
                let on = interface(&interfaces, 0)?;
                each(Packet {
                    interface: on.name,
                    ..frame(on.link, &packet.data, packet.original_len)?
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a packet left, by the lowest two bits of its flags (pcapng's `epb_flags`).
fn leaves(packet: &EnhancedPacketBlock<'_>) -> Option<bool> {
    packet.options.iter().find_map(|option| match option {
        EnhancedPacketOption::Flags(flags) => match flags & 3 {
            1 => Some(false),
            2 => Some(true),
            _ => None,
        },
        _ => None,
    })
}

/// Whether a comment says that the frame was made of what a process did. The words are those of the record, which begin with the direction
/// where that is not `in`; what a rule's `log` says stands ahead of them, so the last of the marks is ours.
fn of_process(packet: &EnhancedPacketBlock<'_>) -> bool {
    packet.options.iter().any(|option| match option {
        EnhancedPacketOption::Comment(comment) => comment
            .rsplit_once(MADE_FROM)
            .and_then(|(_, words)| words.split_whitespace().next())
            .is_some_and(is_done_by_processes),
        _ => false,
    })
}

fn is_done_by_processes(word: &str) -> bool {
    let mut directions = Direction::ALL.into_iter();
    directions.any(|one| one.of_processes() && one.word() == word)
}

/// `sll_pkttype` of a packet that the machine sent.
const OUTGOING: u16 = 4;

/// A recorded packet as an Ethernet frame, filled up to its length on the wire.
fn frame(link: DataLink, data: &[u8], wire: u32) -> Result<Packet, String> {
    let (header, kind, leaves) = match link {
        DataLink::ETHERNET => (0, None, None),
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => (0, Some(ip_kind(data)), None),
        DataLink::LINUX_SLL => {
            let sent = word(data, 0).map(|kind| kind == OUTGOING);
            (16, word(data, 14), sent)
        }
        DataLink::LINUX_SLL2 => {
            let sent = data.get(10).map(|kind| u16::from(*kind) == OUTGOING);
            (20, word(data, 0), sent)
        }
        other => {
            return Err(format!(
                "link type {} is not known: record Ethernet, raw IP or Linux cooked frames",
                u32::from(other)
            ));
        }
    };
    let mut frame = Vec::with_capacity(14 + data.len());
    if let Some(kind) = kind {
        frame.extend([0; 12]);
        frame.extend(kind.to_be_bytes());
    }
    let front = frame.len();
    frame.extend(data.get(header..).unwrap_or_default());
    let recorded = frame.len();
    let whole = usize::try_from(wire)
        .unwrap_or(usize::MAX)
        .saturating_sub(header);
    frame.resize((front + whole).min(MAX_FRAME).max(frame.len()), 0);
    Ok(Packet {
        frame,
        recorded,
        leaves,
        interface: None,
        of_process: false,
    })
}

fn word(data: &[u8], at: usize) -> Option<u16> {
    let (bytes, _) = data.get(at..)?.split_first_chunk::<2>()?;
    Some(u16::from_be_bytes(*bytes))
}

/// The EtherType of a packet that begins with its IP header.
fn ip_kind(data: &[u8]) -> u16 {
    match data.first().map(|first| first >> 4) {
        Some(6) => 0x86dd,
        _ => 0x0800,
    }
}
