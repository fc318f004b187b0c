//! Prefixes of addresses, as live sets and live maps hold them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address and how many of its leading bits count; the others are zero. One that covers another stands before it in the
/// order, and everything in between is covered too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// A prefix; `None` if the length is beyond that of the address, or bits after it are set.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let prefix = Self::truncate(address, length)?;
        (prefix.address == address).then_some(prefix)
    }

    /// The prefix of an address with the bits after it cleared; `None` if the length is beyond that of the address.
    #[must_use]
    pub fn truncate(address: IpAddr, length: u8) -> Option<Self> {
        let kept = u32::from(length);
        let address = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.checked_sub(kept)?).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX
                    .checked_shl(128_u32.checked_sub(kept)?)
                    .unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        };
        Some(Self { address, length })
    }

    /// The prefix that holds one address only.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        let length = if address.is_ipv4() { 32 } else { 128 };
        Self { address, length }
    }

    /// The address, zero beyond the prefix.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits count.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether every address of `other` is one of this.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length
            && self.address.is_ipv4() == other.address.is_ipv4()
            && Self::truncate(other.address, self.length) == Some(self)
    }

    /// Its two halves, the lower one first; one address has none.
    pub(crate) fn halves(self) -> Option<[Self; 2]> {
        let length = self.length.checked_add(1)?;
        let low = Self::truncate(self.address, length)?;
        let high = match self.address {
            IpAddr::V4(address) => {
                let bit = 1_u32.checked_shl(32_u32.checked_sub(length.into())?)?;
                Ipv4Addr::from_bits(address.to_bits() | bit).into()
            }
            IpAddr::V6(address) => {
                let bit = 1_u128.checked_shl(128_u32.checked_sub(length.into())?)?;
                Ipv6Addr::from_bits(address.to_bits() | bit).into()
            }
        };
        Some([low, Self::new(high, length)?])
    }

    /// The family as maps have it: 4 or 6.
    pub(crate) fn family(self) -> u8 {
        if self.address.is_ipv4() { 4 } else { 6 }
    }

    /// The address as maps have it: 16 bytes, those of IPv4 first and zeros after that.
    pub(crate) fn bytes(self) -> [u8; 16] {
        match self.address {
            IpAddr::V4(address) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&address.octets());
                bytes
            }
            IpAddr::V6(address) => address.octets(),
        }
    }

    /// The prefix of the family and address of a map's key.
    pub(crate) fn from_bytes(family: u8, bytes: [u8; 16], length: u32) -> Option<Self> {
        let [a, b, c, d, ..] = bytes;
        let address = match family {
            4 => Ipv4Addr::new(a, b, c, d).into(),
            6 => Ipv6Addr::from(bytes).into(),
            _ => return None,
        };
        Self::new(address, u8::try_from(length).ok()?)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::host(self.address) {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix::new(address.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn bits_beyond_the_prefix_are_refused() {
        let address = "10.0.0.1".parse().unwrap();
        assert_eq!(Prefix::new(address, 8), None);
        assert_eq!(Prefix::new(address, 33), None);
        assert_eq!(Prefix::truncate(address, 8), Some(prefix("10.0.0.0", 8)));
        assert_eq!(Prefix::truncate(address, 0), Some(prefix("0.0.0.0", 0)));
        assert_eq!(prefix("10.0.0.1", 32).to_string(), "10.0.0.1");
        assert_eq!(prefix("2001:db8::", 32).to_string(), "2001:db8::/32");
    }

    #[test]
    fn what_covers_stands_before_what_it_covers() {
        let mut sorted = [
            prefix("10.1.0.0", 16),
            prefix("::", 0),
            prefix("10.0.0.0", 8),
            prefix("10.0.0.0", 16),
            prefix("10.0.0.0", 32),
            prefix("0.0.0.0", 0),
            prefix("11.0.0.0", 8),
        ];
        sorted.sort_unstable();
        let text: Vec<String> = sorted.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "0.0.0.0/0",
                "10.0.0.0/8",
                "10.0.0.0/16",
                "10.0.0.0",
                "10.1.0.0/16",
                "11.0.0.0/8",
                "::/0"
            ]
        );
        assert!(prefix("10.0.0.0", 8).covers(prefix("10.1.0.0", 16)));
        assert!(!prefix("10.1.0.0", 16).covers(prefix("10.0.0.0", 8)));
        assert!(!prefix("0.0.0.0", 0).covers(prefix("::", 0)));
    }

    #[test]
    fn keys_come_back() {
        for one in [prefix("10.0.0.0", 8), prefix("2001:db8::", 32)] {
            let length = u32::from(one.length());
            assert_eq!(
                Prefix::from_bytes(one.family(), one.bytes(), length),
                Some(one)
            );
        }
        assert_eq!(Prefix::from_bytes(5, [0; 16], 0), None);
    }
}
