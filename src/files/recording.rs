//! Recordings that are written packet by packet: pcapng, with the interface of each, its time, and a comment.
//!
//! Takes packets; gives bytes as they are to stand in the file, or writes them there. A piece is written at once and ends with a packet, so
//! that what is there can be read whenever the command ends, however; of one that finds no room the packets stay that are there as a
//! whole. Not here: which packets, and standard output.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, PcapError};

use super::written::unwritten;

/// Times are nanoseconds: powers of ten below a second (`if_tsresol`).
const NANOSECONDS: u8 = 9;
/// `epb_flags` of a packet that came, and of one that left.
const CAME: u32 = 1;
const LEFT: u32 = 2;

/// A packet to be written.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    /// The interface; nothing where there is none.
    pub(crate) interface: Option<&'a str>,
    /// Nanoseconds since 1970.
    pub(crate) time: u128,
    /// The frame's first bytes, from its Ethernet header on.
    pub(crate) frame: &'a [u8],
    /// The length of all of it.
    pub(crate) length: u32,
    /// Whether it left the machine.
    pub(crate) leaves: bool,
    /// What is said of it.
    pub(crate) comment: &'a str,
}

/// Bytes of a recording, and where in them each of its packets ends.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// A piece that was not written as a whole.
#[derive(Debug)]
pub(crate) struct Unwritten {
    pub(crate) why: String,
    /// How many of its packets are not there.
    pub(crate) packets: usize,
}

/// The bytes of a recording that are not written yet, and the interfaces that it knows.
pub(crate) struct Recording {
    writer: PcapNgWriter<Vec<u8>>,
    /// Where each packet of these ends.
    ends: Vec<usize>,
    interfaces: BTreeMap<Option<String>, u32>,
}

impl Recording {
    /// One that begins here.
    pub(crate) fn new() -> io::Result<Self> {
        let writer = PcapNgWriter::new(Vec::new()).map_err(plain)?;
        Ok(Self {
            writer,
            ends: Vec::new(),
            interfaces: BTreeMap::new(),
        })
    }

    /// Adds a packet.
    pub(crate) fn add(&mut self, packet: &Written<'_>) -> io::Result<()> {
        let interface = self.interface(packet.interface)?;
        let flags = if packet.leaves { LEFT } else { CAME };
        let time = u64::try_from(packet.time).map_err(io::Error::other)?;
        let block = EnhancedPacketBlock {
            interface_id: interface,
            timestamp: Duration::from_nanos(time),
            original_len: packet.length,
            data: Cow::Borrowed(packet.frame),
            options: vec![
                EnhancedPacketOption::Comment(Cow::Borrowed(packet.comment)),
                EnhancedPacketOption::Flags(flags),
            ],
        };
        let added = self.writer.write_block(&block.into_block());
        added.map_err(plain)?;
        self.ends.push(self.writer.get_ref().len());
        Ok(())
    }

    /// The number of an interface, which is described where it comes first.
    fn interface(&mut self, name: Option<&str>) -> io::Result<u32> {
        let name = name.map(str::to_owned);
        if let Some(number) = self.interfaces.get(&name) {
            return Ok(*number);
        }
        let number = u32::try_from(self.interfaces.len()).map_err(io::Error::other)?;
        let named = name.as_deref().map(Cow::Borrowed);
        let mut options: Vec<_> = named
            .map(InterfaceDescriptionOption::IfName)
            .into_iter()
            .collect();
        options.push(InterfaceDescriptionOption::IfTsResol(NANOSECONDS));
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            // No limit is told: each packet says its own.
            snaplen: 0,
            options,
        };
        self.writer
            .write_block(&block.into_block())
            .map_err(plain)?;
        self.interfaces.insert(name, number);
        Ok(number)
    }

    /// The bytes that were added since this was asked last.
    pub(crate) fn take(&mut self) -> Piece {
        let bytes = std::mem::take(self.writer.get_mut());
        let ends = std::mem::take(&mut self.ends);
        Piece { bytes, ends }
    }
}

