//! What becomes of each hook, for every way in which it may stand.

use sockc_compiler::artifact::{Slot, SlotOrigin, SocketSlots};
use sockc_compiler::protocol::IpProtocol;

use super::*;
use crate::hook::Means;
use crate::state::pin::Pin;
use crate::sys::link::On;

const LINK: u32 = 11;
const PROGRAM: u32 = 22;

fn hook(means: Means) -> Hook {
    Hook {
        point: Point::Xdp(7),
        target: 7,
        since: 3,
        means,
    }
}

fn attached(means: Means) -> Attached {
    Attached {
        hook: hook(means),
        target: "eth0".to_owned(),
    }
}

/// A record of one hook, and of what was pinned for it.
fn record(means: Means, made: Option<Made>) -> Record {
    let mut record = Record::new(3, Manifest::default(), None);
    record.hooks.push(attached(means));
    record.pins = made.map(|made| {
        let path = Path::new("link").join(hook(means).name());
        let other = Pin {
            path: Path::new("link").join("lookup_1_1_link"),
            made: Made::Link(99, Some(99)),
        };
        vec![other, Pin { path, made }]
    });
    record
}

fn there(id: u32, program: u32) -> Option<Description> {
    Some(Description {
        id,
        program,
        alive: true,
        on: On::Other,
    })
}

/// What becomes of the recorded hook, which stands like this.
fn becomes(means: Means, made: Option<Made>, stands: Option<Description>) -> HookStep {
    step(Some(&record(means, made)), Point::Xdp(7), 7, |asked| {
        assert_eq!(*asked, hook(means));
        Ok(stands)
    })
    .unwrap()
}

fn ours() -> Option<Made> {
    Some(Made::Link(LINK, Some(PROGRAM)))
}

#[test]
fn what_stands_as_it_was_left_is_kept() {
    let kept = |means| HookStep::Keep(attached(means));
    let link = Means::XdpNative;
    assert_eq!(becomes(link, ours(), there(LINK, PROGRAM)), kept(link));
    let filter = Means::Clsact;
    let program = Some(Made::Program(PROGRAM));
    assert_eq!(becomes(filter, program, there(0, PROGRAM)), kept(filter));
    // An older sockc left no list of what it made.
    assert_eq!(becomes(link, None, there(12, 23)), kept(link));
}

#[test]
fn another_program_in_our_link_is_taken_out() {
    let link = Means::Tcx;
    let mended = HookStep::Mend(attached(link));
    assert_eq!(becomes(link, ours(), there(LINK, 23)), mended);
    let hung_on_nothing = Some(Made::Link(LINK, None));
    assert_eq!(becomes(link, hung_on_nothing, there(LINK, PROGRAM)), mended);
}

#[test]
fn what_is_not_ours_or_not_there_is_attached_anew() {
    let link = Means::XdpGeneric;
    let dead = there(LINK, PROGRAM).map(|there| Description {
        alive: false,
        ..there
    });
    for stands in [None, dead, there(12, PROGRAM), there(12, 23)] {
        let said = format!("{stands:?}");
        assert_eq!(becomes(link, ours(), stands), HookStep::Attach, "{said}");
    }
    let program = || Some(Made::Program(PROGRAM));
    assert_eq!(
        becomes(Means::Clsact, program(), there(0, 23)),
        HookStep::Attach
    );
    assert_eq!(becomes(Means::Clsact, program(), None), HookStep::Attach);
}

#[test]
fn a_hook_is_that_of_its_point_and_its_target() {
    let record = record(Means::XdpNative, ours());
    let asked = |point, target| {
        let unasked = |_: &Hook| panic!("another hook is not asked about");
        step(Some(&record), point, target, unasked).unwrap()
    };
    assert_eq!(asked(Point::TcIn(7), 7), HookStep::Attach);
    assert_eq!(asked(Point::Xdp(7), 8), HookStep::Attach);
    let unasked = |_: &Hook| panic!("there is no hook");
    let new = step(None, Point::Xdp(7), 7, unasked).unwrap();
    assert_eq!(new, HookStep::Attach);
}

/// A manifest with one slot.
fn manifest(origin: SlotOrigin, protocol: u8) -> Manifest {
    let slot = Slot {
        index: 0,
        protocol: IpProtocol(protocol),
        address: "127.0.0.1".parse().unwrap(),
        port: 1234,
    };
    Manifest {
        sockets: vec![SocketSlots {
            name: "proxy".to_owned(),
            drop_if_absent: false,
            origin,
            owner: None,
            members: 1,
            spread_by_source: false,
            pinned: false,
            slots: vec![slot],
        }],
        ..Manifest::default()
    }
}

#[test]
fn slots_fill_themselves_where_they_can_and_have_to() {
    let tcp = manifest(SlotOrigin::Listen, 6);
    assert_eq!(fills(&tcp, || true, Some(5)), Listening::Able(5));
    assert_eq!(fills(&tcp, || false, Some(5)), Listening::Unable);
    assert_eq!(fills(&tcp, || true, None), Listening::Unable);
    let udp = manifest(SlotOrigin::Listen, 17);
    assert_eq!(fills(&udp, || true, Some(5)), Listening::Needless);
    let none = Manifest::default();
    assert_eq!(fills(&none, || true, Some(5)), Listening::Needless);
}

#[test]
fn streams_are_attached_first_and_packets_last() {
    let named = |point| (point, "p".to_owned());
    let points = [
        Point::Lookup,
        Point::TcOut(1),
        Point::Xdp(2),
        Point::Xdp(1),
        Point::Send(4),
    ];
    let listen = (Point::Listen, LISTEN.to_owned());
    let rest = [Point::Xdp(1), Point::Xdp(2), Point::TcOut(1), Point::Lookup].map(named);
    let wanted = [vec![named(Point::Send(4)), listen], rest.to_vec()].concat();
    assert_eq!(
        in_order(points.map(named).to_vec(), Listening::Able(5)),
        wanted
    );
    let without = in_order(points.map(named).to_vec(), Listening::Unable);
    assert_eq!(without.len(), points.len());
    assert!(without.iter().all(|(point, _)| *point != Point::Listen));
}
