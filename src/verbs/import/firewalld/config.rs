//! All that firewalld is configured by.
//!
//! Takes both folders; gives zones, policies, and what these name, or the first mistake. Not here: which packets that is about.

use std::collections::{BTreeMap, BTreeSet};

use sockc_compiler::names::nearest;
use sockc_compiler::policy::Family;

use super::conf::Conf;
use super::elements::About;
use super::folder::Folder;
use super::ipsets;
use super::services::{self, Service};
use super::xml::{File, Mistake, Spot};
use super::zones::{self, Policy, Reach, Settings, Zone};
use super::{direct, icmp};
use crate::exit::Exit;
use crate::output::Output;
use crate::verbs::import::ipset::Sets;
use crate::verbs::import::what::Pattern;

/// What firewalld is configured by.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) conf: Conf,
    /// The zone of what no zone names.
    pub(super) default: String,
    pub(super) zones: BTreeMap<String, Zone>,
    /// Those in force, in the order in which they are asked.
    pub(super) policies: Vec<Policy>,
    pub(super) services: BTreeMap<String, Service>,
    pub(super) sets: Sets,
    /// The families of types of ICMP that have a file.
    pub(super) icmp: BTreeMap<String, Vec<Family>>,
    /// What goes to iptables as it is.
    pub(super) direct: Vec<Spot>,
}

/// What stops an import: a mistake of a file, or what was told already.
pub(super) enum Stop {
    Mistake(Mistake),
    Told(Exit),
}

impl From<Mistake> for Stop {
    fn from(mistake: Mistake) -> Self {
        Self::Mistake(mistake)
    }
}

impl From<Exit> for Stop {
    fn from(exit: Exit) -> Self {
        Self::Told(exit)
    }
}

/// Reads all that is in force.
pub(super) fn read(folder: &mut Folder<'_>, output: &mut Output) -> Result<Config, Stop> {
    let conf = folder.own("firewalld.conf", output)?;
    let conf = Conf::read(conf.as_ref().map_or("", |file| &file.text));
    let zones = zones(folder, output)?;
    let default = default(&conf, &zones)?;
    let policies = policies(folder, &zones, output)?;
    let sets = each(folder, "ipsets", output, |file, _| ipsets::read(file))?;
    let icmp = each(folder, "icmptypes", output, |file, _| icmp::read(file))?;
    let direct = folder.own("direct.xml", output)?;
    let mut config = Config {
        direct: direct
            .as_ref()
            .map(direct::read)
            .transpose()?
            .unwrap_or_default(),
        conf,
        default,
        zones,
        policies,
        services: BTreeMap::new(),
        sets: Sets::new(sets, ipsets::MISSING.to_owned()),
        icmp,
    };
    config.services = services(folder, &config, output)?;
    config.check()?;
    Ok(config)
}

/// Every file of a kind, by name.
fn each<T>(
    folder: &mut Folder<'_>,
    kind: &str,
    output: &mut Output,
    read: fn(&File, &str) -> Result<T, Mistake>,
) -> Result<BTreeMap<String, T>, Stop> {
    let mut all = BTreeMap::new();
    for (name, path) in folder.names(kind, output)? {
        let file = folder.file(&path, output)?;
        all.insert(name.clone(), read(&file, &name)?);
    }
    Ok(all)
}

/// The zones, each with all of its parts.
fn zones(folder: &mut Folder<'_>, output: &mut Output) -> Result<BTreeMap<String, Zone>, Stop> {
    let mut zones: BTreeMap<String, Zone> = BTreeMap::new();
    let mut parts = Vec::new();
    for (name, zone) in each(folder, "zones", output, zones::zone)? {
        match name.split_once('/') {
            None => {
                zones.insert(name, zone);
            }
            Some((whole, _)) => parts.push((whole.to_owned(), zone)),
        }
    }
    // A zone of parts stands in place of a file of its name, and its target is always the zones' own.
    let whole: BTreeSet<String> = parts.iter().map(|(name, _)| name.clone()).collect();
    zones.retain(|name, _| !whole.contains(name));
    for (name, mut part) in parts {
        part.name.clone_from(&name);
        part.target = zones::Target::Default;
        match zones.get_mut(&name) {
            Some(zone) => zone.join(part),
            None => {
                zones.insert(name, part);
            }
        }
    }
    Ok(zones)
}

/// The default zone: the one that is named, else the one that firewalld takes then.
fn default(conf: &Conf, zones: &BTreeMap<String, Zone>) -> Result<String, Mistake> {
    let wanted = [conf.default_zone.as_str(), "public", "external", "block"];
    let found = wanted.into_iter().find(|name| zones.contains_key(*name));
    found.map(str::to_owned).ok_or_else(|| Mistake {
        file: "firewalld.conf".to_owned(),
        place: None,
        said: format!(
            "the zone {} has no file; name by `--system` the folder of what the package ships, /usr/lib/firewalld where it is installed",
            conf.default_zone
        ),
    })
}

