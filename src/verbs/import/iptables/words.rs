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

/// The words of a line. iptables-save puts strings in double quotes, with a backslash ahead of quotes and backslashes.
pub(super) fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    while let Some(first) = rest.peek().copied() {
        if first.is_whitespace() {
            rest.next();
            continue;
        }
        let mut word = Word {
            text: String::new(),
            quoted: false,
        };
        let mut quote = None;
        while let Some(next) = rest.next_if(|next| quote.is_some() || !next.is_whitespace()) {
            match (next, quote) {
                ('\\', Some('"') | None) => word.text.extend(rest.next()),
                ('"' | '\'', None) => {
                    word.quoted = true;
                    quote = Some(next);
                }
                (end, Some(open)) if end == open => quote = None,
                _ => word.text.push(next),
            }
        }
        if quote.is_some() {
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
            texts(r#"-A INPUT  --log-prefix "a \"b\" \\ " '-j' x\ y"#),
            ["-A", "INPUT", "--log-prefix", r#"a "b" \ "#, "-j", "x y"]
        );
        let quoted = words("\"-j\" -j - \"\"").unwrap();
        let is_option = |word: &Word| word.is_option();
        assert_eq!(
            quoted.iter().map(is_option).collect::<Vec<_>>(),
            [false, true, false, false]
        );
        assert!(words("-A INPUT \"open").is_err());
        assert!(words("").unwrap().is_empty());
    }
}
