//! Entries of live maps as files mostly have them, read without the grammar.
//!
//! Takes a line that looks like `tcp 198.51.100.7:80 -> sock proxy`; gives what the grammar makes of it, or nothing where it is in
//! doubt: then the grammar is asked, which also says what is wrong. A million lines take a tenth of the time so. Not here:
//! which words are names of sockets: those that the grammar has read as one before.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_compiler::artifact::LiveEntryPlan;
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::Prefix;

use super::{ALL, not_mapped};

/// Reads one entry whose socket has one of these names.
pub(super) fn read(line: &str, names: &BTreeSet<String>) -> Option<LiveEntryPlan> {
    let (packets, socket) = line.split_once(" -> sock ")?;
    let socket = names.get(socket)?;
    let (protocol, endpoint) = match packets.split_once(' ') {
        Some(("tcp", rest)) => (Some(IpProtocol::TCP), rest),
        Some(("udp", rest)) => (Some(IpProtocol::UDP), rest),
        Some(_) => return None,
        None => (None, packets),
    };
    let (address, ports) = endpoint.rsplit_once(':')?;
    let prefix = prefix(address)?;
    Some(LiveEntryPlan {
        prefix: (prefix.address(), prefix.length()),
        ports: range(ports)?,
        protocol,
        socket: socket.clone(),
    })
}

fn prefix(text: &str) -> Option<Prefix> {
    let in_brackets = text.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
    let (written, is_v6) = match in_brackets {
        Some(inner) => (inner?, true),
        None => (text, false),
    };
    let (address, length) = match written.split_once('/') {
        Some((address, length)) => (address, Some(number(length)?)),
        None => (written, None),
    };
    let address: IpAddr = match is_v6 {
        true => v6(address)?.into(),
        false => address.parse::<Ipv4Addr>().ok()?.into(),
    };
    let prefix = match length {
        Some(length) => Prefix::new(address, u8::try_from(length).ok()?)?,
        None => Prefix::host(address),
    };
    not_mapped(prefix).ok()
}

fn v6(text: &str) -> Option<Ipv6Addr> {
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b':');
    text.bytes().all(plain).then(|| text.parse().ok())?
}

fn range(text: &str) -> Option<(u16, u16)> {
    if text == "*" {
        return Some(ALL);
    }
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

/// A number without zeros in front, and not 0.
fn number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::super::{Mistake, entry_of, lines};
    use super::*;

    fn names() -> BTreeSet<String> {
        BTreeSet::from(["proxy".to_owned(), "a-b".to_owned()])
    }

    /// What is read so is what the grammar reads.
    #[test]
    fn the_grammar_reads_the_same() {
        let mut plain = 0;
        for protocol in ["", "tcp ", "udp ", "icmp ", "tcp  "] {
            for address in [
                "198.51.100.7",
                "198.51.100.0/24",
                "198.51.100.7/24",
                "010.0.0.1",
                "10.0.0.0/08",
                "0.0.0.0/0",
                "10.0.0.1/32",
                "10.0.0.0/33",
                "[2001:db8::1]",
                "[2001:DB8::1]",
                "[2001:db8::/32]",
                "[2001:db8::/129]",
                "[::ffff:1.2.3.4]",
                "[::ffff:102:304]",
                "[::]",
                "2001:db8::1",
                "[10.0.0.1]",
                "any",
                "@web",
                "",
            ] {
                for ports in [
                    "*",
                    "1",
                    "53",
                    "65535",
                    "65536",
                    "0",
                    "0-9",
                    "080",
                    "8000-8099",
                    "9-1",
                    "domain",
                    "{1, 2}",
                    "",
                    "-",
                ] {
                    for socket in ["proxy", "a-b", "tcp", "", "proxy x"] {
                        let line = format!("{protocol}{address}:{ports} -> sock {socket}");
                        if let Some(found) = read(&line, &names()) {
                            let wanted =
                                entry_of(&line).map_err(|mistake: Mistake| mistake.text(&line));
                            assert_eq!(wanted, Ok(vec![found]), "{line}");
                            plain += 1;
                        }
                    }
                }
            }
        }
        assert!(plain > 100, "{plain}");
    }

    #[test]
    fn usual_lines_are_read_so() {
        for line in [
            "tcp 198.51.100.7:* -> sock proxy",
            "udp 198.51.0.0/16:53 -> sock proxy",
            "[2001:db8::7]:8000-8099 -> sock a-b",
            "tcp [2001:db8::/32]:443 -> sock proxy",
        ] {
            assert!(read(line, &names()).is_some(), "{line}");
        }
    }

    #[test]
    fn a_word_that_the_grammar_has_not_read_as_a_name_is_left_to_it() {
        assert!(read("10.0.0.1:1 -> sock b", &names()).is_none());
        let file = "10.0.0.1:1 -> sock a\n10.0.0.1:2 -> sock a\n10.0.0.1:3 -> sock 9a\n";
        assert!(lines(file).unwrap_err()[0].starts_with("line 3: "));
        assert_eq!(
            lines("10.0.0.1:1 -> sock a\n10.0.0.1:2 -> sock a\n")
                .unwrap()
                .len(),
            2
        );
    }
}
