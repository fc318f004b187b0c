//! Compiles policies with many members behind many names: the longest loops that the compiler makes.
//!
//! Gives objects like those of cases.rs. Linux 5.10 and 6.1 would walk such loops over and over if the code did not keep them
//! from it, and what they do is in `golden/verified.txt`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sockc_compiler::files::Texts;
use sockc_compiler::object;

use crate::cases;
use crate::sets::estimates;
use crate::work::{Large, Object};

/// A policy of each kind: its name, what stands behind each socket, and behind each rule.
const KINDS: [(&str, &str, &str); 3] = [
    ("members-lookup", "", ""),
    // Where nobody is there XDP drops: a loop for each name and family.
    ("members-absent", " if absent drop", ""),
    ("members-tc", " spread by source", " at tc"),
];

const NAMES: usize = 8;

/// The maximum number of instructions that a verifier may process for a program.
const BUDGET: u32 = 120_000;

/// Writes the objects into a folder.
pub(crate) fn write(folder: &Path) -> Vec<Object> {
    KINDS.map(|kind| object(folder, kind)).into()
}

fn object(folder: &Path, (name, words, at): (&str, &str, &str)) -> Object {
    let lines = (0..NAMES).map(|number| {
        let port = 1_000 + 2 * number;
        format!(
            "socket s{number} = registered members 64{words}
            redirect tcp, udp to any:{port} to sock s{number}{at}\n"
        )
    });
    let text = format!(
        "default in drop\ndefault out allow\n{}include <essentials>\n",
        lines.collect::<String>()
    );
    let outcome = cases::compile(name, "members.sk", text, &mut Texts::default()).unwrap();
    let built = outcome.built.unwrap();
    let file = format!("{name}.o");
    fs::write(folder.join(&file), object::write(&built.artifact).unwrap()).unwrap();
    Object {
        name: name.to_owned(),
        file,
        cases: cases::cases(&outcome.policy.unwrap(), &built.artifact),
        large: Some(Large {
            golden: true,
            budget: BUDGET,
            estimates: estimates(&built),
            counts: BTreeMap::new(),
        }),
    }
}
