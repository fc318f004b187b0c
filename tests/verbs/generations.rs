//! Generations: kept, listed, shown, compared and brought back, without their files.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sockc_compiler::object;
use sockc_runtime::lab::{BPFFS, FRONT, Lab, Space};
use sockc_runtime::{Options, apply as put_in_force};

use super::{Folder, Ran, root, run};

/// A space where policies come and go.
struct Scene {
    space: Space,
    folder: Folder,
}

impl Scene {
    fn new(name: &str) -> Self {
        Self {
            space: Space::with_bpffs().unwrap(),
            folder: Folder::new(name),
        }
    }

    fn sockc(&self, arguments: &[&str]) -> Ran {
        self.space.run(|| run(arguments)).unwrap()
    }

    fn must(&self, arguments: &[&str]) -> Ran {
        let ran = self.sockc(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran
    }

    /// Puts a policy in force that drops what comes to a port.
    fn apply(&self, port: u16, more: &[&str]) -> Ran {
        let path = self.policy(port);
        self.must(&[&["apply", &path][..], more].concat())
    }

    fn policy(&self, port: u16) -> String {
        let text = text(port);
        self.folder.file(&format!("p{port}.sk"), &text)
    }

    fn history(&self) -> Value {
        self.must(&["history", "--json"]).json()
    }

    /// The generations that are listed, and the one in force.
    fn numbers(&self) -> (Vec<u64>, Option<u64>) {
        numbers(&self.history())
    }

    /// The pins of the history; those of this namespace, which is the only one in its bpf file system.
    fn pins(&self) -> PathBuf {
        let find = || {
            let all = Path::new(BPFFS).join("sockc-history");
            let mut found = fs::read_dir(all).unwrap();
            let only = found.next().unwrap().unwrap().path();
            assert!(found.next().is_none());
            only
        };
        self.space.run(find).unwrap()
    }
}

fn text(port: u16) -> String {
    format!("policy p{port}\ninterfaces lo\ndefault in allow\ndrop udp to port {port}\n")
}

fn numbers(history: &Value) -> (Vec<u64>, Option<u64>) {
    let rows = history["generations"].as_array().unwrap().iter();
    let all = rows.map(|row| row["generation"].as_u64().unwrap());
    (all.collect(), history["in_force"].as_u64())
}

#[test]
fn what_was_in_force_comes_back_without_its_file() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("rollback"));
    lab.serve("1.1.1.77".parse().unwrap(), 32).unwrap();
    let server = |arguments: &[&str]| lab.server.run(|| run(arguments)).unwrap();
    let _listener = lab
        .server
        .run(|| TcpListener::bind("1.1.1.77:53").unwrap())
        .unwrap();
    let connects = || {
        let to: SocketAddr = "1.1.1.77:53".parse().unwrap();
        let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok();
        lab.client.run(connect).unwrap()
    };
    let open = folder.file("edge.sk", "default in drop\nallow tcp to port 53\n");
    let applied = server(&["apply", &open, "--interface", FRONT, "--note", "NET-88"]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(connects());
    let shut = folder.file("shut.sk", "default in drop\nallow tcp to port 54\n");
    assert_eq!(
        server(&["apply", &shut, "--interface", FRONT]).code,
        Some(0)
    );
    assert!(!connects());
    for file in [&open, &shut] {
        fs::remove_file(file).unwrap();
    }

    let back = server(&["rollback", "--note", "taken back"]);
    assert_eq!(back.code, Some(0), "{}", back.stderr);
    for words in [
        "policy \"edge\" is in force, generation 3\n",
        "generation 3 is what generation 1 was\n",
        FRONT,
    ] {
        assert!(back.stdout.contains(words), "{words}\n{}", back.stdout);
    }
    assert!(connects());

    let history = server(&["history", "--json"]).json();
    assert_eq!(numbers(&history), (vec![3, 2, 1], Some(3)));
    let [now, shut_row, first] = [0, 1, 2].map(|place| history["generations"][place].clone());
    assert_eq!(now["again"], 1);
    assert_eq!(now["file"], open.as_str());
    assert_eq!(now["note"], "taken back");
    assert_eq!(now["in_force"], true);
    assert_eq!(now["digest"], first["digest"]);
    assert_eq!(shut_row["file"], shut.as_str());
    assert_eq!(shut_row["note"], Value::Null);
    assert_eq!(first["note"], "NET-88");
    assert_eq!((&first["uid"], &first["user"]), (&0.into(), &"root".into()));
    assert_eq!(
        (&first["rules"], &first["policy"]),
        (&1.into(), &"edge".into())
    );
    assert_eq!(first["interfaces"][0], FRONT);
    let status = server(&["status", "--json"]).json();
    assert_eq!(status["digest"], now["digest"]);
    assert_eq!(status["rules"], now["rules"]);

    let table = server(&["history"]).stdout;
    for words in ["3 (in force)", "root", "NET-88", "generation 1 (", &shut] {
        assert!(table.contains(words), "{words}\n{table}");
    }
    // Back and forth.
    assert_eq!(server(&["rollback", "2"]).code, Some(0));
    assert!(!connects());
    let json = server(&["rollback", "1", "--json"]).json();
    assert_eq!(
        (&json["generation"], &json["again"]),
        (&5.into(), &1.into())
    );
    assert!(connects());
}

