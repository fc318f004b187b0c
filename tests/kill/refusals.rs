//! Calls that the kernel refuses: what the command says then, and what is in force.
//!
//! A refusal says nothing of what was asked for. So the command ends with 3 and has changed nothing, or with 0 and has done all
//! of it; only an unload may end half-way, and says then that nothing is in force any more. It never calls the state damaged,
//! and never gives advice that opens the machine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::{
    E2BIG, EACCES, EAGAIN, EBUSY, EINTR, EINVAL, EIO, EMFILE, ENOENT, ENOMEM, ENOSPC, EPERM,
};

use crate::campaign::{Campaign, Seen, all, points};
use crate::kills::{members, new, nothing, old, old_with_connected};
use crate::root;
use crate::scene::{BLOCK, Scene};
use crate::trace::{Ended, Fate, Which};

/// What the machine refuses with, and what a kernel says that takes less than is asked of it.
const REFUSALS: [i32; 10] = [
    ENOMEM, EMFILE, EINTR, EBUSY, EAGAIN, EACCES, EPERM, ENOSPC, EIO, E2BIG,
];

/// One call of a command and what it is refused with.
struct Point {
    call: usize,
    number: i32,
}

impl Campaign<'_> {
    /// Refuses calls of the command, each in a run of its own. All that is wrong is told together.
    fn refuse(&self) {
        let (old, new, _) = self.both_ends();
        self.refuse_between(&old, &new);
    }

    /// The same for a command that changes nothing.
    fn refuse_reader(&self) {
        (self.prepare)(self.scene);
        let seen = Seen::of(self.scene);
        self.refuse_between(&seen, &seen);
    }

    fn refuse_between(&self, old: &Seen, new: &Seen) {
        (self.prepare)(self.scene);
        let whole = self.run(Which::All, |_, _| Fate::Go);
        let calls = whole.calls.len();
        let mut wrong = Vec::new();
        // Every call is refused for one reason before the next round refuses it for another.
        let rounds = if all() { REFUSALS.len() } else { 1 };
        let mut one = |round: usize, call: usize| {
            let point = Point {
                call,
                number: REFUSALS[(call + round) % REFUSALS.len()],
            };
            if let Err(what) = self.refuse_one(&point, (old, new), &whole.stdout) {
                println!("{what}");
                wrong.push(what);
                if old != new {
                    self.scene.sockc(&["unload", "--yes"]);
                }
            }
        };
        let taken: usize = (0..rounds)
            .map(|round| points(calls, |call| one(round, call)))
            .sum();
        println!(
            "{}, refused: {taken} of {} points ({calls} calls), {} wrong",
            self.name,
            calls * REFUSALS.len(),
            wrong.len()
        );
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn refuse_one(&self, point: &Point, sides: (&Seen, &Seen), stdout: &str) -> Result<(), String> {
        (self.prepare)(self.scene);
        let ended = self.refused_at(point);
        let call = ended.calls.get(point.call);
        let at = format!(
            "{}: call {}, {}, refused with {}: {:?} {}{}",
            self.name,
            point.call,
            call.map_or("none", |call| call.as_str()),
            std::io::Error::from_raw_os_error(point.number),
            ended.code,
            ended.stdout,
            ended.stderr
        );
        let checked = self.check(&ended, point, sides, stdout);
        let checked = checked.and_then(|()| self.again(&ended, point, sides.1));
        checked.map_err(|what| format!("{at}  WRONG: {what}"))
    }

    /// Runs the command, one call of which is refused.
    fn refused_at(&self, point: &Point) -> Ended {
        self.run(Which::All, |call, _| match call == point.call {
            true => Fate::Refuse(point.number),
            false => Fate::Go,
        })
    }

    /// Whether the command, run again, removes what it left when it was refused half-way. `status`, which mends that too, is
    /// not asked between the two.
    fn again(&self, ended: &Ended, point: &Point, new: &Seen) -> Result<(), String> {
        if self.arguments[0] != "unload" || ended.code != Some(3) {
            return Ok(());
        }
        (self.prepare)(self.scene);
        self.refused_at(point);
        let left = self.scene.tree();
        let again = self.scene.sockc(self.arguments);
        if again.code != Some(0) {
            let what = again.stdout + &again.stderr;
            return Err(format!(
                "a second one: {:?} {what}\nof {left:?}",
                again.code
            ));
        }
        let tree = self.scene.tree();
        match tree == new.tree && self.scene.answers() == new.answers {
            true => Ok(()),
            false => Err(format!("a second one leaves {tree:?}\nof {left:?}")),
        }
    }

    fn check(
        &self,
        ended: &Ended,
        point: &Point,
        (old, new): (&Seen, &Seen),
        stdout: &str,
    ) -> Result<(), String> {
        let own = self.arguments[0] == "unload";
        let said = &ended.stderr;
        let side = match ended.code {
            Some(0) => new,
            Some(3) if own && said.contains(OFF) => new,
            Some(3) => old,
            _ => return Err("the code".to_owned()),
        };
        let opens = ["sockc unload` removes", "`sockc unload` first", "--netns"];
        if !own && opens.iter().any(|words| said.contains(words)) {
            return Err("it advises unload".to_owned());
        }
        let lies = [
            "compile the policy again",
            "report it",
            "bug",
            "is not as sockc left",
        ];
        if lies.iter().any(|words| said.contains(words)) {
            return Err("what it says is not so".to_owned());
        }
        // A part that cannot be read is said not to be.
        let whole = old != new || same_words(&ended.stdout, stdout);
        let told = said.contains("os error") || ended.stdout.contains("os error");
        if !whole && ended.code == Some(0) && !told {
            return Err(format!("it gives something else than {stdout}"));
        }
        if self.scene.answers() != side.answers {
            return Err("what packets meet".to_owned());
        }
        let seen = catch_unwind(AssertUnwindSafe(|| Seen::of(self.scene)));
        match seen.map_err(|_| "`status` afterwards".to_owned())? {
            seen if seen == *side => Ok(()),
            // A folder that nothing is in is nothing of a policy; whoever applies there takes it. A signal leaves none.
            seen if own
                && point.number != EINTR
                && seen.answers == side.answers
                && seen.told == side.told
                && is_empty(&seen.tree) =>
            {
                Ok(())
            }
            // An apply does without what only fills empty slots, and says so.
            seen if said.contains(DOES_WITHOUT)
                && without_fillers(&seen) == without_fillers(side) =>
            {
                Ok(())
            }
            seen => Err(format!("left {seen:?}\n where it should be {side:?}")),
        }
    }
}

