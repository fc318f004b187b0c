//! What of a machine matters to what sockc does there, looked at and not changed.
//!
//! Takes where; gives what was found, and nothing for what this process may not look at. Works without any right, as far as it
//! goes. Not here: what is right or wrong, nor what is in force, which `status` says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::attach::foreign;
use crate::error::{Error, at};
use crate::groups;
use crate::options::Options;
use crate::probe::Features;
use crate::probe::kept::{self, Remembered};
use crate::sys::token::{self, Inside};
use crate::sys::{bpffs, caps, cgroup, driver, netns};

/// What was found.
#[derive(Clone, Debug)]
pub struct Health {
    /// The kernel's release.
    pub release: Option<String>,
    /// What the kernel can do; `None` where this process may not try.
    pub features: Option<Features>,
    /// What is kept of that.
    pub kept: Remembered,
    /// The rights that miss: to look at what is in force and to change it, then those to load programs besides.
    pub missing: [Vec<&'static str>; 2],
    /// Those that miss besides: to what root pinned, and to processes of others.
    pub missing_beside: Vec<&'static str>,
    /// The options of the bpf file system's mount by which it delegates only some types, where its token stands for the rights of
    /// the machine: in a user namespace.
    pub delegated: Option<Vec<&'static str>>,
    /// How it stands with the rights of the user namespace that this process is in; nothing in the machine's own.
    pub inside: Option<Inside>,
    /// Whether programs of others may be looked at.
    pub sees_others: bool,
    /// Whether a bpf file system is there; or why that is not known.
    pub bpffs: Result<bool, String>,
    /// Whether that is mounted so that nothing can be changed there.
    pub is_read_only: bool,
    /// Where control groups of version 2 are.
    pub cgroups: Option<PathBuf>,
    /// Whether these are those of the whole machine, and this process is in a user namespace of its own.
    pub cgroups_are_of_all: bool,
    /// Settings of the kernel, by the names of `sysctl`; none that this process may not read.
    pub settings: BTreeMap<&'static str, String>,
    /// The Ethernet interfaces.
    pub cards: Vec<CardHealth>,
    /// Chains of nftables that drop what no rule of theirs accepts; why that is not known, if it is not.
    pub chains: Result<Vec<Chain>, String>,
    /// Tables of the older iptables, which has its own rules.
    pub legacy: Vec<String>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardHealth {
    /// Its name.
    pub name: String,
    /// Its driver, if it says one.
    pub driver: Option<String>,
    /// Whether the card joins what arrives (LRO); `None` if it does not say.
    pub joins: Option<bool>,
    /// The id and the name of the XDP program on it, ours or not; the name is empty where this process may not ask.
    pub xdp: Option<(u32, String)>,
}

/// A base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its family, table and name, as nft says them.
    pub name: String,
    /// `input`, `forward`, `output`, …
    pub hook: String,
}

/// The settings that are looked at, in the folders of `/proc/sys`.
const SETTINGS: [&str; 3] = [
    "net.core.bpf_jit_enable",
    "net.core.bpf_jit_harden",
    "kernel.unprivileged_bpf_disabled",
];

/// Looks.
///
/// # Errors
///
/// The network namespace cannot be entered.
pub fn health(options: &Options) -> Result<Health, Error> {
    let refused = |cause: io::Error| Error::Netns {
        name: options.netns.clone().unwrap_or_default(),
        cause,
    };
    let file = options.netns.as_deref().map(netns::open).transpose();
    let file = file.map_err(refused)?;
    // Those of the whole machine are not seen in every network namespace.
    let settings = SETTINGS
        .iter()
        .filter_map(|name| Some((*name, setting(name)?)));
    let settings = settings.collect();
    netns::within(file.as_ref(), || look(options, settings)).map_err(refused)?
}

fn look(options: &Options, settings: BTreeMap<&'static str, String>) -> Result<Health, Error> {
    token::seek(&options.bpffs);
    let missing = [
        caps::missing(options.netns.is_some()),
        caps::missing_to_load(),
    ];
    let may_try = missing.iter().all(Vec::is_empty);
    let cgroups = cgroup::root().unwrap_or_default();
    Ok(Health {
        release: read("/proc/sys/kernel/osrelease"),
        features: may_try.then(|| kept::known_features(&options.bpffs)),
        kept: kept::stands(),
        missing,
        missing_beside: caps::missing_beside(),
        delegated: token::narrowed(),
        inside: token::inside(),
        sees_others: caps::may_ask_by_id(),
        bpffs: is_bpffs(&options.bpffs),
        is_read_only: bpffs::is_read_only(&options.bpffs),
        cgroups_are_of_all: cgroups.as_deref().is_some_and(groups::are_of_all),
        cgroups,
        settings,
        cards: cards().map_err(at("list the interfaces"))?,
        chains: chains(),
        legacy: legacy_tables(),
    })
}

fn is_bpffs(path: &Path) -> Result<bool, String> {
    match bpffs::is_bpffs(path) {
        Ok(is) => Ok(is),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause.to_string()),
    }
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn setting(name: &str) -> Option<String> {
    read(&format!("/proc/sys/{}", name.replace('.', "/")))
}

fn cards() -> io::Result<Vec<CardHealth>> {
    let mut cards = Vec::new();
    for (index, name) in netns::interfaces()? {
        // One that went meanwhile is none.
        if name == "lo" || !netns::carries_ethernet(&name).unwrap_or(false) {
            continue;
        }
        cards.push(CardHealth {
            driver: driver::driver(&name).unwrap_or_default(),
            joins: driver::joins(&name).unwrap_or_default(),
            xdp: foreign::xdp(u64::from(index)).unwrap_or_default(),
            name,
        });
    }
    Ok(cards)
}

/// The chains that `nft` lists, which has its own way with the kernel.
fn chains() -> Result<Vec<Chain>, String> {
    Ok(chains_of(&listed_by_nft("chains")?))
}

/// What `nft -j list` prints of `what` (`chains`, `tables`): the objects of its array `nftables`; or why that is not known.
pub fn listed_by_nft(what: &str) -> Result<Vec<Value>, String> {
    let ran = Command::new("nft").args(["-j", "list", what]).output();
    let ran = ran.map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => "there is no `nft` here to ask".to_owned(),
        _ => format!("`nft` cannot be run: {cause}"),
    })?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let line = said.lines().next().unwrap_or_default().trim();
        return Err(format!("`nft` says: {line}"));
    }
    objects(&ran.stdout)
}