#[test]
fn five_are_kept_and_what_is_the_same_counts_once() {
    if !root() {
        return;
    }
    let scene = Scene::new("five");
    for port in 1..=7 {
        scene.apply(port, &[]);
    }
    assert_eq!(scene.numbers(), (vec![7, 6, 5, 4, 3, 2], Some(7)));
    // A timer that applies the same again and again pushes nothing out.
    for _ in 0..3 {
        scene.apply(7, &[]);
    }
    scene.must(&["apply", "--running"]);
    assert_eq!(scene.numbers(), (vec![11, 6, 5, 4, 3, 2], Some(11)));
    let gone = scene.sockc(&["rollback", "1"]);
    assert_eq!(gone.code, Some(4), "{}", gone.stderr);
    let words = "generation 1 is not kept; kept are 11, 6, 5, 4, 3, 2";
    assert!(gone.stderr.contains(words), "{}", gone.stderr);
    let now = scene.sockc(&["rollback", "11"]);
    assert_eq!(now.code, Some(4), "{}", now.stderr);
    assert!(now.stderr.contains("11 is in force"), "{}", now.stderr);
    // The last one again came from a file, and `--running` knows which.
    let file = &scene.history()["generations"][0]["file"];
    assert_eq!(*file, scene.policy(7).as_str());
}

#[test]
fn an_unload_is_taken_back_and_numbers_go_on() {
    if !root() {
        return;
    }
    let scene = Scene::new("unloaded");
    let nothing = scene.sockc(&["rollback"]);
    assert_eq!(nothing.code, Some(4), "{}", nothing.stderr);
    let empty = scene.must(&["history"]).stdout;
    assert_eq!(
        empty,
        "no policy is in force in this network namespace\nno generation is kept\n"
    );
    for port in 1..=7 {
        scene.apply(port, &[]);
    }
    scene.must(&["unload"]);
    assert_eq!(scene.numbers(), (vec![7, 6, 5, 4, 3], None));
    let back = scene.must(&["rollback"]).stdout;
    assert!(
        back.contains("generation 8 is what generation 7 was"),
        "{back}"
    );
    assert_eq!(scene.numbers(), (vec![8, 6, 5, 4, 3], Some(8)));
    scene.must(&["unload"]);
    scene.apply(9, &[]);
    assert_eq!(scene.numbers(), (vec![9, 8, 6, 5, 4, 3], Some(9)));
}

