//! Random policies in which half of the rules on packets that arrive are about what passes through.

use sockc_random::Rng;

use super::{Features, Options};

/// As the rules of random policies begin, behind labels and blocks.
const VERBS: [&str; 4] = ["allow ", "drop ", "count ", "reject "];
/// Where it leaves; mostly, anywhere.
const LEAVES: [&str; 5] = ["", "", " to zone lan", " to interface eth1", " to zone wan"];

/// What [`passing`] takes: so many rules of the whole language, without what rules of `forward` may not say.
#[must_use]
pub fn may_pass(rules: usize) -> Options {
    Options {
        redirects: false,
        socket_conditions: false,
        hooks: false,
        features: Features {
            absent: false,
            namespaces: false,
            maps: false,
            groups: false,
            intercepts: false,
            frames: false,
            ..Features::WHOLE
        },
        ..Options::whole(rules)
    }
}

/// A random policy of [`may_pass`], half of whose rules on packets that arrive are rules of `forward` now.
#[must_use]
pub fn passing(seed: u64, written: &str) -> String {
    let mut rng = Rng::new(seed);
    let default = ["allow", "drop", "reject"][seed as usize % 3];
    let mut text = String::new();
    for line in written.lines() {
        text += &through(line, &mut rng);
        text += "\n";
        if line.starts_with("default out") {
            text += &format!("default forward {default}\n");
        }
    }
    text
}

/// The same rule, or one of `forward`.
fn through(line: &str, rng: &mut Rng) -> String {
    let verb = VERBS.iter().find_map(|verb| {
        let (head, rest) = line.split_once(verb)?;
        Some((head, *verb, rest))
    });
    let Some((head, verb, rest)) = verb else {
        return line.to_owned();
    };
    let declares = line.starts_with("default") || line.contains(" = ");
    if declares || line.contains(" out") || rng.one_in(2) {
        return line.to_owned();
    }
    let bare = rest
        .strip_prefix("in")
        .filter(|bare| bare.is_empty() || bare.starts_with(' '));
    let rest = bare.unwrap_or(rest).trim_start();
    let leaves = rng.one_of(&LEAVES);
    match rest.strip_suffix(" }").filter(|_| line.starts_with("for ")) {
        Some(rule) => format!("{head}{verb}forward {rule}{leaves} }}"),
        None => format!("{head}{verb}forward {rest}{leaves}"),
    }
}
