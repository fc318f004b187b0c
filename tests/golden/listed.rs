//! What `docs/listing.md` says of the code of its ten rules: how much there is, in which parts, and how much of it a packet runs.

use sockc_compiler::pipeline::{Counters, Options};
use sockc_compiler::target::Target;

use super::compile_text;
use crate::repository::text;

const PAGE: &str = "docs/listing.md";

/// The cells of the page's table rows that have so many.
fn rows(page: &str, cells: usize) -> Vec<Vec<String>> {
    let rows = page.lines().filter_map(|line| {
        let inside = line.strip_prefix("| ")?.strip_suffix('|')?;
        let found: Vec<String> = inside
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect();
        (found.len() == cells).then_some(found)
    });
    rows.collect()
}

#[test]
fn the_page_of_ten_rules_says_how_long_they_are() {
    let page = text(PAGE);
    let policy = page
        .split("```text\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let target = Target::baseline();
    for (counters, said) in [(Counters::LeftOut, 339), (Counters::Kept, 389)] {
        let options = Options {
            counters,
            ..Options::from(&target)
        };
        let (_, outcome) = compile_text("ten.sk", policy.unwrap().to_owned(), options);
        let built = outcome.built.unwrap();
        let lengths: Vec<usize> = built
            .artifact
            .programs
            .iter()
            .map(|one| one.insns.len())
            .collect();
        assert_eq!(lengths, [said], "{PAGE} says {said}");
        assert!(page.contains(&format!("{said}")));
    }
}

#[test]
fn the_parts_of_the_page_are_all_of_it() {
    let page = text(PAGE);
    let (mut next, mut sums) = (0, [0, 0]);
    let parts = rows(&page, 5);
    let number = |cell: &str| cell.parse::<usize>().ok();
    for row in &parts {
        let (Some(sockc), Some(hand)) = (number(&row[2]), number(&row[3])) else {
            continue;
        };
        let (from, to) = row[1].split_once('-').unwrap();
        let (from, to) = (number(from).unwrap(), number(to).unwrap());
        assert_eq!(to + 1 - from, sockc, "{row:?}");
        if row[0] == "all" {
            assert_eq!([sockc, hand], sums, "{row:?}");
            continue;
        }
        assert_eq!(from, next, "{row:?}");
        next = to + 1;
        sums = [sums[0] + sockc, sums[1] + hand];
    }
    assert_eq!(next, 339);
}
