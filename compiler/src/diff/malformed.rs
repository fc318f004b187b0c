//! What both policies do with malformed packets, which no rule matches.

use super::edits::{Edits, default_line};
use super::joint::{Joint, Which};
use super::report::{About, Change, Decider, Fate, Words};
use crate::decide::decide;
use crate::event::{Event, Parsed, SocketAnswer, Verdict};
use crate::packet::text::{Described, DescribedWorld, describe_on};
use crate::policy::{Direction, Policy};

/// The changes of malformed packets.
pub(super) fn malformed(joint: &Joint<'_>, edits: &Edits) -> Vec<Change> {
    let changes = [
        (About::MalformedIn, Direction::In),
        (About::MalformedPassing, Direction::Forward),
        (About::MalformedOut, Direction::Out),
    ]
    .into_iter()
    .filter_map(|(about, direction)| change(joint, edits, about, direction));
    changes.collect()
}

fn change(joint: &Joint<'_>, edits: &Edits, about: About, direction: Direction) -> Option<Change> {
    let event = Event::of_packet(direction, [Policy::plain_class(); 2], Parsed::Malformed);
    let said = Described::plain(event, SocketAnswer::None);
    let [from, to] = Which::BOTH.map(|which| {
        let policy = joint.side(which).policy;
        let world = DescribedWorld::new(policy, &said);
        fate(decide(policy, &said.event, &world).verdict)
    });
    let [was, will_be] = Which::BOTH.map(|which| {
        let line = joint.side(which).policy.default_of(direction);
        line.map_or(Decider::Nobody, |line| Decider::Line(default_line(line)))
    });
    (from != to).then(|| Change {
        about,
        group: None,
        from,
        to,
        was,
        will_be,
        edit: edits.of_default(direction),
        region: Words {
            within: "malformed packets".into(),
            ..Words::default()
        },
        example: describe_on(joint.side(Which::New).policy, &said, None, joint.netns)
            .unwrap_or_default(),
        unsaid: None,
        share: 0.0,
        spans: None,
        shadow: Vec::new(),
    })
}

fn fate(verdict: Verdict) -> Fate {
    Fate {
        verdict: match verdict {
            Verdict::Drop => "drop",
            Verdict::Reject => "reject",
            _ => "allow",
        },
        target: None,
        mark: None,
    }
}
