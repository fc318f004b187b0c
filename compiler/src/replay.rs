//! What a change of a policy does to traffic that was recorded: for each packet the fate under the old policy and under
//! the new one, summed by who decides.
//!
//! Takes two resolved policies and packets; gives a [`Report`]. The fate of every packet is that of the reference meaning
//! (`decide`). Nothing is known of the machine that a recording was made on: which sockets it had is taken from the
//! traffic, or none are assumed; live sets and maps hold what they start with; every rate fits that can. Not here: files, and
//! how a report is shown.

mod flows;
mod quick;
pub mod report;
mod shown;
mod sight;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::HashMap;

use indexmap::IndexMap;

pub use flows::MAX_FLOWS;
pub use report::Report;
pub use shown::Shown;

use crate::coverage;
use crate::event::{Event, Header, Parsed, SocketAnswer};
use crate::packet::text::class_of;
use crate::policy::{Direction, Policy};
use flows::Flows;
use quick::{Port, Quick};
use traffic::Traffic;

/// Which sockets a machine is taken to have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sockets {
    /// Those that the traffic shows.
    Traffic,
    /// None.
    None,
}

/// A packet of a recording.
#[derive(Clone, Debug)]
pub struct Recorded<'a> {
    /// What it is.
    pub packet: Parsed,
    /// Whether it arrived or left.
    pub direction: Direction,
    /// The interface, if it is known; else both policies are taken to be on it.
    pub interface: Option<&'a str>,
    /// Its length in the recording, which counts where no IP header says one.
    pub length: u32,
}

/// Packets, and the bytes of their IP packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.packets += 1;
        self.bytes += bytes;
    }
}

/// Packets that the same two deciders give the same two fates.
struct Pair {
    count: Count,
    /// The first of them, as the new policy sees it, and what its lookup finds.
    example: Option<(Event, SocketAnswer)>,
    changes: bool,
}

/// Two policies, and what was counted so far.
pub struct Replay<'a> {
    old: Quick<'a>,
    new: Quick<'a>,
    sockets: Sockets,
    asks_sockets: bool,
    asks_for_frames: bool,
    ports: HashMap<String, [Port; 2]>,
    traffic: Traffic,
    flows: Flows,
    pairs: IndexMap<(u32, u32), Pair>,
    /// What changes, by flow and pair.
    by_flow: IndexMap<(usize, usize), Count>,
    whole: Count,
    not_ip: u64,
    malformed: u64,
}

impl<'a> Replay<'a> {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(old: &'a Policy, new: &'a Policy, sockets: Sockets) -> Self {
        Self::with_most(old, new, sockets, MAX_FLOWS)
    }

    /// The same with another bound of flows.
    fn with_most(old: &'a Policy, new: &'a Policy, sockets: Sockets, most: usize) -> Self {
        Self {
            old: Quick::new(old),
            new: Quick::new(new),
            sockets,
            asks_sockets: report::asks_sockets(old) || report::asks_sockets(new),
            asks_for_frames: old.asks_for_frames() || new.asks_for_frames(),
            ports: HashMap::new(),
            traffic: Traffic::new(most),
            flows: Flows::new(most),
            pairs: IndexMap::new(),
            by_flow: IndexMap::new(),
            whole: Count::default(),
            not_ip: 0,
            malformed: 0,
        }
    }

    /// Whether the recording has to be read twice: [`Self::learn`] takes all of it first, then [`Self::learnt`] is called.
    #[must_use]
    pub fn must_learn(&self) -> bool {
        self.asks_sockets && self.sockets == Sockets::Traffic
    }

    /// Takes a packet of the first reading.
    pub fn learn(&mut self, packet: &Parsed) {
        if let Parsed::Ip(header) = packet {
            self.traffic.learn(&mut self.flows, header);
        }
    }

    /// Ends the first reading.
    pub fn learnt(&mut self) {
        Traffic::rewind(&mut self.flows);
    }

