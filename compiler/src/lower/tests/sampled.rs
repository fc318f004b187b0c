//! Gates in front of drops: closed, open, part open, without a reader, and full.

use super::made::{at, built, policy, run_at};
use super::{built as compiled, header};
use crate::artifact::Artifact;
use crate::dropped::{Dropped, EVENTS, SNAP, WORD, parse, share, word, word_of};
use crate::event::Header;
use crate::hook::Hook;
use crate::interpret::{Bare, Input, Maps, Skb, Xdp, run};
use crate::packet::build::Frame;
use crate::policy::Action;

const HOOKS: [Hook; 2] = [Hook::Xdp, Hook::TcIn];

/// Opens the gates for one of so many.
pub(super) fn open(maps: &mut Maps, one_in: u32) {
    let events = maps.named(EVENTS).unwrap();
    maps.read_events(events);
    let word = maps.named(WORD).unwrap();
    maps.update(word, &[0; 4], &opened(one_in, 0), 0).unwrap();
}

/// The word that asks for one of so many, when so many were lost.
fn opened(one_in: u32, lost: u64) -> [u8; word::SIZE] {
    let mut value = word_of([1, share(one_in)]);
    value[word::LOST as usize..][..8].copy_from_slice(&lost.to_ne_bytes());
    value
}

pub(super) fn events(maps: &mut Maps) -> Vec<Dropped> {
    let events = maps.named(EVENTS).unwrap();
    let events = maps.take_records(events);
    events.iter().map(|bytes| parse(bytes).unwrap()).collect()
}

fn frame() -> Vec<u8> {
    Frame::new(header("10.0.0.1", "10.0.0.2"))
        .payload(&[7; 400])
        .bytes()
}

fn dropping(hook: Hook) -> Artifact {
    built(policy([at(hook, Action::Drop)]))
}

#[test]
fn an_event_says_who_dropped_what() {
    for hook in HOOKS {
        for length in [60, SNAP as usize - 1, SNAP as usize, SNAP as usize + 1, 400] {
            let artifact = dropping(hook);
            let header = Header {
                length: length as u32 - 14,
                ..header("10.0.0.1", "10.0.0.2")
            };
            let frame = Frame::new(header).payload(&vec![7; length - 54]).bytes();
            let mut maps = Maps::new(&artifact.maps);
            open(&mut maps, 1);
            let mut world = Bare {
                now: 99,
                random: u32::MAX,
            };
            run_at(&artifact, &mut maps, frame.clone(), &mut world);
            let expected = [Dropped {
                time: 99,
                counter: 0,
                interface: 1,
                came_in: 0,
                hook,
                mark: 0,
                frame: frame[..length.min(SNAP as usize)].to_vec(),
                length: length as u32,
            }];
            assert_eq!(events(&mut maps), expected, "{hook:?} {length}");
        }
    }
}

#[test]
fn nothing_is_written_while_nobody_asks() {
    let artifact = dropping(Hook::Xdp);
    let mut maps = Maps::new(&artifact.maps);
    let rings = maps.named(EVENTS).unwrap();
    maps.read_events(rings);
    let closed = run_at(&artifact, &mut maps, frame(), &mut Bare::default());
    assert_eq!(events(&mut maps), []);
    open(&mut maps, 1);
    let opened = run_at(&artifact, &mut maps, frame(), &mut Bare::default());
    assert_eq!(closed.code(), opened.code());
    assert!(opened.steps() > closed.steps() + 20);
}

#[test]
fn a_share_of_all_numbers_is_taken() {
    let artifact = dropping(Hook::TcIn);
    let mut maps = Maps::new(&artifact.maps);
    open(&mut maps, 4);
    for (random, taken) in [(0, 1), (u32::MAX >> 2, 1), ((u32::MAX >> 2) + 1, 0)] {
        let mut world = Bare { now: 1, random };
        run_at(&artifact, &mut maps, frame(), &mut world);
        assert_eq!(events(&mut maps).len(), taken, "{random}");
    }
}

#[test]
fn a_gate_closes_where_nobody_reads() {
    let artifact = dropping(Hook::Xdp);
    let mut maps = Maps::new(&artifact.maps);
    let id = maps.named(WORD).unwrap();
    maps.update(id, &[0; 4], &opened(1, 5), 0).unwrap();
    run_at(&artifact, &mut maps, frame(), &mut Bare::default());
    let left = maps.get(id, &[0; 4]).unwrap();
    assert_eq!(left[word::OPEN as usize..][..4], [0; 4]);
    // Nothing was lost: nobody wanted it.
    assert_eq!(left[word::LOST as usize..], [5, 0, 0, 0, 0, 0, 0, 0]);
}

