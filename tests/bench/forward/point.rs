//! One rule set, all systems: everything is loaded, then measured in rounds.

use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::rc::Rc;

use crate::frame::Layout;
use crate::rounds::{Entrant, Mode, Rounds};
use crate::router::Router;
use crate::rules::{RuleSet, family, trace};
use crate::stage::Problem;
use crate::traffic::Trace;
use crate::written::{SYSTEMS, System};

/// Frames whose arrival is counted, before anything is measured.
const COUNTED: u32 = 1 << 14;

/// What was measured, as lines of a table.
pub(crate) fn measure(set: &RuleSet, rounds: usize) -> Result<String, Problem> {
    let layout = Layout::for_routers();
    let mut rng = family::seed(&set.family, set.rules.len() + 1);
    let hits = trace::hits(set, &mut rng, layout.packets);
    let trace = Rc::new(Trace::new(layout, &hits)?);
    let (mut entrants, mut routers) = (Vec::new(), Vec::new());
    for (name, system) in SYSTEMS {
        let Some(router) = Router::new(system, set)? else {
            continue;
        };
        let entrant = Entrant {
            name: name.to_owned(),
            stage: Rc::clone(&router.stage),
            trace: Rc::clone(&trace),
            generator: trace.toward_stack()?,
            mode: Mode::Live,
            control: system == System::Nobody,
        };
        all_arrive(&router, &entrant)?;
        entrants.push(entrant);
        routers.push(router);
    }
    let rounds = Rounds::run(&entrants, rounds)?;
    Ok(told(set, &entrants, &rounds))
}

/// Fails where a system loses packets that its rules let through.
fn all_arrive(router: &Router, entrant: &Entrant) -> Result<(), Problem> {
    let before = router.arrived()?;
    let (generator, frame) = (entrant.generator.as_fd(), &entrant.trace.frame);
    // A window, and the shorter one ahead of it.
    router.stage.live(generator, frame, COUNTED, 1)?;
    let sent = u64::from(COUNTED + COUNTED.div_ceil(4));
    let arrived = router.arrived()? - before;
    if arrived < sent {
        return Err(format!("{}: {arrived} of {sent} packets came through", entrant.name).into());
    }
    Ok(())
}

fn told(set: &RuleSet, entrants: &[Entrant], rounds: &Rounds) -> String {
    let (kept, tried) = (rounds.count(), rounds.tried);
    let mut text = format!(
        "\n{}, {} rules ({kept} of {tried} rounds, unsteady by {:.1} %)\n",
        set.family,
        set.rules.len(),
        rounds.unsteady * 100.0
    );
    let routed = rounds.cost(0);
    for (place, entrant) in entrants.iter().enumerate() {
        let cost = rounds.cost(place);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {:<12} {cost:>8.0} ns a packet, {:>8.0} ns over routing, {:>6.2} times sockc",
            entrant.name,
            cost - routed,
            rounds.ratio(place, OURS)
        );
    }
    text
}

/// Where sockc is among the systems.
const OURS: usize = 1;
