//! What killed and refused changes leave in the maps of a live set, and that the next one sets it right.

use super::*;
use crate::lab::permitted;
use crate::live::member_table;
use crate::live::set_change::Change;

/// Maps with room for so many keys in the trie, without a table; nothing where the test may not run.
fn made(room: u32) -> Option<SetMaps> {
    if !permitted() {
        return None;
    }
    let trie = map::create("t", Shape::trie(24, VALUE as u32, room)).unwrap();
    let state = map::create("s", Shape::array(STATE as u32, 1)).unwrap();
    let due = map::create("d", Shape::trie(DUE_KEY as u32, 1, 100)).unwrap();
    Some(SetMaps {
        table: None,
        trie,
        state,
        due,
    })
}

/// The same without and with a table.
fn both(room: u32) -> Vec<SetMaps> {
    let with_table = made(room).map(|maps| SetMaps {
        table: member_table::tests::made(room),
        state: map::create("s", Shape::array(STATE_OF_BOTH as u32, 1)).unwrap(),
        ..maps
    });
    made(room).into_iter().chain(with_table).collect()
}

fn host(last: u8) -> Prefix {
    Prefix::host([10, 0, 0, last].into())
}

fn hosts(range: std::ops::Range<u8>, until: u64) -> Members {
    Members::all_until(range.map(host), until)
}

/// Every time that is kept, with its element.
fn due(maps: &SetMaps) -> Vec<(u64, Prefix)> {
    let mut found = Vec::new();
    batch::walk(maps.due.as_fd(), |key, _| {
        let (_, until, element) = read_due_key(key).unwrap();
        found.push((until, element));
    })
    .unwrap();
    found.sort();
    found
}

#[test]
fn what_a_killed_change_left_goes_with_the_next() {
    for maps in both(100) {
        maps.begin(&hosts(1..4, 1_000)).unwrap();
        let before = maps.condition().unwrap();
        // A load that was killed, and a change whose time had come to the map of times only.
        maps.fill(1 - before.side, &hosts(5..9, 2_000)).unwrap();
        map::update(maps.due.as_fd(), &due_key(0, 7, host(1)), &[0]).unwrap();
        maps.set_condition(Condition {
            unfinished: true,
            ..before
        })
        .unwrap();
        assert_eq!(maps.members(10).unwrap(), hosts(1..4, 1_000));
        assert_eq!(maps.len(10).unwrap(), 3, "the times are not to be believed");
        let change = Change::begin(&maps, 10, 0).unwrap();
        assert_eq!(change.finish(), 3);
        assert_eq!(
            due(&maps),
            (1..4).map(|last| (1_000, host(last))).collect::<Vec<_>>()
        );
        assert_eq!(maps.read(1 - before.side).unwrap().len() % 4, 0);
        let in_trie = batch::read(maps.trie.as_fd()).unwrap().len();
        assert_eq!(in_trie, if maps.table.is_some() { 0 } else { 3 });
    }
}

#[test]
fn a_time_that_is_no_element_s_any_more_takes_nothing_out() {
    for maps in both(100) {
        maps.begin(&hosts(1..3, NEVER)).unwrap();
        map::update(maps.due.as_fd(), &due_key(0, 7, host(1)), &[0]).unwrap();
        let change = Change::begin(&maps, 10, 0).unwrap();
        assert_eq!(change.finish(), 2);
        assert_eq!(maps.members(10).unwrap(), hosts(1..3, NEVER));
        assert_eq!(due(&maps), []);
    }
}

#[test]
fn another_time_takes_the_place_of_the_one_before() {
    for maps in both(100) {
        maps.begin(&hosts(1..3, 20)).unwrap();
        for until in [30, NEVER, 40] {
            let mut change = Change::begin(&maps, 10, 0).unwrap();
            change.put(host(1), until).unwrap();
            change.finish();
            let own = (until, host(1));
            let kept: Vec<_> = [(20, host(2)), own]
                .into_iter()
                .filter(|(until, _)| *until != NEVER)
                .collect();
            assert_eq!(due(&maps), kept);
        }
        assert_eq!(maps.len(35).unwrap(), 1);
    }
}

/// The kernel's room ends in the middle of a change: nothing of it stays.
#[test]
fn a_change_that_is_refused_in_the_middle_is_undone() {
    let Some(maps) = made(5) else { return };
    maps.begin(&hosts(1..4, NEVER)).unwrap();
    let mut change = Change::begin(&maps, 10, 0).unwrap();
    let refused = (2..9).map(|last| change.put(host(last), 50));
    assert!(refused.collect::<Result<Vec<_>, _>>().is_err());
    assert_eq!(change.undo().unwrap(), 3);
    assert_eq!(maps.members(10).unwrap(), hosts(1..4, NEVER));
    maps.mend().unwrap();
    assert_eq!(due(&maps), []);
}

