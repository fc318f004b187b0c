//! What the lists around that of what passes through say of a packet: one that they stop shows nothing of `forward`.

use sockc_compiler::coverage;
use sockc_compiler::decide::{before, decide, next};
use sockc_compiler::event::Verdict;
use sockc_compiler::passage::asked;
use sockc_compiler::policy::Policy;

use super::choose::Case;
use super::lab_world::LabWorld;
use super::words;

/// That the list of what arrives stops it, if it does.
pub(super) fn arriving(policy: &Policy, case: &Case) -> Option<String> {
    let event = before(&case.event)?;
    let verdict = decide(policy, &event, &LabWorld::of(policy, case)).verdict;
    stopped("it comes in, the list of `in`", policy, verdict)
}

/// That the list of what leaves stops it, if that of what passes through lets it go.
pub(super) fn leaving(policy: &Policy, case: &Case) -> Option<String> {
    let world = LabWorld::of(policy, case);
    let event = asked(policy, &case.event, &world);
    let event = next(&event, &decide(policy, &event, &world))?;
    let verdict = decide(policy, &event, &world).verdict;
    stopped("it leaves, the list of `out`", policy, verdict)
}

/// That one of the lists stops it that it meets where a redirect sends it, if one does.
pub(super) fn redirected(policy: &Policy, case: &Case) -> Option<String> {
    let world = LabWorld::of(policy, case);
    let decision = decide(policy, &case.event, &world);
    let mut met = coverage::redirected(policy, &case.event, &decision);
    while let Some(event) = met {
        let decision = decide(policy, &event, &world);
        let list = format!("it leaves, the list of `{}`", event.direction().word());
        let stopped = stopped(&list, policy, decision.verdict);
        if stopped.is_some() {
            return stopped;
        }
        met = next(&event, &decision);
    }
    None
}

fn stopped(place: &str, policy: &Policy, verdict: Verdict) -> Option<String> {
    let stops = verdict != Verdict::Allow;
    stops.then(|| format!("where {place} says {}", words::verdict(policy, verdict)))
}
