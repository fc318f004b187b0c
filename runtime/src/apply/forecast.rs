//! What an apply would do to the kernel, step by step, without doing any of it.
//!
//! Takes an object and the options that `apply` takes; gives what runs, what others changed of it, and what becomes of each
//! hook, program, live set, live map, named socket, group and counter. What apply refuses before it touches anything is
//! refused here in the same words. The steps come from [`super::steps`], which apply asks too.

mod code;
mod data;

use std::sync::Arc;

use sockc_compiler::artifact::{InterceptPlan, Manifest};
use sockc_compiler::object;
use sockc_compiler::policy::{Deed, Family, Policy};

pub use code::ProgramFate;
pub use data::{Carried, CounterForecast, DataForecast};

use super::steps::{self, HookStep, next, refuse_strangers, refuse_taken};
use super::targets::Targets;
use crate::attach;
use crate::attach::foreign::{self, Foreign};
use crate::blocks::Blocks;
use crate::blocks::departing::{self, Departing};
use crate::blocks::ownership::{self, Outer};
use crate::blocks::part::{Part, parts};
use crate::delivery;
use crate::error::Error;
use crate::groups::moved;
use crate::hook::{Hook, Means, On, Point};
use crate::load;
use crate::load::checked::Object;
use crate::names::classes::InTwoZones;
use crate::names::coverage;
use crate::names::loss::NamedKind;
use crate::names::resolve::{self, Asked, Ground};
use crate::options::{Options, Standpoint};
use crate::session::{self, Session};
use crate::sockets::{inspect, transparent};
use crate::state::record::{Attached, Named, Record};
use crate::state::{Access, Lock};
use crate::status::drift::{Drift, check_ground};
use crate::status::hooks::hangs_on;
use crate::status::standing::Standing;
use code::Programs;

/// What an apply would do in one network namespace.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// What is in force; `None` if nothing is.
    pub running: Option<Running>,
    /// What others changed of it.
    pub drift: Vec<Drift>,
    /// Where the namespace stands now.
    pub standpoint: Standpoint,
    /// The generation that apply would make.
    pub generation: u32,
    /// The hooks, in the order in which apply comes to them; those that go last.
    pub hooks: Vec<HookForecast>,
    /// Live sets, live maps, sockets that are handed over, and groups.
    pub data: Vec<DataForecast>,
    /// Counters.
    pub counters: CounterForecast,
    /// The families in which apply makes a rule and a route that lead intercepted packets to their sockets.
    pub ways: Vec<Family>,
    /// Those in which it takes back what it made for that.
    pub spare_ways: Vec<Family>,
    /// Whether its redirects `at tc` take connections that are forwarded now.
    pub cuts: bool,
    /// Whether redirects `at tc` go whose sockets may hold connections.
    pub ends: bool,
    /// The interfaces that a pattern covers, but that carry no Ethernet frames.
    pub skipped: Vec<String>,
    /// The interfaces that are named and have another name now: the name in the policy, and the name now.
    pub renamed: Vec<(String, String)>,
    /// The interfaces in two zones that an apply of what runs leaves as they are.
    pub two_zones: Vec<InTwoZones>,
    /// What both policies name, and an apply finds something else for than the programs in force know.
    pub named: Vec<(NamedKind, String)>,
    /// What a person should know of what the policy names.
    pub unmet: Vec<String>,
    /// The same for the network namespaces of `for netns` blocks, by name; of the policy itself only.
    pub netns: Vec<(String, Forecast)>,
    /// The network namespaces of blocks that the policy in force calls otherwise: its name for each, and the next one.
    pub renamed_netns: Vec<(String, String)>,
    /// The network namespaces whose blocks are gone, or are those of others of their names by now.
    pub departing: Vec<Departing>,
}

/// What is in force.
#[derive(Clone, Debug)]
pub struct Running {
    /// The policy's name.
    pub policy: String,
    /// The generation.
    pub generation: u32,
    /// The object.
    pub object: Vec<u8>,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// The interfaces or patterns that were given instead of the policy's.
    pub interfaces: Vec<String>,
    /// The policy that its text says, if that was compiled and compared.
    pub text: Option<Arc<Policy>>,
    /// Why its code was not compared with its text; `None` if it was.
    pub unverified: Option<String>,
}

