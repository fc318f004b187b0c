//! What killed and refused changes leave in the maps of a live set, and that the next one sets it right.

use super::*;
use crate::lab::permitted;
use crate::live::set_change::Change;

/// Maps with room for so many keys in the trie; nothing where the test may not run.
fn made(room: u32) -> Option<SetMaps> {
    if !permitted() {
        return None;
    }
    let trie = map::create("t", Shape::trie(24, VALUE as u32, room)).unwrap();
    let state = map::create("s", Shape::array(STATE as u32, 1)).unwrap();
    let due = map::create("d", Shape::trie(DUE_KEY as u32, 1, 100)).unwrap();
    Some(SetMaps { trie, state, due })
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
    let Some(maps) = made(100) else { return };
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
    let change = Change::begin(&maps, 10).unwrap();
    assert_eq!(change.finish(), 3);
    assert_eq!(
        due(&maps),
        (1..4).map(|last| (1_000, host(last))).collect::<Vec<_>>()
    );
    assert_eq!(batch::read(maps.trie.as_fd()).unwrap().len(), 3);
}

#[test]
fn a_time_that_is_no_element_s_any_more_takes_nothing_out() {
    let Some(maps) = made(100) else { return };
    maps.begin(&hosts(1..3, NEVER)).unwrap();
    map::update(maps.due.as_fd(), &due_key(0, 7, host(1)), &[0]).unwrap();
    let change = Change::begin(&maps, 10).unwrap();
    assert_eq!(change.finish(), 2);
    assert_eq!(maps.members(10).unwrap(), hosts(1..3, NEVER));
    assert_eq!(due(&maps), []);
}

#[test]
fn another_time_takes_the_place_of_the_one_before() {
    let Some(maps) = made(100) else { return };
    maps.begin(&hosts(1..3, 20)).unwrap();
    for until in [30, NEVER, 40] {
        let mut change = Change::begin(&maps, 10).unwrap();
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

/// The kernel's room ends in the middle of a change: nothing of it stays.
#[test]
fn a_change_that_is_refused_in_the_middle_is_undone() {
    let Some(maps) = made(5) else { return };
    maps.begin(&hosts(1..4, NEVER)).unwrap();
    let mut change = Change::begin(&maps, 10).unwrap();
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