/// What an unload that was refused half-way says of the outer namespace, and so of all, whose hooks follow its word.
const OFF: &str = "no packet meets the policy any more";

/// What is left out of JSON. Who has a socket, and since when, is `null` where that cannot be found out, and says nothing untrue; how
/// often a socket was asked for rises with each look at what packets meet.
const LEFT_OUT: [&str; 4] = ["who", "since", "lookups", "misses"];

/// Whether two outputs say the same but for numbers: what asks for the state is counted by it.
fn same_words(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(without_some);
    let is_number = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit()) || *word == "-";
    let words = |text: &'_ str| -> Vec<String> {
        let words = text.split_whitespace().filter(|word| !is_number(word));
        words.map(str::to_owned).collect()
    };
    words(&one) == words(&other)
}

fn without_some(text: &str) -> String {
    let Ok(mut value) = serde_json::from_str(text) else {
        return text.to_owned();
    };
    leave_out(&mut value);
    value.to_string()
}

fn leave_out(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(object) => {
            object.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
            object.values_mut().for_each(leave_out);
        }
        serde_json::Value::Array(array) => array.iter_mut().for_each(leave_out),
        _ => {}
    }
}

fn is_empty(tree: &[String]) -> bool {
    let depth = |path: &String| path.trim_start_matches("/sys/fs/bpf/").matches('/').count();
    tree.iter().all(|path| depth(path) <= 1)
}

/// What the note ends with.
const DOES_WITHOUT: &str = "after a restart, run `sockc socket refresh`";

fn without_fillers(seen: &Seen) -> (&[bool], &[String], &[String; 2], Vec<&String>) {
    let filler = |name: &&String| !["fill_", "listen"].iter().any(|word| name.contains(word));
    let tree = seen.tree.iter().filter(filler).collect();
    (&seen.answers, &seen.told, &seen.held, tree)
}

fn refuse(scene: &Scene, name: &str, prepare: &dyn Fn(&Scene), arguments: &[&str]) {
    Campaign {
        name,
        scene,
        prepare,
        arguments,
    }
    .refuse();
}

#[test]
fn apply_over_a_policy() {
    if root() {
        let scene = Scene::new(false);
        refuse(&scene, "apply", &old, &["apply", &scene.path("new.sk")]);
    }
}

#[test]
fn apply_where_nothing_was() {
    if root() {
        let scene = Scene::new(false);
        refuse(&scene, "first", &nothing, &["apply", &scene.path("new.sk")]);
    }
}

