//! Every way in which a process gives data to a connected socket.

use std::ffi::c_int;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// What is written each time.
pub(crate) const DATA: &[u8; 8] = b"8 bytes!";

/// Writes [`DATA`] to a connection.
type Way = fn(&TcpStream) -> io::Result<usize>;

/// The ways to write and their names.
pub(crate) const WAYS: [(&str, Way); 9] = [
    ("send", |stream| send(stream, 0)),
    ("send MSG_MORE", |stream| send(stream, libc::MSG_MORE)),
    ("send MSG_OOB", |stream| send(stream, libc::MSG_OOB)),
    ("write", |mut stream| stream.write(DATA)),
    ("writev", |mut stream| {
        stream.write_vectored(&[IoSlice::new(&DATA[..3]), IoSlice::new(&DATA[3..])])
    }),
    ("sendmsg", by_message),
    ("sendfile", by_sendfile),
    ("splice", by_splice),
    ("zero-copy", by_zero_copy),
];

fn result(done: isize) -> io::Result<usize> {
    usize::try_from(done).map_err(|_| io::Error::last_os_error())
}

fn send(stream: &TcpStream, flags: c_int) -> io::Result<usize> {
    // SAFETY: the data and the descriptor live through the call.
    result(unsafe { libc::send(stream.as_raw_fd(), DATA.as_ptr().cast(), DATA.len(), flags) })
}

fn by_message(stream: &TcpStream) -> io::Result<usize> {
    let none: [ControlMessage<'_>; 0] = [];
    let parts = [IoSlice::new(DATA)];
    Ok(sendmsg::<()>(
        stream.as_raw_fd(),
        &parts,
        &none,
        MsgFlags::empty(),
        None,
    )?)
}

/// A file in memory that holds the data.
fn file() -> OwnedFd {
    // SAFETY: the name is a static string; the descriptor is new and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"data".as_ptr(), 0)) };
    let written = nix::unistd::write(&file, DATA).unwrap();
    assert_eq!(written, DATA.len());
    file
}

fn by_sendfile(stream: &TcpStream) -> io::Result<usize> {
    let (file, mut offset) = (file(), 0);
    // SAFETY: both descriptors and the offset live through the call.
    result(unsafe {
        libc::sendfile(
            stream.as_raw_fd(),
            file.as_raw_fd(),
            &raw mut offset,
            DATA.len(),
        )
    })
}

fn by_splice(stream: &TcpStream) -> io::Result<usize> {
    let (from, into) = nix::unistd::pipe().unwrap();
    nix::unistd::write(&into, DATA).unwrap();
    splice(from.as_fd(), stream.as_fd())
}

fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<usize> {
    let (none, other) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both descriptors live through the call, and no offsets are given.
    result(unsafe { libc::splice(from.as_raw_fd(), none, to.as_raw_fd(), other, DATA.len(), 0) })
}

fn by_zero_copy(stream: &TcpStream) -> io::Result<usize> {
    let on: c_int = 1;
    // SAFETY: the option is an int and lives through the call.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ZEROCOPY,
            (&raw const on).cast(),
            4,
        )
    };
    result(set as isize)?;
    send(stream, libc::MSG_ZEROCOPY)
}

/// Whether an error is what a refused write gets.
pub(crate) fn is_refused(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.raw_os_error() == Some(libc::EACCES))
}
