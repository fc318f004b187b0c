//! The house rules of ARCHITECTURE.md that a program can check.
//!
//! Each test names every place that breaks its rule, not only the first.

mod circles;
mod interrupted;

use std::collections::BTreeSet;
use std::path::Path;

use sockc_compiler::hook::Hook;

use crate::repository::{entries, files_below, files_in, root, stem, text};

/// What may stand in the root, hidden entries apart.
const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "compiler",
    "contrib",
    "docs",
    "examples",
    "golden",
    "grammar",
    "rules",
    "runtime",
    "rustfmt.toml",
    "src",
    "tests",
];

/// What each crate must not depend on: whatever is nearer to the user, to the kernel, or to the text than itself.
const FORBIDDEN_DEPENDENCIES: &[(&str, &[&str])] = &[
    (
        "grammar",
        &[
            "sockc-compiler",
            "sockc-runtime",
            "aya",
            "aya-obj",
            "clap",
            "libc",
            "nix",
            "object",
            "cranelift-entity",
        ],
    ),
    (
        "compiler",
        &[
            "sockc-runtime",
            "aya",
            "aya-obj",
            "clap",
            "libc",
            "nix",
            "pest",
            "pest_derive",
        ],
    ),
    ("runtime", &["sockc-grammar", "clap", "pest", "pest_derive"]),
];

/// What the pure crates must not say outside their tests.
const IMPURE: &[&str] = &[
    "print!(",
    "println!(",
    "dbg!(",
    "std::fs",
    "std::env",
    "std::io",
    "std::process",
    "std::thread",
    "std::time",
    "Instant",
    "SystemTime",
    "TcpStream",
    "UdpSocket",
    "unsafe ",
    ".unwrap()",
    ".expect(",
    "panic!(",
    "todo!(",
    "unimplemented!(",
];

/// Where threads work that end with the work they are for: what comes out depends on no clock and no number of cores.
const OF_A_SCOPE: [(&str, &str); 2] = [
    ("compiler/src/beside.rs", "std::thread"),
    ("grammar/src/tree/ahead.rs", "std::thread"),
];

/// Lines of a file: where a test fails, and where it only says so.
const TOO_LONG: usize = 800;
const LONG: usize = 400;

