//! New hooks of TCX, attached in a thread of their own while the programs are loaded.
//!
//! The kernel ends each of them with a grace period of RCU (`tcx_entry_sync` of include/net/tcx.h), which nothing else has to
//! wait for: what is attached sleeps until the switch. Those of other kinds come later, in `hooks`, and so does everything where
//! a hook is there already. What is refused here is told there.

use std::thread::{self, JoinHandle};

use super::Work;
use crate::apply::steps::{self, HookStep, hook_step};
use crate::attach::whose::slots_title;
use crate::attach::{self, Target};
use crate::error::{Error, at};
use crate::hook::Point;
use crate::sockets::refill;
use crate::state::record::Attached;
use crate::state::{SLOTS, open_or_make};
use crate::sys::map::Shape;

/// Hooks that are being attached.
#[derive(Debug, Default)]
pub(super) struct Ahead(Option<JoinHandle<Result<Vec<Attached>, Error>>>);

impl Ahead {
    /// Those that are attached, once they are.
    pub(super) fn done(&mut self) -> Result<Vec<Attached>, Error> {
        let Some(thread) = self.0.take() else {
            return Ok(Vec::new());
        };
        // A panic is a bug in sockc and must not look like a refusal of the system.
        let done = thread.join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Work<'_> {
    /// Begins with them. The words that dispatchers read are there.
    pub(super) fn attach_ahead(&mut self) -> Result<(), Error> {
        let new = self.new_on_tcx()?;
        if new.is_empty() {
            return Ok(());
        }
        let (state, features) = (self.session.state.clone(), self.targets.features);
        let generation = self.record.generation;
        let attach = move || {
            let hooks = new.iter().map(|(point, target)| {
                attach::attach(&state, *point, target, generation, features)
            });
            hooks.collect()
        };
        let thread = thread::Builder::new().spawn(attach);
        self.ahead = Ahead(Some(thread.map_err(at("attach programs"))?));
        Ok(())
    }

    /// The points where a hook of TCX is to be attached, with what it hangs on and the slots that its dispatcher calls.
    fn new_on_tcx(&self) -> Result<Vec<(Point, Target)>, Error> {
        let mut new = Vec::new();
        if !self.targets.features.tcx {
            return Ok(new);
        }
        let state = &self.session.state;
        for (point, name) in steps::points(self.manifest, &self.targets, self.session)? {
            // A policy does without what only fills slots where that is refused.
            if !matches!(point, Point::TcIn(_) | Point::TcOut(_)) || name.starts_with(refill::NAME)
            {
                continue;
            }
            for target in self.targets.of(point, self.session)? {
                let before = self.before.as_ref();
                if hook_step(state, before, point, target.number())? != HookStep::Attach {
                    continue;
                }
                self.step(&format!("attach {} {}", point.title(), target.title()))?;
                let shape = Shape::programs(SLOTS);
                open_or_make(&state.slots(point), &slots_title(point), shape)?;
                new.push((point, target));
            }
        }
        Ok(new)
    }
}
