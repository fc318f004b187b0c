//! The counters of a manifest, read from its JSON.
//!
//! There is one for each rule, and every apply reads those of the policy before it. So each is read in one go, and what it has in common
//! with the one before is kept once. Not here: how they are written, which stands at [`Counter`].

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Counter, CounterKind};
use crate::location::Location;

/// A counter as it stands in JSON.
#[derive(Deserialize)]
struct Read<'a> {
    kind: CounterKind,
    label: Option<String>,
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow)]
    file: Cow<'a, str>,
    line: u32,
    direction: String,
    verdict: String,
    audit: bool,
    log: Option<String>,
    #[serde(default = "counted")]
    counted: bool,
}

/// What holds where nothing is said.
fn counted() -> bool {
    true
}

impl Read<'_> {
    /// The counter; `last` is the file of the one before.
    fn counter(self, last: &mut Arc<str>) -> Counter {
        if **last != *self.file {
            *last = Arc::from(&*self.file);
        }
        Counter {
            kind: self.kind,
            label: self.label,
            location: Location::new(Arc::clone(last), self.line, &*self.text),
            direction: self.direction,
            verdict: self.verdict,
            audit: self.audit,
            log: self.log,
            counted: self.counted,
        }
    }
}

/// Reads all of them.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Counter>, D::Error> {
    deserializer.deserialize_seq(All)
}

/// Whoever takes a list of them.
struct All;

impl<'de> Visitor<'de> for All {
    type Value = Vec<Counter>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of counters")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut counters = Vec::new();
        let mut file = Arc::from("");
        while let Some(one) = all.next_element::<Read<'de>>()? {
            counters.push(one.counter(&mut file));
        }
        Ok(counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Manifest;

    fn counter(label: Option<&str>, file: &str, text: &str) -> Counter {
        Counter {
            kind: CounterKind::Rule,
            label: label.map(str::to_owned),
            location: Location::new(file, 3, text),
            direction: "in".to_owned(),
            verdict: "drop".to_owned(),
            audit: label.is_some(),
            log: label.map(str::to_owned),
            counted: label.is_none(),
        }
    }

    /// With texts that JSON has to write otherwise, files that come again, and every word that may be left out.
    #[test]
    fn counters_come_back_as_they_were_written() {
        let manifest = Manifest {
            counters: vec![
                counter(None, "a.sk", "drop tcp"),
                counter(Some("one"), "a.sk", "label \"one\": drop \\ \u{e9}\u{1}"),
                counter(None, "b \"c\".sk", ""),
                counter(Some(""), "a.sk", "drop tcp"),
                counter(None, "", "drop tcp"),
            ],
            ..Manifest::default()
        };
        let json = serde_json::to_vec(&manifest).unwrap();
        let read: Manifest = serde_json::from_slice(&json).unwrap();
        assert_eq!(read, manifest);
        let read: Manifest = serde_json::from_reader(json.as_slice()).unwrap();
        assert_eq!(read, manifest);
        let [one, other] = &read.counters[..2] else {
            panic!("there are five");
        };
        assert!(Arc::ptr_eq(&one.location.file, &other.location.file));
    }

    #[test]
    fn a_counter_that_lacks_something_is_refused() {
        let json = serde_json::to_string(&counter(None, "a.sk", "drop")).unwrap();
        let lacking = json.replace("\"verdict\":\"drop\",", "");
        assert_ne!(json, lacking);
        for (json, sound) in [(&json, true), (&lacking, false)] {
            let list = format!("[{json}]");
            let read = read(&mut serde_json::Deserializer::from_str(&list));
            assert_eq!(read.is_ok(), sound, "{list}");
        }
    }
}
