//! Rules, their clauses and targets, rates and logs.

use super::{Builder, Node, Rule as Part, child, children, first};
use crate::ast::{
    Clause, Direction, HookName, Log, Per, Period, Rate, RateUnit, Rule, Target, Verb,
};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::source::{Span, Spanned};

/// What `to zone` and `to interface` say, where that is given twice.
pub(super) const LEAVING: &str = "leaving";

/// What is said where an address and a port stand apart.
const PORT_OF_ADDRESS: &str = "a port stands behind each of its addresses, as in `10.0.0.1:80`";

/// Whether a clause of endpoints begins with a port alone.
fn is_port(clause: &Node<'_>) -> bool {
    let mut words = clause.as_str().split_whitespace();
    words.find(|word| !matches!(*word, "from" | "to" | "not")) == Some("port")
}

impl Builder {
    /// `[label:] [audit] VERB [DIRECTION] [PROTOCOLS] CLAUSES`
    pub(super) fn rule(&mut self, node: &Node<'_>) -> Option<Rule> {
        // One walk over the children: rules are what files consist of.
        let (mut label, mut audit, mut verb, mut direction) = (None, None, None, None);
        let mut protocols = Vec::new();
        let mut clauses = Vec::new();
        for part in node.inner() {
            match part.as_rule() {
                Part::label => label = first(&part).map(|word| self.name(&word)),
                Part::k_audit => audit = Some(self.span(&part)),
                Part::verb => verb = Some(self.verb(&part)?),
                Part::direction => {
                    let named = Direction::named(part.as_str())?;
                    direction = Some(self.spanned(&part, named));
                }
                Part::protocol => protocols.push(self.protocol(&part)),
                Part::clause => clauses.push(part),
                _ => {}
            }
        }
        let verb = verb?;
        let clauses = self.clauses(clauses, verb.value);
        Some(Rule {
            label,
            audit,
            verb,
            direction,
            protocols: protocols.into_iter().collect::<Option<_>>()?,
            clauses: clauses?,
        })
    }

    /// The direction that is a child of `node`.
    pub(super) fn direction(&self, node: &Node<'_>) -> Option<Spanned<Direction>> {
        let word = child(node, Part::direction)?;
        Some(self.spanned(&word, Direction::named(word.as_str())?))
    }

    /// Every clause; a mistake in one does not hide the mistakes of the others.
    fn clauses(&mut self, nodes: Vec<Node<'_>>, verb: Verb) -> Option<Vec<Spanned<Clause>>> {
        let mut clauses: Vec<Spanned<Clause>> = Vec::new();
        let mut seen = Vec::new();
        let mut complete = true;
        for clause in nodes {
            // What is left of a broken clause looks like a destination without `to`.
            let bare = first(&clause).is_some_and(|inner| inner.as_rule() == Part::bare_clause);
            if bare && !complete {
                continue;
            }
            let built = if self.is_twice(&clause, verb, &mut seen) {
                None
            } else {
                self.clause(&clause, verb)
            };
            complete &= built.is_some();
            clauses.extend(built.map(|value| self.spanned(&clause, value)));
        }
        complete.then_some(clauses)
    }

