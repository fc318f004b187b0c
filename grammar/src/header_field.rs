//! The fields of a packet's header that conditions test, by their words.
//!
//! Not here: which values they have, which is the compiler's (its `header_field.rs` has a row for each).

/// The codepoints of `ecn`, which have no numbers in the language.
pub const ECN_NAMES: [&str; 4] = ["ce", "ect0", "ect1", "none"];

worded! {
    /// A field of the header, in the order in which packets are told. Its word begins a condition on it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum HeaderField {
        /// Whether it is a fragment, and which.
        Fragment = "fragment",
        /// TCP's flags, the low eight.
        TcpFlags = "tcp flags",
        /// Length of the whole IP packet in bytes.
        Length = "length",
        /// Time to live, or IPv6's hop limit.
        Ttl = "ttl",
        /// The upper six bits of the traffic class (RFC 2474).
        Dscp = "dscp",
        /// Explicit congestion notification, the lower two bits of the traffic class (RFC 3168).
        Ecn = "ecn",
        /// The packet mark that it came with.
        Mark = "mark",
        /// The identifier in the outer VLAN tag.
        Vlan = "vlan",
        /// Who sent the frame: its source address on the link.
        EtherFrom = "ether from",
        /// Whom the frame is for: its destination address on the link.
        EtherTo = "ether to",
    }
}

impl HeaderField {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
}
