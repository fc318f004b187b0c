//! Lines of text: indented, coloured, wrapped at blanks.

use crate::changes::paint::{Paint, Role};

/// Columns of a line. A word that is longer stays whole.
const WIDTH: usize = 110;

/// Columns of a label, with the blanks after it.
pub(super) const LABEL: usize = 18;

/// The lines so far.
#[derive(Debug)]
pub(super) struct Page {
    paint: Paint,
    terminal: bool,
    lines: Vec<String>,
}

impl Page {
    /// An empty one; for a terminal, what is short is one line.
    pub(super) fn new(paint: Paint, terminal: bool) -> Self {
        Self {
            paint,
            terminal,
            lines: Vec::new(),
        }
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// An empty line, but never at the start and never two.
    pub(super) fn gap(&mut self) {
        if self.lines.last().is_some_and(|line| !line.is_empty()) {
            self.lines.push(String::new());
        }
    }

    /// Puts a heading in, ahead of the line of this number.
    pub(super) fn insert(&mut self, at: usize, heading: &str) {
        let heading = self.paint.paint(Role::Change, heading);
        let at = if self.lines.get(at).is_some_and(String::is_empty) {
            at + 1
        } else {
            at
        };
        self.lines.insert(at, heading);
    }

    /// Text that is all of one kind.
    pub(super) fn line(&mut self, indent: usize, role: Role, text: &str) {
        self.row(&" ".repeat(indent), role, role, text);
    }

    /// A label in a column of its own, and text next to it.
    pub(super) fn labelled(&mut self, indent: &str, label: &str, role: Role, text: &str) {
        let head = format!("{indent}{label:LABEL$}");
        self.put(&head, role, None, text);
    }

    /// Text after what begins its first line; the other lines begin below the text.
    pub(super) fn row(&mut self, head: &str, of_head: Role, of_text: Role, text: &str) {
        self.put(head, of_head, Some(of_text), text);
    }

    /// The same on one line, which is cut where it gets long: on a terminal. In a file all of it is wanted.
    pub(super) fn short(&mut self, head: &str, of_head: Role, of_text: Option<Role>, text: &str) {
        let room = WIDTH.saturating_sub(head.chars().count());
        let mut text = text.to_owned();
        if self.terminal && text.chars().count() > room {
            text = text.chars().take(room.saturating_sub(2)).collect();
            // A part of a word would be another word.
            let whole = text.rfind(' ').filter(|end| *end > 0);
            text.truncate(whole.unwrap_or(text.len()));
            text += " …";
        }
        self.put(head, of_head, of_text, &text);
    }

    fn put(&mut self, head: &str, of_head: Role, of_text: Option<Role>, text: &str) {
        let indent = head.chars().count();
        let paint = self.paint;
        let painted = |line: &str| match of_text {
            Some(role) => paint.paint(role, line),
            None => line.to_owned(),
        };
        for (index, line) in wrapped(text, WIDTH.saturating_sub(indent))
            .iter()
            .enumerate()
        {
            let begin = if index == 0 && !head.trim().is_empty() {
                let bare = head.trim_end();
                let blanks = " ".repeat(indent - bare.chars().count());
                format!("{}{blanks}", paint.paint(of_head, bare))
            } else {
                " ".repeat(indent)
            };
            self.lines.push(format!("{begin}{}", painted(line)));
        }
    }

    /// All of it.
    pub(super) fn text(self) -> String {
        let lines = self
            .lines
            .iter()
            .map(|line| format!("{}\n", line.trim_end()));
        lines.collect()
    }
}

/// Text in lines of at most so many columns where its words allow that; never none.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let wide = word.chars().count();
        if used > 0 && used + 1 + wide > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += wide;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_lines_short() {
        assert_eq!(
            wrapped("a bb ccc dddddddd e", 6),
            ["a bb", "ccc", "dddddddd", "e"]
        );
        assert_eq!(wrapped("", 6), [""]);
    }

    #[test]
    fn what_is_short_is_cut_between_words_and_on_terminals_only() {
        let text = "established ".repeat(20);
        let said = [true, false].map(|terminal| {
            let mut page = Page::new(Paint::default(), terminal);
            page.short("1 ", Role::Aside, None, text.trim_end());
            page.text()
        });
        let [cut, whole] = said;
        assert!(
            cut.ends_with("established …\n") && cut.lines().count() == 1,
            "{cut}"
        );
        assert_eq!(whole.matches("established").count(), 20, "{whole}");
    }

    #[test]
    fn colours_take_no_columns() {
        let long = "word ".repeat(40);
        let mut pages = [false, true].map(|color| Page::new(Paint(color), false));
        for page in &mut pages {
            page.labelled("  1  ", "drop -> allow", Role::Change, &long);
        }
        let [plain, coloured] = pages.map(Page::text);
        assert!(
            plain.lines().all(|line| line.chars().count() <= WIDTH),
            "{plain}"
        );
        assert_eq!(plain.lines().count(), coloured.lines().count());
        assert!(
            coloured.contains("\u{1b}[1m  1  drop -> allow\u{1b}[0m"),
            "{coloured:?}"
        );
    }
}
