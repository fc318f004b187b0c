//! Waiting for several descriptors at once, and for the signals that end a command.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// How many events are taken at once.
const AT_ONCE: usize = 256;

/// What happened to one descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// By which number it is known.
    pub(crate) token: u64,
    /// Whether the other side has ended what it sends, or everything.
    pub(crate) ended: bool,
    /// Whether something went wrong with it.
    pub(crate) failed: bool,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// That something can be read, as long as it can.
    Readable,
    /// That something else than data is to be seen, as a change of `/proc/self/mountinfo`.
    Urgent,
    /// That the other side ends, once.
    End,
    /// That, and that something more can be read.
    EndAndData,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Self::Readable => libc::EPOLLIN,
            Self::Urgent => libc::EPOLLPRI,
            Self::End => libc::EPOLLRDHUP | libc::EPOLLET,
            Self::EndAndData => libc::EPOLLRDHUP | libc::EPOLLIN | libc::EPOLLET,
        };
        bits.cast_unsigned()
    }
}

/// A set of descriptors.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// An empty one.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the call takes a number and gives a new descriptor.
        owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Self)
    }

    /// Adds a descriptor. It leaves the set when it is closed.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Waits for something else of a descriptor; what is so already is told again.
    pub(crate) fn change(
        &self,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    fn control(
        &self,
        what: libc::c_int,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: token,
        };
        // SAFETY: both descriptors and the event live through the call.
        let done =
            unsafe { libc::epoll_ctl(self.0.as_raw_fd(), what, fd.as_raw_fd(), &raw mut event) };
        match done {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits until something happens, at most so long.
    pub(crate) fn wait(&self, at_most: Duration) -> io::Result<Vec<Event>> {
        let mut room = [libc::epoll_event { events: 0, u64: 0 }; AT_ONCE];
        // What is less than a millisecond away is waited for that long.
        let milliseconds = at_most.as_nanos().div_ceil(1_000_000);
        let milliseconds = libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX);
        // SAFETY: the kernel writes at most as many events as there is room for.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                room.as_mut_ptr(),
                AT_ONCE as libc::c_int,
                milliseconds,
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(Vec::new()),
                error => Err(error),
            };
        };
        let has = |event: &libc::epoll_event, bits: libc::c_int| {
            let events = event.events;
            events & bits.cast_unsigned() != 0
        };
        let events = room[..count].iter();
        Ok(events
            .map(|event| Event {
                token: event.u64,
                ended: has(event, libc::EPOLLRDHUP | libc::EPOLLHUP),
                failed: has(event, libc::EPOLLERR),
            })
            .collect())
    }
}

/// From now on SIGTERM, SIGINT and SIGHUP end nothing by themselves; they can be read from the descriptor. Threads that are started
/// later are the same. Where SIGHUP is ignored, as under nohup(1), it stays so: a signal that is blocked is not (`sig_ignored` of
/// kernel/signal.c).
///
/// # Errors
///
/// What the kernel refuses.
pub fn end_signals() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set is made by the first call, and lives through the others.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        if !is_ignored(libc::SIGHUP) {
            libc::sigaddset(set.as_mut_ptr(), libc::SIGHUP);
        }
        if libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        owned(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC))
    }
}

fn is_ignored(signal: libc::c_int) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the call writes what holds now; all bits 0 are a value of it, too.
    let now = unsafe {
        libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr());
        now.assume_init()
    };
    now.sa_sigaction == libc::SIG_IGN
}

/// Lets this process have so many descriptors, if it may; how many it may have now.
pub(crate) fn allow_descriptors(count: u64) -> io::Result<u64> {
    let mut now = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call writes one limit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if now.rlim_cur >= count {
        return Ok(now.rlim_cur);
    }
    // The second takes no rights.
    for most in [count.max(now.rlim_max), now.rlim_max] {
        let limit = libc::rlimit {
            rlim_cur: count.min(most),
            rlim_max: most,
        };
        // SAFETY: the call reads one limit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 {
            return Ok(limit.rlim_cur);
        }
    }
    Ok(now.rlim_cur)
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
