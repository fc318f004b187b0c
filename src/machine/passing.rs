//! Interfaces by which a machine passes packets on without asking a policy's list of `forward`.
//!
//! Takes a policy and where it is to be, or is; says so to a person. Not here: which interfaces these are.

use sockc_compiler::policy::{Action, DefaultVerdict, Direction, Policy};
use sockc_runtime::{Options, PassedBy, bridged, passed_by};

use crate::machine::local::{in_netns, within};

/// So many interfaces are named.
const MOST: usize = 3;

/// Where a policy is to be, or is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met<'a> {
    /// The names and patterns of its interfaces.
    pub(crate) on: &'a [String],
    /// Whether a command named these, and not the policy.
    pub(crate) given: bool,
    /// The interfaces of which it is told elsewhere that the policy is not on them.
    pub(crate) told: &'a [String],
}

/// What a person should know of the lists of a policy and of its `for netns` blocks; nothing where all that passes through meets them.
pub(crate) fn notes(policy: &Policy, options: &Options) -> Vec<String> {
    let given = !options.interfaces.is_empty();
    let met = |on| Met {
        on,
        given: false,
        told: &[],
    };
    let on = match given {
        false => met(&policy.interfaces),
        true => Met {
            given,
            ..met(&options.interfaces)
        },
    };
    let mut notes = own_notes(policy, on, options);
    for inner in &policy.netns {
        let options = within(options, &inner.name);
        let found = own_notes(&inner.policy, met(&inner.policy.interfaces), &options);
        notes.extend(found.iter().map(|note| in_netns(&inner.name, note)));
    }
    notes
}

/// The same of a policy in its own namespace.
pub(crate) fn own_notes(policy: &Policy, met: Met<'_>, options: &Options) -> Vec<String> {
    if !policy.has_list(Direction::Forward) {
        return Vec::new();
    }
    let mut notes = match passed_by(options, met.on) {
        Ok(beside) => told(&beside, met),
        Err(error) => vec![format!(
            "whether all that passes through meets `forward` is not known: {error}"
        )],
    };
    if rejects(policy) {
        notes.extend(match bridged(options, met.on) {
            Ok(ports) => unanswered(&ports),
            Err(error) => Some(format!(
                "whether what `forward` rejects gets its answer is not known: {error}"
            )),
        });
    }
    notes
}

/// Whether something that passes through is rejected.
fn rejects(policy: &Policy) -> bool {
    let mut rules = policy.rules_of(Direction::Forward);
    let line = policy.default_of(Direction::Forward);
    line.is_some_and(|line| line.verdict == DefaultVerdict::Reject)
        || rules.any(|(_, rule)| rule.action == Action::Reject)
}

/// That what a bridge hands from port to port is rejected without an answer: no route leads to anybody by a port.
fn unanswered(ports: &[[String; 2]]) -> Option<String> {
    let ([port, bridge], rest) = ports.split_first()?;
    let first = match rest.len() {
        0 => format!("{port} is a port of the bridge {bridge}"),
        more => format!("{port} and {more} more are ports of bridges, {port} of {bridge}"),
    };
    Some(format!(
        "{first}: what a bridge hands from port to port, and `forward` rejects, is dropped without an answer"
    ))
}

/// What is said of the interfaces that a policy is not on.
fn told(beside: &[PassedBy], met: Met<'_>) -> Vec<String> {
    let beside = beside.iter().filter(|one| !met.told.contains(&one.name));
    let (frames, others): (Vec<&PassedBy>, Vec<&PassedBy>) =
        beside.partition(|one| one.carries_ethernet);
    let remedy = match met.given {
        true => "name it with `--interface`, too",
        false => "name it in `interfaces`, or in a zone where there is no such line",
    };
    let open = named(
        &frames,
        ["the policy is not on it", "the policy is not on them"],
    );
    let open = open.map(|by| {
        format!("{ASKED} what leaves by {by}; where something is to leave there, {remedy}")
    });
    let never = named(
        &others,
        [
            "it carries no Ethernet frames",
            "they carry no Ethernet frames",
        ],
    );
    let never = never.map(|by| {
        format!("{ASKED} what leaves by {by}, so no policy can be on such an interface; what must not leave there has to be dropped where it comes in, by rules of `in`")
    });
    open.into_iter().chain(never).collect()
}

const ASKED: &str =
    "this machine passes packets on, and no rule or default of `forward` is asked about";

/// The interfaces by name, the first of many, with what is to be said of one or of several.
fn named(beside: &[&PassedBy], [one, several]: [&str; 2]) -> Option<String> {
    let first = beside.iter().take(MOST).map(|one| one.name.as_str());
    let first = first.collect::<Vec<_>>().join(", ");
    match beside.len() {
        0 => None,
        1 => Some(format!("{first}: {one}")),
        len if len > MOST => Some(format!("{first} and {} more: {several}", len - MOST)),
        _ => Some(format!("{first}: {several}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Met<'_> = Met {
        on: &[],
        given: false,
        told: &[],
    };

    fn beside(count: usize, carries_ethernet: bool) -> Vec<PassedBy> {
        let one = |number| PassedBy {
            name: format!("eth{number}"),
            carries_ethernet,
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn three_are_named() {
        let said = |count: usize| told(&beside(count, true), NOWHERE).concat();
        assert_eq!(said(0), "");
        assert!(said(1).contains("leaves by eth0: the policy is not on it;"));
        assert!(said(3).contains("leaves by eth0, eth1, eth2: the policy is not on them;"));
        assert!(said(5).contains("eth2 and 2 more: the policy is not on them;"));
    }

    #[test]
    fn ports_of_bridges_are_told() {
        let port = |name: &str| [name.to_owned(), "br0".to_owned()];
        assert_eq!(unanswered(&[]), None);
        let one = unanswered(&[port("p1")]).unwrap();
        assert!(
            one.starts_with("p1 is a port of the bridge br0: what"),
            "{one}"
        );
        let two = unanswered(&[port("p1"), port("p2")]).unwrap();
        assert!(
            two.starts_with("p1 and 1 more are ports of bridges, p1 of br0: what"),
            "{two}"
        );
    }

    #[test]
    fn what_to_do_is_what_can_be_done() {
        let mut both = beside(1, true);
        both.push(PassedBy {
            name: "tun0".to_owned(),
            carries_ethernet: false,
        });
        let said = told(&both, NOWHERE);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].contains("eth0: the policy") && said[0].contains("name it in `interfaces`")
        );
        assert!(said[1].contains("tun0: it carries no Ethernet frames"));
        assert!(!said[1].contains("name it"), "{said:?}");
        let given = Met {
            given: true,
            ..NOWHERE
        };
        assert!(told(&both, given)[0].ends_with("name it with `--interface`, too"));
        let known = ["eth0".to_owned()];
        let told_elsewhere = Met {
            told: &known,
            ..NOWHERE
        };
        assert_eq!(told(&both, told_elsewhere).len(), 1);
    }
}