/// What is kept and is not as sockc left it is told and not used, and keeps no policy from coming or going.
#[test]
fn a_damaged_history_is_told_and_in_nobodys_way() {
    if !root() {
        return;
    }
    let scene = Scene::new("damaged");
    for port in 1..=4 {
        scene.apply(port, &[]);
    }
    let pins = scene.pins();
    let change = || {
        fs::remove_file(pins.join("1")).unwrap();
        symlink(pins.join("3"), pins.join("1")).unwrap();
        fs::rename(pins.join("2"), pins.join("spare")).unwrap();
        fs::create_dir(pins.join("2")).unwrap();
        fs::remove_file(pins.join("3")).unwrap();
        fs::hard_link(pins.join("4"), pins.join("3")).unwrap();
    };
    scene.space.run(change).unwrap();
    let listed = scene.sockc(&["history"]);
    assert_eq!(listed.code, Some(5), "{}", listed.stdout);
    let json = scene.sockc(&["history", "--json"]).json();
    for generation in 1..=3_u32 {
        let words = format!("generation {generation} cannot come back");
        assert!(listed.stderr.contains(&words), "{words}\n{}", listed.stderr);
        let number = generation.to_string();
        for command in [
            &["rollback", &number, "--yes"][..],
            &["show", "running", &number],
            &["diff", &format!("running:{number}"), "running"],
        ] {
            let ran = scene.sockc(command);
            assert_eq!(
                ran.code,
                Some(5),
                "{command:?} {}{}",
                ran.stdout,
                ran.stderr
            );
        }
        let rows = json["generations"].as_array().unwrap();
        let row = rows.iter().find(|row| row["generation"] == generation);
        assert!(row.unwrap()["damaged"].is_string(), "{row:?}");
    }
    let before = scene.sockc(&["rollback"]);
    assert_eq!(before.code, Some(5), "not another one: {}", before.stderr);
    assert_eq!(numbers(&json).1, Some(4));
    for port in 5..=9 {
        let applied = scene.apply(port, &[]);
        assert!(!applied.stderr.contains("rollback"), "{}", applied.stderr);
    }
    assert_eq!(scene.numbers(), (vec![9, 8, 7, 6, 5, 4], Some(9)));
    let spare = || assert!(pins.join("spare").exists(), "what is not ours is let be");
    scene.space.run(spare).unwrap();
    scene.must(&["unload"]);
    scene.must(&["rollback"]);
}

#[test]
fn a_history_that_others_can_change_is_not_used() {
    if !root() {
        return;
    }
    for (other, mode) in [(".", 0o777), ("..", 0o777)] {
        let scene = Scene::new("untrusted");
        scene.apply(1, &[]);
        scene.apply(2, &[]);
        let folder = scene.pins().join(other);
        let set = |mode: u32| {
            let rights = fs::Permissions::from_mode(mode);
            scene
                .space
                .run(|| fs::set_permissions(&folder, rights).unwrap())
                .unwrap();
        };
        set(mode);
        for command in [&["history"][..], &["rollback"], &["show", "running", "1"]] {
            let ran = scene.sockc(command);
            assert_eq!(ran.code, Some(3), "{command:?} {}", ran.stderr);
            assert!(ran.stderr.contains("others can change"), "{}", ran.stderr);
        }
        for ran in [
            scene.apply(3, &[]),
            scene.must(&["unload"]),
            scene.apply(4, &[]),
        ] {
            let words = "cannot be kept for `sockc rollback`: others can change";
            assert_eq!(ran.stderr.matches(words).count(), 1, "{}", ran.stderr);
            assert!(
                !ran.stderr.contains("nothing was changed"),
                "{}",
                ran.stderr
            );
        }
        set(0o750);
        scene.must(&["rollback"]);
    }
}

#[test]
fn a_symbolic_link_in_the_place_of_the_history_is_not_followed() {
    if !root() {
        return;
    }
    let scene = Scene::new("linked");
    let link = || {
        let all = Path::new(BPFFS);
        fs::create_dir(all.join("elsewhere")).unwrap();
        symlink(all.join("elsewhere"), all.join("sockc-history")).unwrap();
    };
    scene.space.run(link).unwrap();
    let applied = scene.apply(1, &[]);
    assert!(
        applied.stderr.contains("cannot be kept"),
        "{}",
        applied.stderr
    );
    let left = || {
        fs::read_dir(Path::new(BPFFS).join("elsewhere"))
            .unwrap()
            .count()
    };
    assert_eq!(scene.space.run(left).unwrap(), 0);
    scene.must(&["unload"]);
}

