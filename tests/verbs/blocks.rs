//! What is said of `for netns` blocks that come and go, and of the live sets that they share with the policy around.

use std::os::fd::AsRawFd;
use std::process::id;
use std::thread;

use sockc_runtime::lab::{Netlink, Space};

use super::spaces::{BLOCK, Place, answers, listener};
use super::{Ran, ip, root, run};

/// The host's policy without its block.
const WITHOUT: &str = "interfaces lo
default in allow
drop tcp to port 81
";

impl Place {
    fn other(&self) -> &Space {
        &self.other.as_ref().unwrap().space
    }

    fn file(&self, text: &str) -> String {
        self.folder
            .file("blocks.sk", &text.replace("NAME", &self.name))
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    fn plan(&self, text: &str) -> (String, serde_json::Value) {
        let file = self.file(text);
        let said = self.done(&["plan", &file]).stdout;
        (said, self.done(&["plan", &file, "--json"]).json())
    }
}

#[test]
fn a_namespace_that_opens_with_its_block_is_told_of() {
    if !root() {
        return;
    }
    let place = Place::new("opens");
    let up = || Netlink::open().unwrap().up("lo").unwrap();
    place.other().run(up).unwrap();
    let _listens = listener(place.other());
    let opens = format!(
        "the policy of the network namespace \"{}\" goes, with its block: every packet passes on lo",
        place.name
    );
    let notes = |ran: &Ran| ran.json()["notes"].to_string();
    for next in [WITHOUT.to_owned(), format!("policy other\n{WITHOUT}")] {
        place.apply(BLOCK);
        assert!(!answers(place.other()));
        let (said, json) = place.plan(&next);
        let packets = format!(
            "packets on lo in netns \"{}\": the policy's verdicts -> allow",
            place.name
        );
        assert!(said.contains(&packets) && said.contains(&opens), "{said}");
        let left = &json["interfaces"][0];
        assert_eq!(left["netns"], place.name.as_str(), "{json}");
        assert_eq!(
            (left["interface"].as_str(), left["to"].as_str()),
            (Some("lo"), Some("allow"))
        );
        let file = place.file(&next);
        let applied = place.done(&["apply", &file]);
        assert!(applied.stderr.contains(&opens), "{}", applied.stderr);
        assert!(answers(place.other()));
        place.apply(BLOCK);
        let applied = place.done(&["apply", &place.file(&next), "--json"]);
        assert!(notes(&applied).contains("goes, with its block"));
        assert!(answers(place.other()));
    }
    place.apply(BLOCK);
    let said = place.done(&["unload", "--yes"]).stderr;
    assert!(said.contains(&opens), "{said}");
    assert!(answers(place.other()));
    place.apply(BLOCK);
    let unloaded = place.done(&["unload", "--yes", "--json"]);
    assert!(
        notes(&unloaded).contains(&place.name),
        "{}",
        unloaded.stdout
    );
}

/// A live set of the host, and a rule in the block.
fn shared(max: u32, rule: &str) -> String {
    format!(
        "interfaces lo\ndefault in allow\nlive set banned max {max} = {{ 192.0.2.1 }}\ndrop from @banned\n\
         for netns \"NAME\" {{\n    interfaces lo\n    default in allow\n    {rule}\n}}\n"
    )
}

const USES: &str = "drop from @banned";
const USES_NONE: &str = "drop tcp to port 81";

#[test]
fn a_live_set_that_a_block_shares_is_one_set_for_plan_too() {
    if !root() {
        return;
    }
    let mut place = Place::new("shared");
    place.apply(&shared(10, USES_NONE));
    place.done(&["set", "add", "banned", "198.51.100.1"]);
    let inner = |json: &serde_json::Value| json["kernel"]["netns"][0]["kernel"]["data"].clone();
    let is_kept = |place: &Place, text: &str| {
        let (said, json) = place.plan(text);
        assert_eq!(said.matches("goes on with 2 elements").count(), 2, "{said}");
        let data = inner(&json);
        assert_eq!(data[0]["fate"], "kept", "{json}");
        assert_eq!(data[0]["elements"], 2, "{json}");
    };
    is_kept(&place, &shared(10, USES));
    place.apply(&shared(10, USES));
    let list = place.done(&["set", "list", "banned", "--netns", &place.name]);
    assert!(list.stdout.contains("198.51.100.1"), "{}", list.stdout);
    let same = place.run(&["plan", &place.file(&shared(10, USES)), "--exit-code"]);
    assert_eq!(same.code, Some(0), "{}", same.stdout);
    assert!(same.stdout.contains("No change"), "{}", same.stdout);
    // Back again: it stays with the policy around.
    let (said, json) = place.plan(&shared(10, USES_NONE));
    assert!(!said.contains("goes, with"), "{said}");
    assert_eq!(inner(&json), serde_json::json!([]));
    place.apply(&shared(10, USES_NONE));
    let list = place.done(&["set", "list", "banned"]).stdout;
    assert!(list.contains("198.51.100.1"), "{list}");
    place.apply(&shared(10, USES));
    place.make_anew();
    is_kept(&place, &shared(10, USES));
    place.apply(&shared(10, USES));
    let (said, json) = place.plan(&shared(20, USES));
    assert_eq!(inner(&json)[0]["fate"], "copied", "{json}");
    assert!(
        said.contains(
            "gets maps of another size or kind, with 2 elements; commands that change it wait"
        ),
        "{said}"
    );
}

#[test]
fn what_is_put_into_a_set_while_it_gets_another_size_is_in_it() {
    if !root() {
        return;
    }
    let place = Place::new("resized");
    place.apply(&shared(100, USES));
    let name = &place.name;
    let (address, many) = (|index: usize| format!("10.0.0.{index}"), 24);
    thread::scope(|scope| {
        let put = scope.spawn(|| {
            for index in 0..many {
                let address = address(index);
                let within = ["--netns", name.as_str()];
                let rest = if index % 2 == 0 { &within[..] } else { &[] };
                let words = [&["set", "add", "banned", &address][..], rest].concat();
                let ran = place.lab.server.run(|| run(&words)).unwrap();
                assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            }
        });
        let mut size = 100;
        while !put.is_finished() {
            size += 1;
            place.apply(&shared(size, USES));
        }
        put.join().unwrap();
        assert!(size > 102, "applied {} times only", size - 100);
    });
    let list = place.done(&["set", "list", "banned"]).stdout;
    for index in 0..many {
        let line = address(index);
        assert!(list.contains(&line), "{line}: {list}");
    }
}

#[test]
fn an_interface_that_a_block_names_and_lacks_is_missing_in_its_namespace() {
    if !root() {
        return;
    }
    let place = Place::new("lacks");
    let text = BLOCK.replace("    interfaces lo", "    interfaces lo, nope0");
    let file = place.file(&text);
    let words = format!(
        "there is no interface \"nope0\" in the network namespace \"{}\"; it has lo",
        place.name
    );
    for verb in ["plan", "apply"] {
        let ran = place.run(&[verb, &file]);
        assert_eq!(ran.code, Some(3), "{verb}: {}", ran.stderr);
        assert!(ran.stderr.contains(&words), "{verb}: {}", ran.stderr);
    }
    // One of its own is missing here.
    let file = place.file(&WITHOUT.replace("interfaces lo", "interfaces nope0"));
    let own = place.run(&["apply", &file]).stderr;
    assert!(own.contains("\"nope0\" in this network namespace"), "{own}");
}

#[test]
fn a_saved_plan_names_the_block_whose_namespace_was_made_again() {
    if !root() {
        return;
    }
    let mut place = Place::new("saved");
    let file = place.file(BLOCK);
    let plan = place.folder.0.join("saved.plan");
    let plan = plan.to_str().unwrap();
    place.done(&["plan", &file, "-o", plan]);
    place.make_anew();
    let refused = place.run(&["apply", plan]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    let words = format!("for another network namespace \"{}\" than", place.name);
    assert!(refused.stderr.contains(&words), "{}", refused.stderr);
}

const HANDED: &str = "interfaces lo
default in allow
socket reg = registered
redirect tcp 192.0.2.9:80 to sock reg
";

#[test]
fn a_socket_that_nobody_handed_over_stays_absent() {
    if !root() {
        return;
    }
    let place = Place::new("handed");
    place.apply(HANDED);
    let (said, _) = place.plan(HANDED);
    assert!(
        said.contains("is absent until `sockc socket register reg …`"),
        "{said}"
    );
    assert!(!said.contains("keeps what was handed over"), "{said}");
    let same = place.run(&["plan", &place.file(HANDED), "--exit-code"]);
    assert_eq!(same.code, Some(0), "{}", same.stdout);
    let listens = listener(&place.lab.server);
    let (pid, fd) = (id().to_string(), listens.as_raw_fd().to_string());
    place.done(&["socket", "register", "reg", "--pid", &pid, "--fd", &fd]);
    let (said, _) = place.plan(HANDED);
    assert!(said.contains("keeps what was handed over"), "{said}");
}

/// A block with rules for its sockets, too.
const LOOKS_UP: &str = "interfaces lo
default in allow
for netns \"NAME\" {
    interfaces lo
    default in allow
    drop tcp to port 80
    reject tcp to port 9 at sk_lookup
}
";

#[test]
fn the_sockets_that_open_with_a_block_are_told_of() {
    if !root() {
        return;
    }
    let place = Place::new("sockets");
    let sockets = format!(
        "sockets in netns \"{}\": the policy's verdicts -> allow",
        place.name
    );
    // One without rules for lookups has nothing to do with its sockets.
    for (block, opens) in [(LOOKS_UP, true), (BLOCK, false)] {
        place.apply(block);
        let (said, json) = place.plan(WITHOUT);
        assert_eq!(said.contains(&sockets), opens, "{said}");
        let of_sockets = |one: &&serde_json::Value| one["interface"].is_null();
        let all = json["interfaces"].as_array().unwrap();
        assert_eq!(all.iter().filter(of_sockets).count(), usize::from(opens));
    }
}

#[test]
fn an_interface_that_opens_with_a_block_is_told_by_its_name_of_now() {
    if !root() {
        return;
    }
    let place = Place::new("called");
    ip(place.other(), "link add inside type veth peer name far");
    place.apply(&BLOCK.replace("    interfaces lo", "    interfaces inside"));
    ip(place.other(), "link set inside name called");
    let opens = format!(
        "the policy of the network namespace \"{}\" goes, with its block: every packet passes on called",
        place.name
    );
    let packets = format!(
        "packets on called in netns \"{}\": the policy's verdicts -> allow",
        place.name
    );
    let (said, json) = place.plan(WITHOUT);
    for words in [&opens, &packets] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("on inside"), "{said}");
    assert_eq!(json["interfaces"][0]["interface"], "called", "{json}");
    let applied = place.done(&["apply", &place.file(WITHOUT)]).stderr;
    assert!(applied.contains(&opens), "{applied}");
}

