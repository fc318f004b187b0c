//! How many answers there are: as many as the kernel's own.
//!
//! An answer takes a token of its receiver's bucket, then one of all answers'. The receiver's comes first, so that nobody
//! learns from a full bucket of all what the machine answers to others (Linux 6.12 turned its own limits round for that).
//! What is beyond a limit is dropped in silence, and counted. Receivers stand in a map of their own: a flood of made-up
//! senders pushes other receivers out of it, and nothing out of the buckets of rules.
//!
//! Comes once the packet's beginning is at `quote` and its Ethernet header at `ether`; the answer's head, where the key
//! stands meanwhile, is written later. Not here: what is never answered at all.

use crate::bpf::opcode::Width;
use crate::ir::{Block, Builder, Slot};
use crate::policy::Family;

use super::Reply;
use crate::lower::Lowering;
use crate::lower::meter::{Bucket, Pace, Ways};

/// Addresses that are remembered; the kernel remembers 65,664 (`inet_peer_threshold`).
pub(crate) const MAX_RECEIVERS: u32 = 65_536;

/// How often an answer tries to take its token while others take theirs.
const TRIES: usize = 4;

/// How many answers there are of a kind.
pub(super) struct Limit {
    /// Its number in the map `answers`, and among the buckets of all answers.
    number: u8,
    /// Answers a second, and at once, to one address.
    each: (u64, u64),
    /// The same to all.
    all: (u64, u64),
}

/// ICMP and ICMPv6: `icmp_ratelimit` of 1,000 ms with the burst of `XRLIM_BURST_FACTOR`; `icmp_msgs_per_sec` and
/// `icmp_msgs_burst`.
pub(super) const UNREACHABLE: Limit = Limit {
    number: 0,
    each: (1, 6),
    all: (1_000, 50),
};

/// The kernel does not limit the resets of closed ports. Ours go to whoever a sender says to be, too, and are limited: a
/// client that tries in earnest stays far below.
pub(super) const RESET: Limit = Limit {
    number: 1,
    each: (100, 100),
    all: (1_000, 1_000),
};

/// How many kinds of answers there are.
pub const KINDS: u32 = 2;

/// Where a receiver's key is put together: in the head of the answer, which comes later.
pub(super) fn bucket(builder: &mut Builder, head: Slot) -> Bucket {
    Bucket::new(builder, head)
}

impl Lowering<'_> {
    /// Goes on in the current block with what is within the limits; with the rest to where it is counted and dropped.
    pub(super) fn within(&mut self, limit: &Limit, reply: Reply, family: Family, drop: Block) {
        let withheld = self.withheld(drop);
        let (Some(map), Some(first)) = (self.source.maps.answers, self.source.maps.meters.answers)
        else {
            return self.builder.bug("answers without their buckets");
        };
        let paces = [limit.each, limit.all].map(|(count, burst)| Pace::of(count, 1, burst));
        let [Some(each), Some(all)] = paces else {
            return self.builder.bug("a limit of answers is beyond the clock");
        };
        let [conforming, go_on] = [(); 2].map(|()| self.head_block());
        let ways = |conforming| Ways {
            conforming,
            excess: withheld,
        };
        self.receiver(limit, reply, family);
        self.clock();
        self.builder.set(self.registers.network, each.whole);
        self.bucket_in(map, reply.receiver, ways(conforming));
        self.take(each, TRIES, ways(conforming));
        self.builder.enter(conforming);
        self.builder.set(self.registers.network, all.whole);
        self.global_bucket(first + u32::from(limit.number), ways(go_on));
        self.take(all, TRIES, ways(go_on));
        self.builder.enter(go_on);
    }

    /// The key of the address that the answer goes to.
    fn receiver(&mut self, limit: &Limit, reply: Reply, family: Family) {
        let (key, shape) = (reply.receiver.key, super::shape(family));
        let name = match family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        self.builder
            .set_slot(key, 0, i32::from(limit.number), Width::W);
        self.builder.set_slot(key, 4, name, Width::W);
        for byte in (0..16).step_by(4) {
            if byte < shape.address {
                let word = self
                    .builder
                    .load_slot(reply.quote, shape.from + byte, Width::W);
                self.builder.store_slot(key, 8 + byte, word, Width::W);
            } else {
                self.builder.set_slot(key, 8 + byte, 0, Width::W);
            }
        }
    }

    /// Counts an answer that is not given.
    fn withheld(&mut self, drop: Block) -> Block {
        let before = self.builder.current();
        let account = self.account(drop);
        let block = self.head_block();
        self.builder.enter(block);
        if account != drop {
            let slot = self.source.counters.withheld;
            let slot = self
                .builder
                .known(slot, || "answers without a counter".to_owned());
            let slot: i32 = self.builder.fit(slot, "the slot of a counter");
            self.builder.set_slot(self.frame.counter, 0, slot, Width::W);
        }
        self.builder.jump(account);
        self.builder.enter(before);
        block
    }
}
