//! What a person should know of a policy that follows another, besides what changes for packets.

use sockc_compiler::artifact::Manifest;
use sockc_compiler::policy::Family;
use sockc_runtime::{
    CUTS, Departing, ENDS, Forecast, HookForecast, LinkFate, reach_out, taken_back, unseen,
};

use crate::machine::local::in_netns;

/// The notes; where nothing is in force, what apply makes besides hooks.
pub(crate) fn notes(forecast: &Forecast, manifest: &Manifest) -> Vec<String> {
    let mut notes = ways(forecast);
    notes.extend(reach_out(manifest));
    notes.extend(unseen(Some(manifest)).into_iter().map(str::to_owned));
    notes.extend(forecast.unmet.iter().cloned());
    for (netns, inner) in &forecast.netns {
        let inner = ways(inner).into_iter().chain(inner.unmet.iter().cloned());
        notes.extend(inner.map(|note| in_netns(netns, &note)));
    }
    let Some(running) = &forecast.running else {
        return notes;
    };
    if running.policy != manifest.policy {
        notes.push(format!(
            "\"{}\" is replaced by a policy of another name, \"{}\"",
            running.policy, manifest.policy
        ));
    }
    notes.extend(forecast.renamed_netns.iter().map(|(was, now)| {
        format!(
            "the network namespace \"{now}\" is the one that the policy in force calls \"{was}\": what holds there goes on under its other name"
        )
    }));
    let unhooked = || {
        format!(
            "no hook is left in this network namespace: \"{}\" filters and steers nothing in it",
            manifest.policy
        )
    };
    if is_unhooked(forecast) {
        notes.push(unhooked());
    }
    let blocks = forecast.netns.iter();
    let blocks = blocks.filter(|(_, inner)| is_unhooked(inner));
    notes.extend(blocks.map(|(netns, _)| in_netns(netns, &unhooked())));
    notes
}

/// What apply makes or takes back that leads intercepted packets to their sockets, and what becomes of connections.
fn ways(forecast: &Forecast) -> Vec<String> {
    let made = |family: &Family| {
        let name = family.name();
        format!(
            "what is missing of a rule and a route is made that deliver here, over {name}, what redirects `at tc` take; `sockc unload` takes it back"
        )
    };
    let made = forecast.ways.iter().map(made);
    let spare = forecast.spare_ways.iter().copied().map(taken_back);
    let cuts = forecast.cuts.then(|| CUTS.to_owned());
    let ends = forecast.ends.then(|| ENDS.to_owned());
    let departing = forecast.departing.iter();
    let departing = departing.flat_map(Departing::intercepted);
    let all = made.chain(spare).chain(cuts).chain(ends);
    all.chain(departing).collect()
}

/// Whether every hook that is there goes.
fn is_unhooked(forecast: &Forecast) -> bool {
    let goes = |hook: &HookForecast| hook.link == LinkFate::Detached;
    !forecast.hooks.is_empty() && forecast.hooks.iter().all(goes)
}
