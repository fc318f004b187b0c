//! Canonical text: the same meaning, nothing lost, and its own canonical text.

use super::generate::Writer;
use super::{LANGUAGE, MORE, meaning, source};

fn format(text: &str) -> String {
    let (sources, id) = source(text);
    crate::print::format(&sources, id)
        .unwrap_or_else(|mistakes| panic!("{text}\n{}", super::drawn(text, &mistakes)))
}

fn comments(text: &str) -> Vec<String> {
    let outline = crate::outline::Outline::of(text);
    let mut comments: Vec<String> = outline
        .comments
        .iter()
        .map(|&(start, end)| text[start..end].trim_end().to_owned())
        .collect();
    comments.sort();
    comments
}

fn check(text: &str) {
    let once = format(text);
    assert_eq!(meaning(text), meaning(&once), "{text}\n---\n{once}");
    assert_eq!(comments(text), comments(&once), "{text}\n---\n{once}");
    assert_eq!(once, format(&once), "{text}\n---\n{once}");
}

#[test]
fn examples_keep_meaning_and_comments() {
    check(LANGUAGE);
    check(MORE);
    for line in LANGUAGE.lines().chain(MORE.lines()) {
        if super::read(line).1.is_empty() {
            check(line);
        }
    }
}

#[test]
fn random_texts_keep_meaning_and_comments() {
    let mut writer = Writer::new(0x5eed);
    for _ in 0..3000 {
        check(&writer.text());
    }
}

#[test]
fn canonical_text_looks_as_expected() {
    for (text, expected) in [
        ("", ""),
        ("\n\n\n", ""),
        ("#c\r\n", "#c\n"),
        ("sockc   1", "sockc 1\n"),
        ("allow\n\n\n\ndrop\nreject", "allow\n\ndrop\nreject\n"),
        ("allow drop", "allow\ndrop\n"),
        (
            "drop note \"n\" at tc log mark 7 above 1 packets / second if fragment on zone w to any from any",
            "drop from any to any on zone w if fragment above 1 packets/second mark 7 log at tc note \"n\"\n",
        ),
        (
            "redirect to sock p 3.3.3.3:* from any",
            "redirect from any 3.3.3.3:* to sock p\n",
        ),
        ("drop to port{80,443}", "drop to port {80, 443}\n"),
        ("drop to any:{ 80,443, }", "drop to any:{80, 443}\n"),
        ("set a={10.0.0.1,@b,}", "set a = { 10.0.0.1, @b }\n"),
        (
            "set a={\n10.0.0.1,@b}",
            "set a = {\n    10.0.0.1,\n    @b\n}\n",
        ),
        ("set a = { }", "set a = { }\n"),
        (
            "set a=@b-@c+{10.0.0.0/8}",
            "set a = @b - @c + { 10.0.0.0/8 }\n",
        ),
        (
            "set a = { 10.0.0.1, # one\n # two\n 10.0.0.2 } # three",
            "set a = {\n    10.0.0.1,  # one\n    # two\n    10.0.0.2\n}  # three\n",
        ),
        (
            "for zone w{allow #c\ndrop}#d",
            "for zone w {\n    allow  #c\n    drop\n}  #d\n",
        ),
        (
            "for zone w {\n\n\n# c\n\nallow\n\n}\n",
            "for zone w {\n    # c\n\n    allow\n}\n",
        ),
        (
            "ssh:   audit drop tcp # c\n  from any",
            "ssh: audit drop tcp  # c\n    from any\n",
        ),
        (
            "drop note \"x\" # a\n from any # b",
            "drop from any note \"x\"  # b\n# a\n",
        ),
        (
            "allow # a\ndrop out # b\n\nallow # c",
            "allow     # a\ndrop out  # b\n\nallow  # c\n",
        ),
        (
            "drop if ttl<2 and mark 0x10 / 0xff and length>=0x10",
            "drop if ttl < 2 and mark 0x10/0xff and length >= 0x10\n",
        ),
        (
            "map m={tcp any:53->sock a,any:*->sock b}",
            "map m = { tcp any:53 -> sock a, any:* -> sock b }\n",
        ),
        ("include   <essentials>", "include <essentials>\n"),
        (
            "expect drop with no socket to any:22 from any",
            "expect drop from any to any:22 with no socket\n",
        ),
    ] {
        assert_eq!(format(text), expected, "{text}");
        check(text);
    }
}

#[test]
fn a_wide_list_is_broken_one_element_a_line() {
    let addresses: Vec<String> = (0..30).map(|host| format!("192.0.2.{host}")).collect();
    let text = format!("set a = {{ {} }}", addresses.join(", "));
    let formatted = format(&text);
    assert_eq!(formatted.lines().count(), 32);
    assert_eq!(formatted.lines().nth(1), Some("    192.0.2.0,"));
    check(&text);
}

#[test]
fn a_file_with_mistakes_is_not_formatted() {
    let (sources, id) = source("alow\nalow\n");
    assert_eq!(
        crate::print::format(&sources, id).map_err(|mistakes| mistakes.len()),
        Err(2)
    );
}
