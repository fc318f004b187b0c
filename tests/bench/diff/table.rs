//! What was measured, as lines of a table and as JSON, with what is wrong about it.

use serde::Serialize;

use super::measured::{Checked, Compared, Cost, MAX_TIME};

/// A row: one rule set and one kind of edits, or its lints.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) family: String,
    pub(crate) rules: usize,
    #[serde(flatten)]
    pub(crate) what: What,
    /// What must not be, if anything is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrong: Option<String>,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(tag = "measured", rename_all = "lowercase")]
pub(crate) enum What {
    /// A comparison.
    Diff {
        /// The kind of edits.
        edits: &'static str,
        /// Headers that a linear scan gives another verdict.
        differing: usize,
        /// `None` where it took too long.
        cost: Option<Compared>,
    },
    /// The lints.
    Lint {
        /// Rules that are in the list twice.
        doubled: usize,
        /// `None` where it took too long.
        cost: Option<Checked>,
    },
}

/// The names of the columns of comparisons.
pub(crate) fn diff_head() -> String {
    format!(
        "{:<10}{:>8}  {:<18}{:>9}{:>10}{:>8}{:>10}{:>8}{:>8}{:>10}{:>8}{:>8}  {}",
        "family",
        "rules",
        "edits",
        "regions",
        "read ms",
        "MiB",
        "20 ms",
        "x read",
        "MiB",
        "all ms",
        "x read",
        "MiB",
        "note"
    )
}

/// The names of the columns of lints.
pub(crate) fn lint_head() -> String {
    format!(
        "{:<10}{:>8}{:>10}{:>10}{:>8}{:>10}{:>8}{:>8}{:>8}  {}",
        "family",
        "rules",
        "read ms",
        "lint ms",
        "x read",
        "check ms",
        "W0601",
        "W0602",
        "MiB",
        "note"
    )
}

impl Row {
    /// The row as a line.
    pub(crate) fn line(&self) -> String {
        let mut notes: Vec<String> = Vec::new();
        let late = |is_late: bool| is_late.then(|| format!("over {} s", MAX_TIME.as_secs()));
        let figures = match &self.what {
            What::Diff { edits, cost, .. } => {
                let figures = cost.as_ref().map(diff_figures);
                let cut = cost.as_ref().filter(|cost| !cost.complete);
                notes.extend(cut.map(|_| "incomplete".to_owned()));
                let all = cost.as_ref().and_then(|cost| cost.all.as_ref());
                notes.extend(late(all.is_none()));
                format!("  {edits:<18}{:>9}", figures.unwrap_or_else(|| "-".into()))
            }
            What::Lint { cost, .. } => {
                let figures = cost.as_ref().map(lint_figures);
                let cut = cost.as_ref().filter(|cost| cost.cut_short);
                notes.extend(cut.map(|_| "N0621".to_owned()));
                notes.extend(late(figures.is_none()));
                format!("{:>10}", figures.unwrap_or_else(|| "-".into()))
            }
        };
        notes.extend(self.wrong.iter().map(|wrong| format!("wrong: {wrong}")));
        let (family, notes) = (&self.family, notes.join(", "));
        let line = format!("{family:<10}{:>8}{figures}  {notes}", self.rules);
        line.trim_end().to_owned()
    }
}

fn diff_figures(cost: &Compared) -> String {
    let figures = |one: &Cost| format!("{:>10.1}{:>8.2}{:>8.0}", one.ms, one.to_read, one.mib);
    let all = cost
        .all
        .as_ref()
        .map_or_else(|| format!("{:>10}", "-"), figures);
    format!(
        "{:>9}{:>10.1}{:>8.0}{}{all}",
        cost.changes,
        cost.read_ms,
        cost.read_mib,
        figures(&cost.few),
    )
}

fn lint_figures(cost: &Checked) -> String {
    format!(
        "{:>10.1}{:>10.1}{:>8.2}{:>10.1}{:>8}{:>8}{:>8.0}",
        cost.read_ms,
        cost.lint_ms,
        cost.lint_to_read,
        cost.check_ms,
        cost.unreachable,
        cost.no_effect,
        cost.mib,
    )
}
