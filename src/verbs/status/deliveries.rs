//! How the packets that redirects `at tc` take get to their sockets: as text, in JSON, and what is wrong with it.

use serde::Serialize;
use sockc_runtime::{Delivery, Status};

use crate::output::Output;

/// The way of a family in JSON.
#[derive(Serialize)]
pub(super) struct Row {
    family: &'static str,
    /// Whether what has the mark of intercepted packets is local.
    leads: bool,
    /// Whether sockc made the rule and the route for that.
    made: bool,
}

/// The ways in JSON.
pub(super) fn rows(status: &Status) -> Vec<Row> {
    let row = |one: &Delivery| Row {
        family: one.family.name(),
        leads: one.leads,
        made: one.made,
    };
    status.deliveries.iter().map(row).collect()
}

/// Shows them.
pub(super) fn show(status: &Status, output: &mut Output) {
    let row = |one: &Delivery| {
        let state = match (one.leads, one.made) {
            (true, true) => "by a rule and a route that sockc made",
            (true, false) => "by a rule and a route that were there",
            (false, _) => "no way",
        };
        vec![
            "  intercepted".to_owned(),
            one.family.name().to_owned(),
            state.to_owned(),
        ]
    };
    let rows: Vec<_> = status.deliveries.iter().map(row).collect();
    output.table(&rows);
}

/// Says what does not get to its socket, or gets no answer; `true` if all does.
pub(super) fn tell(status: &Status, output: &mut Output) -> bool {
    let mut whole = true;
    for lost in status.deliveries.iter().filter(|one| !one.leads) {
        whole = false;
        output.error(format!(
            "over {}, what redirects `at tc` take does not get to its socket: the rule or the route that makes it local is gone; `sockc apply --running --add-routes` makes them again",
            lost.family.name()
        ));
    }
    let opaque = status.sockets.iter();
    for state in opaque.filter(|state| state.is_opaque(&status.manifest)) {
        whole = false;
        output.error(format!(
            "the socket in a slot of \"{}\" is not transparent (IP_TRANSPARENT), so its answers to what redirects `at tc` take do not leave: have its program set that before it binds",
            state.socket
        ));
    }
    whole
}
