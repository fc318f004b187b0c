//! Addresses, ports, endpoints, protocols.

use super::{Builder, Node, Rule, child, children, first};
use crate::ast::{Address, Endpoint, IcmpType, PortItem, Ports, Protocol, Side};
use crate::codes;
use crate::source::Spanned;

impl Builder {
    /// `group NAME` or a list of endpoints.
    pub(super) fn side(&mut self, node: &Node<'_>) -> Option<Side> {
        let inner = first(node)?;
        match inner.as_rule() {
            Rule::group_side => Some(Side::Group(self.name_in(&inner)?)),
            _ => self.endpoint_side(&inner),
        }
    }

    /// `[not] ENDPOINT, ENDPOINT …`
    pub(super) fn endpoint_side(&mut self, node: &Node<'_>) -> Option<Side> {
        let not = child(node, Rule::k_not).map(|word| self.span(&word));
        let mut endpoints = Vec::new();
        for endpoint in children(node, Rule::endpoint) {
            endpoints.push(self.endpoint(&endpoint)?);
        }
        Some(Side::Endpoints { not, endpoints })
    }

    /// `ADDRESS`, `ADDRESS:PORTS` or `port PORTS`
    pub(super) fn endpoint(&mut self, node: &Node<'_>) -> Option<Spanned<Endpoint>> {
        let parts = child(node, Rule::located).unwrap_or(*node);
        let address = match child(&parts, Rule::address) {
            Some(address) => Some(self.address(&address)?),
            None => None,
        };
        let ports = match child(&parts, Rule::ports) {
            Some(ports) => Some(self.ports(&ports)?),
            None => None,
        };
        if ports.is_some() && is_bare_ipv6(&parts) {
            return self.bare_ipv6(node);
        }
        Some(self.spanned(node, Endpoint { address, ports }))
    }

    fn bare_ipv6<T>(&mut self, node: &Node<'_>) -> Option<T> {
        let text = node.as_str().trim_end();
        let help = match crate::mistake::bare_ipv6(text) {
            Some((_, _, help)) => help,
            None => "write `[2001:db8::/32]:53`".to_owned(),
        };
        self.error_help(
            codes::BARE_IPV6,
            "an IPv6 address with ports needs brackets".to_owned(),
            self.span(node),
            "ports behind an IPv6 address".to_owned(),
            help,
        );
        None
    }

    /// `any`, a prefix, a range, `@set`, brackets around them
    pub(super) fn address(&mut self, node: &Node<'_>) -> Option<Spanned<Address>> {
        let bracketed = child(node, Rule::open_bracket).is_some();
        let inner = node
            .inner()
            .find(|part| part.as_rule() != Rule::open_bracket)?;
        let value = match inner.as_rule() {
            Rule::k_any => Address::Any,
            Rule::set_ref => Address::Set(self.set_ref(&inner)),
            _ => self.hosts(&inner, bracketed)?,
        };
        Some(self.spanned(node, value))
    }

    fn hosts(&mut self, node: &Node<'_>, bracketed: bool) -> Option<Address> {
        let mut hosts = Vec::new();
        for host in children(node, Rule::host) {
            hosts.push(self.host(&host)?.value);
        }
        if bracketed && hosts.iter().any(std::net::IpAddr::is_ipv4) {
            self.error_help(
                codes::BAD_ADDRESS,
                "brackets around an IPv4 address".to_owned(),
                self.span(node),
                "only IPv6 addresses stand in brackets".to_owned(),
                format!("write `{}`", node.as_str()),
            );
            return None;
        }
        match *hosts.as_slice() {
            [low, high] => Some(Address::Range(low, high)),
            [address] => {
                let length = match child(node, Rule::digits) {
                    Some(digits) => Some(self.digits(&digits)?.value),
                    None => None,
                };
                Some(Address::Prefix { address, length })
            }
            _ => None,
        }
    }

    /// `*`, one item, or a list in braces
    pub(super) fn ports(&mut self, node: &Node<'_>) -> Option<Spanned<Ports>> {
        let inner = first(node)?;
        let value = match inner.as_rule() {
            Rule::star => Ports::Any,
            Rule::port_list => Ports::List(self.port_items(&inner)?),
            _ => Ports::List(vec![self.port_item(&inner)?]),
        };
        Some(self.spanned(node, value))
    }

