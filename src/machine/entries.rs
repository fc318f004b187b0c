//! Entries of live maps, read by the grammar of policies: from the command line, and one a line from files.
//!
//! Takes what stands between the braces of `map NAME = { … }`; gives what the runtime takes. Whether a socket is declared, and
//! whether entries may stand next to each other, the runtime says, which knows the policy in force.

mod plain;

use std::collections::BTreeSet;
use std::net::IpAddr;

use sockc_compiler::artifact::LiveEntryPlan;
use sockc_compiler::names::service;
use sockc_compiler::protocol::IpProtocol;
use sockc_grammar::ast::{Address, Endpoint, MapEntry, PortItem, Ports, Protocol, Statement};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceMap;
use sockc_runtime::{Prefix, Removed};

use crate::cli::element::{host_bits, not_mapped};
use crate::exit::Exit;
use crate::output::Output;

/// Every port.
const ALL: (u16, u16) = (0, u16::MAX);

/// Why text is no entry.
enum Mistake {
    /// The grammar says so.
    Grammar(Box<SourceMap>, Vec<Diagnostic>),
    /// It means none.
    Meaning(String),
}

/// Reads the entries of one argument: several if it lists ports.
pub(crate) fn entries(text: &str, output: &mut Output) -> Result<Vec<LiveEntryPlan>, Exit> {
    entry_of(text).map_err(|mistake| {
        match mistake {
            Mistake::Grammar(sources, mistakes) => output.diagnostics(&sources, &mistakes),
            Mistake::Meaning(mistake) => output.error(mistake),
        }
        Exit::Usage
    })
}

/// Reads the entries of a file, one a line, with the numbers of their lines; `#` begins a comment. Every wrong line is told,
/// with its number.
pub(crate) fn lines(text: &str) -> Result<Vec<(usize, LiveEntryPlan)>, Vec<String>> {
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    // Editors of other systems put a byte order mark at the start.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if let Some(entry) = plain::read(line, &names) {
            found.push((number, entry));
            continue;
        }
        match entry_of(line) {
            Ok(entries) => {
                names.extend(entries.first().map(|entry| entry.socket.clone()));
                found.extend(entries.into_iter().map(|entry| (number, entry)));
            }
            Err(mistake) => mistakes.push(format!("line {number}: {}", mistake.text(line))),
        }
    }
    if mistakes.is_empty() {
        Ok(found)
    } else {
        Err(mistakes)
    }
}

impl Mistake {
    /// It in one line.
    fn text(self, line: &str) -> String {
        match self {
            Self::Meaning(mistake) => mistake,
            Self::Grammar(_, mistakes) => {
                let first = mistakes.first();
                let help = first.and_then(|first| first.help.as_deref());
                let help = help.map(|help| format!("; {help}")).unwrap_or_default();
                let message = first.map_or("it is no entry", |first| &first.message);
                format!("`{line}`: {message}{help}")
            }
        }
    }
}

/// What text means by the grammar.
fn entry_of(text: &str) -> Result<Vec<LiveEntryPlan>, Mistake> {
    let mut sources = SourceMap::default();
    let id = sources.add("<entry>", format!("map entry = {{ {text} }}"));
    let (file, mistakes) = sockc_grammar::parse(&sources, id);
    if !mistakes.is_empty() {
        return Err(Mistake::Grammar(Box::new(sources), mistakes));
    }
    let written = match file.statements.as_slice() {
        [only] => match &only.value {
            Statement::Map(map) => map.entries.as_slice(),
            _ => &[],
        },
        _ => &[],
    };
    if written.is_empty() {
        return Err(Mistake::Meaning(format!(
            "`{text}` is no entry; write for instance `tcp 198.51.100.7:* -> sock proxy`"
        )));
    }
    let mut entries = Vec::new();
    for entry in written {
        let read = plans(&entry.value);
        entries.extend(read.map_err(|mistake| Mistake::Meaning(format!("`{text}`: {mistake}")))?);
    }
    Ok(entries)
}

/// Reads the entries of one argument that are to be removed; their sockets may be left out.
pub(crate) fn removed(text: &str, output: &mut Output) -> Result<Vec<Removed>, Exit> {
    let with_socket = text.contains("->");
    let read = if with_socket {
        entries(text, output)?
    } else {
        entries(&format!("{text} -> sock any-socket"), output)?
    };
    let removed = read.into_iter().map(|entry| Removed { entry, with_socket });
    Ok(removed.collect())
}

fn plans(entry: &MapEntry) -> Result<Vec<LiveEntryPlan>, String> {
    let prefix = prefix(&entry.endpoint.value)?;
    let protocol = match entry.protocol.as_ref().map(|protocol| &protocol.value) {
        None => None,
        Some(Protocol::Tcp) => Some(IpProtocol::TCP),
        Some(Protocol::Udp) => Some(IpProtocol::UDP),
        Some(_) => return Err("sockets speak tcp or udp".into()),
    };
    let plan = |ports| LiveEntryPlan {
        prefix: (prefix.address(), prefix.length()),
        ports,
        protocol,
        socket: entry.socket.value.clone(),
    };
    Ok(ports(&entry.endpoint.value)?
        .into_iter()
        .map(plan)
        .collect())
}

