//! Samples of what the programs of a policy drop at XDP and TC, while somebody asks for them.
//!
//! Takes the state, and of how many drops one is wanted; gives the packets' bytes, by which program of which interface each was
//! dropped, and how many found no room. A tracing program ([`code`]) is called after each dispatcher that the kernel calls, and
//! held by a descriptor of this process alone: nothing is pinned, so nothing stays, however the process ends, and packets cost
//! nothing while nobody asks. What a dispatcher calls by a tail call ends in its place, so what it returns is what became of the
//! packet. Not here: which rule dropped it, which these programs do not know.

mod code;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sockc_compiler::hook as compiled;

use crate::attach;
use crate::code::kernel_types::PacketTypes;
use crate::error::{Error, at, is_machine};
use crate::hook::{Hook, Point};
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::in_force::hanging_in_force;
use crate::state::record::Attached;
use crate::sys::map::{self, Shape};
use crate::sys::perf::Events;
use crate::sys::{bpffs, caps, link, prog};
use code::Recorded;
pub use code::SNAP;

/// What is being done.
const SAMPLE: &str = "sample what the policy drops";

/// A packet that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropSample {
    /// When, in nanoseconds since boot (CLOCK_MONOTONIC).
    pub time: u64,
    /// The generation that the word named then; 0 if none.
    pub generation: u32,
    /// The hook whose program dropped it.
    pub hook: compiled::Hook,
    /// The interface: its index, and its name when the program was attached.
    pub interface: (u32, String),
    /// The frame's first bytes, at most [`SNAP`] and a tag, with the tag in its place that was taken off.
    pub frame: Vec<u8>,
    /// The length of all of it.
    pub length: u32,
    /// The packet mark that it had at TC; 0 at XDP.
    pub mark: u32,
}

/// What is asked for.
#[derive(Debug)]
pub struct DropSampler {
    options: Options,
    one_in: u32,
    types: PacketTypes,
    events: Events,
    lost: OwnedFd,
    word: OwnedFd,
    /// Every place that was followed, by the number that samples have.
    places: Vec<Attached>,
    followed: Vec<Followed>,
}

/// A dispatcher that is followed, as long as this is there.
#[derive(Debug)]
struct Followed {
    hook: Hook,
    /// The kernel's number of the dispatcher: another one may hang there later.
    program: u32,
    _link: OwnedFd,
}

