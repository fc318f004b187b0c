//! What a zone, a policy or a rule of firewalld is about.
//!
//! Takes an element; gives what it says, or what is wrong with it. Not here: which packets these are.

use super::xml::{Element, Known, Mistake, known};
use crate::verbs::import::{ports, protocols};

/// What a setting or a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A service by its name.
    Service(String),
    /// What is sent to ports.
    Port(Port),
    /// What is sent from ports.
    SourcePort(Port),
    /// A protocol; as it is written where nobody here knows its number.
    Protocol(Result<u8, String>),
    /// A type of ICMP that is refused, or let in where that is inverted.
    IcmpBlock(String),
    /// A type of ICMP.
    IcmpType(String),
    /// What is not about whether packets get through.
    Changing(Changing),
}

/// What firewalld changes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changing {
    /// Their sender.
    Masquerade,
    /// Their receiver.
    ForwardPort,
    /// The largest segment that is asked for.
    SegmentSize,
}

/// Ports of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    /// The protocol's number.
    pub(super) protocol: u8,
    /// The first port, and the last.
    pub(super) range: (u16, u16),
}

/// What may stand in zones and policies, and in their rules.
pub(super) const KNOWN: &[Known] = &[
    named("service", &["name"], &[]),
    named("port", &["port", "protocol"], &[]),
    named("source-port", &["port", "protocol"], &[]),
    named("protocol", &["value"], &[]),
    named("icmp-block", &["name"], &[]),
    named("icmp-type", &["name"], &[]),
    named("masquerade", &[], &["enabled"]),
    named(
        "forward-port",
        &["port", "protocol"],
        &["to-port", "to-addr"],
    ),
    named("tcp-mss-clamp", &[], &["value"]),
];

const fn named(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Known {
    known(name, &["zone", "policy", "rule"], required, optional)
}

/// Reads an element, if it says what packets are meant.
pub(super) fn about(element: Element<'_>) -> Result<Option<About>, Mistake> {
    let name = || element.required("name").to_owned();
    Ok(Some(match element.name() {
        "service" => About::Service(name()),
        "port" => About::Port(port(element)?),
        "source-port" => About::SourcePort(port(element)?),
        "protocol" => About::Protocol(protocol(element.required("value"))),
        "icmp-block" => About::IcmpBlock(name()),
        "icmp-type" => About::IcmpType(name()),
        "masquerade" => About::Changing(Changing::Masquerade),
        "forward-port" => {
            port(element)?;
            About::Changing(Changing::ForwardPort)
        }
        "tcp-mss-clamp" => About::Changing(Changing::SegmentSize),
        _ => return Ok(None),
    }))
}

/// The number of a protocol.
pub(super) fn protocol(name: &str) -> Result<u8, String> {
    protocols::number(&name.to_ascii_lowercase()).ok_or_else(|| name.to_owned())
}

/// The ports of an element, with their protocol.
pub(super) fn port(element: Element<'_>) -> Result<Port, Mistake> {
    let protocol = match element.required("protocol") {
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        "dccp" => 33,
        other => {
            return Err(element.mistake(format!(
                "`{other}` has no ports in firewalld; write tcp, udp, sctp or dccp"
            )));
        }
    };
    let text = element.required("port");
    let range = ports::range(text).ok_or_else(|| {
        element.mistake(format!(
            "`{text}` is no port and no range of ports; write numbers from 0 to 65535"
        ))
    })?;
    Ok(Port { protocol, range })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_numbers_and_names() {
        assert_eq!(protocol("ICMP"), Ok(1));
        assert_eq!(protocol("no-such"), Err("no-such".to_owned()));
    }
}
