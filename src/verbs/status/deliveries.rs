//! How the packets that redirects `at tc` take get to their sockets: as text, in JSON, and what is wrong with it.

use serde::Serialize;
use sockc_runtime::{Delivery, Maker, Status};

use crate::output::Output;

/// The way of a family in JSON.
#[derive(Serialize)]
pub(super) struct Row {
    family: &'static str,
    /// Whether what has the mark of intercepted packets is local.
    leads: bool,
    /// Whether sockc made the rule and the route for that.
    made: bool,
    /// Who made the rule of the mark: `sockc` or `others`.
    rule: Option<&'static str>,
    /// Who made the route of its table.
    route: Option<&'static str>,
}

/// The ways in JSON.
pub(super) fn rows(status: &Status) -> Vec<Row> {
    let row = |one: &Delivery| Row {
        family: one.family.name(),
        leads: one.leads,
        made: (one.rule, one.route) == (Some(Maker::Sockc), Some(Maker::Sockc)),
        rule: one.rule.map(word),
        route: one.route.map(word),
    };
    status.deliveries.ways.iter().map(row).collect()
}

fn word(maker: Maker) -> &'static str {
    match maker {
        Maker::Sockc => "sockc",
        Maker::Others => "others",
    }
}

/// By what packets of a family get there.
fn state(one: &Delivery) -> &'static str {
    use Maker::{Others, Sockc};
    match (one.leads, one.rule, one.route) {
        (false, ..) => "no way",
        (true, Some(Sockc), Some(Sockc)) => "by a rule and a route that sockc made",
        (true, Some(Sockc), Some(Others)) => {
            "by a rule that sockc made, and a route that was there"
        }
        (true, Some(Others), Some(Sockc)) => {
            "by a rule that was there, and a route that sockc made"
        }
        (true, ..) => "by a rule and a route that were there",
    }
}

/// Shows them.
pub(super) fn show(status: &Status, output: &mut Output) {
    let row = |one: &Delivery| {
        vec![
            "  intercepted".to_owned(),
            one.family.name().to_owned(),
            state(one).to_owned(),
        ]
    };
    let rows: Vec<_> = status.deliveries.ways.iter().map(row).collect();
    output.table(&rows);
}

/// Says what does not get to its socket, or gets no answer; `true` if all does.
pub(super) fn tell(status: &Status, output: &mut Output) -> bool {
    let mut whole = true;
    let deliveries = &status.deliveries;
    // A block is applied with the policy that it stands in, whose namespace is another one.
    let remedy = match status.owned {
        true => "apply the policy that this block stands in with `--add-routes` to have that done",
        false => "`sockc apply --running --add-routes` does that",
    };
    let missing = deliveries.missing.iter();
    let missing = missing.map(|(_, why)| format!("{why}; {remedy}"));
    for wrong in deliveries.wrong.iter().cloned().chain(missing) {
        whole = false;
        output.error(format!(
            "what redirects `at tc` take does not get to its socket, or gets no answer: {wrong}"
        ));
    }
    let opaque = status.sockets.iter();
    for state in opaque.filter(|state| state.is_opaque(&status.manifest)) {
        whole = false;
        output.error(format!(
            "the socket in a slot of \"{}\" is not transparent (IP_TRANSPARENT), so it cannot itself answer in the name of the addresses that redirects `at tc` take: have its program set that before it binds",
            state.socket
        ));
    }
    whole
}
