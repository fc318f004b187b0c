//! Entries that are refused, and how they are shown.

use super::super::tests::{entry, manifest, meant, trie_finds};
use super::*;

const TCP: Option<IpProtocol> = Some(IpProtocol::TCP);
const UDP: Option<IpProtocol> = Some(IpProtocol::UDP);

fn read(entries: &[LiveEntryPlan]) -> Result<Vec<Entry>, Error> {
    let manifest = manifest();
    let names = Names::new("m", &manifest);
    let read = names.read_all(entries)?;
    names.check(&read, 0)?;
    Ok(read)
}

#[test]
fn the_most_specific_entry_wins_in_the_trie() {
    let mut entries = [
        entry(None, "10.0.0.0/8", ALL, "a"),
        entry(None, "10.0.0.0/8", (53, 53), "b"),
        entry(None, "10.2.0.0/16", (1000, 1002), "b"),
        entry(TCP, "10.0.0.0/8", ALL, "t"),
        entry(None, "10.1.0.0/16", (0, 1000), "a"),
        entry(None, "10.1.0.0/16", (50, 60), "b"),
        entry(TCP, "10.1.0.0/16", (50, 60), "t"),
        entry(UDP, "10.1.0.0/16", (53, 53), "a"),
        entry(TCP, "10.1.2.3/32", ALL, "a"),
        entry(None, "10.1.2.3/32", (65535, 65535), "t"),
        entry(None, "::/0", (53, 53), "b"),
    ];
    // Whatever the order in which they were added.
    for _ in 0..2 {
        entries.reverse();
        let read = read(&entries).unwrap();
        trie_finds(&read, |probe| meant(&read, probe));
    }
}

#[test]
fn entries_of_which_neither_is_more_specific_are_refused() {
    let refused =
        |one: LiveEntryPlan, other: LiveEntryPlan| read(&[one, other]).unwrap_err().to_string();
    let tie = refused(
        entry(None, "10.0.0.0/8", ALL, "a"),
        entry(None, "10.0.0.0/8", ALL, "b"),
    );
    assert!(tie.contains("-> sock a` is for the same packets"), "{tie}");
    let overlap = refused(
        entry(TCP, "10.0.0.0/8", (10, 20), "a"),
        entry(None, "10.0.0.0/8", (15, 25), "b"),
    );
    assert!(
        overlap.contains("neither range is inside the other"),
        "{overlap}"
    );
    // Other prefixes and other protocols are apart.
    read(&[
        entry(TCP, "10.0.0.0/8", (10, 20), "a"),
        entry(UDP, "10.0.0.0/8", (15, 25), "b"),
        entry(None, "10.0.0.0/9", (5, 15), "b"),
    ])
    .unwrap();
}

#[test]
fn an_unknown_socket_or_protocol_is_told() {
    let error = read(&[entry(None, "10.0.0.0/8", ALL, "c")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("no socket \"c\""), "{error}");
    let error = read(&[entry(UDP, "10.0.0.0/8", ALL, "t")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("has no udp socket"), "{error}");
    let error = read(&[entry(None, "10.0.0.1/8", ALL, "t")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("bits set"), "{error}");
}

#[test]
fn entries_are_shown_as_they_are_written() {
    for (entry, shown) in [
        (
            entry(TCP, "10.0.0.0/8", ALL, "a"),
            "tcp 10.0.0.0/8:* -> sock a",
        ),
        (
            entry(None, "10.0.0.1/32", (53, 53), "a"),
            "10.0.0.1:53 -> sock a",
        ),
        (
            entry(UDP, "2001:db8::/32", (1, 2), "b"),
            "udp [2001:db8::/32]:1-2 -> sock b",
        ),
    ] {
        assert_eq!(text(&entry), shown);
    }
}
