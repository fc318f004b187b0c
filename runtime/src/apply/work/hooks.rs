//! The programs of a policy put into the slots of its points, and dispatchers attached that call them.
//!
//! Takes what is loaded; writes into the record which points and hooks there are. What fills slots of sockets is done without
//! where the kernel refuses it for good. Not here: which hooks a policy needs (`targets`), and what becomes of each (`steps`).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::Work;
use crate::apply::steps::{self, HookStep, Listening, hook_step};
use crate::apply::trial;
use crate::attach::whose::slots_title;
use crate::attach::{self, Target, asleep};
use crate::error::{Error, at, is_machine};
use crate::groups::{Group, bound};
use crate::hook::Point;
use crate::sockets::fill::slots_map;
use crate::sockets::since::Maps;
use crate::sockets::{listen, refill};
use crate::state::pin::{SINCE, TURNED_AWAY};
use crate::state::record::Attached;
use crate::state::{SIDES, SLOTS, open_or_make, side};
use crate::sys::bpffs;
use crate::sys::map::{self, Shape};

impl Work<'_> {
    /// Puts the programs into the slots of this generation's side, which nothing reads yet.
    pub(super) fn place_programs(&mut self) -> Result<(), Error> {
        let generation = self.record.generation;
        for (point, name) in steps::points(self.manifest, &self.targets, self.session)? {
            // Their programs are not the object's.
            if point == Point::Listen || name.starts_with(refill::NAME) {
                continue;
            }
            let path = self.session.state.program(generation, &name);
            let program = bpffs::open(&path).map_err(at(format!("open {}", path.display())))?;
            self.place(point, &program)?;
        }
        self.place_bounds()?;
        self.place_listen()?;
        self.place_fillers()?;
        asleep::prepare(&self.session.state, generation, &self.record.points)
    }

    /// What looks how much a shortcut has brought, for the groups where one begins.
    fn place_bounds(&mut self) -> Result<(), Error> {
        let begins = |(index, _): &(usize, &Group)| !self.manifest.groups[*index].ways.is_empty();
        let mut notes = Vec::new();
        for (index, group) in self.taken_in().filter(begins) {
            let plan = (&self.manifest.groups[index], group.number);
            let (state, counts) = (&self.session.state, self.manifest.made.counters);
            if let Err(why) = bound::place(state, self.record.generation, plan, counts)? {
                let name = &group.name;
                notes.push(format!(
                    "nothing takes a shortcut from group {name}, all of it goes by TCP: how much waits at a reader cannot be known here ({why})"
                ));
            }
        }
        self.notes.extend(notes);
        Ok(())
    }

    /// What fills slots when packets come, ahead of the policy's own programs or alone.
    fn place_fillers(&mut self) -> Result<(), Error> {
        for point in self.targets.fillers.clone() {
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
        let (sockets, times) = (slots_map(state, generation)?, self.times()?);
        let maps = Maps {
            sockets: sockets.as_fd(),
            times: times.as_fd(),
        };
        let slots = open_or_make(
            &state.slots(point),
            &slots_title(point),
            Shape::programs(SLOTS),
        )?;
        let own = side(generation);
        let alone = !self.record.points.contains(&point);
        let next = (!alone).then(|| (slots.as_fd(), own));
        let program =
            refill::load(point, self.manifest, self.owners, maps, next).map_err(at(what))?;
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
            &slots_title(point),
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
        let cookie = match steps::listening(self.manifest, &self.targets, self.session) {
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
        let times = self.times()?;
        let maps = Maps {
            sockets: sockets.as_fd(),
            times: times.as_fd(),
        };
        let what = "load the program that fills socket slots again";
        if let Some(listen) =
            listen::load(self.manifest, self.owners, maps, cookie).map_err(at(what))?
        {
            let generation = self.record.generation;
            let state = &self.session.state;
            bpffs::pin(listen.addresses.as_fd(), &state.map(generation, "listen"))
                .map_err(at(what))?;
            if let Some(turned_away) = &listen.turned_away {
                bpffs::pin(turned_away.as_fd(), &state.map(generation, TURNED_AWAY))
                    .map_err(at(what))?;
            }
            bpffs::pin(listen.program.as_fd(), &state.program(generation, "listen"))
                .map_err(at(what))?;
            self.place(Point::Listen, &listen.program)?;
        }
        Ok(())
    }

    /// Since when sockets are in the slots, which this apply has made.
    fn times(&self) -> Result<OwnedFd, Error> {
        let path = self.session.state.map(self.record.generation, SINCE);
        bpffs::open(&path).map_err(at(format!("open {}", path.display())))
    }

    /// Attaches what is not attached yet: streams first, packets last.
    pub(super) fn attach_all(&mut self) -> Result<(), Error> {
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
        let targets = self.targets.of(point, self.session)?;
        let hooks = targets.iter().map(|target| self.attach_one(point, target));
        let hooks: Result<Vec<Attached>, Error> = hooks.collect();
        let mut hooks = hooks?;
        // An interface that was renamed is found again by the name that the policy knows it by.
        if let Some(interface) = self.targets.interface_of(point) {
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
            HookStep::Ahead(_) if self.options.confirm.is_some() => {
                return Err(trial::refused(format!(
                    "somebody put a program ahead of ours at the {} hook of {}, and both hooks would hold until it is confirmed; apply it with --no-confirm",
                    point.title(),
                    target.title()
                )));
            }
            HookStep::Attach | HookStep::Ahead(_) => {}
        }
        self.step(&format!("attach {} {}", point.title(), target.title()))?;
        attach::attach(
            state,
            point,
            target,
            self.record.generation,
            self.targets.features,
        )
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
