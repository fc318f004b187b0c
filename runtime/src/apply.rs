//! Puts a policy in force: all of it, or none.
//!
//! Everything is made, verified and filled beside what is in force; hooks that are new sleep. Then one word switches all of
//! them at once. Until that word is written nothing that packets meet has changed, and whatever ends the work (a refusal, a
//! kill) leaves only things that `settle` removes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use sockc_compiler::artifact::{MANIFEST_VERSION, Manifest};

use crate::attach::{self, Target};
use crate::carry;
use crate::error::{Error, at};
use crate::escaped;
use crate::fill::SlotState;
use crate::groups::{self, PEERS};
use crate::hook::{Means, Point};
use crate::interfaces::has_packet_programs;
use crate::listen;
use crate::live_maps;
use crate::load::{self, Kept};
use crate::named;
use crate::options::Options;
use crate::plan::Plan;
use crate::record::{Attached, Record};
use crate::session::{self, Session};
use crate::sets;
use crate::settle::settle;
use crate::state::{Lock, SIDES, make_folder, open_or_make, side};
use crate::supply::{Supply, slots_map};
use crate::sys::map::{self, Shape};
use crate::sys::{bpffs, cgroup};

/// What an apply did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The generation now in force.
    pub generation: u32,
    /// The interfaces and how programs hang on them.
    pub interfaces: Vec<InterfaceHook>,
    /// How the slots of named sockets stand. An absent socket is no failure.
    pub sockets: Vec<SlotState>,
    /// Groups and how many of their connections were made before and so escape their rules.
    pub escaped: Vec<(String, usize)>,
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// A hook on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceHook {
    /// The interface.
    pub interface: String,
    /// `xdp`, `tc-in` or `tc-out`.
    pub hook: String,
    /// How it is attached.
    pub means: Means,
}

/// Puts the policy of an object in force in one network namespace, instead of the one that is.
///
/// # Errors
///
/// Any [`Error`]; what was in force before still is then.
pub fn apply(object: &[u8], manifest: &Manifest, options: &Options) -> Result<Applied, Error> {
    if manifest.version != MANIFEST_VERSION {
        return Err(Error::Version {
            found: manifest.version,
            known: MANIFEST_VERSION,
        });
    }
    session::enter(options, |session| {
        let plan = Plan::make(manifest, options)?;
        let _lock = Lock::take_or_make(&session.state, options.lock_wait)?;
        let before = settle(&session.state, &session.namespace)?;
        let work = Work::new(object, manifest, options, session, plan, before);
        work.run()
    })
}

struct Work<'a> {
    object: &'a [u8],
    manifest: &'a Manifest,
    options: &'a Options,
    session: &'a Session,
    plan: Plan,
    before: Option<Record>,
    record: Record,
    notes: Vec<String>,
}

impl<'a> Work<'a> {
    fn new(
        object: &'a [u8],
        manifest: &'a Manifest,
        options: &'a Options,
        session: &'a Session,
        plan: Plan,
        before: Option<Record>,
    ) -> Self {
        let generation = before.as_ref().map_or(0, |before| before.generation) + 1;
        let mut record = Record::new(generation, manifest, session.namespace.cookie);
        record.cgroups = plan.groups.iter().map(|group| group.cgroup.id).collect();
        Self {
            object,
            manifest,
            options,
            session,
            plan,
            before,
            record,
            notes: Vec::new(),
        }
    }

    fn note_skipped_interfaces(&mut self) {
        let skipped = self.plan.skipped.iter();
        self.notes.extend(skipped.map(|name| {
            format!("the interface \"{name}\" carries no Ethernet frames: packet rules do not hold there")
        }));
    }

