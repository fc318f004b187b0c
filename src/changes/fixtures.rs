//! Comparisons made by hand, for the tests of the views.

use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{
    About, Addresses, Change, Count, Data, Decider, Edit, EditKind, End, Fate, Impact, Incomplete,
    Line, Moved, Scope, Shadow, Spans, Unsaid, Words,
};
use sockc_compiler::location::Location;
use sockc_compiler::policy::Direction;

const EVERYBODY: Addresses = Addresses {
    v4: Count::All,
    v6: Count::All,
};

/// A statement of `web.sk`.
pub(super) fn line(number: u32, label: Option<&str>, text: &str) -> Line {
    Line {
        location: Location::new("web.sk", number, text),
        label: label.map(str::to_owned),
        is_default: text.starts_with("default"),
    }
}

pub(super) fn fate(verdict: &'static str, target: Option<&str>) -> Fate {
    Fate {
        verdict,
        target: target.map(str::to_owned),
        mark: None,
    }
}

/// SSH for everybody.
pub(super) fn opened() -> Change {
    Change {
        about: About::In,
        group: None,
        from: fate("drop", None),
        to: fate("allow", None),
        was: Decider::Line(line(3, None, "default in drop")),
        will_be: Decider::Line(line(19, Some("ssh"), "ssh: allow tcp to port ssh")),
        edit: Some(0),
        region: Words {
            within: "tcp from any to any:22".into(),
            except: vec!["from 10.20.0.0/16".into(), "from 192.0.2.7".into()],
            and_more: false,
        },
        example: "tcp from 8.8.8.8:40000 to 192.0.2.1:22".into(),
        unsaid: None,
        share: 1.0 / 65_536.0 / 256.0,
        spans: Some(Spans {
            senders: End::Of(Addresses {
                v4: Count::Some((1 << 32) - 65_537),
                v6: Count::All,
            }),
            receivers: End::Of(EVERYBODY),
            ports: Some(Count::Some(1)),
            at_most: false,
        }),
        shadow: vec![
            Shadow {
                ipv6: false,
                from: (0, 0x0a13_ffff),
                ports: (22, 22),
            },
            Shadow {
                ipv6: false,
                from: (0x0a15_0000, 0xffff_ffff),
                ports: (22, 22),
            },
            Shadow {
                ipv6: true,
                from: (0, u128::MAX),
                ports: (0, u16::MAX),
            },
        ],
    }
}

/// SSH for everybody, but the words of the example do not say all that decides it.
pub(super) fn inexact() -> Report {
    report(Scope {
        edits: vec![edited()],
        changes: vec![Change {
            unsaid: Some(Unsaid::Rates),
            ..opened()
        }],
        ..Scope::default()
    })
}

/// Malformed packets, which have no share.
pub(super) fn malformed() -> Report {
    report(Scope {
        edits: vec![edited()],
        changes: vec![Change {
            about: About::MalformedIn,
            region: Words {
                within: "malformed packets".into(),
                ..Words::default()
            },
            example: "tcp from 8.8.8.8 to 192.0.2.1 with malformed".into(),
            share: 0.0,
            spans: None,
            ..opened()
        }],
        ..Scope::default()
    })
}

/// Another text of the rule that lets SSH in.
pub(super) fn edited() -> Edit {
    Edit {
        kind: EditKind::Changed,
        direction: Direction::In,
        old: Some(line(
            19,
            Some("ssh"),
            "ssh: allow tcp from @office to port ssh",
        )),
        new: Some(line(19, Some("ssh"), "ssh: allow tcp to port ssh")),
        impact: Impact::Some,
    }
}

/// A rule that was written in other words, for a reason if there is one to say.
pub(super) fn reworded(why: Option<&str>) -> Edit {
    Edit {
        old: Some(line(7, Some("ping"), "ping: allow icmp echo-request")),
        new: Some(line(7, Some("ping"), "ping: allow icmp 8")),
        impact: Impact::None(why.map(str::to_owned)),
        ..edited()
    }
}

/// One edit with one change.
pub(super) fn one() -> Report {
    report(Scope {
        edits: vec![edited()],
        changes: vec![opened()],
        ..Scope::default()
    })
}

/// Something of everything.
pub(super) fn all() -> Report {
    let redirected = Change {
        from: fate("redirect", Some("sock recursor")),
        to: fate("redirect", Some("sock authority")),
        will_be: Decider::Nobody,
        was: Decider::Line(line(3, None, "default in drop")),
        edit: None,
        share: 1.0,
        spans: Some(Spans {
            senders: End::Of(EVERYBODY),
            receivers: End::Of(EVERYBODY),
            ports: None,
            at_most: false,
        }),
        ..opened()
    };
    let moved = Moved {
        about: About::In,
        was: Decider::Line(line(19, Some("ssh"), "")),
        will_be: Decider::Line(line(7, None, "allow icmp 8")),
        example: "icmp from 8.8.8.8 to 192.0.2.1".into(),
    };
    let data = Data {
        name: "set office".into(),
        gained: 2_000,
        lost: 1,
        sizes: (12, 2_011),
        gained_examples: vec!["192.0.2.0/24".into(), "198.51.100.0/24".into()],
        lost_examples: vec!["10.20.0.0/16".into()],
        ..Data::default()
    };
    let inner = Scope {
        netns: Some("blue".into()),
        edits: vec![edited()],
        changes: vec![opened()],
        incomplete: Some(Incomplete {
            why: "the diagrams grew past 20 million nodes".into(),
            unknown_edits: 2,
        }),
        ..Scope::default()
    };
    let mut report = report(Scope {
        edits: vec![
            edited(),
            reworded(Some("line 4 decides all of it before")),
            reworded(None),
        ],
        changes: vec![opened(), redirected],
        moved: vec![moved],
        data: vec![data],
        settings: vec!["interfaces: eth1 is new".into()],
        ..Scope::default()
    });
    report.scopes.push(inner);
    report
}

/// One edit with so many changes.
pub(super) fn many(changes: usize) -> Report {
    report(Scope {
        edits: vec![edited()],
        changes: vec![opened(); changes],
        ..Scope::default()
    })
}

/// Nothing that changes anything in effect.
pub(super) fn nothing() -> Report {
    report(Scope {
        edits: vec![reworded(None), reworded(None)],
        ..Scope::default()
    })
}

fn report(scope: Scope) -> Report {
    Report {
        scopes: vec![scope],
    }
}
