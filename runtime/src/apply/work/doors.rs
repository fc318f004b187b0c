//! The connections of the policy's groups: which exist and are taken in, and which are counted since they cannot be.
//!
//! Takes what the object says of each group. Not here: how a connection is taken in ([`crate::groups::entry`]).

use sockc_compiler::artifact::AttachPoint;
use sockc_compiler::object;

use super::Work;
use crate::error::Error;
use crate::groups::Group;
use crate::groups::concern::Concern;
use crate::groups::entry::{self, Entry, Whom};
use crate::groups::escaped::{self, Escaped, Tally};

/// A group, and which connections its rules concern.
pub(in crate::apply) struct Door {
    concern: Concern,
    /// Whether the group's sockets keep keys: those of objects of earlier versions do not.
    keeps: bool,
    /// Whether connections that cannot be taken in may write nothing.
    refuses: bool,
    /// Whether the policy before may have left connections alone that this one concerns.
    reopened: bool,
}

impl Work<'_> {
    /// What the object says of the groups' connections, in the manifest's order.
    pub(super) fn doors(&self) -> Result<Vec<Door>, Error> {
        if self.targets.groups.is_empty() {
            return Ok(Vec::new());
        }
        let artifact = object::read(self.object).map_err(|error| Error::Object {
            cause: error.to_string(),
        })?;
        let doors = self.taken_in().map(|(index, group)| {
            let own = self.session.state.own_keys(group.number);
            let keeps = !self.manifest.groups[index].own.is_empty();
            let refusing = AttachPoint::CgroupSkbOut(index);
            let mut programs = self.manifest.programs.iter();
            Ok(Door {
                concern: Concern::of(&artifact, index)?,
                keeps,
                refuses: programs.any(|program| program.point == refusing),
                reopened: keeps && own.exists(),
            })
        });
        doors.collect()
    }

    /// Connections that the policy in force leaves alone and that this one concerns must be there before it decides.
    pub(super) fn take_in(&self, doors: &mut [Door]) -> Result<(), Error> {
        self.enter(doors, |door| door.reopened, Whom::LeftAlone)
    }

    /// Some were made while this was done, and are decided by the new policy from now on. So are those that were made before any
    /// policy: until the switch they are nobody's.
    pub(super) fn take_in_again(&mut self, doors: &mut [Door]) {
        if let Err(error) = self.enter(doors, |door| door.keeps, Whom::All) {
            self.notes.push(format!(
                "connections that were made before, or just now, may not be decided ({}); run `sockc apply` again then",
                error.bare()
            ));
        }
    }

    fn enter(
        &self,
        doors: &mut [Door],
        through: impl Fn(&Door) -> bool,
        whom: Whom,
    ) -> Result<(), Error> {
        let groups = self.taken_in().map(|(_, group)| group).zip(doors);
        let entries = groups
            .filter(|(_, door)| through(door))
            .map(|(group, door)| {
                let folder = self.session.state.group(group.number);
                Entry::open(&group.path, &folder, &mut door.concern)
            });
        entry::take_in(&mut entries.collect::<Result<Vec<_>, _>>()?, whom)
    }

    /// Connections of each group that its rules concern and do not reach.
    pub(super) fn escaped(&mut self, doors: &mut [Door]) -> Vec<(String, Escaped)> {
        match self.try_escaped(doors) {
            Ok(counts) => counts,
            Err(error) => {
                self.notes.push(format!(
                    "how many connections were made before is not known: {error}"
                ));
                Vec::new()
            }
        }
    }

    fn try_escaped(&self, doors: &mut [Door]) -> Result<Vec<(String, Escaped)>, Error> {
        let groups: Vec<&Group> = self.taken_in().map(|(_, group)| group).collect();
        let tallies = groups.iter().zip(doors).map(|(group, door)| {
            let folder = self.session.state.group(group.number);
            Tally::of(&group.path, &folder, &mut door.concern, door.refuses)
        });
        let counts = escaped::count(&mut tallies.collect::<Result<Vec<_>, _>>()?)?;
        let names = groups.iter().map(|group| group.name.clone());
        Ok(names.zip(counts).collect())
    }
}

/// One of the counts of each group.
pub(super) fn of_each(
    all: &[(String, Escaped)],
    count: fn(&Escaped) -> usize,
) -> Vec<(String, usize)> {
    let counts = all.iter().map(|(group, one)| (group.clone(), count(one)));
    counts.collect()
}
