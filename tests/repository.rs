//! The repository's files, as the tests look at them, and the comparison with a golden file.

use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;
use sockc_compiler::files::Files;
use sockc_compiler::observer::Observer;

/// The repository's files, as policies of it name them.
pub(crate) struct Repository;

impl Observer for Repository {}

impl Files for Repository {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        fs::read(root().join(path)).map_err(|error| error.to_string())
    }
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, named from the root.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file below a folder with this ending, named from the root, in order. What is hidden, and what Cargo builds,
/// is left out.
pub(crate) fn files_below(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(folder) = waiting.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                waiting.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(name_of(&path));
            }
        }
    }
    found.sort();
    found
}

/// The files with this ending right in a folder, named from the root, in order.
pub(crate) fn files_in(folder: &str, ending: &str) -> Vec<String> {
    let mut found: Vec<String> = entries(&root().join(folder))
        .into_iter()
        .filter(|path| path.is_file() && path.to_str().unwrap().ends_with(ending))
        .map(|path| name_of(&path))
        .collect();
    found.sort();
    found
}

/// What is right in a folder, but neither hidden nor built.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let visible = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !name.starts_with('.') && name != "target"
    };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(visible)
        .collect()
}

fn name_of(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

/// The name of a file without folder and ending.
pub(crate) fn stem(name: &str) -> &str {
    Path::new(name).file_stem().unwrap().to_str().unwrap()
}

/// The difference to a golden file as text, or nothing; with `SOCKC_BLESS` set, the file is written instead.
pub(crate) fn compare_with_golden(golden: &str, found: &str) -> Option<String> {
    let path = root().join(golden);
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected == found {
        return None;
    }
    if std::env::var_os("SOCKC_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
        return None;
    }
    let diff = TextDiff::from_lines(&expected, found);
    Some(diff.unified_diff().header(golden, "found now").to_string())
}

/// Fails with all differences, if there are any.
pub(crate) fn fail_on(differences: &[String]) {
    assert!(
        differences.is_empty(),
        "{}\nif this is meant: SOCKC_BLESS=1 cargo test --test it",
        differences.join("\n")
    );
}
