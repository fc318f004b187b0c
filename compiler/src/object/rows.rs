//! The counters of a manifest in few bytes each: a row for every one, after the JSON of all else.
//!
//! There is a counter for each rule, and what most of them say stands elsewhere already: the text of a rule is a line of a source
//! that the manifest carries, and what kind of a counter it is, others are too. So a row is the number of a kind and a
//! line; the statement's text only where it is not that line, and its label:
//!
//! ```text
//! {"kinds":[{"kind":"Rule","file":"a.sk","direction":"in","verdict":"drop",…}],
//!  "rows":[[0,4],[0,5,"drop tcp to any:22"],[0,6,null,"ssh"]]}
//! ```
//!
//! Takes the counters and the sources; gives both from the other. What is read may be anything: it gives counters or an error,
//! and no more texts than there are lines. Not here: where in the object that stands.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::artifact::{Counter, CounterKind};
use crate::location::Location;

/// No word of the language is longer.
const WORD: usize = 16;
/// The texts of the logs of all counters together: each stands in the text of a policy, which is shorter.
const LOGS: usize = 64 << 20;

/// The sources of a manifest: names and texts.
type Sources = [(String, String)];

/// All counters.
#[derive(Serialize, Deserialize)]
pub(super) struct Rows<'a> {
    #[serde(borrow)]
    kinds: Vec<Kind<'a>>,
    #[serde(borrow)]
    rows: Vec<Row<'a>>,
}

/// What counters have in common.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Kind<'a> {
    kind: CounterKind,
    #[serde(borrow)]
    file: Cow<'a, str>,
    #[serde(borrow)]
    direction: Cow<'a, str>,
    #[serde(borrow)]
    verdict: Cow<'a, str>,
    audit: bool,
    #[serde(borrow)]
    log: Option<Cow<'a, str>>,
    counted: bool,
}

/// What is a counter's own.
#[derive(Default)]
struct Row<'a> {
    kind: u32,
    line: u32,
    /// Nothing where it is that line of the file.
    text: Option<Cow<'a, str>>,
    label: Option<Cow<'a, str>>,
}

impl<'a> Rows<'a> {
    /// Those of a manifest with these sources.
    pub(super) fn of(counters: &'a [Counter], sources: &'a Sources) -> Self {
        let lines = Lines::of(sources);
        let mut kinds = Kinds::default();
        let mut known: Option<(&str, Option<usize>)> = None;
        let rows = counters.iter().map(|counter| {
            let Location {
                file, line, text, ..
            } = &counter.location;
            let source = match known {
                Some((name, source)) if *name == **file => source,
                _ => lines.source(file),
            };
            known = Some((file, source));
            let there = source.and_then(|source| lines.line(source, *line));
            let stands_there = there == Some(text);
            Row {
                kind: kinds.number(Kind::of(counter)),
                line: *line,
                text: (!stands_there).then(|| Cow::Borrowed(&**text)),
                label: counter.label.as_deref().map(Cow::Borrowed),
            }
        });
        Self {
            rows: rows.collect(),
            kinds: kinds.all,
        }
    }

    /// The counters.
    ///
    /// # Errors
    ///
    /// A row names a kind, or a line of a source, that is not there.
    pub(super) fn counters(self, sources: &Sources) -> Result<Vec<Counter>, String> {
        let long = "a kind of counters says more than any rule does";
        if self.kinds.iter().any(Kind::is_long) {
            return Err(long.into());
        }
        let mut left = LOGS;
        let lines = Lines::of(sources);
        let mut texts = Texts::of(&lines);
        let kinds = self.kinds.iter().map(|kind| {
            let file: Arc<str> = Arc::from(&*kind.file);
            (kind, lines.source(&file), file)
        });
        let kinds: Vec<_> = kinds.collect();
        let counters = self.rows.into_iter().map(|row| {
            let kind = kinds.get(usize::try_from(row.kind).unwrap_or(usize::MAX));
            let (kind, source, file) = kind.ok_or("a counter is of no kind that is there")?;
            let text = match row.text {
                Some(text) => Some(Arc::from(&*text)),
                None => source.and_then(|source| texts.line(source, row.line)),
            };
            let text = text.ok_or("a counter is of a line that is not there")?;
            let log = kind.log.as_deref().unwrap_or_default();
            left = left.checked_sub(log.len()).ok_or(long)?;
            Ok(Counter {
                kind: kind.kind,
                label: row.label.map(Cow::into_owned),
                location: Location::new(Arc::clone(file), row.line, text),
                direction: kind.direction.clone().into_owned(),
                verdict: kind.verdict.clone().into_owned(),
                audit: kind.audit,
                log: kind.log.clone().map(Cow::into_owned),
                counted: kind.counted,
            })
        });
        counters.collect()
    }
}

