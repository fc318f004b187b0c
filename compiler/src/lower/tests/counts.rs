//! How counters are added to where a program may be taken off its CPU.

use super::*;
use crate::listing::listing;
use crate::lower::PEER_KEY;

/// The lines of a program that change memory other than its stack.
fn changes(built: &Built, program: &str) -> Vec<String> {
    let program = built
        .artifact
        .programs
        .iter()
        .find(|one| one.name == program);
    let text = listing(program.unwrap(), &built.artifact.maps);
    let writes =
        |line: &&str| line.contains("*)(r") && line.contains("= ") && !line.contains("(r10");
    let changes = text.lines().filter(writes).filter(|line| {
        let (place, _) = line.split_once("= ").unwrap();
        place.contains("*)(")
    });
    changes.map(str::to_owned).collect()
}

#[test]
fn what_may_be_taken_off_its_cpu_adds_at_once() {
    let built = built(
        "group pods = cgroup \"/pods\"
         default send allow
         count send tcp from group pods to port 80
         drop send tcp from group pods to 203.0.113.0/24",
    );
    // A key that a socket keeps is written as it is, whether it is taken in or not, and so are the marks in it: of a refused write,
    // and of one that could not be taken in.
    let keys = 2 * PEER_KEY as usize / 8;
    for (program, copied) in [("send", 1), ("sock_ops", keys + 1)] {
        let changes = changes(&built, program);
        let (locked, plain): (Vec<&String>, Vec<&String>) =
            changes.iter().partition(|line| line.contains("lock "));
        assert!(!locked.is_empty(), "{program}: {changes:?}");
        assert_eq!(plain.len(), copied, "{program}: {plain:?}");
    }
}

#[test]
fn what_runs_with_interrupts_off_adds_without_a_lock() {
    let built = built("interfaces eth0\ndefault in allow\ndrop tcp to any:80");
    let changes = changes(&built, "xdp_in");
    assert!(changes.len() >= 2, "{changes:?}");
    // Only an event that found no room is counted for all processors together.
    let locked = changes.iter().filter(|line| line.contains("lock "));
    assert_eq!(locked.count(), 1, "{changes:?}");
}
