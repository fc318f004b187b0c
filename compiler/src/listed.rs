//! Enums with the list of their variants: what stands in the enum stands in the list.
//!
//! Takes an enum, where each variant may have columns of a table after it; gives the enum and `ALL`, or `TABLE` with a row
//! for each variant at its place.

/// An enum, with all of its variants.
#[macro_export]
macro_rules! listed {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $($(#[$of:meta])* $variant:ident $(= $number:literal)?,)*
        }
    ) => {
        $(#[$doc])*
        pub enum $name {
            $($(#[$of])* $variant $(= $number)?,)*
        }

        impl $name {
            /// Every one, in order.
            pub const ALL: [Self; [$(Self::$variant),*].len()] = [$(Self::$variant),*];
        }
    };
    (
        $(#[$doc:meta])*
        pub enum $name:ident: $(#[$columns:meta])* ($($column:ty),*) {
            $($(#[$of:meta])* $variant:ident = ($($value:expr),*),)*
        }
    ) => {
        $(#[$doc])*
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl $name {
            $(#[$columns])*
            pub const TABLE: [(Self, $($column),*); [$(Self::$variant),*].len()] =
                [$((Self::$variant, $($value),*)),*];
        }
    };
}
