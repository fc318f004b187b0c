//! How the command ends.

use std::process::ExitCode;

/// The exit codes, the same for every verb. The worse one is the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// The policy is wrong, or a test of it fails.
    Policy = 1,
    /// Two policies do not do the same, and the command was asked to say so.
    Differs = 2,
    /// The kernel or the machine refused.
    Refused = 3,
    /// The policy violates a guard, or would cut the SSH connection that the command comes over; a trial is in the way or over; or
    /// there is nothing to go back to.
    Guard = 4,
    /// What runs is not what sockc left.
    Changed = 5,
    /// Wrong use of the command.
    Usage = 64,
    /// A bug in sockc.
    Bug = 70,
}

impl Exit {
    /// The one of this code, if there is one.
    pub(crate) fn of(code: u8) -> Option<Self> {
        const ALL: [Exit; 8] = [
            Exit::Done,
            Exit::Policy,
            Exit::Differs,
            Exit::Refused,
            Exit::Guard,
            Exit::Changed,
            Exit::Usage,
            Exit::Bug,
        ];
        ALL.into_iter().find(|exit| *exit as u8 == code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
