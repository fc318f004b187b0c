//! Bindings of tubular as a policy of sockc, or as entries of a live map.
//!
//! Takes the set of bindings; gives text. A map does what tubular does: the longest prefix wins, then one port over every
//! port, and a name without a socket refuses.
//!
//! What tubular refuses of IPv4 because of IPv6 bindings goes to a name that never has a socket, so that nothing is let in
//! that was refused. Not carried over: IPv6 packets to `::ffff:0:0/96`, which meet bindings of IPv4 in tubular, and which no
//! network carries.

use std::fmt::Write;

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::print;
use sockc_grammar::source::SourceMap;
use sockc_runtime::Prefix;

use super::binding::{Binding, Carried, Port};
use super::names::Names;
use super::refused::refused;

/// The map's name.
const MAP: &str = "bindings";
/// What the name of the socket that never comes begins with.
const NEVER: &str = "ipv4 refused";
/// The fewest entries that a live map has room for.
const ROOM: usize = 1024;

/// What is made of bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A policy whose map is part of its code.
    Map,
    /// A policy whose map can be changed while it runs, with room for as many entries again.
    LiveMap,
    /// One entry a line, as `sockc map load` reads them.
    Entries,
}

/// Bindings with the names of their labels.
#[derive(Debug)]
pub(super) struct Written {
    /// Names of sockets, by label.
    pub(super) names: Names,
    /// The name of the socket that never comes, where one is needed.
    pub(super) never: Option<String>,
    entries: Vec<String>,
    /// What the bindings are for, all together.
    carried: Carried,
}

impl Written {
    /// Names the labels and writes the entries.
    pub(super) fn new(bindings: &[Binding]) -> Self {
        let mut names = Names::new(bindings.iter().map(|one| one.label.as_str()));
        let mut entries: Vec<String> = bindings
            .iter()
            .map(|one| entry(one.carried, one.prefix, one.port, names.of(&one.label)))
            .collect();
        let refused = refused(bindings);
        let never = (!refused.is_empty()).then(|| names.free(NEVER));
        if let Some(never) = &never {
            let all = refused.iter();
            entries.extend(all.map(|(carried, port)| {
                format!("{}0.0.0.0/0:{port} -> sock {never}", carried.prefix())
            }));
        }
        Self {
            names,
            never,
            entries,
            carried: carried(bindings),
        }
    }

    /// The text, not yet in its canonical form where it is a policy.
    pub(super) fn draft(&self, form: Form) -> String {
        let (map, protocols) = match form {
            Form::Entries => return self.entries.join("\n") + "\n",
            Form::Map => (format!("map {MAP} = {{"), self.carried.words()),
            Form::LiveMap => {
                let map = format!("live map {MAP} max {} = {{", self.room());
                (map, Carried::Both.words())
            }
        };
        format!(
            "# The bindings of tubular. The longest prefix wins, then one port over every port; without its socket a name refuses.\n\n{}\n{map}\n    {}\n}}\n\nredirect {protocols} by @{MAP}\n",
            self.sockets(),
            self.entries.join(",\n    ")
        )
    }

    /// How many entries a live map is made for.
    fn room(&self) -> usize {
        (self.entries.len() * 2).next_power_of_two().max(ROOM)
    }

    fn sockets(&self) -> String {
        let mut text = String::new();
        for (label, name) in self.names.all() {
            let _ = write!(text, "socket {name} = registered");
            // Text of others: quoted, it cannot end its line.
            let _ = match label == name {
                true => writeln!(text),
                false => writeln!(text, " # the label {label:?}"),
            };
        }
        if let Some(never) = &self.never {
            let _ = writeln!(
                text,
                "# Prefixes of IPv6 that cover ::ffff:0:0/96 refuse IPv4 in tubular. Leave this without a socket, or take its entries out.\nsocket {never} = registered"
            );
        }
        text
    }
}

/// The canonical form of a policy. Mistakes of it would be ours, and there are none.
pub(super) fn canonical(draft: String) -> Result<String, Vec<Diagnostic>> {
    let mut sources = SourceMap::default();
    let id = sources.add("<import>", draft);
    print::format(&sources, id)
}

/// What any of the bindings is for: a rule names no protocol that no entry of its map takes.
fn carried(bindings: &[Binding]) -> Carried {
    let first = bindings.first().map_or(Carried::Both, |one| one.carried);
    match bindings.iter().all(|one| one.carried == first) {
        true => first,
        false => Carried::Both,
    }
}

/// An entry of a map.
fn entry(carried: Carried, prefix: Prefix, port: Port, name: &str) -> String {
    let (protocol, address, length) = (carried.prefix(), prefix.address(), prefix.length());
    if address.is_ipv4() {
        format!("{protocol}{address}/{length}:{port} -> sock {name}")
    } else {
        format!("{protocol}[{address}/{length}]:{port} -> sock {name}")
    }
}
