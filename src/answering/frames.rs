//! What a command and the service that answers it say to each other: one request, and pieces of an answer.
//!
//! Each begins with its length, and nothing longer than its bound is read. Not here: what a request may be about.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The version of all this; another one is refused in words.
pub(crate) const VERSION: u32 = 2;
/// The longest request, in bytes.
pub(crate) const MOST_BYTES: usize = 64 * 1024;
/// The most arguments of one.
const MOST_ARGUMENTS: usize = 256;
/// The longest piece of an answer, in bytes.
pub(crate) const PIECE: usize = 64 * 1024;

/// How often the service says that it is at work where it has nothing else to say, and for how long it may be silent until nobody
/// waits for it any more.
pub(crate) const SIGN: Duration = Duration::from_secs(3);
pub(crate) const SILENCE: Duration = Duration::from_secs(15);

/// A network namespace, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Namespace {
    device: u64,
    inode: u64,
}

impl Namespace {
    /// That of this process.
    pub(crate) fn own() -> io::Result<Self> {
        let about = fs::metadata("/proc/self/ns/net")?;
        Ok(Self {
            device: about.dev(),
            inode: about.ino(),
        })
    }
}

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    version: u32,
    /// Where the command would look if it ran by itself.
    pub(crate) namespace: Namespace,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
}

/// All that is read of a request of another version.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Request {
    /// One of this version.
    pub(crate) fn new(namespace: Namespace, arguments: Vec<String>) -> Self {
        Self {
            version: VERSION,
            namespace,
            arguments,
        }
    }

    /// Its bytes, with their length in front; or why no service would read it.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        let text = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        if text.len() > MOST_BYTES {
            return Err(format!(
                "it takes {} bytes there, and a request has at most {MOST_BYTES}; ask for less in one command",
                text.len()
            ));
        }
        let length = u32::try_from(text.len()).map_err(|error| error.to_string())?;
        Ok([length.to_be_bytes().as_slice(), &text].concat())
    }

    /// Reads what comes behind the length; or says why it is none.
    pub(crate) fn read(text: &[u8]) -> Result<Self, String> {
        let garbage = |_| "this is no request of sockc".to_owned();
        let Versioned { version } = serde_json::from_slice(text).map_err(garbage)?;
        if version != VERSION {
            return Err(format!(
                "the request is of version {version}, and this service reads version {VERSION}: command and service are of different releases of sockc; restart the service"
            ));
        }
        let request: Self = serde_json::from_slice(text).map_err(garbage)?;
        let arguments = &request.arguments;
        if arguments.len() > MOST_ARGUMENTS {
            return Err(format!("a request has at most {MOST_ARGUMENTS} arguments"));
        }
        // No process can be given such an argument.
        if arguments.iter().any(|one| one.contains('\0')) {
            return Err("an argument has a byte that is 0".to_owned());
        }
        Ok(request)
    }
}

/// The length that a request says it has, if it may be that long.
pub(crate) fn length(bytes: [u8; 4]) -> Result<usize, String> {
    let length = usize::try_from(u32::from_be_bytes(bytes)).ok();
    let length = length.filter(|length| *length <= MOST_BYTES);
    length.ok_or_else(|| format!("a request has at most {MOST_BYTES} bytes"))
}

/// What a piece of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes of standard output.
    Results,
    /// Bytes of standard error.
    Messages,
    /// The code with which the command ended, in one byte; nothing comes after it.
    Exit,
    /// Why it was not run, or not to its end; nothing comes after it.
    Refusal,
    /// That the service is at work, in no byte.
    Sign,
}

impl Kind {
    const ALL: [(Self, u8); 5] = [
        (Self::Results, 1),
        (Self::Messages, 2),
        (Self::Exit, 3),
        (Self::Refusal, 4),
        (Self::Sign, 5),
    ];

    fn number(self) -> u8 {
        let found = Self::ALL.iter().find(|(kind, _)| *kind == self);
        found.map_or(0, |(_, number)| *number)
    }

    fn of(number: u8) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, one)| *one == number);
        found.map(|(kind, _)| *kind)
    }
}

/// Writes a piece; of more than one may hold, each part as one.
pub(crate) fn write(mut to: impl Write, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.chunks(PIECE) {
        piece(&mut to, kind, part)?;
    }
    Ok(())
}

/// Writes that the service is at work.
pub(crate) fn sign(to: impl Write) -> io::Result<()> {
    piece(to, Kind::Sign, &[])
}

fn piece(mut to: impl Write, kind: Kind, part: &[u8]) -> io::Result<()> {
    let length = u32::try_from(part.len()).map_err(io::Error::other)?;
    let head = [&[kind.number()], length.to_be_bytes().as_slice()].concat();
    to.write_all(&[&head, part].concat())
}

/// Reads a piece.
pub(crate) fn read(mut from: impl Read) -> io::Result<(Kind, Vec<u8>)> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is no answer of sockc");
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let [number, length @ ..] = head;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    let kind = Kind::of(number).ok_or_else(wrong)?;
    if length > PIECE {
        return Err(wrong());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok((kind, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arguments: Vec<String>) -> Vec<u8> {
        let namespace = Namespace {
            device: 4,
            inode: 7,
        };
        Request::new(namespace, arguments).bytes().unwrap()
    }

    #[test]
    fn what_is_asked_is_what_is_heard() {
        let bytes = request(vec!["set".to_owned(), "list".to_owned()]);
        let (head, text) = bytes.split_at(4);
        assert_eq!(length(head.try_into().unwrap()), Ok(text.len()));
        assert_eq!(Request::read(text).unwrap().arguments, ["set", "list"]);
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        let of = |text: &[u8]| Request::read(text).unwrap_err();
        assert!(of(b"\xff\0").contains("no request"));
        assert!(of(br#"{"version":3,"new":[]}"#).contains("version 3"));
        assert!(of(br#"{"version":2,"arguments":[]}"#).contains("no request"));
        let many = request(vec![String::new(); MOST_ARGUMENTS + 1]);
        assert!(of(&many[4..]).contains("256 arguments"));
        let long = Request::new(
            Namespace {
                device: 4,
                inode: 7,
            },
            vec!["x".repeat(MOST_BYTES)],
        );
        assert!(long.bytes().unwrap_err().contains("ask for less"));
        let zero = request(vec!["a\0b".to_owned()]);
        assert!(of(&zero[4..]).contains("is 0"));
        assert!(length([0, 1, 0, 0]).is_ok() && length([0, 1, 0, 1]).is_err());
        assert!(length([255; 4]).is_err());
    }

    #[test]
    fn pieces_are_bounded() {
        let mut sent = Vec::new();
        write(&mut sent, Kind::Results, &vec![b'x'; PIECE + 1]).unwrap();
        let mut from = sent.as_slice();
        assert_eq!(read(&mut from).unwrap().1.len(), PIECE);
        assert_eq!(read(&mut from).unwrap(), (Kind::Results, b"x".to_vec()));
        for wrong in [[9, 0, 0, 0, 0], [1, 0, 1, 0, 1]] {
            let error = read(wrong.as_slice()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
