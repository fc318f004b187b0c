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

/// How many of its runs let the frame pass, and how many there were.
fn flood(loaded: &Loaded, from: &str, until: Instant) -> (u64, u64) {
    let header = header(17, at(from), at(&from.replace("::1", "::2")), 0);
    let frame = Frame::new(header).bytes();
    let (mut passed, mut runs) = (0, 0);
    while Instant::now() < until {
        for _ in 0..64 {
            let code = loaded.run(&frame).cast_signed();
            passed += u64::from(code == 2 && loaded.is_xdp() || code == -1);
            runs += 1;
        }
    }
    (passed, runs)
}

fn assert_close(passed: u64, took: Duration, slack: u64) {
    let wanted = RATE as f64 * (took.as_secs_f64() + 1.0);
    let off = (passed as f64 - wanted).abs();
    assert!(
        off <= wanted * 0.05 + slack as f64,
        "{passed} passed in {took:?}, {wanted:.0} should"
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
                let (passed, runs) = flood(&loaded, from, began + FLOOD);
                let took = began.elapsed();
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
            let took = began.elapsed();
            let passed = one.0 + two.0;
            assert!(one.1.min(two.1) > 5 * passed / 2);
            // Without compare-and-exchange each token may be taken by both.
            let slack = if target.atomics { 0 } else { passed / 2 };
            assert_close(passed, took, slack);
        }
    }
}
