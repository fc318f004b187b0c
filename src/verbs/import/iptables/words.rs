//! The words of a line as iptables-save writes them: blanks part them, quotes keep blanks in one.
//!
//! Takes a line; gives its words, or says that a quote is not closed. Not here: what the words mean.

/// A word. One that is quoted is never an option, whatever it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// The text, without quotes.
    pub(super) text: String,
    /// Whether quotes stood around it.
    pub(super) quoted: bool,
}

impl Word {
    /// Whether it is this word, and plainly so.
    pub(super) fn is(&self, text: &str) -> bool {
        !self.quoted && self.text == text
    }

    /// Whether it begins an option.
    pub(super) fn is_option(&self) -> bool {
        !self.quoted && self.text.len() > 1 && self.text.starts_with('-')
    }
}

/// What parts words. Other blanks of Unicode are letters of names, as they are to iptables-restore.
pub(super) const BLANKS: [char; 2] = [' ', '\t'];

/// The words of a line. iptables-save puts strings in double quotes, with a backslash ahead of quotes and backslashes; outside of these,
/// a backslash and a single quote are letters as any other, and stand in names of chains and interfaces (xshared.c, add_param_to_argv).
pub(super) fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    while let Some(first) = rest.peek().copied() {
        if BLANKS.contains(&first) {
            rest.next();
            continue;
        }
        let mut word = Word {
            text: String::new(),
            quoted: false,
        };
        let mut is_open = false;
        while let Some(next) = rest.next_if(|next| is_open || !BLANKS.contains(next)) {
            match next {
                '\\' if is_open => word.text.extend(rest.next()),
                '"' => {
                    word.quoted = true;
                    is_open = !is_open;
                }
                _ => word.text.push(next),
            }
        }
        if is_open {
            return Err("a quote is opened and not closed".to_owned());
        }
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        let words = words(line).unwrap();
        words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn quotes_keep_blanks_and_what_they_hold_is_no_option() {
        assert_eq!(
            texts(r#"-A INPUT  --log-prefix "a \"b\" \\ ""#),
            ["-A", "INPUT", "--log-prefix", r#"a "b" \ "#]
        );
        let quoted = words("\"-j\" -j - \"\"").unwrap();
        let is_option = |word: &Word| word.is_option();
        assert_eq!(
            quoted.iter().map(is_option).collect::<Vec<_>>(),
            [false, true, false, false]
        );
        // Names of chains and interfaces hold these as letters.
        assert_eq!(
            texts("-A c'd -i e'0 -j x\\ y\u{a0}z"),
            ["-A", "c'd", "-i", "e'0", "-j", "x\\", "y\u{a0}z"]
        );
        assert!(words("-A INPUT \"open").is_err());
        assert!(words("").unwrap().is_empty());
    }
}
