//! The two families, as words of `ip` and as bits of the word that says what was made.

use sockc_compiler::artifact::InterceptPlan;
use sockc_compiler::policy::Family;

/// The families that redirects `at tc` are about.
pub(super) fn of(plan: &InterceptPlan) -> impl Iterator<Item = Family> {
    let has = |family| {
        let mut samples = plan.samples.iter();
        samples.any(|address| Family::of(*address) == family)
    };
    let both = [Family::V4, Family::V6].into_iter();
    both.filter(move |family| has(*family))
}

/// In the word.
pub(super) fn bit(family: Family) -> u32 {
    match family {
        Family::V4 => 1,
        Family::V6 => 2,
    }
}

/// The option of `ip` that means it.
pub(super) fn flag(family: Family) -> &'static str {
    match family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    }
}
