//! Maps: destinations to sockets, the most specific entry first.
//!
//! Takes the declarations; gives entries in the order in which they win, or the start of a live map, and refuses entries
//! between which no order decides. Not here: the rules that a redirect by a map becomes (`through`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use cranelift_entity::PrimaryMap;
use sockc_grammar::ast::{Address, MapDecl, MapEntry, Ports, Protocol};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::declared::Declared;
use super::live::{everything, fits, one_prefix, prefixes_of, size};
use super::ports::port_parts;
use super::report::Report;
use super::sets::Sets;
use super::sockets::is_steerable;
use crate::policy::{LiveEntry, LiveMap, LiveMapId, Socket, SocketId, SourceLocation};
use crate::protocol::IpProtocol;
use crate::values::addresses::range;

/// What the names of maps stand for; `None` for those that are wrong. Which names are maps the sets know.
#[derive(Clone, Default)]
pub(super) struct Maps {
    known: BTreeMap<String, Option<Meaning>>,
}

/// A map.
#[derive(Clone)]
pub(super) enum Meaning {
    /// Its entries, the most specific first.
    Constant(Rc<Vec<Entry>>),
    /// Changed while running.
    Live {
        /// What is declared.
        map: LiveMap,
        /// Its number, if the policy declares or names it.
        id: Option<LiveMapId>,
    },
}

/// An entry as it is looked up: one prefix, one range of ports.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// What it leads to.
    pub(super) live: LiveEntry,
    /// Where it was written.
    span: Span,
}

/// What entries refer to.
pub(super) struct Scope<'a> {
    pub(super) sets: &'a Sets<'a>,
    pub(super) names: &'a Declared<Option<SocketId>>,
    pub(super) sockets: &'a PrimaryMap<SocketId, Socket>,
}

impl Maps {
    /// Resolves a declaration whose name is the first of its kind.
    pub(super) fn declare(
        &mut self,
        decl: &MapDecl,
        place: SourceLocation,
        scope: &Scope<'_>,
        live_maps: &mut PrimaryMap<LiveMapId, LiveMap>,
        report: &mut Report,
    ) {
        let meaning = if decl.live.is_some() {
            live_map(decl, place, scope, report).map(|map| Meaning::Live {
                id: Some(live_maps.push(map.clone())),
                map,
            })
        } else {
            constant(decl, scope, report).map(|entries| Meaning::Constant(Rc::new(entries)))
        };
        self.known.insert(decl.name.value.clone(), meaning);
    }

    /// The same maps for a policy inside this one, which numbers the live ones that it names itself.
    pub(super) fn inherited(&self) -> Self {
        let mut inherited = self.clone();
        for meaning in inherited.known.values_mut().flatten() {
            if let Meaning::Live { id, .. } = meaning {
                *id = None;
            }
        }
        inherited
    }

    /// Numbers the live maps of the policy around this one that this one names.
    pub(super) fn inherit(
        &mut self,
        named: &BTreeSet<&str>,
        live_maps: &mut PrimaryMap<LiveMapId, LiveMap>,
    ) {
        for (name, meaning) in &mut self.known {
            if let Some(Meaning::Live { map, id: id @ None }) = meaning
                && named.contains(name.as_str())
            {
                *id = Some(live_maps.push(map.clone()));
            }
        }
    }