    /// Takes a packet, and counts what becomes of it.
    pub fn packet(&mut self, recorded: &Recorded<'_>) {
        let bytes = match &recorded.packet {
            Parsed::Ip(header) => header.length,
            Parsed::NotIp | Parsed::Malformed => recorded.length,
        };
        self.whole.add(bytes.into());
        match &recorded.packet {
            Parsed::NotIp => {
                self.not_ip += 1;
                return;
            }
            Parsed::Malformed => self.malformed += 1,
            Parsed::Ip(_) => {}
        }
        let (flow, socket) = self.flow(recorded);
        let pair = self.pair(recorded, socket);
        let Some((_, found)) = self.pairs.get_index_mut(pair) else {
            return;
        };
        found.count.add(bytes.into());
        if let Some(flow) = flow.filter(|_| found.changes) {
            let count = self.by_flow.entry((flow, pair)).or_default();
            count.add(bytes.into());
            if let Some((_, flow)) = self.flows.get_mut(flow) {
                flow.changes = true;
            }
        }
    }

    /// The flow of a packet, and what the lookup for it finds.
    fn flow(&mut self, recorded: &Recorded<'_>) -> (Option<usize>, SocketAnswer) {
        let Parsed::Ip(header) = &recorded.packet else {
            return (None, SocketAnswer::None);
        };
        let Some((index, sender)) = self.flows.of(header) else {
            return (None, SocketAnswer::None);
        };
        (
            Some(index),
            self.socket(index, sender, recorded.direction, header),
        )
    }

    fn socket(
        &mut self,
        flow: usize,
        sender: usize,
        direction: Direction,
        header: &Header,
    ) -> SocketAnswer {
        let must_learn = self.must_learn();
        match self.flows.get_mut(flow) {
            Some(flow) if must_learn => self.traffic.socket(flow, sender, direction, header),
            _ => SocketAnswer::None,
        }
    }

    /// The number of the pair that a packet belongs to.
    fn pair(&mut self, recorded: &Recorded<'_>, socket: SocketAnswer) -> usize {
        let [was, will_be] = self.ports(recorded.interface);
        let (direction, packet) = (recorded.direction, &recorded.packet);
        let old = self.old.ask(direction, was, packet, socket);
        let new = self.new.ask(direction, will_be, packet, socket);
        if let Some(known) = self.pairs.get_index_of(&(old, new)) {
            return known;
        }
        let changes = self.changes(old, new);
        let told = match self.asks_for_frames {
            true => packet.clone(),
            false => packet.without_frame(),
        };
        let (attached, classes) = (will_be.attached, will_be.classes());
        let event = coverage::event(attached, direction, classes, &told, socket);
        let event = event.filter(|_| changes);
        let pair = Pair {
            count: Count::default(),
            example: event.map(|event| (event, socket)),
            changes,
        };
        self.pairs.insert_full((old, new), pair).0
    }

    /// Whether two outcomes are two fates.
    fn changes(&self, old: u32, new: u32) -> bool {
        let (was, will_be) = (self.old.outcome(old), self.new.outcome(new));
        let (before, after) = (self.old.policy(), self.new.policy());
        report::fate(before, after, was) != report::fate(after, before, will_be)
    }

    /// Where a packet is, as each policy sees it.
    fn ports(&mut self, interface: Option<&str>) -> [Port; 2] {
        let Some(name) = interface else {
            let class = Policy::plain_class();
            return [Port {
                class,
                attached: true,
            }; 2];
        };
        if let Some(known) = self.ports.get(name) {
            return *known;
        }
        let ports = [self.old.policy(), self.new.policy()].map(|policy| port(policy, name));
        self.ports.insert(name.to_owned(), ports);
        ports
    }
}

/// An interface as a policy sees it; a policy that names none may be on any.
fn port(policy: &Policy, interface: &str) -> Port {
    Port {
        class: class_of(policy, interface),
        attached: coverage::is_on(policy, interface),
    }
}
