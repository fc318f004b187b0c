//! The rules of one list, as chains become them.
//!
//! Not here: where they come from, and how they are written.

use std::rc::Rc;

use crate::verbs::import::line::Origin;
use crate::verbs::import::what::What;

/// A rule of a list.
#[derive(Clone, Debug)]
pub(in crate::verbs::import) struct Flat {
    /// What it is about.
    pub(in crate::verbs::import) what: What,
    /// What it does.
    pub(in crate::verbs::import) end: End,
    /// What it writes.
    pub(in crate::verbs::import) log: Option<Log>,
    /// The chain that it comes from.
    pub(in crate::verbs::import) chain: String,
    /// Its comment.
    pub(in crate::verbs::import) comment: Option<String>,
    /// Where the line comes from that it became of, if what was written in other words stands there.
    pub(in crate::verbs::import) origin: Option<Rc<Origin>>,
}

/// What a rule of a list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verbs::import) enum End {
    Allow,
    Drop,
    Reject,
    Count,
}

impl End {
    /// Whether a packet goes no further.
    pub(in crate::verbs::import) fn takes_away(self) -> bool {
        matches!(self, Self::Drop | Self::Reject)
    }
}

/// A line that is written.
#[derive(Clone, Debug)]
pub(in crate::verbs::import) struct Log {
    /// How it begins.
    pub(in crate::verbs::import) prefix: String,
    /// How many there are at most.
    pub(in crate::verbs::import) most: String,
}

/// Something of a list, in order.
#[derive(Clone, Debug)]
pub(in crate::verbs::import) enum Step {
    /// A rule.
    Rule(Box<Flat>),
    /// A rule that was left out: where it stands, and what it says.
    LeftOut(String, String),
}

impl Step {
    /// The rule, if it is one.
    pub(in crate::verbs::import) fn rule(&self) -> Option<&Flat> {
        match self {
            Self::Rule(flat) => Some(flat),
            Self::LeftOut(..) => None,
        }
    }

    /// The same, to be changed.
    pub(in crate::verbs::import) fn rule_mut(&mut self) -> Option<&mut Flat> {
        match self {
            Self::Rule(flat) => Some(flat),
            Self::LeftOut(..) => None,
        }
    }
}