fn report(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_top_level_is_what_the_owner_gave() {
    let found: BTreeSet<String> = entries(root())
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let allowed: BTreeSet<String> = TOP_LEVEL.iter().map(ToString::to_string).collect();
    assert_eq!(found, allowed);
}

#[test]
fn crates_depend_in_one_direction() {
    let mut broken = Vec::new();
    for (name, forbidden) in FORBIDDEN_DEPENDENCIES {
        let manifest = text(&format!("{name}/Cargo.toml"));
        for dependency in dependencies(&manifest) {
            if forbidden.contains(&dependency) {
                broken.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    // What is shipped holds nothing that only tests use.
    for name in [".", "grammar", "compiler", "runtime"] {
        for dependency in dependencies(&text(&format!("{name}/Cargo.toml"))) {
            if ["sockc-testing", "sockc-random"].contains(&dependency) {
                broken.push(format!("{name} depends on {dependency} outside its tests"));
            }
        }
    }
    report(&broken);
}

/// The names in the `[dependencies]` section of a manifest; those of tests may be others.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
}

#[test]
fn the_pure_crates_are_pure() {
    let mut broken = Vec::new();
    for folder in ["grammar/src", "compiler/src"] {
        for name in files_below(folder, ".rs")
            .iter()
            .filter(|name| !is_test(name))
        {
            for (number, line) in code_lines(&text(name)) {
                let allowed = |word: &str| OF_A_SCOPE.contains(&(name.as_str(), word));
                let said = IMPURE.iter().filter(|word| line.contains(**word));
                let said = said.filter(|word| !allowed(word));
                broken.extend(said.map(|word| format!("{name}:{number} says {word}")));
            }
        }
    }
    report(&broken);
}

/// Where a number that does not fit, or a thing that is not found, must be a bug that is told, never a value: a default
/// there is a program that decides something else.
const FAILS_CLOSED: &[&str] = &["lower", "emit", "ir", "pipeline", "tables", "classifier"];

#[test]
fn the_code_generator_fails_closed() {
    let mut broken = Vec::new();
    for name in files_below("compiler/src", ".rs") {
        let path = name.trim_start_matches("compiler/src/");
        let part = path.split(['/', '.']).next().unwrap_or_default();
        if !FAILS_CLOSED.contains(&part) || is_test(&name) {
            continue;
        }
        let text = text(&name);
        let code: Vec<&str> = code_lines(&text)
            .iter()
            .map(|(_, line)| line.trim())
            .collect();
        for statement in code.concat().split(';') {
            let doubtful = ["try_from(", ".position(", ".try_into("];
            let found = doubtful
                .iter()
                .filter_map(|word| statement.find(word))
                .min();
            if found.is_some_and(|at| statement[at..].contains(".unwrap_or")) {
                broken.push(format!("{name} falls back to a value: {statement}"));
            }
        }
    }
    report(&broken);
}

/// Rooms that ask a hook what it is, and so name none: a hook more is no change of theirs.
const WITHOUT_HOOKS: &[&str] = &[
    "bulk",
    "candidates",
    "chain",
    "compose",
    "coverage",
    "decide",
    "diagram",
    "diff",
    "emit",
    "expect",
    "explain",
    "guard",
    "ir",
    "lint",
    "opt",
    "place",
    "replay",
    "tables",
    "verifier_cost",
    "witness",
];

/// Messages that say how rules at two hooks stand to each other.
const OF_TWO_HOOKS: &str = "compiler/src/place/codes.rs";

/// A hook is named by its variant, however that was brought in, by the word of the language, and in a text by `at` it.
#[test]
fn what_is_decided_names_no_hook() {
    let variants = Hook::ALL.map(|hook| format!("{hook:?}"));
    let words = Hook::ALL.map(|hook| {
        [
            format!("`at {}`", hook.name()),
            format!("\"{}\"", hook.name()),
        ]
    });
    let words = words.concat();
    let mut broken = Vec::new();
    for name in files_below("compiler/src", ".rs") {
        let path = name.trim_start_matches("compiler/src/");
        let room = path.split(['/', '.']).next().unwrap_or_default();
        if !WITHOUT_HOOKS.contains(&room) || is_test(&name) {
            continue;
        }
        for (number, line) in code_lines(&text(&name)) {
            let names = |word: &&String| line.split(no_word).any(|token| token == **word);
            let said = variants.iter().filter(names);
            let quoted = words.iter().filter(|word| line.contains(word.as_str()));
            let quoted = quoted.filter(|_| name != OF_TWO_HOOKS);
            broken.extend(
                said.chain(quoted)
                    .map(|word| format!("{name}:{number} says {word}")),
            );
        }
    }
    report(&broken);
}

/// What is between words.
fn no_word(letter: char) -> bool {
    !letter.is_alphanumeric() && letter != '_'
}

/// rustc says what no path leads to; this says what nobody outside asks for. Structs and enums may stand in what is asked for.
#[test]
fn what_a_crate_shows_others_name() {
    let folders = ["grammar", "compiler", "runtime", "src", "tests"];
    let files = folders.iter().flat_map(|folder| files_below(folder, ".rs"));
    let files: Vec<(String, String)> = files.map(|name| (text(&name), name)).collect();
    let mut broken = Vec::new();
    for own in ["grammar/src/", "compiler/src/", "runtime/src/"] {
        let (inside, outside): (Vec<_>, Vec<_>) =
            files.iter().partition(|(_, name)| name.starts_with(own));
        // A word in a comment asks for nothing.
        let code = outside.iter().flat_map(|(text, _)| text.lines());
        let code = code.map(|line| line.split("//").next().unwrap_or_default());
        let named: BTreeSet<&str> = code.flat_map(|line| line.split(no_word)).collect();
        for (text, name) in inside.into_iter().filter(|(_, name)| !is_test(name)) {
            let alone = text
                .lines()
                .filter_map(shown)
                .filter(|shown| !named.contains(shown));
            broken.extend(alone.map(|shown| format!("{name}: nobody outside names {shown}")));
        }
    }
    report(&broken);
}

/// The name of what a line shows others.
fn shown(line: &str) -> Option<&str> {
    const KINDS: [&str; 8] = [
        "const fn ",
        "unsafe fn ",
        "fn ",
        "const ",
        "static ",
        "mod ",
        "trait ",
        "type ",
    ];
    let rest = line.strip_prefix("pub ")?;
    let rest = KINDS.iter().find_map(|kind| rest.strip_prefix(kind))?;
    rest.split(no_word).next()
}

/// Whether a file holds tests only.
fn is_test(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

/// The numbered lines of a file that are neither comments nor of items that only tests have. A test module with a body
/// stands last.
fn code_lines(text: &str) -> Vec<(usize, &str)> {
    let mut code = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        if line == "#[cfg(test)]" {
            // Past the item: to its `;`, or to the brace that closes it.
            let outermost = |line: &str| !line.starts_with([' ', '#', '/']);
            let ends = |line: &str| line.starts_with("mod ") || line.ends_with([';', '}']);
            let last = lines.find(|(_, line)| outermost(line) && ends(line));
            if last.is_none_or(|(_, line)| line.ends_with('{')) {
                break;
            }
        } else if !line.trim_start().starts_with("//") {
            code.push((number, line));
        }
    }
    code
}

#[test]
fn what_only_tests_have_is_no_code_and_what_follows_is() {
    let text = "#[cfg(test)]\nmod tests;\none\n#[cfg(test)]\n#[must_use]\nfn two() {\n    a;\n}\nthree\n\
                #[cfg(test)]\nmod tests {\n}\nfour";
    let code = code_lines(text).into_iter().map(|(_, line)| line);
    assert_eq!(code.collect::<Vec<_>>(), ["one", "three"]);
}

#[test]
fn files_are_short() {
    let mut broken = Vec::new();
    for name in all_files() {
        let lines = text(&name).lines().count();
        if lines > TOO_LONG {
            broken.push(format!("{name} has {lines} lines; {TOO_LONG} are the most"));
        } else if lines > LONG {
            println!("{name} has {lines} lines; more than {LONG}");
        }
    }
    report(&broken);
}

/// What people write here: sources, scripts, policies, pages.
fn all_files() -> Vec<String> {
    [".rs", ".pest", ".sh", ".sk", ".md"]
        .iter()
        .flat_map(|ending| files_below(".", ending))
        .collect()
}

#[test]
fn only_the_tree_sees_pest() {
    let of_the_tree =
        |name: &str| name == "grammar/src/tree.rs" || name.starts_with("grammar/src/tree/");
    report(&files_that_say(&["pest::", "pest_derive"], |name| {
        name.starts_with("grammar/src/") && !of_the_tree(name)
    }));
}

#[test]
fn only_bpf_knows_opcodes() {
    report(&files_that_say(
        &["Insn {", "opcode: 0x", "code: 0x"],
        |name| name.starts_with("compiler/src/") && !name.starts_with("compiler/src/bpf"),
    ));
}

#[test]
fn only_the_runtime_knows_the_loader() {
    report(&files_that_say(&["aya::", "aya_obj::"], |name| {
        !name.starts_with("runtime/") && !name.starts_with("tests/")
    }));
}

/// Where one of these words stands in the code of the files that `looked_at` picks, tests apart.
fn files_that_say(words: &[&str], looked_at: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let names = files_below(".", ".rs");
    for name in names
        .iter()
        .filter(|name| looked_at(name) && !is_test(name))
    {
        for (number, line) in code_lines(&text(name)) {
            // A function that gives one does not make one.
            let line = line.replace("-> Insn {", "");
            let said = words.iter().filter(|word| line.contains(**word));
            found.extend(said.map(|word| format!("{name}:{number} says {word}")));
        }
    }
    found
}

#[test]
fn every_module_says_what_it_is() {
    let sources = ["grammar/src", "compiler/src", "runtime/src", "src", "tests"];
    let silent = sources
        .iter()
        .flat_map(|folder| files_below(folder, ".rs"))
        .filter(|name| !is_test(name) && !text(name).starts_with("//!"))
        .map(|name| format!("{name} does not begin with what it is"));
    report(&silent.collect::<Vec<_>>());
}

/// Lines that all goldens may have together. More is not read, and what is not read is blessed blindly.
const MOST_GOLDEN: usize = 10_000;

#[test]
fn goldens_are_few_enough_to_be_read() {
    let sizes = files_below("golden", "")
        .into_iter()
        .map(|name| (text(&name).lines().count(), name));
    let mut sizes: Vec<_> = sizes.collect();
    sizes.sort();
    let sum: usize = sizes.iter().map(|(lines, _)| lines).sum();
    let largest = &sizes[sizes.len() - 5..];
    assert!(sum <= MOST_GOLDEN, "{sum} lines in golden/: {largest:?}");
}

#[test]
fn every_golden_is_compared() {
    let stems = |folder: &str, ending: &str| -> BTreeSet<String> {
        files_in(folder, ending)
            .iter()
            .map(|name| stem(name).to_owned())
            .collect()
    };
    let mut goldens = stems("golden", ".txt");
    assert!(goldens.remove("verified"), "golden/verified.txt is missing");
    assert_eq!(goldens, stems("rules", ".sk"));
    assert_eq!(stems("golden/diff", ".txt"), crate::diff::case_names());
    // Those of `golden/code` are compared by being there.
    let folders = ["", "/code", "/diff"];
    let known: BTreeSet<String> = folders
        .iter()
        .flat_map(|folder| files_in(&format!("golden{folder}"), ".txt"))
        .chain(["golden/README.md".to_owned()])
        .collect();
    let there: BTreeSet<String> = files_below("golden", "").into_iter().collect();
    let nobodys: Vec<_> = there.difference(&known).collect();
    assert!(nobodys.is_empty(), "no test compares {nobodys:?}");
}

#[test]
fn what_the_architecture_names_exists() {
    let page = text("ARCHITECTURE.md");
    let missing = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| is_path(word) && !root().join(word).exists())
        .map(|word| format!("ARCHITECTURE.md names {word}, which is not there"));
    report(&missing.collect::<Vec<_>>());
}

/// Whether a word in backticks is meant as a file or folder of the repository.
fn is_path(word: &str) -> bool {
    let ending = Path::new(word)
        .extension()
        .and_then(|ending| ending.to_str());
    let a_file = matches!(
        ending,
        Some("rs" | "sk" | "md" | "txt" | "pest" | "sh" | "toml")
    );
    let plain = word
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter));
    plain && !word.starts_with('/') && (a_file || word.ends_with('/'))
}

#[test]
fn no_registry_is_named() {
    let hosts = [
        concat!("crates", ".io"),
        concat!("docs", ".rs/"),
        concat!("debian", ".org"),
        concat!("ubuntu", ".com"),
        concat!("pypi", ".org"),
        concat!("npmjs", ".com"),
        concat!("ghcr", ".io"),
        concat!("docker", ".io"),
    ];
    let mut broken = Vec::new();
    let names = all_files()
        .into_iter()
        .chain(files_below(".", ".toml"))
        .chain([".ci/run".to_owned()]);
    for name in names {
        let text = text(&name);
        let named = hosts.iter().filter(|host| text.contains(**host));
        broken.extend(named.map(|host| format!("{name} names {host}")));
    }
    report(&broken);
}
