//! A flood: its packets, whether they get to the sockets, and what each of them costs.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::rc::Rc;

use sockc_testing::Rng;

use crate::frame::Layout;
use crate::rounds::{Entrant, Mode, Rounds};
use crate::rules::Header;
use crate::stage::Problem;
use crate::traffic::Trace;
use crate::ways::{ADDRESSES, FIRST, PORT, Ready, WAYS};

/// What floods are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flood {
    /// TCP's first segments, each of which is answered with a cookie.
    Syn,
    /// UDP.
    Datagrams,
}

/// Where packets come from: random addresses of 10.128.0.0/9.
const SOURCES: u32 = 0x0a80_0000;
/// How many of the packets that are sent may go missing: none, but for what a full queue on the way takes.
const LOST: f64 = 0.001;

impl Flood {
    /// The protocol's number.
    pub(crate) fn protocol(self) -> u8 {
        match self {
            Self::Syn => 6,
            Self::Datagrams => 17,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Syn => "flood of SYNs",
            Self::Datagrams => "flood of datagrams",
        }
    }

    fn trace(self) -> Result<Trace, Problem> {
        let layout = Layout::for_sockets(self == Self::Syn);
        let mut rng = Rng::new(7);
        let headers: Vec<Header> = (0..layout.packets).map(|_| self.header(&mut rng)).collect();
        Ok(Trace::new(layout, &headers)?)
    }

    fn header(self, rng: &mut Rng) -> Header {
        let host = |bits: u32| IpAddr::V4(Ipv4Addr::from_bits(bits));
        Header {
            from: host(SOURCES | (rng.word() & 0x7f_ffff)),
            to: host(FIRST + rng.below(ADDRESSES) as u32),
            sport: 1024 + rng.below(60_000) as u16,
            dport: PORT,
            protocol: self.protocol(),
        }
    }
}

/// Runs every way, each in a namespace of its own, in turns; gives the table.
pub(crate) fn measure(flood: Flood, rounds: usize) -> Result<String, Problem> {
    let trace = Rc::new(flood.trace()?);
    let mut entrants = Vec::new();
    let mut ready = Vec::new();
    for (name, way) in WAYS {
        let mut stage = crate::stage::Stage::new()?;
        let one = Ready::new(way, flood, &mut stage)?;
        let entrant = Entrant {
            name: (*name).to_owned(),
            stage: Rc::new(stage),
            trace: trace.clone(),
            generator: trace.toward_stack()?,
            mode: Mode::Live,
            control: ready.is_empty(),
        };
        insist(&entrant, &one)?;
        entrants.push(entrant);
        ready.push(one);
    }
    let rounds = Rounds::run(&entrants, rounds)?;
    Ok(table(flood, &entrants, &rounds))
}

/// Sends every packet, which must get to the sockets.
fn insist(entrant: &Entrant, ready: &Ready) -> Result<(), Problem> {
    let packets = entrant.trace.layout.packets as u32;
    // What is sent first fills the queues, and what is in them did not get lost; each time a quarter more warms up.
    let sent = packets.div_ceil(4) + packets;
    let mut counts = Vec::new();
    for _ in 0..2 {
        send(entrant, packets)?;
        counts.push(ready.arrived(&entrant.stage)?);
    }
    let [Some(before), Some(after)] = counts[..] else {
        return Ok(());
    };
    let arrived = after - before;
    if (arrived as f64) < f64::from(sent) * (1.0 - LOST) {
        let name = &entrant.name;
        return Err(format!("{name}: of {sent} packets {arrived} got to the sockets").into());
    }
    Ok(())
}

fn send(entrant: &Entrant, packets: u32) -> Result<(), Problem> {
    entrant.trace.rewind()?;
    let (generator, frame) = (entrant.generator.as_fd(), &entrant.trace.frame);
    entrant.stage.live(generator, frame, packets, 1)?;
    Ok(())
}

/// The first entrant drops everything; the second is what the others are compared with.
fn table(flood: Flood, entrants: &[Entrant], rounds: &Rounds) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{:<28} {:>10} {:>12} {:>10} {:>7}",
        flood.name(),
        "ns/packet",
        "without it",
        "packets/s",
        "ratio"
    );
    for (place, entrant) in entrants.iter().enumerate() {
        let cost = rounds.cost(place);
        let _ = writeln!(
            text,
            "{:<28} {:>10.0} {:>12.0} {:>8.2} M {:>7.2}",
            entrant.name,
            cost,
            cost - rounds.cost(0),
            1e3 / cost,
            rounds.ratio(place, 1)
        );
    }
    let _ = writeln!(
        text,
        "{} of {} rounds; the control up to {:.1} % slower than at its best",
        rounds.count(),
        rounds.tried,
        100.0 * rounds.unsteady
    );
    text
}
