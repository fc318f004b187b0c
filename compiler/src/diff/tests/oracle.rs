//! Comparisons of random policies, against brute force and against the diagrams of the whole lists.

use std::fmt::Write;

use crate::diagram::values::values_of;
use crate::diagram::{FieldValues, Node};
use crate::diff::block::Cover;
use crate::diff::case::Case;
use crate::diff::draw::{Covers, Drawing, Owner, Region};
use crate::diff::edits::Edits;
use crate::diff::joint::{Joint, Which};
use crate::diff::lists::{Lists, Pair};
use crate::diff::space::{Disposition, Space};
use crate::diff::topic::Topic;
use crate::diff::weigh::{Found, Weighing};
use crate::event::{Decider, SocketAnswer, Verdict};
use crate::field::Field;
use crate::observer::Silent;
use crate::policy::{Direction, Match, Policy};
use crate::testing::Rng;
use crate::testing::edge_headers;
use crate::testing::{Options, may_pass, passing, random_policy};

/// Headers that are tried of each topic of a pair.
const HEADERS: usize = 120;

/// What one comparison showed.
#[derive(Debug, Default)]
struct Tally {
    pairs: usize,
    changed: usize,
    cases: usize,
    /// Cases whose fate changes.
    differing: usize,
    /// Those of them that pass through.
    passing: usize,
}

/// Compares everything that two policies say.
fn check(old: &Policy, new: &Policy, rng: &mut Rng, tally: &mut Tally, name: &str) {
    let joint = Joint::new(old, new, None).unwrap();
    let lists = Lists::of(&joint);
    let edits = Edits::of(&joint, &lists);
    let covers = Covers::of(&joint);
    tally.pairs += 1;
    for topic in Topic::all(&joint) {
        let place = Direction::ALL
            .iter()
            .position(|direction| *direction == topic.direction())
            .unwrap();
        let list = &lists.all[place];
        let deltas = edits.deltas_of(topic, &joint, list);
        let mut space = Space::new(&joint, &lists.meters, 8_000_000);
        let found = Weighing {
            work: u64::MAX,
            space: &mut space,
            covers: &covers,
            list,
            deltas: &deltas,
            default: edits.of_default(topic.direction()),
            topic,
        }
        .all(&mut Silent)
        .unwrap();
        assert!(found.unknown.is_empty(), "{name}");
        let changed = union(&mut space, &found);
        tally.changed += found.changed.len();
        let mut drawing = Drawing {
            space: &mut space,
            topic,
            covers: &covers,
            list,
        };
        let everything = Region {
            packets: found.base,
            cover: Cover {
                exact: false,
                ..Cover::of(&joint.tables, &Match::default())
            },
        };
        let whole = drawing.changed(&everything).unwrap();
        assert!(whole == changed, "{name}: {topic:?}");
        let checking = Checking {
            joint: &joint,
            lists: &lists,
            pairs: &list.pairs,
            topic,
            found: &found,
            changed,
        };
        checking.brute_force(&space, rng, tally, name);
    }
}

/// 1 for everything that was found to change; no two findings share anything.
fn union(space: &mut Space<'_, '_>, found: &Found) -> Node {
    let mut all = Node::FALSE;
    for finding in &found.changed {
        let (node, number) = finding.within;
        let packets = space.store.preimage(node, number).unwrap();
        assert!(packets != Node::FALSE);
        assert!(!space.store.intersects(all, packets).unwrap());
        assert_eq!(space.store.evaluate(packets, &finding.values), 1);
        all = space.store.or(all, packets).unwrap();
    }
    all
}

struct Checking<'a, 'p> {
    joint: &'a Joint<'p>,
    lists: &'a Lists,
    pairs: &'a [Pair],
    topic: Topic,
    found: &'a Found,
    changed: Node,
}

impl Checking<'_, '_> {
    /// Packets at the edges of both policies, with every answer drawn.
    fn brute_force(&self, space: &Space<'_, '_>, rng: &mut Rng, tally: &mut Tally, name: &str) {
        for which in Which::BOTH {
            let policy = self.joint.side(which).policy;
            for header in edge_headers(policy, rng, HEADERS) {
                let answer = [
                    SocketAnswer::None,
                    SocketAnswer::Listening,
                    SocketAnswer::Established,
                ][rng.below(3)];
                let mut values = values_of(&header, answer);
                self.answers(rng, &mut values);
                if space.store.evaluate(self.found.base, &values) == 0 {
                    continue;
                }
                let case = Case::new(self.joint, &self.lists.meters, self.topic, &values);
                let [old, new] = Which::BOTH.map(|which| self.outcome(&case, which));
                let asked = Which::BOTH.map(|which| case.decide(which));
                let in_full = Which::BOTH.map(|which| case.decide_in_full(which));
                assert_eq!(asked, in_full, "{name}: {:?} {header:?}", self.topic);
                let differs = old != new;
                tally.cases += 1;
                tally.differing += usize::from(differs);
                tally.passing += usize::from(differs && self.topic.direction().passes());
                assert_eq!(
                    space.store.evaluate(self.changed, &values) == 1,
                    differs,
                    "{name}: {:?} {header:?} {values:?}\n{old:?}\n{new:?}",
                    self.topic
                );
                self.fates(space, &case, &values, differs, name);
            }
        }
    }

