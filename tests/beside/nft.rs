//! nft: what `nft -j -f` loads and `nft -j list ruleset` prints.
//!
//! What is drawn is what `tests/differential/` draws, without rates, which are a question of time. A rule that nft itself refuses, as one
//! that asks for two protocols at once, is not loaded.

#[path = "../differential/nft/drawn.rs"]
mod drawn;

use std::process::Command;

use serde_json::{Value, json};
use sockc_runtime::lab::Space;
use sockc_testing::Rng;

use crate::scene::{spoken, tried};
use crate::tool::{Cut, Printed, Tool, Without};

pub(crate) struct Nft;

impl Tool for Nft {
    fn random(&self, rng: &mut Rng, is_open: bool) -> Printed {
        let mut set = drawn::random(rng);
        let objects = set["nftables"].as_array_mut().unwrap();
        for object in objects.iter_mut() {
            let is_out = object.pointer("/chain/hook") == Some(&json!("output"));
            if let Some(policy) = object.pointer_mut("/chain/policy")
                && is_open
                && is_out
            {
                *policy = json!("accept");
            }
            if let Some(statements) = statements(object) {
                statements.retain(|one| one.get("limit").is_none());
            }
        }
        // nft prints no rule that says nothing.
        objects.retain(|one| one.pointer("/rule/expr") != Some(&json!([])));
        if is_open {
            objects.retain(|one| one["rule"]["chain"] != "output");
        }
        Printed(vec![set.to_string()])
    }

    fn load(&self, router: &Space, rules: &Printed) {
        let set: Value = serde_json::from_str(&rules.0[0]).unwrap();
        let objects = set["nftables"].as_array().unwrap();
        let of = |kind: &'static str| objects.iter().filter(move |one| one.get(kind).is_some());
        // What a map calls has to be there ahead of it.
        let kinds = ["table", "chain", "set", "map"];
        let frame: Vec<Value> = kinds.into_iter().flat_map(of).map(added).collect();
        let rules: Vec<Value> = of("rule").map(added).collect();
        spoken(router, "nft", &["-j", "-f", "-"], &written(&frame));
        if tried(router, "nft", &["-j", "-f", "-"], &written(&rules)).is_err() {
            for rule in rules {
                let _ = tried(router, "nft", &["-j", "-f", "-"], &written(&[rule]));
            }
        }
    }

    fn listed(&self, router: &Space) -> Printed {
        Printed(vec![spoken(router, "nft", &["-j", "list", "ruleset"], "")])
    }

    fn clear(&self, router: &Space) {
        spoken(router, "nft", &["flush", "ruleset"], "");
    }

    fn imports(&self, files: &[String]) -> Vec<String> {
        ["import", "nft", &files[0], "--json"]
            .map(ToOwned::to_owned)
            .into()
    }

    /// Takes rules out by their handles. Where one is changed, all of it is loaded again as text: over changes in place nft 1.0.6 ends itself,
    /// and not all that it prints as JSON does it take again.
    fn cut(&self, router: &Space, rules: &Printed, cuts: &[Cut<'_>]) {
        if cuts.iter().any(|(_, what)| *what != Without::Rule) {
            let text = spoken(router, "nft", &["-a", "list", "ruleset"], "");
            let text = format!("flush ruleset\n{}", cut_text(&text, cuts));
            spoken(router, "nft", &["-f", "-"], &text);
            return;
        }
        let set: Value = serde_json::from_str(&rules.0[0]).unwrap();
        let objects = set["nftables"].as_array().unwrap();
        for place in objects.iter().filter_map(|one| one.get("rule").map(place)) {
            let key = (0, place.clone());
            if cuts.iter().any(|(places, _)| places.contains(&key)) {
                spoken(
                    router,
                    "nft",
                    &["-f", "-"],
                    &format!("delete rule {place}\n"),
                );
            }
        }
    }

    fn ways(&self) -> &'static [Without] {
        &[
            Without::States(0),
            Without::States(1),
            Without::States(2),
            Without::Rule,
        ]
    }

    fn rules(&self, rules: &Printed) -> usize {
        let set: Value = serde_json::from_str(&rules.0[0]).unwrap();
        let objects = set["nftables"].as_array().unwrap().iter();
        objects.filter(|one| one.get("rule").is_some()).count()
    }
}

/// The text of a rule set in which rules are less.
fn cut_text(text: &str, cuts: &[Cut<'_>]) -> String {
    let (mut table, mut chain, mut all) = (String::new(), String::new(), String::new());
    for line in text.lines() {
        let (words, handle) = line.split_once(" # handle ").unwrap_or((line, ""));
        let names: Vec<&str> = words.split_whitespace().collect();
        match names.as_slice() {
            ["table", family, name, "{"] => table = format!("{family} {name}"),
            ["chain", name, "{"] => chain = (*name).to_owned(),
            _ => {}
        }
        let key = (0, format!("{table} {chain} handle {handle}"));
        let mut cuts = cuts.iter().filter(|(places, _)| places.contains(&key));
        let is_rule = !words.ends_with('{') && !handle.is_empty();
        match cuts.next().filter(|_| is_rule) {
            None => all += line,
            Some((_, Without::Rule)) => {}
            Some((_, Without::States(element))) => all += &of_every_state(words.trim(), *element),
        }
        all.push('\n');
    }
    all
}

/// A rule that is about every state. Of a map of states the verdict of one element is left.
fn of_every_state(text: &str, number: usize) -> String {
    let Some((ahead, asked)) = text.split_once("ct state ") else {
        return text.to_owned();
    };
    let values = asked.trim_start_matches(['!', '=', ' ']);
    let (names, behind) = match values.split_once('}') {
        Some((names, behind)) if values.starts_with('{') || values.starts_with("vmap") => {
            (names, behind)
        }
        _ => values.split_once(' ').unwrap_or((values, "")),
    };
    let elements: Vec<&str> = names.split(',').collect();
    let element = elements[number % elements.len()];
    let verdict = element.split_once(" : ").map_or("", |(_, verdict)| verdict);
    let text = format!("{ahead}{verdict}{behind}");
    match text.trim() {
        "" => "continue".to_owned(),
        _ => of_every_state(&text, number),
    }
}

fn statements(object: &mut Value) -> Option<&mut Vec<Value>> {
    object.pointer_mut("/rule/expr")?.as_array_mut()
}

/// A rule as a report calls it.
fn place(rule: &Value) -> String {
    let words = [&rule["family"], &rule["table"], &rule["chain"]];
    let words = words.map(|word| word.as_str().unwrap_or_default());
    format!("{} handle {}", words.join(" "), rule["handle"])
}

/// An object without its handle, which is a place among others where it is added.
fn added(object: &Value) -> Value {
    let mut object = object.clone();
    for of in object
        .as_object_mut()
        .into_iter()
        .flat_map(|one| one.values_mut())
    {
        let fields = of.as_object_mut().unwrap();
        fields.remove("handle");
    }
    object
}

fn written(objects: &[Value]) -> String {
    json!({"nftables": objects}).to_string()
}

/// Whether a test that needs nft may run; says so where it may not.
pub(crate) fn is_there() -> bool {
    let is_there = Command::new("nft").arg("--version").output().is_ok();
    if !is_there {
        let wanted = std::env::var("SOCKC_KERNEL").as_deref() == Ok("require");
        assert!(!wanted, "this test needs nft");
        eprintln!("skipped: needs nft");
    }
    is_there
}
