//! Artifacts that break a rule.

use super::*;

/// The error of writing the artifact after a change.
fn refusal(change: impl FnOnce(&mut Artifact)) -> String {
    let mut artifact = artifact();
    change(&mut artifact);
    write(&artifact).unwrap_err().to_string()
}

/// A change that breaks an artifact, and words of the refusal.
type Break = (fn(&mut Artifact), &'static str);

#[test]
fn broken_artifacts_are_refused() {
    let cases: [Break; 22] = [
        (|a| a.programs[0].name = "xdp".into(), "that of a section"),
        (|a| a.programs[0].name = "counters".into(), "used twice"),
        (|a| a.programs[0].name = "tc-in".into(), "not an identifier"),
        (|a| a.programs[0].name = "1in".into(), "not an identifier"),
        (
            |a| a.maps[MapId::from_u32(0)].name = "sixteen_bytes_xx".into(),
            "longer than 15",
        ),
        (|a| a.programs[0].insns.truncate(1), "half a 64-bit"),
        (|a| a.programs[0].relocations[0].insn = 2, "not at a 64-bit"),
        (
            |a| a.programs[0].relocations[0].map = MapId::from_u32(99),
            "does not exist",
        ),
        (|a| a.programs[0].lines[0].insn = 2, "not at the first"),
        (|a| a.programs[0].lines[1].insn = 1, "not at an instruction"),
        (|a| a.programs[0].lines[1].insn = 0, "do not increase"),
        (|a| a.maps[MapId::from_u32(0)].value_size = 0, "no bytes"),
        (
            |a| a.netns = vec![(String::new(), small())],
            "cannot be named",
        ),
        (
            |a| a.netns = vec![("a".to_owned(), with_namespaces())],
            "of its own",
        ),
        (|a| a.maps[MapId::from_u32(7)].flags = 0, "NO_PREALLOC"),
        (
            |a| a.maps[MapId::from_u32(7)].key_size = 4,
            "no key of a trie",
        ),
        (|a| a.maps[MapId::from_u32(9)].key_size = 4, "with keys"),
        (
            |a| a.maps[MapId::from_u32(9)].max_entries = 5000,
            "power of two",
        ),
        (
            |a| a.maps[MapId::from_u32(TABLE)].flags = 1,
            "an array with one entry",
        ),
        (
            |a| a.maps[MapId::from_u32(TABLE)].data = Some(Vec::new()),
            "1 byte to 4 MiB",
        ),
        (
            |a| a.programs[6].relocations[0].value_offset = Some(100),
            "leads elsewhere",
        ),
        (
            |a| a.programs[6].relocations[2].value_offset = Some(0),
            "of the wrong kind",
        ),
    ];
    for (change, words) in cases {
        let refusal = refusal(change);
        assert!(refusal.contains(words), "{refusal}");
        assert!(refusal.ends_with("a bug in sockc"), "{refusal}");
    }
}
