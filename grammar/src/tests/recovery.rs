//! One mistake gives one message, at its line, and what follows is read.

use super::{drawn, mistakes, read};

/// A statement with one mistake, and the code it must give.
const WRONG: &[(&str, &str)] = &[
    ("allow tcp to 10.0.0.300:22", "E0110"),
    ("allow tcp to 1.2.3:22", "E0110"),
    ("allow tcp to 10.0.0.1x", "E0110"),
    ("alow tcp to any:22", "E0102"),
    ("allow tpc to any:22", "E0102"),
    ("allow tcp form any", "E0102"),
    ("accept tcp", "E0103"),
    ("permit ip any any", "E0103"),
    ("block in quick on eth0", "E0103"),
    ("pass in all", "E0103"),
    ("deny tcp", "E0103"),
    ("allow tcp dport 22", "E0103"),
    ("allow in quick tcp", "E0103"),
    ("allow tcp saddr 10.0.0.0/8", "E0103"),
    ("allow tcp from !10.0.0.0/8", "E0103"),
    ("allow tcp to any:22;", "E0103"),
    ("drop if fragment && no socket", "E0103"),
    ("set office = { 10.0.0.0/8, 1.1.1.1", "E0105"),
    ("set web = ports { 80, 443", "E0105"),
    ("drop if any of { fragment, no socket", "E0105"),
    ("drop tcp to port {80,443", "E0105"),
    ("map dns = { 1.1.1.1:53 -> sock a", "E0105"),
    ("drop tcp to any:22 }", "E0106"),
    ("drop mark 99999999999999999999999", "E0107"),
    ("live set a max 1 expires 99999999999999999d", "E0107"),
    ("drop tcp from any from any", "E0108"),
    ("drop if fragment if no socket", "E0108"),
    (
        "drop above 1 packets/second up to 2 packets/second",
        "E0108",
    ),
    ("redirect to any:1 to sock a to sock b", "E0108"),
    ("redirect to any:1 any:2 to sock a", "E0108"),
    ("drop log max 1/second max 2/second", "E0108"),
    ("live set a max 1 max 2", "E0108"),
    ("expect drop from any from any", "E0108"),
    ("set drop = { 10.0.0.0/8 }", "E0109"),
    ("policy drop", "E0109"),
    ("redirect any:1 to sock from", "E0109"),
    ("interfaces eth0, in", "E0109"),
    ("set self = { 10.0.0.0/8 }", "E0109"),
    ("zone self = eth0", "E0109"),
    ("socket self = registered", "E0109"),
    ("drop from @self", "E0109"),
    ("drop tcp from self, @self:22", "E0109"),
    ("drop tcp to 2001:db8::/32:53", "E0111"),
    ("drop tcp to 2001:db8::1:ssh", "E0111"),
    ("drop tcp to 2001:db8::1:*", "E0111"),
    ("drop tcp to 2001:db8::1:{80, 443}", "E0111"),
    ("drop tcp to 2001:db8:0:0:0:0:0:1:53", "E0111"),
    ("drop tcp to [2001:db8::]/32:53", "E0111"),
    ("socket p = tcp listen ::1:80", "E0111"),
    ("map m = { 2001:db8::/32:53 -> sock a }", "E0111"),
    ("drop tcp to any: 22", "E0112"),
    ("drop tcp to 10.0.0.1: 22", "E0112"),
    ("drop tcp to @office: 22", "E0112"),
    ("drop tcp to [::1]: 22", "E0112"),
    ("default in drop log \"x", "E0104"),
    ("include \"common.sk", "E0104"),
    ("allow tcp 1.1.1.1:22", "E0114"),
    ("allow note \"a\\n\"", "E0115"),
    ("allow tcp to", "E0116"),
    ("default out", "E0116"),
    ("interfaces eth0,", "E0116"),
    ("set x =", "E0116"),
    ("redirect any:1 to sock", "E0116"),
    ("zone", "E0116"),
    ("ssh:allow tcp", "E0117"),
    ("set x = { 1.1.1.1:22 }", "E0119"),
    ("set x = { [::1]:22 }", "E0119"),
    ("set x = 10.0.0.0/8", "E0101"),
    ("set x { 10.0.0.0/8 }", "E0101"),
    ("allow tcp in to any:22", "E0101"),
    ("allow tcp socket exists", "E0101"),
    ("drop if length 400", "E0101"),
    ("drop if socket", "E0116"),
    ("drop above 10 packets", "E0116"),
    ("drop above 10 packet/second", "E0102"),
    ("drop on wan", "E0102"),
    ("set 9x = { 10.0.0.0/8 }", "E0101"),
    ("live set a max 1 expires 10", "E0101"),
    ("group pods = \"/x\"", "E0101"),
    ("expect drop tcp if fragment", "E0101"),
    ("drop \u{e9}", "E0101"),
    ("sockc one", "E0102"),
    ("default out log", "E0101"),
    ("sock 1", "E0101"),
    ("drop tcp to any:22 # fine\n  from bad$", "E0102"),
];