    /// What was found of a case says who decides it: of one that changes one finding, of others at most one.
    fn fates(
        &self,
        space: &Space<'_, '_>,
        case: &Case<'_, '_>,
        values: &FieldValues,
        differs: bool,
        name: &str,
    ) {
        let findings = match differs {
            true => &self.found.changed,
            false => &self.found.same,
        };
        let mut of_case = findings.iter().filter(|finding| {
            let (node, number) = finding.within;
            space.store.evaluate(node, values) == number
        });
        let finding = of_case.next();
        assert!(of_case.next().is_none(), "{name}: {values:?}");
        assert!(finding.is_some() || !differs, "{name}: {values:?}");
        let Some(finding) = finding else { return };
        for which in Which::BOTH {
            let (owner, number) = finding.fates.of(which);
            let wanted = (self.owner(case, which), Some(self.outcome(case, which)));
            let topic = self.topic;
            assert_eq!(
                (owner, space.outcomes.value(number)),
                wanted,
                "{name}: {topic:?} {which:?} {values:?}"
            );
        }
    }

    fn owner(&self, case: &Case<'_, '_>, which: Which) -> Owner {
        let decider = case.decide_in_full(which).map(|decision| decision.decider);
        let Some(Decider::Rule(id)) = decider else {
            return Owner::Default;
        };
        let mut pairs = self.pairs.iter();
        let place = pairs.position(|pair| pair.of(which) == Some(id));
        Owner::Pair(place.unwrap())
    }

    fn answers(&self, rng: &mut Rng, values: &mut FieldValues) {
        let tables = &self.joint.tables;
        for field in [Field::Interface, Field::Leaving] {
            values.set(field, rng.below(tables.classes.len()) as u32);
        }
        for set in tables.sets.keys() {
            values.set(Field::ToIn(set), rng.below(2) as u32);
            values.set(Field::FromIn(set), rng.below(2) as u32);
        }
        // One address has one answer.
        if crate::diagram::values::header_of(values).0.to
            == crate::diagram::values::header_of(values).0.from
        {
            for set in tables.sets.keys() {
                values.set(Field::FromIn(set), values.get(Field::ToIn(set)));
            }
        }
        for &socket in self.joint.sockets.presence.values() {
            values.set(Field::Absent(socket), rng.below(2) as u32);
        }
        for (one, other) in self.joint.sockets.unlike() {
            values.set(Field::Absent(other), values.get(Field::Absent(one)));
        }
        for map in tables.live_maps.keys() {
            let number = rng.below(tables.sockets.len() + 1) as u32;
            // A live map names a socket that both policies call the same.
            let first = number.checked_sub(1).map(|index| {
                self.joint.sockets.named[crate::policy::SocketId::from_u32(index)].as_u32() + 1
            });
            values.set(Field::Entry(map), first.unwrap_or(0));
        }
        for netns in tables.namespaces.keys() {
            values.set(Field::SocketIn(netns), rng.below(3) as u32);
        }
        for meter in crate::diff::space::metered(self.joint, &self.lists.meters) {
            values.set(Field::Conforms(meter), rng.below(2) as u32);
        }
    }

    fn outcome(&self, case: &Case<'_, '_>, which: Which) -> Disposition {
        let Some(decision) = case.decide_in_full(which) else {
            assert!(!self.topic.is_met(self.joint, which));
            return Disposition {
                verdict: Verdict::Allow,
                mark: None,
            };
        };
        case.shared(which, &decision)
    }
}

/// A policy with a few of its statements gone, doubled or at another place; `None` if that is no policy.
pub(super) fn edited(text: &str, rng: &mut Rng) -> Option<Policy> {
    let mut lines: Vec<&str> = text.lines().collect();
    for _ in 0..=rng.below(4) {
        let (from, to) = (rng.below(lines.len()), rng.below(lines.len()));
        match rng.below(4) {
            0 => {
                lines.remove(from);
            }
            1 => lines.insert(to, lines[from]),
            _ => {
                let line = lines.remove(from);
                lines.insert(to.min(lines.len()), line);
            }
        }
    }
    let mut text: String = lines.iter().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{line}");
        all
    });
    if rng.one_in(2) {
        let (from, to) = rng.one_of(&ELSEWHERE);
        text = text.replace(from, to);
    }
    resolved(&text)
}

/// Sockets of random policies, declared otherwise: of another kind more or less, at another address, from anywhere.
const ELSEWHERE: [(&str, &str); 5] = [
    (
        "tcp listen 127.0.0.1:1235,",
        "tcp listen 127.0.0.1:1235, tcp listen [::1]:1235,",
    ),
    ("0.0.0.0:1236", "0.0.0.0:1236, udp listen [::]:1236"),
    ("udp listen 127.0.0.1:1234, ", ""),
    ("tcp listen 127.0.0.1:1235", "tcp listen 127.0.0.1:1239"),
    (
        "tcp listen 127.0.0.1:1235, udp listen [::1]:1235",
        "registered",
    ),
];

