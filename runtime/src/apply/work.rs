//! One policy on its way into force in one network namespace: what is made next to the policy in force, what is done after
//! the switch, and how it is undone.
//!
//! The switch itself is not here: several policies may be switched together.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use sockc_compiler::artifact::Manifest;
use sockc_compiler::object;

use super::steps::{self, HookStep, Listening, hook_step};
use super::targets::Plan;
use super::{Applied, InterfaceHook, OtherHook, Part};
use crate::attach::{self, Target};
use crate::blocks::ownership::Outer;
use crate::blocks::reconcile::settle;
use crate::code::owner::Owners;
use crate::error::{Error, at, is_machine};
use crate::groups::concern::{self, Concern};
use crate::groups::escaped;
use crate::groups::{self, ASIDE, PEERS};
use crate::hook::Point;
use crate::live::maps;
use crate::live::sets;
use crate::load::{self, Kept};
use crate::names::coverage;
use crate::names::interfaces::has_packet_programs;
use crate::names::resolve;
use crate::options::Options;
use crate::session::Session;
use crate::sockets::fill::{Supply, slots_map};
use crate::sockets::listen;
use crate::sockets::lookup::SlotState;
use crate::sockets::refill;
use crate::state::pins;
use crate::state::record::{Attached, Record};
use crate::state::totals;
use crate::state::{SIDES, SLOTS, make_folder, open_or_make, side};
use crate::status::foreign_on;
use crate::sys::bpffs;
use crate::sys::map::{self, Shape};

/// What is needed after the switch.
pub(crate) struct Prepared<'a> {
    supply: Option<Supply<'a>>,
    states: Vec<SlotState>,
    doors: Vec<Door>,
}

/// A group, and which connections its rules concern.
pub(crate) struct Door {
    concern: Concern,
    /// Whether the policy before may have left connections alone that this one concerns.
    reopened: bool,
}

