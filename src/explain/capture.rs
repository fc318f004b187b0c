//! Recordings of packets: pcap and pcapng, with Ethernet, raw IP or Linux cooked frames.
//!
//! Takes a file; gives each packet as an Ethernet frame, with zeros where the recording was cut short, so that a packet
//! is not malformed just because only its beginning was kept. Not here: what becomes of the packets.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

/// A packet of a recording.
#[derive(Debug)]
pub(super) struct Packet {
    /// An Ethernet frame; recordings without Ethernet headers get one of zeros.
    pub(super) frame: Vec<u8>,
    /// Whether the recording says that it left the machine.
    pub(super) leaves: bool,
}

/// The longest packet that is believed: an IP packet of 64 KiB and every header in front of it.
const LONGEST: usize = 65_536 + 256;

/// Bytes of the magic number that says which kind of file it is: pcapng begins with a section header block.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Calls `each` for every packet, in order.
///
/// # Errors
/// Why the file cannot be read, or from where on it is damaged; the packets ahead were seen.
pub(super) fn packets(path: &Path, each: &mut dyn FnMut(Packet)) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic)
        .and_then(|()| file.rewind())
        .map_err(|error| format!("it has no header: {error}"))?;
    let file = BufReader::new(file);
    if magic == SECTION_HEADER {
        pcapng(file, each)
    } else {
        pcap(file, each)
    }
}

fn pcap(file: impl Read, each: &mut dyn FnMut(Packet)) -> Result<(), String> {
    let mut reader = PcapReader::new(file).map_err(|error| error.to_string())?;
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

fn pcapng(file: impl Read, each: &mut dyn FnMut(Packet)) -> Result<(), String> {
    let mut reader = PcapNgReader::new(file).map_err(|error| error.to_string())?;
    let mut links: Vec<DataLink> = Vec::new();
    let mut count = 0u64;
    while let Some(block) = reader.next_block() {
        count += 1;
        let link = |links: &[DataLink], number: u32| {
            let found = links.get(number as usize).copied();
            found.ok_or_else(|| format!("block {count} names an interface that is not described"))
        };
        match block.map_err(|error| format!("block {count}: {error}"))? {
            Block::SectionHeader(_) => links.clear(),
            Block::InterfaceDescription(described) => links.push(described.linktype),
            Block::EnhancedPacket(packet) => {
                let link = link(&links, packet.interface_id)?;
                each(frame(link, &packet.data, packet.original_len)?);
            }
            Block::SimplePacket(packet) => {
                let link = link(&links, 0)?;
                each(frame(link, &packet.data, packet.original_len)?);
            }
            _ => {}
        }
    }
    Ok(())
}

/// `sll_pkttype` of a packet that the machine sent.
const OUTGOING: u16 = 4;

/// A recorded packet as an Ethernet frame, filled up to its length on the wire.
fn frame(link: DataLink, data: &[u8], wire: u32) -> Result<Packet, String> {
    let (header, kind, leaves) = match link {
        DataLink::ETHERNET => (0, None, false),
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => (0, Some(ip_kind(data)), false),
        DataLink::LINUX_SLL => (16, word(data, 14), word(data, 0) == Some(OUTGOING)),
        DataLink::LINUX_SLL2 => {
            let sent = data
                .get(10)
                .is_some_and(|kind| u16::from(*kind) == OUTGOING);
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
    let whole = usize::try_from(wire)
        .unwrap_or(usize::MAX)
        .saturating_sub(header);
    frame.resize((front + whole).min(LONGEST).max(frame.len()), 0);
    Ok(Packet { frame, leaves })
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
