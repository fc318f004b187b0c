//! Policies on trial: what packets meet before the deadline and past it, and who may end a trial.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use sockc_compiler::artifact::AttachPoint;
use sockc_runtime::{
    Confirm, Connection, Error, Options, Settled, Streams, confirm, rollback, status, unload,
};
use sockc_testing::again;

use crate::policy::*;
use crate::space::{Space, inside, wait_until};

/// The hook, and what passes and what drops there.
type At = (AttachPoint, [i32; 2]);

const XDP: &At = &(AttachPoint::Xdp, [XDP_PASS, XDP_DROP]);
const TC_IN: &At = &(AttachPoint::TcIn, [TC_OK, TC_SHOT]);
const TC_OUT: &At = &(AttachPoint::TcOut, [TC_OK, TC_SHOT]);

fn passes((point, [pass, _]): &At) -> Policy {
    policy("passes")
        .on(&["lo"])
        .rule(point.clone(), "in", *pass)
}

fn drops((point, [_, drop]): &At) -> Policy {
    policy("drops").on(&["lo"]).rule(point.clone(), "in", *drop)
}

fn on_trial(space: &Space, within: u64) -> Options {
    Options {
        confirm: Some(Confirm {
            streams: Streams::Unknown,
            within: Duration::from_millis(within),
            connection: None,
        }),
        ..space.options.clone()
    }
}

/// Numbered datagrams over `lo`, all from one processor, so that they meet hooks in their order.
struct Traffic {
    from: UdpSocket,
    to: UdpSocket,
    sent: u32,
}

impl Traffic {
    fn new() -> Self {
        let mut one = CpuSet::new();
        let here = nix::sched::sched_getcpu().unwrap();
        one.set(here).unwrap();
        sched_setaffinity(Pid::from_raw(0), &one).unwrap();
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        to.set_nonblocking(true).unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.connect(to.local_addr().unwrap()).unwrap();
        Self { from, to, sent: 0 }
    }

    /// Sends one; gives the numbers that have arrived.
    fn send(&mut self) -> Vec<u32> {
        self.sent += 1;
        // TC on the way out tells the sender of a drop.
        let _ = self.from.send(&self.sent.to_ne_bytes());
        self.arrived()
    }

    fn arrived(&self) -> Vec<u32> {
        let mut arrived = Vec::new();
        let mut number = [0; 4];
        while again(|| self.to.recv(&mut number)).is_ok() {
            arrived.push(u32::from_ne_bytes(number));
        }
        arrived
    }

    /// Sends for so long; gives which arrived, from the first on.
    fn send_for(&mut self, time: Duration) -> Vec<bool> {
        let first = self.sent + 1;
        let began = Instant::now();
        let mut arrived = BTreeSet::new();
        while began.elapsed() < time {
            arrived.extend(self.send());
        }
        // Most have met every hook when they are sent; a thread of the kernel may have the last ones.
        let mut quiet = 0;
        while quiet < 50 {
            thread::sleep(Duration::from_millis(2));
            let late = self.arrived();
            quiet = if late.is_empty() { quiet + 1 } else { 0 };
            arrived.extend(late);
        }
        (first..=self.sent)
            .map(|one| arrived.contains(&one))
            .collect()
    }
}

/// How often an answer differs from the one before.
fn changes(answers: &[bool]) -> usize {
    answers.windows(2).filter(|two| two[0] != two[1]).count()
}