fn prefix(endpoint: &Endpoint) -> Result<Prefix, String> {
    match endpoint.address.as_ref().map(|address| &address.value) {
        Some(Address::Prefix {
            address,
            length: None,
        }) => not_mapped(Prefix::host(*address)),
        Some(Address::Prefix {
            address,
            length: Some(length),
        }) => of_length(*address, *length).and_then(not_mapped),
        _ => Err(
            "an entry of a map is for one prefix and its ports, such as `198.51.100.0/24:53`"
                .into(),
        ),
    }
}

fn of_length(address: IpAddr, length: u64) -> Result<Prefix, String> {
    let most = Prefix::host(address).length();
    let length = u8::try_from(length).ok().filter(|length| *length <= most);
    let length = length.ok_or_else(|| format!("a prefix of {address} has at most {most} bits"))?;
    Prefix::new(address, length).ok_or_else(|| host_bits(address, length))
}

fn ports(endpoint: &Endpoint) -> Result<Vec<(u16, u16)>, String> {
    let missing = "an entry of a map says its ports: `:53`, or `:*` for all";
    match endpoint.ports.as_ref().map(|ports| &ports.value) {
        None => Err(missing.into()),
        Some(Ports::Any) => Ok(vec![ALL]),
        Some(Ports::List(items)) => items.iter().map(|item| range(&item.value)).collect(),
    }
}

fn range(item: &PortItem) -> Result<(u16, u16), String> {
    let number = |port: &u64| {
        u16::try_from(*port).map_err(|_| format!("{port} is no port; ports end at 65535"))
    };
    let (first, last) = match item {
        PortItem::One(port) => (number(port)?, number(port)?),
        PortItem::Range(first, last) => (number(first)?, number(last)?),
        PortItem::Service(name) => {
            let port = service(name).ok_or_else(|| {
                format!("`{name}` is no service that sockc knows; write its port")
            })?;
            (port, port)
        }
        PortItem::Set(name) => {
            return Err(format!(
                "`@{name}` is known in the policy's text only; write the ports"
            ));
        }
    };
    if first > last {
        return Err(format!("the range {first}-{last} ends before it begins"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::suggested;
    use crate::output::Manner;

    fn texts(text: &str) -> Result<Vec<String>, Exit> {
        let mut output = Output::new(Manner {
            json: false,
            color: None,
            verbose: false,
            works: suggested::Place::default(),
        });
        let entries = entries(text, &mut output)?;
        Ok(entries.iter().map(sockc_runtime::entry_text).collect())
    }

    #[test]
    fn entries_are_read_as_policies_write_them() {
        for (text, expected) in [
            (
                "tcp 198.51.100.7:* -> sock proxy",
                vec!["tcp 198.51.100.7:* -> sock proxy"],
            ),
            (
                "10.0.0.0/8:domain -> sock dns",
                vec!["10.0.0.0/8:53 -> sock dns"],
            ),
            (
                "udp [2001:db8::/32]:{80, 8000-8099} -> sock a",
                vec![
                    "udp [2001:db8::/32]:80 -> sock a",
                    "udp [2001:db8::/32]:8000-8099 -> sock a",
                ],
            ),
        ] {
            assert_eq!(texts(text).unwrap(), expected);
        }
    }

    #[test]
    fn every_wrong_line_of_a_file_is_told() {
        let file = "# tenants\n10.0.0.0/8:53 -> sock a # why\n\nudp [::1]:{1, 2} -> sock b\n";
        assert_eq!(lines(file).unwrap().len(), 3);
        let marked = format!("\u{feff}{}", file.replace('\n', "\r\n"));
        assert_eq!(lines(&marked).unwrap(), lines(file).unwrap());
        let mistakes = lines("x\n10.0.0.0/8:53 -> sock a\n10.0.0.1/8:53 -> sock a\n").unwrap_err();
        assert!(mistakes[0].starts_with("line 1: `x`: "), "{mistakes:?}");
        assert!(mistakes[1].starts_with("line 3: "), "{mistakes:?}");
        assert!(mistakes[1].contains("write `10.0.0.0/8`"), "{mistakes:?}");
        let mapped = lines("[::ffff:127.0.0.1/128]:8080 -> sock a").unwrap_err();
        assert!(mapped[0].contains("write `127.0.0.1`"), "{mapped:?}");
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for text in [
            "",
            "tcp",
            "10.0.0.0/8 -> sock a",
            "10.0.0.1/8:53 -> sock a",
            "10.0.0.0/8:70000 -> sock a",
            "10.0.0.0/8:9-1 -> sock a",
            "icmp 10.0.0.0/8:53 -> sock a",
            "10.0.0.1-10.0.0.9:53 -> sock a",
            "@web:53 -> sock a",
            "[::ffff:127.0.0.1/128]:8080 -> sock a",
            "[::ffff:127.0.0.1]:8080 -> sock a",
            "10.0.0.0/8:@web -> sock a",
            "10.0.0.0/8:53 -> sock a } default in drop map b = {",
        ] {
            assert!(matches!(texts(text), Err(Exit::Usage)), "{text}");
        }
    }
}
