//! The fields of a packet's header that conditions test, by their words.
//!
//! Not here: which values they have, which is the compiler's (its `header_field.rs` has a row for each).

/// The fields and their words, so that there is no list of them that could be short.
macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident = $word:literal,)*) => {
        /// A field of the header, in the order in which packets are told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum HeaderField {
            $($(#[$doc])* $field,)*
        }

        /// The codepoints of `ecn`, which have no numbers in the language.
pub const ECN_NAMES: [&str; 4] = ["ce", "ect0", "ect1", "none"];

impl HeaderField {
            /// Every field, in order.
            pub const ALL: &'static [Self] = &[$(Self::$field),*];

            /// The word that begins a condition on it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$field => $word,)*
                }
            }
        }
    };
}

fields! {
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
}

impl HeaderField {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The field with this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.word() == word)
    }
}