/// Nobody but the kernel does it: no thread of ours is there between the switch and the first question.
#[test]
fn past_the_deadline_the_old_policy_holds_again_and_nothing_flaps() {
    inside(|space| {
        for (at, drops_first) in [
            (XDP, true),
            (TC_IN, false),
            (TC_OUT, true),
            (XDP, false),
            (TC_IN, true),
        ] {
            let old = new_of(at, !drops_first);
            let before = old.apply(&space.options).unwrap().generation;
            let tree = space.tree();
            let mut traffic = Traffic::new();
            for _ in 0..4 {
                let applied = new_of(at, drops_first)
                    .apply(&on_trial(space, 250))
                    .unwrap();
                assert_eq!(applied.generation, before + 1);
                assert_eq!(applied.trial.map(|one| one.fallback), Some(before));
                let answers = traffic.send_for(Duration::from_millis(400));
                assert_eq!(answers.last(), Some(&!drops_first), "the old one");
                // Where the machine did not come to it, the trial was over before the first one was sent.
                assert!(changes(&answers) <= 1, "{:?}", changes(&answers));
                let found = status(&space.options).unwrap().unwrap();
                assert_eq!((found.generation, found.trial), (before, None));
                assert_eq!(found.drift, Vec::new());
                assert_eq!(space.tree(), tree, "what was on trial is removed");
            }
            unload(&space.options).unwrap();
        }
    });
}

fn new_of(at: &At, drops_first: bool) -> Policy {
    match drops_first {
        true => passes(at),
        false => drops(at),
    }
}

/// A command may come before the trial is over, and changes nothing of it.
#[test]
fn while_a_trial_runs_both_policies_stay() {
    inside(|space| {
        let options = &space.options;
        passes(TC_IN).apply(options).unwrap();
        drops(TC_IN).apply(&on_trial(space, 3_600_000)).unwrap();
        let tree = space.tree();
        let found = status(options).unwrap().unwrap();
        assert_eq!((found.generation, found.leftovers), (2, Vec::new()));
        assert_eq!(found.drift, Vec::new());
        let waiting = found.trial.unwrap();
        assert_eq!((waiting.generation, waiting.fallback), (2, 1));
        assert!(waiting.left > Duration::from_secs(3000));
        for refused in [
            passes(TC_IN).apply(options).map(drop),
            passes(TC_IN).apply(&on_trial(space, 500)).map(drop),
            unload(options).map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(
                matches!(error, Error::OnTrial { fallback: 1, .. }),
                "{error}"
            );
        }
        assert_eq!(space.tree(), tree);
        let mut traffic = Traffic::new();
        assert!(!traffic.send_for(Duration::from_millis(20)).contains(&true));
        let back = rollback(options).unwrap();
        assert_eq!((back.generation, back.now, back.since), (2, 1, None));
        assert!(!traffic.send_for(Duration::from_millis(20)).contains(&false));
        let found = status(options).unwrap().unwrap();
        assert_eq!((found.generation, found.trial), (1, None));
        // Whoever took it back knows that, and may go further; who confirms does not.
        let error = rollback(options).unwrap_err();
        let expected = Some(1);
        assert!(
            matches!(error, Error::NoneOnTrial { generation } if generation == expected),
            "{error}"
        );
        let error = confirm(options, None).unwrap_err();
        assert!(matches!(error, Error::TooLate { .. }), "{error}");
    });
}

/// Dispatchers go by the map whether it has a name or not, so nobody may say that nothing waits.
#[test]
fn what_others_took_away_confirms_nothing() {
    inside(|space| {
        let options = &space.options;
        drops(TC_IN).apply(options).unwrap();
        passes(TC_IN).apply(&on_trial(space, 1_000)).unwrap();
        let tree = space.tree();
        let mut pins = tree.iter().filter(|path| path.ends_with("trial"));
        std::fs::remove_file(space.options.bpffs.join(pins.next().unwrap())).unwrap();
        let found = status(options).unwrap().unwrap();
        assert!(
            found.drift.iter().any(|one| one.path.ends_with("trial")),
            "{:?}",
            found.drift
        );
        let error = confirm(options, None).unwrap_err();
        assert!(
            matches!(&error, Error::State { path, .. } if path.ends_with("trial")),
            "{error}"
        );
        // And so it is.
        let mut traffic = Traffic::new();
        wait_until("the policy before", || {
            traffic.send_for(Duration::from_millis(5)).last() == Some(&false)
        });
        unload(options).unwrap();
    });
}

