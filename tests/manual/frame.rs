//! What stands around the rules of the manual's examples: the frame that the manual itself shows.
//!
//! A line of the frame is there for the examples that use the name it declares; a default of `send` or `receive` for
//! those that have rules of that direction; a rule that looks into a network namespace for those that name it.

use std::collections::BTreeSet;

use super::page::{Kind, Page};

/// The page that shows the frame.
const PAGE: &str = "docs/README.md";

/// The frame as the manual shows it.
fn whole() -> String {
    let frames = Page::read(PAGE).blocks.into_iter();
    let frames: Vec<String> = frames
        .filter(|block| block.kind == Kind::Frame)
        .map(|block| block.text)
        .collect();
    let [frame] = frames.as_slice() else {
        panic!("{PAGE} shows {} frames, not one", frames.len());
    };
    frame.clone()
}

/// The lines of the frame that these rules need, and those that these lines need, in order.
pub(crate) fn around(rules: &str) -> String {
    let frame = whole();
    let mut words = words(rules);
    loop {
        let lines: Vec<&str> = frame
            .lines()
            .filter(|line| keys(line).iter().any(|key| words.contains(key)))
            .collect();
        let known = words.len();
        words.extend(lines.iter().flat_map(|line| self::words(line)));
        if words.len() == known {
            return lines.join("\n") + "\n";
        }
    }
}

/// The words of a text, of which names are some. Every text has the empty one.
fn words(text: &str) -> BTreeSet<&str> {
    let apart = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == '-');
    text.split(apart).chain([""]).collect()
}

/// The words of which an example must have one for a line of the frame to be there; the empty one for a line that is
/// always there.
fn keys(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["default", "send", ..] => vec!["send", "shortcut"],
        ["default", "receive", ..] => vec!["receive", "splice"],
        ["default", ..] => vec![""],
        ["count", .., netns] => vec![netns.trim_matches('"')],
        ["live", _, name, ..] | [_, name, ..] => vec![name],
        _ => Vec::new(),
    }
}

#[test]
fn a_line_is_there_for_who_needs_it() {
    assert_eq!(keys("default in drop"), [""]);
    assert_eq!(keys("live set banned max 10"), ["banned"]);
    assert_eq!(keys("set office = { 10.0.0.0/8 }"), ["office"]);
    assert_eq!(keys("count if socket exists in netns \"blue\""), ["blue"]);
    assert_eq!(keys(""), [""; 0]);
    assert!(words("allow tcp from @office to any:@web").contains("web"));
}