/// A policy on its way into force in one network namespace.
pub(crate) struct Work<'a> {
    object: &'a [u8],
    manifest: &'a Manifest,
    options: &'a Options,
    session: &'a Session,
    plan: Plan,
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
        plan: Plan,
        owners: &'a Owners,
        (before, mut record): (Option<Record>, Record),
    ) -> Self {
        record.cgroups = plan.groups.iter().map(|group| group.number).collect();
        Self {
            object: part.object,
            manifest: part.manifest,
            options: &part.options,
            session,
            plan,
            before,
            record,
            owners,
            notes: Vec::new(),
        }
    }

    fn note_skipped_interfaces(&mut self) {
        let skipped = self.plan.skipped.iter();
        self.notes.extend(skipped.map(|name| {
            format!("the interface \"{name}\" carries no Ethernet frames: packet rules do not hold there")
        }));
    }

    fn note_owners(&mut self) {
        let why = self.owners.unable.iter();
        self.notes.extend(why.map(|why| {
            format!("no program can tell whose a socket is ({why}): sockets with an owner are taken by commands only; after a restart, run `sockc socket refresh`")
        }));
    }

    /// What is named and is not there, or is called otherwise now.
    fn note_other_interfaces(&mut self) {
        let missing = self.plan.missing.iter().map(|name| {
            format!(
                "there is no interface \"{name}\" now; when it comes, the policy does not hold on it until `sockc apply --running` puts it there"
            )
        });
        let renamed = self.plan.renamed.iter().map(|(name, now)| {
            format!(
                "the interface \"{name}\" is called \"{now}\" now: the policy stays on it, and should name it so"
            )
        });
        self.notes.extend(missing.chain(renamed));
    }

    /// Control groups that are gone, and what that means for their groups.
    fn note_gone_groups(&mut self) {
        let follows = self.plan.follows();
        let gone = self.plan.gone_groups().map(|group| {
            let (path, name) = (group.path.display(), &group.name);
            match follows {
                true => format!(
                    "there is no control group {path} now; the rules of the group \"{name}\" hold for one that comes there"
                ),
                false => format!(
                    "there is no control group {path} now; when it comes, the rules of the group \"{name}\" do not hold for its sockets until `sockc apply --running`"
                ),
            }
        });
        self.notes.extend(gone);
    }

    /// Programs of others that decide before ours, where ours cannot be first.
    fn note_foreign(&mut self) {
        let mut notes = Vec::new();
        for attached in &self.record.hooks {
            let ours = attach::describe(&self.session.state, &attached.hook);
            // Where the kernel does not tell which is ours, `status` says why.
            let Ok(Some(ours)) = ours else { continue };
            let ours = Some(ours.program);
            let foreign = match foreign_on(self.session, &attached.hook, ours) {
                Ok(foreign) => foreign.into_iter(),
                Err(error) => {
                    notes.push(format!(
                        "whether programs of others decide before ours is not known ({error}); `sockc status` says"
                    ));
                    break;
                }
            };
            notes.extend(foreign.filter(|one| one.first).map(|one| {
                format!(
                    "{one} of somebody else is on {} {} too, and decides before ours",
                    attached.hook.point.title(),
                    self.called(attached)
                )
            }));
        }
        self.notes.extend(notes);
    }

    /// What an interface is called now, or what else a hook is on.
    fn called<'b>(&'b self, attached: &'b Attached) -> &'b str {
        let interface = self.plan.interface_of(attached.hook.point);
        interface.map_or(&attached.target, |one| &one.name)
    }

    /// The interfaces that the policy before was on and this one is not: their packets meet no rule from now on.
    fn note_left_interfaces(&mut self) {
        let Some(before) = &self.before else {
            return;
        };
        match coverage::left(&self.session.state, before, &self.record) {
            Ok(left) => self.notes.extend(left.iter().map(|name| {
                format!("the interface {name} is left: the policy holds on it no more")
            })),
            Err(error) => self.notes.push(format!(
                "which interfaces the policy has left is not known: {error}"
            )),
        }
    }

    /// What follows is another policy, or nothing at all: a person should know.
    fn note_other_policy(&mut self) {
        let Some(before) = &self.before else {
            return;
        };
        let (then, now) = (&before.manifest.policy, &self.manifest.policy);
        let mut notes = Vec::new();
        if then != now {
            notes.push(format!(
                "\"{then}\" is replaced by a policy of another name, \"{now}\""
            ));
        }
        if !before.hooks.is_empty() && self.record.hooks.is_empty() {
            notes.push(format!(
                "every hook is taken off: \"{now}\" filters and steers nothing"
            ));
        }
        self.notes.extend(notes);
    }

    /// Patterns may match nothing, and then rules apply to no interface: a person should know.
    fn note_missing_interfaces(&mut self) {
        if has_packet_programs(self.manifest) && self.plan.interfaces.is_empty() {
            self.notes.push(
                "no interface matches the policy's patterns, so its packet rules apply to no interface; when one appears, `sockc apply --running` puts the policy on it"
                    .to_owned(),
            );
        }
    }

    /// The kernel keeps a refused write in mind until its socket is closed (`SK_DROP` of sk_msg).
    fn note_kept_groups(&mut self) {
        let before = self.before.iter().flat_map(|before| &before.cgroups);
        if before
            .into_iter()
            .any(|id| self.record.cgroups.contains(id))
        {
            self.notes.push(
                "connections of a group that the policy before refused stay refused until they are closed"
                    .to_owned(),
            );
        }
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
        self.step("load the maps")?;
        let shapes = load::shapes(self.object)?;
        let mut doors = self.doors()?;
        let kept = self.kept(outer, &shapes)?;
        let mut ebpf = self.load_maps(outer, &kept, &shapes)?;
        let (state, generation) = (&self.session.state, self.record.generation);
        self.step("load the programs")?;
        load::programs(&mut ebpf, self.manifest, state, generation)?;
        self.step("fill what the policy names")?;
        let ground = resolve::Ground {
            manifest: self.manifest,
            interfaces: &self.plan.interfaces,
            before: self.before.as_ref(),
            lenient: self.options.leave_out_missing,
        };
        let filled = resolve::fill(&ground, state, generation)?;
        self.record.named = Some(filled.named);
        self.record.looked_into = filled.looked_into;
        self.notes.extend(filled.notes);
        let before = self.before.as_ref();
        self.step("fill the live sets")?;
        sets::fill(self.manifest, before, state, generation, &kept)?;
        self.step("fill the live maps")?;
        let place = (state, self.options.netns.as_deref());
        maps::fill(self.manifest, before, place, generation)?;
        self.step("fill the sockets")?;
        let owners = self.owners;
        let supply = Supply::new(self.manifest, before, self.session, generation, owners)?;
        let states = self.fill(supply.as_ref())?;
        self.step("place the programs")?;
        self.place_programs()?;
        self.attach_all()?;
        self.step("take connections in")?;
        self.take_in(&mut doors)?;
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

    /// What the object says of the groups' connections, in the manifest's order.
    fn doors(&self) -> Result<Vec<Door>, Error> {
        if self.plan.groups.is_empty() {
            return Ok(Vec::new());
        }
        let artifact = object::read(self.object).map_err(|error| Error::Object {
            cause: error.to_string(),
        })?;
        let groups = self.plan.groups.iter().enumerate();
        let doors = groups.map(|(index, group)| {
            let aside = self.session.state.group(group.number).join(ASIDE);
            Ok(Door {
                concern: Concern::of(&artifact, index)?,
                reopened: !self.manifest.groups[index].aside.is_empty() && aside.exists(),
            })
        });
        doors.collect()
    }

    /// Connections that the policy in force leaves alone and that this one concerns must be there before it decides.
    fn take_in(&self, doors: &mut [Door]) -> Result<(), Error> {
        let groups = self.plan.groups.iter().zip(doors);
        for (group, door) in groups.filter(|(_, door)| door.reopened) {
            let folder = self.session.state.group(group.number);
            concern::take_in(&folder, &mut door.concern)?;
        }
        Ok(())
    }

    /// Some were made while this was done, and are decided by the new policy from now on.
    fn take_in_again(&mut self, doors: &mut [Door]) {
        if let Err(error) = self.take_in(doors) {
            self.notes.push(format!(
                "connections that were made just now may not be decided ({}); run `sockc apply` again then",
                error.bare()
            ));
        }
    }

    /// Connections of each group that its rules concern and do not reach.
    fn escaped(&mut self, doors: &mut [Door]) -> Vec<(String, usize)> {
        let mut counts = Vec::new();
        for (group, door) in self.plan.groups.iter().zip(doors) {
            let peers = self.session.state.group(group.number).join(PEERS);
            match escaped::count(&group.path, &peers, &mut door.concern) {
                Ok(count) => counts.push((group.name.clone(), count)),
                Err(error) => self.notes.push(format!(
                    "how many connections of group {} were made before is not known: {error}",
                    group.name
                )),
            }
        }
        counts
    }

    /// An interface that leaves the policy must not meet the rules of the new one until everything else is settled. What
    /// fails here is tried again there, and told.
    fn detach_gone(&self) {
        let before = self.before.iter().flat_map(|before| &before.hooks);
        for attached in before.filter(|attached| !self.record.has(&attached.hook)) {
            let _ = attach::detach(&self.session.state, &attached.hook);
        }
    }

    /// A service may have restarted since the first time, before the hook for that was awake.
    fn fill_again(
        &mut self,
        supply: Option<&Supply<'_>>,
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
        // A set of the outer policy is the same set here.
        let mut sources = Vec::new();
        sources.extend(outer.map(|outer| (&outer.state, &outer.record)));
        sources.extend(self.before.as_ref().map(|before| (state, before)));
        let mut kept = groups::kept(self.manifest, &self.plan.groups, state);
        kept.extend(sets::kept(self.manifest, &sources, shapes)?);
        Ok(kept)
    }

    fn load_maps(
        &self,
        outer: Option<&Outer>,
        kept: &[Kept],
        shapes: &BTreeMap<String, Shape>,
    ) -> Result<aya::Ebpf, Error> {
        let state = &self.session.state;
        for folder in [state.slots_folder(), state.link_folder()] {
            make_folder(&folder)?;
        }
        for group in &self.plan.groups {
            make_folder(&state.group(group.number))?;
        }
        self.make_words(outer)?;
        let ebpf = load::maps(self.object, state, self.record.generation, kept, shapes)?;
        totals::prepare(state, self.record.generation, self.manifest)?;
        Ok(ebpf)
    }

    /// The word of the namespace; and of a block the outer policy's, which is there first: without it the block's own would be
    /// taken for the generation in force.
    fn make_words(&self, outer: Option<&Outer>) -> Result<(), Error> {
        let state = &self.session.state;
        let make = || open_or_make(&state.control(), "sockc_control", Shape::array(4, 1));
        let Some(outer) = outer else {
            return make().map(drop);
        };
        if self.before.is_some() {
            return Ok(());
        }
        let what = "follow the outer policy";
        let control = bpffs::open(&outer.state.control()).map_err(at(what))?;
        bpffs::pin(control.as_fd(), &state.outer()).map_err(at(what))?;
        let since = self.record.generation.to_ne_bytes();
        map::update(make()?.as_fd(), &[0; 4], &since).map_err(at(what))
    }

    fn fill(&mut self, supply: Option<&Supply<'_>>) -> Result<Vec<SlotState>, Error> {
        let Some(supply) = supply else {
            return Ok(Vec::new());
        };
        let (states, notes) = supply.run()?;
        let new = notes.into_iter().filter(|note| !self.notes.contains(note));
        let new: Vec<String> = new.collect();
        self.notes.extend(new);
        Ok(states)
    }

    /// Puts the programs into the slots of this generation's side, which nothing reads yet.
    fn place_programs(&mut self) -> Result<(), Error> {
        let generation = self.record.generation;
        for (point, name) in steps::points(self.manifest, &self.plan, self.session)? {
            // Their programs are not the object's.
            if point == Point::Listen || name.starts_with(refill::NAME) {
                continue;
            }
            let path = self.session.state.program(generation, &name);
            let program = bpffs::open(&path).map_err(at(format!("open {}", path.display())))?;
            self.place(point, &program)?;
        }
        self.place_listen()?;
        self.place_fillers()
    }

    /// What fills slots when packets come, ahead of the policy's own programs or alone.
    fn place_fillers(&mut self) -> Result<(), Error> {
        for point in self.plan.fillers.clone() {
            match self.place_filler(point) {
                Err(error) if lasts(&error) => self.do_without_filler(&error),
                placed => placed?,
            }
        }
        Ok(())
    }

    fn place_filler(&mut self, point: Point) -> Result<(), Error> {
        let what = "load the program that fills socket slots when packets come";
        let state = &self.session.state;
        let generation = self.record.generation;
        let sockets = slots_map(state, generation)?;
        let slots = open_or_make(&state.slots(point), "sockc_slots", Shape::programs(SLOTS))?;
        let own = side(generation);
        let alone = !self.record.points.contains(&point);
        let next = (!alone).then(|| (slots.as_fd(), own));
        let program = refill::load(point, self.manifest, self.owners, sockets.as_fd(), next)
            .map_err(at(what))?;
        let path = state.program(generation, &refill::name(point));
        bpffs::pin(program.as_fd(), &path).map_err(at(what))?;
        let key: u32 = if alone { own } else { SIDES + own };
        let value = program.as_raw_fd().to_ne_bytes();
        map::update(slots.as_fd(), &key.to_ne_bytes(), &value).map_err(at(what))?;
        if alone {
            self.record.points.push(point);
            self.record.fillers.push(point);
        }
        Ok(())
    }

    fn do_without_filler(&mut self, error: &Error) {
        let note = format!(
            "empty slots are not filled when packets come ({}); after a restart, run `sockc socket refresh`",
            error.bare()
        );
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn place(&mut self, point: Point, program: &OwnedFd) -> Result<(), Error> {
        let what = format!("place the {} program", point.title());
        let slots = open_or_make(
            &self.session.state.slots(point),
            "sockc_slots",
            Shape::programs(SLOTS),
        )?;
        let key = side(self.record.generation).to_ne_bytes();
        let value = program.as_raw_fd().to_ne_bytes();
        map::update(slots.as_fd(), &key, &value).map_err(at(what))?;
        self.record.points.push(point);
        Ok(())
    }

    /// Slots that fill themselves again, where the kernel can tell namespaces apart.
    fn place_listen(&mut self) -> Result<(), Error> {
        let cookie = match steps::listening(self.manifest, &self.plan, self.session) {
            Listening::Able(cookie) => cookie,
            Listening::Unable => {
                self.notes.push(
                    "this kernel cannot tell when a service listens again, or has no control groups of version 2: after a restart, run `sockc socket refresh`"
                        .to_owned(),
                );
                return Ok(());
            }
            Listening::Needless => return Ok(()),
        };
        let sockets = slots_map(&self.session.state, self.record.generation)?;
        let what = "load the program that fills socket slots again";
        if let Some(listen) =
            listen::load(self.manifest, self.owners, sockets.as_fd(), cookie).map_err(at(what))?
        {
            let generation = self.record.generation;
            let state = &self.session.state;
            bpffs::pin(listen.addresses.as_fd(), &state.map(generation, "listen"))
                .map_err(at(what))?;
            bpffs::pin(listen.program.as_fd(), &state.program(generation, "listen"))
                .map_err(at(what))?;
            self.place(Point::Listen, &listen.program)?;
        }
        Ok(())
    }

    /// Attaches what is not attached yet: streams first, packets last.
    fn attach_all(&mut self) -> Result<(), Error> {
        let mut points = self.record.points.clone();
        points.sort();
        for point in points {
            match self.attach_point(point) {
                Err(error) if point == Point::Listen && lasts(&error) => {
                    self.do_without_listen(&error);
                }
                Err(error) if self.record.fillers.contains(&point) && lasts(&error) => {
                    self.record.points.retain(|other| *other != point);
                    self.record.fillers.retain(|other| *other != point);
                    self.do_without_filler(&error);
                }
                attached => self.record.hooks.extend(attached?),
            }
        }
        Ok(())
    }

    fn attach_point(&self, point: Point) -> Result<Vec<Attached>, Error> {
        let targets = self.plan.targets(point, self.session)?;
        let hooks = targets.iter().map(|target| self.attach_one(point, target));
        let hooks: Result<Vec<Attached>, Error> = hooks.collect();
        let mut hooks = hooks?;
        // An interface that was renamed is found again by the name that the policy knows it by.
        if let Some(interface) = self.plan.interface_of(point) {
            for attached in &mut hooks {
                attached.target.clone_from(&interface.known);
            }
        }
        Ok(hooks)
    }

    /// The root of all control groups belongs to the whole machine: others may have filled it, or keep it for themselves.
    fn do_without_listen(&mut self, error: &Error) {
        self.record.points.retain(|point| *point != Point::Listen);
        self.notes.push(format!(
            "slots are not filled again by themselves ({}); after a restart, run `sockc socket refresh`",
            error.bare()
        ));
    }

    /// The hook of the policy in force if it lives, else a new one.
    fn attach_one(&self, point: Point, target: &Target) -> Result<Attached, Error> {
        let state = &self.session.state;
        match hook_step(state, self.before.as_ref(), point, target.number())? {
            HookStep::Keep(attached) => return Ok(attached),
            HookStep::Mend(attached) => {
                self.step(&format!("mend {} {}", point.title(), target.title()))?;
                return attach::mend(state, attached);
            }
            HookStep::Attach | HookStep::Ahead(_) => {}
        }
        self.step(&format!("attach {} {}", point.title(), target.title()))?;
        attach::attach(
            state,
            point,
            target,
            self.record.generation,
            self.plan.features,
        )
    }

    /// Back to what was. What cannot be undone now is undone by the next command.
    pub(crate) fn undo(&self) {
        let state = &self.session.state;
        if let Ok(None) = settle(self.session, self.options) {
            state.remove_if_empty();
        }
    }

    /// The policy is in force, and nothing is a failure any more; what is left is to take away the old one.
    pub(crate) fn finish(mut self, prepared: Prepared<'_>) -> Applied {
        // Who is on them is not told any more once they are off.
        self.note_left_interfaces();
        self.detach_gone();
        let mut doors = prepared.doors;
        let _ = self.step("take connections in again");
        self.take_in_again(&mut doors);
        let _ = self.step("fill the sockets again");
        let sockets = self.fill_again(prepared.supply.as_ref(), prepared.states);
        self.note_other_policy();
        self.note_foreign();
        self.note_missing_interfaces();
        self.note_other_interfaces();
        self.note_gone_groups();
        self.note_skipped_interfaces();
        self.note_owners();
        self.note_kept_groups();
        let _ = self.step("remove the policy before");
        if let Err(error) = settle(self.session, self.options) {
            self.notes.push(format!(
                "not everything of the policy before is removed yet: {}; the next command removes the rest",
                error.bare()
            ));
        }
        let escaped = self.escaped(&mut doors);
        Applied {
            generation: self.record.generation,
            interfaces: self
                .record
                .hooks
                .iter()
                .filter(|attached| !self.record.fillers.contains(&attached.hook.point))
                .filter_map(|attached| interface_hook(attached, self.called(attached)))
                .collect(),
            hooks: self.record.hooks.iter().filter_map(other_hook).collect(),
            sockets,
            escaped,
            notes: self.notes,
            netns: Vec::new(),
            entered: None,
        }
    }
}

/// Whether what was refused is refused the next time, too: only then a policy does without it.
fn lasts(error: &Error) -> bool {
    match error {
        Error::Stopped { .. } => false,
        Error::Kernel { cause, .. } => !is_machine(cause),
        _ => true,
    }
}

fn other_hook(attached: &Attached) -> Option<OtherHook> {
    (!attached.hook.point.is_packet()).then(|| OtherHook {
        hook: attached.hook.point.title(),
        target: attached.target.clone(),
        means: attached.hook.means,
    })
}

fn interface_hook(attached: &Attached, called: &str) -> Option<InterfaceHook> {
    attached.hook.point.is_packet().then(|| InterfaceHook {
        interface: called.to_owned(),
        hook: attached.hook.point.title(),
        means: attached.hook.means,
    })
}