/// Whoever takes it back while the kernel does finds the policy before, and leaves what the deadline alone would.
#[test]
fn a_rollback_at_the_deadline_changes_nothing_of_its_end() {
    inside(|space| {
        let options = &space.options;
        passes(TC_IN).apply(options).unwrap();
        let tree = space.tree();
        let mut traffic = Traffic::new();
        for early in 0..8u64 {
            drops(TC_IN).apply(&on_trial(space, 300)).unwrap();
            thread::sleep(Duration::from_millis(303 - 2 * early));
            match rollback(options) {
                Ok(settled) => assert_eq!((settled.generation, settled.now), (2, 1)),
                Err(Error::TooLate { fallback: 1, .. }) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(!traffic.send_for(Duration::from_millis(20)).contains(&false));
            let found = status(options).unwrap().unwrap();
            assert_eq!((found.generation, found.trial), (1, None));
            assert_eq!((found.drift, space.tree()), (Vec::new(), tree.clone()));
        }
        unload(options).unwrap();
    });
}

#[test]
fn what_is_confirmed_in_time_stays() {
    inside(|space| {
        let options = &space.options;
        passes(XDP).apply(options).unwrap();
        let tree = space.tree();
        for generation in 2..5 {
            drops(XDP).apply(&on_trial(space, 600)).unwrap();
            let Settled {
                now, policy, notes, ..
            } = confirm(options, None).unwrap();
            assert_eq!((now, policy.as_deref()), (generation, Some("drops")));
            assert_eq!(notes, Vec::<String>::new());
            thread::sleep(Duration::from_millis(700));
            let mut traffic = Traffic::new();
            assert!(!traffic.send_for(Duration::from_millis(20)).contains(&true));
            let found = status(options).unwrap().unwrap();
            assert_eq!((found.generation, found.trial), (generation, None));
            assert_eq!(
                space.tree().len(),
                tree.len(),
                "the policy before is removed"
            );
            let error = confirm(options, None).unwrap_err();
            assert!(
                matches!(error, Error::NoneOnTrial { generation: Some(now) } if now == generation),
                "{error}"
            );
        }
    });
}

#[test]
fn a_late_confirmation_is_told_and_changes_nothing() {
    inside(|space| {
        let options = &space.options;
        passes(TC_IN).apply(options).unwrap();
        for settled_before in [false, true] {
            drops(TC_IN).apply(&on_trial(space, 200)).unwrap();
            thread::sleep(Duration::from_millis(250));
            if settled_before {
                status(options).unwrap();
            }
            let error = confirm(options, None).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::TooLate {
                        generation: 2,
                        fallback: 1,
                        ..
                    }
                ),
                "{error}"
            );
            assert!(
                error.to_string().contains("generation 1 is in force again"),
                "{error}"
            );
            assert_eq!(status(options).unwrap().unwrap().generation, 1);
        }
        // In the last moments, too.
        drops(TC_IN).apply(&on_trial(space, 90)).unwrap();
        let error = confirm(options, None).unwrap_err();
        assert!(matches!(error, Error::TooLate { .. }), "{error}");
        let mut traffic = Traffic::new();
        assert!(
            !traffic
                .send_for(Duration::from_millis(150))
                .contains(&false)
        );
        // The next one is no trial, whatever became of this.
        drops(TC_IN).apply(options).unwrap();
        assert!(!traffic.send_for(Duration::from_millis(20)).contains(&true));
        assert_eq!(status(options).unwrap().unwrap().trial, None);
    });
}

