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
    /// A rule set of bpfilter, as `bfcli ruleset set --from-file` takes it
    Bfcli(Bfcli),
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

#[derive(Args, Debug)]
pub(crate) struct Bfcli {
    /// The rule set; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What an interface is called that the rules name by its number, as `2=eth0`; for each of them
    #[arg(long = "interface-name", value_name = "NUMBER=NAME", value_parser = numbered)]
    pub(crate) interface_names: Vec<(u128, String)>,
    #[command(flatten)]
    pub(crate) written: Written,
}

/// The number of an interface, and its name.
fn numbered(text: &str) -> Result<(u128, String), String> {
    let (number, name) = text.split_once('=').unwrap_or((text, ""));
    let number = number.parse::<u32>().ok().filter(|number| *number != 0);
    match (number, is_interface(name)) {
        (Some(number), true) => Ok((number.into(), name.to_owned())),
        _ => Err("write its number and its name, as `2=eth0`".to_owned()),
    }
}

/// Whether a text is the name of one interface, and no pattern of names.
pub(crate) fn is_interface(text: &str) -> bool {
    const MOST: usize = 15;
    let mut bytes = text.bytes();
    let is_plain = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte));
    is_plain && (1..=MOST).contains(&text.len())
}
