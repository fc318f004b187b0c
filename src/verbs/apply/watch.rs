//! `sockc apply --watch`: stays, and puts what is in force on interfaces, network namespaces and control groups that come or
//! change.
//!
//! Waits for what the kernel tells, and looks then: what is in force, and where it does not hold that it is for. If there is
//! such a place it is put in force once more, as by `apply --running`, under the lock that all commands take; what an apply does
//! not mend is not tried again until something changes. Whatever is in force is watched, by whomever it was applied. Not here:
//! what a policy is for.

use std::collections::BTreeSet;
use std::env;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use sockc_compiler::artifact::SetPlan;
use sockc_runtime::{Error, Events, Options, OwnBehind, Status, Woken};

use super::{Failure, running};
use crate::cli;
use crate::exit::Exit;
use crate::machine::local::{of_block, within};
use crate::machine::{options, refused};
use crate::output::Output;
use crate::verbs::status::{is_behind, own};

/// Without any event so long may pass between two looks at a trial that is to end: nothing is told of that.
const TRIAL: Duration = Duration::from_secs(1);
/// What failed, as for want of memory, is tried again after so long where nothing changes.
const AGAIN: Duration = Duration::from_secs(10);
/// Without either an event is waited for; after this one looks all the same, since what others apply makes none.
const LONG: Duration = Duration::from_secs(60);

/// Stays until a signal comes.
pub(super) fn stay(arguments: &cli::Apply, output: &mut Output) -> Exit {
    let signals = match sockc_runtime::end_signals() {
        Ok(signals) => signals,
        Err(error) => {
            output.error(format!("cannot wait for signals: {error}"));
            return Exit::Refused;
        }
    };
    let mut watched = Watched {
        options: options(&arguments.subject.place),
        arguments,
        tried: None,
        failed: None,
        own_failed: None,
        told: false,
    };
    match watched.run(signals.as_fd(), output) {
        Ok(()) => Exit::Done,
        Err(error) => refused(&error, output),
    }
}

struct Watched<'a> {
    options: Options,
    arguments: &'a cli::Apply,
    /// What the last apply found there: where nothing has changed since, it is not tried again.
    tried: Option<String>,
    /// When it failed, if it did.
    failed: Option<Instant>,
    /// Why `self` could not be brought up to date, if it could not: it is said once, and tried again.
    own_failed: Option<String>,
    /// Whether systemd knows that this is at work.
    told: bool,
}

impl Watched<'_> {
    fn run(&mut self, signals: BorrowedFd<'_>, output: &mut Output) -> Result<(), Error> {
        let mut blocks = BTreeSet::new();
        loop {
            // Anew for each look, ahead of it: a socket would keep a namespace that lost its name, in the way of every apply, and
            // hear nothing of one that has the name now.
            let names: Vec<String> = blocks.iter().cloned().collect();
            let events = Events::listen(&self.options, &names, signals)?;
            let status = self.look(output);
            let now = status.as_ref().map(names_of).unwrap_or_default();
            if now != blocks {
                // What happened there before this is seen by looking once more.
                blocks = now;
                continue;
            }
            self.ready(output);
            // Of another apply nothing is heard when it ends.
            let soon = status.is_some_and(|status| status.trial.is_some() || status.busy);
            let at_most = match (soon, self.failed.is_some() || self.own_failed.is_some()) {
                (true, _) => TRIAL,
                (false, true) => AGAIN,
                (false, false) => LONG,
            };
            if events.wait(at_most)? == Woken::End {
                return Ok(());
            }
        }
    }

    /// Looks, and puts what is in force where it does not hold; gives how it stands then. What is refused now is tried again
    /// when something changes.
    fn look(&mut self, output: &mut Output) -> Option<Status> {
        // This goes on for months, and nobody reads at its end what it said.
        output.forget_said();
        let before = self.status(output)?;
        if let Some(after) = self.own(&before, output) {
            return Some(after);
        }
        if before.trial.is_some() {
            return Some(before);
        }
        if !is_behind(&before) {
            self.is_well();
            return Some(before);
        }
        // Ahead of the apply: what comes meanwhile is something else.
        let ground = self.ground(&before, output)?;
        let long_ago = |failed: Instant| failed.elapsed() >= AGAIN;
        if self.tried.as_ref() == Some(&ground) && !self.failed.is_some_and(long_ago) {
            return Some(before);
        }
        self.tried = Some(ground);
        let applied = running::again(self.arguments, output);
        self.failed = applied.is_err().then(Instant::now);
        // Of others it has been said.
        if let Err(Failure::Refused(error)) = applied {
            output.error(&error);
        }
        let after = self.status(output)?;
        if !is_behind(&after) {
            self.is_well();
        }
        if after.generation != before.generation {
            told(&before, &after, output);
        }
        Some(after)
    }

    /// Brings `self` up to date where the addresses of a machine, or of a block's namespace, changed: that takes no apply. Gives how it
    /// stands then; nothing where nothing was to be done, or it was refused, as on trial where the policy before has another `self`.
    fn own(&mut self, before: &Status, output: &mut Output) -> Option<Status> {
        let behind = own_behind(before, &self.options);
        let mut failed = None;
        let mut changed = false;
        for (words, options) in behind {
            match sockc_runtime::own_refresh(&options) {
                Ok(behind) => {
                    changed |= !behind.is_none();
                    own_told(&behind, words, output);
                }
                // It is brought up to date once the trial has ended.
                Err(Error::OnTrial { .. }) => {}
                Err(error) => failed = Some((error.to_string(), error)),
            }
        }
        if let Some((words, error)) = &failed
            && self.own_failed.as_ref() != Some(words)
        {
            output.error(error);
        }
        self.own_failed = failed.map(|(words, _)| words);
        match changed {
            true => self.status(output),
            false => None,
        }
    }

    /// Nothing is to be done: what goes later is something new, however like what was mended it looks.
    fn is_well(&mut self) {
        self.tried = None;
        self.failed = None;
    }

    /// All that an apply finds there.
    fn ground(&mut self, status: &Status, output: &mut Output) -> Option<String> {
        let names: Vec<String> = names_of(status).into_iter().collect();
        match sockc_runtime::present(&self.options, &names) {
            Ok(present) => Some(format!("{} {present:?}", state(status))),
            Err(error) => {
                output.error(&error);
                self.failed = Some(Instant::now());
                None
            }
        }
    }

    /// How what is in force stands; nothing where none is.
    fn status(&mut self, output: &mut Output) -> Option<Status> {
        match sockc_runtime::status(&self.options) {
            Ok(status) => status,
            Err(error) => {
                output.error(error.told_by_status());
                self.failed = Some(Instant::now());
                None
            }
        }
    }

    /// Says once that everything is where it should be.
    fn ready(&mut self, output: &mut Output) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        if let Err(error) = notify() {
            output.note(format!(
                "systemd cannot be told that this is ready: {error}"
            ));
        }
        if !output.is_json() {
            output.line("waiting for interfaces that come or change, until SIGTERM");
        }
    }
}

