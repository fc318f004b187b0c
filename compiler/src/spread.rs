//! Which of the members of a named socket a new flow gets.
//!
//! Every flow has an order of its own over the places of a name's members, and gets the first one in it that holds a socket. So
//! it stays where it is while that socket is there, whoever else comes or leaves; the flows of one that leaves go each to the
//! next of its own order, which is another one for each. The order is a permutation that the hash of the flow chooses: for every turn it gives
//! another place. Takes a header and a policy's words; `decide` and the tests ask here, and programs calculate the
//! same ([`crate::lower`], [`crate::emit`]) with the numbers of this page.
//!
//! Not here: which places hold a socket.

use std::net::IpAddr;

use crate::event::{Header, Transport};
use crate::policy::Spread;

/// The maximum number of members of a name, for each protocol and family: a program looks into as many places for one packet.
pub const MAX_MEMBERS: u32 = 64;

/// What a hash begins with.
pub(crate) const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// What it is multiplied by after each word: odd, with bits all over.
pub(crate) const MULTIPLIER: u64 = 0xd6e8_feb8_6659_fd93;
/// How far its upper bits come down then.
pub(crate) const FOLD: i32 = 32;

/// How often the bits of a turn are mixed. With fewer, the flows of a member that leaves go to some of the others oftener than to
/// others.
pub(crate) const ROUNDS: usize = 4;
/// How many bits of the hash a round takes, and from which of them on it multiplies.
pub(crate) const ROUND_BITS: i32 = 12;
pub(crate) const FACTOR_BITS: i32 = 6;

/// How many places there are for so many members: a power of two. Those beyond the members stay empty.
#[must_use]
pub(crate) fn places(members: u32) -> u32 {
    members.next_power_of_two()
}

/// How far the upper bits of a place come down in a round.
#[must_use]
pub(crate) fn shift(places: u32) -> u32 {
    (places.ilog2() / 2).max(1)
}

/// The members of a name in the order of a packet's flow. A packet without ports has no flow.
pub fn order(
    header: &Header,
    spread: Spread,
    members: u32,
) -> Option<impl Iterator<Item = u32> + use<>> {
    let hash = hash(header, spread)?;
    let turns = (0..places(members)).map(move |turn| place(hash, turn, places(members)));
    Some(turns.filter(move |place| *place < members))
}

/// The hash of what keeps together.
fn hash(header: &Header, spread: Spread) -> Option<u64> {
    let (from, to) = match header.transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => (from, to),
        Transport::Icmp { .. } | Transport::None => return None,
    };
    let mut words = Vec::new();
    if spread == Spread::ByFlow {
        words.push(u32::from(from) << 16 | u32::from(to));
        words.push(u32::from(header.protocol.0));
        words.extend(words_of(header.to));
    }
    words.extend(words_of(header.from));
    Some(words.into_iter().fold(SEED, |hash, word| {
        let hash = (hash ^ u64::from(word)).wrapping_mul(MULTIPLIER);
        hash ^ hash >> FOLD
    }))
}

/// An address by words as they stand in the memory of a packet, read by a machine whose lower bytes come first.
fn words_of(address: IpAddr) -> Vec<u32> {
    let words = |bytes: &[u8]| {
        let words = bytes.as_chunks::<4>().0.iter();
        words.map(|word| u32::from_le_bytes(*word)).collect()
    };
    match address {
        IpAddr::V4(address) => words(&address.octets()),
        IpAddr::V6(address) => words(&address.octets()),
    }
}

/// The place of a turn: each round adds, multiplies by something odd, and brings upper bits down, all of which can be undone, so
/// that no two turns have the same.
fn place(mut hash: u64, turn: u32, places: u32) -> u32 {
    let mask = u64::from(places - 1);
    let mut place = u64::from(turn);
    for _ in 0..ROUNDS {
        place = place.wrapping_add(hash) & mask;
        place = place.wrapping_mul(hash >> FACTOR_BITS | 1) & mask;
        place ^= place >> shift(places);
        hash >>= ROUND_BITS;
    }
    // There are at most 64 places.
    let [place, ..] = (place.wrapping_add(hash) & mask).to_le_bytes();
    u32::from(place)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::protocol::IpProtocol;

    /// So many flows are looked at.
    const FLOWS: u32 = 40_000;

    fn flow(number: u32) -> Header {
        let [_, _, high, low] = number.to_be_bytes();
        Header {
            from: IpAddr::from([198, 51, high, 7]),
            to: IpAddr::from([192, 0, 2, 1]),
            protocol: IpProtocol::TCP,
            transport: Transport::Tcp {
                from: 1024 + u16::from(low),
                to: 443,
                flags: 2,
            },
            ..Header::PLAIN
        }
    }

    fn chosen(number: u32, members: u32, filled: impl Fn(u32) -> bool) -> u32 {
        let mut order = order(&flow(number), Spread::ByFlow, members).unwrap();
        order.find(|place| filled(*place)).unwrap()
    }

    #[test]
    fn an_order_has_every_member_once() {
        for members in 2..=MAX_MEMBERS {
            for number in 0..200 {
                let order: Vec<u32> = order(&flow(number), Spread::ByFlow, members)
                    .unwrap()
                    .collect();
                let all: BTreeSet<u32> = order.iter().copied().collect();
                assert_eq!(order.len() as u32, members);
                assert_eq!(all, (0..members).collect());
            }
        }
    }

    /// How far the share of a member lies from an even one, at most, in percent of that.
    fn unevenness(shares: &[u32]) -> u32 {
        let total: u32 = shares.iter().sum();
        let even = total / shares.len() as u32;
        let off = shares.iter().map(|share| share.abs_diff(even));
        off.max().unwrap() * 100 / even
    }

    #[test]
    fn members_get_even_shares_however_many_are_there() {
        for members in [2, 3, 4, 5, 8, 13, 16] {
            for there in 1..=members {
                let mut shares = vec![0; there as usize];
                for number in 0..FLOWS {
                    shares[chosen(number, members, |place| place < there) as usize] += 1;
                }
                let off = unevenness(&shares);
                assert!(off < 10, "{there} of {members}: {shares:?}");
            }
        }
    }

    #[test]
    fn only_the_share_of_one_that_leaves_moves_and_it_goes_to_all_the_others() {
        for (members, gone) in [(4, 0), (5, 4), (8, 3)] {
            let mut shares = vec![0; members as usize];
            for number in 0..FLOWS {
                let before = chosen(number, members, |_| true);
                let after = chosen(number, members, |place| place != gone);
                match before == gone {
                    true => shares[after as usize] += 1,
                    false => assert_eq!(before, after),
                }
            }
            shares.remove(gone as usize);
            assert!(unevenness(&shares) < 25, "{members} {gone}: {shares:?}");
        }
    }

    #[test]
    fn what_keeps_together() {
        let all = |spread| {
            let firsts = (0..200).map(|number| {
                let header = Header {
                    from: IpAddr::from([198, 51, 100, 7]),
                    ..flow(number)
                };
                order(&header, spread, 8).unwrap().next().unwrap()
            });
            firsts.collect::<BTreeSet<u32>>().len()
        };
        assert_eq!((all(Spread::BySource), all(Spread::ByFlow)), (1, 8));
        let without = Header {
            transport: Transport::None,
            ..flow(1)
        };
        assert!(order(&without, Spread::BySource, 8).is_none());
    }
}
