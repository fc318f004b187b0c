//! Every hook, by every means.

use sockc_compiler::artifact::AttachPoint;
use sockc_runtime::{Features, Means, counters, probe, status, unload};

use crate::policy::*;
use crate::space::{datagram_arrives, inside, run, skip};

#[test]
fn xdp_drops_on_lo_in_the_generic_path() {
    inside(|space| {
        let applied = policy("a")
            .on(&["lo"])
            .rule(AttachPoint::Xdp, "r", XDP_DROP)
            .apply(&space.options)
            .unwrap();
        assert_eq!(applied.generation, 1);
        assert_eq!(applied.interfaces[0].means, Means::XdpGeneric);
        assert!(!datagram_arrives());
        let counted = counters(&space.options).unwrap();
        assert_eq!((counted[0].packets, counted[0].bytes), (1, 100));
        assert!(unload(&space.options).unwrap().removed);
        assert!(datagram_arrives());
    });
}

#[test]
fn xdp_is_native_where_the_driver_can() {
    inside(|space| {
        run("ip link add v0 type veth peer name v1");
        let applied = policy("a")
            .on(&["v?"])
            .rule(AttachPoint::Xdp, "r", XDP_PASS)
            .apply(&space.options)
            .unwrap();
        let means: Vec<_> = applied.interfaces.iter().map(|hook| hook.means).collect();
        assert_eq!(means, [Means::XdpNative; 2]);
    });
}

#[test]
fn xdp_falls_back_where_frames_are_too_large() {
    inside(|space| {
        run("ip link add v0 mtu 9000 type veth peer name v1 mtu 9000");
        let applied = policy("a")
            .on(&["v0"])
            .rule(AttachPoint::Xdp, "r", XDP_PASS)
            .apply(&space.options)
            .unwrap();
        assert_eq!(applied.interfaces[0].means, Means::XdpGeneric);
    });
}

#[test]
fn tc_drops_both_ways_by_tcx_and_by_clsact() {
    for (tcx, means) in [(true, Means::Tcx), (false, Means::Clsact)] {
        if tcx && !probe().tcx {
            skip("TCX");
            continue;
        }
        for point in [AttachPoint::TcIn, AttachPoint::TcOut] {
            inside(move |space| {
                let features = Features { tcx, ..probe() };
                let options = sockc_runtime::Options {
                    features: Some(features),
                    ..space.options.clone()
                };
                let applied = policy("a")
                    .on(&["lo"])
                    .rule(point.clone(), "r", TC_SHOT)
                    .apply(&options)
                    .unwrap();
                assert_eq!(applied.interfaces[0].means, means);
                assert!(!datagram_arrives(), "{point:?} {means:?}");
                policy("b")
                    .on(&["lo"])
                    .rule(point.clone(), "r", TC_OK)
                    .apply(&options)
                    .unwrap();
                assert!(datagram_arrives(), "{point:?} {means:?}");
                assert_eq!(counters(&options).unwrap()[0].packets, 2);
                policy("c")
                    .on(&["lo"])
                    .rule(point, "r", TC_SHOT)
                    .apply(&options)
                    .unwrap();
                assert!(!datagram_arrives());
                assert!(unload(&options).unwrap().removed);
                assert!(datagram_arrives());
                assert_eq!(space.tree(), Vec::<String>::new());
            });
        }
    }
}

#[test]
fn a_lost_filter_is_told_and_attached_again() {
    inside(|space| {
        let options = sockc_runtime::Options {
            features: Some(Features {
                tcx: false,
                ..probe()
            }),
            ..space.options.clone()
        };
        let drops = || {
            policy("a")
                .on(&["lo"])
                .rule(AttachPoint::TcIn, "r", TC_SHOT)
        };
        drops().apply(&options).unwrap();
        assert!(status(&options).unwrap().unwrap().hooks[0].alive);
        run("tc qdisc del dev lo clsact");
        let found = status(&options).unwrap().unwrap();
        assert!(!found.hooks[0].alive);
        // The program's own pin is as it was left.
        let [told] = found.drift.as_slice() else {
            panic!("{found:?}");
        };
        assert!(told.found.contains("nothing calls it"), "{told}");
        assert!(datagram_arrives());
        drops().apply(&options).unwrap();
        assert!(!datagram_arrives());
        assert!(unload(&options).unwrap().removed);
        assert!(datagram_arrives());
    });
}

#[test]
fn one_switch_moves_every_hook() {
    inside(|space| {
        let all = |name: &str, verdict| {
            policy(name)
                .on(&["lo"])
                .rule(AttachPoint::Xdp, "x", XDP_PASS)
                .rule(AttachPoint::TcIn, "i", verdict)
                .rule(AttachPoint::TcOut, "o", TC_OK)
                .rule(AttachPoint::SkLookup, "l", SK_PASS)
        };
        all("a", TC_SHOT).apply(&space.options).unwrap();
        assert!(!datagram_arrives());
        let before = status(&space.options).unwrap().unwrap();
        all("b", TC_OK).apply(&space.options).unwrap();
        assert!(datagram_arrives());
        let after = status(&space.options).unwrap().unwrap();
        assert_eq!(after.policy, "b");
        assert_eq!(after.hooks.len(), 4);
        for (before, after) in before.hooks.iter().zip(&after.hooks) {
            assert!(after.alive);
            assert_eq!(before.dispatcher, after.dispatcher, "links stay");
            assert_ne!(before.program, after.program, "programs change");
        }
        let packets: Vec<u64> = counters(&space.options)
            .unwrap()
            .iter()
            .map(|one| one.packets)
            .collect();
        assert_eq!(
            packets,
            [2, 2, 2, 1],
            "carried over by label; a drop at TC comes before the lookup"
        );
    });
}

#[test]
fn hooks_come_and_go_with_the_policy() {
    inside(|space| {
        run("ip link add v0 type veth peer name v1");
        let names = |space: &crate::space::Space| -> Vec<(String, String)> {
            let status = status(&space.options).unwrap().unwrap();
            status
                .hooks
                .into_iter()
                .map(|hook| (hook.hook, hook.target))
                .collect()
        };
        let pair = |hook: &str, target: &str| (hook.to_owned(), target.to_owned());
        policy("a")
            .on(&["v0"])
            .rule(AttachPoint::Xdp, "r", XDP_PASS)
            .apply(&space.options)
            .unwrap();
        assert_eq!(names(space), [pair("xdp", "v0")]);
        policy("b")
            .on(&["v1", "lo"])
            .rule(AttachPoint::TcIn, "r", TC_SHOT)
            .apply(&space.options)
            .unwrap();
        assert_eq!(names(space), [pair("tc-in", "lo"), pair("tc-in", "v1")]);
        assert!(!datagram_arrives());
        run("ip link del v0");
        let status = status(&space.options).unwrap().unwrap();
        assert_eq!(
            status
                .hooks
                .iter()
                .map(|hook| hook.alive)
                .collect::<Vec<_>>(),
            [true, false]
        );
        run("ip link add v0 type veth peer name v1");
        policy("c")
            .on(&["v1", "lo"])
            .rule(AttachPoint::TcIn, "r", TC_OK)
            .apply(&space.options)
            .unwrap();
        assert_eq!(names(space), [pair("tc-in", "lo"), pair("tc-in", "v1")]);
        assert!(
            sockc_runtime::status(&space.options)
                .unwrap()
                .unwrap()
                .hooks
                .iter()
                .all(|hook| hook.alive)
        );
    });
}
