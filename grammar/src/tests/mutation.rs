//! Texts with a letter lost, changed or added: nothing panics, nothing hangs, and the message points to the change.

use std::path::Path;

use sockc_random::Rng;

use super::{LANGUAGE, MORE, mistakes, read, source};

const LETTERS: &[&str] = &[
    "x", "0", " ", "\n", "{", "}", "\"", ":", ",", "-", "@", "#", "\\", "é", "/",
];

/// One letter lost, and some of the ways to change it and to add one before it, others at each place.
fn changes(line: &str, at: usize) -> Vec<String> {
    let Some(letter) = line[at..].chars().next() else {
        return Vec::new();
    };
    let (before, after) = (&line[..at], &line[at + letter.len_utf8()..]);
    let some = |first: usize, count: usize| {
        let letters = LETTERS.iter().cycle().skip((at + first) % LETTERS.len());
        letters.take(count)
    };
    let mut changed = vec![format!("{before}{after}")];
    changed.extend(some(0, 4).map(|new| format!("{before}{new}{after}")));
    changed.extend(some(4, 3).map(|new| format!("{before}{new}{letter}{after}")));
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

/// Letters that mean something to the grammar or to its recovery.
const EDGES: &[&str] = &[
    "{", "}", "\"", "#", ":", ",", "@", "-", "*", "0", "a", "\n", " ", "\u{e9}",
];

/// How many changes of each policy are tried, out of about 30,000.
const TRIED: usize = 1_000;

/// The policies that are shown to users.
fn policies() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut policies: Vec<(String, String)> = names
        .filter(|name| name.extension().is_some_and(|extension| extension == "sk"))
        .map(|name| {
            (
                name.display().to_string(),
                std::fs::read_to_string(&name).unwrap(),
            )
        })
        .collect();
    policies.sort();
    policies
}

/// One letter lost, changed, or one more: the text, the line, and whether line breaks were touched.
fn change(text: &str, rng: &mut Rng) -> (String, u32, bool) {
    let letters: Vec<(usize, char)> = text.char_indices().collect();
    let (at, letter) = letters[rng.below(letters.len())];
    let edge = EDGES[rng.below(EDGES.len())];
    let (new, after) = match rng.below(3) {
        0 => ("", at + letter.len_utf8()),
        1 => (edge, at),
        _ => (edge, at + letter.len_utf8()),
    };
    let changed = format!("{}{new}{}", &text[..at], &text[after..]);
    let line = 1 + u32::try_from(text[..at].matches('\n').count()).unwrap();
    (changed, line, new == "\n" || letter == '\n')
}

#[test]
fn a_changed_letter_of_a_policy_is_one_mistake_at_its_line() {
    let (mut tried, mut elsewhere, mut several) = (0, Vec::new(), Vec::new());
    for (number, (name, text)) in (0..).zip(policies()) {
        // Each policy has changes of its own: one that is edited changes none of the others'.
        let mut rng = Rng::new(0x5eed + number);
        assert!(mistakes(&text).is_empty(), "{name}");
        for _ in 0..TRIED {
            let (changed, line, breaks) = change(&text, &mut rng);
            let found = mistakes(&changed);
            let shown = changed
                .lines()
                .nth(line as usize - 1)
                .unwrap_or("")
                .to_owned();
            tried += 1;
            let lines = line..=line + u32::from(breaks);
            if found.iter().any(|(_, line)| !lines.contains(line)) {
                elsewhere.push(format!("{name}:{line}: {shown}\n    {found:?}"));
            } else if found.len() > 1 && !breaks {
                several.push(format!("{name}:{line}: {shown}\n    {found:?}"));
            }
        }
    }
    // A `#` before a list's `{`, or a `}` inside one, leaves lines behind that nobody can tell from a mistake of theirs.
    assert!(elsewhere.len() * 500 < tried, "{}", elsewhere.join("\n"));
    assert!(several.len() * 500 < tried, "{}", several.join("\n"));
}

#[test]
fn five_mistakes_are_five_messages() {
    const KINDS: &[(&str, &str)] = &[
        ("alow tcp", "E0102"),
        ("allow tcp to 10.0.0.300:22", "E0110"),
        ("accept tcp", "E0103"),
        ("set a = { 10.0.0.0/8, 1.1.1.1", "E0105"),
        ("include \"x.sk", "E0104"),
        ("drop tcp to any:22 }", "E0106"),
        ("drop from any from any", "E0108"),
        ("set drop = { 10.0.0.0/8 }", "E0109"),
        ("drop to 2001:db8::/32:53", "E0111"),
        ("drop to any: 22", "E0112"),
        ("allow to", "E0116"),
        ("ssh:allow tcp", "E0117"),
        ("set x = { 1.1.1.1:22 }", "E0119"),
        ("drop }rom any", "E0106"),
        ("drop to 10.0,0.0/8", "E0110"),
        ("allow note \"\\n\"", "E0115"),
    ];
    for (first, _) in KINDS.iter().enumerate() {
        let five = || KINDS.iter().cycle().skip(first).step_by(3).take(5);
        let text: String = five()
            .map(|(wrong, _)| format!("allow tcp to any:80\n{wrong}\n"))
            .collect();
        let expected: Vec<(&str, u32)> = five()
            .zip((2..).step_by(2))
            .map(|((_, code), line)| (*code, line))
            .collect();
        assert_eq!(mistakes(&text), expected, "{text}");
    }
}