#[test]
fn apply_with_a_block() {
    if root() {
        let scene = Scene::new(true);
        let apply = ["apply", &scene.path("new.sk")];
        refuse(&scene, "apply, block", &old, &apply);
    }
}

#[test]
fn unload() {
    if root() {
        let scene = Scene::new(false);
        refuse(&scene, "unload", &new, &["unload", "--yes"]);
    }
}

#[test]
fn unload_with_a_block() {
    if root() {
        let scene = Scene::new(true);
        refuse(&scene, "unload, block", &new, &["unload", "--yes"]);
    }
}

/// Unloads, and has one call of these names refused; gives what was said of it, or nothing where there are not so many.
fn unload_refused_at(scene: &Scene, names: &[&str], which: usize, number: i32) -> Option<Ended> {
    new(scene);
    let campaign = Campaign {
        name: "unload, one call",
        scene,
        prepare: &new,
        arguments: &["unload", "--yes"],
    };
    let mut next = 0;
    let ended = campaign.run(Which::Changes, |_, call| {
        next += usize::from(names.contains(&call));
        match names.contains(&call) && next == which + 1 {
            true => Fate::Refuse(number),
            false => Fate::Go,
        }
    });
    (next > which).then_some(ended)
}

#[test]
fn what_a_refused_unload_leaves_of_a_block_is_told_and_goes_with_the_next_command() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    nothing(&scene);
    let free = scene.answers();
    let unlinks = ["unlink", "unlinkat"];
    new(&scene);
    let pins = scene.tree().len();
    let mut of_block = 0;
    let taken = points(pins, |which| {
        let number = [EBUSY, EIO, ENOMEM][which % 3];
        let Some(ended) = unload_refused_at(&scene, &unlinks, which, number) else {
            return;
        };
        let at = format!("{which}: {:?} {}", ended.code, ended.stderr);
        // What comes before the word is changed may be refused too, and what belongs to no block.
        if !ended
            .stderr
            .contains(&format!("\"{BLOCK}\" is in force no more"))
        {
            scene.must(&["unload", "--yes"]);
            return;
        }
        assert_eq!(scene.answers(), free, "{at}");
        of_block += 1;
        assert_eq!(ended.code, Some(3), "{at}");
        assert!(ended.stderr.contains(OFF), "{at}");
        let left = scene.tree();
        let told = scene.must(&["status"]);
        assert!(told.stdout.contains("no policy is in force"), "{at}");
        let words = format!(
            "removed what an earlier command left: the policy of the network namespace \"{BLOCK}\""
        );
        assert!(
            told.stderr.contains(&words),
            "{at}{left:?}: {}",
            told.stderr
        );
        assert!(scene.tree().is_empty(), "{at}{:?}", scene.tree());
        unload_refused_at(&scene, &unlinks, which, number);
        let ran = scene.sockc(&["unload", "--yes", "--netns", BLOCK]);
        assert_eq!(ran.code, Some(0), "{at}{}", ran.stderr);
        let ran = scene.sockc(&["unload", "--yes"]);
        assert_eq!(ran.code, Some(0), "{at}{}", ran.stderr);
        assert!(scene.tree().is_empty(), "{at}{:?}", scene.tree());
    });
    println!(
        "pins of an unload that are refused: {taken} of {pins} points, {of_block} of the block"
    );
    assert!(of_block > 0);
}

#[test]
fn a_signal_leaves_no_folder_of_what_was_unloaded() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    let mut which = 0;
    while let Some(ended) = unload_refused_at(&scene, &["rmdir"], which, EINTR) {
        assert_eq!(ended.code, Some(0), "{which}: {}", ended.stderr);
        assert!(scene.tree().is_empty(), "{which}: {:?}", scene.tree());
        which += 1;
    }
    assert!(which > 1);
}

#[test]
fn set_and_map_load() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    old(&scene);
    let tenants = ["9", "8"].map(|last| {
        let text = format!("tcp 127.0.0.{last}:80 -> sock web\n");
        scene.file(&format!("tenants-{last}.txt"), &text)
    });
    let first = members(&scene, 1);
    let prepare = |scene: &Scene| {
        if scene.sockc(&["set", "load", "banned", &first]).code != Some(0) {
            old(scene);
        }
        scene.must(&["map", "load", "tenants", &tenants[0]]);
        // Both sides know the same ports each time, so that the calls are the same.
        scene.must(&["map", "load", "tenants", &tenants[0]]);
    };
    let load = ["set", "load", "banned", &members(&scene, 2)];
    refuse(&scene, "set load", &prepare, &load);
    let load = ["map", "load", "tenants", &tenants[1]];
    refuse(&scene, "map load", &prepare, &load);
    let add = ["map", "add", "tenants", "tcp 127.0.0.8:80 -> sock web"];
    refuse(&scene, "map add", &prepare, &add);
    let del = ["map", "del", "tenants", "tcp 127.0.0.9:80"];
    refuse(&scene, "map del", &prepare, &del);
}

