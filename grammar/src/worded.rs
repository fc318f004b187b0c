//! Enums that are words of the language: the words stand once, beside the variants.
//!
//! Takes a variant and its word a line; gives the enum, all of its variants, and the way from a word and to it. So the
//! trees, what is expected, what is reserved and the mistakes take the words from one place. The grammar itself
//! (`policy.pest`) has them once more, and tests hold the two together.

/// An enum, each of its variants with the word that means it.
macro_rules! worded {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $($(#[$of:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$doc])*
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl $name {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word that means it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The one that a word means.
            #[must_use]
            pub fn named(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}
