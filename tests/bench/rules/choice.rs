//! Which sets a benchmark is about: the words of its command line.
//!
//! Takes names and sizes as they are written; gives families by name and their sets, made here or read. What is done with
//! the sets is not here.

use super::RuleSet;
use super::classbench;
use super::family::{FAMILIES, Family};

/// ClassBench's sets begin with this many rules.
const MIN_READ: usize = 1000;

/// The families that are made here, then those of ClassBench that are there.
pub(crate) fn all() -> Vec<String> {
    let made = FAMILIES.iter().map(|family| family.name.to_owned());
    made.chain(read()).collect()
}

/// The families of these names; `classbench` is all of ClassBench that is there.
pub(crate) fn named(wanted: &[String]) -> Result<Vec<String>, String> {
    let read = read();
    let mut families = Vec::new();
    for wanted in wanted {
        if wanted == "classbench" {
            families.extend(read.iter().cloned());
        } else if Family::named(wanted).is_some() || read.contains(wanted) {
            families.push(wanted.clone());
        } else {
            return Err(unknown(wanted, &read));
        }
    }
    Ok(families)
}

fn read() -> Vec<String> {
    classbench::folder().map_or_else(Vec::new, |folder| classbench::families(&folder))
}

fn unknown(wanted: &str, read: &[String]) -> String {
    let mut text = format!("there is no family `{wanted}`; there are");
    for family in &FAMILIES {
        text.push_str(&format!("\n  {:<10} {}", family.name, family.about));
    }
    for name in read {
        text.push_str(&format!("\n  {name:<10} ClassBench"));
    }
    text
}

/// Whether a family may have a set of this size.
pub(crate) fn exists(family: &str, size: usize) -> bool {
    Family::named(family).is_some() || size >= MIN_READ
}

/// The set of a family with the headers that came with it; `None` where there is none of this size.
pub(crate) fn set(family: &str, size: usize) -> Result<Option<RuleSet>, String> {
    set_by(family, size, classbench::read)
}

/// The same without headers, which take longer to read than the rules.
pub(crate) fn rules(family: &str, size: usize) -> Result<Option<RuleSet>, String> {
    set_by(family, size, classbench::read_rules)
}

fn set_by(family: &str, size: usize, read: classbench::Read) -> Result<Option<RuleSet>, String> {
    if let Some(family) = Family::named(family) {
        return Ok(Some(family.rules(size)));
    }
    let folder = classbench::folder().ok_or("the sets of ClassBench are not there")?;
    read(&folder, family, size).map_err(|error| error.to_string())
}

/// A number with `k` after it for thousands.
pub(crate) fn number(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1000),
        None => (text, 1),
    };
    let number: usize = digits.parse().map_err(|_| "it is not a number")?;
    Ok(number * unit)
}
