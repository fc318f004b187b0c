//! Which packets a setting or a rule of firewalld is about.
//!
//! Takes what it is about; gives the packets in parts, each a rule of its own, with what is said of them. Not here: verdicts, and where
//! a rule stands.

use sockc_compiler::policy::Family;

use super::config::Config;
use super::elements::About;
use super::icmp;
use super::services::{self, Part, Service};
use crate::verbs::import::what::{Of, What};

/// A part of what is meant.
pub(super) struct Meant {
    /// The packets, or why they cannot be named.
    pub(super) part: Part,
    /// What stands next to the rule.
    pub(super) comment: Option<String>,
    /// How it means something else here.
    pub(super) changed: Option<String>,
}

impl From<Part> for Meant {
    fn from(part: Part) -> Self {
        Self {
            part,
            comment: None,
            changed: None,
        }
    }
}

/// What is said where all ICMP is meant.
pub(super) const OTHER_ICMP: &str = "ICMP of the other family, which no host sends (protocol 58 in IPv4, 1 in IPv6), is not meant, and gets what the rest of the zone says";

/// The packets of a family; `single` is whether each of its ports is a rule there that stays one.
pub(super) fn parts(config: &Config, about: &About, family: Family, single: bool) -> Vec<Meant> {
    match about {
        About::Service(name) => of_service(config, name, family, single),
        About::Port(port) => plain(services::of_ports(&[*port], Of::To, family, single)),
        About::SourcePort(port) => plain(services::of_ports(&[*port], Of::From, family, single)),
        About::Protocol(protocol) => {
            let part = services::of_protocol(protocol, family);
            let is_icmp = matches!(protocol, Ok(1 | 58));
            let meant = part.map(|part| Meant {
                changed: is_icmp.then(|| OTHER_ICMP.to_owned()),
                ..part.into()
            });
            meant.into_iter().collect()
        }
        About::IcmpBlock(name) | About::IcmpType(name) => of_type(config, name, family),
        About::Changing(_) => Vec::new(),
    }
}

fn plain(all: Vec<What>) -> Vec<Meant> {
    all.into_iter().map(|what| Ok(what).into()).collect()
}

fn of_type(config: &Config, name: &str, family: Family) -> Vec<Meant> {
    let families = config.icmp.get(name);
    if families.is_some_and(|families| !families.contains(&family)) {
        return Vec::new();
    }
    let part = icmp::of(name, family).transpose();
    part.map(Meant::from).into_iter().collect()
}

/// A service, and behind it those that it includes.
fn of_service(config: &Config, name: &str, family: Family, single: bool) -> Vec<Meant> {
    let mut names: Vec<&str> = vec![name];
    let mut at = 0;
    while let Some(service) = names.get(at).and_then(|name| config.services.get(*name)) {
        let more = service.includes.iter().map(String::as_str);
        let more: Vec<&str> = more.filter(|one| !names.contains(one)).collect();
        names.extend(more);
        at += 1;
    }
    let named = names.into_iter().filter_map(|name| {
        let service = config.services.get(name)?;
        Some(of_one(name, service, family, single))
    });
    named.flatten().collect()
}

fn of_one(name: &str, service: &Service, family: Family, single: bool) -> Vec<Meant> {
    let helped = (!service.helpers.is_empty()).then(|| {
        let helpers = service.helpers.join(", ");
        format!(
            "what belongs to its connections by {helpers} is RELATED there, and does not get in here: let its ports in by a rule where they are needed"
        )
    });
    let parts = service.parts(family, single).into_iter();
    let meant = parts.map(|part| Meant {
        comment: Some(called(name, service.short.as_deref())),
        changed: helped.clone(),
        part,
    });
    meant.collect()
}

/// The name of a service, with its short text where that says more.
fn called(name: &str, short: Option<&str>) -> String {
    match short {
        Some(short) if !short.is_empty() && !short.eq_ignore_ascii_case(name) => {
            format!("{name}: {short}")
        }
        _ => name.to_owned(),
    }
}
