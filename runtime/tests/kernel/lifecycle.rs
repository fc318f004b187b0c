//! Two at once, twice the same, half broken, other namespaces.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData};
use nix::mount::{MsFlags, mount, umount};
use sockc_compiler::artifact::AttachPoint;
use sockc_runtime::{Error, Options, counters, object, status, unload};

use crate::policy::*;
use crate::space::{Space, datagram_arrives, elsewhere, inside};

fn path_in(space: &Space, end: &str) -> String {
    let mut paths = space.tree().into_iter();
    paths.find(|path| path.ends_with(end)).unwrap()
}

fn drops() -> Policy {
    policy("drops")
        .on(&["lo"])
        .rule(AttachPoint::TcIn, "in", TC_SHOT)
}

#[test]
fn two_applies_at_once_do_not_mix() {
    inside(|space| {
        let (reached, go) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (told, wait) = (Arc::clone(&reached), Arc::clone(&go));
        let slow = Options {
            watch: Some(Arc::new(move |step: &str| {
                told.store(true, Ordering::Release);
                while step == "switch" && !wait.load(Ordering::Acquire) {
                    thread::sleep(Duration::from_millis(1));
                }
                ControlFlow::Continue(())
            })),
            ..space.options.clone()
        };
        let patient = Options {
            lock_wait: Duration::from_secs(20),
            ..space.options.clone()
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| drops().apply(&slow));
            while !reached.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
            let refused = drops().apply(&space.options);
            let told = status(&space.options);
            let second = scope.spawn(|| drops().apply(&patient));
            // Before anything is asserted: a failure would wait for the first for ever.
            go.store(true, Ordering::Release);
            let error = refused.unwrap_err();
            assert!(matches!(error, Error::Locked { .. }), "{error}");
            assert!(error.is_refusal());
            assert_eq!(told.unwrap(), None, "the first is not in force yet");
            assert_eq!(first.join().unwrap().unwrap().generation, 1);
            assert_eq!(second.join().unwrap().unwrap().generation, 2);
        });
    });
}

#[test]
fn unload_twice_is_fine_and_takes_what_is_damaged() {
    inside(|space| {
        drops().apply(&space.options).unwrap();
        let tree = space.tree();
        for name in ["record", "control", "slots/tc-in_1", "current"] {
            drops().apply(&space.options).unwrap();
            assert!(!datagram_arrives());
            let found = space
                .tree()
                .into_iter()
                .find(|path| path.ends_with(&format!("/{name}")));
            fs::remove_file(found.unwrap()).unwrap();
            assert!(unload(&space.options).unwrap().removed);
            assert_eq!(space.tree(), Vec::<String>::new(), "{name}");
            assert!(datagram_arrives());
            assert!(!unload(&space.options).unwrap().removed);
        }
        assert!(!tree.is_empty());
    });
}

#[test]
fn a_damaged_record_is_told_and_nothing_is_touched() {
    inside(|space| {
        drops().apply(&space.options).unwrap();
        let record = space
            .tree()
            .into_iter()
            .find(|path| path.ends_with("/record"));
        fs::remove_file(record.unwrap()).unwrap();
        let tree = space.tree();
        for error in [
            status(&space.options).unwrap_err(),
            drops().apply(&space.options).unwrap_err(),
        ] {
            assert!(matches!(error, Error::State { .. }), "{error}");
            assert!(error.to_string().contains("sockc unload"), "{error}");
        }
        assert_eq!(space.tree(), tree);
        assert!(!datagram_arrives(), "the policy is still in force");
    });
}

#[test]
fn a_lost_program_slot_is_told_and_healed() {
    inside(|space| {
        drops().apply(&space.options).unwrap();
        fs::remove_file(path_in(space, "/slots/tc-in_1")).unwrap();
        let found = status(&space.options).unwrap().unwrap();
        assert!(found.drift[0].path.ends_with("slots/tc-in_1"), "{found:?}");
        assert_eq!(found.drift[0].found, "nothing");
        // The kernel empties such an array some time after its last pin, and the hooks go on asking it.
        let until = Instant::now() + Duration::from_secs(20);
        while !datagram_arrives() {
            assert!(Instant::now() < until);
        }
        drops().apply(&space.options).unwrap();
        assert!(!datagram_arrives());
        assert!(status(&space.options).unwrap().unwrap().drift.is_empty());
    });
}

#[test]
fn a_word_that_cannot_be_read_does_not_mean_that_nothing_is_in_force() {
    inside(|space| {
        drops().apply(&space.options).unwrap();
        let control = path_in(space, "/control");
        fs::remove_file(&control).unwrap();
        fs::create_dir(&control).unwrap();
        let tree = space.tree();
        let found = status(&space.options).unwrap().unwrap();
        assert_eq!(found.drift.len(), 1, "{found:?}");
        assert_eq!(found.drift[0].path, Path::new(&control));
        drops().apply(&space.options).unwrap_err();
        assert_eq!(space.tree(), tree);
        assert!(!datagram_arrives(), "the policy is still in force");
        assert!(unload(&space.options).unwrap().removed);
        assert!(datagram_arrives());
    });
}

