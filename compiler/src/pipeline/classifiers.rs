//! The tables of bulk rules: one classifier for each chain that asks for the first match.
//!
//! Takes the chains of a reduced policy; gives each its tables, in maps. Not here: how tables are made.

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Span;

use super::compilation::TOO_LARGE;
use super::manifest::Slots;
use crate::bulk::Bulk;
use crate::chain::Chain;
use crate::classifier::{
    self, MAX_CLASSES, MAX_LIST, MAX_QUESTIONS, MAX_STRATA, Member, Summary, Unfit,
};
use crate::lower::ClassifierMaps;
use crate::policy::{Direction, Policy, SourceLocation};
use crate::tables::{LINE, Tables};

/// How many of the rules that cross are named.
const NAMED: usize = 3;

/// What to write instead where rules overlap too much.
const FEWER_ENDS: &str = "name fewer different ranges of addresses and ports in rules that overlap: join ranges that belong together, or name addresses in a `set`";

/// Rules that no tables hold.
pub(super) struct Refused<'a> {
    unfit: Unfit,
    direction: Direction,
    members: Vec<Member<'a>>,
}

/// The classifier of a chain.
pub(super) struct Classifier {
    /// Where its tables are.
    pub(super) maps: ClassifierMaps,
    /// What is known of them.
    pub(super) summary: Summary,
}

/// The classifier of each chain, in order; `None` for one that asks for none.
pub(super) fn tables<'a>(
    bulk: Option<&Bulk>,
    whole: &'a Policy,
    chains: &[Chain],
    slots: &Slots,
    tables: &mut Tables<'_>,
) -> Result<Vec<Option<Classifier>>, Refused<'a>> {
    let Some(bulk) = bulk else {
        return Ok(chains.iter().map(|_| None).collect());
    };
    chains
        .iter()
        .enumerate()
        .map(|(number, chain)| {
            let counters = slots.of(chain.hook.direction());
            let members = bulk.members(whole, chain, counters);
            if members.is_empty() {
                return Ok(None);
            }
            let made = classifier(number, &members, tables).map(Some);
            made.map_err(|unfit| Refused {
                unfit,
                direction: chain.hook.direction(),
                members,
            })
        })
        .collect()
}

