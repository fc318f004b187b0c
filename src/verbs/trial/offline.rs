//! The same cases without a lab: the emitted bytecode in the compiler's interpreter.

use sockc_compiler::event::{Event, Verdict};
use sockc_compiler::passage::asked;
use sockc_compiler::simulate::{Ran, simulate};

use super::choose::Case;
use super::lab_world::LabWorld;
use super::stage::Seen;
use super::{Subject, around, frame};

/// Plays every case.
pub(crate) fn play(subject: &Subject<'_>, cases: &[Case]) -> Vec<Seen> {
    cases.iter().map(|case| one(subject, case)).collect()
}

fn one(subject: &Subject<'_>, case: &Case) -> Seen {
    let bytes = case.event.packet().map_or_else(Vec::new, frame::bytes);
    let world = LabWorld::of(subject.policy, case);
    // One program asks both lists, and what it drops may be either's.
    if let Some(reason) = around::leaving(subject.policy, case) {
        return Seen::NotSent(reason);
    }
    match simulate(
        subject.policy,
        subject.artifact,
        &asked(subject.policy, &case.event, &world),
        &bytes,
        &world,
    ) {
        Ok(ran) => seen(&ran, &case.event),
        Err(fault) => Seen::NotSent(format!("a fault of the bytecode: {fault:?}")),
    }
}

/// What the programs did, as somebody outside would see it.
fn seen(ran: &Ran, event: &Event) -> Seen {
    match (ran.verdict, event) {
        (Verdict::Drop | Verdict::Reject, Event::Process { direction, .. }) => {
            Seen::Denied(*direction)
        }
        (Verdict::Feed(feed), _) => Seen::Fed(feed),
        (_, Event::Process { direction, .. }) => Seen::Done(*direction),
        (Verdict::Drop, _) => Seen::Dropped,
        (Verdict::Reject, _) if ran.looked_up => Seen::Refused,
        (Verdict::Reject, _) => Seen::Answered,
        (Verdict::Redirect(socket), _) => Seen::Reached(socket),
        (Verdict::Forward(port), _) => Seen::Forwarded(port),
        (Verdict::Allow | Verdict::Shortcut(_), _) => Seen::Passed,
    }
}
