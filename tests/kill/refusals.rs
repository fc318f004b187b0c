//! Calls that the kernel refuses: what the command says then, and what is in force.
//!
//! A refusal says nothing of what was asked for. So the command ends with 3 and has changed nothing, or with 0 and has done all
//! of it; only an unload may end half-way, and says then that nothing is in force any more. It never calls the state damaged,
//! and never gives advice that opens the machine.

mod single;
mod unloads;
mod whole;

use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::{E2BIG, EACCES, EAGAIN, EBUSY, EINTR, EIO, EMFILE, ENOMEM, ENOSPC, EPERM};

use crate::campaign::{Campaign, Seen, all, points};
use crate::scene::Scene;
use crate::trace::{Ended, Fate, Which};

/// What the machine refuses with, and what a kernel says that takes less than is asked of it.
pub(crate) const REFUSALS: [i32; 10] = [
    ENOMEM, EMFILE, EINTR, EBUSY, EAGAIN, EACCES, EPERM, ENOSPC, EIO, E2BIG,
];

/// One call of a command and what it is refused with.
struct Point {
    call: usize,
    number: i32,
}

impl Campaign<'_> {
    /// Refuses calls of the command, each in a run of its own. All that is wrong is told together.
    pub(crate) fn refuse(&self) {
        let (old, new, _) = self.both_ends();
        self.refuse_between(&old, &new);
    }

    /// The same for a command that changes nothing.
    fn refuse_reader(&self) {
        (self.prepare)(self.scene);
        let seen = Seen::of(self.scene);
        self.refuse_between(&seen, &seen);
    }

    pub(crate) fn refuse_between(&self, old: &Seen, new: &Seen) {
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
        if LIES.iter().any(|words| said.contains(words)) {
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

/// What no refusal is a reason to say.
pub(crate) const LIES: [&str; 4] = [
    "compile the policy again",
    "report it",
    "bug",
    "is not as sockc left",
];

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
