//! Plain rules are read without the grammar: the tree and the mistakes are those that the grammar gives.

use std::path::{Path, PathBuf};

use sockc_random::Rng;

use super::generate::Writer;
use super::{LANGUAGE, MORE};
use crate::ast::Statement;
use crate::source::{SourceId, Spanned};
use crate::tree;

/// Words and marks of plain rules, and some that only look so.
const PARTS: &[&str] = &[
    "allow",
    "drop",
    "reject",
    "count",
    "redirect",
    "audit",
    "in",
    "out",
    "send",
    "receive",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "proto",
    "89",
    "from",
    "to",
    "not",
    "any",
    "port",
    ",",
    "any:80",
    "any:http",
    "any:no",
    "any:*",
    "10.0.0.0/8",
    "10.0.0.1:80-90",
    "10.0.0.1-10.0.0.9",
    "1.2.3.256",
    "01.2.3.4",
    "10.0.0.1-::1",
    "10.0.0.0/8:{ 80, 443, }",
    "10.0.0.0/8:{80,443-450 , @web}",
    "@office",
    "@office:22",
    "@web-",
    "[2001:db8::/32]:53",
    "2001:db8::1",
    "2001:db8::1/64",
    "::",
    "[::1]",
    "[::1]/64",
    "[1.2.3.4]",
    "2001:db8::/32:53",
    "fe80::1-fe80::9",
    "face:b00k",
    "dead",
    "1.2.3.4:0x50",
    "1.2.3.4:1_000",
    "any:99999999999999999999",
    "10.0.0.0/99",
    "group",
    "a",
    "web:",
    "any:",
    "ssh-in:",
    "*",
    "{",
    "}",
    "#c\n",
    "\n",
    "\t",
    "log",
    "note \"x\"",
    "if",
    "tcp,",
    "anyone",
    "any:8080x",
    "icmp echo-request",
    "1.2.3.4,",
    "80",
];

/// Reads a text with and without the short way.
fn both_ways(text: &str) -> usize {
    let quick = tree::read(text, SourceId(0), false);
    let slow = tree::read(text, SourceId(0), true);
    assert_eq!(quick.statements, slow.statements, "{text}");
    assert_eq!(quick.mistakes, slow.mistakes, "{text}");
    rules(&quick.statements)
}

fn rules(statements: &[Spanned<Statement>]) -> usize {
    let in_one = |statement: &Spanned<Statement>| match &statement.value {
        Statement::Rule(_) => 1,
        Statement::For(block) => rules(&block.statements),
        _ => 0,
    };
    statements.iter().map(in_one).sum()
}

/// Every policy of the repository, those with mistakes in the pages included.
fn policies() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders = vec![root.join("rules"), root.join("docs"), root.join("tests")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("sk") => texts.push(std::fs::read_to_string(path).unwrap()),
                Some("md") => texts.extend(examples(&std::fs::read_to_string(path).unwrap())),
                _ => {}
            }
        }
    }
    texts
}

/// The policies of a page: its blocks that are marked `sk`, or `sk-` and what is special of them.
fn examples(page: &str) -> Vec<String> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    let policies = blocks.filter_map(|block| {
        let (mark, text) = block.split_once('\n')?;
        let marked = mark == "sk" || mark.starts_with("sk-") || mark.starts_with("sk ");
        (marked && !text.is_empty()).then(|| text.to_owned())
    });
    policies.collect()
}

#[test]
fn policies_are_read_alike() {
    let texts = policies();
    assert!(texts.len() > 300, "{}", texts.len());
    for text in texts.iter().map(String::as_str).chain([LANGUAGE, MORE]) {
        both_ways(text);
        for line in text.lines() {
            both_ways(line);
        }
    }
}

