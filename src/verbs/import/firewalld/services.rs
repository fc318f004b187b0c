//! Services of firewalld.
//!
//! Takes a file of `services`; gives the packets that a service is about. Not here: what becomes of them.

use std::collections::BTreeMap;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::elements::{self, Port};
use super::xml::{self, Element, File, Known, Mistake, known};
use crate::verbs::import::addresses;
use crate::verbs::import::protocols::{BETWEEN, STEPPED_OVER};
use crate::verbs::import::what::{Of, What};

/// A service.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// Its short text.
    pub(super) short: Option<String>,
    ports: Vec<Port>,
    source_ports: Vec<Port>,
    protocols: Vec<Result<u8, String>>,
    /// Receivers, of each family at most one; a family without any is not meant where the other one has some.
    destinations: Vec<(Family, (u128, u128))>,
    /// Services that are meant, too.
    pub(super) includes: Vec<String>,
    /// What looks into connections for others that belong to them.
    pub(super) helpers: Vec<String>,
}

/// A part of what a service is about.
pub(super) type Part = Result<What, String>;

const SERVICE: &[&str] = &["service"];
const KNOWN: &[Known] = &[
    known("service", SERVICE, &[], &["name", "version"]),
    known("short", SERVICE, &[], &[]),
    known("description", SERVICE, &[], &[]),
    known("port", SERVICE, &["port", "protocol"], &[]),
    known("source-port", SERVICE, &["port", "protocol"], &[]),
    known("protocol", SERVICE, &["value"], &[]),
    known("module", SERVICE, &["name"], &[]),
    known("destination", SERVICE, &[], &["ipv4", "ipv6"]),
    known("include", SERVICE, &["service"], &[]),
    known("helper", SERVICE, &["name"], &[]),
];

/// Reads a file of a service.
pub(super) fn read(file: &File) -> Result<Service, Mistake> {
    xml::read(file, "service", &[KNOWN], |root| {
        let mut service = Service {
            short: root.text_of("short"),
            ..Service::default()
        };
        for element in root.children() {
            service.takes(element)?;
        }
        Ok(service)
    })
}

impl Service {
    fn takes(&mut self, element: Element<'_>) -> Result<(), Mistake> {
        let name = |attribute: &str| element.required(attribute).to_owned();
        match element.name() {
            // Without a number, a port is a protocol.
            "port" if element.required("port").is_empty() => {
                self.protocols
                    .push(elements::protocol(element.required("protocol")));
            }
            "port" => self.ports.push(elements::port(element)?),
            "source-port" => self.source_ports.push(elements::port(element)?),
            "protocol" => self
                .protocols
                .push(elements::protocol(element.required("value"))),
            "include" => self.includes.push(name("service")),
            "helper" | "module" => self.helpers.push(name("name")),
            "destination" => self.destination(element)?,
            _ => {}
        }
        Ok(())
    }

    fn destination(&mut self, element: Element<'_>) -> Result<(), Mistake> {
        for (attribute, family) in [("ipv4", Family::V4), ("ipv6", Family::V6)] {
            let Some(text) = element.attribute(attribute) else {
                continue;
            };
            match addresses::prefix(text) {
                Some((own, range)) if own == family => self.destinations.push((family, range)),
                _ => {
                    return Err(element.mistake(format!("`{text}` is no address of {attribute}")));
                }
            }
        }
        Ok(())
    }

    /// What it says of its receivers; the first of a family is the one that firewalld takes.
    pub(super) fn has_destinations(&self) -> bool {
        !self.destinations.is_empty()
    }

    /// The packets of a family. One part has the ports of all protocols that have the same, unless parts are to stay single.
    pub(super) fn parts(&self, family: Family, single: bool) -> Vec<Part> {
        let mut own = self.destinations.iter().filter(|(one, _)| *one == family);
        let receivers = match (self.has_destinations(), own.next()) {
            (true, None) => return Vec::new(),
            (_, found) => found.map(|(_, range)| *range),
        };
        let mut parts: Vec<Part> = Vec::new();
        parts.extend(
            of_ports(&self.ports, Of::To, family, single)
                .into_iter()
                .map(Ok),
        );
        parts.extend(
            self.protocols
                .iter()
                .filter_map(|one| of_protocol(one, family)),
        );
        let sources = of_ports(&self.source_ports, Of::From, family, single);
        parts.extend(sources.into_iter().map(Ok));
        if let Some(range) = receivers {
            let range = RangeSet::from_ranges([range]);
            for what in parts.iter_mut().flatten() {
                what.to.addresses = range.clone();
            }
        }
        parts
    }
}

