//! The tests that selftests.md names for the kernel's own are there.

use std::fs;
use std::path::Path;

use crate::guests;

const LIST: &str = include_str!("selftests.md");

#[test]
fn every_test_that_stands_for_one_of_the_kernels_is_there() {
    // A guest has no sources.
    if guests::folder().is_some() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/streams");
    let named: Vec<_> = LIST
        .split('`')
        .filter_map(|word| word.split_once("::"))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for (module, test) in named {
        let source = fs::read_to_string(folder.join(format!("{module}.rs"))).unwrap();
        let begins = format!("#[test]\nfn {test}() {{");
        assert!(source.contains(&begins), "{module}::{test}");
    }
}
