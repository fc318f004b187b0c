//! `for netns` blocks: several policies that come, change and go as one.

use std::fs::File;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::unistd::dup3;
use sockc_compiler::artifact::{AttachPoint, MapKind, SetPlan};
use sockc_runtime::{
    Error, Expiry, Forecast, LinkFate, Options, Prefix, ProgramFate, counters, forecast, set_add,
    set_list, status, unload,
};

use crate::policy::*;
use crate::space::{Space, datagram_arrives, elsewhere, inside};

/// Another network namespace, with a name that leads to it as long as this lives.
struct Other {
    file: File,
    name: String,
}

impl Other {
    fn new() -> Self {
        let file = elsewhere(|| File::open("/proc/thread-self/ns/net").unwrap());
        let name = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Self { file, name }
    }

    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    /// Ends the namespace. Its name leads to a socket from now on: a descriptor that is merely closed leads to whatever
    /// another test opens next.
    fn gives_way(self) -> OwnedFd {
        let mut place = OwnedFd::from(self.file);
        dup3(
            UnixDatagram::unbound().unwrap(),
            &mut place,
            OFlag::O_CLOEXEC,
        )
        .unwrap();
        place
    }

    /// The options of a command in this namespace.
    fn options(&self, space: &Space) -> Options {
        Options {
            netns: Some(self.name.clone()),
            ..space.options.clone()
        }
    }

    fn arrives(&self) -> bool {
        self.run(datagram_arrives)
    }
}

fn on_lo(name: &str, verdict: i32) -> Policy {
    policy(name)
        .on(&["lo"])
        .rule(AttachPoint::TcIn, "in", verdict)
}

/// A policy that lets go on, and drops in other namespaces.
fn outer(name: &str, verdict: i32, others: &[&Other]) -> Policy {
    let outer = on_lo(name, TC_OK);
    others.iter().fold(outer, |outer, other| {
        outer.within(&other.name, on_lo(&format!("{name}-in"), verdict))
    })
}

