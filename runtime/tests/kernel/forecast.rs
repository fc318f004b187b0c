//! What is said before an apply is what the kernel shows after it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use aya::programs::loaded_programs;
use sockc_compiler::artifact::AttachPoint;
use sockc_runtime::{
    Carried, Error, Forecast, LinkFate, Moved, MovedTo, Options, ProgramFate, forecast, set_add,
    status, unload,
};

use crate::live_sets::{banning, prefix};
use crate::policy::*;
use crate::space::{Space, datagram_arrives, inside, run};

/// A hook and what it is on.
type Place = (String, String);

/// What hangs at each place: the dispatcher, and the tag of the policy's program.
fn hooks(options: &Options) -> BTreeMap<Place, (u32, u64)> {
    let Some(status) = status(options).unwrap() else {
        return BTreeMap::new();
    };
    assert_eq!(status.drift, []);
    let tags: BTreeMap<u32, u64> = loaded_programs()
        .filter_map(Result::ok)
        .map(|program| (program.id(), program.tag()))
        .collect();
    let hooks = status.hooks.into_iter();
    hooks
        .map(|hook| {
            let program = tags[&hook.program.unwrap()];
            (
                (hook.hook, hook.target),
                (hook.dispatcher.unwrap(), program),
            )
        })
        .collect()
}

/// What became of each place, as the kernel shows it.
fn became(
    before: &BTreeMap<Place, (u32, u64)>,
    after: &BTreeMap<Place, (u32, u64)>,
) -> BTreeMap<Place, (LinkFate, ProgramFate)> {
    let mut all = BTreeMap::new();
    for place in before.keys().chain(after.keys()) {
        let fate = match (before.get(place), after.get(place)) {
            (Some((link, tag)), Some((now, code))) => (
                if link == now {
                    LinkFate::Kept
                } else {
                    LinkFate::Attached
                },
                if tag == code {
                    ProgramFate::Same
                } else {
                    ProgramFate::Changed
                },
            ),
            (None, _) => (LinkFate::Attached, ProgramFate::New),
            (_, None) => (LinkFate::Detached, ProgramFate::Gone),
        };
        all.insert(place.clone(), fate);
    }
    all
}

/// Says what an apply will do, applies, and compares. Saying it changes nothing.
fn comes_true(space: &Space, policy: Policy) -> Forecast {
    let options = &space.options;
    let before = hooks(options);
    let tree = space.tree();
    let (object, manifest) = policy.build();
    let told = forecast(&object, &manifest, options).unwrap();
    assert_eq!(space.tree(), tree, "nothing is touched");
    assert_eq!(hooks(options), before);
    assert_eq!(told.drift, []);
    let applied = sockc_runtime::apply(&object, &manifest, options).unwrap();
    assert_eq!(applied.generation, told.generation);
    let said: BTreeMap<Place, (LinkFate, ProgramFate)> = told
        .hooks
        .iter()
        .map(|hook| {
            (
                (hook.hook.clone(), hook.target.clone()),
                (hook.link, hook.program),
            )
        })
        .collect();
    assert_eq!(said, became(&before, &hooks(options)));
    told
}

fn tc(verdict: i32) -> Policy {
    policy("tc")
        .on(&["lo"])
        .rule(AttachPoint::TcIn, "in", verdict)
}

fn everything(space: &Space) -> Policy {
    policy("all")
        .on(&["lo", "v0"])
        .socket(0, 6, "127.0.0.1:7001")
        .rule(AttachPoint::Xdp, "x", XDP_PASS)
        .rule(AttachPoint::TcIn, "in", TC_OK)
        .rule(AttachPoint::TcOut, "out", TC_OK)
        .steer(53, 0)
        .group(&space.cgroup, SK_PASS)
}

#[test]
fn what_is_said_is_what_apply_does() {
    inside(|space| {
        run("ip link add v0 type veth peer name v1");
        let first = comes_true(space, tc(TC_SHOT));
        assert!(first.running.is_none());
        assert_eq!((first.counters.kept, first.counters.new), (0, 1));
        // The same again, other code, everything, on fewer interfaces, and back.
        let same = comes_true(space, tc(TC_SHOT));
        assert_eq!(same.running.unwrap().policy, "tc");
        assert_eq!((same.hooks.len(), same.counters.kept), (1, 1));
        comes_true(space, tc(TC_OK));
        let all = comes_true(space, everything(space));
        assert!(all.hooks.len() >= 9, "{:?}", all.hooks);
        assert_eq!(all.counters.gone, 0, "a label goes on");
        comes_true(space, everything(space));
        let back = comes_true(space, tc(TC_SHOT));
        let gone = back
            .hooks
            .iter()
            .filter(|hook| hook.link == LinkFate::Detached);
        assert_eq!(gone.count(), all.hooks.len() - 1);
        let groups: Vec<_> = back.data.iter().map(|one| (one.kind, one.fate)).collect();
        assert_eq!(groups, [("group", Carried::Goes)]);
    });
}