    /// Patterns may match nothing, and then rules hold nowhere: a person should know.
    fn note_missing_interfaces(&mut self) {
        if has_packet_programs(self.manifest) && self.plan.interfaces.is_empty() {
            self.notes.push(
                "no interface matches the policy's patterns, so its packet rules hold nowhere; apply it again when one is there"
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

    fn run(mut self) -> Result<Applied, Error> {
        match self.prepare_and_switch() {
            Ok(sockets) => Ok(self.finish(sockets)),
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    /// Tells the caller the next step; an error if it wants to stop.
    fn step(&self, name: &str) -> Result<(), Error> {
        let answer = self.options.watch.as_ref().map(|watch| watch(name));
        match answer {
            Some(ControlFlow::Break(())) => Err(Error::Stopped {
                step: name.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn prepare_and_switch(&mut self) -> Result<Vec<SlotState>, Error> {
        self.step("load the maps")?;
        let shapes = load::shapes(self.object)?;
        let kept = self.kept(&shapes);
        let mut ebpf = self.load_maps(&kept, &shapes)?;
        self.step("load the programs")?;
        load::programs(
            &mut ebpf,
            self.manifest,
            &self.session.state,
            self.record.generation,
        )?;
        self.step("fill what the policy names")?;
        named::fill(self.manifest, &self.session.state, self.record.generation)?;
        self.step("fill the live sets")?;
        sets::fill(
            self.manifest,
            self.before.as_ref(),
            &self.session.state,
            self.record.generation,
            &kept,
        )?;
        self.step("fill the live maps")?;
        live_maps::fill(
            self.manifest,
            self.before.as_ref(),
            &self.session.state,
            self.record.generation,
        )?;
        self.step("fill the sockets")?;
        let supply = Supply::new(
            self.manifest,
            self.before.as_ref(),
            &self.session.state,
            self.record.generation,
            self.session.namespace.inode,
        )?;
        let states = self.fill(supply.as_ref())?;
        self.step("place the programs")?;
        self.place_programs()?;
        self.attach_all()?;
        self.step("keep the record")?;
        let path = self.session.state.record(self.record.generation);
        self.record.write(self.object, &path)?;
        self.step("switch")?;
        self.session.state.switch_to(self.record.generation)?;
        // From here on nothing is a failure: the policy is in force.
        self.detach_gone();
        let _ = self.step("fill the sockets again");
        Ok(self.fill_again(supply.as_ref(), states))
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
                "a service that restarted just now may be missing ({error}); run `sockc apply` again then"
            ));
            before
        })
    }

    /// The maps of the generation before, and those of no generation, that the object is to use.
    fn kept(&self, shapes: &BTreeMap<String, Shape>) -> Vec<Kept> {
        let state = &self.session.state;
        let mut kept = groups::kept(self.manifest, &self.plan.groups, state);
        kept.extend(sets::kept(
            self.manifest,
            self.before.as_ref(),
            state,
            shapes,
        ));
        kept
    }

    fn load_maps(
        &self,
        kept: &[Kept],
        shapes: &BTreeMap<String, Shape>,
    ) -> Result<aya::Ebpf, Error> {
        let state = &self.session.state;
        for folder in [state.slots_folder(), state.link_folder()] {
            make_folder(&folder)?;
        }
        for group in &self.plan.groups {
            make_folder(&state.group(group.cgroup.id))?;
        }
        open_or_make(&state.control(), "sockc_control", Shape::array(4, 1))?;
        let ebpf = load::maps(self.object, state, self.record.generation, kept, shapes)?;
        carry::prepare(state, self.record.generation, self.manifest)?;
        Ok(ebpf)
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
        for attach in &self.manifest.programs {
            let path = self.session.state.program(generation, &attach.program);
            let program = bpffs::open(&path).map_err(at(format!("open {}", path.display())))?;
            for point in self.plan.points(attach)? {
                self.place(point, &program)?;
            }
        }
        self.place_listen()
    }

    fn place(&mut self, point: Point, program: &OwnedFd) -> Result<(), Error> {
        let what = format!("place the {} program", point.title());
        let slots = open_or_make(
            &self.session.state.slots(point),
            "sockc_slots",
            Shape::programs(SIDES),
        )?;
        let key = side(self.record.generation).to_ne_bytes();
        let value = program.as_raw_fd().to_ne_bytes();
        map::update(slots.as_fd(), &key, &value).map_err(at(what))?;
        self.record.points.push(point);
        Ok(())
    }

    /// Slots that fill themselves again, where the kernel can tell namespaces apart.
    fn place_listen(&mut self) -> Result<(), Error> {
        let cookie = self.session.namespace.cookie;
        let able = self.plan.features.netns_cookie_in_sock_ops && cgroup::root().is_some();
        let has_tcp = listen::slots(self.manifest).next().is_some();
        let (Some(cookie), true, true) = (cookie, able, has_tcp) else {
            if has_tcp {
                self.notes.push(
                    "this kernel cannot tell when a service listens again, or has no control groups of version 2: after a restart, run `sockc apply` again"
                        .to_owned(),
                );
            }
            return Ok(());
        };
        let sockets = slots_map(&self.session.state, self.record.generation)?;
        let what = "load the program that fills socket slots again";
        if let Some(listen) =
            listen::load(self.manifest, sockets.as_fd(), cookie).map_err(at(what))?
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
                Err(error) if point == Point::Listen && !matches!(error, Error::Stopped { .. }) => {
                    self.do_without_listen(&error);
                }
                attached => self.record.hooks.extend(attached?),
            }
        }
        Ok(())
    }

    fn attach_point(&self, point: Point) -> Result<Vec<Attached>, Error> {
        let targets = self.plan.targets(point, self.session)?;
        let hooks = targets.iter().map(|target| self.attach_one(point, target));
        hooks.collect()
    }

    /// The root of all control groups belongs to the whole machine: others may have filled it, or keep it for themselves.
    fn do_without_listen(&mut self, error: &Error) {
        self.record.points.retain(|point| *point != Point::Listen);
        self.notes.push(format!(
            "slots are not filled again by themselves ({error}); after a restart, run `sockc apply` again"
        ));
    }

    /// The hook of the policy in force if it lives, else a new one.
    fn attach_one(&self, point: Point, target: &Target) -> Result<Attached, Error> {
        let state = &self.session.state;
        let before = self.before.iter().flat_map(|before| &before.hooks);
        let same = before.into_iter().find(|attached| {
            attached.hook.point == point && attached.hook.target == target.number()
        });
        if let Some(attached) = same
            && attach::describe(state, &attached.hook).is_some_and(|hook| hook.alive)
        {
            return Ok(attached.clone());
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
    fn undo(&self) {
        let state = &self.session.state;
        if let Ok(None) = settle(state, &self.session.namespace) {
            state.remove_if_empty();
        }
    }

    /// The policy is in force; what is left is to take away the old one.
    fn finish(mut self, sockets: Vec<SlotState>) -> Applied {
        self.note_missing_interfaces();
        self.note_skipped_interfaces();
        self.note_kept_groups();
        let _ = self.step("remove the policy before");
        if let Err(error) = settle(&self.session.state, &self.session.namespace) {
            self.notes.push(format!(
                "not everything of the policy before is removed yet: {error}"
            ));
        }
        let escaped = self.plan.groups.iter().map(|group| {
            let peers = self.session.state.group(group.cgroup.id).join(PEERS);
            (group.name.clone(), escaped::count(&group.path, &peers))
        });
        Applied {
            generation: self.record.generation,
            interfaces: self
                .record
                .hooks
                .iter()
                .filter_map(interface_hook)
                .collect(),
            sockets,
            escaped: escaped.collect(),
            notes: self.notes,
        }
    }
}

fn interface_hook(attached: &Attached) -> Option<InterfaceHook> {
    attached.hook.point.is_packet().then(|| InterfaceHook {
        interface: attached.target.clone(),
        hook: attached.hook.point.title(),
        means: attached.hook.means,
    })
}
