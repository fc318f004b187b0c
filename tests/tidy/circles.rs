//! Circles: modules of a crate that use each other round and round, so that none can be read, tested or changed alone.
//!
//! Takes the sources of the crates; a crate's modules are the files and folders right below its root, and a module uses what
//! its code, tests apart, names by `crate::`. Not here: what files of one folder use of each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{is_test, report};
use crate::repository::{files_below, text};

/// The crates, by where their sources are.
const CRATES: [&str; 4] = ["grammar/src", "compiler/src", "runtime/src", "src"];

/// For each module those that it uses, and a file that does.
type Uses = BTreeMap<String, BTreeMap<String, String>>;

#[test]
fn modules_use_each_other_in_one_direction() {
    let mut broken = Vec::new();
    for folder in CRATES {
        let uses = uses(folder);
        assert!(uses.len() > 5, "{folder} has no modules");
        for circle in circles(&uses) {
            broken.push(format!("{folder}: a circle of {}", circle.join(", ")));
            broken.extend(arrows(&uses, &circle));
        }
    }
    report(&broken);
}

/// The lines of a circle that would have to go.
fn arrows(uses: &Uses, circle: &[&str]) -> Vec<String> {
    let arrows = circle.iter().flat_map(|one| {
        let used = uses[*one].iter();
        let used = used.filter(|(other, _)| circle.contains(&other.as_str()));
        used.map(move |(other, file)| format!("  {one} uses {other}, in {file}"))
    });
    arrows.collect()
}

/// The circles, each sorted, in order.
fn circles(uses: &Uses) -> BTreeSet<Vec<&str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = uses
        .keys()
        .map(|module| (module.as_str(), reached(uses, module)))
        .collect();
    let circles = reached.iter().map(|(module, from_it)| {
        let mut circle: Vec<&str> = from_it.iter().copied().collect();
        circle.retain(|other| reached[other].contains(module));
        circle
    });
    circles.filter(|circle| circle.len() > 1).collect()
}

/// The modules that a module comes to by what it uses.
fn reached<'a>(uses: &'a Uses, module: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![module];
    while let Some(module) = waiting.pop() {
        for other in uses[module].keys() {
            if found.insert(other.as_str()) {
                waiting.push(other);
            }
        }
    }
    found
}

/// What the modules of a crate use of each other.
fn uses(folder: &str) -> Uses {
    let mut uses = Uses::new();
    let mut named = Vec::new();
    let files = files_below(folder, ".rs").into_iter();
    for file in files.filter(|file| !is_test(file)) {
        let below = &file[folder.len() + 1..];
        let module = below.split('/').next().unwrap();
        let module = module.strip_suffix(".rs").unwrap_or(module).to_owned();
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        for other in names(&code(&text(&file))) {
            named.push((module.clone(), other, file.clone()));
        }
        uses.entry(module).or_default();
    }
    for (module, other, file) in named {
        // A name that is no module is re-exported at the root.
        if module != other && uses.contains_key(&other) {
            uses.entry(module).or_default().entry(other).or_insert(file);
        }
    }
    uses
}

/// The code of a file without its comments and its test module.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines();
    let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The names that come right after `crate::`, also those in braces.
fn names(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(of_group(group)),
            None => found.push(name(rest)),
        }
    }
    found
}

/// The first name of each member of a group in braces.
fn of_group(group: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut member = String::new();
    for letter in group.chars() {
        match letter {
            '}' if depth == 0 => break,
            ',' if depth == 0 => found.push(name(std::mem::take(&mut member).trim())),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if letter != ',' || depth > 0 {
            member.push(letter);
        }
    }
    found.push(name(member.trim()));
    found
}

fn name(text: &str) -> String {
    let letters = text.chars();
    let name = letters.take_while(|letter| letter.is_alphanumeric() || *letter == '_');
    name.collect()
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let uses = |lines: &[(&str, &str)]| -> Uses {
        let modules: BTreeSet<&str> = lines.iter().map(|(module, _)| *module).collect();
        let used = |module: &str| {
            let own = lines.iter().filter(|(one, _)| *one == module);
            let named = own.flat_map(|(_, code)| names(code));
            let named = named.filter(|name| modules.contains(name.as_str()));
            named.map(|name| (name, String::new())).collect()
        };
        let uses = modules.iter();
        uses.map(|one| ((*one).to_owned(), used(one))).collect()
    };
    let one = uses(&[
        ("a", "use crate::{b::{self, x}, y};"),
        ("b", "fn f() -> crate::c::T {}"),
        ("c", "use crate::a;"),
        ("d", "use crate::a::z;"),
    ]);
    assert_eq!(circles(&one), BTreeSet::from([vec!["a", "b", "c"]]));
    let none = uses(&[
        ("a", "use crate::{b, c::T};"),
        ("b", "use crate::c;"),
        ("c", ""),
    ]);
    assert_eq!(circles(&none), BTreeSet::new());
    assert_eq!(
        code("use x;\n// crate::a\n#[cfg(test)]\nmod tests { crate::b }"),
        "use x;"
    );
}
