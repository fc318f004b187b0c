//! Objects that are what their text compiles to, and many that are not.

use super::*;
use crate::artifact::Artifact;
use crate::files::Texts;

const POLICY: &str = "\
include <essentials>
default in drop
set bad = file \"bad.txt\" max 10
live set banned max 10 = { 192.0.2.0/24 }
socket web = tcp listen 127.0.0.1:8080
drop tcp from @bad to any:22
drop from @banned
allow tcp to any:443
redirect tcp 203.0.113.0/24:80 to sock web
expect drop tcp from any to any:23 with no socket
for netns \"blue\" {
  default in drop
  allow tcp to any:443
}
";

fn artifact(target: &Target, counters: Counters) -> Artifact {
    let mut files = Texts::default().with("bad.txt", "192.0.2.0/24\n2001:db8::/32\n");
    let mut sources = SourceMap::default();
    let id = sources.add("edge.sk", POLICY);
    let options = Options {
        counters,
        ..Options::from(target)
    };
    let outcome = pipeline::compile(&mut sources, id, "edge", options, &mut files);
    outcome.built.unwrap().artifact
}

fn whole() -> Artifact {
    artifact(&Target::baseline(), Counters::Kept)
}

/// How an artifact that was changed is refused.
fn refusal(change: impl FnOnce(&mut Artifact)) -> String {
    let mut artifact = whole();
    change(&mut artifact);
    check(&object::write(&artifact).unwrap())
        .unwrap_err()
        .to_string()
}

#[test]
fn what_was_compiled_is_faithful_for_every_target() {
    for target in Target::releases().chain([Target::baseline().with_gotol().with_atomics()]) {
        for counters in [Counters::Kept, Counters::LeftOut] {
            let bytes = object::write(&artifact(&target, counters)).unwrap();
            assert_eq!(check(&bytes), Ok(()), "{}", target.name);
        }
    }
}

/// Whoever has read the manifest already gets the policy; one of another version or build is named all the same.
#[test]
fn a_manifest_that_was_read_before_is_asked_for_its_version_and_build() {
    let bytes = object::write(&whole()).unwrap();
    let manifest = read(&bytes).unwrap();
    assert_eq!(manifest, object::read_manifest(&bytes).unwrap());
    let policy = policy_of(&bytes, &manifest).unwrap();
    assert_eq!(policy.name, "edge");
    let mut rules = policy.rules.values();
    assert!(rules.any(|rule| &*rule.place.text == "drop from @banned"));
    let mut other = manifest.clone();
    other.version += 1;
    let found = other.version;
    assert_eq!(
        policy_of(&bytes, &other).unwrap_err(),
        Unfaithful::Object(ObjectError::ManifestVersion { found })
    );
    let mut other = manifest;
    other.made.build.push('x');
    let refused = policy_of(&bytes, &other).unwrap_err();
    assert!(
        matches!(refused, Unfaithful::OtherBuild { .. }),
        "{refused}"
    );
}

#[test]
fn code_that_is_not_the_texts_is_refused_though_the_sum_is_right() {
    let said = refusal(|artifact| {
        let program = &mut artifact.programs[0];
        // The port as it stands in memory.
        let [port, other] = [443_u16, 22].map(|port| i32::from(port.to_be()));
        let mut insns = program.insns.iter_mut();
        insns.find(|insn| insn.imm == port).unwrap().imm = other;
    });
    assert!(said.contains("instruction"), "{said}");
    assert!(said.contains("changed after it was compiled"), "{said}");
}

#[test]
fn every_part_is_compared() {
    let said = refusal(|artifact| artifact.programs.truncate(1));
    assert!(said.contains("it has the programs"), "{said}");
    let said = refusal(|artifact| {
        let counters = artifact.maps.values_mut();
        let counters = counters.into_iter().find(|map| map.name == "counters");
        counters.unwrap().max_entries = 1 << 25;
    });
    assert!(said.contains("`counters` has room for 33554432"), "{said}");
    let said = refusal(|artifact| artifact.manifest.sets[0].start.clear());
    assert!(said.contains("its manifest"), "{said}");
    let said = refusal(|artifact| artifact.netns[0].1.programs[0].insns[0].imm ^= 1);
    assert!(said.contains("namespace \"blue\""), "{said}");
    let said = refusal(|artifact| artifact.lists[0].1.push_str("10.0.0.0/8\n"));
    assert!(said.contains("its text compiles to"), "{said}");
    let said = refusal(|artifact| artifact.lists.clear());
    assert!(said.contains("bad.txt"), "{said}");
}

#[test]
fn another_compiler_is_said_to_be_one() {
    let said = refusal(|artifact| artifact.manifest.made.build = "0.0.9-0123".to_owned());
    assert!(said.contains("another sockc made it (0.0.9-0123"), "{said}");
}

#[test]
fn a_text_with_a_mistake_is_no_policy() {
    let said = refusal(|artifact| {
        let text = &mut artifact.manifest.sources[0].1;
        *text = text.replace("expect drop", "expect allow");
    });
    assert!(said.contains("its text does not compile"), "{said}");
}

#[test]
fn damage_is_told_from_change() {
    let bytes = object::write(&whole()).unwrap();
    for at in (0..bytes.len()).step_by(251) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let error = check(&damaged).unwrap_err();
        assert!(matches!(error, Unfaithful::Object(_)), "{at}: {error}");
    }
}
