//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::chart::{Panel, Series};
use crate::rounds::{Rounds, TOLERANCE};
use crate::rules::RuleSet;
use crate::sockc::Facts;

/// After the name of a system that is flooded.
pub(crate) const FLOOD: &str = " (flood)";
/// Costs below this are too near to that of the frame itself to take the frame's away.
const MIN_NET: f64 = 50.0;

/// A point: one rule set, all systems.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) family: String,
    /// The size that was asked for.
    pub(crate) size: usize,
    pub(crate) rules: usize,
    /// Filters that match nothing and were left out.
    pub(crate) left_out: usize,
    /// Rounds that were kept, and all.
    pub(crate) rounds: (usize, usize),
    /// How much slower than at its best a control was in the worst of those that were kept.
    pub(crate) unsteady: f64,
    pub(crate) costs: Vec<Cost>,
    pub(crate) sockc: Vec<Facts>,
    /// For each of our systems, what a packet of a flood costs, as a share of what one costs that hits a rule.
    pub(crate) flood: Vec<(String, f64)>,
    pub(crate) yardstick: Option<Yardstick>,
}

/// What a system costs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Cost {
    pub(crate) system: String,
    /// A packet, from the generator to its drop.
    pub(crate) nanoseconds: Option<f64>,
    /// How many times as much as ours.
    pub(crate) to_sockc_xdp: Option<f64>,
    pub(crate) to_sockc_tc: Option<f64>,
    pub(crate) load_ms: Option<f64>,
    /// Packets that its rules did not match, though all of them should.
    pub(crate) unmatched: Option<u64>,
    /// Why it was not measured.
    pub(crate) refused: Option<String>,
}

/// Our program against one look-up in the kernel's hash table, frames and parsing apart, in nanoseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Yardstick {
    pub(crate) parse_ns: f64,
    pub(crate) lookup_ns: f64,
    pub(crate) sockc_ns: f64,
    pub(crate) ratio: f64,
    /// What counting costs, where the compiler can leave it out.
    pub(crate) counters_ns: Option<f64>,
}

impl Report {
    pub(crate) fn new(set: &RuleSet, size: usize) -> Self {
        Self {
            family: set.family.clone(),
            size,
            rules: set.rules.len(),
            left_out: set.left_out,
            rounds: (0, 0),
            unsteady: 0.0,
            costs: Vec::new(),
            sockc: Vec::new(),
            flood: Vec::new(),
            yardstick: None,
        }
    }

    /// Takes the yardstick from the rounds, if its entrants ran.
    pub(crate) fn tell_yardstick(&mut self, rounds: &Rounds, places: [Option<usize>; 4]) {
        let [Some(parse), Some(lookup), Some(ours), uncounted] = places else {
            return;
        };
        let parse_ns = rounds.cost(parse);
        let lookup_ns = rounds.cost(lookup) - parse_ns;
        let sockc_ns = rounds.cost(ours) - parse_ns;
        self.yardstick = Some(Yardstick {
            parse_ns,
            lookup_ns,
            sockc_ns,
            ratio: sockc_ns / lookup_ns,
            counters_ns: uncounted.map(|one| rounds.cost(ours) - rounds.cost(one)),
        });
    }

