//! The world of a packet in words: what is said, and plain values for the rest.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::Described;
use crate::event::{Header, SocketAnswer, Transport, World};
use crate::policy::{
    Direction, Family, LiveEntry, LiveMapId, NetnsId, Policy, RuleId, SetId, SetKind, SocketId,
    span_of,
};
use crate::protocol::IpProtocol;

/// Answers as a text describes them: live sets and maps as started, rates that fit and named sockets that are there,
/// unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct DescribedWorld<'a> {
    policy: &'a Policy,
    described: &'a Described,
}

impl<'a> DescribedWorld<'a> {
    /// The world that a text of this policy describes.
    #[must_use]
    pub fn new(policy: &'a Policy, described: &'a Described) -> Self {
        Self { policy, described }
    }
}

impl World for DescribedWorld<'_> {
    fn socket(&self, _: Direction, netns: Option<NetnsId>, _: &Header) -> SocketAnswer {
        let Some(netns) = netns else {
            return self.described.socket;
        };
        let said = self.described.elsewhere.iter();
        said.copied()
            .find_map(|(named, answer)| (named == netns).then_some(answer))
            .unwrap_or(SocketAnswer::None)
    }

    fn present(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool {
        !self.described.absent.contains(&socket)
            && self.policy.sockets[socket].may_hold(family, protocol)
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        let said = self
            .described
            .members
            .iter()
            .find(|(named, _)| *named == set);
        if let Some((_, members)) = said {
            return members.contains(address);
        }
        match &self.policy.sets[set].kind {
            SetKind::Constant(addresses) => addresses.contains(address),
            SetKind::Live { start, .. } => start.iter().any(|&prefix| covers(prefix, address)),
        }
    }

    fn entry(&self, map: LiveMapId, header: &Header) -> Option<SocketId> {
        let port = match header.transport {
            Transport::Tcp { to, .. } | Transport::Ports { to, .. } => to,
            Transport::None | Transport::Icmp { .. } => return None,
        };
        let said = self.described.contents.iter();
        let mut said = said.filter_map(|(named, entries)| (*named == map).then_some(entries));
        let start = &self.policy.live_maps[map].start;
        let entries = said.next_back().unwrap_or(start).iter();
        entries
            .filter(|entry| {
                covers(entry.prefix, header.to)
                    && (entry.ports.0..=entry.ports.1).contains(&port)
                    && entry.protocols(self.policy).contains(&header.protocol)
            })
            .min_by_key(|entry| specific_first(entry))
            .map(|entry| entry.socket)
    }

    fn conforms(&self, _: RuleId, _: &Header) -> bool {
        !self.described.rate_exceeded
    }
}

/// Orders the entries of one packet, the most specific first: longest prefix, fewest ports, a named protocol.
fn specific_first(entry: &LiveEntry) -> (Reverse<u8>, u16, bool) {
    let (low, high) = entry.ports;
    (
        Reverse(entry.prefix.1),
        high.saturating_sub(low),
        entry.protocol.is_none(),
    )
}

/// Whether an address lies in a prefix.
fn covers((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let (low, high) = span_of(network, length);
    (low..=high).contains(&address)
}