/// The policies in force: both of their ends have a zone with packets of its own. By priority, then by name.
fn policies(
    folder: &mut Folder<'_>,
    zones: &BTreeMap<String, Zone>,
    output: &mut Output,
) -> Result<Vec<Policy>, Stop> {
    let policies = each(folder, "policies", output, zones::policy)?;
    let mut policies: Vec<Policy> = policies.into_values().collect();
    for policy in &policies {
        for reach in [&policy.from, &policy.to] {
            known_zones(reach, policy, zones)?;
        }
    }
    let is_used = |reach: &Reach| match reach {
        Reach::Any | Reach::Host => true,
        Reach::Zones(names) => names
            .iter()
            .any(|name| zones.get(name).is_some_and(Zone::is_used)),
    };
    policies.retain(|policy| is_used(&policy.from) && is_used(&policy.to));
    policies.sort_by_key(|policy| policy.priority);
    Ok(policies)
}

fn known_zones(
    reach: &Reach,
    policy: &Policy,
    zones: &BTreeMap<String, Zone>,
) -> Result<(), Mistake> {
    let Reach::Zones(names) = reach else {
        return Ok(());
    };
    match names.iter().find(|name| !zones.contains_key(*name)) {
        Some(name) => Err(missing(&policy.head, "zone", name, zones.keys())),
        None => Ok(()),
    }
}

/// What is said of a name that has no file.
fn missing<'a>(
    spot: &Spot,
    kind: &str,
    name: &str,
    known: impl Iterator<Item = &'a String>,
) -> Mistake {
    let near = nearest(name, known.map(String::as_str));
    let near = near
        .map(|near| format!("did you mean {near}? "))
        .unwrap_or_default();
    Mistake {
        file: spot.place.clone(),
        place: None,
        said: format!(
            "{}: the {kind} {name} has no file; {near}what the package ships is found by `--system`, /usr/lib/firewalld where it is installed",
            spot.text
        ),
    }
}

/// The services that are named, and those that these include.
fn services(
    folder: &mut Folder<'_>,
    config: &Config,
    output: &mut Output,
) -> Result<BTreeMap<String, Service>, Stop> {
    let files = folder.names("services", output)?;
    let mut wanted: Vec<(Spot, String)> = Vec::new();
    for settings in config.in_force() {
        wanted.extend(named(settings));
    }
    let mut services = BTreeMap::new();
    while let Some((spot, name)) = wanted.pop() {
        if services.contains_key(&name) {
            continue;
        }
        let path = files.get(&name);
        let path = path.ok_or_else(|| missing(&spot, "service", &name, files.keys()))?;
        let file = folder.file(path, output)?;
        let service = services::read(&file)?;
        let includes = service.includes.iter();
        wanted.extend(includes.map(|include| (spot.clone(), include.clone())));
        services.insert(name, service);
    }
    Ok(services)
}

/// The services that settings name.
fn named(settings: &Settings) -> Vec<(Spot, String)> {
    let rules = settings.rules.iter();
    let rules = rules.filter_map(|rule| rule.about.as_ref().map(|about| (&rule.spot, about)));
    let plain = settings.plain.iter().map(|(spot, about)| (spot, about));
    let services = plain.chain(rules).filter_map(|(spot, about)| match about {
        About::Service(name) => Some((spot.clone(), name.clone())),
        _ => None,
    });
    services.collect()
}

impl Config {
    /// The zones that decide about packets, by name.
    pub(super) fn used(&self) -> impl Iterator<Item = &Zone> {
        let zones = self.zones.values();
        zones.filter(|zone| zone.is_used() || zone.name == self.default)
    }

    /// What decides about packets.
    pub(super) fn in_force(&self) -> impl Iterator<Item = &Settings> {
        let zones = self.used().map(|zone| &zone.settings);
        zones.chain(self.policies.iter().map(|policy| &policy.settings))
    }

    /// Whether no interface is in two zones, so that the policy may name them. By patterns one can be.
    pub(super) fn has_apart(&self) -> bool {
        let all: Vec<(&str, &Pattern)> = self
            .used()
            .flat_map(|zone| {
                zone.interfaces
                    .iter()
                    .map(|(_, one)| (zone.name.as_str(), one))
            })
            .collect();
        let meets = |one: &Pattern, other: &Pattern| one.has(other) || other.has(one);
        !all.iter().enumerate().any(|(at, (zone, one))| {
            let others = all.iter().skip(at + 1);
            others
                .filter(|(other, _)| other != zone)
                .any(|(_, other)| meets(one, other))
        })
    }

    /// An interface or a sender that two zones have: firewalld does not start so.
    fn check(&self) -> Result<(), Mistake> {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for zone in self.zones.values() {
            let interfaces = zone
                .interfaces
                .iter()
                .map(|(spot, one)| (spot, format!("{one:?}")));
            let sources = zone
                .sources
                .iter()
                .map(|(spot, one)| (spot, format!("{one:?}")));
            for (spot, one) in interfaces.chain(sources) {
                match seen.insert(one, &zone.name) {
                    Some(other) if other != zone.name => {
                        return Err(twice(spot, other));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn twice(spot: &Spot, other: &str) -> Mistake {
    Mistake {
        file: spot.place.clone(),
        place: None,
        said: format!(
            "{} stands in the zone {other}, too; take one out",
            spot.text
        ),
    }
}
