//! The Internet checksum (RFC 1071).

use std::net::IpAddr;

/// The sum of 16-bit words, not yet complemented; an odd last byte counts as the high one.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => u32::from(u16::from_be_bytes([high, low])),
            [high] => u32::from(high) << 8,
            _ => 0,
        })
        .sum()
}

/// The checksum of words that add up to `sum`.
pub(super) fn finish(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// The sum of the pseudo header that TCP, UDP and ICMPv6 put before their segment.
pub(super) fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, length: u32) -> u32 {
    let addresses = address(from) + address(to);
    addresses + u32::from(protocol) + (length >> 16) + (length & 0xffff)
}

fn address(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(finish(sum(&bytes)), !0xddf2);
    }

    #[test]
    fn an_odd_byte_is_the_high_one() {
        assert_eq!(sum(&[0x12, 0x34, 0x56]), 0x1234 + 0x5600);
    }
}
