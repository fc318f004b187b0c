//! A live set that is about to be changed, and the SSH connection that the change comes over.
//!
//! Takes which set and what becomes of its elements; says which addresses of a connection are in it after that. What the policy in force
//! says of the connection then is judged as of any policy. Not here: the change.

use std::net::IpAddr;

use sockc_compiler::policy::{AddressSet, Policy};
use sockc_runtime::{Ends, Error, Options, Prefix};

use super::known::{Known, Members};

/// What becomes of the elements of a live set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// These come to what is there.
    Add(&'a [Prefix]),
    /// These go.
    Del(&'a [Prefix]),
    /// These are all that is there.
    Load(&'a [Prefix]),
}

/// A live set of the policy in force, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed<'a> {
    /// The name of the set.
    pub(crate) set: &'a str,
    /// What becomes of its elements.
    pub(crate) change: Change<'a>,
}

impl Changed<'_> {
    /// Whether an end of a connection comes into the set, or leaves it.
    pub(super) fn concerns(&self, options: &Options, ends: &Ends) -> Result<bool, Error> {
        for address in [ends.remote.ip(), ends.local.ip()] {
            let was = sockc_runtime::set_test(options, self.set, address)?.is_some();
            if was != self.holds(options, address, was)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the set holds an address after it.
    fn holds(&self, options: &Options, address: IpAddr, was: bool) -> Result<bool, Error> {
        match self.change {
            Change::Add(elements) => Ok(was || covers(elements, address)),
            Change::Load(elements) => Ok(covers(elements, address)),
            Change::Del(_) if !was => Ok(false),
            Change::Del(elements) => {
                // A wider element may stay.
                let there = sockc_runtime::set_list(options, self.set)?;
                let stays = there.elements.iter().map(|one| one.prefix);
                let stays: Vec<Prefix> = stays.filter(|one| !elements.contains(one)).collect();
                Ok(covers(&stays, address))
            }
        }
    }

    /// What is known after it, of the addresses that were asked for. What comes is taken to stay.
    pub(super) fn after(
        &self,
        (policy, options): (&Policy, &Options),
        known: &Known,
        addresses: &[IpAddr],
    ) -> Result<Known, Error> {
        let mut held = Vec::new();
        for address in addresses {
            let was = sockc_runtime::set_test(options, self.set, *address)?.is_some();
            if self.holds(options, *address, was)? {
                held.push(*address);
            }
        }
        let mut after = known.clone();
        for (id, members) in &mut after.sets {
            if policy.sets[*id].name == self.set {
                *members = Members::Read {
                    now: AddressSet::of(held.iter().copied()),
                    stay: AddressSet::of(held.iter().copied()),
                };
            }
        }
        Ok(after)
    }
}

fn covers(elements: &[Prefix], address: IpAddr) -> bool {
    let host = Prefix::host(address);
    elements.iter().any(|element| element.covers(host))
}
