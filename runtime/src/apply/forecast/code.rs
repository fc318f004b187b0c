//! Whether the program of a point has the same code and the same tables under two policies.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use sockc_compiler::artifact::{Manifest, Program};
use sockc_compiler::object::{self, Code};

use crate::hook::Point;
use crate::sockets::{listen, refill};
use crate::state::pin;
use crate::state::{State, names, side};
use crate::status::standing::Standing;
use crate::sys::{bpffs, prog};

/// What becomes of the program of a hook. Every apply loads all programs anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramFate {
    /// Another one with the same code and the same tables.
    Same,
    /// Another one with other code or tables.
    Changed,
    /// There was none.
    New,
    /// There is none any more.
    Gone,
}

/// The programs of the policy in force by point, and those of the next one.
pub(super) struct Programs<'a> {
    old: Option<(Code, &'a Manifest)>,
    new: (&'a Code, &'a Manifest),
    /// The name of the program in each slot of the policy in force.
    slots: BTreeMap<Point, String>,
}

impl<'a> Programs<'a> {
    /// Looks into the slots of the policy in force.
    pub(super) fn new(
        state: &State,
        standing: &'a Standing,
        new: (&'a Code, &'a Manifest),
    ) -> Self {
        let Some(record) = &standing.record else {
            return Self {
                old: None,
                new,
                slots: BTreeMap::new(),
            };
        };
        let folder = state.generation(record.generation).join("prog");
        let names = names(&folder).unwrap_or_default().into_iter();
        let by_id: BTreeMap<u32, String> = names
            .filter_map(|name| {
                let fd = bpffs::open(&state.program(record.generation, &name)).ok()?;
                Some((prog::describe(fd.as_fd()).ok()?.id, name))
            })
            .collect();
        let slots = record.points.iter().filter_map(|point| {
            let slots = bpffs::open(&state.slots(*point)).ok()?;
            let id = pin::slot(slots.as_fd(), side(record.generation)).ok()??;
            Some((*point, by_id.get(&id)?.clone()))
        });
        Self {
            old: object::read_code(&standing.object)
                .ok()
                .map(|code| (code, &*record.manifest)),
            new,
            slots: slots.collect(),
        }
    }

    /// The name of a point's program under the policy in force.
    pub(super) fn before(&self, point: Point) -> Option<String> {
        self.slots.get(&point).cloned()
    }

    /// What becomes of the program of a point, which has this name in the next object.
    pub(super) fn fate(&self, point: Point, name: &str) -> ProgramFate {
        let Some(before) = self.slots.get(&point) else {
            return ProgramFate::New;
        };
        let (code, manifest) = self.new;
        let same = self.old.as_ref().is_some_and(|(old, known)| match point {
            Point::Listen => {
                let slots = |manifest: &'_ Manifest| -> Vec<_> {
                    listen::slots(manifest).cloned().collect()
                };
                slots(known) == slots(manifest)
            }
            _ if name.starts_with(refill::NAME) => {
                let slots = |manifest: &'_ Manifest| -> Vec<_> {
                    let slots = refill::slots(manifest);
                    slots.map(|(_, slot)| slot.clone()).collect()
                };
                before == name && slots(known) == slots(manifest)
            }
            _ => same_code((old, before), (code, name)),
        });
        if same {
            ProgramFate::Same
        } else {
            ProgramFate::Changed
        }
    }
}

/// Whether two programs are the same instructions with the same maps, contents of tables included.
fn same_code((old, old_name): (&Code, &str), (new, new_name): (&Code, &str)) -> bool {
    let find = |code: &'_ Code, name: &str| -> Option<Program> {
        let mut programs = code.programs.iter();
        programs.find(|program| program.name == name).cloned()
    };
    let (Some(before), Some(after)) = (find(old, old_name), find(new, new_name)) else {
        return false;
    };
    let pairs = before.relocations.iter().zip(&after.relocations);
    before.insns == after.insns
        && before.relocations.len() == after.relocations.len()
        && pairs.into_iter().all(|(one, other)| {
            (one.insn, one.value_offset) == (other.insn, other.value_offset)
                && old.maps.get(one.map) == new.maps.get(other.map)
        })
}