#[test]
fn set_add_and_socket_register() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    let prepare = |scene: &Scene| {
        if scene.sockc(&["set", "clear", "banned"]).code != Some(0) {
            old(scene);
            scene.must(&["set", "clear", "banned"]);
        }
        scene.sockc(&["socket", "unregister", "late"]);
    };
    prepare(&scene);
    refuse(
        &scene,
        "set add",
        &prepare,
        &["set", "add", "banned", "127.0.0.11"],
    );
    let unbanned = ["set", "del", "banned", "127.0.0.11"];
    let banned = |scene: &Scene| {
        prepare(scene);
        scene.must(&["set", "add", "banned", "127.0.0.11"]);
    };
    refuse(&scene, "set del", &banned, &unbanned);
    let (pid, fd) = (std::process::id().to_string(), scene.late().to_string());
    let register = ["socket", "register", "late", "--pid", &pid, "--fd", &fd];
    refuse(&scene, "socket register", &prepare, &register);
}

#[test]
fn a_connected_socket() {
    if !root() {
        return;
    }
    let scene = Scene::with_connected();
    let apply = ["apply", &scene.path("new.sk")];
    refuse(&scene, "apply, connected", &old_with_connected, &apply);
    let absent = |scene: &Scene| {
        if scene.sockc(&["socket", "unregister", "kept"]).code != Some(0) {
            old(scene);
        }
    };
    absent(&scene);
    let (pid, fd) = (std::process::id().to_string(), scene.kept().to_string());
    let register = ["socket", "register", "kept", "--pid", &pid, "--fd", &fd];
    refuse(&scene, "register, connected", &absent, &register);
    let there = |scene: &Scene| {
        if scene.sockc(&register).code != Some(0) {
            old_with_connected(scene);
        }
    };
    let unregister = ["socket", "unregister", "kept"];
    refuse(&scene, "unregister, connected", &there, &unregister);
}

#[test]
fn status_and_counters() {
    if !root() {
        return;
    }
    for block in [false, true] {
        let scene = Scene::new(block);
        old(&scene);
        let there = |scene: &Scene| {
            if scene.sockc(&["status"]).code != Some(0) {
                old(scene);
            }
        };
        for arguments in [["status", "--json"], ["counters", "--nonzero"]] {
            Campaign {
                name: arguments[0],
                scene: &scene,
                prepare: &there,
                arguments: &arguments,
            }
            .refuse_reader();
        }
    }
}

/// BPF_PROG_GET_FD_BY_ID and BPF_MAP_GET_FD_BY_ID.
const BY_ID: [&str; 2] = ["bpf(13)", "bpf(14)"];

#[test]
fn a_program_that_must_not_be_looked_at_is_nobodys() {
    if !root() {
        return;
    }
    // Another namespace's policy for another group, whose programs run next to ours and do not concern it.
    let beside = Scene::new(false);
    old(&beside);
    let scene = Scene::new(false);
    old(&scene);
    let campaign = Campaign {
        name: "status",
        scene: &scene,
        prepare: &|_| (),
        arguments: &["status", "--json"],
    };
    let seen = Seen::of(&scene);
    let whole = campaign.run(Which::All, |_, _| Fate::Go);
    let asked = (0..).zip(&whole.calls);
    let asked: Vec<usize> = asked
        .filter(|(_, name)| BY_ID.contains(&name.as_str()))
        .map(|(call, _)| call)
        .collect();
    assert!(asked.len() > 10, "{:?}", whole.calls);
    // Not by one who may not ask, nor by a kernel that has never heard of the question.
    let each = |call| [EPERM, E2BIG].map(|number| Point { call, number });
    for point in asked.into_iter().flat_map(each) {
        let refused = campaign.refuse_one(&point, (&seen, &seen), &whole.stdout);
        refused.unwrap_or_else(|what| panic!("{what}"));
    }
}

/// Runs a command whose first call of a name is refused.
fn refuse_first(scene: &Scene, arguments: &[&str], name: &str, number: i32) -> Ended {
    let campaign = Campaign {
        name: "one call",
        scene,
        prepare: &|_| (),
        arguments,
    };
    let mut done = false;
    let ended = campaign.run(Which::All, |_, call| {
        if done || call != name {
            return Fate::Go;
        }
        done = true;
        Fate::Refuse(number)
    });
    assert!(done, "{name}: {:?}", ended.calls);
    ended
}

