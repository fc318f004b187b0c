//! Every policy in `rules/` compiles to what its golden says: where each rule runs, how large the decisions and the
//! programs are, and a digest of every program, so that no change of code goes unseen. The code itself stands in
//! `golden/code/`, small enough to be read (`tests/golden/code.rs`).

mod code;
mod listed;
mod listing;

use std::fmt::Write;

use sha2::{Digest, Sha256};
use sockc_compiler::artifact::{MapSpec, Program};
use sockc_compiler::pipeline::{self, Built, Compilation, Options};
use sockc_compiler::place::describe;
use sockc_compiler::policy::Policy;
use sockc_compiler::target::Target;
use sockc_compiler::verifier_cost::VerifierCost;
use sockc_grammar::source::SourceMap;

use crate::repository::{Repository, compare_with_golden, fail_on, files_in, stem, text};

/// Compiles a policy of the repository for the oldest kernel.
pub(crate) fn compile(name: &str) -> (SourceMap, Compilation) {
    compile_text(name, text(name), (&Target::baseline()).into())
}

/// Compiles a text as if it stood in a file of the repository.
fn compile_text(name: &str, text: String, options: Options<'_>) -> (SourceMap, Compilation) {
    let mut sources = SourceMap::default();
    let id = sources.add(name, text);
    let outcome = pipeline::compile(&mut sources, id, stem(name), options, &mut Repository);
    (sources, outcome)
}

#[test]
fn policies_compile_to_their_goldens() {
    let names = files_in("rules", ".sk");
    assert!(names.len() >= 8, "{names:?}");
    let mut differences = Vec::new();
    for name in names {
        let (_, outcome) = compile(&name);
        assert!(
            outcome.diagnostics.is_empty(),
            "{name}: {:#?}",
            outcome.diagnostics
        );
        assert_eq!(outcome.internal, None, "{name}");
        let (policy, built) = (outcome.policy.unwrap(), outcome.built.unwrap());
        let golden = format!("golden/{}.txt", stem(&name));
        differences.extend(compare_with_golden(&golden, &page(&name, &policy, &built)));
    }
    fail_on(&differences);
}

#[test]
fn the_same_policy_gives_the_same_bytes() {
    let object = || {
        let built = compile("rules/web-host.sk").1.built.unwrap();
        sockc_compiler::object::write(&built.artifact).unwrap()
    };
    assert_eq!(object(), object());
}

/// What is estimated of the verifier's work is what kernels said of it (`golden/verified.txt`), or up to two and a half times as much.
/// The large sets of that table are compared where they are made, in `tests/kernels/`.
#[test]
fn the_estimate_of_the_verifiers_work_is_near_it() {
    let table = text("golden/verified.txt");
    let policies = files_in("rules", ".sk");
    let mut wrong = Vec::new();
    for line in table.lines().skip(3) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let path = format!("rules/{}.sk", words[0]);
        if !policies.contains(&path) {
            continue;
        }
        let measured = words[2..]
            .iter()
            .filter_map(|word| word.parse::<usize>().ok());
        let measured = measured.max().unwrap();
        let built = compile(&path).1.built.unwrap();
        let mut functions = built.functions.iter();
        let function = functions.find(|one| one.name == words[1]).unwrap();
        let found = VerifierCost::of(function, 1_000_000).processed;
        if found < measured || found > measured * 5 / 2 {
            wrong.push(format!("{line}: estimated {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A policy's golden: the sizes first, since a reviewer reads them first. What was built for network namespaces follows.
fn page(name: &str, policy: &Policy, built: &Built) -> String {
    let mut text = format!("policy  {name}\n");
    text += &sizes(built);
    write!(
        text,
        "\n== placement\n{}",
        describe(built.placed(policy), &built.chains)
    )
    .unwrap();
    for (netns, built) in policy.netns.iter().zip(&built.netns) {
        let name = format!("{name} in netns {}", netns.name);
        write!(text, "\n{}", page(&name, &netns.policy, built)).unwrap();
    }
    text
}

/// How large everything is that was built.
fn sizes(built: &Built) -> String {
    let mut text = String::new();
    for (chain, decision) in built.chains.iter().zip(&built.decisions) {
        let (nodes, arms) = (decision.decision.nodes.len(), decision.decision.arms());
        let entries = chain.entries.len();
        writeln!(
            text,
            "chain   {:?}  entries {entries}  nodes {nodes}  arms {arms}",
            chain.hook
        )
        .unwrap();
    }
    for program in &built.artifact.programs {
        writeln!(
            text,
            "program {}  insns {}  sha256 {}",
            program.name,
            program.insns.len(),
            digest(&code_bytes(program))
        )
        .unwrap();
    }
    for map in built.artifact.maps.values() {
        writeln!(text, "map     {}", map_line(map)).unwrap();
    }
    text += &sockc_compiler::tables::listing(&built.tables, &built.artifact.maps);
    text
}

/// The instructions of a program, and which maps they name.
fn code_bytes(program: &Program) -> Vec<u8> {
    let insns = program.insns.iter().flat_map(|insn| insn.to_bytes());
    let names = program.relocations.iter();
    let names = names.map(|relocation| format!("{} {:?}\n", relocation.insn, relocation.map));
    insns
        .chain(names.flat_map(|name| name.into_bytes()))
        .collect()
}

/// The first half of a SHA-256: enough to see that something changed.
fn digest(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn map_line(map: &MapSpec) -> String {
    let mut line = format!(
        "{}  {:?}  key {}  value {}  entries {}  flags {}",
        map.name, map.kind, map.key_size, map.value_size, map.max_entries, map.flags
    );
    if let Some(data) = &map.data {
        write!(line, "  sha256 {}", digest(data)).unwrap();
    }
    line
}
