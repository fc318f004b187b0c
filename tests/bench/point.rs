//! One rule set, all systems: everything is loaded, then measured in rounds.

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use crate::applied;
use crate::compiled::{Folder, How};
use crate::frame::Layout;
use crate::loaded::Loaded;
use crate::report::{Cost, FLOOD, Report};
use crate::rounds::{Entrant, Mode, Rounds};
use crate::rules::policy::{RunsAt, Verdicts};
use crate::rules::scan::Scan;
use crate::rules::{Header, RuleSet, family, trace};
use crate::sockc::{self, Asked};
use crate::stage::{Problem, Stage};
use crate::systems::bpfilter;
use crate::systems::hash::{self, Table};
use crate::systems::plain::drop_all;
use crate::systems::{Filter, Layer, SYSTEMS, System, Unfit};
use crate::traffic::Trace;

/// What is to be measured of a rule set.
pub(crate) struct Plan<'a> {
    pub(crate) set: &'a RuleSet,
    /// The size that was asked for.
    pub(crate) size: usize,
    /// The systems; the controls always run.
    pub(crate) systems: &'a [System],
    /// Rounds that are to be kept.
    pub(crate) rounds: usize,
    pub(crate) folder: &'a Folder,
}

/// The packets of a point.
struct Traffic {
    layout: Layout,
    hits: Vec<Header>,
    flood: Vec<Header>,
    hit_trace: Rc<Trace>,
    flood_trace: Rc<Trace>,
}

impl Traffic {
    fn new(set: &RuleSet, size: usize) -> Result<Self, Problem> {
        let layout = Layout::of(set.has_ipv6());
        let mut rng = family::seed(&set.family, size + 1);
        let hits = trace::hits(set, &mut rng, layout.packets);
        let flood = trace::random(set, &mut rng, layout.packets);
        Ok(Self {
            hit_trace: Rc::new(Trace::new(layout, &hits)?),
            flood_trace: Rc::new(Trace::new(layout, &flood)?),
            layout,
            hits,
            flood,
        })
    }
}

/// What is held while a point is measured, and what is known of each entrant.
struct Bench {
    entrants: Vec<Entrant>,
    rows: Vec<Row>,
    /// Programs and maps that entrants use.
    held: Vec<Loaded>,
}

/// A line of the table to be.
struct Row {
    name: String,
    system: Option<System>,
    /// Its place among the entrants, or why it has none.
    entrant: Result<usize, String>,
    load_ms: Option<f64>,
}

/// Measures a point.
pub(crate) fn measure(plan: &Plan<'_>) -> Result<Report, Problem> {
    let traffic = Traffic::new(plan.set, plan.size)?;
    let mut report = Report::new(plan.set, plan.size);
    let checked = check(plan, &traffic, &mut report)?;
    let refused = checked.as_ref().err();
    let mut bench = Bench {
        entrants: Vec::new(),
        rows: Vec::new(),
        held: Vec::new(),
    };
    for (name, system) in SYSTEMS {
        let control = matches!(system, System::Control(_));
        if control || plan.systems.contains(&system) {
            bench.add(plan, &traffic, name, system, refused)?;
        }
    }
    if let Ok(Some(loaded)) = checked {
        bench.add_yardstick(plan, &traffic, loaded)?;
    }
    let rounds = Rounds::run(&bench.entrants, plan.rounds)?;
    bench.tell(plan, &rounds, &mut report)?;
    Ok(report)
}

/// The policies whose verdicts take turns: why there is none, or the one at XDP, if it was asked for.
type Checked = Result<Option<Loaded>, String>;

/// Compiles the policies whose verdicts take turns, and checks them.
fn check(plan: &Plan<'_>, traffic: &Traffic, report: &mut Report) -> Result<Checked, Problem> {
    let scan = Scan::new(&plan.set.rules);
    let given = plan.set.headers.as_slice();
    let given_trace = (!given.is_empty()).then(|| Trace::new(traffic.layout, given));
    let given_trace = given_trace.transpose()?;
    let mut asked = vec![
        Asked::new(&traffic.hit_trace, &traffic.hits),
        Asked::new(&traffic.flood_trace, &traffic.flood),
    ];
    asked.extend(given_trace.as_ref().map(|trace| Asked::new(trace, given)));
    let mut at_xdp = None;
    for (layer, place) in [(Layer::Xdp, RunsAt::Xdp), (Layer::Stack, RunsAt::Tc)] {
        if !plan.systems.contains(&System::Sockc(layer)) {
            continue;
        }
        let (verdicts, how) = (Verdicts::Alternate, How { counters: true });
        let made = match sockc::compiled(plan.folder, plan.set, verdicts, place, how) {
            Ok(made) => made,
            Err(unfit) => return Ok(Err(unfit.to_string())),
        };
        let loaded = match Loaded::new(&made) {
            Ok(loaded) => loaded,
            Err(problem) => return Ok(Err(problem.to_string())),
        };
        let rules = plan.set.rules.len();
        let mut facts = sockc::facts(&made, &loaded, place, &scan, &asked, rules)?;
        facts.apply_ms = applied::milliseconds(plan.folder, plan.set, place).ok();
        report.sockc.push(facts);
        if layer == Layer::Xdp {
            at_xdp = Some(loaded);
        }
    }
    Ok(Ok(at_xdp))
}

