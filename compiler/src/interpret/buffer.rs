//! The packet or message of a run: which bytes are linear, how much room is around them, and how helpers change it.
//!
//! Everything that moves or may copy the packet voids the pointers into it: it has a new *generation*. What is written
//! into new room counts as zeros.

use super::map::Errno;

/// Bytes of an Ethernet header, which no helper lets go.
pub(super) const ETHERNET: usize = 14;
/// Room in front of a frame at XDP: `XDP_PACKET_HEADROOM` less the kernel's `struct xdp_frame`.
const XDP_FRONT: usize = 256 - 40;
/// What a page holds after `XDP_PACKET_HEADROOM` and ahead of `struct skb_shared_info`.
const XDP_PAGE: usize = 4096 - 256 - 320;
/// Longest packet that the skb helpers make (`BPF_SKB_MAX_LEN`, of an interface with Ethernet's MTU of 1500).
const MAX_SKB_LENGTH: usize = 65_535;

/// The packet or message of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Packet {
    bytes: Vec<u8>,
    linear: usize,
    generation: u32,
    /// Bytes that may be put in front, at XDP.
    front: usize,
    /// Bytes that may be put after, at XDP.
    back: usize,
}

impl Packet {
    /// A packet of which so many bytes are linear.
    pub(super) fn new(bytes: Vec<u8>, linear: usize) -> Self {
        Self {
            linear: linear.min(bytes.len()),
            bytes,
            ..Self::default()
        }
    }

    /// A frame at XDP: linear, with room on both sides.
    pub(super) fn in_page(bytes: Vec<u8>) -> Self {
        Self {
            linear: bytes.len(),
            front: XDP_FRONT,
            back: XDP_PAGE.saturating_sub(bytes.len()),
            bytes,
            generation: 0,
        }
    }

    /// Counts how often packet pointers became void.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Where the linear part ends.
    pub(super) fn end(&self) -> u64 {
        u64::try_from(self.linear).unwrap_or(u64::MAX)
    }

    /// All bytes, linear or not.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bytes, linear or not.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Linear bytes.
    pub(super) fn read(&self, offset: i64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        let linear = self.bytes.get(..self.linear)?;
        linear.get(start..start.checked_add(length)?)
    }

    /// Overwrites linear bytes.
    pub(super) fn write(&mut self, offset: i64, bytes: &[u8]) -> Option<()> {
        let start = usize::try_from(offset).ok()?;
        let linear = self.bytes.get_mut(..self.linear)?;
        let place = linear.get_mut(start..start.checked_add(bytes.len())?)?;
        place.copy_from_slice(bytes);
        Some(())
    }

    /// Voids every packet pointer.
    pub(super) fn void(&mut self) {
        self.generation += 1;
    }

    /// `bpf_skb_pull_data`: voids every packet pointer, and makes `length` bytes linear (0: as many as are) if the
    /// packet has them.
    pub(super) fn pull(&mut self, length: usize) -> bool {
        self.void();
        let fits = length <= self.bytes.len();
        if fits {
            self.linear = self.linear.max(length);
        }
        fits
    }

    /// Bytes anywhere, made linear, to be overwritten; every packet pointer is void.
    pub(super) fn writable(&mut self, offset: usize, length: usize) -> Result<&mut [u8], Errno> {
        let end = offset.checked_add(length).ok_or(Errno::EFAULT)?;
        if !self.pull(end) {
            return Err(Errno::EFAULT);
        }
        self.bytes.get_mut(offset..end).ok_or(Errno::EFAULT)
    }

    /// `bpf_xdp_adjust_head`
    pub(super) fn adjust_head(&mut self, delta: i32) -> Result<(), Errno> {
        self.void();
        let amount = usize::try_from(delta.unsigned_abs()).map_err(|_| Errno::EINVAL)?;
        if delta < 0 {
            self.front = self.front.checked_sub(amount).ok_or(Errno::EINVAL)?;
            self.bytes.splice(..0, std::iter::repeat_n(0, amount));
        } else {
            if amount + ETHERNET > self.bytes.len() {
                return Err(Errno::EINVAL);
            }
            self.front += amount;
            self.bytes.drain(..amount);
        }
        self.linear = self.bytes.len();
        Ok(())
    }

    /// `bpf_xdp_adjust_tail`
    pub(super) fn adjust_tail(&mut self, delta: i32) -> Result<(), Errno> {
        self.void();
        let amount = usize::try_from(delta.unsigned_abs()).map_err(|_| Errno::EINVAL)?;
        let length = if delta < 0 {
            let length = self.bytes.len().checked_sub(amount);
            length.filter(|length| *length >= ETHERNET)
        } else {
            (amount <= self.back).then(|| self.bytes.len() + amount)
        };
        let length = length.ok_or(Errno::EINVAL)?;
        self.back = self.back + self.bytes.len() - length;
        self.bytes.resize(length, 0);
        self.linear = length;
        Ok(())
    }

    /// `bpf_skb_change_tail`
    pub(super) fn change_tail(&mut self, length: usize) -> Result<(), Errno> {
        self.void();
        if !(ETHERNET..=MAX_SKB_LENGTH).contains(&length) {
            return Err(Errno::EINVAL);
        }
        if length > self.bytes.len() {
            self.linear = length;
        }
        self.bytes.resize(length, 0);
        self.linear = self.linear.min(length);
        Ok(())
    }

    /// Puts zeros in, where the linear part is long enough.
    pub(super) fn insert(&mut self, offset: usize, amount: usize) -> Result<(), Errno> {
        self.void();
        if self.bytes.len() + amount > MAX_SKB_LENGTH || offset > self.bytes.len() {
            return Err(Errno::EINVAL);
        }
        self.linear = self.linear.max(offset) + amount;
        self.bytes
            .splice(offset..offset, std::iter::repeat_n(0, amount));
        Ok(())
    }

    /// Takes bytes out.
    pub(super) fn remove(&mut self, offset: usize, amount: usize) -> Result<(), Errno> {
        self.void();
        let end = offset.checked_add(amount).ok_or(Errno::EINVAL)?;
        if end > self.bytes.len() {
            return Err(Errno::EINVAL);
        }
        self.linear = self.linear.max(end) - amount;
        self.bytes.drain(offset..end);
        Ok(())
    }
}
