//! Interfaces meet the programs of their class, and programs the numbers of what the policy names.

use std::collections::BTreeSet;

use aya::maps::{Array, DevMap, HashMap, Map, MapData};
use sockc_compiler::artifact::{AttachPoint, MapKind};
use sockc_runtime::{Error, Options, status};

use crate::policy::*;
use crate::space::{Space, datagram_arrives, inside, run};

/// The pin of a map of the generation in force.
fn pinned(space: &Space, name: &str) -> MapData {
    let mut tree = space.tree().into_iter();
    let path = tree.find(|path| path.ends_with(&format!("/map/{name}")));
    MapData::from_pin(path.unwrap()).unwrap()
}

/// Drops in one zone, lets go on elsewhere.
fn zoned(pattern: &str) -> Policy {
    policy("zoned")
        .on(&["lo", "v*"])
        .class(None, &[])
        .class(Some(("shut", pattern)), &[])
        .rule(AttachPoint::TcIn, "open", TC_OK)
        .for_class(0)
        .rule(AttachPoint::TcIn, "shut", TC_SHOT)
        .for_class(1)
}

#[test]
fn an_interface_meets_the_programs_of_its_class() {
    inside(|space| {
        run("ip link add v0 type veth peer name v1");
        let targets = || -> Vec<String> {
            let found = status(&space.options).unwrap().unwrap();
            let targets = found.hooks.into_iter().map(|hook| hook.target);
            targets.collect::<BTreeSet<_>>().into_iter().collect()
        };
        zoned("v0").apply(&space.options).unwrap();
        assert!(datagram_arrives());
        assert_eq!(targets(), ["lo", "v0", "v1"]);
        let before = space
            .tree()
            .into_iter()
            .filter(|path| path.contains("/link/"));
        let before: Vec<_> = before.collect();
        // The same hook calls another program once the interface is in another class.
        zoned("lo").apply(&space.options).unwrap();
        assert!(!datagram_arrives());
        let after = space
            .tree()
            .into_iter()
            .filter(|path| path.contains("/link/"));
        assert_eq!(after.collect::<Vec<_>>(), before);
        zoned("v1").apply(&space.options).unwrap();
        assert!(datagram_arrives());
    });
}

#[test]
fn a_class_without_a_program_leaves_its_interfaces_alone() {
    inside(|space| {
        let applied = policy("p")
            .on(&["lo"])
            .class(None, &[])
            .class(None, &["lo"])
            .rule(AttachPoint::TcIn, "in", TC_SHOT)
            .for_class(0)
            .rule(AttachPoint::Xdp, "x", XDP_PASS)
            .for_class(1)
            .apply(&space.options)
            .unwrap();
        let hooks: Vec<_> = applied
            .interfaces
            .iter()
            .map(|one| one.hook.as_str())
            .collect();
        assert_eq!(hooks, ["xdp"]);
        assert!(datagram_arrives());
    });
}

#[test]
fn an_interface_in_two_zones_is_an_error_that_names_both() {
    inside(|space| {
        let error = policy("p")
            .on(&["lo"])
            .class(None, &[])
            .class(Some(("one", "lo")), &[])
            .class(Some(("two", "lo")), &[])
            .rule(AttachPoint::TcIn, "in", TC_SHOT)
            .apply(&space.options)
            .unwrap_err();
        assert!(matches!(error, Error::TwoZones { .. }), "{error}");
        assert!(datagram_arrives());
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}

#[test]
fn maps_tell_the_numbers_of_what_the_policy_names() {
    inside(|space| {
        run("ip link add v0 type veth peer name v1");
        let name = format!("/proc/{}/ns/net", std::process::id());
        let make = |port: &str| {
            let port = port.to_owned();
            zoned("v1")
                .map("interfaces", MapKind::Hash, [4, 4, 64, 0])
                .map("ports", MapKind::DevMap, [4, 8, 2, 0])
                .map("namespaces", MapKind::Array, [4, 4, 1, 0])
                .with(|manifest| {
                    manifest.out_interfaces = vec!["lo".to_owned(), port];
                    manifest.namespaces = vec![name.clone()];
                })
        };
        make("v0").apply(&space.options).unwrap();
        let index = nix::net::if_::if_nametoindex;
        let classes = HashMap::<_, u32, u32>::try_from(Map::HashMap(pinned(space, "interfaces")));
        let classes: Vec<_> = classes.unwrap().iter().map(Result::unwrap).collect();
        assert_eq!(classes, [(index("v1").unwrap(), 2)]);
        let ports = DevMap::try_from(Map::DevMap(pinned(space, "ports"))).unwrap();
        let ports = [0, 1].map(|slot| ports.get(slot, 0).unwrap().if_index);
        assert_eq!(ports, [index("lo").unwrap(), index("v0").unwrap()]);
        let id = || {
            let map = Map::Array(pinned(space, "namespaces"));
            Array::<_, u32>::try_from(map).unwrap().get(&0, 0).unwrap()
        };
        let first = id();
        assert_ne!(first, 0);
        make("v0").apply(&space.options).unwrap();
        assert_eq!(id(), first, "an id is assigned once");
        let error = make("v9").apply(&space.options).unwrap_err().to_string();
        assert!(error.contains("no interface \"v9\""), "{error}");
    });
}

#[test]
fn a_namespace_that_a_rule_names_must_be_there() {
    inside(|space| {
        let error = policy("p")
            .on(&["lo"])
            .rule(AttachPoint::TcIn, "in", TC_OK)
            .map("namespaces", MapKind::Array, [4, 4, 1, 0])
            .with(|manifest| manifest.namespaces = vec!["sockc-nowhere".to_owned()])
            .apply(&Options::clone(&space.options))
            .unwrap_err();
        assert!(error.to_string().contains("sockc-nowhere"), "{error}");
        assert_eq!(space.tree(), Vec::<String>::new());
    });
}
