//! The wires between client and server, and what is seen on them.

use sockc_compiler::policy::{ClassId, Direction, OutInterfaceId};
use sockc_runtime::lab::{self, Error, Lab, Probe};

use crate::verbs::trial::interfaces::Interfaces;

/// One wire, looked at from both ends.
#[derive(Debug)]
struct Wire {
    class: ClassId,
    /// The interface's name.
    name: String,
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

/// Two wires of a lab, by their numbers: where a packet comes in, and where it leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way([usize; 2]);

/// What was seen of a frame that was to pass through.
#[derive(Debug)]
pub(super) struct Through {
    /// Frames that left where it was to leave.
    pub(super) left: Vec<Vec<u8>>,
    /// Frames that came back where it came in.
    pub(super) came_back: Vec<Vec<u8>>,
}

/// The wires of a lab.
#[derive(Debug)]
pub(super) struct Wires {
    /// One for each class of interfaces that there is one for, or two.
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
                name: name.to_owned(),
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

    /// Two wires by which a packet comes in and leaves, if there are such of these classes.
    pub(super) fn way(&self, [came_in, leaves]: [ClassId; 2]) -> Option<Way> {
        let numbered = || self.wires.iter().enumerate();
        let (first, _) = numbered().find(|(_, wire)| wire.class == came_in)?;
        let mut others = numbered().filter(|(number, _)| *number != first);
        let (last, _) = others.find(|(_, wire)| wire.class == leaves)?;
        Some(Way([first, last]))
    }

    /// The names of the interfaces of a way.
    pub(super) fn names(&self, Way(way): Way) -> [&str; 2] {
        way.map(|number| self.wires.get(number).map_or("", |wire| &wire.name))
    }

    /// Sends a frame in at the beginning of a way; what came out at its end, and what came back at its beginning.
    pub(super) fn pass(&mut self, Way([first, last]): Way, frame: &[u8]) -> Result<Through, Error> {
        for number in [first, last] {
            if let Some(wire) = self.wires.get_mut(number) {
                wire.outward.arrived()?;
            }
        }
        if let Some(wire) = self.wires.get_mut(first) {
            wire.inward.send(frame)?;
        }
        let mut outside = |number: usize| match self.wires.get_mut(number) {
            Some(wire) => wire.outward.arrived(),
            None => Ok(Vec::new()),
        };
        Ok(Through {
            left: outside(last)?,
            came_back: outside(first)?,
        })
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
