//! The command line of the benchmarks.

use std::path::PathBuf;

use clap::Parser;

use crate::rules::choice;
use crate::stage::Problem;
use crate::systems::{SYSTEMS, System};

/// What a packet costs: sockc against the kernel's other filters, with the same rules and the same packets.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Few sizes and rounds, for a first look
    #[arg(long)]
    quick: bool,
    /// Systems, by name, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Families of rule sets, by name, separated by commas; `classbench` is all of ClassBench that is there
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    family: Vec<String>,
    /// Numbers of rules, such as 10 or 100k, separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = choice::number)]
    size: Vec<usize>,
    /// Rounds that are kept of each point
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Have `net.core.bpf_jit_harden` be N meanwhile; what it was is put back
    #[arg(long, value_name = "N")]
    pub(crate) jit_harden: Option<u8>,
    /// Write everything as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the chart; `docs/cost.svg` is the one of the manual
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The sizes of a whole run, and those of a first look.
const SIZES: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
const FEW_SIZES: [usize; 3] = [10, 100, 1_000];
/// The families of a first look: those that the chart shows.
const FEW_FAMILIES: [&str; 3] = ["exact", "interval", "acl"];

impl Options {
    /// The systems that are asked for.
    pub(crate) fn systems(&self) -> Result<Vec<System>, Problem> {
        if self.only.is_empty() {
            return Ok(SYSTEMS.iter().map(|(_, system)| *system).collect());
        }
        let names: Vec<&str> = SYSTEMS.iter().map(|(name, _)| *name).collect();
        let found = self.only.iter().map(|wanted| {
            let place = names.iter().position(|name| name == wanted);
            place.map(|place| SYSTEMS[place].1).ok_or_else(|| {
                format!(
                    "there is no system `{wanted}`; there are {}",
                    names.join(", ")
                )
                .into()
            })
        });
        found.collect()
    }

    /// Family and size of every point.
    pub(crate) fn points(&self) -> Result<Vec<(String, usize)>, Problem> {
        let mut sizes = match (self.size.as_slice(), self.quick) {
            ([], true) => FEW_SIZES.to_vec(),
            ([], false) => SIZES.to_vec(),
            (sizes, _) => sizes.to_vec(),
        };
        // Curves are drawn in this order.
        sizes.sort_unstable();
        let families = self.families()?;
        let points = families.iter().flat_map(|family| {
            let sizes = sizes.iter().copied();
            sizes
                .filter(|size| choice::exists(family, *size))
                .map(|size| (family.clone(), size))
        });
        Ok(points.collect())
    }

    fn families(&self) -> Result<Vec<String>, Problem> {
        Ok(match (self.family.as_slice(), self.quick) {
            ([], true) => FEW_FAMILIES.map(str::to_owned).to_vec(),
            ([], false) => choice::all(),
            (wanted, _) => choice::named(wanted)?,
        })
    }

    /// Rounds that are to be kept of each point.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }
}
