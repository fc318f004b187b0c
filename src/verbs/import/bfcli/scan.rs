//! The words of a rule set of bpfilter, each with its line.
//!
//! Takes the text; gives words, keys in parentheses and what stands in braces, as one token each. Comments are no tokens, nor are the
//! counters that `bfcli ruleset get` prints. Not here: what the words mean.

/// A word, or a part in parentheses or braces with these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    /// The line where it begins, from 1.
    pub(super) line: usize,
}

/// The word ahead of counters, where they are printed.
const COUNTERS: &str = "counters";

/// The tokens of a text; or the line of a part that has no end.
pub(super) fn scan(text: &str) -> Result<Vec<Token<'_>>, (usize, String)> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    loop {
        let blank = rest.len() - rest.trim_start().len();
        line += lines(&rest[..blank]);
        rest = &rest[blank..];
        let Some(first) = rest.chars().next() else {
            return Ok(without_counters(&tokens));
        };
        if first == '#' {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        }
        let length = length(rest, first).ok_or_else(|| {
            let said = format!("`{first}` has no end; close it, or give the whole file");
            (line, said)
        })?;
        let (text, after) = rest.split_at(length);
        tokens.push(Token { text, line });
        line += lines(text);
        rest = after;
    }
}

fn lines(text: &str) -> usize {
    text.matches('\n').count()
}

/// How long the token is that begins so; nothing where it has no end.
fn length(text: &str, first: char) -> Option<usize> {
    match first {
        '(' => text.find(')').map(|end| end + 1),
        '{' => text.find('}').map(|end| end + 1),
        _ => {
            let is_end = |one: char| one.is_whitespace() || "(){}#".contains(one);
            let mut ends = text.char_indices().skip(1);
            let end = ends.find(|(_, one)| is_end(*one)).map(|(end, _)| end);
            Some(end.unwrap_or(text.len()))
        }
    }
}

/// All but lines of counters.
fn without_counters<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut passed_over = None;
    let mut kept: Vec<Token<'a>> = Vec::new();
    let mut before = None;
    for token in tokens {
        if before != Some(token.line) && token.text == COUNTERS {
            passed_over = Some(token.line);
        }
        before = Some(token.line);
        if passed_over != Some(token.line) {
            kept.push(*token);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keys_and_braces_are_tokens_with_their_lines() {
        let text = "chain x BF_HOOK_XDP{ifindex=2} ACCEPT # one\n  counters policy 1 packets\nrule (ip4.saddr,\n tcp.dport) in {\n1.1.1.1, 2\n} DROP";
        let tokens = scan(text).unwrap();
        let told: Vec<(usize, &str)> = tokens.iter().map(|one| (one.line, one.text)).collect();
        assert_eq!(
            told,
            [
                (1, "chain"),
                (1, "x"),
                (1, "BF_HOOK_XDP"),
                (1, "{ifindex=2}"),
                (1, "ACCEPT"),
                (3, "rule"),
                (3, "(ip4.saddr,\n tcp.dport)"),
                (4, "in"),
                (4, "{\n1.1.1.1, 2\n}"),
                (6, "DROP"),
            ]
        );
        assert_eq!(scan("chain\nx {").unwrap_err().0, 2);
        assert_eq!(scan("é)").unwrap().len(), 2);
    }
}
