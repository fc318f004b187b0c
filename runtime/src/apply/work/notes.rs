//! What a person should know of a policy that comes into force, beside that it did.
//!
//! Takes what was found and done; adds sentences. Changes nothing else.

use std::collections::BTreeMap;

use super::Work;
use crate::attach::foreign::Effect;
use crate::attach::{self, foreign};
use crate::delivery::{self, CUTS, ENDS, taken_back};
use crate::elsewhere;
use crate::error::Error;
use crate::groups::{self, refused};
use crate::hook::On;
use crate::names::classes::InTwoZones;
use crate::names::coverage;
use crate::names::interfaces::has_packet_programs;
use crate::state::history;
use crate::state::record::Attached;
use crate::state::totals;

/// Whether a hook decides what a group's processes do.
fn is_of_group(attached: &Attached) -> bool {
    let point = attached.hook.point;
    point.decides().is_some() && matches!(point.on(), On::Group(_) | On::Sockets(_))
}

impl Work<'_> {
    /// What cannot come back later, since the history of the namespace was not written.
    pub(crate) fn note_unkept(&mut self, error: Option<Error>) {
        let note = error.map(|error| history::unkept(&error));
        let new = note.filter(|note| !self.notes.contains(note));
        self.notes.extend(new);
    }

    pub(super) fn note_skipped_interfaces(&mut self) {
        let skipped = self.targets.skipped.iter();
        self.notes.extend(skipped.map(|name| {
            format!("the interface \"{name}\" carries no Ethernet frames: packet rules do not hold there")
        }));
    }

    /// What redirects `at tc` do to connections that are forwarded, and what they need no more.
    pub(super) fn note_intercepted(&mut self) {
        let before = self.before.as_ref();
        let before = before.and_then(|before| before.manifest.intercepts.as_ref());
        let plan = self.manifest.intercepts.as_ref();
        if delivery::goes_beyond(plan, before) {
            self.notes.push(CUTS.to_owned());
        }
        if delivery::goes_beyond(before, plan) {
            self.notes.push(ENDS.to_owned());
        }
        // What cannot be read now is told by the step that takes it back.
        let spare = delivery::spare(&self.session.state, plan).unwrap_or_default();
        self.notes.extend(spare.into_iter().map(taken_back));
    }

    pub(super) fn note_lost_counters(&mut self) {
        let before = self.before.as_ref();
        let removed = before.and_then(|before| totals::removed(&self.session.state, before));
        self.notes.extend(removed.map(|path| {
            format!(
                "all counters begin at 0: somebody removed {}, which held some of what the policy before had counted",
                path.display()
            )
        }));
    }

    pub(super) fn note_owners(&mut self) {
        let why = self.owners.unable().into_iter();
        self.notes.extend(why.map(|why| {
            format!("no program can tell whose a socket is ({why}): sockets with an owner are taken by commands only; after a restart, run `sockc socket refresh`")
        }));
    }

    /// What is named and is not there, or is called otherwise now.
    pub(super) fn note_other_interfaces(&mut self) {
        let missing = self.targets.missing.iter().map(|name| {
            format!(
                "there is no interface \"{name}\" now; when it comes, the policy does not hold on it until `sockc apply --running` puts it there"
            )
        });
        let renamed = self.targets.renamed.iter().map(|(name, now)| {
            format!(
                "the interface \"{name}\" is called \"{now}\" now: the policy stays on it, and should name it so"
            )
        });
        let two_zones = self.targets.two_zones.iter().map(InTwoZones::words);
        self.notes.extend(missing.chain(renamed).chain(two_zones));
    }

    /// That groups are not those of the container alone.
    pub(super) fn note_groups_outside(&mut self) {
        let note = groups::reach_out(self.manifest);
        self.notes.extend(note.map(str::to_owned));
    }

    /// Control groups that are gone, and what that means for their groups.
    pub(super) fn note_gone_groups(&mut self) {
        let follows = self.targets.follows();
        let gone = self.targets.gone_groups().map(|group| {
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

    /// Programs of others that decide before ours, where ours cannot be first, and those that may change what ours decided.
    pub(super) fn note_foreign(&mut self) {
        let (mut notes, mut told) = (Vec::new(), Vec::new());
        for attached in &self.record.hooks {
            let ours = attach::describe(&self.session.state, &attached.hook);
            // Where the kernel does not tell which is ours, `status` says why.
            let Ok(Some(ours)) = ours else { continue };
            let ours = Some(ours.program);
            let hook = (&attached.hook, attached.target.as_str());
            let foreign = match foreign::near(self.session.place(), hook, ours) {
                Ok(foreign) => foreign,
                Err(error) => {
                    notes.push(format!(
                        "whether programs of others decide before ours is not known ({error}); `sockc status` says"
                    ));
                    break;
                }
            };
            told.extend(foreign::of_namespaces(foreign.iter()));
            notes.extend(
                foreign
                    .into_iter()
                    .filter(|one| {
                        one.first || one.effect == Effect::Rewrites || one.namespace.is_some()
                    })
                    .map(|one| one.beside(&attached.hook.point.title(), self.called(attached))),
            );
        }
        self.notes.extend(notes);
        let unseen = elsewhere::unseen(Some(self.manifest)).into_iter();
        self.notes.extend(unseen.map(str::to_owned));
        self.note_other_namespaces(&told);
    }

    /// Policies of other network namespaces that are for the same groups; of those whose programs are `told`, what to do.
    fn note_other_namespaces(&mut self, told: &[u32]) {
        let bpffs = &self.options.bpffs;
        match elsewhere::near(self.session, bpffs, &[self.manifest]) {
            Ok(near) => {
                self.notes.extend(near.iter().map(|one| one.words(told)));
            }
            Err(error) => self.notes.push(format!(
                "whether policies of other network namespaces hold for the groups is not known ({error}); `sockc status` says"
            )),
        }
    }

    /// The interfaces that the policy before was on and this one is not: their packets meet no rule from now on.
    pub(super) fn note_left_interfaces(&mut self) {
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

    /// The control groups whose processes meet a rule no more where they did before.
    pub(super) fn note_left_groups(&mut self) {
        let Some(before) = &self.before else {
            return;
        };
        let mut left: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for one in before.hooks.iter().filter(|one| is_of_group(one)) {
            let title = one.hook.point.title();
            let mut now = self.record.hooks.iter();
            if !now.any(|other| other.target == one.target && other.hook.point.title() == title) {
                left.entry(&one.target).or_default().push(title);
            }
        }
        self.notes.extend(left.into_iter().map(|(folder, titles)| {
            format!(
                "the control group {folder} is left: no rule of the policy decides there any more at {}",
                titles.join(", ")
            )
        }));
    }

    /// What follows is another policy, or nothing at all: a person should know.
    pub(super) fn note_other_policy(&mut self) {
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
                "no hook is left in this network namespace: \"{now}\" filters and steers nothing in it"
            ));
        }
        self.notes.extend(notes);
    }

    /// Patterns may match nothing, and then rules apply to no interface: a person should know.
    pub(super) fn note_missing_interfaces(&mut self) {
        // Of a name that nothing has is told by itself.
        let none = self.targets.interfaces.is_empty() && self.targets.missing.is_empty();
        if has_packet_programs(self.manifest) && none {
            self.notes.push(
                "no interface matches the policy's patterns, so its packet rules apply to no interface; when one appears, `sockc apply --running` puts the policy on it"
                    .to_owned(),
            );
        }
    }

    /// Connections that were refused, and that this policy would not, go on if nothing is in the way.
    pub(super) fn let_refused_go(&mut self) {
        let left = refused::let_go(&self.session.state, &self.record, self.object);
        self.notes.extend(match left {
            Ok(0) => None,
            Ok(left) => Some(format!(
                "{left} connections stay refused, though the policy would let them write, until they are closed, or until an apply finds that nobody waits to read from them, and that neither a shortcut nor a rule of `receive` concerns them"
            )),
            Err(error) => Some(format!(
                "connections that were refused may stay so ({}); run `sockc apply` again then",
                error.bare()
            )),
        });
    }
}
