//! The files in `rules/bad`: each shows one code, at the lines it says.
//!
//! `#~ E0101` marks its own line, `#~^ E0101` the line before.

use std::collections::BTreeSet;
use std::path::Path;

use super::mistakes;
use crate::codes;

fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/bad");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file());
    let mut files: Vec<(String, String)> = entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read_to_string(entry.path()).unwrap(),
            )
        })
        .filter(|(name, _)| name.starts_with("e01"))
        .collect();
    files.sort();
    files
}

/// Codes and lines as a file's marks say them.
fn marks(text: &str) -> Vec<(String, u32)> {
    let lines = text.lines().zip(1..);
    let marked = lines.filter_map(|(line, number)| Some((line.split_once("#~")?.1, number)));
    marked
        .map(|(mark, number)| match mark.strip_prefix('^') {
            Some(code) => (code.trim().to_owned(), number - 1),
            None => (mark.trim().to_owned(), number),
        })
        .collect()
}

#[test]
fn each_file_shows_its_code_where_it_says() {
    for (name, text) in files() {
        let found: Vec<(String, u32)> = mistakes(&text)
            .iter()
            .map(|(code, line)| ((*code).to_owned(), *line))
            .collect();
        assert_eq!(found, marks(&text), "{name}");
        let code = name[..5].to_uppercase();
        assert!(found.iter().any(|(found, _)| *found == code), "{name}");
        assert!(
            text.starts_with("# "),
            "{name} begins with a sentence on what is wrong"
        );
    }
}

#[test]
fn each_code_has_a_file() {
    let shown: BTreeSet<String> = files()
        .iter()
        .map(|(name, _)| name[..5].to_uppercase())
        .collect();
    let declared: BTreeSet<String> = codes::CODES
        .iter()
        .map(|(code, _)| code.0.to_owned())
        .collect();
    assert_eq!(shown, declared);
}
