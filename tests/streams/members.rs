//! How many connections of a group stand in the kernel's tables, as `status` says.

use std::time::Duration;

use crate::place::*;

const PLACES: u32 = 65_536;
const RULES: &str = "default send allow\nGROUP\ndrop send tcp from group pods to 192.0.2.0/24\n";

#[test]
fn connections_are_counted_that_rules_are_about_by_direction() {
    inside(|place| {
        place.apply(RULES);
        let held = |connections| ("send", connections, PLACES);
        assert_eq!(place.taken_in(), [held(0)]);
        let mut pairs = Vec::from([(); 3].map(|()| place.pair(CLIENT4, "192.0.2.5", CLIENT)));
        // No rule is about this one.
        let other = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        assert_eq!(place.taken_in(), [held(3)]);
        // A reset: a close that is polite leaves the socket where it is for a while.
        let closed = pairs.pop().unwrap().client;
        socket2::SockRef::from(&closed)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(closed);
        assert_eq!(place.taken_in(), [held(2)]);
        drop(other);
    });
}

/// A policy without rules about one direction shows no table of it.
#[test]
fn connections_that_are_read_stand_in_a_table_of_their_own() {
    inside(|place| {
        if !sockc_runtime::probe().sk_skb_verdict {
            return skip("sk_skb programs without a parser");
        }
        let rules = "drop receive tcp from 192.0.2.0/24 to group pods\n";
        place.apply(&format!("default receive allow\nGROUP\n{rules}"));
        let pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert_eq!(place.taken_in(), [("receive", 1, PLACES)]);
        let both = RULES.replace("drop send", &format!("{rules}drop send"));
        place.apply(&format!("default receive allow\n{both}"));
        let other = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        // Those that exist are taken in for `send`, too.
        assert_eq!(
            place.taken_in(),
            [("send", 2, PLACES), ("receive", 2, PLACES)]
        );
        drop((pair, other));
    });
}
