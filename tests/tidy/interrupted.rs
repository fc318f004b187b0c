//! Reads of sockets in tests, all of which are made again where a signal interrupts them.
//!
//! The kernel does that itself only where no time limit is set (signal(7)); so a test that forgets it fails once in a thousand runs.
//! Benchmarks, which run one thing at a time, are not looked at; nor are calls through libc and nix.

use super::report;
use crate::repository::{files_below, text};

const READS: [&str; 5] = [
    ".recv(",
    ".recv_from(",
    ".recv_with_flags(",
    ".peek(",
    ".read(&mut ",
];

#[test]
fn reads_of_tests_are_made_again() {
    let mut files = files_below("tests", ".rs");
    files.extend(files_below("runtime/tests", ".rs"));
    let others = ["tests/bench/", "tests/tidy/"];
    files.retain(|name| !others.iter().any(|other| name.starts_with(other)));
    let broken = files.iter().flat_map(|name| {
        let bare = bare(&text(name));
        bare.into_iter()
            .map(move |line| format!("{name}:{line} reads without `again(|| …)`"))
    });
    report(&broken.collect::<Vec<_>>());
}

/// The numbers of the lines with such a read: one with an argument, in a statement that does not say before it to do it again.
fn bare(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for word in READS {
        for (at, _) in text.match_indices(word) {
            let (before, after) = (&text[..at], &text[at + word.len()..]);
            let reads = after.starts_with(|next: char| next.is_alphabetic() || "&[".contains(next));
            let statement = before.rsplit([';', '{', '}', ',']).next();
            if reads && !statement.is_some_and(|said| said.contains("again(||")) {
                found.push(before.lines().count());
            }
        }
    }
    found
}

#[test]
fn a_bare_read_is_found() {
    let text = "let one = again(|| socket.recv(&mut room));\nlet two = socket.recv(&mut room);\nchannel.recv();\n\
                while socket.peek(&mut [0]).is_ok() {}";
    assert_eq!(bare(text), [2, 4]);
    assert_eq!(bare("f(again(|| one()), stream.read(&mut [0]))"), [1]);
}
