//! What the packets of a lab take of the policy's rates, so that none is sent that exceeds one.
//!
//! Takes the cases in the order in which they are played; says when the buckets have too little left for the next one. That a
//! bucket fills as time passes is left out: how long a lab takes is nobody's to say. Not here: how buckets become full.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use sockc_compiler::decide::{before, decide, next};
use sockc_compiler::event::{Header, SocketAnswer, World};
use sockc_compiler::passage;
use sockc_compiler::policy::{
    Direction, Family, LiveMapId, NetnsId, Policy, RateUnit, RuleId, SetId, SocketId,
};
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::simulate::filling::bucket;

use super::choose::Case;
use super::lab_world::LabWorld;

/// A bucket: the map and the key.
type Bucket = (&'static str, Vec<u8>);

/// What one packet takes of a bucket.
#[derive(Debug)]
pub(super) struct Due {
    bucket: Bucket,
    tokens: u64,
    /// What the bucket holds when it is full.
    burst: u64,
}

/// What was taken since the buckets were full.
#[derive(Debug, Default)]
pub(super) struct Taken(BTreeMap<Bucket, u64>);

impl Taken {
    /// Whether a bucket has less left than is due.
    pub(super) fn is_short_of(&self, due: &[Due]) -> bool {
        due.iter().any(|due| {
            let taken = self.0.get(&due.bucket).copied().unwrap_or(0);
            taken + due.tokens > due.burst
        })
    }

    /// Takes what is due.
    pub(super) fn take(&mut self, due: Vec<Due>) {
        for due in due {
            *self.0.entry(due.bucket).or_default() += due.tokens;
        }
    }
}

/// What a case takes, as the reference meaning asks for it.
pub(super) fn due(policy: &Policy, case: &Case) -> Vec<Due> {
    let asked = Asked {
        world: LabWorld::of(policy, case),
        rates: RefCell::default(),
    };
    let event = passage::asked(policy, &case.event, &asked.world);
    let decision = decide(policy, &event, &asked);
    // What passes through takes those of the lists around it as well.
    let around = [before(&case.event), next(&event, &decision)];
    for event in around.iter().flatten() {
        let _ = decide(policy, event, &asked);
    }
    let rates = asked.rates.into_inner().into_iter();
    let due = rates.filter_map(|(rule, header)| {
        let rate = policy.rules[rule].rate?;
        Some(Due {
            bucket: bucket(policy, rule, &header)?,
            tokens: match rate.unit {
                RateUnit::Bytes => header.length.into(),
                RateUnit::Packets | RateUnit::Connections => 1,
            },
            burst: rate.burst,
        })
    });
    due.collect()
}

/// The lab's world, which remembers the rates that it was asked for.
struct Asked<'a> {
    world: LabWorld<'a>,
    rates: RefCell<Vec<(RuleId, Header)>>,
}

impl World for Asked<'_> {
    fn socket(
        &self,
        direction: Direction,
        netns: Option<NetnsId>,
        header: &Header,
    ) -> SocketAnswer {
        self.world.socket(direction, netns, header)
    }

    fn present(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool {
        self.world.present(socket, family, protocol)
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        self.world.member(set, address)
    }

    fn entry(&self, map: LiveMapId, header: &Header) -> Option<SocketId> {
        self.world.entry(map, header)
    }

    fn conforms(&self, rule: RuleId, header: &Header) -> bool {
        let fits = self.world.conforms(rule, header);
        if fits {
            self.rates.borrow_mut().push((rule, header.clone()));
        }
        fits
    }
}
