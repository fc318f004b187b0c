//! Control groups that are not there, or have unusual names.

use std::io::Write;

use sockc_runtime::Error;

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
