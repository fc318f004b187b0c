//! Little-endian 32-bit words from bytes of any length.

/// The bytes not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a>(pub(super) &'a [u8]);

impl<'a> Words<'a> {
    /// The next word.
    pub(super) fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }

    /// The next `count` words, to be read on their own.
    pub(super) fn take(&mut self, count: usize) -> Option<Words<'a>> {
        let (taken, rest) = self.0.split_at_checked(count.checked_mul(4)?)?;
        self.0 = rest;
        Some(Words(taken))
    }

    /// The word at `index`, without reading it.
    pub(super) fn at(&self, index: usize) -> Option<u32> {
        let start = index.checked_mul(4)?;
        Words(self.0.get(start..)?).next()
    }
}

/// The part of `bytes` that begins at `offset` and is `length` bytes long.
pub(super) fn part(bytes: &[u8], offset: u32, length: u32) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(start..end)
}
