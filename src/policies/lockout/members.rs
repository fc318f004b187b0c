//! A live set that is about to be changed, and the SSH connection that the change comes over.
//!
//! Takes which set and what becomes of its elements; says which addresses of a connection are in it after that. What the policy in force
//! says of the connection then is judged as of any policy. Not here: the change.

use std::net::IpAddr;

use sockc_compiler::policy::{AddressSet, Policy, SetKind};
use sockc_runtime::{Element, Ends, Error, Expiry, Options, Prefix};

use super::known::{Known, Members};

/// What becomes of the elements of a live set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// These come to what is there, and those of them that are there have a new time.
    Add(&'a [Prefix], Expiry),
    /// These go.
    Del(&'a [Prefix]),
    /// These are all that is there.
    Load(&'a [Prefix], Expiry),
}

/// A live set of the policy in force, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed<'a> {
    /// The name of the set.
    pub(crate) set: &'a str,
    /// What becomes of its elements.
    pub(crate) change: Change<'a>,
}

/// How an address stands to a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    is_in: bool,
    /// It does not leave by itself.
    stays: bool,
}

impl Changed<'_> {
    /// Whether an end of a connection comes into the set, or leaves it, now or by itself. Without a policy, which says whether elements of
    /// the set leave by themselves where the command does not, they are taken to.
    pub(super) fn concerns(
        &self,
        options: &Options,
        ends: &Ends,
        policy: Option<&Policy>,
    ) -> Result<bool, Error> {
        let leave = policy.is_none_or(|policy| self.leave_as_declared(policy));
        for address in [ends.remote.ip(), ends.local.ip()] {
            let was = self.held(options, address)?;
            if was != self.becomes(options, (address, was), leave)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether elements of the set leave by themselves where nobody says when.
    fn leave_as_declared(&self, policy: &Policy) -> bool {
        let mut sets = policy.sets.values();
        let set = sets.find(|set| set.name == self.set);
        set.is_some_and(|set| {
            matches!(
                set.kind,
                SetKind::Live {
                    expires: Some(_),
                    ..
                }
            )
        })
    }

    fn held(&self, options: &Options, address: IpAddr) -> Result<Held, Error> {
        let found = sockc_runtime::set_test(options, self.set, address)?;
        Ok(Held {
            is_in: found.is_some(),
            stays: found.is_some_and(|element| element.left.is_none()),
        })
    }

    /// How an address stands to the set after it; `leave` is whether elements leave by themselves where the command does not say.
    fn becomes(
        &self,
        options: &Options,
        (address, was): (IpAddr, Held),
        leave: bool,
    ) -> Result<Held, Error> {
        let ends = |expiry| match expiry {
            Expiry::Never => false,
            Expiry::After(_) => true,
            Expiry::Declared => leave,
        };
        match self.change {
            Change::Add(elements, expiry) => {
                let comes = covers(elements, address);
                let stays = match (comes, was.stays) {
                    (true, _) if !ends(expiry) => true,
                    (true, true) => self.without(options, elements, address)?.stays,
                    (_, stays) => stays,
                };
                Ok(Held {
                    is_in: was.is_in || comes,
                    stays,
                })
            }
            Change::Load(elements, expiry) => {
                let is_in = covers(elements, address);
                Ok(Held {
                    is_in,
                    stays: is_in && !ends(expiry),
                })
            }
            Change::Del(_) if !was.is_in => Ok(was),
            Change::Del(elements) => self.without(options, elements, address),
        }
    }

    /// How an address stands to the set by its other elements: a wider one may stay.
    fn without(
        &self,
        options: &Options,
        elements: &[Prefix],
        address: IpAddr,
    ) -> Result<Held, Error> {
        let there = sockc_runtime::set_list(options, self.set)?;
        let host = Prefix::host(address);
        let others = there.elements.into_iter();
        let others =
            others.filter(|one| !elements.contains(&one.prefix) && one.prefix.covers(host));
        let others: Vec<Element> = others.collect();
        Ok(Held {
            is_in: !others.is_empty(),
            stays: others.iter().any(|one| one.left.is_none()),
        })
    }

    /// What is known after it, of the addresses that were asked for.
    pub(super) fn after(
        &self,
        (policy, options): (&Policy, &Options),
        known: &Known,
        addresses: &[IpAddr],
    ) -> Result<Known, Error> {
        let leave = self.leave_as_declared(policy);
        let (mut now, mut stay) = (Vec::new(), Vec::new());
        for &address in addresses {
            let was = self.held(options, address)?;
            let held = self.becomes(options, (address, was), leave)?;
            now.extend(held.is_in.then_some(address));
            stay.extend(held.stays.then_some(address));
        }
        let members = Members::Read {
            now: AddressSet::of(now),
            stay: AddressSet::of(stay),
        };
        Ok(self.with(policy, known, |_| members.clone()))
    }

    /// What is known once all has left the set that leaves it by itself.
    pub(super) fn once_ended(&self, policy: &Policy, known: &Known) -> Known {
        self.with(policy, known, |members| match members {
            Members::Read { stay, .. } => Members::Read {
                now: stay.clone(),
                stay: stay.clone(),
            },
            Members::Unread => Members::Unread,
        })
    }

    fn with(&self, policy: &Policy, known: &Known, members: impl Fn(&Members) -> Members) -> Known {
        let mut after = known.clone();
        for (id, there) in &mut after.sets {
            if policy.sets[*id].name == self.set {
                *there = members(there);
            }
        }
        after
    }
}

fn covers(elements: &[Prefix], address: IpAddr) -> bool {
    let host = Prefix::host(address);
    elements.iter().any(|element| element.covers(host))
}
