//! Matches and actions of one policy with shared ids.
//!
//! What names nothing that has an id is borrowed as it is: most rules of large policies.

use std::borrow::Cow;

use cranelift_entity::PrimaryMap;

use super::sockets::Sockets;
use super::{Ids, Version};
use crate::decide::Lookups;
use crate::diff::judge::Judge;
use crate::policy::{
    Action, Addresses, ClassId, Condition, Endpoint, Match, Policy, Shortcut, Side as End,
};

/// One of the two policies.
pub(super) fn side<'p>(
    policy: &'p Policy,
    ids: Ids,
    sockets: &Sockets,
    own_classes: PrimaryMap<ClassId, ClassId>,
) -> Version<'p> {
    let rewriting = Rewriting { ids: &ids, sockets };
    let matches = policy.rules.values().map(|rule| {
        if names_nothing(&rule.matches) {
            Cow::Borrowed(&rule.matches)
        } else {
            Cow::Owned(rewriting.matches(&rule.matches))
        }
    });
    let matches = matches.collect();
    let actions = policy
        .rules
        .values()
        .map(|rule| rewriting.action(rule.action));
    let actions = actions.collect();
    Version {
        policy,
        matches,
        actions,
        ids,
        judge: Judge::of(policy),
        lookups: Lookups::of(policy),
        own_classes,
    }
}

fn names_nothing(matches: &Match) -> bool {
    let plain = |side: &End| match side {
        End::Group(_) => false,
        End::Endpoints { endpoints, .. } => endpoints
            .iter()
            .all(|endpoint| matches!(endpoint.addresses, Addresses::Ranges(_))),
    };
    matches.on.is_none()
        && matches.leaves.is_none()
        && matches.conditions.is_empty()
        && [&matches.from, &matches.to]
            .into_iter()
            .flatten()
            .all(plain)
}

struct Rewriting<'a> {
    ids: &'a Ids,
    sockets: &'a Sockets,
}

impl Rewriting<'_> {
    fn action(&self, action: Action) -> Action {
        match action {
            Action::Redirect(socket) | Action::Intercept(socket) => {
                action.to(self.ids.sockets[socket])
            }
            Action::Forward(port) => Action::Forward(self.ids.out_interfaces[port]),
            Action::Shortcut(near) => Action::Shortcut(Shortcut {
                from: self.ids.groups[near.from],
                to: self.ids.groups[near.to],
            }),
            Action::Feed(feed) => Action::Feed(self.ids.feed(feed)),
            Action::Allow | Action::Drop | Action::Reject | Action::Count => action,
        }
    }

    fn matches(&self, matches: &Match) -> Match {
        Match {
            protocols: matches.protocols.clone(),
            from: matches.from.as_ref().map(|side| self.end(side)),
            to: matches.to.as_ref().map(|side| self.end(side)),
            conditions: self.conditions(&matches.conditions),
            on: matches.on.as_deref().map(|classes| self.classes(classes)),
            leaves: matches
                .leaves
                .as_deref()
                .map(|classes| self.classes(classes)),
        }
    }

    fn classes(&self, own: &[ClassId]) -> Vec<ClassId> {
        let shared = own.iter().flat_map(|&class| &self.ids.classes[class]);
        let mut shared: Vec<ClassId> = shared.copied().collect();
        shared.sort_unstable();
        shared
    }

    fn end(&self, side: &End) -> End {
        match side {
            End::Group(group) => End::Group(self.ids.groups[*group]),
            End::Endpoints { negated, endpoints } => End::Endpoints {
                negated: *negated,
                endpoints: endpoints.iter().map(|one| self.endpoint(one)).collect(),
            },
        }
    }

    fn endpoint(&self, endpoint: &Endpoint) -> Endpoint {
        let addresses = match &endpoint.addresses {
            Addresses::Ranges(ranges) => Addresses::Ranges(ranges.clone()),
            Addresses::Set(set) => Addresses::Set(self.ids.sets[*set]),
        };
        Endpoint {
            addresses,
            ports: endpoint.ports.clone(),
        }
    }

    fn conditions(&self, conditions: &[Condition]) -> Vec<Condition> {
        conditions.iter().map(|one| self.condition(one)).collect()
    }

    fn condition(&self, condition: &Condition) -> Condition {
        match condition {
            Condition::No(inner) => Condition::No(Box::new(self.condition(inner))),
            Condition::AnyOf(list) => Condition::AnyOf(self.conditions(list)),
            Condition::Socket { test, netns } => Condition::Socket {
                test: *test,
                netns: netns.map(|netns| self.ids.namespaces[netns]),
            },
            Condition::Entry { map, socket } => Condition::Entry {
                map: self.ids.live_maps[*map],
                socket: self.sockets.named[self.ids.sockets[*socket]],
            },
            Condition::SockAbsent(socket) => {
                Condition::SockAbsent(self.sockets.presence[self.ids.sockets[*socket]])
            }
            Condition::Header { .. } | Condition::FirstMatch(_) => condition.clone(),
        }
    }
}
