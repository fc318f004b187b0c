//! `direct.xml`: rules that go to iptables as they are.
//!
//! Takes the file; gives where each of its rules stands. Not here: what is said of them.

use super::xml::{self, Element, File, Known, Mistake, Spot, known};

const KNOWN: &[Known] = &[
    known("direct", &[], &[], &[]),
    known("chain", &["direct"], &["ipv", "table", "chain"], &[]),
    known(
        "rule",
        &["direct"],
        &["ipv", "table", "chain", "priority"],
        &[],
    ),
    known("passthrough", &["direct"], &["ipv"], &[]),
];

/// The rules of the file; chains do nothing by themselves.
pub(super) fn read(file: &File) -> Result<Vec<Spot>, Mistake> {
    xml::read(file, "direct", &[KNOWN], |root| {
        let rules = root.children().filter(|one| one.name() != "chain");
        Ok(rules.map(|rule: Element<'_>| rule.spot()).collect())
    })
}