    /// The items that are children of `node`.
    pub(super) fn port_items(&mut self, node: &Node<'_>) -> Option<Vec<Spanned<PortItem>>> {
        let mut items = Vec::new();
        for item in children(node, Rule::port_item) {
            items.push(self.port_item(&item)?);
        }
        Some(items)
    }

    fn port_item(&mut self, node: &Node<'_>) -> Option<Spanned<PortItem>> {
        let inner = first(node)?;
        let value = match inner.as_rule() {
            Rule::set_ref => PortItem::Set(self.set_ref(&inner).value),
            Rule::service => PortItem::Service(inner.as_str().to_owned()),
            _ => match *self.numbers(node)?.as_slice() {
                [low, high] => PortItem::Range(low, high),
                [port] => PortItem::One(port),
                _ => return None,
            },
        };
        Some(self.spanned(node, value))
    }

    /// The values of the numbers that are children of `node`.
    pub(super) fn numbers(&mut self, node: &Node<'_>) -> Option<Vec<u64>> {
        let mut values = Vec::new();
        for number in children(node, Rule::number) {
            values.push(self.number(&number)?.value);
        }
        Some(values)
    }

    /// The protocols of `node`'s list, none if it has no list.
    pub(super) fn protocols(&mut self, node: &Node<'_>) -> Option<Vec<Spanned<Protocol>>> {
        match child(node, Rule::protocols) {
            Some(list) => self.protocol_list(&list),
            None => Some(Vec::new()),
        }
    }

    /// The protocols that are children of `node`.
    pub(super) fn protocol_list(&mut self, node: &Node<'_>) -> Option<Vec<Spanned<Protocol>>> {
        let mut protocols = Vec::new();
        for protocol in children(node, Rule::protocol) {
            protocols.push(self.protocol(&protocol)?);
        }
        Some(protocols)
    }

    /// `tcp`, `icmp echo-request`, `proto 89`, …
    pub(super) fn protocol(&mut self, node: &Node<'_>) -> Option<Spanned<Protocol>> {
        let inner = first(node)?;
        let value = match (inner.as_rule(), inner.as_str()) {
            (Rule::k_icmp, _) => Protocol::Icmp(self.icmp_types(node)?),
            (Rule::k_icmp6, _) => Protocol::Icmp6(self.icmp_types(node)?),
            (Rule::proto_number, _) => Protocol::Number(self.number_in(&inner)?),
            (_, "tcp") => Protocol::Tcp,
            (_, "udp") => Protocol::Udp,
            (_, "sctp") => Protocol::Sctp,
            (_, "esp") => Protocol::Esp,
            (_, "ah") => Protocol::Ah,
            _ => Protocol::Gre,
        };
        Some(self.spanned(node, value))
    }

    fn icmp_types(&mut self, node: &Node<'_>) -> Option<Vec<Spanned<IcmpType>>> {
        let mut types = Vec::new();
        if let Some(list) = child(node, Rule::icmp_types) {
            for icmp_type in children(&list, Rule::icmp_type) {
                types.push(self.icmp_type(&icmp_type)?);
            }
        }
        Some(types)
    }

    fn icmp_type(&mut self, node: &Node<'_>) -> Option<Spanned<IcmpType>> {
        let value = match *self.numbers(node)?.as_slice() {
            [value, code] => IcmpType::WithCode(value, code),
            [value] => IcmpType::Number(value),
            _ => IcmpType::Name(node.as_str().trim_end().to_owned()),
        };
        Some(self.spanned(node, value))
    }
}

/// Whether an endpoint's address is IPv6 and stands without brackets.
fn is_bare_ipv6(located: &Node<'_>) -> bool {
    let hosts = child(located, Rule::address).and_then(|address| {
        let bracket = child(&address, Rule::open_bracket);
        bracket
            .is_none()
            .then(|| child(&address, Rule::hosts))
            .flatten()
    });
    hosts.is_some_and(|hosts| hosts.as_str().contains(':'))
}
