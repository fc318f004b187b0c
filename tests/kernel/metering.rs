//! Rates under a flood: what gets through in a second, from one processor and from two at once.

use std::time::{Duration, Instant};

use sockc_compiler::packet::build::Frame;
use sockc_compiler::policy::{Per, Rate, RateUnit};
use sockc_compiler::target::Target;

use crate::knock::header;
use crate::loaded::Loaded;
use crate::stage::{at, compile_changed, permitted};

/// How long a flood lasts.
const FLOOD: Duration = Duration::from_millis(1500);
/// What may pass in a second, and at once. The runs of a flood come at ten times the rate and more, with an eighth of a
/// processor too; one that the scheduler holds up for less than a second finds the tokens of that time in the bucket.
const RATE: u64 = 1000;

fn loaded(hook: &str, per: Option<Per>, target: &Target) -> Loaded {
    let text = format!(
        "default in drop
         allow udp at {hook}"
    );
    Loaded::new(&compile_changed(&text, target, |policy| {
        for rule in policy.rules.values_mut() {
            rule.rate = Some(Rate {
                above: false,
                count: RATE,
                period: 1,
                unit: RateUnit::Packets,
                per,
                burst: RATE,
            });
        }
    }))
}

/// What a flood did.
struct Flooded {
    /// How many of its runs let the frame pass.
    passed: u64,
    runs: u64,
    /// When its last runs began. The scheduler may hold them up: then the tokens of that time are not asked for.
    last: Instant,
}

fn flood(loaded: &Loaded, from: &str, until: Instant) -> Flooded {
    let header = header(17, at(from), at(&from.replace("::1", "::2")), 0);
    let frame = Frame::new(header).bytes();
    let (mut passed, mut runs, mut last) = (0, 0, Instant::now());
    while Instant::now() < until {
        last = Instant::now();
        for _ in 0..64 {
            let code = loaded.run(&frame).cast_signed();
            passed += u64::from(code == 2 && loaded.is_xdp() || code == -1);
            runs += 1;
        }
    }
    Flooded { passed, runs, last }
}

/// As many passed as the shorter time lets at least, and the longer one at most.
fn assert_close(passed: u64, took: [Duration; 2], slack: u64) {
    let [least, most] = took.map(|took| RATE as f64 * (took.as_secs_f64() + 1.0));
    let (passed, slack) = (passed as f64, slack as f64);
    assert!(
        least * 0.95 - slack <= passed && passed <= most * 1.05 + slack,
        "{passed} passed in {took:?}, {least:.0} to {most:.0} should"
    );
}

fn targets() -> Vec<Target> {
    vec![Target::baseline().with_atomics(), Target::baseline()]
}

const PER: Per = Per {
    destination: false,
    v4: 32,
    v6: 64,
};

#[test]
fn a_flood_gets_its_rate_through() {
    if !permitted() {
        return;
    }
    for target in targets() {
        for (hook, per) in [("xdp", None), ("tc", Some(PER))] {
            for from in ["10.0.0.1:9", "[2001:db8::1]:9"] {
                let loaded = loaded(hook, per, &target);
                let began = Instant::now();
                let Flooded { passed, runs, last } = flood(&loaded, from, began + FLOOD);
                let took = [last - began, began.elapsed()];
                assert!(runs > 5 * passed, "{runs} runs are no flood");
                assert_close(passed, took, 0);
            }
        }
    }
}

#[test]
fn two_processors_share_a_rate() {
    if !permitted() {
        return;
    }
    for target in targets() {
        for per in [None, Some(PER)] {
            let loaded = loaded("xdp", per, &target);
            let began = Instant::now();
            let (one, two) = std::thread::scope(|scope| {
                let run = || flood(&loaded, "10.0.0.1:9", began + FLOOD);
                let other = scope.spawn(run);
                (run(), other.join().unwrap())
            });
            let took = [one.last.max(two.last) - began, began.elapsed()];
            let passed = one.passed + two.passed;
            assert!(one.runs.min(two.runs) > 5 * passed / 2);
            // Without compare-and-exchange each token may be taken by both.
            let slack = if target.atomics { 0 } else { passed / 2 };
            assert_close(passed, took, slack);
        }
    }
}
