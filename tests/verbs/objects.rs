//! Objects, saved plans and what is in force, whose code is not what their text says.

use std::fs;

use sha2::{Digest, Sha256};
use sockc_compiler::artifact::Artifact;
use sockc_compiler::object;
use sockc_runtime::lab::{FRONT, Lab};
use sockc_runtime::{Options, apply as put_in_force};

use super::{Folder, Ran, root, run};

/// It promises that nobody gets to port 22.
const POLICY: &str = "\
default in drop
include <essentials>
web: allow tcp to any:443
expect drop tcp from any to any:22 with no socket
";
const GUARD: &str = "expect drop tcp from any to any:22 with no socket\n";
/// Bytes of the sum at the end of a plan.
const SUM: usize = 32;

/// The object of the policy, written next to it.
fn compiled(folder: &Folder) -> Vec<u8> {
    let policy = folder.file("edge.sk", POLICY);
    let path = folder.0.join("edge.o");
    let ran = run(&["compile", &policy, "-o", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    fs::read(path).unwrap()
}

/// The same with the port 443 of the code made 22: the comparison is one of the port as it stands in memory.
fn lying(honest: &[u8]) -> Vec<u8> {
    let [port, other] = [443_u16, 22].map(|port| i32::from(port.to_be()));
    let mut artifact: Artifact = object::read(honest).unwrap();
    let mut changed = 0;
    for program in &mut artifact.programs {
        for insn in &mut program.insns {
            if insn.imm == port {
                insn.imm = other;
                changed += 1;
            }
        }
    }
    assert!(changed > 0);
    // The sum is right: whoever changes an object on purpose makes it anew.
    object::write(&artifact).unwrap()
}

fn file(folder: &Folder, name: &str, bytes: &[u8]) -> String {
    let path = folder.0.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn inside(lab: &Lab, arguments: &[&str]) -> Ran {
    lab.server.run(|| run(arguments)).unwrap()
}

fn in_force(lab: &Lab) -> bool {
    !inside(lab, &["status", "--json"]).json()["policy"].is_null()
}

#[test]
fn code_that_is_not_its_text_does_not_come_into_force() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("lying"));
    let honest = compiled(&folder);
    let guard = folder.file("guard.sk", GUARD);
    let evil = file(&folder, "evil.o", &lying(&honest));
    for verb in ["apply", "plan"] {
        let ran = inside(
            &lab,
            &[verb, &evil, "--interface", FRONT, "--guard", &guard],
        );
        assert_eq!(ran.code, Some(1), "{verb}: {}", ran.stderr);
        for words in [
            "evil.o",
            "changed after it was compiled",
            "instruction",
            "its text compiles to",
        ] {
            assert!(ran.stderr.contains(words), "{verb}: {}", ran.stderr);
        }
        assert!(!in_force(&lab));
    }
    let ran = inside(
        &lab,
        &[
            "apply",
            &file(&folder, "e.o", &honest),
            "--interface",
            FRONT,
        ],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(in_force(&lab));
}

#[test]
fn a_plan_made_anew_around_another_object_is_refused() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("forged"));
    let honest = compiled(&folder);
    let policy = folder.0.join("edge.o").to_str().unwrap().to_owned();
    let plan = folder.0.join("edge.plan").to_str().unwrap().to_owned();
    let ran = inside(&lab, &["plan", &policy, "--interface", FRONT, "-o", &plan]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);

    let saved = fs::read(&plan).unwrap();
    let head = &saved[..saved.len() - SUM - honest.len()];
    assert_eq!(saved[head.len()..saved.len() - SUM], honest[..]);
    let mut forged = [head, &lying(&honest)].concat();
    let sum = Sha256::digest(&forged);
    forged.extend(sum);
    let forged = file(&folder, "forged.plan", &forged);
    let ran = inside(&lab, &["apply", &forged]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("changed after"), "{}", ran.stderr);
    assert!(!in_force(&lab));

    let ran = inside(&lab, &["apply", &plan]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn damage_and_other_compilers_are_said_to_be_that() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("damaged"));
    let honest = compiled(&folder);
    let mut damaged = honest.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let damaged = file(&folder, "damaged.o", &damaged);
    let ran = inside(&lab, &["apply", &damaged, "--interface", FRONT]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("damaged"), "{}", ran.stderr);

    let mut artifact = object::read(&honest).unwrap();
    artifact.manifest.made.build = "0.0.1-0123456789abcdef".to_owned();
    let other = file(&folder, "other.o", &object::write(&artifact).unwrap());
    let ran = inside(&lab, &["apply", &other, "--interface", FRONT]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for words in [
        "another sockc made it (0.0.1-0123",
        "compile the policy again",
    ] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    assert!(!in_force(&lab));
}

#[test]
fn what_is_in_force_is_compared_with_its_text() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("in-force"));
    let honest = compiled(&folder);
    let evil = lying(&honest);
    let manifest = object::read_manifest(&evil).unwrap();
    let options = Options {
        interfaces: vec![FRONT.to_owned()],
        ..Options::default()
    };
    // The library takes what it is given, as whoever can write into the kernel does.
    let applied = lab
        .server
        .run(|| put_in_force(&evil, &manifest, &options))
        .unwrap();
    applied.unwrap();
    let policy = folder.0.join("edge.sk").to_str().unwrap().to_owned();
    for arguments in [&["status"][..], &["plan", &policy, "--interface", FRONT]] {
        let ran = inside(&lab, arguments);
        assert_eq!(ran.code, Some(5), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("what its text compiles to"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains("instruction"), "{}", ran.stderr);
    }
    // Nothing of it is built upon: the policy itself comes back.
    let ran = inside(&lab, &["apply", &policy, "--interface", FRONT]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(inside(&lab, &["status"]).code, Some(0));
}
