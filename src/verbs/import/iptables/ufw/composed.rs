//! The chains of a family as the start of ufw makes them: its own, the jumps to them, and its three files of rules put upon these.
//!
//! Takes the settings and the texts of the files; gives the chains, as if they had been saved. It is what `ufw_start` of ufw's
//! `ufw-init-functions` does, in its order. Not here: what the rules mean.

use sockc_compiler::policy::Family;

use super::super::saved::Saved;
use super::restored::{Whose, restore};
use super::settings::{Mistake, Policy, Set, Settings};
use crate::verbs::import::list::List;

/// A file with its name.
pub(super) struct Text {
    /// The name.
    pub(super) file: String,
    /// What it holds.
    pub(super) text: String,
}

/// The files of a family.
pub(super) struct Rules {
    /// `before.rules`.
    pub(super) before: Text,
    /// `after.rules`.
    pub(super) after: Text,
    /// `user.rules`.
    pub(super) user: Text,
}

/// The parts of each list, in the order in which the kernel asks them.
const PARTS: [&str; 6] = [
    "before-logging",
    "before",
    "after",
    "after-logging",
    "reject",
    "track",
];

/// What the start of ufw is called where its own lines are told.
const START: &str = "ufw-init";

/// A list, as ufw calls it, and its policy.
fn lists(settings: &Settings) -> [(List, &'static str, &Set<Policy>); 3] {
    [
        (List::In, "input", &settings.input),
        (List::Out, "output", &settings.output),
        (List::Forward, "forward", &settings.forward),
    ]
}

/// The chains of a family whose files are in force.
pub(super) fn chains(family: Family, settings: &Settings, rules: &Rules) -> Result<Saved, Mistake> {
    let mut made = Made::new(family);
    let start = Whose::File(START.to_owned());
    made.put(&made.primary(), &start)?;
    for (_, name, policy) in lists(settings) {
        made.put(&made.of_policy(name, policy.value), &whose(policy))?;
    }
    made.put(&made.declared(&["logging-deny", "logging-allow"]), &start)?;
    for (_, name, policy) in lists(settings) {
        made.put(&made.skip(name, policy.value), &whose(policy))?;
    }
    for file in [&rules.before, &rules.after] {
        made.file(file)?;
    }
    made.put(&made.declared(&USERS), &start)?;
    made.file(&rules.user)?;
    made.put(&made.hooks(), &start)?;
    for (list, _, policy) in lists(settings) {
        let text = format!(":{} {}\n", list.built_in(), policy.value.of_chain());
        made.put(&table(&text), &whose(policy))?;
    }
    Ok(made.saved)
}

/// The chains of IPv6 where ufw does not support it: nothing gets through but what stays in the machine.
pub(super) fn closed(ipv6: &Set<bool>) -> Result<Saved, Mistake> {
    let mut made = Made::new(Family::V6);
    let text = ":INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A OUTPUT -o lo -j ACCEPT\n";
    made.put(&table(text), &Whose::Setting(ipv6.file.clone(), ipv6.line))?;
    Ok(made.saved)
}

/// The chains of user rules beside those of the parts.
const USERS: [&str; 8] = [
    "user-input",
    "user-output",
    "user-forward",
    "user-logging-input",
    "user-logging-output",
    "user-logging-forward",
    "user-limit",
    "user-limit-accept",
];

/// Chains that are being made.
struct Made {
    family: Family,
    saved: Saved,
}

impl Made {
    fn new(family: Family) -> Self {
        let saved = Saved::open();
        Self { family, saved }
    }

    /// What names of chains begin with.
    fn own(&self) -> &'static str {
        match self.family {
            Family::V4 => "ufw",
            Family::V6 => "ufw6",
        }
    }

    fn put(&mut self, text: &str, whose: &Whose) -> Result<(), Mistake> {
        let (Whose::File(file) | Whose::Setting(file, _)) = whose;
        let is_v6 = self.family == Family::V6;
        restore(text, is_v6, whose, &mut self.saved)
            .map_err(|(line, why)| (file.clone(), line, why))
    }

    fn file(&mut self, text: &Text) -> Result<(), Mistake> {
        self.put(&text.text, &Whose::File(text.file.clone()))
    }

    /// The parts of each list, and the jumps to them.
    fn primary(&self) -> String {
        let own = self.own();
        let mut text = String::new();
        for list in ["input", "output", "forward"] {
            for part in PARTS {
                text += &format!(":{own}-{part}-{list} - [0:0]\n");
            }
            for part in PARTS {
                let chain = list.to_uppercase();
                text += &format!("-A {chain} -j {own}-{part}-{list}\n");
            }
        }
        table(&text)
    }

    /// What a policy is beside that of a built-in chain.
    fn of_policy(&self, list: &str, policy: Policy) -> String {
        let own = self.own();
        table(&match policy {
            Policy::Reject => format!("-A {own}-reject-{list} -j REJECT\n"),
            Policy::Accept => ["tcp", "udp"]
                .map(|protocol| {
                    format!(
                        "-A {own}-track-{list} -p {protocol} -m conntrack --ctstate NEW -j ACCEPT\n"
                    )
                })
                .concat(),
            Policy::Drop => String::new(),
        })
    }

    /// The chain by which rules send packets to the policy.
    fn skip(&self, list: &str, policy: Policy) -> String {
        let own = self.own();
        let chain = format!("{own}-skip-to-policy-{list}");
        table(&format!(
            ":{chain} - [0:0]\n-A {chain} -j {}\n",
            policy.target()
        ))
    }

    fn declared(&self, names: &[&str]) -> String {
        let own = self.own();
        let names = names.iter();
        table(
            &names
                .map(|name| format!(":{own}-{name} - [0:0]\n"))
                .collect::<String>(),
        )
    }

    /// The rules of the user stand behind those that come before them.
    fn hooks(&self) -> String {
        let own = self.own();
        let lists = ["input", "output", "forward"];
        table(
            &lists
                .map(|list| format!("-A {own}-before-{list} -j {own}-user-{list}\n"))
                .concat(),
        )
    }
}

/// Where a policy is set.
fn whose(policy: &Set<Policy>) -> Whose {
    Whose::Setting(policy.file.clone(), policy.line)
}

fn table(lines: &str) -> String {
    format!("*filter\n{lines}COMMIT\n")
}