pub(super) fn resolved(text: &str) -> Option<Policy> {
    let mut sources = sockc_grammar::source::SourceMap::default();
    let id = sources.add("test.sk", text);
    let mut files = crate::files::Texts::default();
    let (reading, mistakes) = crate::reading::read(&mut sources, id, &mut files);
    let (policy, found) = crate::resolve::resolve_reading(&reading, &sources, "test");
    let failed = mistakes
        .iter()
        .chain(&found)
        .any(|one| one.severity == sockc_grammar::diagnostic::Severity::Error);
    policy.filter(|_| !failed)
}

/// So many pairs of policies of at most so many rules.
fn pairs(first: u64, count: usize, rules: usize) -> Tally {
    let mut tally = Tally::default();
    for seed in first.. {
        if tally.pairs == count {
            break;
        }
        let mut rng = Rng::new(seed);
        let options = match seed % 4 {
            0 => Options::everything(1 + rng.below(rules)),
            _ => Options::whole(1 + rng.below(rules)),
        };
        let text = random_policy(seed, options);
        let old = resolved(&text).unwrap();
        let other = match seed % 3 {
            0 => resolved(&random_policy(seed + 1_000_000, options)),
            _ => edited(&text, &mut rng),
        };
        if let Some(new) = other {
            check(&old, &new, &mut rng, &mut tally, &format!("seed {seed}"));
        }
    }
    tally
}

/// Lists of what passes through, next to those of what arrives and of what leaves.
#[test]
fn what_changes_of_what_passes_through_is_exactly_what_is_decided_otherwise() {
    let mut tally = Tally::default();
    for seed in 50_000..50_150 {
        let mut rng = Rng::new(seed);
        let options = may_pass(1 + rng.below(40));
        let text = passing(seed, &random_policy(seed, options));
        let old = resolved(&text).unwrap();
        let other = match seed % 3 {
            0 => resolved(&passing(seed + 1, &random_policy(seed + 1, options))),
            _ => edited(&text, &mut rng),
        };
        if let Some(new) = other {
            check(&old, &new, &mut rng, &mut tally, &format!("seed {seed}"));
        }
    }
    assert!(tally.pairs > 75 && tally.passing > 500, "{tally:?}");
}

/// A thousand pairs, in four parts that run in parallel.
#[test]
fn what_changes_is_exactly_what_is_decided_otherwise_0() {
    quarter(0);
}

#[test]
fn what_changes_is_exactly_what_is_decided_otherwise_1() {
    quarter(1);
}

#[test]
fn what_changes_is_exactly_what_is_decided_otherwise_2() {
    quarter(2);
}

#[test]
fn what_changes_is_exactly_what_is_decided_otherwise_3() {
    quarter(3);
}

fn quarter(number: u64) {
    let tally = pairs(number * 10_000, 250, 60);
    assert!(
        tally.changed > 2_000 && tally.differing > 5_000,
        "{tally:?}"
    );
    assert!(tally.cases > 100 * tally.pairs, "{tally:?}");
}

/// Rules that match much put among those of random policies, taken away, and moved.
#[test]
fn who_decides_what_wide_rules_change_is_who_is_found() {
    const WIDE: [&str; 6] = [
        "drop tcp",
        "allow udp to any:0-32767",
        "reject tcp from 0.0.0.0/1",
        "drop from 128.0.0.0/1 to 0.0.0.0/2",
        "allow tcp from any:1024-65535 to ::/1",
        "allow",
    ];
    let mut tally = Tally::default();
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let text = random_policy(seed, Options::whole(1 + rng.below(50)));
        let mut wide = || {
            let mut lines: Vec<&str> = text.lines().collect();
            for _ in 0..1 + rng.below(3) {
                lines.insert(rng.below(lines.len() + 1), WIDE[rng.below(WIDE.len())]);
            }
            lines.join("\n")
        };
        let [old, new] = [wide(), wide()].map(|text| resolved(&text));
        if let (Some(old), Some(new)) = (old, new) {
            let name = format!("wide, seed {seed}");
            check(&old, &new, &mut rng, &mut tally, &name);
        }
    }
    assert!(tally.pairs > 200 && tally.differing > 5_000, "{tally:?}");
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    for seed in 0..30 {
        let text = random_policy(seed, Options::whole(15));
        let (old, new) = (resolved(&text).unwrap(), resolved(&text).unwrap());
        let report = crate::diff::compare(&old, &new, Default::default(), &mut Silent);
        assert!(
            !report.differs() && report.is_complete(),
            "seed {seed}: {report:#?}"
        );
        assert!(
            report
                .scopes
                .iter()
                .all(|scope| scope.edits.is_empty() && scope.data.is_empty())
        );
    }
}

#[test]
fn every_change_is_told_with_a_packet_of_which_it_is_true() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let text = random_policy(seed, Options::whole(15));
        let old = resolved(&text).unwrap();
        let Some(new) = edited(&text, &mut rng) else {
            continue;
        };
        let report = crate::diff::compare(&old, &new, Default::default(), &mut Silent);
        assert!(report.is_complete(), "seed {seed}: {report:#?}");
    }
}