#[test]
fn changed_policies_are_read_alike() {
    let mut rng = Rng::new(0x1a2b);
    for text in policies()
        .iter()
        .map(String::as_str)
        .chain([LANGUAGE, MORE])
    {
        let letters: Vec<(usize, char)> = text.char_indices().collect();
        for _ in 0..40 {
            let (at, letter) = letters[rng.below(letters.len())];
            let part = PARTS[rng.below(PARTS.len())];
            let after = match rng.below(2) {
                0 => at,
                _ => at + letter.len_utf8(),
            };
            both_ways(&format!("{}{part}{}", &text[..at], &text[after..]));
        }
    }
}

#[test]
fn made_up_rules_are_read_alike() {
    let mut writer = Writer::new(0x77);
    let mut read = 0;
    for _ in 0..60_000 {
        let mut text = PARTS[writer.below(5)].to_owned();
        for _ in 0..writer.below(9) {
            text += ["", " ", " ", " ", "  "][writer.below(5)];
            text += PARTS[writer.below(PARTS.len())];
        }
        read += both_ways(&text);
    }
    for _ in 0..3000 {
        read += both_ways(&writer.text());
    }
    assert!(read > 5_000, "{read}");
}

/// Well-formed plain rules, so that what is compared is mostly taken the short way.
#[test]
fn plain_rules_are_read_alike() {
    const SIDES: &[&str] = &[
        "any",
        "10.0.0.0/8",
        "10.0.0.1",
        "10.0.0.1-10.0.0.9",
        "2001:db8::/32",
        "[2001:db8::1]:53",
        "@office",
        "any:http",
        "any:*",
        "10.0.0.1:80-90",
        "@office:{ 80 , @web,443-450 }",
        "port 53",
        "port { domain }",
        "[::-::9]:@web",
        "not 10.0.0.0/8",
        "not any:22 , 1.1.1.1",
        "::ffff:1.2.3.4",
    ];
    let mut rng = Rng::new(0xfeed);
    for _ in 0..20_000 {
        let mut pick = |list: &[&'static str]| list[rng.below(list.len())];
        let text = format!(
            "{}{} {}{}{}{}{}",
            pick(&["", "", "web: ", "any:\t"]),
            pick(&["allow", "drop", "reject", "count"]),
            pick(&["", "in ", "out  ", "send "]),
            pick(&[
                "",
                "tcp ",
                "tcp , udp ",
                "icmp, icmp6 ",
                "proto 89 ",
                "gre,esp,ah,sctp "
            ]),
            pick(&["", "from ", "to ", "to\n  "]),
            pick(SIDES),
            pick(&["", " ", " # c", "\n", " to any", " from 1.2.3.4 "]),
        );
        both_ways(&text);
        both_ways(&format!("count in\n{text}\ncount out"));
    }
}

/// Several threads read the statements of a large text ahead, whatever stands between plain rules.
#[test]
fn large_texts_are_read_alike() {
    const OTHERS: &[&str] = &[
        "set office = {\n  10.0.0.0/8, # all\n  192.0.2.1\n}",
        "for netns blue {\n  allow tcp to any:22\n  drop udp from 10.0.0.0/8\n}",
        "allow tcp to any:22 if tcp flags syn",
        "allow tcp\n  from 10.0.0.0/8\n  to any:80",
        "# allow tcp to any:22",
        "note: count udp to any:53 note \"allow tcp\nallow tcp to any:22",
        "allow tcp to any:22 log every 10",
        "drop { allow tcp }",
        "allow tcp from 1.2.3.4:0x50 to",
        "  allow udp to any:53 # indented",
        "allow tcp to any:22 drop udp",
        "}",
    ];
    let mut rng = Rng::new(0xa4ead);
    for round in 0..6 {
        let mut text = String::new();
        // Around the number from which on threads read.
        let count = [2040, 2048, 2056, 5000, 9000, 20_000][round];
        for number in 0..count {
            if rng.below(150) == 0 {
                text += OTHERS[rng.below(OTHERS.len())];
            } else {
                let verb = ["allow", "drop", "a-b: count", "reject in"][rng.below(4)];
                text += &format!("{verb} tcp from 10.0.0.{} to any:{number}", rng.below(300));
            }
            text.push('\n');
        }
        assert!(both_ways(&text) > 1000, "{round}");
    }
}
