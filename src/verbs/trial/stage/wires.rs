//! The wires between client and server, and what is seen on them.

use sockc_compiler::policy::{ClassId, Direction, OutInterfaceId};
use sockc_runtime::lab::{self, Error, Lab, Probe};

use crate::verbs::trial::interfaces::Interfaces;

/// One wire, looked at from both ends.
#[derive(Debug)]
struct Wire {
    class: ClassId,
    inward: Probe,
    outward: Probe,
}

impl Wire {
    /// The probe that sends packets of a direction, and the one that sees what comes back.
    fn probes(&mut self, direction: Direction) -> (&mut Probe, &mut Probe) {
        match direction {
            Direction::Out => (&mut self.outward, &mut self.inward),
            _ => (&mut self.inward, &mut self.outward),
        }
    }
}

/// The wires of a lab.
#[derive(Debug)]
pub(super) struct Wires {
    /// One for each class of interfaces that there is one for.
    wires: Vec<Wire>,
    /// Those of the interfaces that rules send packets out of, by number.
    probes: Vec<Probe>,
}

impl Wires {
    /// Opens sockets at both ends of the lab's interfaces.
    pub(super) fn new(lab: &Lab, interfaces: &Interfaces) -> Result<Self, Error> {
        let wires = interfaces.classes().map(|(class, name)| {
            Ok(Wire {
                class,
                inward: Probe::new(&lab.client, &lab.server, name)?,
                outward: Probe::new(&lab.server, &lab.client, name)?,
            })
        });
        let probes = interfaces.out_interfaces().iter();
        let probes = probes.map(|name| Probe::new(&lab.server, &lab.client, name));
        Ok(Self {
            wires: wires.collect::<Result<_, Error>>()?,
            probes: probes.collect::<Result<_, Error>>()?,
        })
    }

    /// Whether there is a wire for a class of interfaces.
    pub(super) fn has(&self, class: ClassId) -> bool {
        self.wires.iter().any(|wire| wire.class == class)
    }

    /// Forgets what was sent out of other interfaces.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.probes
            .iter_mut()
            .try_for_each(|port| port.arrived().map(drop))
    }

    /// Sends a frame and says whether it got past the hooks; not if there is no such wire.
    pub(super) fn send(
        &mut self,
        direction: Direction,
        class: ClassId,
        frame: &[u8],
    ) -> Result<bool, Error> {
        let Some(wire) = self.wire(class) else {
            return Ok(false);
        };
        let (there, back) = wire.probes(direction);
        back.arrived()?;
        Ok(there.send(frame)? == lab::Seen::Passed)
    }

    /// Sends a frame that arrives without anything that looks at it ahead of the stack.
    pub(super) fn send_unseen(&mut self, class: ClassId, frame: &[u8]) -> Result<(), Error> {
        match self.wire(class) {
            Some(wire) => wire.inward.send_unseen(frame, &wire.outward),
            None => Ok(()),
        }
    }

    /// What came back the other way since a frame was sent.
    pub(super) fn came_back(
        &mut self,
        direction: Direction,
        class: ClassId,
    ) -> Result<Vec<Vec<u8>>, Error> {
        match self.wire(class) {
            Some(wire) => wire.probes(direction).1.arrived(),
            None => Ok(Vec::new()),
        }
    }

    /// The interface that a frame was sent out of.
    pub(super) fn left_by(&mut self, frame: &[u8]) -> Result<Option<OutInterfaceId>, Error> {
        for (number, port) in (0u32..).zip(&mut self.probes) {
            if port.saw(frame)? {
                return Ok(Some(OutInterfaceId::from_u32(number)));
            }
        }
        Ok(None)
    }

    fn wire(&mut self, class: ClassId) -> Option<&mut Wire> {
        self.wires.iter_mut().find(|wire| wire.class == class)
    }
}