impl DropSampler {
    /// Begins to sample one of so many packets that the policy in force drops, on average.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; [`Error::Unsampled`] where the kernel does not do it.
    pub fn begin(options: &Options, one_in: u32) -> Result<Self, Error> {
        let mut missing = caps::missing_to_load();
        if !caps::may_ask_by_id() {
            missing.push("CAP_SYS_ADMIN");
        }
        if !missing.is_empty() {
            return Err(Error::Rights { missing });
        }
        let mut sampler = session::enter(options, |session| {
            let types = PacketTypes::read().map_err(|cause| Error::Unsampled {
                why: format!("{cause}; a kernel built with CONFIG_DEBUG_INFO_BTF does"),
            })?;
            let outer = bpffs::open(&session.state.outer());
            let word = match outer {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    bpffs::open(&session.state.control())
                }
                outer => outer,
            };
            Ok(Self {
                options: options.clone(),
                one_in,
                types,
                events: Events::new("drops").map_err(unsampled)?,
                lost: map::create("drops_lost", Shape::array(8, 1)).map_err(at(SAMPLE))?,
                word: word.map_err(at(SAMPLE))?,
                places: Vec::new(),
                followed: Vec::new(),
            })
        })?;
        sampler.follow()?;
        Ok(sampler)
    }

    /// Follows what hangs at XDP and TC now, and nothing else any more.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`].
    pub fn follow(&mut self) -> Result<(), Error> {
        let options = self.options.clone();
        session::enter(&options, |session| self.follow_in(session))
    }

    fn follow_in(&mut self, session: &Session) -> Result<(), Error> {
        let hanging = hanging_in_force(&session.state)?;
        let hooks = hanging.into_iter().flat_map(|hanging| hanging.hooks);
        let mut now = Vec::new();
        for attached in hooks.filter(|one| one.hook.point.is_packet()) {
            // One whose interface is gone has nothing to drop.
            let described = attach::describe(&session.state, &attached.hook)?;
            if let Some(there) = described.filter(|there| there.alive) {
                now.push((attached, there.program));
            }
        }
        self.followed.retain(|followed| {
            let still = |(attached, program): &(Attached, u32)| {
                (attached.hook, *program) == (followed.hook, followed.program)
            };
            now.iter().any(still)
        });
        for (attached, program) in now {
            let mut followed = self.followed.iter();
            if !followed.any(|one| (one.hook, one.program) == (attached.hook, program)) {
                self.add(attached, program)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, attached: Attached, program: u32) -> Result<(), Error> {
        let target = match prog::by_id(program) {
            // It went away meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            target => target.map_err(at(SAMPLE))?,
        };
        let number = prog::function(target.as_fd()).map_err(at(SAMPLE))?;
        let number = number.ok_or_else(|| Error::Unsampled {
            why: format!(
                "an older sockc made the program on \"{}\", which cannot be followed; `sockc unload` and `sockc apply` make it anew",
                attached.target
            ),
        })?;
        let hook = attached.hook;
        let place = self.places.iter().position(|one| one.hook == hook);
        let place = place.unwrap_or_else(|| {
            self.places.push(attached);
            self.places.len() - 1
        });
        let given = code::Given {
            buffered: !matches!(hook.point, Point::Xdp(_)),
            verdict: drop_code(hook.point),
            place: u32::try_from(place).map_err(|error| at(SAMPLE)(io::Error::other(error)))?,
            one_in: self.one_in,
            types: &self.types,
            events: self.events.map(),
            lost: self.lost.as_fd(),
            word: self.word.as_fd(),
        };
        let function = prog::Function {
            of: target.as_fd(),
            number,
        };
        let tracing = code::load(&given, function).map_err(unsampled)?;
        self.followed.push(Followed {
            hook,
            program,
            _link: link::at_function(tracing.as_fd()).map_err(unsampled)?,
        });
        Ok(())
    }

    /// How many interfaces and directions are followed.
    #[must_use]
    pub fn places(&self) -> usize {
        self.followed.len()
    }

    /// What can be waited on for samples.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.events.fds()
    }

    /// What was sampled since this was called last, by time.
    pub fn take(&mut self) -> Vec<DropSample> {
        let (places, mut samples) = (&self.places, Vec::new());
        self.events.take(|bytes| {
            // What is none of ours cannot be there; it would be left out.
            let recorded = Recorded::parse(bytes);
            let place = recorded.as_ref().map(|one| one.place as usize);
            let place = place.and_then(|place| places.get(place));
            samples.extend(
                recorded
                    .zip(place)
                    .and_then(|(one, place)| sample(one, place)),
            );
        });
        samples.sort_by_key(|one| one.time);
        samples
    }

    /// The generation that the word names now, as samples have it; 0 for none.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn generation(&self) -> Result<u32, Error> {
        let mut value = [0; 4];
        map::lookup(self.word.as_fd(), &[0; 4], &mut value).map_err(at(SAMPLE))?;
        Ok(u32::from_ne_bytes(value))
    }

    /// How many that were chosen found no room, since it began.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn lost(&self) -> Result<u64, Error> {
        let mut value = [0; 8];
        map::lookup(self.lost.as_fd(), &[0; 4], &mut value).map_err(at(SAMPLE))?;
        Ok(u64::from_ne_bytes(value))
    }
}

fn sample(recorded: Recorded, place: &Attached) -> Option<DropSample> {
    let point = place.hook.point;
    let index = u32::try_from(place.hook.target).ok()?;
    let tag = recorded.tag.map_or(0, |_| TAG);
    Some(DropSample {
        time: recorded.time,
        generation: recorded.generation,
        hook: point.decides()?,
        interface: (index, place.target.clone()),
        length: recorded.length.saturating_add(tag),
        mark: recorded.mark,
        frame: recorded.frame(),
    })
}

/// Bytes of a VLAN tag.
const TAG: u32 = 4;

/// What a program returns to drop what it saw.
fn drop_code(point: Point) -> i32 {
    point
        .decides()
        .map_or(i32::MAX, |hook| hook.spec().codes.drop)
}

/// What the kernel says to tracing programs and their rings, in words that say what to do.
fn unsampled(cause: io::Error) -> Error {
    if is_machine(&cause) {
        return at(SAMPLE)(cause);
    }
    let said = cause.to_string();
    let why = match cause.raw_os_error().or(cause.kind().eq(&io::ErrorKind::PermissionDenied).then_some(libc::EPERM)) {
        _ if said.contains("JITed") => "the kernel runs these programs without its compiler for them; `sysctl net.core.bpf_jit_enable=1`, then `sockc unload` and `sockc apply`".to_owned(),
        Some(libc::EPERM | libc::EACCES) => format!("the kernel does not let this process follow programs, which CAP_PERFMON and CAP_SYS_ADMIN allow unless `sysctl kernel.perf_event_paranoid` or lockdown forbid it ({said})"),
        _ => format!("the kernel does not take a program that follows another (it needs CONFIG_BPF_EVENTS, and its compiler for programs switched on): {said}"),
    };
    Error::Unsampled { why }
}
