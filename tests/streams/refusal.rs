//! Control groups that are not there, have unusual names, or are another policy's.

use std::io::Write;

use sockc_runtime::Error;
use sockc_runtime::lab::Space;

use crate::egress::{TALK, arrives};
use crate::place::*;
use crate::writes::{DATA, is_refused};

#[test]
fn a_cgroup_that_is_not_there_is_named_and_nothing_changes() {
    inside(|place| {
        let missing = TALK.replace("GROUP", "group pods = cgroup \"/no.such.slice\"");
        let error = place.try_apply(&missing).unwrap_err();
        assert!(matches!(&error, Error::Cgroup { group, .. } if group == "pods"));
        assert!(error.to_string().contains("no.such.slice"), "{error}");
        assert!(!place.unload(), "nothing was left");

        place.apply(TALK);
        place.try_apply(&missing).unwrap_err();
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(
            is_refused(&pair.client.write(DATA)),
            "the policy before holds"
        );
    });
}

#[test]
fn a_cgroup_may_have_dots_and_colons_in_its_name() {
    inside_named(".slice-pod_1:a.service", |place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        assert!(place.unload());
        pair.client.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.server));
    });
}

/// The kernel asks one policy alone about a socket: rules of another one would not hold.
#[test]
fn a_group_whose_sockets_another_policy_has_is_refused() {
    inside(|place| {
        let elsewhere = &Space::with_bpffs().unwrap();
        let below = place.group.chain(1).unwrap();
        let of_below = format!("group pods = cgroup \"{}\"", below[0].path());
        place.apply(TALK);
        for text in [TALK.to_owned(), TALK.replace("GROUP", &of_below)] {
            let error = place.try_apply_in(elsewhere, &text).unwrap_err();
            let Error::TakenIn { group, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!(group, "pods");
            assert!(error.to_string().contains("unload"), "{error}");
            assert!(!place.unload_in(elsewhere), "nothing was left");
        }
        // Calls are asked about by every policy, and who has the sockets may go on.
        let calls = "default connect allow\nGROUP\ndrop connect to 203.0.113.77";
        place.try_apply_in(elsewhere, calls).unwrap();
        place.apply(TALK);
        // What was in force for calls may not come to have the sockets either.
        place.try_apply_in(elsewhere, TALK).unwrap_err();
        assert!(place.unload());
        place.try_apply_in(elsewhere, TALK).unwrap();
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        place
            .try_apply(&TALK.replace("GROUP", &of_below))
            .unwrap_err();
        assert!(place.unload_in(elsewhere));
    });
}
