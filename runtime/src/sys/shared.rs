//! Arrays of the kernel in this process's own memory, word by word: what is written is there at once and whole, for
//! programs that run meanwhile and after a kill.
//!
//! Takes an array that was made with `BPF_F_MMAPABLE`; gives its words by their places in bytes. Only what is touched is mapped, in parts.
//! Not here: what the words say, and in which order they are written.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sockc_compiler::bpf::constant::BPF_F_MMAPABLE;

use super::map;
use super::retry::again;

/// Words that others see as they are written. Places are in bytes, and multiples of 4.
pub(crate) trait Words {
    /// The word at a place; everything that was written before it was is seen after this.
    fn word(&self, at: usize) -> io::Result<u32>;

    /// Writes a word; whoever sees it sees everything that was written before.
    fn set_word(&self, at: usize, value: u32) -> io::Result<()>;
}

/// Bytes that are mapped at once: a multiple of every page size.
const PART: usize = 256 << 10;

/// An array of the kernel.
#[derive(Debug)]
pub(crate) struct Shared {
    array: OwnedFd,
    /// Bytes of all its elements.
    bytes: usize,
    writable: bool,
    parts: RefCell<Vec<Option<NonNull<u8>>>>,
}

impl Shared {
    /// Takes an array whose values are a multiple of 8 bytes; refuses any other map.
    pub(crate) fn new(array: OwnedFd, value: u32, writable: bool) -> io::Result<Self> {
        let shape = map::shape(array.as_fd())?;
        if shape != map::Shape::array(value, shape.entries) || !value.is_multiple_of(8) {
            return Err(map::another());
        }
        let bytes = shape.value as usize * shape.entries as usize;
        let parts = RefCell::new(vec![None; bytes.div_ceil(PART)]);
        Ok(Self {
            array,
            bytes,
            writable,
            parts,
        })
    }

    /// Makes such an array.
    pub(crate) fn create(title: &str, value: u32, entries: u32) -> io::Result<OwnedFd> {
        map::create_with(title, map::Shape::array(value, entries), BPF_F_MMAPABLE)
    }

    fn cell(&self, at: usize) -> io::Result<&AtomicU32> {
        let place = self.place(at, size_of::<u32>())?;
        // SAFETY: the part is mapped as long as `self` lives, the place is in it and aligned, and everybody else who has
        // this memory is the kernel and processes that go by words as well.
        Ok(unsafe { &*place.cast::<AtomicU32>() })
    }

    fn wide_cell(&self, at: usize) -> io::Result<&AtomicU64> {
        let place = self.place(at, size_of::<u64>())?;
        // SAFETY: as above; parts are multiples of 8 bytes.
        Ok(unsafe { &*place.cast::<AtomicU64>() })
    }

    /// Where so many bytes stand; their place is a multiple of their number.
    fn place(&self, at: usize, bytes: usize) -> io::Result<*mut u8> {
        if !at.is_multiple_of(bytes) || at >= self.bytes {
            return Err(map::another());
        }
        let part = self.part(at / PART)?;
        // SAFETY: the part is at least so long, since all bytes are a multiple of 8.
        Ok(unsafe { part.as_ptr().add(at % PART) })
    }

    /// The 64 bits at a place that is a multiple of 8.
    pub(crate) fn wide(&self, at: usize) -> io::Result<u64> {
        Ok(self.wide_cell(at)?.load(Ordering::Acquire))
    }

    /// Writes 64 bits at once; whoever sees them sees everything that was written before.
    pub(crate) fn set_wide(&self, at: usize, value: u64) -> io::Result<()> {
        let cell = self.wide_cell(at)?;
        match self.writable {
            true => cell.store(value, Ordering::Release),
            false => return Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        }
        Ok(())
    }

    fn part(&self, number: usize) -> io::Result<NonNull<u8>> {
        let mut parts = self.parts.borrow_mut();
        let part = parts.get_mut(number).ok_or_else(map::another)?;
        match part {
            Some(there) => Ok(*there),
            None => Ok(*part.insert(self.map(number)?)),
        }
    }

    fn map(&self, number: usize) -> io::Result<NonNull<u8>> {
        let writing = if self.writable { libc::PROT_WRITE } else { 0 };
        let offset = libc::off_t::try_from(number * PART).map_err(io::Error::other)?;
        again(|| {
            // SAFETY: a new mapping of an array, where the kernel chooses.
            let there = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    self.length(number),
                    libc::PROT_READ | writing,
                    libc::MAP_SHARED,
                    self.array.as_raw_fd(),
                    offset,
                )
            };
            match NonNull::new(there.cast()) {
                Some(mapped) if there != libc::MAP_FAILED => Ok(mapped),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }

    fn length(&self, number: usize) -> usize {
        PART.min(self.bytes - number * PART)
    }
}

impl Words for Shared {
    fn word(&self, at: usize) -> io::Result<u32> {
        Ok(self.cell(at)?.load(Ordering::Acquire))
    }

    fn set_word(&self, at: usize, value: u32) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        self.cell(at)?.store(value, Ordering::Release);
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for (number, part) in self.parts.borrow().iter().enumerate() {
            if let Some(part) = part {
                // SAFETY: mapped above with this length, and no reference into it outlives `self`.
                let _ = unsafe { libc::munmap(part.as_ptr().cast(), self.length(number)) };
            }
        }
    }
}
