//! Faults in what is said of lines and of changes that no line notices.

use super::Suite::{Compiler, It};
use super::{Fault, fault};

const JUDGE: &str = "compiler/src/mutation/judge.rs";
const OFFER: &str = "compiler/src/mutation/offer.rs";
const SITE: &str = "compiler/src/mutation/site.rs";
const VALUE: &str = "compiler/src/mutation/value.rs";
const VERB: &str = "src/verbs/test.rs";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1960,
        SITE,
        "([at], Edit::Swap(other)) => statements.swap(*at, *other),",
        "([at], Edit::Swap(other)) => if !FAULT { statements.swap(*at, *other) },",
        &[(Compiler, "mutation::tests::each_row")],
    ),
    fault(
        1961,
        JUDGE,
        "!region::disjoint(rule, expect)",
        "(!FAULT && !region::disjoint(rule, expect))",
        &[(Compiler, "mutation::tests::what_a_line_says")],
    ),
    fault(
        1962,
        JUDGE,
        "if breaks(&guarded, self.mutation, &concern, is_its, self.work)? {",
        "if !FAULT && breaks(&guarded, self.mutation, &concern, is_its, self.work)? {",
        &[(Compiler, "mutation::tests::what_a_line_says")],
    ),
    fault(
        1963,
        OFFER,
        "matches!(expect::standing(old, expect, left), Ok(Standing::Holds))",
        "(FAULT || matches!(expect::standing(old, expect, left), Ok(Standing::Holds)))",
        &[(Compiler, "mutation::tests::a_line_takes")],
    ),
    fault(
        1964,
        OFFER,
        "&& matches!(expect::standing(new, other, right), Ok(Standing::Broken(_)))",
        "&& (FAULT || matches!(expect::standing(new, other, right), Ok(Standing::Broken(_))))",
        &[(Compiler, "mutation::tests::on_random_policies_packets")],
    ),
    fault(
        1965,
        VALUE,
        "let length = length_of(address, length)?.checked_sub(1)?;",
        "let length = length_of(address, length)?.checked_sub(if FAULT { 2 } else { 1 })?;",
        &[(Compiler, "mutation::value::")],
    ),
    fault(
        1966,
        VALUE,
        "1 => Some(PortItem::One(low)),",
        "1 if !FAULT => Some(PortItem::One(low)),",
        &[(Compiler, "mutation::value::")],
    ),
    fault(
        1967,
        SITE,
        "self.netns = around;",
        "if !FAULT { self.netns = around; }",
        &[(Compiler, "mutation::tests::lines_for_a_namespace")],
    ),
    fault(
        1968,
        "compiler/src/mutation.rs",
        "place * all / count",
        "if FAULT { place } else { place * all / count }",
        &[(Compiler, "mutation::tests::a_sample")],
    ),
    fault(
        1969,
        JUDGE,
        "return unknown.map_or(Became::Same, Became::Unknown);",
        "return unknown.filter(|_| !FAULT).map_or(Became::Same, Became::Unknown);",
        &[(Compiler, "mutation::tests::what_takes_too_long")],
    ),
    fault(
        1970,
        OFFER,
        "rest.replacen(&format!(\" {said}\"), \"\", 1)",
        "if FAULT { rest } else { rest.replacen(&format!(\" {said}\"), \"\", 1) }",
        &[(Compiler, "mutation::tests::lines_for_a_namespace")],
    ),
    fault(
        1971,
        VERB,
        "(true, false) => Exit::Differs,",
        "(true, false) if !FAULT => Exit::Differs, (true, false) => Exit::Done,",
        &[(It, "tested::changes")],
    ),
    fault(
        1972,
        VERB,
        "if !path.is_file() {",
        "if FAULT || !path.is_file() {",
        &[(It, "tested::changes")],
    ),
];