#[test]
fn a_lost_link_and_a_dead_one_are_attached_again() {
    inside(|space| {
        run("ip link add v0 type veth peer name v1");
        let on_v0 = || policy("v").on(&["v0"]).rule(AttachPoint::TcIn, "in", TC_OK);
        comes_true(space, on_v0());
        run("ip link del v0");
        run("ip link add v0 index 4000 type veth peer name v1");
        let (object, manifest) = on_v0().build();
        // Nobody changed what sockc left; the policy does not hold on the interface of that name, and `status` says so.
        let lost = status(&space.options).unwrap().unwrap();
        assert_eq!(lost.drift, []);
        let again = Moved {
            interface: "v0".to_owned(),
            wanted: false,
            now: MovedTo::Again,
            named: true,
        };
        assert_eq!(lost.coverage.moved, [again]);
        assert!(lost.coverage.is_open() && lost.coverage.lacks("v0"));
        let told = forecast(&object, &manifest, &space.options).unwrap();
        assert_eq!(told.drift, []);
        let fates: Vec<_> = told.hooks.iter().map(|hook| hook.link).collect();
        // The hook of the interface that was removed went with it: nothing is left to take off.
        assert_eq!(fates, [LinkFate::Attached]);
        let hung = |space: &Space| {
            let tree = space.tree();
            tree.into_iter()
                .filter(|path| path.contains("link/"))
                .collect::<Vec<_>>()
        };
        let dead = hung(space);
        sockc_runtime::apply(&object, &manifest, &space.options).unwrap();
        let mended = status(&space.options).unwrap().unwrap();
        assert_eq!(mended.drift, []);
        assert_eq!(mended.coverage.moved, []);
        assert!(!mended.coverage.is_open());
        // Its pin goes all the same.
        let alive = hung(space);
        assert_eq!((dead.len(), alive.len()), (1, 1), "{dead:?} {alive:?}");
        assert_ne!(dead, alive);
    });
}

#[test]
fn live_sets_are_kept_copied_or_refused() {
    inside(|space| {
        let with = |max| banning("b", max);
        let new = comes_true(space, with(100));
        assert_eq!(
            (new.data[0].fate, new.data[0].elements),
            (Carried::Begins, Some(1))
        );
        let more = ["192.0.2.1", "192.0.2.2"].map(prefix);
        set_add(
            &space.options,
            "banned",
            &more,
            sockc_runtime::Expiry::Never,
        )
        .unwrap();
        let kept = comes_true(space, with(100));
        assert_eq!(
            (kept.data[0].fate, kept.data[0].elements),
            (Carried::Kept, Some(3))
        );
        let copied = comes_true(space, with(200));
        assert_eq!(copied.data[0].fate, Carried::Copied);
        let (object, manifest) = with(2).build();
        let error = forecast(&object, &manifest, &space.options).unwrap_err();
        let refused = sockc_runtime::apply(&object, &manifest, &space.options).unwrap_err();
        assert_eq!(error.to_string(), refused.to_string());
        let gone = comes_true(space, tc(TC_OK));
        assert_eq!(gone.data[0].fate, Carried::Goes);
    });
}

#[test]
fn what_apply_refuses_is_refused() {
    inside(|space| {
        let nowhere = policy("p")
            .on(&["nowhere0"])
            .rule(AttachPoint::TcIn, "in", TC_OK);
        let (object, manifest) = nowhere.build();
        let error = forecast(&object, &manifest, &space.options).unwrap_err();
        assert!(matches!(error, Error::NoInterface { .. }), "{error}");
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}

#[test]
fn an_apply_that_was_told_happens_only_where_everything_stands_as_it_did() {
    inside(|space| {
        let (object, manifest) = tc(TC_SHOT).build();
        let told = |space: &Space| {
            let told = forecast(&object, &manifest, &space.options).unwrap();
            Options {
                only_if: Arc::from([told.standpoint]),
                ..space.options.clone()
            }
        };
        let apply = |options: &Options| sockc_runtime::apply(&object, &manifest, options);
        let first = told(space);
        apply(&first).unwrap();
        let again = apply(&first).unwrap_err();
        assert!(matches!(again, Error::Moved { .. }), "{again}");
        assert!(
            again.to_string().contains("nothing was in force"),
            "{again}"
        );
        let second = told(space);
        apply(&second).unwrap();
        assert!(apply(&second).is_err());
        // The same generation of the same policy, but not the same one.
        let third = told(space);
        unload(&space.options).unwrap();
        // Without a history numbers begin again.
        fs::remove_dir_all(space.options.bpffs.join("sockc-history")).unwrap();
        apply(&space.options).unwrap();
        apply(&space.options).unwrap();
        let error = apply(&third).unwrap_err();
        assert!(error.to_string().contains("anew"), "{error}");
        // What others changed is no ground for it either.
        let fourth = told(space);
        let mut tree = space.tree().into_iter();
        fs::remove_file(tree.find(|path| path.ends_with("/prog/tc_in")).unwrap()).unwrap();
        let error = apply(&fourth).unwrap_err();
        assert!(error.to_string().contains("/prog/tc_in"), "{error}");
        assert!(!datagram_arrives());
    });
}
