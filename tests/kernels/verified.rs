//! `golden/verified.txt`: how many instructions each kernel's verifier processed for each golden program.
//!
//! The number bounds the time a load takes and must stay far below the kernel's million; it may change a little with
//! each kernel update. Takes and gives text and numbers. Not here: files, kernels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A rise beyond this many percent is a failure.
const TOLERANCE: u32 = 20;

const HEADER: &str = "\
# Instructions that each kernel's verifier processes before it accepts a program of rules/ or of a large set of rules.
# Written by SOCKC_BLESS=1 cargo test --test kernels; a rise of more than 20 % fails that test.
";

/// Counts by object and program, then by kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    rows: BTreeMap<(String, String), BTreeMap<Release, u32>>,
}

/// A kernel release, ordered as people count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release(u32, u32);

impl Release {
    /// The first two numbers of `6.12.117+deb13`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', '-', '+']).map(str::parse);
        Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}.{}", self.0, self.1))
    }
}

impl Table {
    /// Reads what [`Self::text`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut table = Self::default();
        let Some(head) = lines.next() else {
            return Some(table);
        };
        let kernels: Vec<Release> = head
            .get(2..)?
            .iter()
            .map(|text| Release::parse(text))
            .collect::<Option<_>>()?;
        for line in lines {
            let [object, program, counts @ ..] = line.as_slice() else {
                return None;
            };
            for (kernel, count) in kernels.iter().zip(counts) {
                if *count != "-" {
                    table.set(object, program, *kernel, count.parse().ok()?);
                }
            }
        }
        Some(table)
    }

    /// Notes a count.
    pub(crate) fn set(&mut self, object: &str, program: &str, kernel: Release, count: u32) {
        self.rows
            .entry((object.to_owned(), program.to_owned()))
            .or_default()
            .insert(kernel, count);
    }

    /// The table as text.
    pub(crate) fn text(&self) -> String {
        let kernels = self.kernels();
        let mut text = String::from(HEADER);
        let mut line = |object: &str, program: &str, cells: Vec<String>| {
            write!(text, "{object:24} {program:12}").unwrap();
            for cell in cells {
                write!(text, " {cell:>7}").unwrap();
            }
            text.push('\n');
        };
        line(
            "policy",
            "program",
            kernels.iter().map(Release::to_string).collect(),
        );
        for ((object, program), counts) in &self.rows {
            let cell = |kernel| counts.get(kernel).map_or("-".to_owned(), u32::to_string);
            line(object, program, kernels.iter().map(cell).collect());
        }
        text
    }

    fn kernels(&self) -> BTreeSet<Release> {
        self.rows
            .values()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect()
    }

    /// What is worse in `now` than in this table, one sentence each. Kernels that the table does not know are left out,
    /// since anybody's own kernel may be among them.
    pub(crate) fn complaints(&self, now: &Self) -> Vec<String> {
        let known = self.kernels();
        let mut complaints = Vec::new();
        for ((object, program), counts) in &now.rows {
            let before = self.rows.get(&(object.clone(), program.clone()));
            for (kernel, count) in counts.iter().filter(|(kernel, _)| known.contains(kernel)) {
                match before.and_then(|row| row.get(kernel)) {
                    None => {
                        complaints.push(format!("{object} {program} on {kernel}: not in the table"))
                    }
                    Some(old)
                        if u64::from(*count) * 100
                            > u64::from(*old) * u64::from(100 + TOLERANCE) =>
                    {
                        complaints.push(format!(
                            "{object} {program} on {kernel}: {count}, was {old}"
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        let gone = self.rows.keys().filter(|key| !now.rows.contains_key(key));
        complaints.extend(gone.map(|(object, program)| {
            format!("{object} {program}: in the table, but not a program")
        }));
        complaints
    }

    /// This table's programs and kernels, with the older counts of `old` for kernels that were not there this time.
    pub(crate) fn over(mut self, old: &Self) -> Self {
        for (key, row) in &mut self.rows {
            for (kernel, count) in old.rows.get(key).into_iter().flatten() {
                row.entry(*kernel).or_insert(*count);
            }
        }
        self
    }
}

#[test]
fn a_table_reads_what_it_writes() {
    let mut table = Table::default();
    table.set("edge", "xdp_in", Release(6, 12), 120);
    table.set("edge", "xdp_in", Release(5, 10), 100);
    table.set("proxy", "lookup", Release(6, 12), 7);
    assert!(table.text().contains("5.10    6.12"));
    assert_eq!(Table::parse(&table.text()), Some(table));
}

#[test]
fn a_rise_of_more_than_a_fifth_is_a_complaint() {
    let of = |count| {
        let mut table = Table::default();
        table.set("edge", "xdp_in", Release(6, 1), count);
        table
    };
    assert!(of(100).complaints(&of(120)).is_empty());
    assert_eq!(
        of(100).complaints(&of(121)),
        ["edge xdp_in on 6.1: 121, was 100"]
    );
    assert_eq!(of(100).complaints(&Table::default()).len(), 1);
}
