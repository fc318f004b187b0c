//! What a change of a policy changes: every region whose fate is another, with the rules responsible and an example.
//!
//! Takes two resolved policies; gives a [`Report`]. Not here: reading policies, and printing.

pub mod report;

pub use report::Report;