/// A load is marked before its first write and as long as the side that nobody asks is not empty again.
#[test]
fn a_load_that_is_refused_leaves_what_was_and_the_mark_tells() {
    let Some(maps) = made(5) else { return };
    maps.begin(&hosts(1..4, NEVER)).unwrap();
    assert!(maps.replace(&hosts(5..9, NEVER)).is_err());
    assert_eq!(maps.members(10).unwrap(), hosts(1..4, NEVER));
    let condition = maps.condition().unwrap();
    assert!(!condition.unfinished, "the other side is empty again");
    assert_eq!(batch::read(maps.trie.as_fd()).unwrap().len(), 3);
}

/// What came and went takes the room of the table until the side is written anew; nothing is lost then.
#[test]
fn a_set_that_is_changed_for_long_keeps_its_elements() {
    for maps in both(1000) {
        let host = |number: u32| Prefix::host(std::net::Ipv4Addr::from_bits(number).into());
        maps.begin(&hosts(1..3, NEVER)).unwrap();
        let mut sides = std::collections::BTreeSet::new();
        for number in 0..4000 {
            let mut change = Change::begin(&maps, 10, 1).unwrap();
            change.put(host(number), NEVER).unwrap();
            change.take(host(number.wrapping_sub(5))).unwrap();
            assert_eq!(change.finish(), 2 + 5.min(number as usize + 1));
            sides.insert(maps.condition().unwrap().side);
        }
        let last = (3995..4000).map(host).chain([1, 2].map(self::host));
        assert_eq!(maps.members(10).unwrap(), Members::all_until(last, NEVER));
        let written_anew = sides.len() == 2;
        assert_eq!(written_anew, maps.table.is_some());
        let in_trie = batch::read(maps.trie.as_fd()).unwrap().len();
        assert_eq!(in_trie == 0, maps.table.is_some());
    }
}

/// A length that the table does not take is in the trie, next to it, and either makes a member.
#[test]
fn elements_of_many_lengths_are_in_either_place() {
    for maps in both(100) {
        let prefix = |length: u8| Prefix::truncate([10, 77, 77, 77].into(), length).unwrap();
        maps.begin(&Members::default()).unwrap();
        let mut change = Change::begin(&maps, 10, 12).unwrap();
        for length in 20..32 {
            change.put(prefix(length), u64::from(length) * 10).unwrap();
        }
        change.put(prefix(24), 500).unwrap();
        change.take(prefix(31)).unwrap();
        assert_eq!(change.finish(), 11);
        let address = prefix(32).address();
        assert_eq!(maps.covering(address, 10).unwrap(), Some((prefix(24), 500)));
        assert_eq!(maps.covering(address, 500).unwrap(), None);
        let mut change = Change::begin(&maps, 215, 0).unwrap();
        assert_eq!(change.len(), 9, "two have expired");
        for length in [24, 30] {
            assert!(change.take(prefix(length)).unwrap());
            assert!(!change.take(prefix(length)).unwrap());
        }
        assert_eq!(change.finish(), 7);
        assert_eq!(maps.covering(address, 10).unwrap(), Some((prefix(29), 290)));
        let all = maps.members(215).unwrap();
        assert_eq!(all.len(), 7);
        maps.replace(&all).unwrap();
        assert_eq!(maps.members(215).unwrap(), all);
        assert_eq!(due(&maps).len(), 7);
    }
}

/// Of a ninth length of prefix the table has none: programs ask the trie then, and no longer than something is in it.
#[test]
fn programs_ask_the_trie_while_something_is_in_it() {
    for maps in both(100) {
        let Some(table) = &maps.table else { continue };
        let of_length = |length| Prefix::truncate([64, 0, 0, 0].into(), length).unwrap();
        maps.begin(&(8..16).map(|length| (of_length(length), NEVER)).collect())
            .unwrap();
        let alone = || table.is_alone(0).unwrap();
        assert!(alone());
        let put = |element, until| {
            let mut change = Change::begin(&maps, 10, 1).unwrap();
            change.put(element, until).unwrap();
            change.finish();
        };
        put(of_length(16), NEVER);
        assert!(!alone());
        put(host(1), 20);
        let mut change = Change::begin(&maps, 10, 0).unwrap();
        assert!(change.take(of_length(16)).unwrap());
        change.finish();
        assert!(!alone(), "{:?} is there", host(1));
        assert_eq!(Change::begin(&maps, 30, 0).unwrap().finish(), 8);
        assert!(alone());
        put(host(2), 50);
        assert!(!alone());
        assert!(maps.time(0, host(2)).unwrap().is_some());
    }
}
