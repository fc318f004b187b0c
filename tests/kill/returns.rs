//! Trials whose deadline comes when no process of ours is left: the kernel alone has the old policy decide again.
//!
//! A few trials on this machine in every run. `SOCKC_TRIALS=1000` does so many here and on each of the older kernels under QEMU,
//! a hundred in one boot; with a release build that takes some hours.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::guests::{self, Scratch};
use crate::kills::old;
use crate::machine::strip;
use crate::root;
use crate::scene::Scene;

/// How long a trial is given, in milliseconds. A guest is emulated: it needs seconds to look at every hook.
fn given() -> u64 {
    if guests::folder().is_some() {
        4_000
    } else {
        400
    }
}

/// How long after the deadline the old policy may take.
const ALLOWED: Duration = Duration::from_secs(1);
/// How many trials there are where nobody says a number.
const FEW: usize = 8;
/// How many places have a policy on trial at a time. A guest has one emulated processor: what asks packets there holds up the
/// commands of the others.
fn abreast() -> usize {
    if guests::folder().is_some() { 2 } else { 4 }
}

/// How long the command runs by itself between two questions.
fn pause() {
    if guests::folder().is_some() {
        thread::sleep(Duration::from_millis(50));
    }
}

/// How many a guest does: what hundreds take, and more, counts as a guest that hangs, and nothing is said before its end.
const A_BOOT: usize = 100;
/// The file that says how many a guest does.
const NUMBER: &str = "trials";

/// How many trials; `None` where nobody said a number.
fn asked() -> Option<usize> {
    let text = match guests::folder() {
        Some(folder) => fs::read_to_string(folder.join(NUMBER)).ok()?,
        None => std::env::var("SOCKC_TRIALS").ok()?,
    };
    Some(text.trim().parse().unwrap())
}

#[test]
fn the_old_policy_comes_back_by_the_kernel_alone() {
    if guests::folder().is_none() && !root() {
        return;
    }
    let wanted = asked().unwrap_or(FEW);
    let begun = AtomicUsize::new(0);
    let latest = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..abreast().min(wanted) {
            scope.spawn(|| {
                let scene = Scene::new(true);
                let trials = Trials::new(&scene);
                loop {
                    let number = begun.fetch_add(1, Ordering::Relaxed);
                    if number >= wanted {
                        return;
                    }
                    let after = trials.one(number);
                    let mut latest = latest.lock().unwrap();
                    *latest = after.max(*latest);
                }
            });
        }
    });
    println!(
        "{wanted} of {wanted} trials: the old policy was back at most {} ms after the deadline",
        latest.lock().unwrap().as_millis()
    );
}

/// Two policies, and what packets meet under each.
struct Trials<'a> {
    scene: &'a Scene,
    old: Vec<bool>,
    new: Vec<bool>,
}

impl<'a> Trials<'a> {
    fn new(scene: &'a Scene) -> Self {
        // The members of the live set stay through all that follows.
        old(scene);
        scene.must(&["apply", &scene.path("new.sk")]);
        let new = scene.answers();
        scene.must(&["apply", &scene.path("old.sk")]);
        let old = scene.answers();
        assert_ne!(old, new);
        Self { scene, old, new }
    }

    /// The new policy on trial, its command killed as soon as packets meet that, and nothing run until packets meet the old one:
    /// how long after the deadline they all did.
    fn one(&self, number: usize) -> Duration {
        let new = self.scene.path("new.sk");
        let time = format!("{}ms", given());
        let arguments = ["apply", &new, "--confirm", &time];
        let start = || {
            let mut command = self.scene.command(&arguments);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let mut child = self.scene.space.run(start).unwrap();
        let began = Instant::now();
        while !self.scene.lets_through_what_the_old_drops() || self.seen(number) != self.new {
            let ended = child.try_wait().unwrap();
            let late = began.elapsed() > 50 * ALLOWED;
            assert!(
                !late,
                "trial {number}: the new policy never came, {ended:?}"
            );
            pause();
        }
        let switched = Instant::now();
        child.kill().unwrap();
        child.wait().unwrap();
        self.seen(number);
        let deadline = switched + Duration::from_millis(given());
        thread::sleep(deadline.saturating_duration_since(Instant::now()));
        loop {
            let asked = Instant::now();
            let answers = self.seen(number);
            let after = asked.saturating_duration_since(deadline);
            if answers == self.old {
                return after;
            }
            assert!(
                after < ALLOWED,
                "trial {number}: {answers:?} {after:?} after the deadline"
            );
        }
    }

    /// What packets meet; each what one of both policies gives it.
    fn seen(&self, number: usize) -> Vec<bool> {
        let answers = self.scene.answers();
        let both = self.old.iter().zip(&self.new);
        for (place, (answer, (old, new))) in answers.iter().zip(both).enumerate() {
            assert!(
                answer == old || answer == new,
                "trial {number}: packet {place} of {answers:?}"
            );
        }
        assert_eq!(answers.len(), self.old.len());
        answers
    }
}

#[test]
fn it_does_on_the_older_kernels() {
    let Some(number) = asked().filter(|_| guests::folder().is_none()) else {
        return;
    };
    for first in (0..number).step_by(A_BOOT) {
        let scratch = Scratch::new();
        let work = scratch.0.join("work");
        fs::create_dir_all(&work).unwrap();
        let some = A_BOOT.min(number - first);
        fs::write(work.join(NUMBER), some.to_string()).unwrap();
        fs::write(work.join("only"), "the_old_policy_comes_back").unwrap();
        strip(Path::new(env!("CARGO_BIN_EXE_sockc")), &work.join("sockc")).unwrap();
        for (kernel, answer) in guests::boot(&work, &scratch.0) {
            let console = match answer {
                Ok(console) => console,
                Err(reason) => {
                    guests::skip(kernel, &reason);
                    continue;
                }
            };
            let release =
                guests::ended(&console).unwrap_or_else(|tail| panic!("{kernel}:\n{tail}"));
            let told = console.lines().find(|line| line.contains(" trials: "));
            println!("{release}: {}", told.unwrap());
        }
    }
}
