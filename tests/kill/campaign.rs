//! One command, interrupted at many points.
//!
//! Takes a scene, what makes the old state, and the command that leads to the new one; asserts what must hold after each
//! interruption, and says how many points were taken.

use std::time::{Duration, Instant};

use crate::scene::Scene;
use crate::trace::{self, Ended, Fate, Which};

/// How long the points of one command may take where not all are wanted.
const BUDGET: Duration = Duration::from_secs(5);
/// So many points are taken however long they take.
const MIN_POINTS: usize = 4;

/// A command that leads from one state to another.
pub(crate) struct Campaign<'a> {
    /// What it is called in messages.
    pub(crate) name: &'a str,
    /// Where it runs.
    pub(crate) scene: &'a Scene,
    /// Makes the old state, whatever is there.
    pub(crate) prepare: &'a dyn Fn(&Scene),
    /// The command.
    pub(crate) arguments: &'a [&'a str],
}

/// What can be seen of a state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What becomes of every packet.
    pub(crate) answers: Vec<bool>,
    /// What `status` says is in force.
    pub(crate) told: Vec<String>,
    /// What `set list` and `map list` say.
    pub(crate) held: [String; 2],
    /// What is pinned.
    pub(crate) tree: Vec<String>,
}

impl Seen {
    /// Packets come first: `status` mends what was left.
    pub(crate) fn of(scene: &Scene) -> Self {
        let answers = scene.answers();
        let told = scene.told();
        assert_eq!(
            scene.answers(),
            answers,
            "`status` changed what packets meet"
        );
        Self {
            answers,
            told,
            held: scene.held(),
            tree: scene.tree(),
        }
    }
}

impl Campaign<'_> {
    /// Kills the command before its calls; gives how many points there are, and how many were taken.
    pub(crate) fn kill(&self) -> (usize, usize) {
        let (old, new, calls) = self.both_ends();
        let taken = points(calls, |point| {
            (self.prepare)(self.scene);
            let ended = self.run(Which::Changes, |number, _| match number == point {
                true => Fate::Kill,
                false => Fate::Go,
            });
            let at = format!(
                "{}: killed before call {point} of {calls}, {}",
                self.name,
                ended.calls.last().map_or("none", |call| call.as_str())
            );
            assert_eq!(ended.code, None, "{at}: it ended by itself");
            let answers = self.scene.answers();
            let side = [&old, &new]
                .into_iter()
                .find(|side| side.answers == answers)
                .unwrap_or_else(|| {
                    panic!(
                        "{at}: neither the old policy nor the new one\n old {:?}\n new {:?}\n now {answers:?}",
                        old.answers, new.answers
                    )
                });
            let seen = Seen::of(self.scene);
            assert_eq!(seen.answers, side.answers, "{at}");
            assert_eq!(seen.told, side.told, "{at}");
            assert_eq!(seen.held, side.held, "{at}");
            assert_eq!(seen.tree, side.tree, "{at}");
        });
        println!("{}: {taken} of {calls} points", self.name);
        (calls, taken)
    }

    /// The old state and the new one, and how many calls lead from one to the other.
    pub(crate) fn both_ends(&self) -> (Seen, Seen, usize) {
        (self.prepare)(self.scene);
        let old = Seen::of(self.scene);
        let whole = self.run(Which::Changes, |_, _| Fate::Go);
        assert_eq!(whole.code, Some(0), "{}: {}", self.name, whole.stderr);
        let new = Seen::of(self.scene);
        assert_ne!(old.answers, new.answers, "{}: nothing changes", self.name);
        (old, new, whole.calls.len())
    }

    /// Runs the command under trace.
    pub(crate) fn run(&self, which: Which, fate: impl FnMut(usize, &str) -> Fate + Send) -> Ended {
        let mut command = self.scene.command(self.arguments);
        self.scene
            .space
            .run(|| trace::run(&mut command, which, fate))
            .unwrap()
    }
}

/// Whether every point is wanted.
pub(crate) fn all() -> bool {
    std::env::var("SOCKC_KILLS").as_deref() == Ok("all")
}

/// Takes points until the budget is used up, spread over all of them; gives how many that were.
pub(crate) fn points(count: usize, mut take: impl FnMut(usize)) -> usize {
    let wanted = std::env::var("SOCKC_KILLS").unwrap_or_default();
    let budget = wanted.parse().map_or(BUDGET, Duration::from_secs);
    let began = Instant::now();
    let mut taken = 0;
    for point in spread(count) {
        if !all() && taken >= MIN_POINTS && began.elapsed() > budget {
            break;
        }
        take(point);
        taken += 1;
    }
    taken
}

/// The numbers below `count` in an order in which every beginning is spread over all of them.
fn spread(count: usize) -> Vec<usize> {
    let golden = |step: usize| (step * 618_034) % 1_000_000 * count / 1_000_000;
    let mut order: Vec<usize> = Vec::new();
    let mut seen = vec![false; count];
    for point in (1..=4 * count).map(golden).chain(0..count) {
        if !std::mem::replace(&mut seen[point], true) {
            order.push(point);
        }
    }
    order
}

#[test]
fn every_point_is_taken_once() {
    for count in [0, 1, 7, 375] {
        let mut order = spread(count);
        order.sort_unstable();
        assert_eq!(order, (0..count).collect::<Vec<_>>());
    }
}
