//! What is wrong with a policy, as data: code, place, what was found, what to write.
//!
//! Each stage declares its own codes next to its own messages: `E01xx` syntax, `E02xx` names and values, `E03xx` what a
//! hook can do and what has no meaning yet, `E04xx` limits, `W05xx` warnings, `N06xx` notes. Rendering is not here.

use crate::source::Span;

/// The stable name of a kind of diagnostic, such as `E0203`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);

/// Declares codes: a constant for each, and `CODES`, the table of all of them with their titles, in order.
///
/// ```
/// mod codes {
///     sockc_grammar::codes! {
///         GONE = "E0901", "something that is gone";
///     }
/// }
/// assert_eq!(codes::CODES, [(codes::GONE, "something that is gone")]);
/// ```
#[macro_export]
macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: $crate::diagnostic::Code = $crate::diagnostic::Code($code);
        )*

        /// Every code that is declared here with its title, in order.
        pub const CODES: &[($crate::diagnostic::Code, &str)] = &[$(($name, $title)),*];
    };
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy is accepted.
    Warning,
    /// Nothing is wrong: something is said that the text leaves open.
    Note,
}

/// A place and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there; may be empty.
    pub text: String,
}

/// One mistake or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// Error, warning or note.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// The place, with what was found there.
    pub primary: Label,
    /// Other places that matter.
    pub secondary: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
    /// What the message is built from, by name, for programs that read it.
    pub facts: Vec<(&'static str, String)>,
}

impl Diagnostic {
    /// An error with its place and what was found there.
    pub fn error(
        code: Code,
        message: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary: Label {
                span,
                text: label.into(),
            },
            secondary: Vec::new(),
            help: None,
            facts: Vec::new(),
        }
    }

    /// A warning with its place and what was found there.
    pub fn warning(
        code: Code,
        message: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message, span, label)
        }
    }

    /// A note with its place and what was found there.
    pub fn note(
        code: Code,
        message: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(code, message, span, label)
        }
    }

    /// The same with what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with one more fact.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    /// The same with one more place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label {
            span,
            text: text.into(),
        });
        self
    }
}
