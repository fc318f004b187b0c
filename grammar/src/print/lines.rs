//! Lines to text: indentation, and comments after code in one column.

/// One line: code, a comment, or both; neither for a blank line.
#[derive(Debug)]
pub(super) struct Line {
    /// How many steps it is indented.
    pub(super) depth: usize,
    /// The code without indentation.
    pub(super) code: String,
    /// The comment with its `#`.
    pub(super) comment: Option<String>,
}

/// Lines of code longer than this do not push their neighbours' comments to the right.
const ALIGN_UP_TO: usize = 80;

const STEP: usize = 4;

impl Line {
    pub(super) fn new(depth: usize, code: &str, comment: Option<String>) -> Self {
        Self {
            depth,
            code: code.to_owned(),
            comment,
        }
    }

    /// How many columns indentation and code take.
    fn width(&self) -> usize {
        self.depth * STEP + self.code.chars().count()
    }

    fn has_both(&self) -> bool {
        !self.code.is_empty() && self.comment.is_some()
    }
}

/// The text of all lines.
pub(super) fn text_of(lines: &[Line]) -> String {
    let mut text = String::new();
    for run in lines.chunk_by(|left, right| left.has_both() && right.has_both()) {
        let widths = run
            .iter()
            .map(Line::width)
            .filter(|&width| width <= ALIGN_UP_TO);
        let column = widths.max().unwrap_or(0) + 2;
        for line in run {
            write_line(&mut text, line, column);
        }
    }
    text
}

fn write_line(text: &mut String, line: &Line, column: usize) {
    if !line.code.is_empty() || line.comment.is_some() {
        text.extend(std::iter::repeat_n(' ', line.depth * STEP));
    }
    text.push_str(&line.code);
    if let Some(comment) = &line.comment {
        if !line.code.is_empty() {
            let gap = column.saturating_sub(line.width()).max(2);
            text.extend(std::iter::repeat_n(' ', gap));
        }
        text.push_str(comment);
    }
    text.push('\n');
}
