//! The table of faults, by part.
//!
//! Each names a file, a text that stands in it once, what stands there instead, and the narrow tests that have to notice it.
//! One that cannot be noticed, since nothing changes, says why. Numbers are names: they do not change when others go.

mod bulk;
mod classifier;
mod compose;
mod diff;
mod emit;
mod interpret;
mod parser;
mod place;
mod steps;
mod walk;

/// A fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) number: u32,
    pub(crate) file: &'static str,
    /// What stands there: an expression, if `new` does not say where the switch is.
    pub(crate) old: &'static str,
    /// What is written instead; with `FAULT` in it, it replaces the old text for good, and `FAULT` is whether it is on.
    pub(crate) new: &'static str,
    /// Tests that have to notice it, the cheapest first.
    pub(crate) tests: &'static [Narrow],
    /// Why nobody can notice it; empty for all others.
    pub(crate) harmless: &'static str,
}

/// Tests by parts of their names, with blanks between them.
pub(crate) type Narrow = (Suite, &'static str);

/// Which binary tests are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suite {
    Grammar,
    Compiler,
    Runtime,
    Differential,
}

impl Suite {
    /// The package, which of its targets, and its folder.
    pub(crate) fn of_cargo(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Grammar => ("sockc-grammar", &["--lib"], "grammar"),
            Self::Compiler => ("sockc-compiler", &["--lib"], "compiler"),
            Self::Runtime => ("sockc-runtime", &["--lib"], "runtime"),
            Self::Differential => ("sockc", &["--test", "differential"], ""),
        }
    }
}

/// Every fault.
pub(crate) fn all() -> Vec<Fault> {
    let parts = [
        classifier::FAULTS,
        walk::FAULTS,
        bulk::FAULTS,
        place::FAULTS,
        compose::FAULTS,
        parser::FAULTS,
        emit::FAULTS,
        interpret::FAULTS,
        diff::FAULTS,
        steps::FAULTS,
    ];
    parts.concat()
}

/// A fault that has to be noticed.
const fn fault(
    number: u32,
    file: &'static str,
    old: &'static str,
    new: &'static str,
    tests: &'static [Narrow],
) -> Fault {
    Fault {
        number,
        file,
        old,
        new,
        tests,
        harmless: "",
    }
}

/// A fault that changes nothing that anybody could see.
const fn harmless(fault: Fault, why: &'static str) -> Fault {
    Fault {
        harmless: why,
        ..fault
    }
}
