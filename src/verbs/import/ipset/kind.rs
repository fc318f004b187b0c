//! The types of sets: what their entries are made of.
//!
//! Takes the name of a type; gives the parts of its entries in their order. Not here: how a part is written.

/// What a part of an entry is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verbs::import) enum Part {
    /// An address.
    Host,
    /// Addresses with a prefix in common. Of several entries, the one with the longest prefix decides.
    Net,
    /// A protocol, and a port of it or a type of ICMP.
    Port,
    /// A port of TCP and UDP.
    PlainPort,
    /// An interface.
    Interface,
    /// A hardware address of the frame.
    Hardware,
    /// The mark.
    Mark,
}

use Part::{Hardware, Host, Interface, Mark, Net, PlainPort, Port};

/// The types by their names, without the way in which the kernel keeps them.
const KINDS: [(&str, &[Part]); 15] = [
    ("hash:ip", &[Host]),
    ("bitmap:ip", &[Host]),
    ("hash:net", &[Net]),
    ("bitmap:port", &[PlainPort]),
    ("hash:mac", &[Hardware]),
    ("hash:ip,port", &[Host, Port]),
    ("hash:net,port", &[Net, Port]),
    ("hash:ip,mac", &[Host, Hardware]),
    ("bitmap:ip,mac", &[Host, Hardware]),
    ("hash:ip,mark", &[Host, Mark]),
    ("hash:net,iface", &[Net, Interface]),
    ("hash:net,net", &[Net, Net]),
    ("hash:ip,port,ip", &[Host, Port, Host]),
    ("hash:ip,port,net", &[Host, Port, Net]),
    ("hash:net,port,net", &[Net, Port, Net]),
];

/// The parts of entries of a type, if its entries are known here.
pub(in crate::verbs::import) fn parts(kind: &str) -> Option<&'static [Part]> {
    let known = KINDS.iter().find(|(name, _)| *name == kind);
    known.map(|(_, parts)| *parts)
}

/// Whether an entry of such a type may say that it is none.
pub(in crate::verbs::import) fn has_nomatch(parts: &[Part]) -> bool {
    parts.contains(&Net)
}