/// A pipe may be full for as long as its reader likes; of standard output alone that is watched.
fn of_pipe(path: &Path) -> String {
    format!(
        "cannot write {}: it is a pipe; write `-` and connect standard output with it",
        path.display()
    )
}

fn plain(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// A file that a recording goes to.
pub(crate) struct RecordingFile {
    file: File,
    path: PathBuf,
    /// Its length up to the end of the last whole piece.
    length: u64,
}

impl RecordingFile {
    /// Begins a file anew; says why it cannot be written.
    pub(crate) fn begin(path: &Path) -> Result<Self, String> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        // Of a pipe that nobody reads this says so; without it the opening would wait, and hear no signal.
        options.custom_flags(OFlag::O_NONBLOCK.bits());
        let file = options.open(path);
        let file =
            file.map_err(
                |error| match error.raw_os_error() == Some(Errno::ENXIO as i32) {
                    true => of_pipe(path),
                    false => unwritten(path, &error),
                },
            )?;
        let kind = file.metadata().map_err(|error| unwritten(path, &error))?;
        if kind.file_type().is_fifo() {
            return Err(of_pipe(path));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            length: 0,
        })
    }

    /// Writes a piece; says why that cannot be. Of one that found no room the packets stay that are there as a whole, and what would
    /// be half a packet is taken away again: it could not be read.
    pub(crate) fn write(&mut self, piece: &Piece) -> Result<(), Unwritten> {
        let Err(error) = self.file.write_all(&piece.bytes) else {
            self.length += piece.bytes.len() as u64;
            return Ok(());
        };
        // What is no regular file has no place to stand at, and no length to set.
        let stands = self.file.stream_position().unwrap_or(self.length);
        let there = usize::try_from(stands.saturating_sub(self.length)).unwrap_or(0);
        let whole = piece.ends.iter().take_while(|end| **end <= there).count();
        let kept = whole.checked_sub(1).and_then(|last| piece.ends.get(last));
        self.length += kept.map_or(0, |end| *end as u64);
        let _ = self.file.set_len(self.length);
        Err(Unwritten {
            why: unwritten(&self.path, &error),
            packets: piece.ends.len().saturating_sub(whole),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::capture;

    #[test]
    fn what_is_written_is_read_back_after_each_piece() {
        let path = std::env::temp_dir().join(format!("sockc-recording-{}", std::process::id()));
        let mut recording = Recording::new().unwrap();
        let mut file = RecordingFile::begin(&path).unwrap();
        for (number, interface) in [Some("eth0"), None, Some("eth0"), None]
            .into_iter()
            .enumerate()
        {
            let frame = vec![number as u8; 60];
            let packet = Written {
                interface,
                time: 1_700_000_000_000_000_007,
                frame: &frame,
                length: 100,
                leaves: number == 1,
                comment: "drop by ssh",
            };
            recording.add(&packet).unwrap();
            file.write(&recording.take()).unwrap();
            let mut read = Vec::new();
            capture::packets(&path, &mut |packet, _| read.push(packet)).unwrap();
            assert_eq!(read.len(), number + 1);
            let last = read.last().unwrap();
            assert_eq!((last.frame.len(), last.recorded), (100, 60));
            assert_eq!(last.interface.as_deref(), interface);
            assert_eq!(last.leaves, Some(number == 1));
        }
        std::fs::remove_file(&path).unwrap();
        let none = RecordingFile::begin(Path::new("/nowhere/file.pcapng"));
        assert!(none.is_err_and(|why| why.contains("/nowhere/file.pcapng")));
        let mut full = RecordingFile::begin(Path::new("/dev/full")).unwrap();
        let piece = Piece {
            bytes: vec![0; 9],
            ends: vec![4, 9],
        };
        let refused = full.write(&piece).unwrap_err();
        assert!(refused.why.contains("/dev/full"));
        assert_eq!(refused.packets, 2);
    }
}