/// The host has no live set any more; the block has one of its own.
const OWN: &str = "interfaces lo
default in allow
drop tcp to port 81
for netns \"NAME\" {
    interfaces lo
    default in allow
    live set banned max 10 = { 203.0.113.1 }
    drop from @banned
}
";

#[test]
fn a_live_set_that_goes_around_a_block_is_not_the_one_that_the_block_declares() {
    if !root() {
        return;
    }
    let place = Place::new("own");
    place.apply(&shared(10, USES_NONE));
    place.done(&["set", "add", "banned", "198.51.100.1"]);
    let fates = |json: &serde_json::Value| {
        let kernel = &json["kernel"];
        [&kernel["data"], &kernel["netns"][0]["kernel"]["data"]].map(|data| {
            let data = data.as_array().unwrap().iter();
            let one = data.map(|one| (one["fate"].clone(), one["elements"].clone()));
            one.collect::<Vec<_>>()
        })
    };
    let of = |fate: &str, elements: u32| vec![(fate.into(), elements.into())];
    let (_, json) = place.plan(OWN);
    assert_eq!(fates(&json), [of("goes", 2), of("begins", 1)], "{json}");
    place.apply(OWN);
    let within = ["set", "list", "banned", "--netns", &place.name];
    let list = place.done(&within).stdout;
    assert!(list.contains("203.0.113.1"), "{list}");
    assert!(!list.contains("198.51.100.1"), "{list}");
}

