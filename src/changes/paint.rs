//! Colours of a comparison on a terminal.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// What was, and goes.
    Old,
    /// What is to be, and is new.
    New,
    /// A change of effect.
    Change,
    /// What is said of everything else.
    Aside,
    /// What could not be found out.
    Warning,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    /// The text in the colour of what it is.
    pub(super) fn paint(self, role: Role, text: impl Display) -> String {
        if !self.0 {
            return text.to_string();
        }
        let style = match role {
            Role::Old => AnsiColor::Red.on_default(),
            Role::New => AnsiColor::Green.on_default(),
            Role::Change => Style::new().bold(),
            Role::Aside => Style::new().dimmed(),
            Role::Warning => AnsiColor::Yellow.on_default().bold(),
        };
        format!("{style}{text}{style:#}")
    }

    /// A unified difference, line by line.
    pub(crate) fn difference(self, text: &str) -> String {
        let lines = text.lines().map(|line| {
            let role = match line.as_bytes().first() {
                Some(b'-') => Role::Old,
                Some(b'+') => Role::New,
                Some(b'@') => Role::Aside,
                _ => return format!("{line}\n"),
            };
            format!("{}\n", self.paint(role, line))
        });
        lines.collect()
    }
}