/// The word, or what else says what is in force, changed by others: never taken for "nothing".
#[test]
fn a_word_that_others_changed_does_not_mean_that_nothing_is_in_force() {
    inside(|space| {
        drops().apply(&space.options).unwrap();
        let told = || match status(&space.options) {
            Ok(found) => assert!(!found.unwrap().drift.is_empty()),
            Err(error) => {
                assert!(matches!(error, Error::State { .. }), "{error}");
                assert!(error.to_string().contains("sockc unload"), "{error}");
            }
        };
        let control = path_in(space, "/control");
        let word = MapData::from_pin(&control).unwrap();
        let mut word = Array::<_, u32>::try_from(Map::Array(word)).unwrap();
        word.set(0, 0, 0).unwrap();
        told();
        fs::remove_file(&control).unwrap();
        told();
        fs::remove_file(Path::new(&control).with_file_name("current")).unwrap();
        told();
        assert!(unload(&space.options).unwrap().removed);
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}

#[test]
fn an_unload_that_ends_early_is_finished_by_the_next_command() {
    inside(|space| {
        for finish in [false, true] {
            drops().apply(&space.options).unwrap();
            // A mount point cannot be removed.
            let busy = Path::new(&path_in(space, "/link")).join("busy");
            fs::create_dir(&busy).unwrap();
            let (nothing, flags) = (None::<&str>, MsFlags::empty());
            mount(Some("none"), &busy, Some("tmpfs"), flags, nothing).unwrap();
            unload(&space.options).unwrap_err();
            assert!(datagram_arrives());
            umount(&busy).unwrap();
            if finish {
                // The two that an unload has taken away have their numbers still.
                assert_eq!(drops().apply(&space.options).unwrap().generation, 3);
                assert!(unload(&space.options).unwrap().removed);
            } else {
                assert_eq!(status(&space.options).unwrap(), None);
            }
            assert_eq!(space.tree(), Vec::<String>::new());
        }
    });
}

#[test]
fn tables_decide_and_are_frozen() {
    inside(|space| {
        for (verdict, arrives) in [(TC_SHOT, false), (TC_OK, true)] {
            policy("tables")
                .on(&["lo"])
                .live_maps()
                .tabled(AttachPoint::TcIn, u8::try_from(verdict).unwrap())
                .apply(&space.options)
                .unwrap();
            assert_eq!(datagram_arrives(), arrives);
        }
        assert!(space.tree().iter().any(|path| path.ends_with("/map/live")));
        let mut maps = aya::maps::loaded_maps().filter_map(Result::ok);
        let table = maps.find(|map| map.name_as_str() == Some(".rodata.table"));
        let map = aya::maps::MapData::from_id(table.unwrap().id()).unwrap();
        let map = aya::maps::Map::Array(map);
        let mut array: aya::maps::Array<_, [u8; 1001]> = map.try_into().unwrap();
        array.set(0, [0; 1001], 0).unwrap_err();
    });
}

#[test]
fn the_object_comes_back() {
    inside(|space| {
        assert_eq!(object(&space.options).unwrap(), None);
        let (bytes, manifest) = drops().build();
        sockc_runtime::apply(&bytes, &manifest, &space.options).unwrap();
        assert_eq!(object(&space.options).unwrap(), Some(bytes));
        assert_eq!(
            status(&space.options).unwrap().unwrap().manifest.as_ref(),
            &manifest
        );
    });
}

#[test]
fn counters_live_through_many_applies() {
    inside(|space| {
        assert_eq!(counters(&space.options).unwrap(), Vec::new());
        for round in 1..=5 {
            drops().apply(&space.options).unwrap();
            assert!(!datagram_arrives());
            assert_eq!(counters(&space.options).unwrap()[0].packets, round);
        }
        let other = policy("other")
            .on(&["lo"])
            .rule(AttachPoint::TcIn, "another", TC_SHOT);
        other.apply(&space.options).unwrap();
        assert_eq!(counters(&space.options).unwrap()[0].packets, 0);
    });
}

#[test]
fn each_namespace_has_its_own_policy() {
    inside(|space| {
        drops().apply(&space.options).unwrap();
        elsewhere(|| {
            // SAFETY: gettid(2) takes nothing.
            let thread = unsafe { libc::gettid() };
            let path = PathBuf::from(format!("/proc/{}/task/{thread}/ns/net", std::process::id()));
            let options = Options {
                netns: Some(path.display().to_string()),
                ..space.options.clone()
            };
            // Called from the first namespace, at work in the second.
            let outer = format!("/proc/{}/task", std::process::id());
            assert!(fs::exists(outer).unwrap());
            assert_eq!(status(&options).unwrap(), None);
            assert!(datagram_arrives());
            drops().apply(&options).unwrap();
            assert!(!datagram_arrives());
            assert!(unload(&options).unwrap().removed);
            assert!(datagram_arrives());
        });
        assert!(!datagram_arrives());
        assert_eq!(status(&space.options).unwrap().unwrap().policy, "drops");
    });
}
