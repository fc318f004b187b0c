//! Sets whose entries go by themselves, as live sets.
//!
//! Takes the entries with the time that each of them has left; gives what a rule asks, how the live set is declared, and the commands that
//! fill it. Not here: sets of anything but addresses, which no live set holds.

use std::collections::BTreeMap;
use std::rc::Rc;

use sockc_compiler::policy::Family;

use super::entry::Form;
use super::kind::Part;
use super::matching::Match;
use crate::verbs::import::rule::Asks;
use crate::verbs::import::what::{Live, What};

/// The most entries that a live set has room for.
const MOST_ROOM: u32 = 1 << 24;
/// The most commands that are told.
const MOST_COMMANDS: usize = 8;
/// The most addresses that a command is told with.
const MOST_ADDRESSES: usize = 16;

/// A set of addresses that programs fill.
#[derive(Debug)]
pub(in crate::verbs::import) struct Filled {
    /// How many entries it has room for here.
    room: u32,
    /// How many seconds an entry stays, unless it says otherwise; 0 where it stays.
    timeout: u32,
    /// The entries.
    entries: Vec<Filling>,
}

/// An entry of such a set.
#[derive(Debug)]
pub(in crate::verbs::import) struct Filling {
    /// The address or prefix.
    pub(in crate::verbs::import) text: String,
    /// How many seconds it has left; 0 where it stays.
    pub(in crate::verbs::import) left: u32,
    /// Whether what it has is in the set.
    pub(in crate::verbs::import) is_member: bool,
}

impl Filled {
    /// What becomes of these entries, of as many as there is room for, each of which stays for so many seconds; or why no live set holds them.
    pub(in crate::verbs::import) fn new(
        form: &Form,
        (room, timeout): (u32, u32),
        entries: Vec<Filling>,
    ) -> Result<Self, String> {
        let is_plain = matches!(form.parts, [Part::Host | Part::Net]) && form.netmask.is_none();
        if !is_plain {
            return Err("its entries go by themselves, and a live set holds whole addresses and prefixes alone".to_owned());
        }
        if entries.iter().any(|one| !one.is_member) {
            return Err("its entries go by themselves, and an entry of a live set never says that it is none".to_owned());
        }
        Ok(Self {
            room: room.clamp(1, MOST_ROOM),
            timeout,
            entries,
        })
    }

    /// What a rule asks.
    pub(super) fn asks(&self, name: &str, asked: &Match, family: Family) -> Result<Asks, String> {
        if asked.returned {
            return Err("a live set has no entries that say they are none, which `--return-nomatch` asks for".to_owned());
        }
        let mut what = What::any(family);
        what.side_mut(asked.of(0)).live = Some(Live {
            name: name.to_owned(),
            negated: asked.negated,
            declared: Rc::from(self.declared()),
        });
        Ok(what.into())
    }

    /// What stands behind the name where it is declared.
    fn declared(&self) -> String {
        match self.timeout {
            0 => format!("max {}", self.room),
            time => format!("max {} expires {}", self.room, duration(time)),
        }
    }

    /// What is said of it, and of the commands that fill it; `called` is its name in the policy.
    pub(in crate::verbs::import) fn said(&self, name: &str, called: &str) -> String {
        let own = "the program that fills it has to call";
        let begin = format!(
            "the entries of {name} go by themselves, so it is a live set, which begins empty: {own} `sockc set add {called} ADDRESS`, and `sockc set del {called} ADDRESS`, in place of ipset"
        );
        if self.entries.is_empty() {
            return begin;
        }
        let count = self.entries.len();
        let commands = self.commands(called);
        let is_short = commands.len() <= MOST_COMMANDS && self.entries.len() <= MOST_ADDRESSES;
        match is_short {
            true => format!(
                "{begin}. What it held is put into it, once the policy is in force, by {}",
                commands.join(", ")
            ),
            false => format!(
                "{begin}. The {count} entries that it held are put into it, once the policy is in force, by `ipset save {} | awk '$1 == \"add\" {{ print $3 }}' > {called}.txt` and `sockc set load {called} {called}.txt`, which replaces what is in the set by then, and gives each {}",
                of_shell(name),
                self.given()
            ),
        }
    }

    /// What `sockc set load` gives to an entry.
    fn given(&self) -> String {
        match self.timeout {
            0 => "no end, also where it had one".to_owned(),
            time => format!(
                "{}, whatever time it had left, and also where it had no end",
                duration(time)
            ),
        }
    }

    /// The commands that add what it held, those first that go first.
    fn commands(&self, called: &str) -> Vec<String> {
        let mut by_time: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for entry in &self.entries {
            by_time.entry(entry.left).or_default().push(&entry.text);
        }
        let command = |(left, mut texts): (u32, Vec<&str>)| {
            texts.sort_unstable();
            let texts = texts.join(" ");
            match left {
                0 if self.timeout == 0 => format!("`sockc set add {called} {texts}`"),
                0 => format!("`sockc set add {called} {texts} --expires never`"),
                left => format!(
                    "`sockc set add {called} {texts} --expires {}`",
                    duration(left)
                ),
            }
        };
        by_time.into_iter().map(command).collect()
    }
}

/// Seconds, in the largest unit of which they are a whole number.
fn duration(seconds: u32) -> String {
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    let unit = units
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, letter) = unit.unwrap_or((1, 's'));
    format!("{}{letter}", seconds / unit)
}

/// A name as a shell takes it for what it is.
fn of_shell(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match name.bytes().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::import::ipset::parts;

    fn filled(timeout: u32, count: u32) -> Filled {
        let form = Form {
            parts: parts("hash:ip").unwrap(),
            family: Family::V4,
            netmask: None,
            markmask: u32::MAX,
        };
        let entries = (0..count).map(|one| Filling {
            text: format!("192.0.2.{one}"),
            left: if one == 0 { 0 } else { 90 },
            is_member: true,
        });
        Filled::new(&form, (50, timeout), entries.collect()).unwrap()
    }

    #[test]
    fn times_are_kept_by_single_commands_and_not_by_a_file() {
        let few = filled(3600, 3).said("a b", "a-b");
        assert!(few.contains("`sockc set add a-b 192.0.2.0 --expires never`, `sockc set add a-b 192.0.2.1 192.0.2.2 --expires 90s`"), "{few}");
        let many = filled(3600, 40).said("a", "a");
        assert!(
            many.contains("`sockc set load a a.txt`, which replaces what is in the set by then, and gives each 1h, whatever"),
            "{many}"
        );
        let odd = filled(3600, 40).said("$(id) it's", "id");
        assert!(
            odd.contains("by `ipset save '$(id) it'\\''s' | awk"),
            "{odd}"
        );
        let lasting = filled(0, 40).said("a", "a");
        assert!(lasting.contains("gives each no end"), "{lasting}");
        let none = filled(3600, 0).said("a", "a");
        assert!(none.ends_with("in place of ipset"), "{none}");
        assert_eq!(filled(3600, 0).declared(), "max 50 expires 1h");
        assert_eq!(filled(0, 0).declared(), "max 50");
    }
}
