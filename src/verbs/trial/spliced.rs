//! A pair of connections for each `splice`: made in a lab, handed over as a proxy does, and looked at from both ends.
//!
//! Takes a policy; gives a row for each splice, and what it has counted. Not here: the pair itself ([`lab::pair`]).

use std::sync::mpsc;
use std::thread;

use sockc_compiler::policy::Splice;
use sockc_runtime::CounterValue;
use sockc_runtime::lab::{self, Desk};

use super::Subject;
use super::real::{Failure, Staged, add};
use super::report::Row;
use super::words;

/// The mode of the socket at which the lab's pair is handed over.
const MODE: u32 = 0o600;

/// Plays every splice, each in a lab of its own, and adds to what the policy has counted in others.
pub(super) fn play(
    subject: &Subject<'_>,
    totals: &mut Vec<CounterValue>,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for splice in &subject.policy.splices {
        let (came, counters) = joined(subject, &subject.policy.pairs[splice.pairs].name)?;
        rows.push(row(subject, splice, came));
        add(totals, counters);
    }
    for total in totals {
        total.netns = subject.netns.map(str::to_owned);
    }
    Ok(rows)
}

/// Keeps the pairs of a name as `sockc socket pair` does, and hands one over; gives what came out at each end.
fn joined(subject: &Subject<'_>, name: &str) -> Result<([bool; 2], Vec<CounterValue>), Failure> {
    let staged = Staged::new(subject, &[])?;
    staged.apply()?;
    let desk = Desk::new()?;
    let server = &staged.stage.lab().server;
    let (ready, is_ready) = mpsc::channel();
    thread::scope(|scope| {
        let path = desk.path();
        let options = &staged.options;
        let keeper = scope.spawn(move || {
            let mut ready = || {
                let _ = ready.send(());
            };
            server.run(|| sockc_runtime::keep_pairs(options, name, (&path, MODE), &mut ready))
        });
        let came = match is_ready.recv() {
            Ok(()) => server.run(|| lab::pair(&desk)).and_then(|came| came),
            // It could not begin, and says why.
            Err(mpsc::RecvError) => {
                let ended = keeper
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                return Err(match ended? {
                    Err(error) => Failure::Runtime(error),
                    Ok(_) => Failure::Object("pairs were kept, and ended before they began".into()),
                });
            }
        };
        let counters = staged.counters();
        // That ends who keeps them.
        server.run(|| sockc_runtime::unload(options))??;
        Ok((came?, counters?))
    })
}

fn row(subject: &Subject<'_>, splice: &Splice, [there, back]: [bool; 2]) -> Row {
    let name = &subject.policy.pairs[splice.pairs].name;
    Row {
        netns: subject.netns.map(str::to_owned),
        packet: format!("a pair of connections that is handed over to `sockc socket pair {name}`"),
        seen: match (there, back) {
            (true, true) => "what each end wrote came out at the other",
            (true, false) => "what the upstream wrote did not come out at the client",
            (false, true) => "what the client wrote did not come out at the upstream",
            (false, false) => "what was written did not come out",
        }
        .into(),
        verdict: "splice".into(),
        decider: words::statement(&splice.place),
        counted: Vec::new(),
        agrees: Some(there && back),
    }
}
