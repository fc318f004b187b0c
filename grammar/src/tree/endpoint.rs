//! Addresses, ports, endpoints, protocols.

use super::{Builder, Node, Rule, child, children, first};
use crate::ast::{Address, Endpoint, IcmpType, PortItem, Ports, Protocol, Side};
use crate::codes;
use crate::source::Spanned;

impl Builder {
    /// `group NAME` or a list of endpoints.
    pub(super) fn side(&mut self, node: &Node<'_>) -> Option<Side> {
        match node.as_rule() {
            Rule::group_side => Some(Side::Group(self.name_in(node)?)),
            _ => self.endpoint_side(node),
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
        let address = match child(node, Rule::address) {
            Some(address) => Some(self.address(&address)?),
            None => None,
        };
        let ports = match child(node, Rule::ports) {
            Some(ports) => Some(self.ports(&ports)?),
            None => None,
        };
        if ports.is_some() && is_bare_ipv6(node) {
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
            "ports after an IPv6 address".to_owned(),
            help,
        );
        None
    }

    /// `any`, `self`, a prefix, a range, `@set`, brackets around them
    pub(super) fn address(&mut self, node: &Node<'_>) -> Option<Spanned<Address>> {
        let value = match first(node)?.as_rule() {
            Rule::k_any => Address::Any,
            Rule::k_self => Address::Own,
            Rule::set_ref => Address::Set(self.set_ref(node)),
            _ => self.hosts(node)?,
        };
        Some(self.spanned(node, value))
    }

    fn hosts(&mut self, node: &Node<'_>) -> Option<Address> {
        let mut hosts = children(node, Rule::host);
        let low = self.host(&hosts.next()?)?.value;
        let high = match hosts.next() {
            Some(high) => Some(self.host(&high)?.value),
            None => None,
        };
        let bracketed = child(node, Rule::open_bracket).is_some();
        if bracketed && (low.is_ipv4() || high.is_some_and(|high| high.is_ipv4())) {
            let text = node.as_str().trim_matches(['[', ']']);
            let start = node.start() + 1;
            self.error_help(
                codes::BAD_ADDRESS,
                "brackets around an IPv4 address".to_owned(),
                self.span_between(start, start + text.len()),
                "only IPv6 addresses are written in brackets".to_owned(),
                format!("write `{text}`"),
            );
            return None;
        }
        if let Some(high) = high {
            return Some(Address::Range(low, high));
        }
        let length = match child(node, Rule::digits) {
            Some(digits) => Some(self.digits(&digits)?.value),
            None => None,
        };
        Some(Address::Prefix {
            address: low,
            length,
        })
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

    /// The protocols that are children of `node`.
    pub(super) fn protocols(&mut self, node: &Node<'_>) -> Option<Vec<Spanned<Protocol>>> {
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
            (_, word) => Protocol::named(word)?,
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
fn is_bare_ipv6(endpoint: &Node<'_>) -> bool {
    child(endpoint, Rule::address).is_some_and(|address| {
        first(&address).is_some_and(|part| part.as_rule() == Rule::host)
            && address.as_str().contains(':')
    })
}