fn objects(json: &[u8]) -> Result<Vec<Value>, String> {
    let said: Value = serde_json::from_slice(json)
        .map_err(|cause| format!("what `nft` says cannot be read: {cause}"))?;
    Ok(said["nftables"].as_array().cloned().unwrap_or_default())
}

/// The base chains with `policy drop` among what `nft` lists.
fn chains_of(listed: &[Value]) -> Vec<Chain> {
    let dropping = listed.iter().filter_map(|one| {
        let chain = one.get("chain")?;
        let word = |name: &str| chain[name].as_str().unwrap_or_default();
        (word("policy") == "drop").then(|| Chain {
            name: format!("{} {} {}", word("family"), word("table"), word("name")),
            hook: word("hook").to_owned(),
        })
    });
    dropping.collect()
}

/// The tables of the older iptables that this network namespace has, as `iptables filter`; those that nobody may list are none.
pub fn legacy_tables() -> Vec<String> {
    let of = |family: &str| {
        let names = read(&format!("/proc/thread-self/net/{family}_tables_names"));
        let names = names.unwrap_or_default();
        names
            .split_whitespace()
            .map(|table| format!("{family}tables {table}"))
            .collect::<Vec<_>>()
    };
    ["ip", "ip6"].into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_that_drop_are_told_from_the_others() {
        let json = r#"{"nftables": [{"metainfo": {"version": "1.1.3"}},
            {"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "inet", "table": "filter", "name": "output", "handle": 2, "type": "filter", "hook": "output", "prio": 0, "policy": "accept"}},
            {"chain": {"family": "ip", "table": "nat", "name": "DOCKER", "handle": 3}}]}"#;
        let found = chains_of(&objects(json.as_bytes()).unwrap());
        assert_eq!(
            found,
            [Chain {
                name: "inet filter input".into(),
                hook: "input".into()
            }]
        );
        assert!(objects(b"rubbish").is_err() && objects(b"{}").unwrap().is_empty());
    }

    #[test]
    fn a_folder_that_is_none_is_no_bpffs() {
        assert_eq!(is_bpffs(Path::new("/no-such-folder")), Ok(false));
        assert_eq!(is_bpffs(Path::new("/proc")), Ok(false));
    }
}
