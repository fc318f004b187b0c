//! The names that a policy declares, of one kind: declared once, may be used before.

use std::collections::BTreeMap;

use sockc_grammar::ast::Name;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Span;

use super::codes;
use super::report::Report;
use crate::names::nearest;
use crate::values::codes as values;

/// Declared names and what they stand for.
#[derive(Clone)]
pub(super) struct Declared<T> {
    kind: &'static str,
    names: BTreeMap<String, (Span, T)>,
}

impl<T> Declared<T> {
    /// No names yet; `kind` is what messages call them.
    pub(super) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            names: BTreeMap::new(),
        }
    }

    /// Declares a name. The first declaration of a name is the one that counts; says whether this is the first.
    pub(super) fn declare(&mut self, name: &Name, value: T, report: &mut Report) -> bool {
        if let Some((first, _)) = self.names.get(&name.value) {
            let kind = self.kind;
            report.push(
                Diagnostic::error(
                    codes::DECLARED_TWICE,
                    format!("the {kind} `{}` is declared twice", name.value),
                    name.span,
                    "declared again here",
                )
                .also(*first, "first declared here")
                .help("give one of the two another name"),
            );
            return false;
        }
        self.names.insert(name.value.clone(), (name.span, value));
        true
    }

    /// Changes what a declared name stands for.
    pub(super) fn set(&mut self, name: &str, value: T) {
        if let Some(entry) = self.names.get_mut(name) {
            entry.1 = value;
        }
    }

    /// Whether no name is declared.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What a name stands for, if it is declared; says nothing if not.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.names.get(name).map(|(_, value)| value)
    }

    /// What a name stands for; an unknown one is reported with the nearest that is declared.
    pub(super) fn look_up(&self, name: &str, span: Span, report: &mut Report) -> Option<&T> {
        self.look_up_as(self.kind, name, span, report)
    }

    /// The same where messages call it something else.
    pub(super) fn look_up_as(
        &self,
        kind: &str,
        name: &str,
        span: Span,
        report: &mut Report,
    ) -> Option<&T> {
        let found = self.get(name);
        if found.is_none() && !report.incomplete {
            report.push_error(|| self.unknown(kind, name, span));
        }
        found
    }

    fn unknown(&self, kind: &str, name: &str, span: Span) -> Diagnostic {
        let near = nearest(name, self.names.keys().map(String::as_str));
        let help = match near {
            Some(near) => {
                let mark = if kind == "set" { "@" } else { "" };
                format!("write `{mark}{near}`, or declare {kind} `{name}`")
            }
            None if self.names.is_empty() => {
                format!("declare {kind} `{name}`: there is no {kind} yet")
            }
            None => format!("declare {kind} `{name}`"),
        };
        let diagnostic = Diagnostic::error(
            values::UNKNOWN_NAME,
            format!("there is no {kind} `{name}`"),
            span,
            "used here, declared nowhere",
        )
        .help(help);
        match near.and_then(|near| self.names.get(near)) {
            Some((declared, _)) => diagnostic.also(*declared, "the nearest name is declared here"),
            None => diagnostic,
        }
    }
}