#[test]
fn one_mistake_gives_one_message_at_its_line() {
    let mut failed = String::new();
    for (wrong, code) in WRONG {
        let line = 2 + u32::try_from(wrong.matches('\n').count()).unwrap();
        let text = format!("allow tcp to any:80\n{wrong}\nallow udp to any:53\n");
        let (file, said) = read(&text);
        if mistakes(&text) != [(*code, line)] || file.statements.len() < 2 {
            failed += &format!("{code} {text}{}\n", drawn(&text, &said));
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn the_same_at_the_end_of_a_text_without_a_line_break() {
    let mut failed = String::new();
    for (wrong, code) in WRONG {
        let codes: Vec<&str> = mistakes(wrong).iter().map(|(code, _)| *code).collect();
        if codes != [*code] {
            failed += &format!("{code} {wrong}\n{}\n", drawn(wrong, &read(wrong).1));
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn the_same_in_a_block_which_closes_all_the_same() {
    let mut failed = String::new();
    // A `}` too many closes the block, whose own is then one too many; nothing better can be said.
    for (wrong, code) in WRONG.iter().filter(|(_, code)| *code != "E0106") {
        let text =
            format!("for netns \"b\" {{\n    allow tcp\n    {wrong}\n    allow udp\n}}\nallow\n");
        let codes: Vec<&str> = mistakes(&text).iter().map(|(code, _)| *code).collect();
        if codes != [*code] || read(&text).0.statements.len() != 2 {
            failed += &format!("{code} {text}{}\n", drawn(&text, &read(&text).1));
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn all_mistakes_of_one_text_are_said() {
    let text: String = WRONG
        .iter()
        .map(|(wrong, _)| format!("{wrong}\n"))
        .collect();
    let mut line = 0;
    let expected = WRONG.iter().map(|(wrong, code)| {
        line += 1 + u32::try_from(wrong.matches('\n').count()).unwrap();
        (*code, line)
    });
    let expected: Vec<_> = expected.collect();
    let found = mistakes(&text);
    let missing: Vec<_> = expected.iter().filter(|one| !found.contains(one)).collect();
    let surplus: Vec<_> = found.iter().filter(|one| !expected.contains(one)).collect();
    assert_eq!((missing, surplus), (vec![], vec![]), "{text}");
    assert_eq!(found, expected);
}

#[test]
fn an_address_alone_on_its_line() {
    assert_eq!(mistakes("10.0.0.0/8\nallow\n"), [("E0101", 1)]);
    assert_eq!(
        mistakes("allow to any:1\n10.0.0.0/8\nallow\n"),
        [("E0114", 2)]
    );
}

#[test]
fn a_wrong_head_of_a_block_is_one_mistake() {
    for (head, code) in [
        ("for zonk wan {", "E0102"),
        ("for zone {", "E0101"),
        ("for wan {", "E0102"),
        ("for zone wan", "E0116"),
        ("for zone in {", "E0109"),
    ] {
        let text = format!("{head}\n    allow tcp\n}}\nallow udp\n");
        assert_eq!(mistakes(&text), [(code, 1)], "{text}");
    }
}

#[test]
fn braces_that_miss_or_are_too_many() {
    assert_eq!(
        mistakes("allow\n}\nallow\n}\n"),
        [("E0106", 2), ("E0106", 4)]
    );
    assert_eq!(mistakes("for zone a {\nallow\n"), [("E0105", 1)]);
    assert_eq!(
        mistakes("for netns \"a\" {\nfor zone b {\nallow\n}\n"),
        [("E0105", 1)]
    );
    assert_eq!(
        mistakes("for zone a { allow bad }\nfor zone b { allow }\n"),
        [("E0102", 1)]
    );
    assert_eq!(
        mistakes("set a = {\n  10.0.0.0/8,\n  10.1.0.0/16\nallow\n"),
        [("E0105", 3)]
    );
    assert_eq!(
        mistakes("set a = {\n  10.0.0.0/8\n  10.1.0.0/16\n}\nallow\n"),
        [("E0101", 2)]
    );
}

#[test]
fn deep_nesting_is_refused_and_nothing_else() {
    let noes = |count: usize| format!("drop if {}fragment\n", "no ".repeat(count));
    let lists = |count: usize| {
        format!(
            "drop if {}fragment{}\n",
            "any of { ".repeat(count),
            " }".repeat(count)
        )
    };
    for text in [noes(64), lists(64)] {
        assert!(mistakes(&text).is_empty());
    }
    for text in [noes(65), lists(65), noes(100_000), lists(100_000)] {
        assert_eq!(
            mistakes(&format!("allow\n{text}allow\nalow\n")),
            [("E0113", 2), ("E0102", 4)]
        );
    }
    let blocks = |count: usize| "for netns \"b\" {\n".repeat(count) + &"}\n".repeat(count);
    assert!(mistakes(&blocks(16)).is_empty());
    for count in [17, 18, 50_000] {
        assert_eq!(mistakes(&blocks(count)), [("E0113", 17)]);
    }
}

#[test]
fn the_socket_of_a_condition_does_not_begin_a_statement() {
    for tail in ["", " in netns \"b\"", " # a comment\n"] {
        let lists = |count: usize| {
            let line = format!("any of {{ no\nsocket{tail}, ");
            format!(
                "drop if {}fragment{}\n",
                line.repeat(count),
                " }".repeat(count)
            )
        };
        assert_eq!(mistakes(&lists(63)), []);
        let codes: Vec<_> = mistakes(&lists(10_000))
            .into_iter()
            .map(|(code, _)| code)
            .collect();
        assert_eq!(codes, ["E0113"], "{tail}");
    }
    let text = "drop if no\nsocket\nalow\nsocket p = tcp listen 127.0.0.1:80\nallow\n";
    assert_eq!(mistakes(text), [("E0102", 3)]);
}

#[test]
fn after_many_mistakes_the_rest_is_not_read() {
    let text = "for zone a {\n".to_owned() + &"alow\n".repeat(300);
    let mistakes = mistakes(&text);
    assert_eq!(mistakes.len(), 257);
    assert_eq!(mistakes.last(), Some(&("E0118", 258)));
}
