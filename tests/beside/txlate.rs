//! The translation pairs of the iptables project (`extensions/*.txlate` of its source): a rule of iptables, and what it says is the same for nft.
//!
//! Takes the folder of `SOCKC_TXLATE`. Each side of a pair is loaded by its own tool into a namespace, and what the tool prints is imported.
//! Where both are carried over whole, `sockc diff` has to say that nothing changes. Pairs of other tables than filter are none of this.
//! The source is in the package's archive: `apt-get source --download-only iptables`, and there in `iptables_*.orig.tar.xz`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sockc_runtime::lab::Space;
use sockc_testing::Folder;

use crate::iptables::{EMPTY, NAMES};
use crate::scene::tried;
use crate::{iptables, nft, root, sockc};

/// The chains that a rule of nft is added to.
const CHAINS: &str = "table FAMILY filter {
    chain INPUT {
        type filter hook input priority 0
    }
    chain FORWARD {
        type filter hook forward priority 0
    }
    chain OUTPUT {
        type filter hook output priority 0
    }
}
";

/// A rule in both languages.
struct Pair {
    /// The family, as a number of [`NAMES`].
    family: usize,
    iptables: String,
    nft: String,
}

/// What became of all pairs.
#[derive(Debug, Default)]
struct Counts {
    pairs: usize,
    loaded: usize,
    carried: usize,
    without_change: usize,
    with_change: usize,
    left_out_by_both: usize,
    left_out_by_one: usize,
}

/// The pairs of a file that are about the table filter.
fn pairs(text: &str) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    let mut is_read = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("nft ").filter(|_| is_read) {
            if let Some(pair) = pairs.last_mut() {
                pair.nft += &format!("{}\n", command.trim().trim_matches('\''));
            }
            continue;
        }
        let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let name = name.trim_end_matches("-translate");
        let family = NAMES.iter().position(|one| *one == name);
        let is_of_filter = !arguments.contains("-t ") || arguments.contains("-t filter");
        is_read = family.is_some() && is_of_filter;
        if let Some(family) = family.filter(|_| is_of_filter) {
            pairs.push(Pair {
                family,
                iptables: format!("{name} {arguments}"),
                nft: String::new(),
            });
        }
    }
    pairs.retain(|pair| !pair.nft.is_empty());
    pairs
}

/// A policy, and whether all that was read is in it.
struct Imported {
    path: String,
    is_whole: bool,
}

/// What is imported with these arguments; nothing where the file is refused.
fn imported(folder: &Folder, name: &str, arguments: &[&str]) -> Option<Imported> {
    let ran = sockc()
        .arg("import")
        .args(arguments)
        .arg("--json")
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let text = said["text"].as_str().filter(|_| ran.status.success())?;
    let report = said["report"].as_array().unwrap();
    Some(Imported {
        path: folder.file(name, text),
        is_whole: !report.iter().any(|one| one["kind"] == "left-out"),
    })
}

impl Pair {
    /// What iptables prints of it.
    fn saved(&self) -> Option<String> {
        let space = Space::new().unwrap();
        // No name of an interface is a pattern of files.
        tried(&space, "sh", &["-f", "-c", &self.iptables], "").ok()?;
        let save = format!("{}-save", NAMES[self.family]);
        tried(&space, &save, &["-t", "filter"], "").ok()
    }

    /// What nft prints of it.
    fn listed(&self) -> Option<String> {
        let space = Space::new().unwrap();
        let chains = CHAINS.replace("FAMILY", ["ip", "ip6"][self.family]);
        tried(&space, "nft", &["-f", "-"], &(chains + &self.nft)).ok()?;
        tried(&space, "nft", &["-j", "list", "ruleset"], "").ok()
    }

    fn compare(&self, folder: &Folder, counts: &mut Counts) {
        let (Some(saved), Some(listed)) = (self.saved(), self.listed()) else {
            return;
        };
        counts.loaded += 1;
        let mut texts = [EMPTY, EMPTY];
        texts[self.family] = &saved;
        let [v4, v6] = [0, 1].map(|number| folder.file(&format!("rules.v{number}"), texts[number]));
        let one = imported(folder, "one.sk", &["iptables-save", &v4, "--ip6", &v6]);
        let json = folder.file("rules.json", &listed);
        let other = imported(folder, "other.sk", &["nft", &json]);
        let whole = |one: &Imported| one.is_whole;
        let (one, other) = match (one.filter(whole), other.filter(whole)) {
            (Some(one), Some(other)) => (one, other),
            (None, None) => {
                counts.left_out_by_both += 1;
                return;
            }
            _ => {
                println!("left out by one: {}\n{}", self.iptables, self.nft);
                counts.left_out_by_one += 1;
                return;
            }
        };
        counts.carried += 1;
        let ran = sockc()
            .args(["diff", "--exit-code", &one.path, &other.path])
            .output();
        let ran = ran.unwrap();
        if ran.status.success() {
            counts.without_change += 1;
            return;
        }
        counts.with_change += 1;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        println!("{}\n{}{said}", self.iptables, self.nft);
    }
}

/// The files with pairs, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|one| one == "txlate"))
        .collect();
    paths.sort();
    paths
}

#[test]
#[ignore = "needs the source of iptables, in SOCKC_TXLATE"]
fn what_the_iptables_project_calls_the_same_is_imported_as_the_same() {
    let folder = std::env::var("SOCKC_TXLATE").unwrap_or_else(|_| {
        panic!("SOCKC_TXLATE has to name the folder `extensions` of the source of iptables")
    });
    if !root() || !iptables::is_there() || !nft::is_there() {
        return;
    }
    let files = files(Path::new(&folder));
    let desk = Folder::new("beside-txlate");
    let mut counts = Counts::default();
    for file in files {
        for pair in pairs(&fs::read_to_string(file).unwrap()) {
            counts.pairs += 1;
            pair.compare(&desk, &mut counts);
        }
    }
    println!("{counts:?}");
    assert!(
        counts.without_change > 0,
        "no pair of {folder} was compared"
    );
    assert_eq!(counts.with_change, 0);
}