#[test]
fn the_text_of_what_runs_is_shown_written_and_compared() {
    if !root() {
        return;
    }
    let scene = Scene::new("shown");
    scene.apply(1, &[]);
    assert_eq!(scene.must(&["show", "running"]).stdout, text(1));
    scene.folder.file("common.sk", "allow udp to port 53\n");
    scene
        .folder
        .file("bad.txt", "192.0.2.0/24\n2001:db8::/32\n");
    let main = "policy p2\ninterfaces lo\ninclude <essentials>\ninclude \"common.sk\"\ndefault in drop\n\
                set bad = file \"bad.txt\" max 10\ndrop from @bad\nallow tcp to port 22\n";
    let main_path = scene.folder.file("p2.sk", main);
    scene.must(&["apply", &main_path]);
    for name in ["common.sk", "bad.txt", "p2.sk"] {
        fs::remove_file(scene.folder.0.join(name)).unwrap();
    }
    let shown = scene.must(&["show", "running"]).stdout;
    for part in [
        "p2.sk <==\npolicy p2",
        "common.sk <==\nallow udp",
        "bad.txt <==\n192.0.2.0/24",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let json = scene.must(&["show", "running", "--json"]).json();
    assert_eq!(
        (&json["generation"], &json["unverified"]),
        (&2.into(), &Value::Null)
    );
    assert_eq!(json["parts"].as_array().unwrap().len(), 4);
    assert_eq!(json["parts"][0]["text"], main);

    let out = scene.folder.0.join("out");
    let out = out.to_str().unwrap();
    let written = scene.must(&["show", "running", "2", "--out", out]);
    let check = format!("sockc check {out}/p2.sk");
    assert!(written.stdout.contains(&check), "{}", written.stdout);
    assert!(written.stderr.is_empty(), "{}", written.stderr);
    let copy = format!("{out}/p2.sk");
    assert_eq!(scene.must(&["check", &copy]).stderr, "");
    assert_eq!(
        fs::read_to_string(format!("{out}/bad.txt"))
            .unwrap()
            .lines()
            .count(),
        2
    );
    let again = scene.sockc(&["show", "running", "--out", out]);
    assert_eq!(again.code, Some(64), "{}", again.stderr);

    let same = scene.must(&["diff", "running", &copy, "--exit-code"]);
    assert!(same.stdout.contains("No change"), "{}", same.stdout);
    let other = scene.sockc(&["diff", "running:1", "running", "--exit-code"]);
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    assert!(other.stdout.contains("drop"), "{}", other.stdout);
    let file = scene.policy(1);
    let same = scene.must(&["diff", &file, "running:1", "--exit-code", "--bytecode"]);
    assert!(same.stdout.contains("No change"), "{}", same.stdout);

    scene.must(&["unload"]);
    for command in [&["show", "running"][..], &["diff", "running", &copy]] {
        let ran = scene.sockc(command);
        assert_eq!(ran.code, Some(3), "{command:?}");
        assert!(
            ran.stderr.contains("no policy is in force"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(scene.sockc(&["show", "essentials", "2"]).code, Some(64));
}

/// What another sockc put in force is shown as not verified, and is compiled again where it comes back.
#[test]
fn what_another_sockc_made_is_told_and_compiled_again() {
    if !root() {
        return;
    }
    let scene = Scene::new("upgraded");
    let policy = scene.policy(1);
    let path = scene.folder.0.join("p1.o");
    let path = path.to_str().unwrap();
    scene.must(&["compile", &policy, "-o", path]);
    let mut artifact = object::read(&fs::read(path).unwrap()).unwrap();
    artifact.manifest.made.build = "0.0.1 of somebody".to_owned();
    let other = object::write(&artifact).unwrap();
    let options = Options::default();
    let apply = || put_in_force(&other, &artifact.manifest, &options).unwrap();
    scene.space.run(apply).unwrap();
    for command in [&["show", "running"][..], &["diff", "running", &policy]] {
        let ran = scene.sockc(command);
        assert_eq!(ran.code, Some(5), "{command:?} {}", ran.stderr);
        assert!(
            ran.stderr.contains("another sockc (0.0.1 of somebody)"),
            "{}",
            ran.stderr
        );
    }
    let again = scene.must(&["apply", "--running"]);
    assert!(
        again.stderr.contains("compiled again by this one"),
        "{}",
        again.stderr
    );
    assert_eq!(scene.must(&["show", "running"]).stdout, text(1));
    scene.apply(2, &[]);
    let back = scene.must(&["rollback", "1"]);
    assert!(
        back.stderr.contains("compiled again by this one"),
        "{}",
        back.stderr
    );
    assert!(
        back.stdout
            .contains("generation 4 is what generation 1 was"),
        "{}",
        back.stdout
    );
    scene.must(&["show", "running"]);
}

/// Guards hold for what comes back, too.
#[test]
fn a_guard_is_asked_of_what_comes_back() {
    if !root() {
        return;
    }
    let scene = Scene::new("guarded");
    scene.apply(22, &[]);
    scene.apply(23, &[]);
    let guard = scene
        .folder
        .file("ssh.guard", "expect allow udp to port 22\n");
    let refused = scene.sockc(&["rollback", "--guard", &guard]);
    assert_eq!(
        refused.code,
        Some(4),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    assert_eq!(scene.numbers().1, Some(2));
}

#[test]
fn what_is_on_trial_is_said_to_be() {
    if !root() {
        return;
    }
    let scene = Scene::new("trial");
    scene.apply(1, &[]);
    scene.apply(2, &["--confirm", "1h"]);
    let table = scene.must(&["history"]);
    assert!(table.stdout.contains("2 (on trial)"), "{}", table.stdout);
    assert!(!table.stdout.contains("in force"), "{}", table.stdout);
    let until = "it waits to be confirmed: `sockc confirm`";
    assert!(table.stderr.contains(until), "{}", table.stderr);
    let json = scene.history();
    assert_eq!(
        (&json["in_force"], &json["trial"]["fallback"]),
        (&2.into(), &1.into())
    );
    let status = scene.must(&["status"]).stdout;
    assert!(status.contains(until), "{status}");
    for refused in [&["apply", "--running"][..], &["unload"], &["rollback", "1"]] {
        let ran = scene.sockc(refused);
        assert_eq!(ran.code, Some(4), "{refused:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("is in force on trial"),
            "{}",
            ran.stderr
        );
    }
    scene.must(&["confirm"]);
    let table = scene.must(&["history"]).stdout;
    assert!(table.contains("2 (in force)"), "{table}");
    assert_eq!(scene.history()["trial"], Value::Null);
}

/// Who takes a trial back knows that it is over, and means what was before with the next rollback.
#[test]
fn after_a_trial_was_taken_back_a_rollback_goes_further() {
    if !root() {
        return;
    }
    let scene = Scene::new("further");
    scene.apply(1, &[]);
    scene.apply(2, &[]);
    scene.apply(3, &["--confirm", "1h"]);
    let back = scene.must(&["rollback"]).stdout;
    assert!(back.contains("generation 3 is taken back"), "{back}");
    // That it was not confirmed is what a confirmation is still told.
    let late = scene.sockc(&["confirm"]);
    assert_eq!(late.code, Some(4), "{}", late.stderr);
    let policy = |ran: &Ran| ran.json()["policy"].as_str().unwrap().to_owned();
    for expected in ["p1", "p2", "p1"] {
        let ran = scene.must(&["rollback", "--yes"]);
        let said = format!("policy \"{expected}\" is in force");
        assert!(ran.stdout.contains(&said), "{}", ran.stdout);
        assert_eq!(policy(&scene.must(&["status", "--json"])), expected);
    }
}
