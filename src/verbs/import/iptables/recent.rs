//! The usual pair of the match `recent`: a rule that notes each sender of a new connection, and behind it one about those noted too often.
//!
//! Takes the rules of a chain; gives for the second of such a pair a rule about what goes beyond a rate of connections per source, and for
//! the first nothing, as a rate counts by itself. `ufw limit` writes such pairs. Not here: `recent` in any other use, which is left out.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::options::{Given, options};
use super::rule::{self, Named};
use crate::verbs::import::line::Line;
use crate::verbs::import::list::List;
use crate::verbs::import::rule::Rule;
use crate::verbs::import::what::Rate;

/// The list that is meant where none is named.
const DEFAULT: &str = "DEFAULT";
/// The masks of whole addresses.
const WHOLE: [&str; 2] = ["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];

/// A rule about new connections that asks `recent`.
struct Asking {
    /// What it asks beside that, and what it does.
    rest: Vec<Given>,
    /// The list of senders.
    name: String,
    does: Does,
}

/// What it does with the list.
enum Does {
    /// Notes the sender.
    Set,
    /// Asks whether the sender was noted so often in so many seconds, and notes such a sender again.
    Update { seconds: u64, hits: u64 },
}

/// The rule of a chain with this number, if it is one of a pair: none for the first of both.
pub(super) fn read(
    rules: &[Line],
    at: usize,
    (family, list): (Family, List),
    named: Named<'_>,
) -> Option<Vec<Rule>> {
    let line = rules.get(at)?;
    let is_first = pair(line, rules.get(at + 1)).is_some();
    if is_first {
        return Some(Vec::new());
    }
    let (set, update) = pair(rules.get(at.checked_sub(1)?)?, Some(line))?;
    let Does::Update { seconds, hits } = update.does else {
        return None;
    };
    let fits = hits.checked_sub(1)?;
    let amount = amount(fits, seconds)?;
    let mut rule = rule::read_options(&update.rest, family, list, named);
    limit(
        &mut rule,
        &format!("{amount} per source/32/128 burst {fits}"),
    );
    rule.changed.push(said(&set.name, fits, seconds, &amount));
    Some(vec![rule])
}

/// Both of a pair, if these two lines are one.
fn pair(first: &Line, second: Option<&Line>) -> Option<(Asking, Asking)> {
    let (set, update) = (asking(first)?, asking(second?)?);
    let is_goal = |given: &&Given| matches!(given.name.as_str(), "-j" | "-g");
    let about = |asking: &Asking| -> Vec<Given> {
        let rest = asking.rest.iter().filter(|given| !is_goal(given));
        rest.cloned().collect()
    };
    let is_pair = matches!(
        (&set.does, &update.does),
        (Does::Set, Does::Update { hits: 2.., .. })
    ) && !set.rest.iter().any(|given| is_goal(&given))
        && update.rest.iter().any(|given| is_goal(&given))
        && set.name == update.name
        && about(&set) == about(&update);
    is_pair.then_some((set, update))
}

/// What a line asks of `recent`, if it is about new connections and asks nothing of it that a rate cannot say.
fn asking(line: &Line) -> Option<Asking> {
    // Most lines are read once only.
    if !line.text.contains("recent") {
        return None;
    }
    let (mut rest, mut name) = (Vec::new(), DEFAULT.to_owned());
    let (mut sets, mut updates, mut is_new) = (false, false, false);
    let (mut seconds, mut hits) = (None, None);
    for given in options(&line.text).ok()? {
        let number = || given.plain().ok()?.parse::<u64>().ok().map(Some);
        match given.name.as_str() {
            "-m" if given.values == ["recent"] && !given.negated => {}
            "--set" if !given.negated => sets = true,
            "--update" if !given.negated => updates = true,
            "--seconds" => seconds = number()?,
            "--hitcount" => hits = number()?,
            "--name" => given.plain().ok()?.clone_into(&mut name),
            "--mask" if WHOLE.contains(&given.plain().ok()?) => {}
            "--rsource" => {}
            "--state" if given.plain().ok()? == "NEW" => is_new = true,
            "--rcheck" | "--remove" | "--rttl" | "--reap" | "--rdest" | "--mask" => return None,
            _ => rest.push(given),
        }
    }
    let does = match (sets, updates, seconds, hits) {
        (true, false, None, None) => Does::Set,
        (false, true, Some(seconds @ 1..), Some(hits)) => Does::Update { seconds, hits },
        _ => return None,
    };
    is_new.then_some(Asking { rest, name, does })
}

/// So many connections in so many seconds, in a unit in which that is a whole number.
fn amount(fits: u64, seconds: u64) -> Option<String> {
    let units = [(60, "minute"), (1, "second"), (3600, "hour")];
    units.into_iter().find_map(|(unit, name)| {
        let all = fits.checked_mul(unit)?;
        let is_whole = all.is_multiple_of(seconds);
        is_whole.then(|| format!("{} connections/{name}", all / seconds))
    })
}

/// Gives a rule the rate, beyond which it is about a packet. Connections are counted of TCP and UDP.
fn limit(rule: &mut Rule, text: &str) {
    let counted = RangeSet::from_ranges([(6, 6), (17, 17)]);
    for case in &mut rule.cases {
        let others = case.protocols.minus(&counted);
        let own = case.protocols.minus(&others);
        if own.is_empty() {
            rule.unread.get_or_insert(
                "match `recent`: a rate counts connections of TCP and UDP, and this is about other protocols".to_owned(),
            );
        } else if !others.is_empty() {
            rule.changed.push(
                "of protocols other than TCP and UDP nothing is counted, so they are never too many here".to_owned(),
            );
            case.protocols = own;
        }
    }
    let rate = Rate {
        above: true,
        text: text.to_owned(),
        bucket: None,
    };
    rule.limit(&rate, false);
}

/// How the rate is something else.
fn said(name: &str, fits: u64, seconds: u64, amount: &str) -> String {
    format!(
        "`recent` becomes a rate of connections, which are SYNs of TCP and datagrams of UDP that no connected socket takes: there {fits} of a source pass in {seconds} seconds, and who goes on to try stays out; here {fits} pass at once and {amount} behind them, also of who goes on to try, and each rule counts by itself, where all with the list {name} count together"
    )
}

#[cfg(test)]
mod tests {
    use super::super::asked_sets::Given as GivenSets;
    use super::*;
    use crate::verbs::import::text::{clauses, protocols};

    const NEW: &str = "-A c -p tcp --dport 22 -m conntrack --ctstate NEW -m recent";

    fn read_all(lines: &[String]) -> Vec<Option<Vec<String>>> {
        let lines: Vec<Line> = (1..)
            .zip(lines)
            .map(|(number, text)| Line::numbered(number, text))
            .collect();
        let text = |rule: &Rule| match (&rule.unread, rule.cases.as_slice()) {
            (Some(why), _) => why.clone(),
            (None, [case]) => protocols(case) + &clauses(case, List::In, false),
            (None, _) => "no one rule".to_owned(),
        };
        let given = GivenSets::nothing("");
        let named = Named {
            is_chain: &|_| true,
            sets: &given.sets,
        };
        let all = (0..lines.len()).map(|at| {
            let rules = read(&lines, at, (Family::V4, List::In), named)?;
            Some(rules.iter().map(text).collect())
        });
        all.collect()
    }

    fn pair_of(set: &str, update: &str) -> Vec<Option<Vec<String>>> {
        read_all(&[format!("{NEW} {set}"), format!("{NEW} {update}")])
    }

    #[test]
    fn a_pair_becomes_a_rate_of_new_connections() {
        let saved = "--name DEFAULT --mask 255.255.255.255 --rsource";
        for (set, update, rate) in [
            (
                "--set".to_owned(),
                "--update --seconds 30 --hitcount 6 -j own".to_owned(),
                "10 connections/minute per source/32/128 burst 5",
            ),
            (
                format!("--set {saved}"),
                format!("--update --seconds 60 --hitcount 4 {saved} -j DROP"),
                "3 connections/minute per source/32/128 burst 3",
            ),
            (
                "--set --name ssh".to_owned(),
                "--update --seconds 7 --hitcount 15 --name ssh -j DROP".to_owned(),
                "120 connections/minute per source/32/128 burst 14",
            ),
            (
                "--set".to_owned(),
                "--update --seconds 3600 --hitcount 11 -j DROP".to_owned(),
                "10 connections/hour per source/32/128 burst 10",
            ),
        ] {
            let rule = format!("tcp  to port 22 above {rate}");
            assert_eq!(pair_of(&set, &update), [Some(vec![]), Some(vec![rule])]);
        }
    }

    #[test]
    fn what_is_no_such_pair_is_left_to_be_told() {
        let update = "--update --seconds 30 --hitcount 6 -j own";
        for (set, update) in [
            ("--set --name a", update),
            ("--set -j ACCEPT", update),
            ("--set --rdest", update),
            ("--set --mask 255.255.255.0", update),
            ("! --set", update),
            ("--set", "--update --seconds 30 --hitcount 6"),
            ("--set", "--update --seconds 30 --hitcount 1 -j own"),
            ("--set", "--update --hitcount 6 -j own"),
            ("--set", "--rcheck --seconds 30 --hitcount 6 -j own"),
            ("--set", "--update --seconds 30 --hitcount 6 --rttl -j own"),
            ("--set", "--update --seconds 7 --hitcount 6 --reap -j own"),
            ("--set", "! --update --seconds 30 --hitcount 6 -j own"),
            ("--set -s 10.0.0.1", update),
            ("--set", "--update --seconds 77 --hitcount 6 -j own"),
        ] {
            let read = pair_of(set, update);
            assert!(
                read.iter().flatten().all(|rules| rules.is_empty()),
                "{set} {update}: {read:?}"
            );
            assert_eq!(read[1], None, "{set} {update}");
        }
        // Without NEW, each packet is counted.
        let plain = [
            "-A c -p tcp -m recent --set".to_owned(),
            format!("-A c -p tcp -m recent {update}"),
        ];
        assert_eq!(read_all(&plain), [None, None]);
        let esp = ["--set", update].map(|rest| NEW.replace("tcp --dport 22", "esp") + " " + rest);
        let why = read_all(&esp)[1].clone().unwrap();
        assert!(why[0].contains("other protocols"), "{why:?}");
    }
}
