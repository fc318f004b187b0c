//! Reads files that somebody names, never without end: regular files, and pipes that end.
//!
//! Takes a path, or standard input, and how much is believed; gives the bytes, or why not. A device never ends, a pipe that
//! nobody writes into never begins, and a command that waits for either may hold what others wait for. Not here: what is in
//! a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::makedev;
use nix::sys::statfs::{DEBUGFS_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, TRACEFS_MAGIC, fstatfs};

/// The maximum number of bytes of a text: a policy, what it includes, a guard. A policy of more is refused anyway.
pub(crate) const TEXT: u64 = 64 << 20;
/// The maximum number of bytes of a list of a set: what an object carries of them.
pub(crate) const LIST: u64 = 256 << 20;
/// The maximum number of bytes of an object or a saved plan.
pub(crate) const OBJECT: u64 = 1 << 30;
/// How long a pipe may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a regular file, a pipe where `pipes` says so, or `/dev/null`, the one device that ends; anything else is refused
/// before it is read.
pub(crate) fn open(path: &Path, pipes: bool) -> io::Result<File> {
    // Without O_NONBLOCK a pipe opens only when somebody writes into it, and some devices never.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let about = file.metadata()?;
    let kind = about.file_type();
    let is_null = kind.is_char_device() && about.rdev() == makedev(1, 3);
    let refusal = if kind.is_file() || is_null || (pipes && kind.is_fifo()) {
        None
    } else if kind.is_dir() {
        Some("it is a folder")
    } else if kind.is_fifo() {
        Some("it is a pipe, and this has to be a file")
    } else if kind.is_char_device() || kind.is_block_device() {
        Some("it is a device, and a device does not end; give a file, or `-` for standard input")
    } else {
        Some("it is neither a file nor a pipe")
    };
    match refusal {
        None => Ok(file),
        Some(why) => Err(io::Error::other(why)),
    }
}

/// The bytes of a regular file or of a pipe that ends; `most` may depend on how they begin.
pub(crate) fn read(path: &Path, most: impl Fn(&[u8]) -> u64) -> io::Result<Vec<u8>> {
    let file = open(path, true)?;
    if file.metadata()?.file_type().is_fifo() {
        return all(&mut Patient { file, began: false }, most);
    }
    if is_of_kernel(&file)? {
        return all(&mut Now(file), most);
    }
    blocking(&file)?;
    all(&mut &file, most)
}

/// Whether the kernel makes up what is in a file as it is read: some of those never end, such as `/proc/kmsg`.
fn is_of_kernel(file: &File) -> io::Result<bool> {
    let kind = fstatfs(file)?.filesystem_type();
    Ok([PROC_SUPER_MAGIC, SYSFS_MAGIC, TRACEFS_MAGIC, DEBUGFS_MAGIC].contains(&kind))
}

/// A file that is given up where it would wait.
struct Now(File);

impl Read for Now {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::other("it waits for more, and does not end; give a file that does")
            }
            _ => error,
        })
    }
}

/// The bytes of standard input. Whoever gives it may take time.
pub(crate) fn stdin(most: impl Fn(&[u8]) -> u64) -> io::Result<Vec<u8>> {
    all(&mut io::stdin().lock(), most)
}

/// Everything up to the end, if it is no more than `most`.
fn all(from: &mut dyn Read, most: impl Fn(&[u8]) -> u64) -> io::Result<Vec<u8>> {
    /// More than any beginning that tells what a file is.
    const BEGINNING: u64 = 4096;
    let mut bytes = Vec::new();
    (&mut *from).take(BEGINNING).read_to_end(&mut bytes)?;
    let most = most(&bytes);
    let rest = most.saturating_sub(bytes.len() as u64);
    (&mut *from).take(rest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB, the most that is read of it",
            most >> 20
        )));
    }
    Ok(bytes)
}

/// A pipe that is given up when it is silent for too long.
struct Patient {
    file: File,
    /// Whether anything was read: until then the end of the pipe only says that nobody opened it yet.
    began: bool,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waited = false;
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Nobody has it open for writing: not yet, or, once somebody wrote or was seen to leave, no more.
                Ok(0) if !self.began && !waited => {}
                Ok(read) => {
                    self.began |= read > 0;
                    return Ok(read);
                }
                Err(error) => return Err(error),
            }
            self.wait()?;
            waited = true;
        }
    }
}

impl Patient {
    /// Waits for bytes or the end. The kernel tells the end (POLLHUP) only of a pipe that somebody opened for writing after
    /// we opened it.
    fn wait(&self) -> io::Result<()> {
        let timeout = PollTimeout::try_from(PATIENCE).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut polled, timeout) {
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(0) => return Err(io::Error::other(self.silence())),
                Ok(_) => return Ok(()),
            }
        }
    }

    fn silence(&self) -> String {
        let seconds = PATIENCE.as_secs();
        if self.began {
            format!("nobody wrote into this pipe, nor closed it, for {seconds} seconds")
        } else {
            format!("it is a pipe that nobody wrote into for {seconds} seconds")
        }
    }
}

/// Makes reads wait again, as those of a regular file on some network do.
fn blocking(file: &File) -> io::Result<()> {
    fcntl(file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    fn refusal(path: &str) -> String {
        read(Path::new(path), |_| TEXT).unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_end_is_refused_at_once() {
        for path in ["/dev/zero", "/dev/urandom"] {
            assert!(refusal(path).contains("a device"), "{path}");
        }
        assert!(refusal("/").contains("a folder"));
        if fs::metadata("/proc/kmsg").is_ok() && nix::unistd::geteuid().is_root() {
            assert!(refusal("/proc/kmsg").contains("does not end"));
        }
        assert!(read(Path::new("/proc/self/status"), |_| TEXT).is_ok());
        let null = read(Path::new("/dev/null"), |_| TEXT).unwrap();
        assert!(null.is_empty());
    }

    #[test]
    fn a_file_and_a_pipe_that_ends_are_read_up_to_their_bound() {
        let path = std::env::temp_dir().join(format!("sockc-bounded-{}", std::process::id()));
        fs::write(&path, vec![b'a'; 100_000]).unwrap();
        assert_eq!(read(&path, |_| TEXT).unwrap().len(), 100_000);
        assert_eq!(read(&path, |_| 100_000).unwrap().len(), 100_000);
        let said = read(&path, |_| 99_999).unwrap_err().to_string();
        assert!(said.contains("larger than"), "{said}");
        fs::remove_file(&path).unwrap();

        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open(&path, false).is_err());
        let to = path.clone();
        let writer = std::thread::spawn(move || fs::write(to, vec![b'b'; 200_000]));
        assert_eq!(read(&path, |_| TEXT).unwrap().len(), 200_000);
        writer.join().unwrap().unwrap();
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_pipe_whose_writer_is_gone_is_read_to_its_end() {
        let (from, to) = nix::unistd::pipe().unwrap();
        File::from(to).write_all(b"default in drop\n").unwrap();
        let path = format!("/dev/fd/{}", from.as_raw_fd());
        let read = read(Path::new(&path), |_| TEXT).unwrap();
        assert_eq!(read, b"default in drop\n");
    }
}
