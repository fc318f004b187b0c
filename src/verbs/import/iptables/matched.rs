//! The match `set`: which set a rule names, and how it is asked.
//!
//! Takes its options; gives what is asked, or the first of them that no rule can say (net/netfilter/xt_set.c). Not here: what sets hold.

use sockc_compiler::policy::Family;

use super::options::Given;
use crate::verbs::import::ipset::{Match, Sets, Within};
use crate::verbs::import::list::List;
use crate::verbs::import::rule::Asks;
use crate::verbs::import::what::{Of, What};

/// A set that a rule names.
pub(super) struct InSet {
    name: String,
    asked: Match,
}

impl InSet {
    /// Reads `--match-set NAME src,dst`.
    pub(super) fn read(given: &Given) -> Result<Self, String> {
        let [name, sides] = given.values.as_slice() else {
            return Err(format!(
                "`{given}` has not the name and the sides that it takes"
            ));
        };
        let side = |word: &str| match word {
            "src" => Ok(Of::From),
            "dst" => Ok(Of::To),
            _ => Err(format!("`{given}`: {word:?} is neither src nor dst")),
        };
        let sides: Result<Vec<Of>, String> = sides.split(',').map(side).collect();
        Ok(Self {
            name: name.clone(),
            asked: Match {
                sides: sides?,
                negated: given.negated,
                returned: false,
                within: Within::of(&[]),
            },
        })
    }

    /// Whether an option belongs to the match.
    pub(super) fn takes(given: &Given) -> bool {
        let begins = ["--packets-", "--bytes-", "--update-"];
        given.name == "--return-nomatch" || begins.iter().any(|one| given.name.starts_with(one))
    }

    /// Reads an option that stands behind.
    pub(super) fn option(&mut self, given: &Given) -> Result<(), String> {
        match given.name.as_str() {
            "--return-nomatch" if !given.negated => {
                self.asked.returned = true;
                Ok(())
            }
            // What a set counts decides nothing by itself.
            "--update-counters" | "--update-subcounters" => Ok(()),
            _ => Err(format!(
                "`{given}`: how often an entry of a set matched is not asked"
            )),
        }
    }

    /// What it asks of the packets that the rest of the rule is about.
    pub(super) fn asks(
        mut self,
        sets: &Sets,
        cases: &[What],
        at: (Family, List),
    ) -> Result<Asks, String> {
        self.asked.within = Within::of(cases);
        sets.asks(&self.name, &self.asked, at)
    }
}
