//! Every code that the compiler can say, from the stages that declare them.
//!
//! Not here: the messages, which stand next to what finds them.

use sockc_grammar::diagnostic::Code;

pub use crate::values::codes::MATCHES_NOTHING;

use crate::names::nearest;
use crate::{expect, guard, lint, packet, pipeline, place, reading, resolve, values};

/// Every code with its title, in order.
#[must_use]
pub fn all() -> Vec<(Code, &'static str)> {
    let stages = [
        sockc_grammar::codes::CODES,
        values::codes::CODES,
        reading::codes::CODES,
        resolve::codes::CODES,
        packet::text::codes::CODES,
        place::codes::CODES,
        pipeline::CODES,
        expect::CODES,
        guard::CODES,
        lint::CODES,
    ];
    let mut codes = stages.concat();
    codes.sort();
    codes
}

/// The code of this name.
#[must_use]
pub fn named(name: &str) -> Option<Code> {
    let mut codes = all().into_iter().map(|(code, _)| code);
    codes.find(|code| code.0 == name)
}

/// The code that a wrong name was most likely meant to be.
#[must_use]
pub fn near(name: &str) -> Option<Code> {
    let upper = name.to_ascii_uppercase();
    let codes = all();
    let names = codes.iter().map(|(code, _)| code.0);
    named(&upper).or_else(|| named(nearest(&upper, names)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_stands_for_one_thing() {
        assert!(all().is_sorted_by(|(left, _), (right, _)| left < right));
    }

    #[test]
    fn a_wrong_name_has_a_near_one() {
        assert_eq!(named("W0601").map(|code| code.0), Some("W0601"));
        assert_eq!(named("w0601"), None);
        assert_eq!(near("w0601").map(|code| code.0), Some("W0601"));
        assert_eq!(near("W06O1").map(|code| code.0), Some("W0601"));
        assert_eq!(near("shadowed"), None);
    }
}
