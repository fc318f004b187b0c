//! What the tests of all crates share: random policies as text, packets at the edges of a policy,
//! calls that no signal ends, sockets that are really closed, and folders for files.
//!
//! Nothing here is shipped. The unit tests of the compiler, which see its private parts, build these files into
//! themselves (`crate::testing`), so that policies and headers are their own types; everything else depends on this crate.
//!
//! ```
//! use sockc_testing::{Options, Rng, random_policy};
//!
//! let seed = Rng::new(7).bits();
//! let text = random_policy(seed, Options::whole(20));
//! assert_eq!(text, random_policy(seed, Options::whole(20)));
//! ```

mod again;
mod closed;
mod directed;
mod edges;
mod folder;
mod generate;
mod passing;

pub use again::again;
pub use closed::closing;
pub use directed::of_direction;
pub use edges::{arbitrary_header, edge_headers};
pub use folder::Folder;
pub use generate::{Features, Options, random_policy};
pub use passing::{may_pass, passing};
pub use sockc_random::Rng;