    fn is_twice(
        &mut self,
        clause: &Node<'_>,
        verb: Verb,
        seen: &mut Vec<(&'static str, Span, bool)>,
    ) -> bool {
        let slot = match first(clause) {
            // A destination without `to` is a mistake of its own where it is none of a redirect's.
            Some(inner) if inner.as_rule() == Part::bare_clause && verb != Verb::Redirect => {
                return false;
            }
            Some(inner) => slot(&inner, verb),
            None => "",
        };
        let span = self.span(clause);
        let is_port = is_port(clause);
        let earlier = seen.iter().find(|(other, ..)| *other == slot).copied();
        seen.push((slot, span, is_port));
        match earlier {
            // A comma would let through every port of the addresses, and the port of every address.
            Some((_, earlier, was_port)) if is_port != was_port => {
                self.repeats(slot, (span, earlier), PORT_OF_ADDRESS);
            }
            Some((_, earlier, _)) => self.twice(slot, span, earlier),
            None => {}
        }
        earlier.is_some()
    }

    /// Says that something stands twice.
    pub(super) fn twice(&mut self, what: &str, span: Span, earlier: Span) {
        self.repeats(
            what,
            (span, earlier),
            match what {
                "if" => "join the conditions with `and`",
                "from" | "to" => "join the endpoints with `,`",
                "owner" | "members" | "spread" | "pinned" | "if absent" => "keep one of the two",
                _ => "keep one of the two, or write two rules",
            },
        );
    }

    fn repeats(&mut self, what: &str, (span, earlier): (Span, Span), help: &str) {
        self.mistakes.push(
            Diagnostic::error(
                codes::TWICE,
                format!("{what} is given twice", what = titled(what)),
                span,
                "again here",
            )
            .also(earlier, "first here")
            .help(help),
        );
    }

    fn clause(&mut self, node: &Node<'_>, verb: Verb) -> Option<Clause> {
        let inner = first(node)?;
        Some(match inner.as_rule() {
            Part::from_clause => Clause::From(self.side(&first_after_word(&inner)?)?),
            Part::to_clause => self.destination(&first_after_word(&inner)?, verb)?,
            Part::by_map | Part::within_group | Part::with_pairs => {
                Clause::Target(self.target(&inner)?)
            }
            Part::bare_clause => self.bare_destination(&inner, verb)?,
            Part::on_clause => self.on_clause(&first_after_word(&inner)?)?,
            Part::if_clause => Clause::If(self.conditions(&inner)?),
            Part::above_clause => Clause::Above(self.rate(&child(&inner, Part::rate)?)?.into()),
            Part::up_to_clause => Clause::UpTo(self.rate(&child(&inner, Part::rate)?)?.into()),
            Part::mark_clause => Clause::Mark(self.number_in(&inner)?),
            Part::log_clause => Clause::Log(self.log(&inner)?.into()),
            Part::at_clause => Clause::At(self.at(&inner)?),
            Part::note_clause => Clause::Note(self.string_in(&inner)?),
            _ => return None,
        })
    }

    /// The hook that an `at` names.
    pub(super) fn at(&mut self, node: &Node<'_>) -> Option<Spanned<HookName>> {
        let hook = child(node, Part::hook)?;
        Some(self.spanned(&hook, HookName::named(hook.as_str())?))
    }

    fn destination(&mut self, node: &Node<'_>, verb: Verb) -> Option<Clause> {
        Some(match node.as_rule() {
            Part::endpoint_side | Part::group_side => Clause::To {
                bare: false,
                side: self.side(node)?,
            },
            Part::to_zone => Clause::ToZone(self.name_in(node)?),
            Part::to_interface if verb != Verb::Redirect => {
                Clause::ToInterface(self.pattern_in(node)?)
            }
            _ => Clause::Target(self.target(node)?),
        })
    }

    fn bare_destination(&mut self, node: &Node<'_>, verb: Verb) -> Option<Clause> {
        let side = self.endpoint_side(&child(node, Part::endpoint_side)?)?;
        if verb != Verb::Redirect {
            self.error_help(
                codes::BARE_DESTINATION,
                "destination without its `to`".to_owned(),
                self.span(node),
                "from or to?".to_owned(),
                format!(
                    "write `to {}`; only a redirect may leave it out",
                    node.as_str().trim_end()
                ),
            );
            return None;
        }
        Some(Clause::To { bare: true, side })
    }

    fn on_clause(&mut self, node: &Node<'_>) -> Option<Clause> {
        Some(match node.as_rule() {
            Part::on_zone => Clause::OnZone(self.name_in(node)?),
            Part::on_interface => Clause::OnInterface(self.pattern_in(node)?),
            _ => return None,
        })
    }

    /// The verb that `node` is.
    pub(super) fn verb(&mut self, node: &Node<'_>) -> Option<Spanned<Verb>> {
        Some(self.spanned(node, Verb::named(node.as_str())?))
    }

    pub(super) fn target(&mut self, node: &Node<'_>) -> Option<Target> {
        Some(match node.as_rule() {
            Part::to_sock => Target::Sock(self.name_in(node)?),
            Part::to_interface => Target::Interface(self.pattern_in(node)?),
            Part::to_input => Target::InputOf(self.name_in(node)?),
            Part::to_output => Target::OutputOf(self.name_in(node)?),
            Part::by_map => Target::ByMap(self.set_ref(&child(node, Part::set_ref)?)),
            Part::within_group => Target::WithinGroup(self.name_in(node)?),
            Part::with_pairs => Target::Pairs(self.name_in(node)?),
            _ => return None,
        })
    }

    fn rate(&mut self, node: &Node<'_>) -> Option<Rate> {
        Some(Rate {
            count: self.number_in(node)?,
            unit: RateUnit::named(child(node, Part::rate_unit)?.as_str())?,
            period: period(node)?,
            per: match child(node, Part::per) {
                Some(per) => Some(self.per(&per)?),
                None => None,
            },
            burst: match child(node, Part::burst) {
                Some(burst) => Some(self.number_in(&burst)?),
                None => None,
            },
        })
    }

    fn per(&mut self, node: &Node<'_>) -> Option<Spanned<Per>> {
        let mut lengths = Vec::new();
        for number in children(node, Part::number) {
            lengths.push(self.number(&number)?);
        }
        let mut lengths = lengths.into_iter();
        let per = Per {
            destination: child(node, Part::per_side)?.as_str() == "destination",
            v4: lengths.next(),
            v6: lengths.next(),
        };
        Some(self.spanned(node, per))
    }

    /// `log ["text"] [sample A/B] [max N/PERIOD]`, each part once, in any order.
    pub(super) fn log(&mut self, node: &Node<'_>) -> Option<Log> {
        let mut log = Log {
            text: None,
            sample: None,
            max: None,
        };
        for part in node.inner() {
            match part.as_rule() {
                Part::string => {
                    let text = self.string(&part)?;
                    self.once("log text", &mut log.text, text)?;
                }
                Part::log_sample => {
                    let [some, all] = *self.numbers(&part)?.as_slice() else {
                        return None;
                    };
                    let sample = self.spanned(&part, (some, all));
                    self.once("sample", &mut log.sample, sample)?;
                }
                Part::log_max => {
                    let count = self.number_in(&part)?.value;
                    let max = self.spanned(&part, (count, period(&part)?));
                    self.once("max", &mut log.max, max)?;
                }
                _ => {}
            }
        }
        Some(log)
    }

    /// Puts a value where none must be yet.
    pub(super) fn once<T>(
        &mut self,
        what: &str,
        slot: &mut Option<Spanned<T>>,
        value: Spanned<T>,
    ) -> Option<()> {
        if let Some(earlier) = slot {
            self.twice(what, value.span, earlier.span);
            return None;
        }
        *slot = Some(value);
        Some(())
    }
}

/// Whether a `to` names a destination, not a target.
pub(super) fn to_side(clause: &Node<'_>) -> bool {
    first_after_word(clause)
        .is_some_and(|what| matches!(what.as_rule(), Part::endpoint_side | Part::group_side))
}

/// Whether a `to` names the interface by which what passes through leaves.
pub(super) fn says_where_it_leaves(clause: &Node<'_>, verb: Verb) -> bool {
    first_after_word(clause).is_some_and(|what| match what.as_rule() {
        Part::to_zone => true,
        Part::to_interface => verb != Verb::Redirect,
        _ => false,
    })
}

/// What stands after the word that begins `node`.
pub(super) fn first_after_word<'t>(node: &Node<'t>) -> Option<Node<'t>> {
    node.inner().nth(1)
}

/// What a clause must not stand next to: two clauses of one slot are a mistake.
fn slot(clause: &Node<'_>, verb: Verb) -> &'static str {
    match clause.as_rule() {
        Part::to_clause if says_where_it_leaves(clause, verb) => LEAVING,
        Part::by_map | Part::within_group | Part::with_pairs => "target",
        Part::to_clause if !to_side(clause) => "target",
        Part::from_clause => "from",
        Part::to_clause | Part::bare_clause => "to",
        Part::on_clause => "on",
        Part::if_clause => "if",
        Part::above_clause | Part::up_to_clause => "rate",
        Part::mark_clause => "mark",
        Part::log_clause => "log",
        Part::at_clause => "at",
        _ => "note",
    }
}

fn titled(slot: &str) -> String {
    match slot {
        "target" => "the target".to_owned(),
        LEAVING => "the interface by which it leaves".to_owned(),
        "rate" => "a rate".to_owned(),
        "log text" => "the text of `log`".to_owned(),
        word => format!("`{word}`"),
    }
}

/// The period that `node` names, in seconds.
fn period(node: &Node<'_>) -> Option<u64> {
    Period::named(child(node, Part::period)?.as_str()).map(Period::seconds)
}
