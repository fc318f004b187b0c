//! A binding of tubular: a label for what is sent to a prefix and a port, by TCP, UDP or both.
//!
//! Takes bindings as a file has them, checks them as tubular does, and gives the whole set in one order, whatever order the
//! file had. Not here: how a file writes them.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;

use sockc_runtime::Prefix;

use super::place::Place;

/// How many bytes a label may have in tubular.
const LABEL: usize = 255;
/// How many bits of an IPv6 address say that it stands for one of IPv4.
const MAPPED: u8 = 96;

/// The port of a binding. One port is more specific than all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Port {
    /// This one.
    One(NonZeroU16),
    /// Every port: tubular writes 0.
    Every,
}

impl Port {
    /// As tubular writes it; 0 is every port.
    pub(super) fn of(number: u16) -> Self {
        NonZeroU16::new(number).map_or(Self::Every, Self::One)
    }
}

/// As a policy writes it.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(port) => write!(f, "{port}"),
            Self::Every => f.write_str("*"),
        }
    }
}

/// The protocols of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Carried {
    /// TCP and UDP, as every entry of a bindings file.
    Both,
    /// TCP alone.
    Tcp,
    /// UDP alone.
    Udp,
}

impl Carried {
    /// As a rule names them.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Both => "tcp, udp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// What stands in front of an entry of a map.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Both => "",
            Self::Tcp => "tcp ",
            Self::Udp => "udp ",
        }
    }
}

/// A binding, with the place where it stands.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// The destination.
    pub(super) prefix: Prefix,
    /// The port of the destination.
    pub(super) port: Port,
    /// The protocols.
    pub(super) carried: Carried,
    /// The label that it is bound to.
    pub(super) label: String,
    /// Where it stands in its file.
    pub(super) place: Place,
}

impl Binding {
    /// What is bound: in tubular nothing is bound twice. In this order the more specific of two that begin alike comes first.
    fn key(&self) -> (IpAddr, u8, Port, Carried) {
        let longest_first = u8::MAX - self.prefix.length();
        (
            self.prefix.address(),
            longest_first,
            self.port,
            self.carried,
        )
    }

    /// Whether it is for the whole of IPv4.
    pub(super) fn is_ipv4(&self) -> bool {
        self.prefix.address().is_ipv4() && self.prefix.length() == 0
    }

    /// Whether it covers every IPv4 address in tubular, which looks addresses of both families up in one table.
    pub(super) fn covers_ipv4(&self) -> bool {
        let IpAddr::V6(_) = self.prefix.address() else {
            return false;
        };
        let block = Prefix::truncate(IpAddr::V6([0, 0, 0, 0, 0, 0xffff, 0, 0].into()), MAPPED);
        block.is_some_and(|block| self.prefix.covers(block))
    }
}

/// Whether tubular takes it for a label; else why not, and what to write.
pub(super) fn label(text: &str) -> Result<(), String> {
    let length = text.len();
    if text.is_empty() {
        Err("the label is empty; write the name of a service".to_owned())
    } else if text.contains('\0') {
        Err("the label has a NUL byte; leave it out".to_owned())
    } else if length > LABEL {
        Err(format!(
            "the label has {length} bytes, and tubular takes {LABEL}; shorten it"
        ))
    } else {
        Ok(())
    }
}

/// Reads a prefix; bits beyond its length are cleared, as tubular does.
pub(super) fn prefix(text: &str) -> Result<Prefix, String> {
    let Some((address, length)) = text.rsplit_once('/') else {
        let whole = text.parse().map(|address: IpAddr| match address {
            IpAddr::V4(_) => format!("{text}/32"),
            IpAddr::V6(_) => format!("{text}/128"),
        });
        let whole = whole.unwrap_or_else(|_| "127.0.0.1/32".to_owned());
        return Err(format!(
            "the prefix {text:?} has no length; write one: `{whole}`"
        ));
    };
    let address: IpAddr = address.parse().map_err(|_| {
        format!("{address:?} is no address; write one such as 192.0.2.0/24 or 2001:db8::/32")
    })?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = length
        .parse()
        .ok()
        .and_then(|bits| Prefix::truncate(address, bits));
    let prefix = prefix.ok_or_else(|| {
        format!("the prefix length {length:?} is none; write a number from 0 to {most}")
    })?;
    not_mapped(prefix, text)
}

/// Refuses what tubular refuses: IPv4 addresses as IPv6 writes them. Asked of the prefix without the bits beyond its length.
fn not_mapped(prefix: Prefix, text: &str) -> Result<Prefix, String> {
    let IpAddr::V6(address) = prefix.address() else {
        return Ok(prefix);
    };
    let Some(v4) = address.to_ipv4_mapped() else {
        return Ok(prefix);
    };
    let length = prefix.length().saturating_sub(MAPPED);
    Err(format!(
        "the prefix {text:?} stands for IPv4 addresses, which tubular refuses; write `{v4}/{length}`"
    ))
}

/// The bindings in one order, those of TCP and UDP together where they are to the same label; or which are bound twice.
pub(super) fn set(mut bindings: Vec<Binding>) -> Result<Vec<Binding>, Vec<(Place, String)>> {
    bindings.sort_by_cached_key(|one| (one.key(), one.place));
    let twice = bindings
        .windows(2)
        .filter(|pair| pair[0].key() == pair[1].key());
    let mistakes: Vec<_> = twice
        .map(|pair| (pair[1].place, repeated(&pair[1], &pair[0])))
        .collect();
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    bindings.dedup_by(|next, kept| {
        let joined = (kept.carried, next.carried) == (Carried::Tcp, Carried::Udp)
            && (kept.prefix, kept.port, &kept.label) == (next.prefix, next.port, &next.label);
        if joined {
            kept.carried = Carried::Both;
        }
        joined
    });
    Ok(bindings)
}

/// What is said of a binding whose prefix and port another one has.
fn repeated(binding: &Binding, first: &Binding) -> String {
    let port = match binding.port {
        Port::One(port) => format!("port {port}"),
        Port::Every => "every port".to_owned(),
    };
    let (address, length) = (binding.prefix.address(), binding.prefix.length());
    format!(
        "{address}/{length} with {port} is bound to {:?} in line {} already; leave one of them out",
        first.label, first.place.line
    )
}