impl<'a> Kind<'a> {
    /// Whether it says so much that many counters of it would take all memory: words of the language are short.
    fn is_long(&self) -> bool {
        let words = [&self.direction, &self.verdict];
        words.iter().any(|word| word.len() > WORD)
    }

    fn of(counter: &'a Counter) -> Self {
        Self {
            kind: counter.kind,
            file: Cow::Borrowed(&counter.location.file),
            direction: Cow::Borrowed(&counter.direction),
            verdict: Cow::Borrowed(&counter.verdict),
            audit: counter.audit,
            log: counter.log.as_deref().map(Cow::Borrowed),
            counted: counter.counted,
        }
    }
}

/// The kinds that there are, numbered as they come.
#[derive(Default)]
struct Kinds<'a> {
    all: Vec<Kind<'a>>,
    numbers: HashMap<Kind<'a>, u32>,
    last: u32,
}

impl<'a> Kinds<'a> {
    fn number(&mut self, kind: Kind<'a>) -> u32 {
        // Most are as the one before.
        if self.all.get(self.last as usize) != Some(&kind) {
            let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
            self.last = *self.numbers.entry(kind.clone()).or_insert_with(|| {
                self.all.push(kind);
                next
            });
        }
        self.last
    }
}

/// The lines of sources, by name; of two of one name, those of the first.
struct Lines<'a>(Vec<(&'a str, Vec<&'a str>)>);

impl<'a> Lines<'a> {
    fn of(sources: &'a Sources) -> Self {
        let lines = sources
            .iter()
            .map(|(name, text)| (name.as_str(), text.split('\n').map(str::trim).collect()));
        Self(lines.collect())
    }

    /// Which source has a name.
    fn source(&self, file: &str) -> Option<usize> {
        self.0.iter().position(|(name, _)| *name == file)
    }

    /// A line, without the blanks around it.
    fn line(&self, source: usize, line: u32) -> Option<&'a str> {
        let line = usize::try_from(line).ok()?.checked_sub(1)?;
        self.0[source].1.get(line).copied()
    }
}

/// The same, each text made once, however many counters are of it.
struct Texts<'l, 'a> {
    lines: &'l Lines<'a>,
    made: Vec<Vec<Option<Arc<str>>>>,
}

impl<'l, 'a> Texts<'l, 'a> {
    fn of(lines: &'l Lines<'a>) -> Self {
        let made = lines.0.iter().map(|(_, lines)| vec![None; lines.len()]);
        Self {
            made: made.collect(),
            lines,
        }
    }

    fn line(&mut self, source: usize, line: u32) -> Option<Arc<str>> {
        let text = self.lines.line(source, line)?;
        let made = self.made[source].get_mut(usize::try_from(line).ok()?.checked_sub(1)?)?;
        Some(made.get_or_insert_with(|| Arc::from(text)).clone())
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_seq(None)?;
        row.serialize_element(&self.kind)?;
        row.serialize_element(&self.line)?;
        if self.text.is_some() || self.label.is_some() {
            row.serialize_element(&self.text)?;
        }
        if let Some(label) = &self.label {
            row.serialize_element(label)?;
        }
        row.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(OneRow)
    }
}

/// A text that may stand in the JSON as it is.
#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whoever takes a row.
struct OneRow;

