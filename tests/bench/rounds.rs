//! Rounds: everything that is compared runs once in each, one after the other, so that what else the machine does falls
//! on all of it alike.
//!
//! A round in which a control (a program that drops everything) costs 5 % more than in its best round is thrown away. A
//! machine that gives too few sound rounds is told so.

use std::os::fd::AsFd;
use std::rc::Rc;

use crate::median::median;
use crate::stage::{Problem, Stage};
use crate::traffic::{Generator, Trace};

/// How much slower a control may be than in its best round.
pub(crate) const TOLERANCE: f64 = 1.05;
/// Rounds that are tried for each that is wanted, at most.
const PATIENCE: usize = 3;
/// Windows of one measurement, and how many of them count: the fastest, since whatever disturbs a window makes it slower.
const WINDOWS: usize = 7;
const FASTEST: usize = 2;
/// How long a window should last, in nanoseconds.
const WINDOW: u32 = 8_000_000;
/// Packets of a window, at least.
const MIN_RUNS: u32 = 512;

/// Where frames go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To the interface, as real frames do.
    Live,
    /// Nowhere: the program alone is measured.
    Dry,
}

/// Something that is measured.
pub(crate) struct Entrant {
    pub(crate) name: String,
    pub(crate) stage: Rc<Stage>,
    pub(crate) trace: Rc<Trace>,
    pub(crate) generator: Generator,
    pub(crate) mode: Mode,
    /// Whether rounds are judged by it.
    pub(crate) control: bool,
}

impl Entrant {
    /// The mean of the fastest windows, nanoseconds a packet.
    fn measure(&self, packets: u32, windows: usize) -> Result<f64, Problem> {
        let (generator, frame) = (self.generator.as_fd(), &self.trace.frame);
        let mut found = match self.mode {
            Mode::Live => self.stage.live(generator, frame, packets, windows)?,
            Mode::Dry => self.stage.dry(generator, frame, packets, windows)?,
        };
        found.sort_unstable();
        found.truncate(FASTEST);
        let sum: f64 = found.iter().copied().map(f64::from).sum();
        Ok(sum / found.len().max(1) as f64)
    }

    /// How many packets make a window.
    fn packets(&self) -> Result<u32, Problem> {
        let one = self.measure(MIN_RUNS, 1)?.max(1.0) as u32;
        let all = self.trace.layout.packets as u32;
        Ok((WINDOW / one).clamp(MIN_RUNS, 2 * all))
    }
}

/// What the rounds gave.
pub(crate) struct Rounds {
    /// For each entrant, in order, what it cost in each round that was kept.
    kept: Vec<Vec<f64>>,
    /// How many rounds there were in all.
    pub(crate) tried: usize,
    /// How much slower than at its best a control was in the worst of the rounds that were kept.
    pub(crate) unsteady: f64,
}

impl Rounds {
    /// Runs until so many rounds are sound, or patience ends; then the soundest of them are kept all the same.
    pub(crate) fn run(entrants: &[Entrant], wanted: usize) -> Result<Self, Problem> {
        let packets = entrants.iter().map(Entrant::packets);
        let packets = packets.collect::<Result<Vec<_>, _>>()?;
        let mut rounds: Vec<Vec<f64>> = Vec::new();
        loop {
            let turn = rounds.len();
            let mut round = vec![0.0; entrants.len()];
            for place in 0..entrants.len() {
                // Nobody always runs after the same neighbour.
                let place = (place + turn) % entrants.len();
                round[place] = entrants[place].measure(packets[place], WINDOWS)?;
            }
            rounds.push(round);
            let excess = excess(&rounds, entrants);
            let sound = excess.iter().filter(|one| **one <= TOLERANCE).count();
            if sound >= wanted || rounds.len() >= PATIENCE * wanted {
                return Ok(Self::of(&rounds, &excess, sound.max(wanted)));
            }
        }
    }

    /// The `count` soundest of the rounds.
    fn of(rounds: &[Vec<f64>], excess: &[f64], count: usize) -> Self {
        let mut order: Vec<usize> = (0..rounds.len()).collect();
        order.sort_by(|one, other| excess[*one].total_cmp(&excess[*other]));
        order.truncate(count);
        let of_one = |one: usize| order.iter().map(|round| rounds[*round][one]).collect();
        Self {
            kept: (0..rounds[0].len()).map(of_one).collect(),
            tried: rounds.len(),
            unsteady: order.last().map_or(f64::NAN, |worst| excess[*worst] - 1.0),
        }
    }

    /// How many rounds were kept.
    pub(crate) fn count(&self) -> usize {
        self.kept.first().map_or(0, Vec::len)
    }

    /// What an entrant costs: the median over the rounds.
    pub(crate) fn cost(&self, entrant: usize) -> f64 {
        median(self.kept[entrant].clone())
    }

    /// How many times as much one costs as the other: the median of what each round says.
    pub(crate) fn ratio(&self, one: usize, other: usize) -> f64 {
        let both = self.kept[one].iter().zip(&self.kept[other]);
        median(both.map(|(one, other)| one / other).collect())
    }
}

/// For each round, how many times as much as at its best the worst control cost.
fn excess(rounds: &[Vec<f64>], entrants: &[Entrant]) -> Vec<f64> {
    let controls = (0..entrants.len()).filter(|one| entrants[*one].control);
    let best = |one: usize| {
        rounds
            .iter()
            .map(|round| round[one])
            .fold(f64::INFINITY, f64::min)
    };
    let bests: Vec<(usize, f64)> = controls.map(|one| (one, best(one))).collect();
    let worst = |round: &Vec<f64>| {
        let ratios = bests.iter().map(|(one, best)| round[*one] / best);
        ratios.fold(1.0, f64::max)
    };
    rounds.iter().map(worst).collect()
}
