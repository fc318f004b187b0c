//! Who is told what a compile is doing: which stage has begun, and how far a long one has come.
//!
//! The compiler knows no clock and prints nothing: its caller measures, and says what it likes. Not here: what the
//! stages do.

/// Told of stages as they begin. Does nothing unless it is written to.
pub trait Observer {
    /// A stage begins, and with it the one before ends. The same name may come again: its parts belong together.
    fn stage(&mut self, _name: &str) {}

    /// Now and then: how far the stage has come.
    fn progress(&mut self, _done: u64, _of: u64) {}
}

/// An observer that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}