/// Whoever is kept from running between the look at the clock and the write finds that out.
#[test]
fn a_confirmation_that_comes_after_the_deadline_is_none() {
    inside(|space| {
        passes(TC_IN).apply(&space.options).unwrap();
        drops(TC_IN).apply(&on_trial(space, 500)).unwrap();
        let slow = Options {
            watch: Some(Arc::new(|step: &str| {
                if step == "confirm" {
                    thread::sleep(Duration::from_millis(600));
                }
                ControlFlow::Continue(())
            })),
            ..space.options.clone()
        };
        let error = confirm(&slow, None).unwrap_err();
        assert!(
            matches!(
                error,
                Error::TooLate {
                    generation: 2,
                    fallback: 1,
                    ..
                }
            ),
            "{error}"
        );
        let found = status(&space.options).unwrap().unwrap();
        assert_eq!((found.generation, found.trial), (1, None));
        let mut traffic = Traffic::new();
        assert!(!traffic.send_for(Duration::from_millis(20)).contains(&false));
    });
}

#[test]
fn where_nothing_was_before_everything_passes_again() {
    inside(|space| {
        let options = &space.options;
        for by_hand in [false, true] {
            let applied = drops(TC_IN).apply(&on_trial(space, 300)).unwrap();
            assert_eq!(applied.trial.map(|one| one.fallback), Some(0));
            let mut traffic = Traffic::new();
            if by_hand {
                assert_eq!(rollback(options).unwrap().now, 0);
            }
            wait_until("the end of the trial", || !traffic.send().is_empty());
            assert_eq!(status(options).unwrap(), None);
            assert_eq!(space.tree(), Vec::<String>::new());
        }
        drops(TC_IN).apply(&on_trial(space, 600)).unwrap();
        assert_eq!(confirm(options, None).unwrap().now, 1);
        thread::sleep(Duration::from_millis(700));
        assert_eq!(status(options).unwrap().unwrap().generation, 1);
    });
}

#[test]
fn the_connection_that_was_there_before_does_not_confirm() {
    inside(|space| {
        passes(TC_IN).apply(&space.options).unwrap();
        let mut options = on_trial(space, 3_600_000);
        let from = |port: u16, began: Option<u64>| Connection {
            ends: format!("198.51.100.7 {port} 192.0.2.1 22"),
            began,
        };
        options.confirm.as_mut().unwrap().connection = Some(from(40000, None).ends);
        drops(TC_IN).apply(&options).unwrap();
        // The same one, and one that began when the machine did.
        for old in [
            from(40000, None),
            from(40000, Some(u64::MAX)),
            from(40001, Some(1)),
        ] {
            let error = confirm(&space.options, Some(&old)).unwrap_err();
            assert!(
                matches!(error, Error::SameConnection { fallback: 1, .. }),
                "{error}"
            );
        }
        assert!(status(&space.options).unwrap().unwrap().trial.is_some());
        let new = from(40001, Some(u64::MAX));
        assert_eq!(confirm(&space.options, Some(&new)).unwrap().now, 2);
    });
}

/// Hooks that only one of the policies has sleep while the other one holds.
#[test]
fn a_hook_of_one_policy_alone_sleeps_for_the_other() {
    inside(|space| {
        let options = &space.options;
        let mut traffic = Traffic::new();
        for (old, new) in [(TC_IN, XDP), (XDP, TC_OUT)] {
            drops(old).apply(options).unwrap();
            passes(new).apply(&on_trial(space, 300)).unwrap();
            let answers = traffic.send_for(Duration::from_millis(450));
            assert_eq!(answers.last(), Some(&false), "the old hook is awake again");
            assert!(changes(&answers) <= 1);
            assert_eq!(status(options).unwrap().unwrap().drift, Vec::new());
            passes(old).apply(options).unwrap();
            drops(new).apply(&on_trial(space, 300)).unwrap();
            let answers = traffic.send_for(Duration::from_millis(450));
            assert_eq!(answers.last(), Some(&true), "the new hook sleeps again");
            assert!(changes(&answers) <= 1);
            unload(options).unwrap();
        }
    });
}

#[test]
fn what_the_kernel_cannot_take_back_is_refused() {
    inside(|space| {
        let cgroup = space.cgroup.clone();
        let error = policy("streams")
            .group(&cgroup, SK_PASS)
            .apply(&on_trial(space, 300))
            .unwrap_err();
        assert!(matches!(error, Error::NoTrial { .. }), "{error}");
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}