#[test]
fn a_namespace_that_only_has_another_name_is_no_other_one() {
    if !root() {
        return;
    }
    let place = Place::new("othername");
    place.apply(BLOCK);
    let other = format!("{}-b", place.name);
    let path = |name: &str| format!("/run/netns/{name}");
    std::fs::rename(path(&place.name), path(&other)).unwrap();
    let text = BLOCK.replace("NAME", &other);
    let (said, json) = place.plan(&text);
    let (stricter, more) = place.plan(&text.replace("port 80", "port { 80, 82 }"));
    let again = place.done(&["plan", &place.file(&text), "--exit-code"]);
    std::fs::rename(path(&other), path(&place.name)).unwrap();

    assert!(said.contains("No change in effect"), "{said}");
    let told = format!(
        "the network namespace \"{other}\" is the one that the policy in force calls \"{}\"",
        place.name
    );
    assert!(said.contains(&told), "{said}");
    assert_eq!(json["changes"].as_array().unwrap().len(), 0, "{json}");
    assert!(json["notes"].to_string().contains(&other), "{json}");
    assert!(again.stdout.contains("No change"), "{}", again.stdout);
    // What changes by its rules is told under its name.
    let changes = more["changes"].as_array().unwrap();
    assert!(!changes.is_empty(), "{stricter}");
    for change in changes {
        assert_eq!(change["netns"], other.as_str(), "{more}");
        assert_eq!(
            (&change["from"], &change["to"]),
            (&"allow".into(), &"drop".into()),
            "{more}"
        );
    }
}
