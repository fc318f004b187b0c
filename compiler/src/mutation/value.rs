//! Values of a rule made a little larger or smaller, as the syntax tree has them, and their words.
//!
//! Not here: which of a rule's values are changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::{Address, OWN, PortItem};

use crate::names;
use crate::policy::span_of;

/// A prefix one bit shorter, or a range with one address more; `None` where there is nothing more.
pub(super) fn wider(address: &Address) -> Option<Address> {
    Some(match *address {
        Address::Prefix { address, length } => {
            let length = length_of(address, length)?.checked_sub(1)?;
            prefix(address, length)
        }
        Address::Range(low, high) => match next(high) {
            Some(high) => Address::Range(low, high),
            None => Address::Range(before(low)?, high),
        },
        Address::Any | Address::Set(_) | Address::Own => return None,
    })
}

/// The lower half of a prefix, or a range without its last address.
pub(super) fn narrower(address: &Address) -> Option<Address> {
    Some(match *address {
        Address::Prefix { address, length } => {
            let length = length_of(address, length)?;
            (length < whole(address)).then(|| prefix(address, length + 1))?
        }
        Address::Range(low, high) if low < high => range(low, before(high)?),
        Address::Range(..) | Address::Any | Address::Set(_) | Address::Own => return None,
    })
}

/// A range with one port more, at its upper end if there is room.
pub(super) fn more_ports(item: &PortItem) -> Option<PortItem> {
    let (low, high) = ports(item)?;
    match high < u64::from(u16::MAX) {
        true => Some(PortItem::Range(low, high + 1)),
        false => Some(PortItem::Range(low.checked_sub(1)?, high)),
    }
}

/// A range without its last port.
pub(super) fn fewer_ports(item: &PortItem) -> Option<PortItem> {
    let (low, high) = ports(item)?;
    match high.checked_sub(low)? {
        0 => None,
        1 => Some(PortItem::One(low)),
        _ => Some(PortItem::Range(low, high - 1)),
    }
}

/// An address as it is written.
pub(super) fn address_words(address: &Address) -> String {
    match address {
        Address::Any => "any".to_owned(),
        Address::Own => OWN.to_owned(),
        Address::Prefix {
            address,
            length: Some(length),
        } => format!("{address}/{length}"),
        Address::Prefix { address, .. } => address.to_string(),
        Address::Range(low, high) => format!("{low}-{high}"),
        Address::Set(name) => format!("@{}", name.value),
    }
}

/// A port or a range as it is written.
pub(super) fn port_words(item: &PortItem) -> String {
    match item {
        PortItem::One(port) => port.to_string(),
        PortItem::Range(low, high) => format!("{low}-{high}"),
        PortItem::Service(name) => name.clone(),
        PortItem::Set(name) => format!("@{name}"),
    }
}

fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn length_of(address: IpAddr, written: Option<u64>) -> Option<u8> {
    written.map_or(Some(whole(address)), |length| u8::try_from(length).ok())
}

fn prefix(address: IpAddr, length: u8) -> Address {
    let (first, _) = span_of(address, length);
    Address::Prefix {
        address: first,
        length: (length < whole(address)).then_some(length.into()),
    }
}

fn range(low: IpAddr, high: IpAddr) -> Address {
    match low == high {
        true => prefix(low, whole(low)),
        false => Address::Range(low, high),
    }
}

fn next(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits().checked_add(1)?).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits().checked_add(1)?).into(),
    })
}

fn before(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits().checked_sub(1)?).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits().checked_sub(1)?).into(),
    })
}

fn ports(item: &PortItem) -> Option<(u64, u64)> {
    match item {
        PortItem::One(port) => Some((*port, *port)),
        PortItem::Range(low, high) => Some((*low, *high)),
        PortItem::Service(name) => {
            let port = names::service(name)?.into();
            Some((port, port))
        }
        PortItem::Set(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_grow_and_shrink_by_one_step_and_stop_at_their_ends() {
        let of = |text: &str, length| Address::Prefix {
            address: text.parse().unwrap(),
            length,
        };
        let words = |found: Option<Address>| found.map(|one| address_words(&one));
        for (address, more, less) in [
            (
                of("10.128.0.0", Some(9)),
                Some("10.0.0.0/8"),
                Some("10.128.0.0/10"),
            ),
            (of("10.0.0.1", None), Some("10.0.0.0/31"), None),
            (of("0.0.0.0", Some(0)), None, Some("0.0.0.0/1")),
            (
                of("2001:db8::", Some(127)),
                Some("2001:db8::/126"),
                Some("2001:db8::"),
            ),
            (Address::Any, None, None),
        ] {
            assert_eq!(words(wider(&address)).as_deref(), more);
            assert_eq!(words(narrower(&address)).as_deref(), less);
        }
        let span =
            |low: &str, high: &str| Address::Range(low.parse().unwrap(), high.parse().unwrap());
        let top = span("255.255.255.254", "255.255.255.255");
        assert_eq!(
            words(wider(&top)).as_deref(),
            Some("255.255.255.253-255.255.255.255")
        );
        assert_eq!(words(narrower(&top)).as_deref(), Some("255.255.255.254"));
        let words = |found: Option<PortItem>| found.map(|one| port_words(&one));
        for (ports, more, less) in [
            (PortItem::One(22), Some("22-23"), None),
            (PortItem::Range(80, 81), Some("80-82"), Some("80")),
            (PortItem::Range(1, 65535), Some("0-65535"), Some("1-65534")),
            (PortItem::Range(0, 65535), None, Some("0-65534")),
            (PortItem::Service("ssh".into()), Some("22-23"), None),
            (PortItem::Set("web".into()), None, None),
        ] {
            assert_eq!(words(more_ports(&ports)).as_deref(), more);
            assert_eq!(words(fewer_ports(&ports)).as_deref(), less);
        }
    }
}
