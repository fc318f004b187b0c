//! The command line of `plan` and `apply`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Counting, Deployment, Lints, Recording, Why, duration};

#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// A policy, or an object that `sockc compile` made; `-` is a policy from standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Save the plan: `sockc apply PLAN` does exactly this, or refuses if what runs is no longer the same
    #[arg(short, long, value_name = "PLAN")]
    pub(crate) output: Option<PathBuf>,
    /// End with 2 if anything would change
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Cut no list, however long
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) replay: Recording,
}

#[derive(Args, Debug)]
pub(crate) struct Apply {
    /// A policy, an object that `sockc compile` made, or a plan that `sockc plan -o` saved; `-` is a policy from standard
    /// input
    #[arg(value_name = "FILE", required_unless_present_any = ["running", "boot"])]
    pub(crate) file: Option<PathBuf>,
    /// Put what is in force on interfaces that came since, without any file; with --interface, only if it is for that one.
    /// What another sockc made is compiled again from its text
    #[arg(long, conflicts_with_all = ["file", "no_counters"])]
    pub(crate) running: bool,
    #[command(flatten)]
    pub(crate) boot: Boot,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Stay until SIGTERM, and put what is in force on interfaces, network namespaces and control groups that come or change
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) why: Why,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Never ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Put it in force on trial: unless `sockc confirm` comes within this time, the kernel brings back what was in force before
    /// [default: 60s on a terminal over SSH, unless a plan or --yes is given]
    #[arg(long, value_name = "TIME", value_parser = duration::deadline)]
    pub(crate) confirm: Option<Duration>,
    /// Put it in force for good, over SSH too
    #[arg(long, conflicts_with = "confirm")]
    pub(crate) no_confirm: bool,
    /// Put it in force though it cuts the SSH connection that this comes over, or lets no new one in
    #[arg(long)]
    pub(crate) lock_me_out: bool,
}

/// Who may read what is in force besides root.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Reading {
    /// Let the members of this group read what is in force, without rights; it stays so at every later apply
    #[arg(long, value_name = "GROUP", conflicts_with_all = ["no_group", "boot"])]
    pub(crate) group: Option<String>,
    /// Let no group read it any more
    #[arg(long, conflicts_with = "boot")]
    pub(crate) no_group: bool,
}

impl Reading {
    /// Whether anything is said about it.
    pub(crate) fn is_given(&self) -> bool {
        self.group.is_some() || self.no_group
    }
}

/// What is put in force when the machine starts.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Boot {
    /// Put in force what is kept on disk since it was put in force for good; the one before it, or a minimal policy, where that
    /// cannot be. Changes nothing where a policy is in force
    #[arg(long, conflicts_with_all = ["file", "running", "no_counters", "interfaces", "confirm", "watch"])]
    pub(crate) boot: bool,
    /// With --boot: the minimal policy of this machine [default: /etc/sockc/minimal.sk, if it is there]
    #[arg(long, value_name = "FILE", requires = "boot", conflicts_with_all = ["file", "running"])]
    pub(crate) minimal: Option<PathBuf>,
    /// Which of these it is.
    #[arg(skip)]
    pub(crate) from: Option<StartFrom>,
}

/// What of all that can be put in force when the machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StartFrom {
    /// What was put in force for good last.
    Last,
    /// What was kept before it.
    Before,
    /// The minimal policy of the machine.
    Minimal,
    /// The one that comes with sockc.
    BuiltIn,
}

/// Where a policy is to be put in force, and what it must keep to.
#[derive(Args, Debug)]
pub(crate) struct Subject {
    /// Attach to this interface instead of the policy's; may be given several times, patterns allowed
    #[arg(long = "interface", value_name = "INTERFACE")]
    pub(crate) interfaces: Vec<String>,
    /// Make the rule and the route that redirects `at tc` need, where they are not there; `unload` takes them back
    #[arg(long)]
    pub(crate) add_routes: bool,
    #[command(flatten)]
    pub(crate) place: Deployment,
    #[command(flatten)]
    pub(crate) guards: Guards,
    #[command(flatten)]
    pub(crate) counting: Counting,
    #[command(flatten)]
    pub(crate) lints: Lints,
}

/// What a policy must keep to.
#[derive(Args, Clone, Debug)]
pub(crate) struct Guards {
    /// Refuse a policy that does not keep to the `expect` lines of this file; may be given several times
    #[arg(long = "guard", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Read the machine's guards from here [default: /etc/sockc/guards, if it is there]
    #[arg(long = "guards", value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}
