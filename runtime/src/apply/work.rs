//! One policy on its way into force in one network namespace: what is made next to the policy in force, what is done after
//! the switch, and how it is undone.
//!
//! The switch itself is not here: several policies may be switched together.

mod doors;
mod hooks;
mod notes;

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use sockc_compiler::artifact::Manifest;

use super::applied::{Applied, InterfaceHook, OtherHook};
use super::targets::Targets;
use crate::attach;
use crate::blocks::ownership::Outer;
use crate::blocks::part::Part;
use crate::blocks::reconcile::reconcile;
use crate::confirm::{self, Waiting};
use crate::delivery;
use crate::error::{Error, at};
use crate::groups::{self, Group, PARKED, faults, refused};
use crate::live::{maps, sets};
use crate::load::{self, Kept};
use crate::names::resolve;
use crate::options::{Confirm, Options};
use crate::pairs;
use crate::session::Session;
use crate::sockets::ends;
use crate::sockets::fill::SlotFiller;
use crate::sockets::lookup::SlotState;
use crate::sockets::owners::Owners;
use crate::sockets::since;
use crate::sockets::transparent;
use crate::state::at_start;
use crate::state::history::History;
use crate::state::pins;
use crate::state::record::{Attached, Record};
use crate::state::{WORD, make_folder, open_or_make, pinned_there, trial};
use crate::state::{steered, totals};
use crate::sys::bpffs;
use crate::sys::map::{self, Shape};
use doors::{Door, of_each};

/// What is needed after the switch.
pub(crate) struct Prepared<'a> {
    supply: Option<SlotFiller<'a>>,
    states: Vec<SlotState>,
    doors: Vec<Door>,
}

/// A policy on its way into force in one network namespace.
pub(crate) struct Work<'a> {
    object: &'a [u8],
    manifest: &'a Manifest,
    options: &'a Options,
    session: &'a Session,
    targets: Targets,
    before: Option<Record>,
    record: Record,
    owners: &'a Owners,
    notes: Vec<String>,
}

impl<'a> Work<'a> {
    /// Begins it; `record` has the generation, and who owns what.
    pub(crate) fn new(
        part: &'a Part<'a>,
        session: &'a Session,
        targets: Targets,
        owners: &'a Owners,
        (before, mut record): (Option<Record>, Record),
    ) -> Self {
        record.cgroups = targets.groups.iter().map(|group| group.number).collect();
        Self {
            object: part.object,
            manifest: part.manifest,
            options: &part.options,
            session,
            targets,
            before,
            record,
            owners,
            notes: Vec::new(),
        }
    }

    /// What an interface is called now, or what else a hook is on.
    fn called<'b>(&'b self, attached: &'b Attached) -> &'b str {
        let interface = self.targets.interface_of(attached.hook.point);
        interface.map_or(&attached.target, |one| &one.name)
    }

    fn step(&self, name: &str) -> Result<(), Error> {
        self.options.step(name)
    }

