//! Texts with a letter lost, changed or added: nothing panics, nothing hangs, and the message points to the change.

use super::{LANGUAGE, MORE, read, source};

const LETTERS: &[&str] = &[
    "x", "0", " ", "\n", "{", "}", "\"", ":", ",", "-", "@", "#", "\\", "é", "/",
];

/// One letter lost, and some of the ways to change it and to add one before it, others at each place.
fn changes(line: &str, at: usize) -> Vec<String> {
    let Some(letter) = line[at..].chars().next() else {
        return Vec::new();
    };
    let (before, behind) = (&line[..at], &line[at + letter.len_utf8()..]);
    let some = |first: usize, count: usize| {
        let letters = LETTERS.iter().cycle().skip((at + first) % LETTERS.len());
        letters.take(count)
    };
    let mut changed = vec![format!("{before}{behind}")];
    changed.extend(some(0, 4).map(|new| format!("{before}{new}{behind}")));
    changed.extend(some(4, 3).map(|new| format!("{before}{new}{letter}{behind}")));
    changed
}

fn check(text: &str, changed_lines: std::ops::RangeInclusive<u32>) {
    let (sources, id) = source(text);
    let (_, mistakes) = crate::parse(&sources, id);
    for mistake in &mistakes {
        let span = mistake.primary.span;
        assert!(
            span.start <= span.end && span.end as usize <= text.len(),
            "{text}"
        );
        let line = sources.place(span).0;
        assert!(
            changed_lines.contains(&line),
            "{} at line {line} in\n{text}",
            mistake.message
        );
    }
    let _ = crate::render::render(&mistakes, &sources, false);
}

#[test]
fn a_changed_letter_gives_a_message_at_its_line() {
    for line in LANGUAGE.lines().chain(MORE.lines()) {
        let line = line.split(" #").next().unwrap_or("");
        for (at, _) in line.char_indices() {
            for changed in changes(line, at) {
                let last = 2 + u32::try_from(changed.matches('\n').count()).unwrap();
                // A `{` or a quote more may run on to the next line, never further.
                check(&format!("allow\n{changed}\nallow udp\n"), 2..=last + 1);
            }
        }
    }
}

#[test]
fn a_lost_letter_spares_the_other_statements() {
    for line in LANGUAGE
        .lines()
        .filter(|line| read(line).1.is_empty() && !line.starts_with("for "))
    {
        let line = line.split(" #").next().unwrap_or("");
        for (at, letter) in line.char_indices() {
            let changed = format!("{}{}", &line[..at], &line[at + letter.len_utf8()..]);
            let (file, mistakes) = read(&format!("count in\n{changed}\ncount out\n"));
            assert!(mistakes.len() <= 1, "{changed}: {mistakes:#?}");
            assert!(file.statements.len() >= 2, "{changed}: {mistakes:#?}");
        }
    }
}

#[test]
fn a_text_cut_anywhere_is_read() {
    for text in [LANGUAGE, MORE] {
        for (at, _) in text.char_indices().step_by(7) {
            read(&text[..at]);
            read(&text[at..]);
        }
    }
}

#[test]
fn garbage_is_read_in_time() {
    let long = |part: &str| part.repeat((1 << 20) / part.len());
    let begun = std::time::Instant::now();
    for text in [
        long("\""),
        long("{ "),
        long("} $ "),
        long("a"),
        long("drop if no "),
        long("any of { "),
        long("allow x\n"),
        long("socket\n"),
        long("for zone x { drop $ "),
        long("drop to a:"),
        long("set x = { a\n"),
        long("drop to ") + &long("1"),
        long("drop if ") + &long("no "),
        long("x: "),
        long("\n}\n{"),
        long("#"),
        long("pairs\n"),
        long("drop to ::"),
        "drop from ".to_owned() + &long("1.1.1.1, "),
        "set x = { ".to_owned() + &long("1.1.1.1, ") + "$",
        "for zone a {\n".to_owned() + &long("$ } "),
        "drop to ".to_owned() + &long("@a:"),
        long("\\\""),
        long("\u{e9}\u{a0}"),
    ] {
        read(&text);
    }
    // Far above what it takes; a hang or anything quadratic takes minutes.
    assert!(begun.elapsed().as_secs() < 120, "{:?}", begun.elapsed());
}
