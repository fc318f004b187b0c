//! bpfilter, where its command is named by `SOCKC_BFCLI`: a chain at XDP, of rules or with a set, in its own words.
//!
//! The chain is loaded and not attached; its program is taken from its pin and called as ours is. It counts what its policy
//! decides, which cannot be left out, and no rule. Only rules that its matchers can say are written: IPv4, TCP and UDP.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use aya::programs::ProgramInfo;

use crate::rules::{ANY_PORT, Prefix, Rule, RuleSet};
use crate::stage::Problem;
use crate::systems::{Unfit, patient};

/// Where it pins.
const PINS: &str = "/sys/fs/bpf/bpfilter";
/// The name of the chain.
const NAME: &str = "sockc_bench";
/// The name of its program's pin.
const PROGRAM: &str = "bf_prog";

/// How the rules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One rule after the other.
    Chain,
    /// One rule that asks a set of addresses with ports, which it keeps in one hash table.
    Set,
}

/// A chain that is loaded; it goes with this.
pub(crate) struct Chain {
    command: PathBuf,
    pub(crate) milliseconds: f64,
}

impl Chain {
    /// Loads the rules; those that cannot be said in it, and a machine without it, are no row.
    pub(crate) fn load(form: Form, set: &RuleSet) -> Result<Self, Unfit> {
        let named = env::var_os("SOCKC_BFCLI").ok_or(Unfit::Unsayable)?;
        let chain = match form {
            Form::Chain => chain(&set.rules),
            Form::Set => (set.family == "exact").then(|| with_set(&set.rules)),
        };
        let chain = chain.ok_or(Unfit::Unsayable)?;
        let file = env::temp_dir().join(format!("{NAME}.{}", std::process::id()));
        fs::write(&file, chain)?;
        let command = PathBuf::from(named);
        let mut load = asked(&command, "load");
        load.arg("--from-file").arg(&file);
        let done = patient::run(&mut load, "");
        fs::remove_file(&file)?;
        let milliseconds = done?.milliseconds;
        Ok(Self {
            command,
            milliseconds,
        })
    }

    /// Its program.
    pub(crate) fn program(&self) -> Result<OwnedFd, Problem> {
        // Other pins of the chain are maps, of which the kernel would say by the same command what looks like a program.
        let pin = Path::new(PINS).join(NAME).join(PROGRAM);
        let info = ProgramInfo::from_pin(pin)?;
        Ok(info.fd()?.as_fd().try_clone_to_owned()?)
    }
}

fn asked(bfcli: &Path, action: &str) -> Command {
    let mut command = Command::new(bfcli);
    command.args(["chain", action]);
    command
}

impl Drop for Chain {
    fn drop(&mut self) {
        let mut flush = asked(&self.command, "flush");
        flush.args(["--name", NAME]);
        if let Err(unfit) = patient::run(&mut flush, "") {
            eprintln!("the chain {NAME} of bpfilter stays: {unfit}");
        }
    }
}

fn chain(rules: &[Rule]) -> Option<String> {
    let mut text = format!("chain {NAME} BF_HOOK_XDP DROP\n");
    for rule in rules {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "rule {} DROP", matches(rule)?);
    }
    Some(text)
}

fn with_set(rules: &[Rule]) -> String {
    const KEY: &str = "(ip4.daddr, udp.dport)";
    let element = |rule: &Rule| format!("{}, {}", rule.to.address, rule.dports.0);
    let elements: Vec<String> = rules.iter().map(element).collect();
    let elements = elements.join("; ");
    format!(
        "chain {NAME} BF_HOOK_XDP DROP\nset s {KEY} in {{ {elements} }}\nrule {KEY} in s DROP\n"
    )
}

fn matches(rule: &Rule) -> Option<String> {
    let protocol = match rule.protocol {
        Some(6) => "tcp",
        Some(17) => "udp",
        _ => return None,
    };
    if rule.is_ipv6() {
        return None;
    }
    let mut words = Vec::new();
    for (side, prefix) in [("s", rule.from), ("d", rule.to)] {
        let Prefix { address, length } = prefix;
        match length {
            0 => {}
            32 => words.push(format!("ip4.{side}addr eq {address}")),
            _ => words.push(format!("ip4.{side}net eq {address}/{length}")),
        }
    }
    for (side, (low, high)) in [("s", rule.sports), ("d", rule.dports)] {
        match (low, high) {
            ANY_PORT => {}
            _ if low == high => words.push(format!("{protocol}.{side}port eq {low}")),
            _ => words.push(format!("{protocol}.{side}port range {low}-{high}")),
        }
    }
    if rule.sports == ANY_PORT && rule.dports == ANY_PORT {
        words.push(format!("meta.l4_proto eq {protocol}"));
    }
    Some(words.join(" "))
}
