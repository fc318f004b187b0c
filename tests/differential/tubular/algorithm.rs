//! What tubular does with a lookup, written down from its program: two lookups in one table of prefixes, of the port and of
//! port 0, of which the longer prefix wins, and the port where both are as long; then the socket of the label.
//!
//! Addresses of IPv4 stand in the table as `::ffff:a.b.c.d`. Not here: anything of sockc.

use std::net::{IpAddr, SocketAddr};

use sockc_compiler::policy::Family;
use sockc_compiler::protocol::IpProtocol;

/// A row of the table: a binding for one protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The prefix's address, with bits beyond it.
    pub(crate) address: IpAddr,
    /// The prefix's length in its own family.
    pub(crate) length: u8,
    /// 0 is every port.
    pub(crate) port: u16,
    pub(crate) protocol: IpProtocol,
    pub(crate) label: &'static str,
}

/// A socket of a label: one for each family and protocol.
pub(crate) type Destination = (&'static str, Family, IpProtocol);

/// What becomes of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It goes on as if there were no program.
    Pass,
    /// Nobody gets it.
    Refused,
    /// The socket of this label, and of the lookup's family and protocol.
    To(&'static str),
}

/// An address as the table has it.
pub(crate) fn in_table(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Row {
    /// How many bits of the table's address count.
    pub(crate) fn bits(&self) -> u8 {
        match self.address {
            IpAddr::V4(_) => 96 + self.length,
            IpAddr::V6(_) => self.length,
        }
    }

    /// The table's address, zero beyond the prefix.
    pub(crate) fn masked(&self) -> u128 {
        let beyond = u128::MAX.checked_shr(u32::from(self.bits())).unwrap_or(0);
        in_table(self.address) & !beyond
    }

    /// The family of the prefix is that of the socket.
    pub(crate) fn destination(&self) -> Destination {
        (self.label, Family::of(self.address), self.protocol)
    }

    /// What no two rows of a table have in common.
    pub(crate) fn key(&self) -> (u128, u8, u16, u8) {
        (self.masked(), self.bits(), self.port, self.protocol.0)
    }

    fn covers(&self, address: u128) -> bool {
        let beyond = u128::MAX.checked_shr(u32::from(self.bits())).unwrap_or(0);
        address & !beyond == self.masked()
    }
}

/// The answer for a lookup of this destination.
pub(crate) fn answer(
    table: &[Row],
    has_socket: impl Fn(Destination) -> bool,
    to: SocketAddr,
    protocol: IpProtocol,
) -> Answer {
    let longest = |port| {
        let rows = table
            .iter()
            .filter(|row| row.protocol == protocol && row.port == port);
        rows.filter(|row| row.covers(in_table(to.ip())))
            .max_by_key(|row| row.bits())
    };
    let chosen = match (longest(to.port()), longest(0)) {
        (Some(exact), Some(every)) if every.bits() > exact.bits() => every,
        (Some(exact), _) => exact,
        (None, Some(every)) => every,
        (None, None) => return Answer::Pass,
    };
    let fits = Family::of(chosen.address) == Family::of(to.ip());
    if fits && has_socket(chosen.destination()) {
        Answer::To(chosen.label)
    } else {
        Answer::Refused
    }
}