#[test]
fn a_pin_that_is_refused_changes_nothing() {
    if !root() {
        return;
    }
    let scene = Scene::new(true);
    old(&scene);
    let (answers, tree) = (scene.answers(), scene.tree());
    let apply = ["apply", &scene.path("new.sk")];
    let ended = refuse_first(&scene, &apply, "bpf(OBJ_PIN)", ENOSPC);
    assert_eq!(ended.code, Some(3), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
    assert_eq!((scene.answers(), scene.tree()), (answers, tree));
}

#[test]
fn a_word_that_the_kernel_does_not_give_is_not_zero() {
    if !root() {
        return;
    }
    for block in [false, true] {
        let scene = Scene::new(block);
        old(&scene);
        let (answers, tree) = (scene.answers(), scene.tree());
        // The word is what is looked up first.
        for arguments in [&["status"][..], &["set", "add", "banned", "10.0.0.1"]] {
            let ended = refuse_first(&scene, arguments, LOOKUP, ENOENT);
            assert_eq!(ended.code, Some(3), "{arguments:?}: {}", ended.stderr);
            assert_eq!(
                (scene.answers(), scene.tree()),
                (answers.clone(), tree.clone())
            );
        }
    }
}

/// BPF_MAP_LOOKUP_ELEM.
const LOOKUP: &str = "bpf(1)";

#[test]
fn no_lookup_of_an_apply_finds_nothing_where_something_is() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    let campaign = Campaign {
        name: "apply, nothing found",
        scene: &scene,
        prepare: &old,
        arguments: &["apply", &scene.path("new.sk")],
    };
    let (before, after, _) = campaign.both_ends();
    old(&scene);
    let whole = campaign.run(Which::All, |_, _| Fate::Go);
    let lookups = whole.calls.iter().filter(|call| *call == LOOKUP).count();
    let taken = points(lookups, |point| {
        old(&scene);
        let mut next = 0;
        let ended = campaign.run(Which::All, |_, call| {
            next += usize::from(call == LOOKUP);
            match call == LOOKUP && next == point + 1 {
                true => Fate::Refuse(ENOENT),
                false => Fate::Go,
            }
        });
        let side = if ended.code == Some(0) {
            &after
        } else {
            &before
        };
        let at = format!("lookup {point}: {:?} {}", ended.code, ended.stderr);
        assert_eq!(scene.answers(), side.answers, "{at}");
        assert_eq!(scene.told(), side.told, "{at}");
        assert_eq!(scene.answers(), side.answers, "{at}");
    });
    println!("{}: {taken} of {lookups} points", campaign.name);
}

#[test]
fn a_machine_without_membarrier_loads_sets_all_the_same() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    old(&scene);
    let load = ["set", "load", "banned", &members(&scene, 2)];
    let ended = refuse_first(&scene, &load, "membarrier", EINVAL);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let waited = ended.calls.iter().position(|call| call == "membarrier");
    let after = ended.calls[waited.unwrap() + 1..].iter();
    let changes: Vec<&String> = after.filter(|call| call.starts_with("bpf(MAP_")).collect();
    let [create, again, update, ..] = changes.as_slice() else {
        panic!("{:?}", ended.calls);
    };
    let map_of_maps = ["bpf(MAP_CREATE)", "bpf(MAP_CREATE)", "bpf(MAP_UPDATE_ELEM)"];
    assert_eq!([*create, *again, *update], map_of_maps);
}

/// A dispatcher that has read the word before the switch finds no program in an empty slot, and lets everything go on.
#[test]
fn no_program_is_taken_out_of_its_slot_while_it_may_be_called() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    old(&scene);
    let policy = scene.path("new.sk");
    let campaign = Campaign {
        name: "apply",
        scene: &scene,
        prepare: &|_| (),
        arguments: &["apply", &policy],
    };
    let ended = campaign.run(Which::All, |_, _| Fate::Go);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // An apply begins with the same: there nothing of another generation is left that could be called, so nothing waits.
    let waited = ended.calls.iter().rposition(|call| call == "membarrier");
    let (before, after) = ended.calls.split_at(waited.unwrap());
    let emptied = |calls: &[String]| {
        let deletes = calls.iter().filter(|call| *call == "bpf(MAP_DELETE_ELEM)");
        deletes.count()
    };
    let slots = (emptied(before), emptied(after));
    assert!(
        slots.0 > 0 && slots.0 == slots.1,
        "{slots:?}: {:?}",
        ended.calls
    );
}
