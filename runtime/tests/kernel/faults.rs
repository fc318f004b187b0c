//! Faults at every step of an apply: refused, stopped, or killed there.

use std::net::TcpListener;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, raise};
use sockc_compiler::artifact::AttachPoint;
use sockc_runtime::{Error, Features, Options, probe, status};

use crate::policy::*;
use crate::space::{Space, datagram_arrives, inside, reaches, run};

/// Tells a helper process of these tests at which step to kill itself.
const KILL_AT: &str = "SOCKC_TEST_KILL_AT";

/// Every kind of hook, on other places than [`new`], so that an apply has all there is to do.
fn old(space: &Space) -> Policy {
    policy("old")
        .on(&["lo"])
        .socket(0, 6, "127.0.0.1:7001")
        .rule(AttachPoint::TcIn, "in", TC_SHOT)
        .group(&space.cgroup, SK_PASS)
}

fn new(space: &Space) -> Policy {
    new_on(&space.cgroup)
}

/// The steps of an apply of [`new`] over `before`.
fn steps(options: &Options, space: &Space, before: Option<Policy>) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let watching = Options {
        watch: Some(Arc::new(move |step: &str| {
            keep.lock().unwrap().push(step.to_owned());
            ControlFlow::Continue(())
        })),
        ..options.clone()
    };
    if let Some(before) = before {
        before.apply(options).unwrap();
    }
    new(space).apply(&watching).unwrap();
    sockc_runtime::unload(options).unwrap();
    seen.lock().unwrap().clone()
}

