//! The parser under a fuzzer: reads standard input as a policy and as a packet, and dies of what must not happen.
//!
//! `cargo afl build && cargo afl fuzz -i ../../rules -o out target/debug/sockc-fuzz`, or any fuzzer that feeds standard
//! input; a file alone: `cargo run < FILE`. Bounded, seeded changes are among the tests of `sockc-grammar`.

use std::io::Read;

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceMap;
use sockc_grammar::{parse, parse_packet, print, render};

fn main() -> std::io::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    if let Ok(text) = String::from_utf8(bytes) {
        read(&text);
    }
    Ok(())
}

/// Every message has its place in the text; what has no mistake has a canonical text, which is its own.
fn read(text: &str) {
    let mut sources = SourceMap::default();
    let id = sources.add("fuzz.sk", text);
    let (_, mistakes) = parse(&sources, id);
    check(text, &sources, &mistakes);
    if let Err(mistakes) = parse_packet(&sources, id) {
        assert!(!mistakes.is_empty());
        check(text, &sources, &mistakes);
    }
    if let Ok(canonical) = print::format(&sources, id) {
        let again = sources.add("canonical.sk", canonical.as_str());
        assert_eq!(print::format(&sources, again), Ok(canonical));
    }
}

fn check(text: &str, sources: &SourceMap, mistakes: &[Diagnostic]) {
    for mistake in mistakes {
        let span = mistake.primary.span;
        assert!(text.get(span.start as usize..span.end as usize).is_some());
    }
    let _ = render::render(mistakes, sources, false);
}