impl Bench {
    fn add(
        &mut self,
        plan: &Plan<'_>,
        traffic: &Traffic,
        name: &str,
        system: System,
        refused: Option<&String>,
    ) -> Result<(), Problem> {
        let prepared = match (system, refused) {
            (System::Sockc(_) | System::Uncounted(_), Some(why)) => {
                Err(Unfit::Refused(why.clone()))
            }
            _ => self.prepare(plan, traffic, name, system),
        };
        let (entrant, load_ms) = match prepared {
            Ok((entrant, load_ms)) => (Ok(entrant), load_ms),
            Err(Unfit::Unsayable) => return Ok(()),
            Err(Unfit::Refused(why)) => (Err(why), None),
        };
        let flooded = match (system, &entrant) {
            (System::Sockc(_) | System::Uncounted(_), Ok(entrant)) => Some(Row {
                name: format!("{name}{FLOOD}"),
                system: None,
                entrant: Ok(entrant + 1),
                load_ms: None,
            }),
            _ => None,
        };
        self.rows.push(Row {
            name: name.to_owned(),
            system: Some(system),
            entrant,
            load_ms,
        });
        self.rows.extend(flooded);
        Ok(())
    }

    /// Loads a system; gives its place among the entrants, and how long the loading took.
    fn prepare(
        &mut self,
        plan: &Plan<'_>,
        traffic: &Traffic,
        name: &str,
        system: System,
    ) -> Result<(usize, Option<f64>), Unfit> {
        let mut stage = Stage::new()?;
        let hash_fits = plan.set.family == "exact";
        let mut load_ms = None;
        let program = match system {
            System::Control(layer) => Some(drop_all(layer)?),
            System::Hash(_) if !hash_fits => return Err(Unfit::Unsayable),
            System::Hash(layer) => Some(Table::of_rules(&plan.set.rules)?.filter(layer)?),
            System::Sockc(layer) | System::Uncounted(layer) => {
                let counters = matches!(system, System::Sockc(_));
                return self.prepare_sockc(plan, traffic, name, layer, stage, counters);
            }
            System::Bpfilter(form) => {
                let chain = bpfilter::Chain::load(form, plan.set)?;
                load_ms = Some(chain.milliseconds);
                let program = chain.program()?;
                // Loaded programs stay without their pins as long as somebody has them.
                Some(program)
            }
            System::Nft(form) => {
                load_ms = Some(form.load(plan.set, &stage)?);
                None
            }
            System::Iptables(tool) => {
                load_ms = Some(tool.load(plan.set, &stage)?);
                None
            }
        };
        let trace = &traffic.hit_trace;
        let generator = match (&program, system.layer()) {
            (Some(program), Layer::Xdp) => trace.toward_program(program.as_fd())?,
            (Some(program), Layer::Stack) => {
                stage.attach_tc(program.as_fd())?;
                trace.toward_stack()?
            }
            (None, _) => trace.toward_stack()?,
        };
        self.entrants.push(Entrant {
            name: name.to_owned(),
            stage: Rc::new(stage),
            trace: Rc::clone(trace),
            generator,
            mode: Mode::Live,
            control: matches!(system, System::Control(_)),
        });
        Ok((self.entrants.len() - 1, load_ms))
    }

    /// Ours: one entrant with packets that hit rules, and one with a flood.
    fn prepare_sockc(
        &mut self,
        plan: &Plan<'_>,
        traffic: &Traffic,
        name: &str,
        layer: Layer,
        mut stage: Stage,
        counters: bool,
    ) -> Result<(usize, Option<f64>), Unfit> {
        let place = match layer {
            Layer::Xdp => RunsAt::Xdp,
            Layer::Stack => RunsAt::Tc,
        };
        let how = How { counters };
        let made = sockc::compiled(plan.folder, plan.set, Verdicts::Drop, place, how)?;
        let loaded = Loaded::new(&made)?;
        if layer == Layer::Stack {
            stage.attach_tc(loaded.program()?)?;
        }
        let stage = Rc::new(stage);
        let first = self.entrants.len();
        for (suffix, trace) in [("", &traffic.hit_trace), (FLOOD, &traffic.flood_trace)] {
            let generator = match layer {
                Layer::Xdp => trace.toward_program(loaded.program()?)?,
                Layer::Stack => trace.toward_stack()?,
            };
            self.entrants.push(Entrant {
                name: format!("{name}{suffix}"),
                stage: Rc::clone(&stage),
                trace: Rc::clone(trace),
                generator,
                mode: Mode::Live,
                control: false,
            });
        }
        let load_ms = made.milliseconds + loaded.milliseconds;
        self.held.push(loaded);
        Ok((first, Some(load_ms)))
    }

