//! What the policy in force lost of the places where it hangs: said beside something else, by commands that look at nothing more.
//!
//! Takes what the runtime found, and the words of `status` for it: it is one truth. What `status` only notes of a place is no loss, and
//! not said. Not here: what a verb does then.

use sockc_runtime::Options;

use super::coverage;
use super::drift::REMEDY;
use crate::output::Output;

/// What was lost, each in the words of `status`.
#[derive(Default)]
pub(crate) struct Losses {
    /// What others changed of hooks.
    hooks: Vec<String>,
    /// Where the policy does not hold as it should. What to do is in the words.
    places: Vec<String>,
}

impl Losses {
    /// Looks. What cannot be looked at was not seen to be lost: `status` says why it cannot.
    pub(crate) fn look(options: &Options) -> Self {
        let footing = sockc_runtime::footing(options).unwrap_or_default();
        let footing = footing.unwrap_or_default();
        let places = coverage::told(&footing.coverage).into_iter();
        Self {
            hooks: footing.drift.iter().map(ToString::to_string).collect(),
            places: places
                .filter(|told| told.is_loss)
                .map(|told| told.words)
                .collect(),
        }
    }

    /// Says what of it was not among those `before`.
    pub(crate) fn note_since(&self, before: &Self, output: &mut Output) {
        let hooks = new(&self.hooks, &before.hooks);
        hooks.iter().for_each(|one| output.note(one));
        if !hooks.is_empty() {
            output.note(REMEDY);
        }
        let places = new(&self.places, &before.places);
        places.iter().for_each(|one| output.note(one));
    }
}

fn new<'a>(now: &'a [String], before: &[String]) -> Vec<&'a String> {
    let new = now.iter().filter(|one| !before.contains(one));
    new.collect()
}

/// Looks, and says all.
pub(crate) fn note_losses(options: &Options, output: &mut Output) {
    Losses::look(options).note_since(&Losses::default(), output);
}
