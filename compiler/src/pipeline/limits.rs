//! What of a program is beyond a limit of the target, with the rules and sets that cost most.
//!
//! Estimates from the function come first, so that nothing is emitted in vain; the program itself is measured after
//! them. Not here: the limits (`bpf::limits`), how work is estimated (`verifier_cost`), how code is emitted (`emit`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Span;

use super::compilation::{Stop, TOO_LARGE};
use crate::artifact::{MapId, Program};
use crate::bpf::limits::{Limit, Limits};
use crate::emit::EmitError;
use crate::ir::{End, Function};
use crate::lower::{Maps, SetMaps};
use crate::policy::{Policy, SourceLocation};
use crate::target::Target;
use crate::verifier_cost::{self, VerifierCost};

/// What a jump is that only newer kernels have.
const FAR: &str = "further than a kernel without `gotol` (Linux 6.6) can go";

/// Whether a refusal is about a jump that newer kernels have.
#[must_use]
pub fn is_far(refusal: &Diagnostic) -> bool {
    refusal.code == TOO_LARGE && refusal.primary.text.contains(FAR)
}

/// How many rules and sets are named.
const NAMED: usize = 3;

/// A function whose estimated size is beyond the limit by so much, in percent of it, is not even emitted.
const ESTIMATE: usize = 150;

/// A limit that a policy can reach.
struct Kind {
    /// How much of it a target gives.
    limit: fn(&Limits) -> Limit,
    /// What is counted, in the plural.
    counted: &'static str,
    /// What to write instead.
    help: &'static str,
}

const INSTRUCTIONS: Kind = Kind {
    limit: |limits| limits.instructions,
    counted: "instructions",
    help: "join prefixes and port ranges that belong together, or name addresses in a `set`",
};

const PROCESSED: Kind = Kind {
    limit: |limits| limits.processed,
    counted: "steps of the kernel's verifier",
    help: "join prefixes and port ranges that belong together, or name addresses in a `set`",
};

const PENDING: Kind = Kind {
    limit: |limits| limits.pending_jumps,
    counted: "tests in a row",
    help: "name addresses in a `set`, and write fewer `count` rules",
};

const MAPS: Kind = Kind {
    limit: |limits| limits.maps,
    counted: "maps",
    help: "join live sets and live maps that one process fills, or ask fewer of them in one direction",
};

/// What to write instead where a program looks into the places of names with members.
const FEWER: &str = "give names fewer `members`, above all those with `if absent drop`; join prefixes and port ranges that belong together";

/// What one policy's programs are made for.
#[derive(Clone, Copy)]
pub(super) struct Limited<'a> {
    pub(super) policy: &'a Policy,
    pub(super) maps: &'a Maps,
    pub(super) target: &'a Target,
    /// The place of what belongs to no statement.
    pub(super) whole: Span,
}

