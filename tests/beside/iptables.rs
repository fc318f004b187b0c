//! iptables of both families: `iptables-restore` and `iptables-save`, and its sister of IPv6.
//!
//! What is drawn is what `tests/differential/` draws, without rates, which are a question of time.

#[path = "../differential/iptables/drawn.rs"]
#[allow(dead_code, reason = "the model of iptables uses more of it")]
pub(crate) mod drawn;
#[path = "../differential/iptables/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::process::Command;

use sockc_compiler::policy::Family;
use sockc_runtime::lab::Space;
use sockc_testing::Rng;

use crate::scene::spoken;
use crate::tool::{Cut, Printed, Tool, Without};
use drawn::{LISTS, List, Match, Set};

/// The programs of a family.
pub(crate) const NAMES: [&str; 2] = ["iptables", "ip6tables"];
/// What has no rule.
pub(crate) const EMPTY: &str =
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

pub(crate) struct Iptables;

impl Tool for Iptables {
    fn random(&self, rng: &mut Rng, is_open: bool) -> Printed {
        let v4 = Set::random(rng, Family::V4);
        let v6 = v4.alike(rng);
        let sets = [v4, v6].map(|mut set| {
            for chain in &mut set.chains {
                for rule in &mut chain.rules {
                    rule.matches.retain(|one| !matches!(one, Match::Rate));
                    only_once(&mut rule.matches);
                }
            }
            let out = LISTS.iter().position(|list| *list == List::Out).unwrap();
            if is_open {
                set.chains[out].rules.clear();
                set.chains[out].drops = false;
            }
            set.text()
        });
        Printed(sets.into())
    }

    fn load(&self, router: &Space, rules: &Printed) {
        for (name, text) in NAMES.iter().zip(&rules.0) {
            spoken(router, &format!("{name}-restore"), &[], text);
        }
    }

    fn listed(&self, router: &Space) -> Printed {
        let save = |name: &&str| spoken(router, &format!("{name}-save"), &["-t", "filter"], "");
        Printed(NAMES.iter().map(save).collect())
    }

    fn clear(&self, router: &Space) {
        self.load(router, &Printed(vec![EMPTY.to_owned(); 2]));
    }

    fn imports(&self, files: &[String]) -> Vec<String> {
        let [v4, v6] = files else {
            panic!("{files:?}");
        };
        ["import", "iptables-save", v4, "--ip6", v6, "--json"]
            .map(ToOwned::to_owned)
            .into()
    }

    fn cut(&self, router: &Space, rules: &Printed, cuts: &[Cut<'_>]) {
        let texts = rules.0.iter().enumerate();
        let texts = texts.map(|(number, text)| {
            let lines = text.lines().enumerate().map(|(line, text)| {
                let place = (number, (line + 1).to_string());
                let mut cuts = cuts.iter().filter(|(places, _)| places.contains(&place));
                // What is said of a whole list stands at the end of the table.
                match cuts.next().filter(|_| text.starts_with("-A ")) {
                    None => format!("{text}\n"),
                    Some((_, Without::Rule)) => String::new(),
                    Some((_, Without::States(_))) => format!("{}\n", without_states(text)),
                }
            });
            lines.collect()
        });
        self.load(router, &Printed(texts.collect()));
    }

    fn ways(&self) -> &'static [Without] {
        &[Without::States(0), Without::Rule]
    }

    fn rules(&self, rules: &Printed) -> usize {
        let lines = rules.0.iter().flat_map(|text| text.lines());
        lines.filter(|line| line.starts_with("-A ")).count()
    }
}

/// Keeps the first of what iptables takes once in a rule: addresses of a side, interfaces of a side.
fn only_once(matches: &mut Vec<Match>) {
    let mut told = BTreeSet::new();
    matches.retain(|one| match one {
        Match::Address {
            of_sender, text, ..
        } => text.contains('-') || told.insert(('a', *of_sender)),
        Match::Interface { came_in, .. } => told.insert(('i', *came_in)),
        _ => true,
    });
}

/// A rule that asks for no state.
fn without_states(line: &str) -> String {
    let Some((ahead, behind)) = line.split_once("-m conntrack ") else {
        return line.to_owned();
    };
    let words = behind.split(' ').skip_while(|word| *word != "--ctstate");
    let rest: Vec<&str> = words.skip(2).collect();
    format!("{ahead}{}", rest.join(" "))
}

/// Whether a test that needs iptables may run; says so where it may not.
pub(crate) fn is_there() -> bool {
    let mut save = Command::new("iptables-save");
    let is_there = save.arg("--version").output().is_ok();
    if !is_there {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs iptables");
        eprintln!("skipped: needs iptables");
    }
    is_there
}
