//! What `import` reads.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Whose configuration is read.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportVerb {
    /// Bindings of tubular: a file of `tubectl load-bindings`, or what `tubectl bindings` prints
    Tubular(Tubular),
    /// The table filter as `iptables-save` prints it, and with it that of `ip6tables-save`
    IptablesSave(IptablesSave),
    /// The rules of ufw, as they stand in its folder
    Ufw(Ufw),
    /// The chains of type filter as `nft -j list ruleset` prints them
    Nft(Nft),
    /// The zones and policies of firewalld, from the folder that it reads
    Firewalld(Firewalld),
}

#[derive(Args, Debug)]
pub(crate) struct Tubular {
    /// The bindings; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where to write; `-` is standard output [default: `-`]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Make a live map, which `sockc map` changes while the policy is in force
    #[arg(long)]
    pub(crate) live: bool,
    /// Write the entries alone, one a line, for `sockc map load`
    #[arg(long, conflicts_with = "live")]
    pub(crate) entries: bool,
}

/// What becomes of the policy that rules are made into.
#[derive(Args, Debug)]
pub(crate) struct Written {
    /// Where to write; `-` is standard output [default: `-`]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Write nothing and end with 1 if anything is left out or means something else
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Args, Debug)]
pub(crate) struct IptablesSave {
    /// What `iptables-save` prints; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "live")]
    pub(crate) file: Option<PathBuf>,
    /// What `ip6tables-save` prints; without it, the policy lets IPv6 through
    #[arg(long, value_name = "FILE", requires = "file")]
    pub(crate) ip6: Option<PathBuf>,
    /// What `ipset save` prints: the sets that rules name
    #[arg(long, value_name = "FILE")]
    pub(crate) ipset: Option<PathBuf>,
    /// Run `iptables-save` and `ip6tables-save`, and take the rules in force here, with the sets of `ipset save`
    #[arg(long, conflicts_with_all = ["file", "ip6", "ipset"])]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) written: Written,
}

#[derive(Args, Debug)]
pub(crate) struct Ufw {
    /// The folder of ufw, usually /etc/ufw
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// The file of its defaults [default: default/ufw next to the folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) defaults: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) written: Written,
}

#[derive(Args, Debug)]
pub(crate) struct Nft {
    /// What `nft -j list ruleset` prints; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "live")]
    pub(crate) file: Option<PathBuf>,
    /// Run `nft -j list ruleset`, and take the rules in force here
    #[arg(long, conflicts_with = "file")]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) written: Written,
}

#[derive(Args, Debug)]
pub(crate) struct Firewalld {
    /// The configuration of the machine, /etc/firewalld
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// What the package ships [default: /usr/lib/firewalld, where that is there]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) system: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) written: Written,
}
