//! Mistakes in addresses and ADDRESS:PORTS: brackets that miss, blanks, ports where none may be, no address at all.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Failure;
use crate::codes;
use crate::diagnostic::{Code, Diagnostic};
use crate::scan;
use crate::source::Span;

/// Whether the text is an unbracketed IPv6 address with ports: code, message and help if so.
pub(crate) fn bare_ipv6(text: &str) -> Option<(Code, String, String)> {
    let (address, ports) = text.rsplit_once(':')?;
    let host = address.split('/').next().unwrap_or(address);
    let low = host.split('-').next().unwrap_or(host);
    low.parse::<Ipv6Addr>().ok()?;
    let ports = if ports.is_empty() { "…" } else { ports };
    Some((
        codes::BARE_IPV6,
        "an IPv6 address with ports needs brackets".to_owned(),
        format!("write `[{address}]:{ports}`"),
    ))
}

/// The prefix that is meant by `10.0.0.0/255.0.0.0` or `10.0.*.*`, with the ports behind it. A mask with holes is none.
fn prefix_meant(text: &str) -> Option<String> {
    let (host, ports) = match text.split_once(':') {
        Some((host, ports)) => (host, format!(":{ports}")),
        None => (text, String::new()),
    };
    if let Some((address, mask)) = host.split_once('/') {
        let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
        let mask = u32::from(mask.parse::<Ipv4Addr>().ok()?);
        let address = Ipv4Addr::from(address & mask);
        let length = mask.leading_ones();
        return (length + mask.trailing_zeros() == 32)
            .then(|| format!("{address}/{length}{ports}"));
    }
    let known = host.trim_end_matches(".*");
    let stars = (host.len() - known.len()) / ".*".len();
    let zeros = ".0".repeat(stars);
    let address: Ipv4Addr = format!("{known}{zeros}").parse().ok()?;
    (stars > 0).then(|| format!("{address}/{}{ports}", 32 - 8 * stars))
}

impl Failure<'_> {
    /// Mistakes inside ADDRESS:PORTS.
    pub(super) fn endpoint(&self) -> Option<Diagnostic> {
        let near = if self.expected.has(":") {
            self.last_end
        } else {
            self.broke
        };
        let start = scan::chunk_start(self.text, near).max(self.start);
        let chunk = scan::chunk(self.text, start);
        let place = Span::between(self.source, start, start + chunk.len());
        if let Some((code, message, help)) = self.bare_ipv6_chunk(chunk) {
            return Some(
                self.error(code, message, place, "ports after an IPv6 address")
                    .help(help),
            );
        }
        if let Some((address, ports)) = chunk.split_once("]/") {
            let (length, ports) = ports
                .split_once(':')
                .map_or((ports, ""), |(length, ports)| (length, ports));
            let colon = if ports.is_empty() { "" } else { ":" };
            return Some(
                self.error(
                    codes::BARE_IPV6,
                    "the prefix length belongs inside the brackets",
                    place,
                    "outside here",
                )
                .help(format!("write `{address}/{length}]{colon}{ports}`")),
            );
        }
        self.blank_in_endpoint(start, chunk)
            .or_else(|| self.ports_in_set(start, chunk))
    }

    fn bare_ipv6_chunk(&self, chunk: &str) -> Option<(Code, String, String)> {
        let wanted = self.expected.has_address() || self.expected.has(":") || chunk.contains("::");
        if !wanted || chunk.starts_with('[') || chunk.matches(':').count() < 2 {
            return None;
        }
        if chunk.parse::<Ipv6Addr>().is_ok() && !self.expected.has(":") {
            return None;
        }
        bare_ipv6(chunk)
    }

    fn blank_in_endpoint(&self, start: usize, chunk: &str) -> Option<Diagnostic> {
        let after = start + chunk.len();
        let address = chunk.strip_suffix(':')?;
        let blank = scan::byte(self.text, after).is_some_and(|byte| byte == b' ' || byte == b'\t');
        let looks = address == "any"
            || address.starts_with(['@', '['])
            || address.contains('.')
            || address.contains("::");
        if !blank || !looks {
            return None;
        }
        let place = Span::between(self.source, start, after);
        let next = scan::skip(self.text, after);
        let ports = scan::chunk(self.text, next);
        let ports = if ports.is_empty() { "{…}" } else { ports };
        Some(
            self.error(
                codes::BLANK_IN_ENDPOINT,
                "blank inside ADDRESS:PORTS",
                place,
                "a blank follows the `:`",
            )
            .help(format!("write `{address}:{ports}`")),
        )
    }

    fn ports_in_set(&self, start: usize, chunk: &str) -> Option<Diagnostic> {
        let inside_set = self.byte() == Some(b':') && self.expected.no_ports;
        if !inside_set || chunk.starts_with(':') {
            return None;
        }
        let address = scan::rest(self.text, start)
            .get(..self.at - start)
            .unwrap_or("");
        Some(
            self.error(
                codes::PORTS_IN_SET,
                "a set holds addresses without ports",
                self.span(chunk.len() - (self.at - start)),
                "ports here",
            )
            .help(format!(
                "write `{address}` here, and the ports in the rule: `to @name:53`"
            )),
        )
    }

    /// Text that begins like an address and is none.
    pub(super) fn address(&self) -> Option<Diagnostic> {
        let start = scan::chunk_start(self.text, self.broke).max(self.start);
        let glued = start < self.broke && !self.expected.kinds.contains(&"a port");
        let start = if glued { start } else { self.at };
        let chunk = scan::chunk(self.text, start);
        let like_address = chunk.starts_with(|first: char| first.is_ascii_digit() || first == '[')
            && (chunk.contains('.') || chunk.matches(':').count() > 1);
        if !like_address || !(glued || self.expected.has_address()) {
            return None;
        }
        let help = match prefix_meant(chunk) {
            Some(prefix) => format!("write `{prefix}`"),
            None => "write an address, a prefix or a range: `192.0.2.1`, `192.0.2.0/24`, `[2001:db8::/32]:53`".to_owned(),
        };
        Some(
            self.error(
                codes::BAD_ADDRESS,
                format!("`{chunk}` is not an address"),
                Span::between(self.source, start, start + chunk.len()),
                "not an address",
            )
            .help(help),
        )
    }

    /// Addresses of a set that stand without braces.
    pub(super) fn bare_elements(&self) -> Option<Diagnostic> {
        let chunk = scan::chunk(self.text, self.at);
        let digits = chunk.starts_with(|first: char| first.is_ascii_digit() || first == '[');
        if !digits || !self.expected.kinds.contains(&"`{ … }`") {
            return None;
        }
        Some(
            self.unexpected()
                .help(format!("addresses belong in braces: `{{ {chunk} }}`")),
        )
    }
}
