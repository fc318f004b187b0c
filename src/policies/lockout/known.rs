//! What the kernel says of live sets, live maps and named sockets that a policy asks.
//!
//! A set or map of the same name in the policy in force goes on with what is in it, so that is what a policy to come finds. Not
//! here: what a policy says of it.

use std::net::IpAddr;

use sockc_compiler::artifact::LiveEntryPlan;
use sockc_compiler::policy::{
    AddressSet, LiveEntry, LiveMapId, NetnsId, Policy, SetId, SetKind, SocketId, SocketOrigin,
};
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::{Error, Fill, Options, Prefix};

/// A question that the kernel was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The live sets that are there already.
    pub(super) sets: Vec<(SetId, Members)>,
    /// The live maps that are there already; nothing of one that cannot be read.
    pub(super) maps: Vec<(LiveMapId, Option<Vec<LiveEntry>>)>,
    /// The named sockets that are handed over, held by systemd, or of an owner or a process alone: whether they are there now.
    pub(super) handed: Vec<(SocketId, Option<bool>)>,
    /// The namespaces that conditions look into.
    pub(super) elsewhere: Vec<NetnsId>,
}

/// Which of the addresses that packets have a live set holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Members {
    /// They are known.
    Read {
        /// Those that are in it.
        now: AddressSet,
        /// Those of them that do not leave by themselves.
        stay: AddressSet,
    },
    /// It cannot be read.
    Unread,
}

/// Asks.
pub(super) fn known(
    policy: &Policy,
    options: &Options,
    addresses: &[IpAddr],
    is_ipv4: bool,
) -> Known {
    Known {
        sets: sets(policy, options, addresses),
        maps: maps(policy, options),
        handed: handed(policy, options, is_ipv4),
        elsewhere: policy.namespaces.keys().collect(),
    }
}

impl Known {
    /// The same of a policy that was in force before and waits beside the one that is: what only it has does not begin anew when it comes
    /// back, and nobody can read it until then.
    pub(super) fn of_waiting(mut self, policy: &Policy, options: &Options) -> Self {
        let sets = sockc_runtime::set_names(options).unwrap_or_default();
        let live = policy.sets.iter();
        let live = live.filter(|(_, set)| matches!(set.kind, SetKind::Live { .. }));
        for (id, set) in live {
            if !sets.iter().any(|there| there.name == set.name) {
                self.sets.retain(|(one, _)| *one != id);
                self.sets.push((id, Members::Unread));
            }
        }
        for (id, _) in policy.live_maps.iter() {
            if !self.maps.iter().any(|(one, _)| *one == id) {
                self.maps.push((id, None));
            }
        }
        self
    }
}

/// An answer about what is in force; nothing where that has no such thing, or nothing is in force.
fn there<T>(answer: Result<T, Error>) -> Option<Result<T, Error>> {
    match answer {
        Err(Error::NothingInForce | Error::Unknown { .. }) => None,
        answer => Some(answer),
    }
}

fn sets(policy: &Policy, options: &Options, addresses: &[IpAddr]) -> Vec<(SetId, Members)> {
    let live = policy.sets.iter();
    let live = live.filter(|(_, set)| matches!(set.kind, SetKind::Live { .. }));
    let known = live.filter_map(|(id, set)| {
        if set.is_own() {
            return Some((id, own(options, addresses)));
        }
        let asked = addresses.iter().map(|&address| {
            let found = sockc_runtime::set_test(options, &set.name, address)?;
            Ok(found.map(|element| (address, element.left.is_none())))
        });
        // One of the policy around a block is kept elsewhere.
        if policy.around.contains(&set.name) {
            return Some((id, Members::Unread));
        }
        let members = match there(asked.collect::<Result<Vec<_>, Error>>()) {
            Some(Ok(found)) => read(&found.into_iter().flatten().collect::<Vec<_>>()),
            Some(Err(_)) => Members::Unread,
            None => begins(&set.kind)?,
        };
        Some((id, members))
    });
    known.collect()
}

/// Which of the addresses are this machine's: an apply puts these into `self`, whatever is in it now.
fn own(options: &Options, addresses: &[IpAddr]) -> Members {
    let Ok(own) = sockc_runtime::own_addresses(options) else {
        return Members::Unread;
    };
    let is_own = |address: &IpAddr| {
        let host = Prefix::host(*address);
        own.iter().any(|prefix| prefix.covers(host))
    };
    let here: Vec<(IpAddr, bool)> = addresses
        .iter()
        .filter(|address| is_own(address))
        .map(|address| (*address, true))
        .collect();
    read(&here)
}

/// What a set begins with that leaves it again.
pub(super) fn begins(kind: &SetKind) -> Option<Members> {
    let SetKind::Live {
        expires: Some(_),
        start,
        ..
    } = kind
    else {
        return None;
    };
    Some(Members::Read {
        now: AddressSet::of_prefixes(start.iter().copied()),
        stay: AddressSet::default(),
    })
}

/// The addresses that are in a set, each with whether it stays.
fn read(found: &[(IpAddr, bool)]) -> Members {
    let all = found.iter().map(|(address, _)| *address);
    let stay = found.iter().filter(|(_, stays)| *stays);
    Members::Read {
        now: AddressSet::of(all),
        stay: AddressSet::of(stay.map(|(address, _)| *address)),
    }
}

fn maps(policy: &Policy, options: &Options) -> Vec<(LiveMapId, Option<Vec<LiveEntry>>)> {
    let known = policy.live_maps.iter().filter_map(|(id, map)| {
        let entries = match there(sockc_runtime::map_list(options, &map.name))? {
            Ok(found) => found.entries.iter().map(|one| entry(policy, one)).collect(),
            Err(_) => None,
        };
        Some((id, entries))
    });
    known.collect()
}

/// An entry with the socket that the policy has by its name.
fn entry(policy: &Policy, plan: &LiveEntryPlan) -> Option<LiveEntry> {
    let mut sockets = policy.sockets.iter();
    let (socket, _) = sockets.find(|(_, socket)| socket.name == plan.socket)?;
    Some(LiveEntry {
        prefix: plan.prefix,
        ports: plan.ports,
        protocol: plan.protocol,
        socket,
    })
}

fn handed(policy: &Policy, options: &Options, is_ipv4: bool) -> Vec<(SocketId, Option<bool>)> {
    let asked: Vec<(SocketId, &str)> = policy
        .sockets
        .iter()
        .filter(|(_, socket)| {
            socket.owner.is_some() || !matches!(socket.origin, SocketOrigin::Listen(_))
        })
        .map(|(id, socket)| (id, socket.name.as_str()))
        .collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let slots = there(sockc_runtime::socket_list(options)).and_then(Result::ok);
    let slots = slots.unwrap_or_default();
    let is_there = |name: &str| {
        let mut states = slots.iter().flat_map(|(_, states)| states);
        let filled = states.any(|one| {
            let of_kind =
                one.slot.protocol == IpProtocol::TCP && one.slot.address.is_ipv4() == is_ipv4;
            one.socket == name && of_kind && one.state == Fill::Filled
        });
        // What is not there now may be taken when the policy is put in force.
        filled.then_some(true)
    };
    asked
        .into_iter()
        .map(|(id, name)| (id, is_there(name)))
        .collect()
}