    /// What is kept of the policy.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Makes everything that the policy needs, next to what is in force. `outer` is the policy that this one stands in.
    pub(crate) fn prepare(&mut self, outer: Option<&Outer>) -> Result<Prepared<'a>, Error> {
        let interfaces = self.targets.intercepting(self.manifest);
        let missing = delivery::check(self.manifest, &interfaces, self.options.add_routes)?;
        self.step("load the maps")?;
        let parsed = load::parsed(self.object)?;
        let mut doors = self.doors()?;
        let kept = self.kept(outer, &parsed.shapes)?;
        let made = self.load_maps(outer, &kept, parsed)?;
        let (state, generation) = (&self.session.state, self.record.generation);
        self.step("load the programs")?;
        load::programs(&made, self.manifest, state, generation)?;
        self.step("fill what the policy names")?;
        let ground = resolve::Ground {
            manifest: self.manifest,
            interfaces: &self.targets.interfaces,
            wanted: self.options.wanted(self.manifest),
            before: self.before.as_ref(),
            lenient: self.options.leave_out_missing,
            unknown: self.options.leave_out_unknown,
        };
        let filled = resolve::fill(&ground, state, generation)?;
        self.record.named = Some(filled.named);
        self.record.looked_into = filled.looked_into;
        self.notes.extend(filled.notes);
        let before = self.before.as_ref();
        self.step("fill the live sets")?;
        sets::fill(
            (self.manifest, self.options),
            before,
            state,
            generation,
            &kept,
        )?;
        self.step("fill the live maps")?;
        let place = (state, self.options.netns.as_deref());
        maps::fill(self.manifest, before, place, generation)?;
        self.step("fill the sockets")?;
        let owners = self.owners;
        let supply = SlotFiller::new(self.manifest, before, self.session, generation, owners)?;
        let states = self.fill(supply.as_ref())?;
        transparent::check(self.manifest, &states)?;
        let before = self.before.as_ref();
        let carried = ends::carry(self.manifest, before, state, generation)?;
        self.notes.extend(carried);
        if let Some(plan) = &self.manifest.intercepts {
            self.step("lead intercepted packets to their sockets")?;
            delivery::make(state, (plan, &interfaces), &missing)?;
        }
        self.step("place the programs")?;
        self.place_programs()?;
        self.attach_all()?;
        self.step("take connections in")?;
        self.take_in(&mut doors)?;
        self.step("try what the kernel does otherwise")?;
        self.record.faults = Some(faults::look(self.manifest, self.before.as_ref()));
        self.step("keep the record")?;
        let path = self.session.state.record(self.record.generation);
        self.record.pins = Some(pins::taken(&self.session.state, &self.record)?);
        self.record.write(self.object, &path)?;
        Ok(Prepared {
            supply,
            states,
            doors,
        })
    }

    /// The groups whose sockets are taken into maps, with their places in the manifest.
    pub(super) fn taken_in(&self) -> impl Iterator<Item = (usize, &Group)> {
        let plans = self.manifest.groups.iter();
        let groups = plans.zip(&self.targets.groups).enumerate();
        let taken_in = groups.filter(|(_, (plan, _))| plan.takes_in());
        taken_in.map(|(index, (_, group))| (index, group))
    }

    /// An interface that leaves the policy must not meet the rules of the new one until everything else is settled. What
    /// fails here is tried again there, and told.
    fn detach_gone(&self) {
        let before = self.before.iter().flat_map(|before| &before.hooks);
        for attached in before.filter(|attached| !self.record.has(&attached.hook)) {
            let _ = attach::detach(&self.session.state, &attached.hook);
        }
    }

    /// What is not removed now is removed by the next command.
    /// Until when it waits; where that cannot be read now, as it was asked for.
    fn waiting(&self) -> Option<Waiting> {
        let as_asked = |confirm: &Confirm| Waiting {
            generation: self.record.generation,
            fallback: self.before.as_ref().map_or(0, |before| before.generation),
            left: confirm.within,
        };
        let asked = self.options.confirm.as_ref().map(as_asked);
        confirm::waiting(&self.session.state).unwrap_or(asked)
    }

    fn remove_before(&mut self) {
        let _ = self.step("remove the policy before");
        if let Err(error) = reconcile(self.session, self.options) {
            self.notes.push(format!(
                "not everything of the policy before is removed yet: {}; the next command removes the rest",
                error.bare()
            ));
        }
    }

    /// A `for netns` block comes back with the policy that has it.
    fn keep_for_start(&mut self) {
        let kept = (&self.record, self.object);
        let told = at_start::keep(
            self.options.kept_in.as_deref(),
            &self.session.namespace,
            kept,
        );
        self.notes.extend(told);
    }

    /// A service may have restarted since the first time, before the hook for that was awake.
    fn fill_again(
        &mut self,
        supply: Option<&SlotFiller<'_>>,
        before: Vec<SlotState>,
    ) -> Vec<SlotState> {
        self.fill(supply).unwrap_or_else(|error| {
            self.notes.push(format!(
                "a service that restarted just now may be missing ({}); run `sockc socket refresh` then",
                error.bare()
            ));
            before
        })
    }

    /// The maps of the generation before, and those of no generation, that the object is to use.
    fn kept(
        &self,
        outer: Option<&Outer>,
        shapes: &BTreeMap<String, Shape>,
    ) -> Result<Vec<Kept>, Error> {
        let state = &self.session.state;
        let sources = sets::Sources {
            around: outer.map(|outer| (&outer.state, &outer.record)),
            before: self.before.as_ref().map(|before| (state, before)),
        };
        let mut kept = groups::kept(self.manifest, &self.targets.groups, state);
        kept.extend(pairs::kept(self.manifest, state));
        kept.extend(sets::kept(self.manifest, sources, shapes)?);
        Ok(kept)
    }

    fn load_maps(
        &self,
        outer: Option<&Outer>,
        kept: &[Kept],
        parsed: load::Parsed,
    ) -> Result<load::Made, Error> {
        let state = &self.session.state;
        for folder in [state.slots_folder(), state.link_folder()] {
            make_folder(&folder)?;
        }
        for group in &self.targets.groups {
            make_folder(&state.group(group.number))?;
        }
        for (_, group) in self.taken_in() {
            let parked = state.group(group.number).join(PARKED);
            open_or_make(&parked, "parked", refused::parked())?;
        }
        for (number, _) in pairs::numbers(self.manifest) {
            make_folder(&state.pairs(number))?;
        }
        pairs::check_pins(self.manifest, state)?;
        self.make_words(outer)?;
        let made = load::maps(parsed, state, self.record.generation, kept)?;
        totals::prepare(state, self.record.generation, self.manifest)?;
        steered::prepare(state, self.record.generation)?;
        since::prepare(state, self.record.generation, self.manifest)?;
        Ok(made)
    }

    /// The word of the namespace; and of a block the outer policy's, which is there first: without it the block's own would be
    /// taken for the generation in force.
    fn make_words(&self, outer: Option<&Outer>) -> Result<(), Error> {
        let state = &self.session.state;
        let make = || open_or_make(&state.control(), &self.session.namespace.mark(), WORD);
        // Hooks of an older sockc know of no trial: one that they do not end is none.
        let is_new = self.before.is_none();
        let Some(outer) = outer else {
            if is_new {
                open_or_make(&state.trial(), "sockc_trial", trial::SHAPE)?;
            }
            return make().map(drop);
        };
        if !is_new {
            return Ok(());
        }
        let what = "follow the outer policy";
        if let Some(trial) = pinned_there(&outer.state.trial())? {
            bpffs::pin(trial.as_fd(), &state.trial()).map_err(at(what))?;
        }
        let control = bpffs::open(&outer.state.control()).map_err(at(what))?;
        bpffs::pin(control.as_fd(), &state.outer()).map_err(at(what))?;
        let since = self.record.generation.to_ne_bytes();
        map::update(make()?.as_fd(), &[0; 4], &since).map_err(at(what))
    }

    fn fill(&mut self, supply: Option<&SlotFiller<'_>>) -> Result<Vec<SlotState>, Error> {
        let Some(supply) = supply else {
            return Ok(Vec::new());
        };
        let (states, notes) = supply.run()?;
        let new = notes.into_iter().filter(|note| !self.notes.contains(note));
        let new: Vec<String> = new.collect();
        self.notes.extend(new);
        Ok(states)
    }

    /// Back to what was. What cannot be undone now is undone by the next command.
    pub(crate) fn undo(&self) {
        let state = &self.session.state;
        if let Ok(None) = reconcile(self.session, self.options) {
            state.remove_if_empty();
        }
    }

    /// The policy is in force, and nothing is a failure any more; what is left is to remove the old one.
    pub(crate) fn finish(mut self, prepared: Prepared<'_>) -> Applied {
        // Who is on them is not told any more once they are off.
        self.note_left_interfaces();
        self.note_left_groups();
        let is_final = self.options.confirm.is_none();
        if is_final {
            self.detach_gone();
        }
        let mut doors = prepared.doors;
        let _ = self.step("take connections in again");
        self.take_in_again(&mut doors);
        let _ = self.step("fill the sockets again");
        let sockets = self.fill_again(prepared.supply.as_ref(), prepared.states);
        let ends = ends::states(self.manifest, &self.session.state, self.record.generation);
        // What cannot be looked at now is told by `status`.
        let ends = ends.unwrap_or_default();
        self.note_other_policy();
        self.note_foreign();
        self.note_missing_interfaces();
        self.note_other_interfaces();
        self.note_gone_groups();
        self.note_groups_outside();
        self.note_skipped_interfaces();
        self.note_owners();
        self.note_lost_counters();
        if is_final {
            self.note_intercepted();
        }
        if is_final {
            let kept = History::keep(&self.session.state, &self.record);
            self.note_unkept(kept.err());
            self.keep_for_start();
            self.remove_before();
        }
        let _ = self.step("let refused connections go");
        self.let_refused_go();
        let escaped = self.escaped(&mut doors);
        let fills = |attached: &Attached| self.record.fillers.contains(&attached.hook.point);
        let hooks = self.record.hooks.iter();
        Applied {
            generation: self.record.generation,
            trial: self.waiting(),
            interfaces: hooks
                .clone()
                .filter(|attached| !fills(attached))
                .filter_map(|attached| InterfaceHook::of(attached, self.called(attached)))
                .collect(),
            hooks: hooks
                .filter_map(|attached| match fills(attached) {
                    true => Some(OtherHook::filler(attached, self.called(attached))),
                    false => {
                        let on = self.targets.instead_of_group(attached.hook.point);
                        OtherHook::of(attached, on)
                    }
                })
                .collect(),
            sockets,
            ends,
            escaped: of_each(&escaped, |one| one.writes),
            refused: of_each(&escaped, |one| one.refused),
            unseen: of_each(&escaped, |one| one.reads),
            faults: self.record.faults.unwrap_or_default(),
            notes: self.notes,
            netns: Vec::new(),
            entered: None,
        }
    }
}
