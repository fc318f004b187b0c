//! IPv6 addresses whose last group was probably meant as a port: `2001:db8::1:80` is one address.
//!
//! Only literals of rules and `expect` lines without brackets and without ports, in which something stands between `::`
//! and a last group that is the port of a well-known service.

use std::net::IpAddr;

use sockc_grammar::ast::{Address, Endpoint, File};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceMap;

use super::{PORT_IN_ADDRESS, sides};
use crate::names::{service, services};

/// Reports such addresses.
pub(super) fn check(file: &File, sources: &SourceMap, found: &mut Vec<Diagnostic>) {
    let written = sides::lists(file).flat_map(|list| list.endpoints);
    found.extend(written.filter_map(|endpoint| literal(&endpoint.value, sources)));
}

fn literal(endpoint: &Endpoint, sources: &SourceMap) -> Option<Diagnostic> {
    let Endpoint {
        address: Some(address),
        ports: None,
    } = endpoint
    else {
        return None;
    };
    let Address::Prefix {
        address: IpAddr::V6(_),
        length: None,
    } = address.value
    else {
        return None;
    };
    let text = sources.text(address.span);
    let (host, port) = split(text)?;
    let warning = Diagnostic::warning(
        PORT_IN_ADDRESS,
        format!("this is one IPv6 address, not a port of `{host}`"),
        address.span,
        format!("`{port}` is the last group of the address"),
    );
    Some(warning.help(format!(
        "write `[{host}]:{port}` for the port, or `[{text}]` for the address"
    )))
}

/// The address and the port that a literal reads like.
fn split(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let (_, after) = host.split_once("::")?;
    let is_port = !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
    let number: u16 = port.parse().ok().filter(|_| is_port)?;
    let known = services().any(|name| service(name) == Some(number));
    (known && !after.is_empty() && host.parse::<IpAddr>().is_ok()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn only_what_reads_like_a_port_is_one() {
        assert_eq!(split("2001:db8::1:80"), Some(("2001:db8::1", "80")));
        assert_eq!(split("fe80::1:53"), Some(("fe80::1", "53")));
        for address in [
            "2001:db8::53",
            "::53",
            "2001:db8::1:0080",
            "2001:db8::1:8a",
            "2001:db8::1:2",
            "2001:db8:0:0:0:0:1:80",
            "[2001:db8::1:80]",
            "10.0.0.1",
        ] {
            assert_eq!(split(address), None, "{address}");
        }
    }
}