/// The options for each namespace whose `self` is behind, with words for that of a block. Where something that the policy has pinned
/// is gone nobody knows how `self` stands; then whoever would change it says what is wrong.
fn own_behind(status: &Status, options: &Options) -> Vec<(Option<String>, Options)> {
    let is_behind = |status: &Status| {
        let is_asked = || status.manifest.sets.iter().any(SetPlan::is_own);
        !status.own.is_none() || (!status.drift.is_empty() && is_asked())
    };
    let own = is_behind(status).then(|| (None, options.clone()));
    let inner = status.netns.iter().filter_map(|(name, inner)| {
        let path = status.path_of(name);
        let words = of_block(name, path);
        let inner = inner.status().filter(|inner| is_behind(inner));
        inner.map(|_| (Some(words), within(options, path.unwrap_or(name))))
    });
    own.into_iter().chain(inner).collect()
}

/// Says what came into `self` and left it, a line each.
fn own_told(behind: &OwnBehind, place: Option<String>, output: &mut Output) {
    if output.is_json() {
        return;
    }
    for line in own::words(behind) {
        output.line(match &place {
            Some(place) => format!("{place}: {line}"),
            None => line,
        });
    }
}

/// The network namespaces of the blocks.
fn names_of(status: &Status) -> BTreeSet<String> {
    let blocks = status.netns.iter().map(|(name, _)| name.clone());
    blocks.collect()
}

/// Where a policy does not hold, and those of its blocks, to be compared.
fn state(status: &Status) -> String {
    let inner = status.netns.iter().filter_map(|(name, inner)| {
        let inner = inner.status()?;
        Some(format!("{name} {}", state(inner)))
    });
    let inner: Vec<String> = inner.collect();
    format!(
        "{:?} {:?} {inner:?}",
        status.coverage, status.lost_namespaces
    )
}

/// Says what was done, a line each.
fn told(before: &Status, after: &Status, output: &mut Output) {
    if output.is_json() {
        return;
    }
    let (policy, generation) = (&after.policy, after.generation);
    let hooks = |status: &Status| -> BTreeSet<String> {
        let mut inner = status.netns.iter().filter_map(|(_, inner)| inner.status());
        let mut all: Vec<&Status> = vec![status];
        all.extend(&mut inner);
        let hooks = all.into_iter().flat_map(|status| &status.hooks);
        let alive = hooks.filter(|hook| hook.alive);
        let name = |hook: &sockc_runtime::HookStatus| {
            let target = hook.now.as_ref().unwrap_or(&hook.target);
            format!("{} of {target}", hook.hook)
        };
        alive.map(name).collect()
    };
    let (was, is) = (hooks(before), hooks(after));
    let come: Vec<String> = is.difference(&was).cloned().collect();
    let what = match come.as_slice() {
        [] => "what it names was looked for again".to_owned(),
        come => format!("it holds at {}", come.join(", ")),
    };
    output.line(format!(
        "policy \"{policy}\" is in force again, generation {generation}: {what}"
    ));
}

/// Tells systemd that all is ready, where it asked for that.
fn notify() -> io::Result<()> {
    let to = env::var_os("NOTIFY_SOCKET").filter(|to| !to.is_empty());
    let Some(to) = to else {
        return Ok(());
    };
    let address = match to.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&to)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(b"READY=1", &address).map(drop)
}
