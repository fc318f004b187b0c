//! A place in a text, as messages, line information, counters and reports show it.
//!
//! Whoever keeps one shares its texts with all others of the same statement. Not here: spans, which the source map has.

use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Where a statement stands, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The source's name, such as `rules/edge.sk`.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The statement's text on one line, blanks squeezed, comments left out.
    pub text: Arc<str>,
}

impl Location {
    /// The beginning of a line of a file.
    #[must_use]
    pub fn new(file: impl Into<Arc<str>>, line: u32, text: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            line,
            column: 1,
            text: text.into(),
        }
    }
}

/// Writes the beginning of a line as the JSON of manifests has it: text, file and line, each a key of what it is the location of.
pub(crate) fn beside<S: Serializer>(location: &Location, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Written<'a> {
        text: &'a str,
        file: &'a str,
        line: u32,
    }
    let Location {
        file, line, text, ..
    } = location;
    let line = *line;
    Written { text, file, line }.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Counted {
        label: u8,
        #[serde(flatten, serialize_with = "beside")]
        location: Location,
        verdict: u8,
    }

    #[test]
    fn the_keys_stand_beside_those_of_what_is_there() {
        let json = r#"{"label":1,"text":"drop tcp","file":"a.sk","line":3,"verdict":2}"#;
        let counted = Counted {
            label: 1,
            location: Location::new("a.sk", 3, "drop tcp"),
            verdict: 2,
        };
        assert_eq!(serde_json::to_string(&counted).unwrap(), json);
    }
}