/// Packets from or to ports.
pub(super) fn of_ports(ports: &[Port], of: Of, family: Family, single: bool) -> Vec<What> {
    let groups: Vec<(RangeSet<u8>, RangeSet<u16>)> = match single {
        true => {
            let alone = ports
                .iter()
                .map(|one| (of_number(one.protocol), of_range(one)));
            alone.collect()
        }
        false => grouped(ports),
    };
    let groups = groups.into_iter().map(|(protocols, ports)| {
        let mut what = What::any(family);
        what.protocols = protocols;
        match of {
            Of::From => what.from.ports = Some(ports),
            Of::To => what.to.ports = Some(ports),
        }
        what
    });
    groups.collect()
}

fn of_number(protocol: u8) -> RangeSet<u8> {
    RangeSet::from_ranges([(protocol, protocol)])
}

fn of_range(port: &Port) -> RangeSet<u16> {
    RangeSet::from_ranges([port.range])
}

/// Protocols with the ports that all of them have. DCCP, whose ports nobody reads here, stays alone.
fn grouped(ports: &[Port]) -> Vec<(RangeSet<u8>, RangeSet<u16>)> {
    const DCCP: u8 = 33;
    let mut of: BTreeMap<u8, Vec<(u16, u16)>> = BTreeMap::new();
    for port in ports {
        of.entry(port.protocol).or_default().push(port.range);
    }
    let mut groups: Vec<(RangeSet<u8>, RangeSet<u16>)> = Vec::new();
    for (protocol, ranges) in of {
        let ports = RangeSet::from_ranges(ranges);
        let alike = |group: &&mut (RangeSet<u8>, RangeSet<u16>)| {
            group.1 == ports && !group.0.contains(DCCP)
        };
        match groups.iter_mut().find(alike) {
            Some((protocols, _)) if protocol != DCCP => {
                let more = [(protocol, protocol)];
                *protocols = RangeSet::from_ranges(protocols.ranges().iter().copied().chain(more));
            }
            _ => groups.push((of_number(protocol), ports)),
        }
    }
    groups
}

/// Packets of a protocol. ICMP is that of its own family: no host sends the other one's.
pub(super) fn of_protocol(protocol: &Result<u8, String>, family: Family) -> Option<Part> {
    match protocol {
        Ok(1) if family == Family::V6 => None,
        Ok(58) if family == Family::V4 => None,
        Ok(number) if family == Family::V6 && BETWEEN.contains(number) => {
            Some(Err(STEPPED_OVER.to_owned()))
        }
        Ok(number) => Some(Ok(What::protocol(family, *number))),
        Err(name) => Some(Err(format!(
            "the protocol {name} is not known here; write its number"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_with_the_same_ports_are_one_part_and_dccp_stays_alone() {
        let port = |protocol, range| Port { protocol, range };
        let ports = [
            port(6, (53, 53)),
            port(17, (53, 53)),
            port(33, (53, 53)),
            port(132, (80, 81)),
        ];
        let protocols = |single| -> Vec<Vec<(u8, u8)>> {
            let parts = of_ports(&ports, Of::To, Family::V4, single).into_iter();
            parts.map(|part| part.protocols.ranges().to_vec()).collect()
        };
        let together = [vec![(6, 6), (17, 17)], vec![(33, 33)], vec![(132, 132)]];
        assert_eq!(protocols(false), together);
        assert_eq!(protocols(true).len(), ports.len());
    }

    #[test]
    fn a_protocol_that_ends_no_packet_of_ipv6_is_told() {
        let part = |number, family| of_protocol(&Ok(number), family);
        assert!(part(51, Family::V6).unwrap().is_err());
        assert!(part(51, Family::V4).unwrap().is_ok());
        assert!(part(1, Family::V6).is_none() && part(58, Family::V4).is_none());
        assert!(
            of_protocol(&Err("x".to_owned()), Family::V4)
                .unwrap()
                .is_err()
        );
    }
}
