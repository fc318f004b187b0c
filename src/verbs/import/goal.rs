//! What a rule does with the packets that it is about.
//!
//! Not here: what the rule is about, and how a tool writes it.

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Lets it go.
    Accept,
    /// Takes it away.
    Drop,
    /// Takes it away and answers so.
    Reject(String),
    /// Writes a line, which begins so.
    Log(String),
    /// Counts.
    Count,
    /// Does something beside that changes no verdict, and goes on.
    Aside,
    /// Changes what a set holds, and goes on.
    Fill,
    /// Goes on behind the rule that called the chain.
    Return,
    /// Goes on in that chain, and then here.
    Jump(String),
    /// Goes on in that chain, and then where this one was called.
    Goto(String),
}

/// What is answered, unless a rule says otherwise.
pub(super) const PLAIN_ANSWER: &str = "port-unreachable";