#[test]
fn all_policies_come_change_and_go_together() {
    inside(|space| {
        let (one, two) = (Other::new(), Other::new());
        let options = &space.options;
        let applied = outer("a", TC_SHOT, &[&one, &two]).apply(options).unwrap();
        let names: Vec<_> = applied.netns.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, [one.name.clone(), two.name.clone()]);
        assert_eq!(
            [datagram_arrives(), one.arrives(), two.arrives()],
            [true, false, false]
        );
        let found = status(options).unwrap().unwrap();
        let inner = found
            .netns
            .iter()
            .map(|(_, status)| status.status().unwrap().policy.as_str());
        assert_eq!(inner.collect::<Vec<_>>(), ["a-in", "a-in"]);
        let counted = counters(options).unwrap();
        let packets: Vec<_> = counted
            .iter()
            .map(|one| (one.netns.is_some(), one.packets))
            .collect();
        assert_eq!(packets, [(false, 1), (true, 1), (true, 1)]);
        // A block that goes takes its policy along, and counters go on.
        outer("b", TC_SHOT, &[&two]).apply(options).unwrap();
        assert_eq!(
            [datagram_arrives(), one.arrives(), two.arrives()],
            [true, true, false]
        );
        assert_eq!(status(&one.options(space)).unwrap(), None);
        assert_eq!(counters(options).unwrap()[1].packets, 2);
        assert!(unload(options).unwrap().removed);
        assert!(two.arrives());
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}

/// The outer folder may be gone, by whomever: what stands in a block is in force all the same, and goes.
#[test]
fn a_block_goes_though_its_outer_policy_is_gone() {
    inside(|space| {
        let one = Other::new();
        let options = &space.options;
        outer("a", TC_SHOT, &[&one]).apply(options).unwrap();
        assert!(!one.arrives());
        let own = std::fs::metadata("/proc/thread-self/ns/net").unwrap();
        let own = std::os::unix::fs::MetadataExt::ino(&own).to_string();
        let folder = options.bpffs.join("sockc").join(own);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(!one.arrives(), "it is still in force");
        assert!(unload(options).unwrap().removed);
        assert!(one.arrives());
        assert_eq!(space.tree(), Vec::<String>::new());
        assert!(!unload(options).unwrap().removed);
    });
}

/// Is told the number and the name of a step; `true` stops there.
type Watcher = Box<dyn Fn(usize, &str) -> bool + Send + Sync>;

#[test]
fn a_failure_at_any_step_leaves_every_policy_before() {
    inside(|space| {
        let (one, two) = (Other::new(), Other::new());
        let options = &space.options;
        let new = || on_lo("b", TC_SHOT).within(&two.name, on_lo("b-in", TC_SHOT));
        outer("a", TC_SHOT, &[&one]).apply(options).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let watching = |watch: Watcher| {
            let count = Mutex::new(0);
            Options {
                watch: Some(Arc::new(move |step: &str| {
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    match watch(*count - 1, step) {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                })),
                ..options.clone()
            }
        };
        new()
            .apply(&watching(Box::new(move |_, step| {
                keep.lock().unwrap().push(step.to_owned());
                false
            })))
            .unwrap();
        unload(options).unwrap();
        let steps = seen.lock().unwrap().clone();
        // One word switches all of them, and is written when everything is ready in every namespace.
        let last = steps.iter().position(|step| step == "switch").unwrap();
        let prepared = steps.iter().rposition(|step| step == "keep the record");
        assert!(prepared.unwrap() < last, "{steps:?}");
        outer("a", TC_SHOT, &[&one]).apply(options).unwrap();
        let (tree, before) = (space.tree(), status(options).unwrap());
        for (stop, step) in steps.iter().enumerate().take(last + 1) {
            let stopping = watching(Box::new(move |now, _| now == stop));
            let error = new().apply(&stopping).unwrap_err();
            assert!(matches!(error, Error::Stopped { .. }), "{}: {error}", step);
            assert_eq!(space.tree(), tree, "{}", step);
            assert_eq!(status(options).unwrap(), before, "{}", step);
            assert_eq!(
                [datagram_arrives(), one.arrives(), two.arrives()],
                [true, false, true],
                "{}",
                step
            );
        }
        new().apply(options).unwrap();
        assert_eq!(
            [datagram_arrives(), one.arrives(), two.arrives()],
            [false, true, false]
        );
    });
}

#[test]
fn another_policy_in_the_namespace_is_never_replaced() {
    inside(|space| {
        let (one, options) = (Other::new(), &space.options);
        on_lo("theirs", TC_OK).apply(&one.options(space)).unwrap();
        let error = outer("a", TC_SHOT, &[&one]).apply(options).unwrap_err();
        assert!(
            matches!(error, Error::OtherPolicy { owned: false, .. }),
            "{error}"
        );
        assert!(one.arrives());
        assert_eq!(status(options).unwrap(), None);
        unload(&one.options(space)).unwrap();
        outer("a", TC_SHOT, &[&one]).apply(options).unwrap();
        let error = on_lo("theirs", TC_OK)
            .apply(&one.options(space))
            .unwrap_err();
        assert!(
            matches!(error, Error::OtherPolicy { owned: true, .. }),
            "{error}"
        );
        assert!(!one.arrives());
        // Nor is it taken by a third one.
        let third = Other::new();
        let error = outer("c", TC_OK, &[&one])
            .apply(&third.options(space))
            .unwrap_err();
        assert!(
            matches!(error, Error::OtherPolicy { owned: true, .. }),
            "{error}"
        );
        assert!(!one.arrives());
    });
}

#[test]
fn a_namespace_has_one_policy_and_must_be_there() {
    inside(|space| {
        let (one, options) = (Other::new(), &space.options);
        let copy = one.file.try_clone().unwrap();
        let twice = format!("/proc/{}/fd/{}", std::process::id(), copy.as_raw_fd());
        let two_names = outer("a", TC_SHOT, &[&one]).within(&twice, on_lo("b", TC_OK));
        let error = two_names.apply(options).unwrap_err();
        assert!(
            matches!(&error, Error::SameNetns { other: Some(other), .. } if *other == one.name),
            "{error}"
        );
        let own = format!(
            "/proc/{}/task/{}/ns/net",
            std::process::id(),
            nix::unistd::gettid()
        );
        let own_twice = on_lo("a", TC_OK).within(&own, on_lo("b", TC_OK));
        let error = own_twice.apply(options).unwrap_err();
        assert!(
            matches!(error, Error::SameNetns { other: None, .. }),
            "{error}"
        );
        let missing = on_lo("a", TC_OK).within("sockc-nowhere", on_lo("b", TC_OK));
        let error = missing.apply(options).unwrap_err();
        assert!(matches!(error, Error::Netns { .. }), "{error}");
        let broken =
            on_lo("a", TC_SHOT).within(&one.name, on_lo("b", TC_OK).broken(AttachPoint::Xdp));
        let error = broken.apply(options).unwrap_err();
        assert!(matches!(error, Error::Program { .. }), "{error}");
        assert!(datagram_arrives());
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}

#[test]
fn a_policy_whose_namespace_is_gone_is_taken_away_all_the_same() {
    inside(|space| {
        let (one, options) = (Other::new(), &space.options);
        outer("a", TC_SHOT, &[&one]).apply(options).unwrap();
        let _socket = one.gives_way();
        let found = status(options).unwrap().unwrap();
        assert!(found.netns[0].1.status().is_none());
        assert_eq!(counters(options).unwrap().len(), 1);
        assert!(unload(options).unwrap().removed);
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}

#[test]
fn a_live_set_of_the_outer_policy_is_the_same_set_inside() {
    inside(|space| {
        let (one, options) = (Other::new(), &space.options);
        let with_set = |policy: Policy, map: &str| {
            policy
                .map(&format!("set_{map}"), MapKind::LpmTrie, [24, 24, 22, 1])
                .map(&format!("cur_{map}"), MapKind::Array, [4, 24, 1, 0])
                .with(|manifest| {
                    manifest.sets.push(SetPlan {
                        name: "banned".to_owned(),
                        map: format!("set_{map}"),
                        state: format!("cur_{map}"),
                        max: 10,
                        expires: None,
                        start: Vec::new(),
                        table: None,
                    });
                })
        };
        let make = || {
            let inner = with_set(on_lo("in", TC_OK), "3");
            with_set(on_lo("a", TC_OK), "0").within(&one.name, inner)
        };
        make().apply(options).unwrap();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        set_add(options, "banned", &[Prefix::host(address)], Expiry::Never).unwrap();
        assert_eq!(
            set_list(&one.options(space), "banned")
                .unwrap()
                .elements
                .len(),
            1
        );
        make().apply(options).unwrap();
        set_add(
            options,
            "banned",
            &[Prefix::host("::1".parse().unwrap())],
            Expiry::Never,
        )
        .unwrap();
        assert_eq!(
            set_list(&one.options(space), "banned")
                .unwrap()
                .elements
                .len(),
            2
        );
    });
}

#[test]
fn what_would_become_of_every_namespace_is_told_and_holds() {
    inside(|space| {
        let (one, two) = (Other::new(), Other::new());
        let options = &space.options;
        outer("a", TC_SHOT, &[&one, &two]).apply(options).unwrap();
        let (object, manifest) = outer("b", TC_OK, &[&two]).build();
        let told = forecast(&object, &manifest, options).unwrap();
        let going: Vec<_> = told.departing.iter().filter(|one| one.goes()).collect();
        assert_eq!(going.len(), 1);
        assert_eq!(
            (going[0].name.as_str(), &going[0].lost),
            (one.name.as_str(), &None)
        );
        let (name, inner) = &told.netns[0];
        assert_eq!(name, &two.name);
        assert_eq!(inner.running.as_ref().unwrap().policy, "a-in");
        let fate = |told: &Forecast| (told.hooks[0].link, told.hooks[0].program);
        assert_eq!(fate(&told), (LinkFate::Kept, ProgramFate::Same));
        assert_eq!(fate(inner), (LinkFate::Kept, ProgramFate::Changed));
        // Bound to what was told, the apply wants every namespace to stand as it did.
        let bound = Options {
            only_if: Arc::from([told.standpoint.clone(), inner.standpoint.clone()]),
            ..options.clone()
        };
        assert!(unload(&two.options(space)).unwrap().removed);
        let tree = space.tree();
        let refused = sockc_runtime::apply(&object, &manifest, &bound).unwrap_err();
        assert!(matches!(refused, Error::Moved { .. }), "{refused}");
        assert_eq!(space.tree(), tree);
        outer("a", TC_SHOT, &[&one, &two]).apply(options).unwrap();
        let told = forecast(&object, &manifest, options).unwrap();
        let bound = Options {
            only_if: Arc::from([told.standpoint.clone(), told.netns[0].1.standpoint.clone()]),
            ..options.clone()
        };
        sockc_runtime::apply(&object, &manifest, &bound).unwrap();
        assert_eq!([one.arrives(), two.arrives()], [true, true]);
    });
}

#[test]
fn what_others_change_in_a_block_is_told() {
    inside(|space| {
        let other = Other::new();
        outer("a", TC_SHOT, &[&other])
            .apply(&space.options)
            .unwrap();
        let inode = other.file.metadata().unwrap().ino().to_string();
        let mut tree = space.tree().into_iter();
        let pin = tree.find(|path| path.contains(&inode) && path.ends_with("/prog/tc_in"));
        std::fs::remove_file(pin.unwrap()).unwrap();
        let found = status(&space.options).unwrap().unwrap();
        assert_eq!(found.drift, []);
        let inner = found.netns[0].1.status().unwrap();
        assert_eq!(inner.drift.len(), 1);
        let (object, manifest) = outer("a", TC_SHOT, &[&other]).build();
        let told = forecast(&object, &manifest, &space.options).unwrap();
        assert_eq!(told.netns[0].1.drift, inner.drift);
    });
}

/// While another command holds its folder, what is left of it is all that is said of a block that goes.
#[test]
fn a_block_that_cannot_be_removed_is_told_as_left_alone() {
    inside(|space| {
        let other = Other::new();
        let options = Options {
            lock_wait: Duration::from_millis(50),
            ..space.options.clone()
        };
        outer("a", TC_SHOT, &[&other]).apply(&options).unwrap();
        let inode = other.file.metadata().unwrap().ino().to_string();
        let folder = File::open(options.bpffs.join("sockc").join(inode)).unwrap();
        folder.lock().unwrap();
        let applied = outer("b", TC_OK, &[]).apply(&options).unwrap();
        // A process that is just being started has the descriptor, too.
        folder.unlock().unwrap();
        let of_block = |note: &&String| note.contains(&other.name);
        let [note] = applied.notes.iter().filter(of_block).collect::<Vec<_>>()[..] else {
            panic!("{:?}", applied.notes);
        };
        assert!(note.contains("but could not be removed: "), "{note}");
        assert!(other.arrives());
        // The next command takes it away.
        assert!(unload(&options).unwrap().removed);
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}