impl<'de> Visitor<'de> for OneRow {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a kind, a line, and maybe a text and a label")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<Self::Value, A::Error> {
        let lacks = || A::Error::custom("a counter lacks its kind or its line");
        let kind = row.next_element()?.ok_or_else(lacks)?;
        let line = row.next_element()?.ok_or_else(lacks)?;
        let mut word = || row.next_element::<Option<Borrowed<'de>>>();
        let text = word()?.flatten().map(|text| text.0);
        let label = word()?.flatten().map(|label| label.0);
        Ok(Row {
            kind,
            line,
            text,
            label,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "drop tcp\n  label \"a\": allow  udp # why\r\ndrop tcp\n\n\tcount icmp\t\r\n";

    fn counter(label: Option<&str>, file: &str, line: u32, text: &str) -> Counter {
        Counter {
            kind: CounterKind::Rule,
            label: label.map(str::to_owned),
            location: Location::new(file, line, text),
            direction: "in".to_owned(),
            verdict: "drop".to_owned(),
            audit: false,
            log: None,
            counted: true,
        }
    }

    fn sources() -> Vec<(String, String)> {
        let one = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        vec![
            one("a.sk", TEXT),
            one("b.sk", "allow"),
            one("a.sk", "other"),
        ]
    }

    fn written(counters: &[Counter]) -> String {
        serde_json::to_string(&Rows::of(counters, &sources())).unwrap()
    }

    fn read(json: &str) -> Result<Vec<Counter>, String> {
        let rows: Rows<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        rows.counters(&sources())
    }

    /// Lines that say it and lines that do not, of no source, of sources of one name, and everything that kinds differ in.
    #[test]
    fn counters_come_back_as_they_were() {
        let one = |line, text| counter(None, "a.sk", line, text);
        let mut counters = vec![
            one(1, "drop tcp"),
            one(2, "label \"a\": allow udp"),
            one(5, "count icmp"),
            one(4, ""),
            one(0, "drop tcp"),
            one(7, "drop tcp"),
            one(u32::MAX, "\u{1}\\\"\u{e9}"),
            counter(Some("l\"\u{1}"), "a.sk", 1, "drop tcp"),
            counter(Some("l"), "a.sk", 1, "drop"),
            counter(None, "b.sk", 1, "allow"),
            counter(None, "", 0, "malformed packets"),
            counter(None, "", 1, ""),
        ];
        let first = counters[0].clone();
        let others: [fn(&mut Counter); 6] = [
            |one| one.kind = CounterKind::Default,
            |one| one.direction = "out".to_owned(),
            |one| one.verdict = "allow".to_owned(),
            |one| one.audit = true,
            |one| one.log = Some(String::new()),
            |one| one.counted = false,
        ];
        for change in others {
            let mut other = first.clone();
            change(&mut other);
            counters.extend([other, first.clone()]);
        }
        assert_eq!(read(&written(&counters)).unwrap(), counters);
    }

    #[test]
    fn what_stands_in_a_source_is_not_said_again() {
        let said = [
            counter(None, "a.sk", 1, "drop tcp"),
            counter(None, "a.sk", 5, "count icmp"),
            counter(Some("l"), "a.sk", 3, "drop tcp"),
            counter(None, "a.sk", 2, "label \"a\": allow udp"),
        ];
        let rows = r#""rows":[[0,1],[0,5],[0,3,null,"l"],[0,2,"label \"a\": allow udp"]]"#;
        let json = written(&said);
        assert!(json.contains(rows), "{json}");
        assert_eq!(json.matches("verdict").count(), 1, "{json}");
    }

    /// Many counters of one long line are no many long lines.
    #[test]
    fn counters_of_a_line_share_its_text() {
        let said = [1, 2, 1].map(|line| counter(None, "a.sk", line, "drop tcp"));
        let found = read(&written(&said)).unwrap();
        let [first, _, last] = found.as_slice() else {
            panic!("there are three");
        };
        assert!(Arc::ptr_eq(&first.location.text, &last.location.text));
    }

    /// What a kind says stands in each of its counters.
    #[test]
    fn kinds_that_say_too_much_are_refused() {
        let sound = written(&[counter(None, "a.sk", 1, "drop tcp")]);
        for (word, other) in [
            ("\"in\"", format!("{:?}", "i".repeat(WORD + 1))),
            ("\"drop\"", format!("{:?}", "d".repeat(WORD + 1))),
        ] {
            let changed = sound.replacen(word, &other, 1);
            assert_ne!(changed, sound);
            assert!(read(&changed).is_err(), "{word}");
        }
        let mut logged = counter(None, "a.sk", 1, "drop tcp");
        logged.log = Some("l".repeat(LOGS / 8));
        let most = vec![logged; 8];
        let json = written(&most);
        assert_eq!(read(&json).unwrap(), most);
        let changed = json.replace("[0,1]]", "[0,1],[0,1]]");
        assert_ne!(changed, json);
        assert!(read(&changed).is_err());
    }

    #[test]
    fn rows_that_say_what_is_not_there_are_refused() {
        let sound = written(&[counter(None, "a.sk", 1, "drop tcp")]);
        assert!(read(&sound).is_ok());
        for (row, other) in [
            ("[0,1]", "[1,1]"),
            ("[0,1]", "[4294967295,1]"),
            ("[0,1]", "[0,0]"),
            ("[0,1]", "[0,7]"),
            ("[0,1]", "[0]"),
            ("[0,1]", "[]"),
            ("[0,1]", "[0,1,2]"),
            ("[0,1]", "[0,1,null,null,null]"),
            ("a.sk", "c.sk"),
            ("\"audit\":false,", ""),
        ] {
            let changed = sound.replace(row, other);
            assert_ne!(changed, sound);
            assert!(read(&changed).is_err(), "{changed}");
        }
    }
}
