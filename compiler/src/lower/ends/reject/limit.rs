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

use super::Rejection;
use crate::lower::bucket::{Bucket, Due, Meter, Pace, Paced, clock};

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

impl Rejection<'_> {
    /// Goes on in the current block with what is within the limits; with the rest to where it is counted and dropped.
    pub(super) fn within(&self, builder: &mut Builder, limit: &Limit, withheld: Block) {
        let maps = self.given.source.maps;
        let (Some(map), Some(first)) = (maps.answers, maps.meters.answers) else {
            return builder.bug("answers without their buckets");
        };
        let paces = [limit.each, limit.all].map(|(count, burst)| Pace::of(count, 1, burst));
        let [Some(each), Some(all)] = paces else {
            return builder.bug("a limit of answers is beyond the clock");
        };
        let [conforming, go_on] = [(); 2].map(|()| builder.head_block());
        let each = Meter {
            given: self.given,
            pace: Paced::Here(each),
            tries: TRIES,
            conforming,
            excess: withheld,
        };
        let all = Meter {
            pace: Paced::Here(all),
            conforming: go_on,
            ..each
        };
        self.receiver(builder, limit);
        let due = Due {
            now: clock(builder),
            cost: each.pace.whole(builder),
        };
        let bucket = each.bucket_in(builder, map, self.reply.receiver, due);
        each.take(builder, bucket, due);
        builder.enter(conforming);
        let number = first + u32::from(limit.number);
        let Some(bucket) = all.global_bucket(builder, number) else {
            return;
        };
        let cost = all.pace.whole(builder);
        all.take(builder, bucket, Due { cost, ..due });
        builder.enter(go_on);
    }

    /// The key of the address that the answer goes to.
    fn receiver(&self, builder: &mut Builder, limit: &Limit) {
        let key = self.reply.receiver.key;
        let name = match self.family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        builder.set_slot(key, 0, i32::from(limit.number), Width::W);
        builder.set_slot(key, 4, name, Width::W);
        for byte in (0..16).step_by(4) {
            if byte < self.ip.address {
                let word = builder.load_slot(self.reply.quote, self.ip.from + byte, Width::W);
                builder.store_slot(key, 8 + byte, word, Width::W);
            } else {
                builder.set_slot(key, 8 + byte, 0, Width::W);
            }
        }
    }
}
