//! `--deny`, `--allow` and `--warn`: which warnings are errors, which are not told, and which are told only then.
//!
//! A code that is named counts for more than `all`; what is named by several is denied, else told. Errors cannot be
//! allowed. Not here: what is warned of.

use sockc_compiler::{codes, lint};
use sockc_grammar::diagnostic::{Code, Diagnostic, Severity};

use crate::cli;
use crate::exit::Exit;
use crate::output::Output;

/// The word for every warning.
const ALL: &str = "all";

/// The codes of one option.
#[derive(Debug, Default)]
struct Named {
    all: bool,
    codes: Vec<Code>,
}

/// What becomes of warnings.
#[derive(Debug, Default)]
pub(crate) struct Lints {
    deny: Named,
    allow: Named,
    warn: Named,
}

impl Lints {
    /// Reads the options; an unknown code is a wrong use of the command.
    pub(crate) fn new(arguments: &cli::Lints, output: &mut Output) -> Result<Self, Exit> {
        Ok(Self {
            deny: named(&arguments.deny, "--deny", output)?,
            allow: named(&arguments.allow, "--allow", output)?,
            warn: Named::default(),
        })
    }

    /// No warning is told.
    pub(crate) fn silent() -> Self {
        let allow = Named {
            all: true,
            codes: Vec::new(),
        };
        Self {
            allow,
            ..Self::default()
        }
    }

    /// The same with what `--warn` names.
    pub(crate) fn warning(self, words: &[String], output: &mut Output) -> Result<Self, Exit> {
        let warn = named(words, "--warn", output)?;
        Ok(Self { warn, ..self })
    }

    /// What is told only if it is asked for, and is: to deny it asks for it too.
    pub(crate) fn optional(&self) -> Vec<Code> {
        let asked = |code: &Code| {
            self.warn.all || self.warn.codes.contains(code) || self.deny.codes.contains(code)
        };
        lint::OPTIONAL.iter().copied().filter(asked).collect()
    }

    /// Takes away what is allowed, and makes errors of what is denied.
    pub(crate) fn judge(&self, diagnostics: &mut Vec<Diagnostic>) {
        diagnostics.retain(|one| !self.allows(one));
        for one in diagnostics {
            if self.denies(one) {
                one.severity = Severity::Error;
            }
        }
    }

    fn denies(&self, one: &Diagnostic) -> bool {
        let named = self.deny.codes.contains(&one.code);
        named || self.deny.all && one.severity == Severity::Warning
    }

    fn allows(&self, one: &Diagnostic) -> bool {
        let by_code = self.allow.codes.contains(&one.code);
        let by_all = self.allow.all && !self.deny.all;
        one.severity != Severity::Error
            && !self.deny.codes.contains(&one.code)
            && !self.warn.codes.contains(&one.code)
            && (by_code || by_all)
    }
}

fn named(words: &[String], option: &str, output: &mut Output) -> Result<Named, Exit> {
    let mut named = Named::default();
    for word in words {
        if word == ALL {
            named.all = true;
            continue;
        }
        match codes::named(word) {
            Some(code) if code.0.starts_with('E') => {
                output.error(format!(
                    "{option} {word}: this is an error, not a warning; its policy is refused in any case"
                ));
                return Err(Exit::Usage);
            }
            Some(code) => named.codes.push(code),
            None => {
                output.error(format!("{option} {word}: {}", unknown(word)));
                return Err(Exit::Usage);
            }
        }
    }
    Ok(named)
}

/// What to say of a code that does not exist.
pub(crate) fn unknown(word: &str) -> String {
    match codes::near(word) {
        Some(near) => format!("there is no such code; did you mean `{}`?", near.0),
        None => "there is no such code; `sockc explain-code` lists all of them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_grammar::source::{SourceMap, Span};

    /// What becomes of a warning W0601, a warning W0602, a note N0620 and an error.
    fn judged(deny: &[&'static str], allow: &[&'static str]) -> Vec<(&'static str, Severity)> {
        judged_with(deny, allow, &[])
    }

    fn judged_with(
        deny: &[&'static str],
        allow: &[&'static str],
        warn: &[&'static str],
    ) -> Vec<(&'static str, Severity)> {
        let named = |words: &[&'static str]| Named {
            all: words.contains(&ALL),
            codes: words.iter().map(|word| Code(word)).collect(),
        };
        let lints = Lints {
            deny: named(deny),
            allow: named(allow),
            warn: named(warn),
        };
        let source = SourceMap::default().add("a.sk", "");
        let span = Span {
            source,
            start: 0,
            end: 0,
        };
        let mut diagnostics = vec![
            Diagnostic::warning(Code("W0601"), "", span, ""),
            Diagnostic::warning(Code("W0602"), "", span, ""),
            Diagnostic::note(Code("N0620"), "", span, ""),
            Diagnostic::error(Code("E0203"), "", span, ""),
        ];
        lints.judge(&mut diagnostics);
        diagnostics
            .iter()
            .map(|one| (one.code.0, one.severity))
            .collect()
    }

    #[test]
    fn codes_count_for_more_than_all() {
        use Severity::{Error, Note, Warning};
        let error = ("E0203", Error);
        let (first, second, note) = (("W0601", Warning), ("W0602", Warning), ("N0620", Note));
        let denied = ("W0601", Error);
        assert_eq!(judged(&[], &[]), [first, second, note, error]);
        assert_eq!(judged(&["W0601"], &[]), [denied, second, note, error]);
        let all = judged(&["all"], &["W0602"]);
        assert_eq!(all, [denied, note, error]);
        assert_eq!(judged(&["W0601"], &["all"]), [denied, error]);
        assert_eq!(
            judged(&["W0601"], &["W0601"]),
            [denied, second, note, error]
        );
        assert_eq!(judged(&["N0620"], &[])[2], ("N0620", Error));
        assert_eq!(judged(&[], &["all"]), [error]);
        let both = judged(&["all"], &["all"]);
        assert_eq!(both, [denied, ("W0602", Error), note, error]);
        assert_eq!(judged_with(&[], &["all"], &["W0601"]), [first, error]);
    }
}
