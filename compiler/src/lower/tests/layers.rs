//! What the setsockopt program of a group refuses: another protocol between a process and TCP, and nothing else.

use super::*;
use crate::artifact::{AttachPoint, Program};
use crate::interpret::{Bare, SocketOption};

const TEXT: &str = "
group pods = cgroup \"/pods\"
default send allow
drop send tcp from group pods to 203.0.113.0/24";
/// `SOL_SOCKET` and `SO_ATTACH_FILTER`
const FILTER: (i32, i32) = (1, 26);
/// `IPPROTO_TCP` and `TCP_ULP`
const LAYER: (i32, i32) = (6, 31);

/// What the program says of an option with a value of so many bytes, and what length it leaves.
fn said(program: &Program, maps: &mut Maps, (level, name): (i32, i32), length: i32) -> [i32; 2] {
    let option = SocketOption {
        level,
        name,
        length,
    };
    let ran = run(program, maps, Input::Option(option), &mut Bare::default()).unwrap();
    [ran.code(), ran.length.unwrap()]
}

#[test]
fn nothing_but_another_protocol_is_refused() {
    let built = built(TEXT);
    let mut programs = built.artifact.programs.iter();
    let program = programs.find(|one| one.name == "setsockopt").unwrap();
    let mut maps = Maps::new(&built.artifact.maps);
    let mut of = |option, length| said(program, &mut maps, option, length);
    for length in [0, 3, 16] {
        assert_eq!(of(LAYER, length), [0, length]);
    }
    // The level or the name alone is another option.
    for other in [FILTER, (6, 26), (1, 31), (17, 31), (6, 0)] {
        assert_eq!(of(other, 3), [1, 3], "{other:?}");
    }
}

#[test]
fn what_a_program_sees_a_part_of_goes_on_whole() {
    let built = built(TEXT);
    let mut programs = built.artifact.programs.iter();
    let program = programs.find(|one| one.name == "setsockopt").unwrap();
    let mut maps = Maps::new(&built.artifact.maps);
    // By a length of 0 the kernel takes the process's own value. What a program before this one answers has -1.
    for (length, left) in [(4096, 4096), (4097, 0), (i32::MAX, 0), (-1, -1)] {
        assert_eq!(said(program, &mut maps, FILTER, length), [1, left]);
    }
}

/// Every group that a later policy may find sockets of: also one that this policy takes none of in.
#[test]
fn only_groups_with_decisions_about_data_refuse() {
    let of = |text: &str| {
        let programs = built(text).artifact.manifest.programs;
        let points = programs.into_iter().map(|one| one.point);
        points
            .filter(|point| matches!(point, AttachPoint::Setsockopt(_)))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(TEXT), [AttachPoint::Setsockopt(0)]);
    let groups = "
group pods = cgroup \"/pods\"
group jobs = cgroup \"/jobs\"
default connect allow
drop connect to 203.0.113.0/24";
    assert_eq!(of(groups), []);
    let receive = "default receive allow\ndrop receive tcp from 203.0.113.0/24 to group jobs";
    let both = [0, 1].map(AttachPoint::Setsockopt);
    assert_eq!(of(&format!("{groups}\n{receive}")), both);
    assert_eq!(of("interfaces eth0\ndefault in drop"), []);
}
