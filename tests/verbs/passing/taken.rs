//! Interfaces that came in the place of others: with the number of one that was removed, or the name of one that was missing.

use super::{Router, ip, root};

/// What `status` says there, and how it ends.
fn status(router: &Router) -> (String, Option<i32>) {
    let ran = router.lab.server.run(|| crate::run(&["status"])).unwrap();
    (ran.stderr, ran.code)
}

/// The programs know an interface by its number. Of one that has the number of another, which the policy was on and which was
/// removed, `status` says so, and an apply ends it: also where a pattern covered that, so that nothing is missing.
#[test]
fn one_that_has_the_number_of_a_removed_one_is_told() {
    if !root() {
        return;
    }
    for (name, named) in [("passing-taken", "w2"), ("passing-covered", "w*")] {
        let router = Router::new(name);
        let lay = |line: &str| ip(&router.lab.server, line);
        lay("link add w2 index 610 type veth peer name end2");
        lay("link set w2 up");
        let rules =
            format!("default forward drop\nallow forward on interface {named} to interface far\n");
        router.apply(&format!("far, {named}"), &rules);
        let (quiet, code) = status(&router);
        assert_eq!(code, Some(0), "{quiet}");
        lay("link del w2");
        lay("link add guest index 610 type veth peer name end3");
        let (told, code) = status(&router);
        let taken = "what comes in by guest meets the rules of `forward` for w2: that was removed";
        assert!(told.contains(taken), "{told}");
        assert_eq!(code, Some(5), "{told}");
        let applied = router
            .lab
            .server
            .run(|| crate::run(&["apply", "--running", "--yes"]));
        assert_eq!(applied.unwrap().code, Some(0));
        assert!(!status(&router).0.contains("meets the rules"));
    }
}

/// What only lookups ask for is said of that alone, and so is what only `forward` asks for.
#[test]
fn lookups_and_forward_are_told_apart() {
    if !root() {
        return;
    }
    let router = Router::new("passing-apart");
    let rules = "default in allow\ndefault forward drop\nsocket proxy = tcp listen 127.0.0.1:1234\n\
                 redirect tcp 3.3.3.0/24:* on interface zz to sock proxy\n\
                 allow forward tcp on interface yy to interface far\n";
    router.apply("far", rules);
    ip(&router.lab.server, "link add yy type veth peer name zz");
    let (told, _) = status(&router);
    let lookups =
        |name: &str| told.contains(&format!("says of the interface {name} does not hold where"));
    let forward =
        |name: &str| told.contains(&format!("say of what comes in by {name} does not hold"));
    assert!(lookups("zz") && forward("yy"), "{told}");
    assert!(!lookups("yy") && !forward("zz"), "{told}");
}

/// Of a name that was missing, and that an interface got which had another one, it is not said that there is none.
#[test]
fn a_name_that_was_given_since_is_not_missing() {
    if !root() {
        return;
    }
    let router = Router::new("passing-given");
    let lay = |line: &str| ip(&router.lab.server, line);
    lay("link add up2 type veth peer name end2");
    let rules = "default forward allow\nallow forward on interface up1 to interface far\n\
                 drop forward on interface up2 to interface far\n";
    router.apply("far", rules);
    lay("link set up2 name up1");
    let (told, code) = status(&router);
    assert_eq!(code, Some(5), "{told}");
    assert!(
        told.contains("what they say of up2 does in its place"),
        "{told}"
    );
    assert!(!told.contains("there is no interface up1"), "{told}");
}