/// What becomes of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookForecast {
    /// `xdp`, `tc-in`, `tc-out`, `lookup`, `listen`, `fill`, `send`, `receive`, `sock-ops`, `connect4`, `connect6`,
    /// `sendmsg4`, `sendmsg6` or `setsockopt`.
    pub hook: String,
    /// The interface, as it is called now, or the path of the control group; empty for the namespace.
    pub target: String,
    /// The folder of the control group that it hangs on, if that is not the one it is for.
    pub on: Option<String>,
    /// The number of that in the kernel: a name may have been another interface's.
    pub number: u64,
    /// The group that it decides about, and what of it.
    pub group: Option<(String, &'static Deed)>,
    /// What the policy in force knows the interface by, where the next one knows it by another name.
    pub was: Option<String>,
    /// What becomes of what hangs there.
    pub link: LinkFate,
    /// What becomes of the program that it calls.
    pub program: ProgramFate,
    /// The program's name in the object; of one that goes, in the object in force.
    pub name: String,
    /// Programs of others on the same place.
    pub foreign: Vec<Foreign>,
}

/// What becomes of what hangs on a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFate {
    /// It stays.
    Kept,
    /// Somebody put another program into it; ours comes back.
    Mended,
    /// It is attached.
    Attached,
    /// It is attached anew, ahead of the programs that others put before it.
    Ahead,
    /// It is taken off.
    Detached,
}

/// What [`crate::apply()`] with the same arguments would do.
///
/// # Errors
///
/// Any [`Error`] that apply would give before it changes anything.
pub fn forecast(object: &[u8], manifest: &Manifest, options: &Options) -> Result<Forecast, Error> {
    let manifest = Arc::new(manifest.clone());
    forecast_object(&Object::new(object.to_vec()), &manifest, options)
}

/// The same with an object of which more may be known.
///
/// # Errors
///
/// As [`forecast`].
pub fn forecast_object(
    object: &Object,
    manifest: &Arc<Manifest>,
    options: &Options,
) -> Result<Forecast, Error> {
    let blocks = Blocks::of(object, manifest, options)?;
    let parts = parts(object, manifest, &blocks, options);
    let mut all = look(&parts, None)?.into_iter();
    let mut outer = all.next().ok_or_else(|| Error::Object {
        cause: "it holds no policy".to_owned(),
    })?;
    outer.netns = blocks
        .there
        .into_iter()
        .map(|one| one.name)
        .zip(all)
        .collect();
    Ok(outer)
}

/// Looks at the first of some policies in its namespace, then at the others, which stand in it.
fn look(
    parts: &[Part<'_>],
    around: Option<(&Outer, &[DataForecast])>,
) -> Result<Vec<Forecast>, Error> {
    let Some((part, rest)) = parts.split_first() else {
        return Ok(Vec::new());
    };
    let outer = around.map(|(outer, _)| outer);
    session::enter(&part.options, |session| {
        let held = match outer {
            None => ownership::open(rest, session)?,
            Some(_) => Vec::new(),
        };
        let targets = Targets::make(part.manifest, &part.options, &session.state)?;
        let lock = Lock::take(&session.state, Access::Read, part.options.lock_wait)?;
        session.state.refuse_on_trial(&session.namespace)?;
        let standing = Standing::look(session)?;
        let before = standing.record.as_ref();
        ownership::check(before, outer, &part.options)?;
        if lock.is_none() {
            refuse_strangers(part, session, &targets)?;
        }
        refuse_taken(part, session, &targets, before)?;
        let record = next(part, session, before, outer, held)?;
        let one = One {
            part,
            session,
            targets: &targets,
            standing: &standing,
            around: around.map(|(_, data)| data),
        };
        let told = one.forecast(&record)?;
        let own = Outer::new(session, &record, &part.options);
        let inner = look(rest, Some(around.unwrap_or((&own, told.data.as_slice()))))?;
        Ok([vec![told], inner].concat())
    })
    .map_err(|error| part.placed(error))
}

/// One policy and the namespace that it is for.
struct One<'a> {
    part: &'a Part<'a>,
    session: &'a Session,
    targets: &'a Targets,
    standing: &'a Standing,
    /// What becomes of the data of the policy that this one stands in.
    around: Option<&'a [DataForecast]>,
}

