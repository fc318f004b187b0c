//! One pass over a text before it is parsed: braces, comments, lines that begin a statement, nesting that is too deep.
//!
//! It lets the parser go on after a mistake, refuses deep nesting before anything recurses, gives the formatter its
//! comments and the grammar a text without them. It knows strings and comments, and no grammar.

use crate::scan;

/// How deep conditions may nest: braces and `no`s together.
const MAX_DEPTH: usize = 64;

/// A brace outside strings and comments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brace {
    /// Where it stands.
    pub(crate) at: usize,
    /// `{` or `}`.
    pub(crate) open: bool,
}

/// What one pass found, everything in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// Every brace.
    pub(crate) braces: Vec<Brace>,
    /// Begin and end of every comment, `#` included, line break not.
    pub(crate) comments: Vec<(usize, usize)>,
    /// The first word of every line that begins a statement.
    pub(crate) starts: Vec<usize>,
    /// Where nesting became too deep.
    pub(crate) deep: Vec<usize>,
    /// The text with a space for each byte of a comment, each tab and each line break, so that offsets are the same.
    /// The break after a string that is not closed stays: no string goes on over it.
    plain: Vec<u8>,
}

impl Outline {
    /// Reads a text.
    pub(crate) fn of(text: &str) -> Self {
        let mut outline = Self {
            plain: text.as_bytes().to_vec(),
            ..Self::default()
        };
        let mut nesting = Nesting::default();
        let mut at = 0;
        let mut line_is_new = true;
        while let Some(byte) = scan::byte(text, at) {
            if !scan::is_blank(byte) && byte != b'#' && line_is_new {
                line_is_new = false;
                if scan::begins_statement(text, at) {
                    outline.starts.push(at);
                    nesting = Nesting::default();
                }
                if let Some(end) = end_of_simple_line(text, at).filter(|_| nesting.is_nothing()) {
                    outline.blank_out(end, end + 1);
                    line_is_new = true;
                    at = end + 1;
                    continue;
                }
            }
            let next = outline.step(text, at, byte, &mut nesting);
            line_is_new |= scan::byte(text, next - 1) == Some(b'\n');
            at = next;
        }
        outline
    }

    /// Takes in what stands at `at` and gives the offset after it.
    fn step(&mut self, text: &str, at: usize, byte: u8, nesting: &mut Nesting) -> usize {
        match byte {
            b'#' => {
                let end = scan::line_end(text, at);
                self.comments.push((at, end));
                self.blank_out(at, end);
                return end;
            }
            b'"' => {
                nesting.other();
                return scan::string_end(text, at).unwrap_or_else(|| scan::line_end(text, at) + 1);
            }
            b'{' => {
                self.braces.push(Brace { at, open: true });
                nesting.open();
            }
            b'}' => {
                self.braces.push(Brace { at, open: false });
                nesting.close();
            }
            b' ' => return at + 1,
            _ if scan::is_blank(byte) => {
                self.blank_out(at, at + 1);
                return at + 1;
            }
            _ => {
                let word = scan::word(text, at);
                nesting.word(word);
                if nesting.too_deep() {
                    self.deep.push(at);
                }
                return at + word.len().max(1);
            }
        }
        if nesting.too_deep() {
            self.deep.push(at);
        }
        at + 1
    }

    fn blank_out(&mut self, start: usize, end: usize) {
        if let Some(bytes) = self.plain.get_mut(start..end) {
            bytes.fill(b' ');
        }
    }

    /// Gives away the text as the grammar reads it: comments, tabs and line breaks are spaces.
    pub(crate) fn take_plain(&mut self) -> String {
        // Comments are blanked out from end to end: what was UTF-8 is so still.
        String::from_utf8(std::mem::take(&mut self.plain)).unwrap_or_default()
    }

    /// The first line at or after `at` that begins a statement.
    pub(crate) fn next_start(&self, at: usize) -> Option<usize> {
        let index = self.starts.partition_point(|&start| start < at);
        self.starts.get(index).copied()
    }

    /// The braces at or after `at`.
    pub(crate) fn braces_from(&self, at: usize) -> &[Brace] {
        let index = self.braces.partition_point(|brace| brace.at < at);
        self.braces.get(index..).unwrap_or(&[])
    }

    /// The end of what stands before `at`, blanks and comments left out.
    pub(crate) fn token_end_before(&self, text: &str, at: usize) -> usize {
        let mut end = at;
        loop {
            while end > 0 && scan::byte(text, end - 1).is_some_and(scan::is_blank) {
                end -= 1;
            }
            let index = self.comments.partition_point(|comment| comment.1 < end);
            match self.comments.get(index) {
                // A comment may end with blanks.
                Some(&(start, _)) if start < end => end = start,
                _ => return end,
            }
        }
    }

    /// The first place at or after `at` and before `end` where nesting became too deep.
    pub(crate) fn deep_between(&self, at: usize, end: usize) -> Option<usize> {
        let index = self.deep.partition_point(|&deep| deep < at);
        self.deep.get(index).copied().filter(|&deep| deep < end)
    }
}

/// The line break after `at`, if nothing stands before it that anything here is about: most lines of a long list are such.
fn end_of_simple_line(text: &str, at: usize) -> Option<usize> {
    let line = text.as_bytes().get(at..)?;
    let mut before = b' ';
    for (length, &byte) in line.iter().enumerate() {
        match byte {
            b'\n' => return Some(at + length),
            b'#' | b'"' | b'{' | b'}' | b'\t' | b'\r' => return None,
            // It may be the word `no`.
            b'o' if before == b'n' => return None,
            _ => before = byte,
        }
    }
    None
}

/// How deep the text is at the moment, since the last line that began a statement.
#[derive(Debug, Default)]
struct Nesting {
    /// For each open brace, how much it added.
    braces: Vec<usize>,
    /// The sum of those.
    depth: usize,
    /// `no` words in a row.
    noes: usize,
    /// Whether the limit was passed and said already.
    said: bool,
}

impl Nesting {
    /// Whether nothing is open, and no `no` stands before what comes.
    fn is_nothing(&self) -> bool {
        self.depth + self.noes == 0 && !self.said
    }

    fn open(&mut self) {
        self.braces.push(self.noes + 1);
        self.depth += self.noes + 1;
        self.noes = 0;
    }

    fn close(&mut self) {
        self.depth -= self.braces.pop().unwrap_or(0);
        self.noes = 0;
    }

    fn word(&mut self, word: &str) {
        match word {
            "no" => self.noes += 1,
            "any" | "of" => {}
            _ => self.noes = 0,
        }
    }

    fn other(&mut self) {
        self.noes = 0;
    }

    /// True once for each time the limit is passed.
    fn too_deep(&mut self) -> bool {
        let deep = self.depth + self.noes > MAX_DEPTH;
        let first = deep && !self.said;
        self.said = deep;
        first
    }
}