fn stopping_at(options: &Options, step: &str) -> Options {
    let step = step.to_owned();
    Options {
        watch: Some(Arc::new(move |now: &str| {
            if now == step {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })),
        ..options.clone()
    }
}

fn generation_in_force(options: &Options) -> Option<u32> {
    status(options).unwrap().map(|status| status.generation)
}

/// With all features of the kernel, and as on an old one.
fn options(space: &Space) -> Vec<Options> {
    let old = Features {
        tcx: false,
        sockmap_link: false,
        ..probe()
    };
    [None, Some(old)]
        .map(|features| Options {
            features,
            ..space.options.clone()
        })
        .to_vec()
}

#[test]
fn a_failure_at_any_step_leaves_the_policy_before() {
    inside(|space| {
        for options in options(space) {
            let steps = steps(&options, space, Some(old(space)));
            assert!(steps.len() >= 11, "{steps:?}");
            old(space).apply(&options).unwrap();
            let (tree, before) = (space.tree(), status(&options).unwrap());
            // After it the policy is in force, and nothing stops it any more.
            let last = steps.iter().position(|step| step == "switch").unwrap();
            for step in &steps[..=last] {
                let error = new(space).apply(&stopping_at(&options, step)).unwrap_err();
                assert!(matches!(error, Error::Stopped { .. }), "{step}: {error}");
                assert_eq!(space.tree(), tree, "{step}");
                assert_eq!(status(&options).unwrap(), before, "{step}");
                assert!(!datagram_arrives(), "{step}");
            }
            assert!(sockc_runtime::unload(&options).unwrap().removed);
        }
    });
}

#[test]
fn a_failure_at_any_step_leaves_nothing_where_nothing_was() {
    inside(|space| {
        for options in options(space) {
            let steps = steps(&options, space, None);
            // After it the policy is in force, and nothing stops it any more.
            let last = steps.iter().position(|step| step == "switch").unwrap();
            for step in &steps[..=last] {
                new(space).apply(&stopping_at(&options, step)).unwrap_err();
                assert_eq!(space.tree(), Vec::<String>::new(), "{step}");
                assert_eq!(status(&options).unwrap(), None, "{step}");
                assert!(datagram_arrives(), "{step}");
            }
            assert!(steps.len() > last + 1, "{steps:?}");
            let mut before = None;
            for step in &steps[last + 1..] {
                new(space).apply(&stopping_at(&options, step)).unwrap();
                // Numbers go on over an unload.
                let now = generation_in_force(&options);
                assert!(now > before, "{step}: {now:?} {before:?}");
                before = now;
                assert!(sockc_runtime::unload(&options).unwrap().removed, "{step}");
            }
        }
    });
}

#[test]
fn a_refused_program_leaves_the_policy_before() {
    inside(|space| {
        old(space).apply(&space.options).unwrap();
        let tree = space.tree();
        let error = policy("bad")
            .on(&["lo"])
            .broken(AttachPoint::TcIn)
            .apply(&space.options)
            .unwrap_err();
        let Error::Program {
            name, rule, log, ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(name, "tc_in");
        assert!(
            rule.as_ref()
                .is_some_and(|rule| rule.contains("rule of tc_in")),
            "{error}"
        );
        assert!(!log.is_empty());
        assert_eq!(space.tree(), tree);
        assert!(!datagram_arrives());
    });
}

/// Not a test by itself: it is run by the tests below as another process, which dies in the middle of its work.
#[test]
fn killed_helper() {
    let Ok(place) = std::env::var(KILL_AT) else {
        return;
    };
    let [bpffs, cgroup, step] = place.split('|').collect::<Vec<_>>()[..] else {
        return;
    };
    let step = step.to_owned();
    let options = Options {
        bpffs: bpffs.into(),
        watch: Some(Arc::new(move |now: &str| {
            if now == step {
                raise(Signal::SIGKILL).unwrap();
            }
            ControlFlow::Continue(())
        })),
        ..Options::default()
    };
    let old = Features {
        tcx: false,
        sockmap_link: false,
        ..probe()
    };
    let features = std::env::var("SOCKC_TEST_OLD").is_ok().then_some(old);
    let options = Options {
        features,
        ..options
    };
    new_on(cgroup).apply(&options).unwrap();
}

fn new_on(cgroup: &str) -> Policy {
    policy("new")
        .on(&["lo"])
        .socket(0, 6, "127.0.0.1:7001")
        .rule(AttachPoint::Xdp, "x", XDP_PASS)
        .rule(AttachPoint::TcIn, "in", TC_OK)
        .rule(AttachPoint::TcOut, "out", TC_OK)
        .steer(53, 0)
        .group(cgroup, SK_DROP)
}

fn kill_at(options: &Options, cgroup: &str, step: &str) {
    let mut helper = Command::new(std::env::current_exe().unwrap());
    helper.args(["--exact", "faults::killed_helper", "--nocapture"]);
    helper.env(
        KILL_AT,
        format!("{}|{cgroup}|{step}", options.bpffs.display()),
    );
    if options.features.is_some() {
        helper.env("SOCKC_TEST_OLD", "1");
    }
    let ended = helper.output().unwrap();
    assert!(!ended.status.success(), "{step} was not reached: {ended:?}");
}

#[test]
fn a_kill_at_any_step_leaves_the_old_policy_or_the_new_one() {
    inside(|space| {
        for options in options(space) {
            let steps = steps(&options, space, Some(old(space)));
            let switched = steps.iter().position(|step| step == "switch").unwrap();
            for (index, step) in steps.iter().enumerate() {
                old(space).apply(&options).unwrap();
                assert!(!datagram_arrives());
                kill_at(&options, &space.cgroup, step);
                let (now, arrives) = if index <= switched {
                    ("old", false)
                } else {
                    ("new", true)
                };
                assert_eq!(datagram_arrives(), arrives, "{step}");
                let found = status(&options).unwrap().unwrap();
                assert_eq!(found.policy, now, "{step}");
                assert_eq!(found.drift, [], "{step}");
                // Before the first step there is nothing yet, and before the last one nothing any more.
                let clean = index == 0 || index + 1 == steps.len();
                assert_eq!(
                    found.leftovers.is_empty(),
                    clean,
                    "{step}: {:?}",
                    found.leftovers
                );
                assert_eq!(
                    status(&options).unwrap().unwrap().leftovers,
                    Vec::<String>::new()
                );
                // Counted: each datagram above, whichever generation saw it, once.
                let counted = sockc_runtime::counters(&options).unwrap();
                let total = counted
                    .iter()
                    .find(|one| one.counter.label.as_deref() == Some("in"))
                    .unwrap();
                assert_eq!(total.packets, 2, "{step}");
                let server = TcpListener::bind("127.0.0.1:7001").unwrap();
                new(space).apply(&options).unwrap();
                assert!(datagram_arrives(), "{step}");
                assert_eq!(reaches("127.0.0.9:53", &[&server]), Some(7001), "{step}");
                assert!(sockc_runtime::unload(&options).unwrap().removed);
                assert_eq!(space.tree(), Vec::<String>::new(), "{step}");
            }
        }
    });
}

#[test]
fn a_kill_of_the_first_apply_leaves_nothing_that_unload_cannot_take() {
    inside(|space| {
        for step in &steps(&space.options, space, None) {
            kill_at(&space.options, &space.cgroup, step);
            assert!(datagram_arrives(), "{step}");
            assert!(
                sockc_runtime::unload(&space.options).unwrap().removed,
                "{step}"
            );
            assert_eq!(space.tree(), Vec::<String>::new(), "{step}");
        }
    });
}

#[test]
fn an_interface_that_leaves_the_policy_is_let_go_at_the_switch() {
    inside(|space| {
        run("ip link add v0 type veth peer name v1");
        let on = |interface: &str, verdict| {
            policy("p")
                .on(&[interface])
                .rule(AttachPoint::TcIn, "in", verdict)
        };
        on("lo", TC_OK).apply(&space.options).unwrap();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&arrived);
        let options = Options {
            watch: Some(Arc::new(move |step: &str| {
                if step == "fill the sockets again" {
                    keep.lock().unwrap().push(datagram_arrives());
                }
                ControlFlow::Continue(())
            })),
            ..space.options.clone()
        };
        on("v0", TC_SHOT).apply(&options).unwrap();
        assert_eq!(*arrived.lock().unwrap(), [true]);
    });
}

#[test]
fn a_new_hook_sleeps_until_the_switch() {
    inside(|space| {
        run("ip link add v0 type veth peer name v1");
        let drops = |on: &[&str]| policy("p").on(on).rule(AttachPoint::TcIn, "in", TC_SHOT);
        drops(&["v0"]).apply(&space.options).unwrap();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&arrived);
        let options = Options {
            watch: Some(Arc::new(move |step: &str| {
                if step == "switch" || step == "remove the policy before" {
                    keep.lock().unwrap().push(datagram_arrives());
                }
                ControlFlow::Continue(())
            })),
            ..space.options.clone()
        };
        drops(&["v0", "lo"]).apply(&options).unwrap();
        assert_eq!(*arrived.lock().unwrap(), [true, false]);
    });
}