/// The classifier of these rules, for the chain of this number.
fn classifier(
    number: usize,
    members: &[Member<'_>],
    tables: &mut Tables<'_>,
) -> Result<Classifier, Unfit> {
    let (services, sides) = classifier::build(members)?;
    let made = classifier::Tables::new(members, &services, &sides)?;
    if let Some(unfit) = made.beyond(tables.limit()) {
        return Err(unfit);
    }
    let add = |name: &str, bytes: &[u8]| {
        tables.push_near(format!("first_match{number}_{name}"), bytes, LINE)
    };
    Ok(Classifier {
        maps: ClassifierMaps::new(&made, add).ok_or(Unfit::Size)?,
        summary: Summary::new(members, &services, sides, &made),
    })
}

impl Refused<'_> {
    /// How many rules it is about.
    pub(super) fn rules(&self) -> usize {
        self.members.len()
    }

    /// What is wrong with them; `span` is that of no rule.
    pub(super) fn told(&self, whole: &Policy, span: Span) -> Diagnostic {
        let count = self.members.len();
        let error = |span, label| {
            let what = "these rules are too many for a program, and do not fit into tables";
            Diagnostic::error(TOO_LARGE, what, span, label)
        };
        match self.unfit {
            Unfit::Size => self.crossing(whole, span, error),
            Unfit::Services => error(
                span,
                format!("too many different combinations of protocols and ports in {count} rules that match the same packets"),
            )
            .help("join port ranges that belong together, or name addresses"),
            Unfit::Protocols => error(
                span,
                format!("more than {MAX_CLASSES} protocols to tell apart in {count} rules"),
            )
            .help("name fewer different protocols"),
            Unfit::Lengths => error(
                span,
                format!("too many different pairs of prefix lengths in {count} rules"),
            )
            .help("use fewer different prefix lengths"),
            Unfit::Questions => error(
                span,
                format!("more than {MAX_QUESTIONS} different questions in {count} rules"),
            )
            .help("ask for fewer different sockets and sets"),
            Unfit::Groups => error(
                span,
                format!("too many changes between verdicts in {count} rules"),
            )
            .help("put rules of one verdict next to each other; where each redirects to a socket of its own, make them entries of a `live map`"),
        }
    }

    /// Too many rules that match the same packets.
    fn crossing(
        &self,
        whole: &Policy,
        span: Span,
        error: impl Fn(Span, String) -> Diagnostic,
    ) -> Diagnostic {
        let crowd = classifier::crowd(&self.members);
        if crowd.len() <= MAX_LIST {
            let found = format!(
                "these {} rules, cut where others of them begin or end, take more room than maps have",
                self.members.len()
            );
            return error(span, found).help(FEWER_ENDS);
        }
        let mut named = crowd
            .iter()
            .take(NAMED)
            .filter_map(|&number| self.place(whole, self.members.get(number as usize)?));
        let found = format!(
            "{} of {} rules match the same packets as this one; tables hold about {MAX_LIST} at a place, in up to {MAX_STRATA} parts of a list",
            crowd.len().saturating_sub(1),
            self.members.len()
        );
        let mut refusal = error(named.next().map_or(span, |place| place.span), found);
        for place in named {
            refusal = refusal.also(place.span, "this is one of them");
        }
        refusal.help(FEWER_ENDS)
    }

    /// Where the rule of a member stands.
    fn place<'p>(&self, whole: &'p Policy, member: &Member<'_>) -> Option<&'p SourceLocation> {
        let mut rules = whole.rules_of(self.direction);
        let found = rules.find(|(_, rule)| std::ptr::eq(&raw const rule.matches, member.matches));
        found.map(|(_, rule)| &rule.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_grammar::source::SourceMap;

    use crate::files::Texts;
    use crate::pipeline::check;

    /// What no tables hold is told with its reason, and at the rules that are it.
    #[test]
    fn each_reason_is_told() {
        let mut text = String::from("default in drop\n");
        for n in 0..40 {
            text += &format!("allow tcp from 10.0.{n}.0/24 to port {n}\n");
            text += &format!(
                "allow udp from 10.0.0.0/8:{n}-{} to port {}-9000\n",
                100 + n,
                80 - n
            );
        }
        let mut sources = SourceMap::default();
        let id = sources.add("t.sk", &*text);
        let policy = check(&mut sources, id, "t", &mut Texts::default())
            .policy
            .unwrap();
        let start = crate::pipeline::compilation::start(id);
        let told_of = |unfit, count| {
            let rules = policy.rules.values().take(count);
            let members = rules.map(|rule| Member {
                matches: &rule.matches,
                group: 1,
                slot: 0,
                rate: None,
            });
            let refused = Refused {
                unfit,
                direction: Direction::In,
                members: members.collect(),
            };
            refused.told(&policy, start)
        };
        let told = |unfit| told_of(unfit, 80);
        for (unfit, words) in [
            (
                Unfit::Services,
                "combinations of protocols and ports in 80 rules",
            ),
            (Unfit::Protocols, "protocols to tell apart in 80 rules"),
            (Unfit::Lengths, "pairs of prefix lengths in 80 rules"),
            (Unfit::Groups, "changes between verdicts in 80 rules"),
        ] {
            let said = told(unfit);
            assert!(said.primary.text.contains(words), "{said:?}");
            assert!(said.help.is_some(), "{said:?}");
        }
        let crossing = told(Unfit::Size);
        assert!(
            crossing
                .primary
                .text
                .contains("of 80 rules match the same packets as this one"),
            "{crossing:?}"
        );
        let udp = policy.rules.values().nth(1).unwrap();
        assert_eq!(crossing.primary.span, udp.place.span);
        assert_eq!(crossing.secondary.len(), NAMED - 1);
        let room = told_of(Unfit::Size, 20).primary.text;
        assert!(room.contains("these 20 rules, cut where"), "{room}");
    }
}