impl Limited<'_> {
    /// What of a function would be beyond a limit, as far as can be said before code is made of it.
    pub(super) fn check(&self, function: &Function) -> Result<(), Stop> {
        match self.estimated(function) {
            Some(refusal) => Err(Stop::Diagnostics(vec![refusal])),
            None => Ok(()),
        }
    }

    /// What of a program is beyond a limit.
    pub(super) fn check_program(&self, program: &Program) -> Result<(), Stop> {
        let used: BTreeSet<MapId> = program.relocations.iter().map(|one| one.map).collect();
        match used.len() > self.limit(&MAPS) {
            true => Err(Stop::Diagnostics(vec![
                self.too_many_maps(&program.name, &used),
            ])),
            false => Ok(()),
        }
    }

    /// Why there is no program.
    pub(super) fn told(&self, function: &Function, error: &EmitError) -> Stop {
        match error {
            EmitError::Invalid(_)
            | EmitError::OutOfRegisters(_)
            | EmitError::Overwritten(_)
            | EmitError::Number(_)
            | EmitError::NoAtomics => Stop::Bug(error.to_string()),
            EmitError::TooManyInsns(found) => {
                Stop::Diagnostics(vec![self.too_large(function, &INSTRUCTIONS, *found)])
            }
            EmitError::TooFar => Stop::Diagnostics(vec![self.too_far(function)]),
        }
    }

    fn limit(&self, kind: &Kind) -> usize {
        (kind.limit)(&self.target.limits).ours
    }

    fn estimated(&self, function: &Function) -> Option<Diagnostic> {
        let size = verifier_cost::size(function);
        if size > self.limit(&INSTRUCTIONS) / 100 * ESTIMATE {
            return Some(self.too_large(function, &INSTRUCTIONS, size));
        }
        let cost = VerifierCost::of(function, self.limit(&PROCESSED));
        let found = [(&PENDING, cost.pending_jumps), (&PROCESSED, cost.processed)];
        let beyond = found.iter().find(|(kind, found)| *found > self.limit(kind));
        beyond.map(|(kind, found)| match looks_into_places(function) {
            true => self.too_large(
                function,
                &Kind {
                    help: FEWER,
                    ..**kind
                },
                *found,
            ),
            false => self.too_large(function, kind, *found),
        })
    }

    /// A diagnostic of a program's code.
    fn too_large(&self, function: &Function, kind: &Kind, found: usize) -> Diagnostic {
        let (name, most) = (&function.name, self.limit(kind));
        let what = format!(
            "program `{name}` needs {found} {}, {most} at most",
            kind.counted
        );
        self.of_code(function, &what, kind.help)
    }

    fn too_far(&self, function: &Function) -> Diagnostic {
        let what = format!("program `{}` needs a jump {FAR}", function.name);
        let help = format!("{}; or apply it on Linux 6.6 or newer", INSTRUCTIONS.help);
        self.of_code(function, &what, &help)
    }

    fn of_code(&self, function: &Function, what: &str, help: &str) -> Diagnostic {
        let spans = self.spans();
        let mut shares: BTreeMap<Span, usize> = BTreeMap::new();
        for (origin, share) in verifier_cost::shares(function) {
            let origin = &function.origins[origin];
            let place = (&*origin.file, origin.line, origin.column);
            if let Some(&span) = spans.get(&place) {
                *shares.entry(span).or_default() += share;
            }
        }
        self.report(what, help, shares, "instructions")
    }

    fn too_many_maps(&self, program: &str, used: &BTreeSet<MapId>) -> Diagnostic {
        let mut shares: BTreeMap<Span, usize> = BTreeMap::new();
        for (place, map) in self.declared() {
            if used.contains(&map) {
                *shares.entry(place.span).or_default() += 1;
            }
        }
        let (found, most) = (used.len(), self.limit(&MAPS));
        let what = format!("program `{program}` uses {found} maps, {most} at most");
        self.report(&what, MAPS.help, shares, "maps")
    }

    /// The maps that sets and live maps of the policy have.
    fn declared(&self) -> impl Iterator<Item = (&SourceLocation, MapId)> {
        let sets = self.policy.sets.iter().flat_map(|(id, set)| {
            let maps = match &self.maps.sets[id] {
                Some(SetMaps::Live(live)) => live.all(),
                Some(SetMaps::Tables(tables)) => tables.maps(),
                None => Vec::new(),
            };
            maps.into_iter().map(|map| (&set.place, map))
        });
        let live = self.policy.live_maps.iter().flat_map(|(id, live)| {
            let maps = self.maps.entries[id].iter();
            maps.flat_map(|maps| [maps.trie, maps.classes])
                .map(|map| (&live.place, map))
        });
        sets.chain(live)
    }

    /// The rules and sets that code comes from, by their places. A default stands for whatever is left, and is never to
    /// blame.
    fn spans(&self) -> BTreeMap<(&str, u32, u32), Span> {
        let rules = self.policy.rules.values().map(|rule| &rule.place);
        let sets = self.policy.sets.values().map(|set| &set.place);
        let all = rules.chain(sets);
        all.map(|place| ((&*place.file, place.line, place.column), place.span))
            .collect()
    }

    /// Stands at the most expensive statement and names the next ones too.
    fn report(
        &self,
        what: &str,
        help: &str,
        shares: BTreeMap<Span, usize>,
        counted: &str,
    ) -> Diagnostic {
        let mut shares: Vec<(Span, usize)> = shares.into_iter().collect();
        shares.sort_by_key(|&(span, share)| (Reverse(share), span));
        let others = shares.len().saturating_sub(NAMED);
        let mut named = shares.into_iter().take(NAMED);
        let (span, label) = match named.next() {
            Some((span, share)) => (span, format!("{what}; most are for this: about {share}")),
            None => (self.whole, what.to_owned()),
        };
        let mut diagnostic = Diagnostic::error(
            TOO_LARGE,
            "a program would be beyond a limit of the kernel",
            span,
            label,
        );
        for (span, share) in named {
            diagnostic = diagnostic.also(span, format!("about {share} {counted} are for this"));
        }
        let more = match others {
            0 => String::new(),
            others => format!("; {others} more statements take part"),
        };
        diagnostic.help(format!("{help} (target {}{more})", self.target.name))
    }
}

/// Whether the verifier walks a loop over the members of a name.
fn looks_into_places(function: &Function) -> bool {
    let mut ends = function.blocks.values().map(|block| &block.end);
    ends.any(|end| matches!(end, End::Slot(region) if region.places.is_some()))
}
