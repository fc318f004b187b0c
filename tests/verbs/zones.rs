//! Interfaces that the patterns of two zones cover: they keep no other from having its policy, and are told.

use sockc_runtime::lab::{FRONT, Lab};

use super::interfaces::Place;
use super::root;

/// Zones whose patterns have names in common, which only an interface of such a name shows.
const TWO_ZONES: &str = "zone left = FRONT, u*
zone right = *d
default in drop
ssh: allow tcp to port 22 on zone left
dns: allow udp to port 53 on zone right
";

#[test]
fn an_interface_in_two_zones_keeps_no_other_open() {
    if !root() {
        return;
    }
    let text = TWO_ZONES.replace("FRONT", FRONT);
    let place = Place::of("two-zones", Lab::new().unwrap(), &text);
    place.apply();
    place.ip("link add ud type veth peer name p-ud0");
    place.ip("link add u1 type veth peer name p-u10");
    let in_two = "the interface \"ud\" is in two zones, \"left\" and \"right\": the policy does not hold on it";
    let said = place.status(5);
    assert!(said.contains(in_two), "{said}");
    assert!(said.contains("is for the interface u1 and"), "{said}");
    assert!(!said.contains("is for the interface ud"), "{said}");

    // The others are taken in, and it is told why this one is not.
    let applied = place.done(&["apply", "--running"]);
    assert!(applied.stderr.contains(in_two), "{}", applied.stderr);
    assert_eq!(place.held(), [FRONT, "u1"]);
    let said = place.status(5);
    assert!(
        said.contains(in_two) && !said.contains("--running"),
        "{said}"
    );
    let json = place.run(&["status", "--json"]).json();
    let told = &json["interfaces"]["two_zones"][0];
    assert_eq!(told["interface"], "ud", "{json}");
    assert_eq!(told["zones"].to_string(), "[\"left\",\"right\"]");
    assert!(told["held_as"].is_null(), "{json}");

    // One that the policy holds on and that gets such a name: it stays on it.
    place.ip("link del ud");
    place.status(0);
    place.ip("link set u1 name u2d");
    let stays =
        "\"u2d\" is in two zones, \"left\" and \"right\": the policy stays on it as on \"u1\"";
    for _ in 0..2 {
        let said = place.status(0);
        assert!(said.contains(stays), "{said}");
        assert!(!said.contains("until the next `sockc apply`"), "{said}");
        let applied = place.done(&["apply", "--running"]);
        assert!(applied.stderr.contains(stays), "{}", applied.stderr);
        assert_eq!(place.held(), [FRONT, "u1"]);
    }
    let json = place.run(&["status", "--json"]).json();
    assert_eq!(
        json["interfaces"]["two_zones"][0]["held_as"], "u1",
        "{json}"
    );
    // A file is refused, since it may say otherwise.
    let refused = place.run(&["apply", &place.policy]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
}

/// The same where no packet rule hangs on an interface, and only lookups ask for zones.
#[test]
fn an_interface_in_two_zones_is_told_where_only_lookups_ask() {
    if !root() {
        return;
    }
    let text = "zone left = u*\nzone right = *d\nsocket web = tcp listen 127.0.0.1:8080\n\
                redirect tcp to port 80 on zone left to sock web\nredirect tcp to port 81 on zone right to sock web\n";
    let place = Place::of("two-zones-lookups", Lab::new().unwrap(), text);
    place.apply();
    place.ip("link add ud type veth peer name p-ud1");
    let said = place.status(5);
    assert!(said.contains("\"ud\" is in two zones"), "{said}");
    place.done(&["apply", "--running"]);
}