    /// Whether the name is that of a map, be it a wrong one.
    pub(super) fn is_map(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// The entries that a line says a map holds, the most specific first.
    pub(super) fn contents(
        &self,
        written: &[Spanned<MapEntry>],
        scope: &Scope<'_>,
        report: &mut Report,
    ) -> Option<Vec<LiveEntry>> {
        let found = entries(written, scope, report)?;
        Some(found.iter().map(|entry| entry.live).collect())
    }

    /// The map of a name that is known to be one.
    pub(super) fn get(&self, name: &str) -> Option<&Meaning> {
        self.known.get(name)?.as_ref()
    }
}

fn constant(decl: &MapDecl, scope: &Scope<'_>, report: &mut Report) -> Option<Vec<Entry>> {
    if let Some(max) = &decl.max {
        report.error(
            codes::ONLY_LIVE,
            format!(
                "the map `{}` does not change while running",
                decl.name.value
            ),
            max.span,
            "only a live map has a size",
            "leave it out, or write `live map`",
        );
    }
    if decl.entries.is_empty() {
        report.error(
            codes::EMPTY_SET,
            format!("the map `{}` is empty", decl.name.value),
            decl.name.span,
            "nothing is in it, so no rule that uses it can match",
            "put an entry in, or leave out the map and the rules that use it",
        );
        return None;
    }
    entries(&decl.entries, scope, report)
}

fn live_map(
    decl: &MapDecl,
    place: SourceLocation,
    scope: &Scope<'_>,
    report: &mut Report,
) -> Option<LiveMap> {
    let max = size("map", &decl.name, decl.max.as_ref(), report);
    let start = entries(&decl.entries, scope, report);
    let (max, start) = (max?, start?);
    fits("map", start.len(), max, &decl.name, report)?;
    let mut start: Vec<LiveEntry> = start.iter().map(|entry| entry.live).collect();
    start.sort_unstable();
    Some(LiveMap {
        name: decl.name.value.clone(),
        max,
        start,
        place,
    })
}

/// The entries, the most specific first; every wrong one is reported, and every two that no order decides between.
fn entries(
    written: &[Spanned<MapEntry>],
    scope: &Scope<'_>,
    report: &mut Report,
) -> Option<Vec<Entry>> {
    let found: Vec<_> = written
        .iter()
        .map(|entry| entry_parts(&entry.value, entry.span, scope, report))
        .collect();
    let found: Option<Vec<Vec<Entry>>> = found.into_iter().collect();
    let mut entries = found?.concat();
    let errors = report.errors();
    refuse_undecided(&entries, report);
    entries.sort_by_key(|entry| specificity(&entry.live));
    (report.errors() == errors).then_some(entries)
}

/// What sorts the most specific entry first; entries that it does not tell apart are never of one packet.
fn specificity(entry: &LiveEntry) -> impl Ord + use<> {
    let (low, high) = entry.ports;
    (
        Reverse(entry.prefix.1),
        high - low,
        entry.protocol.is_none(),
        *entry,
    )
}

/// One written entry, which may have several prefixes (`any`) and ports.
fn entry_parts(
    written: &MapEntry,
    span: Span,
    scope: &Scope<'_>,
    report: &mut Report,
) -> Option<Vec<Entry>> {
    let socket = scope
        .names
        .look_up(&written.socket.value, written.socket.span, report)
        .copied();
    let number = entry_protocol(written.protocol.as_ref(), report);
    let prefixes = prefixes(written, report);
    let ports = entry_ports(written, scope.sets, report);
    let (socket, protocol) = (socket??, number?);
    takes(&scope.sockets[socket], protocol, written, report)?;
    is_steerable(&scope.sockets[socket], written.socket.span, report)?;
    let mut parts = Vec::new();
    for &prefix in &prefixes? {
        for &ports in ports.as_ref()? {
            let live = LiveEntry {
                prefix,
                ports,
                protocol,
                socket,
            };
            parts.push(Entry { live, span });
        }
    }
    Some(parts)
}

/// The protocol of this number, if it has sockets.
fn socket_number(number: u64) -> Option<IpProtocol> {
    let protocol = IpProtocol(u8::try_from(number).ok()?);
    protocol.has_socket().then_some(protocol)
}

/// TCP, UDP or neither named; sockets have no other.
#[allow(clippy::option_option, reason = "none named is not the same as wrong")]
fn entry_protocol(
    written: Option<&Spanned<Protocol>>,
    report: &mut Report,
) -> Option<Option<IpProtocol>> {
    let Some(written) = written else {
        return Some(None);
    };
    match &written.value {
        Protocol::Tcp => Some(Some(IpProtocol::TCP)),
        Protocol::Udp => Some(Some(IpProtocol::UDP)),
        Protocol::Number(number) if socket_number(number.value).is_some() => {
            Some(socket_number(number.value))
        }
        _ => {
            report.error(
                codes::SOCKET_PROTOCOL,
                "an entry of a map is for TCP or UDP",
                written.span,
                "no socket takes this protocol",
                "write `tcp` or `udp`, or leave the protocol out",
            );
            None
        }
    }
}

/// Whether the socket takes the protocol that the entry names.
fn takes(
    socket: &Socket,
    protocol: Option<IpProtocol>,
    written: &MapEntry,
    report: &mut Report,
) -> Option<()> {
    let (Some(number), Some(word)) = (protocol, &written.protocol) else {
        return Some(());
    };
    if socket.origin.protocols().contains(&number) {
        return Some(());
    }
    report.push(
        Diagnostic::error(
            codes::SOCKET_PROTOCOL,
            format!("the socket `{}` does not take this protocol", socket.name),
            word.span,
            "the entry can match no packet",
        )
        .also(socket.place.span, "declared here")
        .help("leave the protocol out, or name a socket that takes it"),
    );
    None
}

fn prefixes(written: &MapEntry, report: &mut Report) -> Option<Vec<(IpAddr, u8)>> {
    let span = written.endpoint.span;
    let Some(address) = &written.endpoint.value.address else {
        return Some(everything().to_vec());
    };
    let (label, help) = match &address.value {
        Address::Any => return Some(everything().to_vec()),
        Address::Prefix { address, length } => {
            return Some(vec![one_prefix(*address, *length, span, report)?]);
        }
        Address::Range(low, high) => {
            let (low, high) = report.checked(range(*low, *high, span))?;
            let prefixes: Vec<String> = prefixes_of(low, high)
                .iter()
                .take(8)
                .map(|(address, length)| format!("{address}/{length}"))
                .collect();
            (
                "a range of addresses",
                format!("write an entry for each prefix: {}", prefixes.join(", ")),
            )
        }
        Address::Own => (
            "the addresses of this machine",
            "write an entry for each prefix, or a rule: `redirect self:PORTS to sock NAME`".into(),
        ),
        Address::Set(_) => (
            "a set of addresses",
            "write an entry for each prefix, or a rule: `redirect @set:PORTS to sock NAME`".into(),
        ),
    };
    report.error(
        codes::MAP_ENTRY,
        "an entry of a map is a prefix with ports",
        address.span,
        label,
        help,
    );
    None
}

fn entry_ports(
    written: &MapEntry,
    sets: &Sets<'_>,
    report: &mut Report,
) -> Option<Vec<(u16, u16)>> {
    match written
        .endpoint
        .value
        .ports
        .as_ref()
        .map(|ports| &ports.value)
    {
        Some(Ports::Any) => Some(vec![(0, u16::MAX)]),
        Some(Ports::List(items)) => {
            let parts = port_parts(items, sets, report)?;
            let distinct: BTreeSet<(u16, u16)> =
                parts.into_iter().map(|(_, range)| range).collect();
            Some(distinct.into_iter().collect())
        }
        None => {
            report.error(
                codes::MAP_ENTRY,
                "an entry of a map is a prefix with ports",
                written.endpoint.span,
                "no ports are named",
                "write `:*` after it for every port",
            );
            None
        }
    }
}

/// Reports entries of one prefix that share packets, if neither port range lies inside the other, or both are the same.
fn refuse_undecided(entries: &[Entry], report: &mut Report) {
    let mut said = BTreeSet::new();
    for number in [IpProtocol::TCP, IpProtocol::UDP] {
        let mut of_protocol: Vec<&Entry> = entries
            .iter()
            .filter(|entry| entry.live.protocol.is_none_or(|own| own == number))
            .collect();
        of_protocol.sort_by_key(|entry| {
            let (low, high) = entry.live.ports;
            (entry.live.prefix, low, Reverse(high), entry.live.protocol)
        });
        // The ranges that the next one may lie in, the innermost last.
        let mut around: Vec<&Entry> = Vec::new();
        for entry in of_protocol {
            while around.pop_if(|outer| is_beyond(outer, entry)).is_some() {}
            if let Some(outer) = around.last()
                && let Some(wrong) = undecided(outer, entry)
                && said.insert((outer.span, entry.span))
            {
                report.push(wrong);
            }
            around.push(entry);
        }
    }
}

/// Whether a range ends before another begins, or is of another prefix.
fn is_beyond(outer: &Entry, entry: &Entry) -> bool {
    outer.live.prefix != entry.live.prefix || outer.live.ports.1 < entry.live.ports.0
}

/// What is wrong with two entries that share packets; the second begins inside the first.
fn undecided(outer: &Entry, entry: &Entry) -> Option<Diagnostic> {
    let (first, second) = (outer.live, entry.live);
    if outer.span == entry.span && first.socket == second.socket {
        return None;
    }
    if first.ports == second.ports {
        let tie = first.protocol == second.protocol;
        return tie.then(|| {
            Diagnostic::error(
                codes::MAP_TIE,
                "two entries of the map are for the same packets",
                entry.span,
                "the second",
            )
            .also(outer.span, "the first")
            .help("leave one of the two out, or make its prefix longer or its ports fewer")
        });
    }
    (second.ports.1 > first.ports.1).then(|| {
        Diagnostic::error(
            codes::MAP_OVERLAP,
            format!(
                "the port ranges {}-{} and {}-{} of one prefix overlap, and neither lies inside the other",
                first.ports.0, first.ports.1, second.ports.0, second.ports.1
            ),
            entry.span,
            "the second",
        )
        .also(outer.span, "the first")
        .help(format!(
            "end the first at {}, or begin the second at {}",
            second.ports.0.saturating_sub(1),
            first.ports.1.saturating_add(1)
        ))
    })
}