    /// The cost of a system, if it was measured.
    pub(crate) fn cost(&self, system: &str) -> Option<f64> {
        let mut costs = self.costs.iter();
        costs.find(|one| one.system == system)?.nanoseconds
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let (kept, tried) = self.rounds;
        let mut text = format!("\n{}, {} rules", self.family, self.rules);
        if self.left_out > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, " ({} left out: they match nothing)", self.left_out);
        }
        let percent = 100.0 * self.unsteady;
        let _ = write!(
            text,
            "; {kept} of {tried} rounds kept, controls within {percent:.0} %"
        );
        if self.unsteady > TOLERANCE - 1.0 {
            text.push_str(": this machine is too busy");
        }
        text.push('\n');
        let _ = writeln!(
            text,
            "{:<20}{:>12}{:>10}{:>12}{:>12}{:>12}  note",
            "system", "ns/packet", "net", "x sockc-xdp", "x sockc-tc", "load ms"
        );
        for cost in &self.costs {
            let _ = writeln!(text, "{}", self.row(cost));
        }
        for facts in &self.sockc {
            let _ = writeln!(text, "{}", facts_line(facts));
        }
        for (system, ratio) in &self.flood {
            let _ = writeln!(
                text,
                "{system}: a flood of random headers costs {ratio:.2} of packets that hit rules"
            );
        }
        if let Some(yardstick) = &self.yardstick {
            let _ = writeln!(text, "{}", yardstick.line());
        }
        text
    }

    fn row(&self, cost: &Cost) -> String {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let note = match (&cost.refused, cost.unmatched) {
            (Some(why), _) => why.clone(),
            (_, Some(count)) if count > 0 => format!("{count} packets matched no rule"),
            _ => String::new(),
        };
        format!(
            "{:<20}{:>12}{:>10}{:>12}{:>12}{:>12}  {note}",
            cost.system,
            number(cost.nanoseconds, 1),
            number(self.net(cost), 0),
            number(cost.to_sockc_xdp, 2),
            number(cost.to_sockc_tc, 2),
            number(cost.load_ms, 1),
        )
        .trim_end()
        .to_owned()
    }

    /// What a system costs beyond dropping everything, where that is enough to be told from noise.
    fn net(&self, cost: &Cost) -> Option<f64> {
        let is_xdp = cost.system.contains("-xdp") || cost.system.starts_with("xdp-");
        let control = if is_xdp {
            "xdp-drop-all"
        } else {
            "tc-drop-all"
        };
        let net = cost.nanoseconds? - self.cost(control)?;
        (net > MIN_NET).then_some(net)
    }
}

impl Yardstick {
    fn line(&self) -> String {
        let counters = self.counters_ns.map_or_else(
            || "- (the compiler always makes them)".to_owned(),
            |cost| format!("{cost:.1} ns"),
        );
        format!(
            "alone: classify {:.1} ns, one hash look-up {:.1} ns, ratio {:.2}; parse only {:.1} ns; counters {counters}",
            self.sockc_ns, self.lookup_ns, self.ratio, self.parse_ns
        )
    }
}

fn facts_line(facts: &Facts) -> String {
    format!(
        "sockc {:<4} compile {:.1} ms, load {:.1} ms, apply {} ms, {} instructions, {} verified, {} bytes of tables, \
         {:.1} bytes a rule, {} of {} packets wrong",
        facts.place,
        facts.compile_ms,
        facts.load_ms,
        facts
            .apply_ms
            .map_or_else(|| "-".to_owned(), |took| format!("{took:.1}")),
        facts.instructions,
        facts.verified,
        facts.table_bytes,
        facts.bytes_a_rule,
        facts.wrong,
        facts.checked
    )
}

/// The curves of all points: a panel for each family, in the order in which they come up.
pub(crate) fn panels(reports: &[Report]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for report in reports {
        let place = panels.iter().position(|panel| panel.title == report.family);
        let place = place.unwrap_or_else(|| {
            panels.push(Panel {
                title: report.family.clone(),
                series: Vec::new(),
            });
            panels.len() - 1
        });
        let measured = report
            .costs
            .iter()
            .filter(|one| !one.system.ends_with(FLOOD));
        for cost in measured {
            let Some(nanoseconds) = cost.nanoseconds else {
                continue;
            };
            add(
                &mut panels[place],
                &cost.system,
                (report.size as f64, nanoseconds),
            );
        }
    }
    panels
}

fn add(panel: &mut Panel, name: &str, point: (f64, f64)) {
    if let Some(series) = panel.series.iter_mut().find(|one| one.name == name) {
        series.points.push(point);
        return;
    }
    panel.series.push(Series {
        name: name.to_owned(),
        points: vec![point],
    });
}