    /// Our program with and without counters, a program that only parses, and one look-up in a hash table with as many
    /// entries: each alone, on as many different packets as there are rules.
    fn add_yardstick(
        &mut self,
        plan: &Plan<'_>,
        traffic: &Traffic,
        ours: Loaded,
    ) -> Result<(), Problem> {
        if plan.set.has_ipv6() {
            return Ok(());
        }
        let count = plan.set.rules.len().min(traffic.hits.len());
        let headers = &traffic.hits[..count];
        let trace = Rc::new(Trace::new(traffic.layout, headers)?);
        let table = Table::of_headers(headers, plan.set.rules.len())?;
        let stage = Rc::new(Stage::new()?);
        self.add_dry(PARSE, &stage, &trace, hash::parse_only()?.as_fd())?;
        self.add_dry(HASH, &stage, &trace, table.filter(Layer::Xdp)?.as_fd())?;
        self.add_dry(OURS, &stage, &trace, ours.program()?)?;
        self.held.push(ours);
        let (verdicts, how) = (Verdicts::Alternate, How { counters: false });
        if let Ok(made) = sockc::compiled(plan.folder, plan.set, verdicts, RunsAt::Xdp, how) {
            let uncounted = Loaded::new(&made)?;
            self.add_dry(UNCOUNTED, &stage, &trace, uncounted.program()?)?;
            self.held.push(uncounted);
        }
        Ok(())
    }

    fn add_dry(
        &mut self,
        name: &str,
        stage: &Rc<Stage>,
        trace: &Rc<Trace>,
        program: BorrowedFd<'_>,
    ) -> Result<(), Problem> {
        self.entrants.push(Entrant {
            name: name.to_owned(),
            stage: Rc::clone(stage),
            trace: Rc::clone(trace),
            generator: trace.toward_program(program)?,
            mode: Mode::Dry,
            control: false,
        });
        Ok(())
    }

    /// Puts what the rounds gave into the report.
    fn tell(&self, plan: &Plan<'_>, rounds: &Rounds, report: &mut Report) -> Result<(), Problem> {
        report.rounds = (rounds.count(), rounds.tried);
        report.unsteady = rounds.unsteady;
        for row in &self.rows {
            report.costs.push(self.cost(plan, row, rounds)?);
        }
        let place = |name: &str| self.entrants.iter().position(|one| one.name == name);
        for name in ["sockc-xdp", "sockc-tc"] {
            let flooded = place(&format!("{name}{FLOOD}"));
            let both = flooded.zip(place(name));
            let ratio = both.map(|(one, other)| rounds.ratio(one, other));
            report
                .flood
                .extend(ratio.map(|ratio| (name.to_owned(), ratio)));
        }
        report.tell_yardstick(rounds, [PARSE, HASH, OURS, UNCOUNTED].map(place));
        Ok(())
    }

    fn cost(&self, plan: &Plan<'_>, row: &Row, rounds: &Rounds) -> Result<Cost, Problem> {
        let place = |name: &str| self.entrants.iter().position(|one| one.name == name);
        let mut cost = Cost {
            system: row.name.clone(),
            load_ms: row.load_ms,
            ..Cost::default()
        };
        let entrant = match &row.entrant {
            Ok(entrant) => *entrant,
            Err(why) => {
                cost.refused = Some(why.clone());
                return Ok(cost);
            }
        };
        cost.nanoseconds = Some(rounds.cost(entrant));
        let against = |name: &str| place(name).map(|other| rounds.ratio(entrant, other));
        cost.to_sockc_xdp = against("sockc-xdp");
        cost.to_sockc_tc = against("sockc-tc");
        let filter: Option<&dyn Filter> = match &row.system {
            Some(System::Nft(form)) => Some(form),
            Some(System::Iptables(tool)) => Some(tool),
            _ => None,
        };
        let stage = &self.entrants[entrant].stage;
        let unmatched = filter.map(|filter| filter.unmatched(plan.set, stage));
        cost.unmatched = unmatched.transpose()?;
        Ok(cost)
    }
}

/// The entrants of the yardstick.
const PARSE: &str = "parse only";
const HASH: &str = "one look-up";
const OURS: &str = "our program";
const UNCOUNTED: &str = "our program without counters";
