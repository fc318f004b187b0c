//! Endpoints of plain rules: addresses, prefixes, ranges, sets, and ports after them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Cursor;
use crate::ast::{Address, Endpoint, Name, OWN, PortItem, Ports};
use crate::scan;
use crate::source::Spanned;
use crate::vocabulary;

/// Digits that surely fit a number.
const MAX_DIGITS: usize = 18;

/// Whether `:` and ports may follow an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Ports,
    /// IPv6 without brackets.
    Nothing,
}

impl Cursor<'_> {
    /// Endpoints with commas between them. Stops right after the last.
    pub(super) fn endpoints(&mut self) -> Option<Vec<Spanned<Endpoint>>> {
        let mut endpoints = Vec::with_capacity(1);
        loop {
            endpoints.push(self.endpoint()?);
            let end = self.at;
            self.blanks();
            if !self.takes(b',') {
                self.at = end;
                return Some(endpoints);
            }
            self.blanks();
        }
    }

    fn endpoint(&mut self) -> Option<Spanned<Endpoint>> {
        let start = self.at;
        let (address, after) = match self.takes_word("port") {
            Some(_) => (None, After::Ports),
            None => {
                let (address, after) = self.address()?;
                (Some(self.spanned(start, address)), after)
            }
        };
        let named = address.is_none() || (after == After::Ports && self.takes(b':'));
        let ports = match named {
            true => Some(self.ports()?),
            false => None,
        };
        let endpoint = Endpoint { address, ports };
        self.at_end().then(|| self.spanned(start, endpoint))
    }

    fn address(&mut self) -> Option<(Address, After)> {
        let start = self.at;
        match self.byte()? {
            b'@' => {
                let name = self.set_ref()?;
                Some((Address::Set(name), After::Ports))
            }
            b'[' => {
                self.at += 1;
                let address = self.v6_hosts()?;
                self.takes(b']').then_some((address, After::Ports))
            }
            _ if scan::word(self.text, start) == "any" => {
                self.at += "any".len();
                Some((Address::Any, After::Ports))
            }
            _ if scan::word(self.text, start) == OWN => {
                self.at += OWN.len();
                Some((Address::Own, After::Ports))
            }
            _ => match self.v4() {
                Some(low) => Some((self.hosts(low, Self::v4)?, After::Ports)),
                None => {
                    self.at = start;
                    Some((self.v6_hosts()?, After::Nothing))
                }
            },
        }
    }

    fn v6_hosts(&mut self) -> Option<Address> {
        let low = self.v6()?;
        self.hosts(low, Self::v6)
    }

    /// The rest of an address, a prefix or a range that begins with `low`.
    fn hosts(
        &mut self,
        low: IpAddr,
        host: impl Fn(&mut Self) -> Option<IpAddr>,
    ) -> Option<Address> {
        if self.takes(b'-') {
            return Some(Address::Range(low, host(self)?));
        }
        let length = match self.takes(b'/') {
            true => Some(self.digits()?),
            false => None,
        };
        Some(Address::Prefix {
            address: low,
            length,
        })
    }

    fn v4(&mut self) -> Option<IpAddr> {
        let run = self.run(|byte| byte.is_ascii_digit() || byte == b'.');
        Some(IpAddr::V4(run.parse::<Ipv4Addr>().ok()?))
    }

    fn v6(&mut self) -> Option<IpAddr> {
        let run = self.run(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
        Some(IpAddr::V6(run.parse::<Ipv6Addr>().ok()?))
    }

    /// Takes the longest run of such bytes.
    fn run(&mut self, inside: impl Fn(u8) -> bool) -> &str {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        let length = rest.iter().take_while(|&&byte| inside(byte)).count();
        let start = self.at;
        self.at += length;
        self.text.get(start..self.at).unwrap_or("")
    }

    fn digits(&mut self) -> Option<u64> {
        let run = self.run(|byte| byte.is_ascii_digit());
        if run.len() > MAX_DIGITS {
            return None;
        }
        run.parse().ok()
    }

    /// A decimal number; what may follow it is the caller's to see.
    pub(super) fn number(&mut self) -> Option<Spanned<u64>> {
        let start = self.at;
        let value = self.digits()?;
        Some(self.spanned(start, value))
    }

    /// `@name`; the span covers the `@`.
    fn set_ref(&mut self) -> Option<Name> {
        let start = self.at;
        let name = scan::word(self.text, start + 1);
        self.at += 1 + name.len();
        (!name.is_empty() && name != OWN).then(|| self.spanned(start, name.to_owned()))
    }

    fn ports(&mut self) -> Option<Spanned<Ports>> {
        let start = self.at;
        let ports = if self.takes(b'*') {
            Ports::Any
        } else if self.takes(b'{') {
            Ports::List(self.port_list()?)
        } else {
            Ports::List(vec![self.port_item()?])
        };
        Some(self.spanned(start, ports))
    }

    /// Items with commas between them, up to the `}`.
    fn port_list(&mut self) -> Option<Vec<Spanned<PortItem>>> {
        let mut items = Vec::new();
        loop {
            self.blanks();
            items.push(self.port_item()?);
            self.blanks();
            if !self.takes(b',') {
                return self.takes(b'}').then_some(items);
            }
        }
    }

    fn port_item(&mut self) -> Option<Spanned<PortItem>> {
        let start = self.at;
        let item = match self.byte()? {
            b'@' => PortItem::Set(self.set_ref()?.value),
            byte if byte.is_ascii_digit() => {
                let low = self.digits()?;
                match self.takes(b'-') {
                    true => PortItem::Range(low, self.digits()?),
                    false => PortItem::One(low),
                }
            }
            _ => {
                let word = scan::word(self.text, start);
                self.at += word.len();
                if word.is_empty() || vocabulary::is_reserved(word) {
                    return None;
                }
                PortItem::Service(word.to_owned())
            }
        };
        let ends = self.at_end() || self.byte() == Some(b'}');
        ends.then(|| self.spanned(start, item))
    }
}
