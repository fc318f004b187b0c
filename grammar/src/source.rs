//! Source texts and places in them.
//!
//! A [`Span`] is a byte range in one text of a [`SourceMap`]. Nothing here reads files: the caller hands the text over.

use std::sync::OnceLock;

/// Which text of the [`SourceMap`] a span lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A half-open byte range `start..end` in one source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text the range lies in.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes from `start` to before `end` of a text.
    pub(crate) fn between(source: SourceId, start: usize, end: usize) -> Self {
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            source,
            start: narrow(start),
            end: narrow(end),
        }
    }

    /// The smallest span that covers `self` and `other`, which must lie in the same text.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            source: self.source,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

/// One text: a policy file, an included file, or a packet from the command line.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name shown in messages and in line information, such as `rules/edge.sk`.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Whether it is the list of a set, not a policy: its place is shown in messages, its text is kept nowhere else.
    pub is_list: bool,
    /// Where its lines begin, once somebody has asked.
    line_starts: OnceLock<Vec<u32>>,
}

impl Source {
    /// Where each line begins; found once, however often it is asked.
    fn line_starts(&self) -> &[u32] {
        self.line_starts.get_or_init(|| {
            let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let bytes = self.text.bytes().enumerate();
            let breaks = bytes.filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0)
                .chain(breaks.map(|(at, _)| narrow(at + 1)))
                .collect()
        })
    }

    /// The line that a byte stands in, from 1.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        let starts = self.line_starts();
        starts.partition_point(|&start| start as usize <= at)
    }
}

/// Every text a compile has seen.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Takes a text in and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.push(name.into(), text.into(), false)
    }

    /// The same for the list of a set.
    pub fn add_list(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.push(name.into(), text.into(), true)
    }

    fn push(&mut self, name: String, text: String, is_list: bool) -> SourceId {
        self.sources.push(Source {
            name,
            text,
            is_list,
            line_starts: OnceLock::new(),
        });
        SourceId(u32::try_from(self.sources.len() - 1).unwrap_or(u32::MAX))
    }

    /// The text with this id, which must come from this map.
    #[must_use]
    pub fn get(&self, id: SourceId) -> &Source {
        &self.sources[id.0 as usize]
    }

    /// Every text, in the order it was added.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        (0u32..).map(SourceId).zip(&self.sources)
    }

    /// Line and column of a span's first byte, both counted from 1, the column in characters.
    #[must_use]
    pub fn place(&self, span: Span) -> (u32, u32) {
        let source = self.get(span.source);
        let start = span.start as usize;
        let line = source.line(start);
        let line_start = source.line_starts()[line - 1] as usize;
        let column = source.text[line_start..start].chars().count() + 1;
        (
            u32::try_from(line).unwrap_or(u32::MAX),
            u32::try_from(column).unwrap_or(u32::MAX),
        )
    }

    /// The text a span covers.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        &self.get(span.source).text[span.start as usize..span.end as usize]
    }
}