/// Whichever rule drops, reject, default, absent interface or malformed: the slot is that of its counter, whatever `count` rules
/// have counted since.
#[test]
fn each_way_to_drop_has_its_counter() {
    let built = compiled(
        "interfaces eth0
         default in drop
         count tcp
         drop tcp to port 80
         reject tcp to port 81
         count tcp at tc
         redirect tcp to port 82 to interface away0
         allow udp",
    );
    let counters = &built.artifact.manifest.counters;
    for (port, words) in [
        (80, "drop tcp"),
        (81, "reject tcp"),
        (82, "to interface"),
        (83, "default"),
    ] {
        let mut maps = Maps::new(&built.artifact.maps);
        open(&mut maps, 1);
        let mut header = header("10.0.0.1", "10.0.0.2");
        header.transport = crate::event::Transport::Tcp {
            from: 1,
            to: port,
            flags: 2,
        };
        let frame = Frame::new(header).bytes();
        let mut told = Vec::new();
        for program in &built.artifact.programs {
            let input = match program.name.as_str() {
                "xdp_in" => Input::Xdp(Xdp::new(frame.clone())),
                _ => Input::Skb(Skb::new(frame.clone())),
            };
            let ran = run(program, &mut maps, input, &mut Bare::default()).unwrap();
            told.extend(events(&mut maps));
            if ran.code() != 2 && ran.code() != -1 {
                break;
            }
        }
        let [told] = told.as_slice() else {
            panic!("{port}: {told:?}");
        };
        let counter = &counters[told.counter as usize];
        assert!(counter.location.text.contains(words), "{port}: {counter:?}");
        // What is answered is told as it came.
        assert_eq!(told.frame, frame, "{port}");
    }
}

#[test]
fn what_is_malformed_has_its_counter_too() {
    let built = compiled("default out drop\nallow out tcp\n");
    let program = &built.artifact.programs[0];
    let mut maps = Maps::new(&built.artifact.maps);
    open(&mut maps, 1);
    let cut = frame()[..30].to_vec();
    let input = Input::Skb(Skb {
        egress: true,
        vlan: Some((0x8100, 7)),
        mark: 3,
        ..Skb::new(cut.clone())
    });
    run(program, &mut maps, input, &mut Bare::default()).unwrap();
    let told = &events(&mut maps)[0];
    let counter = &built.artifact.manifest.counters[told.counter as usize];
    assert_eq!(counter.kind, crate::artifact::CounterKind::Malformed);
    assert_eq!((told.mark, told.length), (3, 34));
    assert_eq!(told.frame[12..16], [0x81, 0, 0, 7]);
    assert_eq!(told.frame[16..], cut[12..]);
}

/// A policy that drops nothing there has nothing of it.
#[test]
fn what_drops_nothing_has_no_gates() {
    let built = compiled("default in allow\ncount tcp\n");
    let mut maps = built.artifact.maps.values();
    assert!(maps.all(|map| map.name != EVENTS && map.name != WORD));
}

/// A list that runs at two hooks: what is malformed counts at the first, and the second drops it all the same.
#[test]
fn what_does_not_count_is_told_with_its_counter() {
    let text = "interfaces eth0\ndefault in drop\nallow tcp to any:22\nallow udp to any:53 at tc\n";
    let built = compiled(text);
    let counters = &built.artifact.manifest.counters;
    for program in &built.artifact.programs {
        let mut maps = Maps::new(&built.artifact.maps);
        open(&mut maps, 1);
        let cut = frame()[..30].to_vec();
        let input = match program.name.as_str() {
            "xdp_in" => Input::Xdp(Xdp::new(cut)),
            _ => Input::Skb(Skb::new(cut)),
        };
        let ran = run(program, &mut maps, input, &mut Bare::default()).unwrap();
        for told in events(&mut maps) {
            let counter = &counters[told.counter as usize];
            assert_eq!(counter.kind, crate::artifact::CounterKind::Malformed);
        }
        assert!([1, 2].contains(&ran.code()), "{}", program.name);
    }
}
