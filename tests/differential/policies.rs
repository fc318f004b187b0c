//! Random policies of the shapes that users have: with a last rule for everything, of many plain rules, in namespaces.
//!
//! Takes seeds; gives text. What is in a rule comes from the compiler's generator and from the benchmarks' families.

use sockc_testing::Rng;
use sockc_testing::{Options, random_policy};

use crate::rules::family::Family;
use crate::rules::policy::{RunsAt, Verdicts, policy};

/// Lengths of long lists: where tables begin, and up to thousands.
const LONG: [usize; 6] = [64, 90, 150, 300, 700, 2_000];

/// The families that long lists are of.
const FAMILIES: [&str; 4] = ["acl", "dual", "firewall", "ipc"];

/// A random policy; of four, three end with a rule for everything, as people write them.
pub(crate) fn closed(seed: u64, options: Options) -> String {
    let text = random_policy(seed, options);
    let last = match seed % 4 {
        0 => "",
        1 => "allow in\ndrop out\n",
        2 => "drop in\nallow out\n",
        _ => "allow in\nallow out\n",
    };
    text + last
}

/// A long list of plain rules with some of every other kind among them.
pub(crate) fn long(seed: u64) -> String {
    let mut rng = Rng::new(seed);
    let size = LONG[(seed % 6) as usize];
    let family = Family::named(FAMILIES[rng.below(FAMILIES.len())]).unwrap();
    let plain = policy(&family.rules(size).rules, Verdicts::Alternate, RunsAt::Xdp);
    let out = rng.chance(1, 3);
    let plain = plain.lines().skip(2).map(|line| match out {
        true => line
            .replacen("allow ", "allow out ", 1)
            .replacen("drop ", "drop out ", 1),
        false => line.to_owned(),
    });
    let text = closed(seed, Options::everything(12));
    let (declarations, others) = text.rsplit_once("\n\n").unwrap();
    let mut lines: Vec<String> = plain.collect();
    let mut places: Vec<usize> = others.lines().map(|_| rng.below(lines.len())).collect();
    places.sort_unstable();
    // From the last on, so that the places in front stay what they are.
    let others: Vec<&str> = others.lines().collect();
    for (place, line) in places.into_iter().zip(others).rev() {
        lines.insert(place, line.to_owned());
    }
    format!("{declarations}\n\n{}\n", lines.join("\n"))
}

/// A random policy in a block for a network namespace, next to a policy for the rest.
pub(crate) fn in_namespace(seed: u64, rules: usize) -> String {
    let text = closed(seed, Options::everything(rules));
    let inside = text.lines().skip_while(|line| !line.starts_with("default"));
    let inside: String = inside.map(|line| format!("    {line}\n")).collect();
    format!(
        "sockc 1\ndefault in drop\nallow in tcp to port 22\nfor netns \"blue\" {{\n{inside}}}\n"
    )
}
