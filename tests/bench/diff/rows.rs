//! The rows of one rule set: its cases are made, measured, and held against what a linear scan knows of them.

use std::fs;
use std::path::Path;

use super::cases::{Case, Kind, policy};
use super::measured::{Asked, Checked, Compared, FEW, Problem, ask};
use super::rules::RuleSet;
use super::table::{Row, What};

/// Where the lints are measured: shorter lists are told in no time.
const MIN_LINTED: usize = 10_000;

/// How the rows of a set are made.
pub(crate) struct Plan<'a> {
    /// For the policies, which a child reads.
    pub(crate) folder: &'a Path,
    /// How often each thing is measured.
    pub(crate) rounds: usize,
}

impl Plan<'_> {
    /// Compares the set with itself after edits of a kind; nothing where they cannot be made.
    pub(crate) fn diff(&self, set: &RuleSet, kind: Kind) -> Result<Option<Row>, Problem> {
        let Some(case) = Case::new(set, kind) else {
            return Ok(None);
        };
        let (old, new) = (self.folder.join("old.sk"), self.folder.join("new.sk"));
        fs::write(&old, policy(&case.old))?;
        fs::write(&new, policy(&case.new))?;
        let cost: Option<Compared> = ask(&Asked::Diff {
            old: &old,
            new: &new,
            rounds: self.rounds,
        })?;
        Ok(Some(Row {
            family: set.family.clone(),
            rules: case.old.len(),
            wrong: cost
                .as_ref()
                .and_then(|cost| wrong_diff(kind, case.differing, cost)),
            what: What::Diff {
                edits: kind.name(),
                differing: case.differing,
                cost,
            },
        }))
    }

    /// Checks the set with some rules doubled; nothing for small sets.
    pub(crate) fn lint(&self, set: &RuleSet, size: usize) -> Result<Option<Row>, Problem> {
        if size < MIN_LINTED {
            return Ok(None);
        }
        let Some(case) = Case::new(set, Kind::Without) else {
            return Ok(None);
        };
        let path = self.folder.join("policy.sk");
        fs::write(&path, policy(&case.new))?;
        let cost: Option<Checked> = ask(&Asked::Check {
            policy: &path,
            rounds: self.rounds,
        })?;
        let doubled = case.new.len() - case.old.len();
        Ok(Some(Row {
            family: set.family.clone(),
            rules: case.new.len(),
            wrong: cost.as_ref().and_then(|cost| wrong_lint(doubled, cost)),
            what: What::Lint { doubled, cost },
        }))
    }
}

/// What is wrong with a comparison, if anything is. What could not be told all of may lack changes.
pub(crate) fn wrong_diff(kind: Kind, differing: usize, cost: &Compared) -> Option<String> {
    if cost.told != cost.changes.min(FEW) {
        return Some(format!("{} of {} are told", cost.told, cost.changes));
    }
    match kind {
        Kind::Without if differing > 0 => Some("the edits have an effect".into()),
        Kind::Without if cost.changes > 0 => Some("edits without effect change something".into()),
        Kind::Many | Kind::One if cost.changes == 0 && cost.complete => {
            let found = "edits change nothing";
            Some(format!("{found}; a linear scan finds {differing} headers"))
        }
        _ => None,
    }
}

/// What is wrong with the lints, if anything is.
pub(crate) fn wrong_lint(doubled: usize, cost: &Checked) -> Option<String> {
    let missed = cost.unreachable < doubled && !cost.cut_short;
    missed.then(|| format!("{doubled} rules are there twice"))
}