impl One<'_> {
    fn forecast(&self, record: &Record) -> Result<Forecast, Error> {
        let before = self.standing.record.as_ref();
        // Whoever is told what was changed is not told what would come of it.
        if self.standing.drift.is_empty()
            && let Some(before) = before
        {
            check_ground(&self.session.state, before)?;
        }
        let ways = self.ways()?;
        let data = data::forecast(self.part, self.targets, self.session, before, self.around)?;
        let counters = data::counters(before, self.part.manifest);
        let gone = ownership::gone(before, record);
        let departing = departing::of(&gone, self.session, &self.part.options)?;
        let [intercepted, intercepts] = self.intercepts();
        let (next, unmet) = self.found()?;
        Ok(Forecast {
            running: self.running(),
            drift: self.standing.drift.clone(),
            standpoint: Standpoint::of(self.session, self.standing),
            generation: record.generation,
            hooks: self.hooks()?,
            data,
            counters,
            ways,
            spare_ways: delivery::spare(&self.session.state, intercepts)?,
            cuts: delivery::goes_beyond(intercepts, intercepted),
            ends: delivery::goes_beyond(intercepted, intercepts),
            skipped: self.targets.skipped.clone(),
            renamed: self.targets.renamed.clone(),
            two_zones: self.targets.two_zones.clone(),
            named: self.named(&next)?,
            unmet,
            netns: Vec::new(),
            renamed_netns: ownership::renamed(before, record),
            departing,
        })
    }

    /// What apply would make that leads intercepted packets to their sockets; refuses what it would refuse.
    fn ways(&self) -> Result<Vec<Family>, Error> {
        let manifest = self.part.manifest;
        if manifest.intercepts.is_some() {
            transparent::check(manifest, &inspect::expected(self.session, manifest)?)?;
        }
        let interfaces = self.targets.intercepting(manifest);
        delivery::check(manifest, &interfaces, self.part.options.add_routes)
    }

    /// The redirects `at tc` before it and after it.
    fn intercepts(&self) -> [Option<&InterceptPlan>; 2] {
        let before = self.standing.record.as_ref();
        let before = before.and_then(|before| before.manifest.intercepts.as_ref());
        [before, self.part.manifest.intercepts.as_ref()]
    }

    fn running(&self) -> Option<Running> {
        let record = self.standing.record.as_ref()?;
        Some(Running {
            policy: record.manifest.policy.clone(),
            generation: record.generation,
            object: self.standing.object.clone(),
            manifest: record.manifest.clone(),
            interfaces: record.interfaces.clone(),
            text: self.standing.text.clone(),
            unverified: self.standing.unverified.clone(),
        })
    }

    fn hooks(&self) -> Result<Vec<HookForecast>, Error> {
        let new = object::read_code(self.part.object).map_err(|error| Error::Object {
            cause: error.to_string(),
        })?;
        let new = (&new, &**self.part.manifest);
        let programs = Programs::new(&self.session.state, self.standing, new);
        let points = steps::points(self.part.manifest, self.targets, self.session)?;
        let mut there = Vec::new();
        let mut found = Vec::new();
        for (point, name) in points {
            let (number, target) = self.targets.place(point, self.session)?;
            there.push((point, number));
            let (link, foreign) = self.link(point, number, &target)?;
            found.push(HookForecast {
                hook: steps::title(point, &name),
                group: self.group_of(point),
                was: self.known_before(point),
                target,
                on: self.targets.instead_of_group(point),
                number,
                link,
                program: programs.fate(point, &name),
                name,
                foreign,
            });
        }
        let before = self.standing.record.iter().flat_map(|before| &before.hooks);
        let off = self.off()?;
        let goes = |hook: &Hook| !there.contains(&(hook.point, hook.target)) && !off.contains(hook);
        let gone = before.filter(|attached| goes(&attached.hook));
        let renamed = match &self.standing.record {
            Some(record) => coverage::names(&self.session.state, record)?,
            None => Vec::new(),
        };
        let called = |attached: &Attached| {
            let mut renamed = renamed.iter();
            let now = renamed.find(|(index, _)| {
                attached.hook.point.is_packet() && u64::from(*index) == attached.hook.target
            });
            now.map_or_else(|| attached.target.clone(), |(_, name)| name.clone())
        };
        for attached in gone {
            let name = programs.before(attached.hook.point).unwrap_or_default();
            found.push(HookForecast {
                hook: steps::title(attached.hook.point, &name),
                target: called(attached),
                on: self.hung_on(attached)?,
                number: attached.hook.target,
                group: self.group_before(attached.hook.point),
                was: None,
                link: LinkFate::Detached,
                program: ProgramFate::Gone,
                name,
                foreign: Vec::new(),
            });
        }
        Ok(found)
    }

    /// What a hook of the policy in force hangs on, if that is not the control group it is for.
    fn hung_on(&self, attached: &Attached) -> Result<Option<String>, Error> {
        match attach::describe(&self.session.state, &attached.hook)? {
            Some(link) => hangs_on(link.on, &attached.target),
            None => Ok(None),
        }
    }

    /// What an apply would find for what the policy names, and what a person should know of that; refuses what is named and not there.
    fn found(&self) -> Result<(Named, Vec<String>), Error> {
        let ground = Ground {
            manifest: self.part.manifest,
            interfaces: &self.targets.interfaces,
            wanted: self.part.options.wanted(self.part.manifest),
            before: self.standing.record.as_ref(),
            lenient: self.part.options.leave_out_missing,
            unknown: self.part.options.leave_out_unknown,
        };
        let shapes = load::shapes(self.part.object)?;
        resolve::find(&ground, Asked::of(|name| shapes.contains_key(name)))
    }

    /// What the programs in force know as something else than that.
    fn named(&self, next: &Named) -> Result<Vec<(NamedKind, String)>, Error> {
        let Some(before) = &self.standing.record else {
            return Ok(Vec::new());
        };
        resolve::changes(&self.session.state, before, self.part.manifest, next)
    }

    /// Hooks of the policy in force that are off already, since their interface or control group was removed.
    fn off(&self) -> Result<Vec<Hook>, Error> {
        let Some(record) = &self.standing.record else {
            return Ok(Vec::new());
        };
        let state = &self.session.state;
        let mut off = coverage::without_interface(state, record)?;
        off.extend(moved::hooks(state, record)?);
        Ok(off.into_iter().map(|attached| attached.hook).collect())
    }

    /// What the policy in force knows the interface of a point by, if the next one knows it by another name.
    fn known_before(&self, point: Point) -> Option<String> {
        let interface = self.targets.interface_of(point)?;
        let mut before = self.standing.record.iter().flat_map(|one| &one.hooks);
        let on = before.find(|attached| attached.hook.point == point)?;
        (on.target != interface.known).then(|| on.target.clone())
    }

    /// The group whose processes a point decides about, and what of them.
    fn group_of(&self, point: Point) -> Option<(String, &'static Deed)> {
        let groups = self.targets.groups.iter();
        of_group(
            point,
            groups.map(|group| (group.name.as_str(), group.number)),
        )
    }

    /// The same by the policy in force.
    fn group_before(&self, point: Point) -> Option<(String, &'static Deed)> {
        let before = self.standing.record.as_ref()?;
        let plans = before.manifest.groups.iter().zip(&before.cgroups);
        of_group(
            point,
            plans.map(|(plan, number)| (plan.name.as_str(), *number)),
        )
    }

    /// What becomes of the link of a point, and who else is there.
    fn link(
        &self,
        point: Point,
        number: u64,
        target: &str,
    ) -> Result<(LinkFate, Vec<Foreign>), Error> {
        let state = &self.session.state;
        let step = steps::hook_step(state, self.standing.record.as_ref(), point, number)?;
        let (link, hook) = match &step {
            HookStep::Keep(attached) => (LinkFate::Kept, attached.hook),
            HookStep::Mend(attached) => (LinkFate::Mended, attached.hook),
            HookStep::Ahead(attached) => (LinkFate::Ahead, attached.hook),
            HookStep::Attach => {
                let hook = Hook {
                    point,
                    target: number,
                    since: 0,
                    means: Means::Link,
                };
                // One of our programs whose pin somebody changed looks like another's, and what was changed is told.
                if self.standing.drift.is_empty() {
                    self.check_xdp(point, number, target)?;
                }
                (LinkFate::Attached, hook)
            }
        };
        let ours = attach::describe(state, &hook)?.map(|there| there.program);
        let mut foreign = foreign::near(self.session.place(), (&hook, target), ours)?;
        // By TCX ours comes first, whoever is there.
        let is_tc = matches!(point, Point::TcIn(_) | Point::TcOut(_));
        if is_tc
            && self.targets.features.tcx
            && matches!(link, LinkFate::Attached | LinkFate::Ahead)
        {
            for one in &mut foreign {
                one.first = false;
            }
        }
        Ok((link, foreign))
    }

    /// Only one XDP program fits on an interface, and apply leaves another's alone.
    fn check_xdp(&self, point: Point, number: u64, target: &str) -> Result<(), Error> {
        let Point::Xdp(_) = point else {
            return Ok(());
        };
        let Some((id, name)) = foreign::xdp(number)? else {
            return Ok(());
        };
        let state = &self.session.state;
        for hook in state.hooks()? {
            if attach::describe(state, &hook)?.is_some_and(|one| one.program == id) {
                return Ok(());
            }
        }
        Err(Error::ForeignXdp {
            interface: target.to_owned(),
            program: Some((id, name)),
        })
    }
}

/// Of groups with their numbers that of a point, with what it decides.
fn of_group<'a>(
    point: Point,
    mut groups: impl Iterator<Item = (&'a str, u64)>,
) -> Option<(String, &'static Deed)> {
    let (On::Sockets(own) | On::Group(own)) = point.on() else {
        return None;
    };
    let (name, _) = groups.find(|(_, number)| *number == own)?;
    Some((name.to_owned(), point.decides()?.direction().deed()?))
}
