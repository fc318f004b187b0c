//! Where a policy comes to and where it goes from: interfaces on which nothing held before, or nothing will hold.
//!
//! A comparison of two texts does not see it where the text is the same and the machine is not. Not here: what the rules do
//! to packets that meet them.

use sockc_runtime::{Forecast, HookForecast, LinkFate};

use crate::diff::summary;

/// What becomes of the packets of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The interface.
    pub(super) interface: String,
    /// Whether the policy comes to it; else it goes.
    pub(super) comes: bool,
}

impl Reach {
    /// The words on one line.
    pub(super) fn words(&self) -> String {
        let Self { interface, comes } = self;
        match comes {
            true => format!("packets on {interface}: allow -> the policy's verdicts"),
            false => format!("packets on {interface}: the policy's verdicts -> allow"),
        }
    }
}

/// The interfaces that something changes for as a whole; none where nothing is in force, since then everything is new.
pub(super) fn reach(forecast: &Forecast) -> Vec<Reach> {
    let mut found: Vec<Reach> = Vec::new();
    if forecast.running.is_none() {
        return found;
    }
    for interface in forecast.hooks.iter().filter(|hook| is_packet(hook)) {
        let here = |hook: &&HookForecast| is_packet(hook) && hook.target == interface.target;
        let all = |fate| {
            forecast
                .hooks
                .iter()
                .filter(here)
                .all(|hook| hook.link == fate)
        };
        let comes = match (all(LinkFate::Attached), all(LinkFate::Detached)) {
            (true, _) => true,
            (_, true) => false,
            _ => continue,
        };
        if !found.iter().any(|one| one.interface == interface.target) {
            found.push(Reach {
                interface: interface.target.clone(),
                comes,
            });
        }
    }
    found
}

fn is_packet(hook: &HookForecast) -> bool {
    ["xdp", "tc-in", "tc-out"].contains(&hook.hook.as_str())
}

/// A comparison's line, with what it does not see.
pub(super) fn summary(line: &str, reach: &[Reach]) -> String {
    if reach.is_empty() {
        return line.to_owned();
    }
    let mut parts = Vec::new();
    for (comes, words) in [
        (true, "The policy comes to"),
        (false, "No policy is left on"),
    ] {
        let names = reach.iter().filter(|one| one.comes == comes);
        let names: Vec<&str> = names.map(|one| one.interface.as_str()).collect();
        if !names.is_empty() {
            parts.push(format!("{words} {}.", names.join(", ")));
        }
    }
    parts.push(match line.strip_prefix(summary::SAME) {
        Some(rest) => format!("Elsewhere nothing changes in effect.{rest}"),
        None => line.to_owned(),
    });
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_interface_is_never_no_change() {
        let reach = [Reach {
            interface: "br-x".into(),
            comes: true,
        }];
        assert_eq!(
            summary("No change in effect. 1 rule reworded.", &reach),
            "The policy comes to br-x. Elsewhere nothing changes in effect. 1 rule reworded."
        );
        assert_eq!(summary(summary::SAME, &[]), summary::SAME);
    }
}
