//! Programs of others on the places where ours hang: who decides first.

use std::fs;

use aya::programs::links::LinkOrder;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{SchedClassifier, SkLookup, TcAttachType};
use sockc_compiler::artifact::AttachPoint;
use sockc_runtime::{Features, LinkFate, Options, apply, forecast, probe, status};

use crate::policy::*;
use crate::space::{Space, datagram_arrives, inside, run, skip};

/// A program of somebody else that lets everything through, first on what arrives at `lo` while this lives.
fn attach_first(space: &Space) -> SchedClassifier {
    let (object, _) = policy("other")
        .on(&["lo"])
        .rule(AttachPoint::TcIn, "x", TC_OK)
        .build();
    let file = space.folder().join("other.o");
    fs::write(&file, object).unwrap();
    let there = space.options.bpffs.join("other");
    let (file, pin) = (file.display(), there.display());
    run(&format!("bpftool prog load {file} {pin} type classifier"));
    let mut program = SchedClassifier::from_pin(&there).unwrap();
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    program
        .attach_with_options("lo", TcAttachType::Ingress, first)
        .unwrap();
    program
}

fn drops() -> (Vec<u8>, sockc_compiler::artifact::Manifest) {
    policy("drops")
        .on(&["lo"])
        .rule(AttachPoint::TcIn, "in", TC_SHOT)
        .build()
}

#[test]
fn a_program_that_is_there_does_not_decide_alone() {
    if !probe().tcx {
        return skip("TCX");
    }
    inside(|space| {
        let _other = attach_first(space);
        let (object, manifest) = drops();
        let told = forecast(&object, &manifest, &space.options).unwrap();
        assert!(!told.hooks[0].foreign[0].first, "{told:?}");
        let applied = apply(&object, &manifest, &space.options).unwrap();
        assert!(!datagram_arrives());
        assert_eq!(applied.notes, Vec::<String>::new());
        let found = status(&space.options).unwrap().unwrap();
        assert!(!found.hooks[0].foreign[0].first, "{found:?}");
    });
}

#[test]
fn a_program_that_is_put_ahead_is_told_and_the_next_apply_overtakes_it() {
    if !probe().tcx {
        return skip("TCX");
    }
    inside(|space| {
        let (object, manifest) = drops();
        apply(&object, &manifest, &space.options).unwrap();
        let _other = attach_first(space);
        assert!(datagram_arrives());
        let found = status(&space.options).unwrap().unwrap();
        assert!(found.hooks[0].foreign[0].first, "{found:?}");
        let told = forecast(&object, &manifest, &space.options).unwrap();
        assert_eq!(told.hooks.len(), 1, "{told:?}");
        assert_eq!(told.hooks[0].link, LinkFate::Ahead);
        apply(&object, &manifest, &space.options).unwrap();
        assert!(!datagram_arrives());
        let found = status(&space.options).unwrap().unwrap();
        assert_eq!((found.drift.len(), found.hooks.len()), (0, 1), "{found:?}");
        assert!(found.hooks[0].alive && !found.hooks[0].foreign[0].first);
    });
}

/// Programs on one control group run in the order in which they came there.
#[test]
fn a_program_that_may_change_an_address_after_ours_is_told_by_an_apply() {
    inside(|space| {
        // Else ours are on the root of all control groups.
        let features = Features {
            kernel_types: false,
            ..probe()
        };
        let options = Options {
            features: Some(features),
            ..space.options.clone()
        };
        let calls = || {
            let group = policy("calls").group(&space.cgroup, SK_PASS);
            group.rule(AttachPoint::Connect4(0), "calls", SK_PASS)
        };
        let after = "runs after ours: it may change an address";
        let told = || {
            let notes = calls().apply(&options).unwrap().notes;
            notes.iter().any(|note| note.contains(after))
        };
        assert!(!told());
        let (object, _) = policy("other")
            .rule(AttachPoint::Connect4(0), "x", SK_PASS)
            .build();
        let file = space.folder().join("other.o");
        fs::write(&file, object).unwrap();
        let there = space.options.bpffs.join("other");
        let (file, pin) = (file.display(), there.display());
        run(&format!(
            "bpftool prog load {file} {pin} type cgroup/connect4"
        ));
        let group = space.group_folder();
        let group = group.display();
        run(&format!(
            "bpftool cgroup attach {group} connect4 pinned {pin} multi"
        ));
        assert!(told());
    });
}

#[test]
fn a_lookup_program_too_many_is_told_by_its_reason() {
    inside(|space| {
        let (object, _) = policy("other")
            .rule(AttachPoint::SkLookup, "x", SK_PASS)
            .build();
        let file = space.folder().join("other.o");
        fs::write(&file, object).unwrap();
        let there = space.options.bpffs.join("other");
        let (file, pin) = (file.display(), there.display());
        run(&format!("bpftool prog load {file} {pin} type sk_lookup"));
        let mut program = SkLookup::from_pin(&there).unwrap();
        let namespace = fs::File::open("/proc/thread-self/ns/net").unwrap();
        // A program can be in a namespace once only, so there have to be as many programs.
        let mut all = Vec::new();
        while program.attach(&namespace).is_ok() {
            all.push(program);
            fs::remove_file(&there).unwrap();
            run(&format!("bpftool prog load {file} {pin} type sk_lookup"));
            program = SkLookup::from_pin(&there).unwrap();
        }
        assert_eq!(all.len(), 64);
        let error = policy("mine")
            .rule(AttachPoint::SkLookup, "x", SK_PASS)
            .apply(&space.options)
            .unwrap_err()
            .to_string();
        assert!(error.contains("64 lookup programs"), "{error}");
        assert!(!error.contains("Argument list"), "{error}");
        assert!(status(&space.options).unwrap().is_none());
    });
}

#[test]
fn what_needs_interfaces_is_told_where_none_is_named() {
    inside(|space| {
        let socket = |drop_if_absent| {
            policy("tub")
                .rule(AttachPoint::Xdp, "x", XDP_PASS)
                .with(move |manifest| {
                    manifest.counters.clear();
                    manifest.sockets = vec![sockc_compiler::artifact::SocketSlots {
                        name: "a".to_owned(),
                        drop_if_absent,
                        origin: sockc_compiler::artifact::SlotOrigin::Registered,
                        owner: None,
                        members: 1,
                        spread_by_source: false,
                        pinned: false,
                        slots: Vec::new(),
                    }];
                })
        };
        let error = socket(true).apply(&space.options).unwrap_err().to_string();
        assert!(
            error.contains("`if absent drop` of the socket \"a\" is about the packets"),
            "{error}"
        );
        let error = policy("rules").rule(AttachPoint::Xdp, "ssh", XDP_PASS);
        let error = error.apply(&space.options).unwrap_err().to_string();
        assert!(error.contains("`ssh` (test.sk:1)"), "{error}");
    });
}
