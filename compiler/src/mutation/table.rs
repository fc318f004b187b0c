//! The ways in which a rule or a default is changed: a row each.
//!
//! A row takes a statement with those around it; gives what may be done to it, in words. What comes of it may be no policy, or
//! mean the same: nobody has to know here. Rules that only count decide nothing, and are not changed.

use sockc_grammar::ast::{
    Address, Clause, DefaultLine, Direction, Endpoint, HookName, PortItem, Ports, Rule, Scope,
    Side, Statement, Target, Verb,
};
use sockc_grammar::source::{SourceMap, Spanned};

use super::value;

/// What the rows are called, in their order.
pub const KINDS: [&str; ROWS.len()] = {
    let mut kinds = [""; ROWS.len()];
    let mut place = 0;
    while place < ROWS.len() {
        kinds[place] = ROWS[place].kind;
        place += 1;
    }
    kinds
};

/// A way to change a statement.
pub(super) struct Row {
    pub(super) kind: &'static str,
    pub(super) make: fn(&Around<'_>) -> Vec<Made>,
}

/// What the row of `default` lines is called.
pub(super) const DEFAULT: &str = "default";

/// All of them.
pub(super) const ROWS: [Row; 10] = [
    row("left out", left_out),
    row("verdict", verdict),
    row("prefix wider", |around| addresses(around, value::wider)),
    row("prefix narrower", |around| {
        addresses(around, value::narrower)
    }),
    row("ports wider", |around| ports(around, value::more_ports)),
    row("ports narrower", |around| ports(around, value::fewer_ports)),
    row("protocol", protocol),
    row("condition", condition),
    row("order", order),
    row(DEFAULT, default),
];

const fn row(kind: &'static str, make: fn(&Around<'_>) -> Vec<Made>) -> Row {
    Row { kind, make }
}

/// A statement and its list.
pub(super) struct Around<'a> {
    pub(super) statements: &'a [Spanned<Statement>],
    pub(super) at: usize,
    pub(super) sources: &'a SourceMap,
}

/// What may be done.
pub(super) struct Made {
    pub(super) edit: Edit,
    pub(super) words: String,
}

/// What is done to a list of statements at a place.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    LeaveOut,
    Replace(Statement),
    /// It and that one change their places.
    Swap(usize),
}

impl<'a> Around<'a> {
    fn statement(&self) -> &'a Statement {
        &self.statements[self.at].value
    }

    fn rule(&self) -> Option<&'a Rule> {
        deciding(self.statement())
    }

    /// The text of something, on one line.
    fn text<T>(&self, of: &Spanned<T>) -> String {
        let text = self.sources.text(of.span);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The rule with something done to it.
    fn with(&self, words: String, change: impl FnOnce(&mut Rule)) -> Option<Made> {
        let mut rule = self.rule()?.clone();
        change(&mut rule);
        Some(Made {
            edit: Edit::Replace(Statement::Rule(Box::new(rule))),
            words,
        })
    }
}

/// A rule that decides what becomes of something.
fn deciding(statement: &Statement) -> Option<&Rule> {
    match statement {
        Statement::Rule(rule) => {
            let counts = rule.audit.is_some() || matches!(rule.verb.value, Verb::Count);
            (!counts && rule.verb.value != Verb::Splice).then_some(rule)
        }
        _ => None,
    }
}

fn instead(new: &str, old: &str) -> String {
    format!("`{new}` in place of `{old}`")
}

fn left_out(around: &Around<'_>) -> Vec<Made> {
    let made = around.rule().map(|_| Made {
        edit: Edit::LeaveOut,
        words: "left out".to_owned(),
    });
    made.into_iter().collect()
}

fn verdict(around: &Around<'_>) -> Vec<Made> {
    let Some(rule) = around.rule() else {
        return Vec::new();
    };
    let at_lookup = |clause: &Spanned<Clause>| matches!(&clause.value, Clause::At(hook) if hook.value == HookName::SkLookup);
    let old = rule.verb.value;
    let new = match old {
        // A lookup cannot drop.
        Verb::Allow if rule.clauses.iter().any(at_lookup) => Verb::Reject,
        Verb::Allow => Verb::Drop,
        _ => Verb::Allow,
    };
    let made = around.with(instead(new.word(), old.word()), |rule| {
        rule.verb.value = new;
        rule.clauses.retain(|clause| fits(&clause.value, new));
        for clause in &mut rule.clauses {
            if let Clause::To { bare, .. } = &mut clause.value {
                *bare = false;
            }
        }
    });
    made.into_iter().collect()
}

/// Whether a rule with this verb may have a clause, of those that belong to some verbs only.
fn fits(clause: &Clause, verb: Verb) -> bool {
    match clause {
        Clause::Target(target) => {
            matches!(target, Target::WithinGroup(_)) && verb == Verb::Shortcut
        }
        Clause::Mark(_) => verb == Verb::Allow,
        _ => true,
    }
}

/// The endpoints of a rule, each with its clause and its place there.
fn endpoints(rule: &Rule) -> impl Iterator<Item = (usize, usize, &Spanned<Endpoint>)> {
    let clauses = rule.clauses.iter().enumerate();
    clauses.flat_map(|(clause, one)| {
        let endpoints = match &one.value {
            Clause::From(Side::Endpoints { endpoints, .. })
            | Clause::To {
                side: Side::Endpoints { endpoints, .. },
                ..
            } => &endpoints[..],
            _ => &[],
        };
        let endpoints = endpoints.iter().enumerate();
        endpoints.map(move |(place, endpoint)| (clause, place, endpoint))
    })
}

fn endpoint_at(rule: &mut Rule, clause: usize, place: usize) -> Option<&mut Endpoint> {
    match &mut rule.clauses.get_mut(clause)?.value {
        Clause::From(Side::Endpoints { endpoints, .. })
        | Clause::To {
            side: Side::Endpoints { endpoints, .. },
            ..
        } => Some(&mut endpoints.get_mut(place)?.value),
        _ => None,
    }
}

/// Which end a clause is about.
fn end(around: &Around<'_>, clause: usize) -> &'static str {
    let clauses = around.rule().map(|rule| &rule.clauses);
    match clauses
        .and_then(|all| all.get(clause))
        .map(|one| &one.value)
    {
        Some(Clause::From(_)) => "from",
        _ => "to",
    }
}

/// Each address of a rule as another.
fn addresses(around: &Around<'_>, other: fn(&Address) -> Option<Address>) -> Vec<Made> {
    let found = around.rule().into_iter().flat_map(endpoints);
    found
        .filter_map(|(clause, place, endpoint)| {
            let old = endpoint.value.address.as_ref()?;
            let new = other(&old.value)?;
            let words = instead(
                &value::address_words(&new),
                &value::address_words(&old.value),
            );
            let words = format!("{} {words}", end(around, clause));
            around.with(words, |rule| {
                let endpoint = endpoint_at(rule, clause, place);
                let address = endpoint.and_then(|endpoint| endpoint.address.as_mut());
                if let Some(address) = address {
                    address.value = new;
                }
            })
        })
        .collect()
}

/// Each port or range of a rule as another.
fn ports(around: &Around<'_>, other: fn(&PortItem) -> Option<PortItem>) -> Vec<Made> {
    let mut made = Vec::new();
    for (clause, place, endpoint) in around.rule().into_iter().flat_map(endpoints) {
        let Some(Ports::List(items)) = endpoint.value.ports.as_ref().map(|ports| &ports.value)
        else {
            continue;
        };
        for (index, old) in items.iter().enumerate() {
            let Some(new) = other(&old.value) else {
                continue;
            };
            let words = instead(&value::port_words(&new), &value::port_words(&old.value));
            made.extend(
                around.with(format!("{} port {words}", end(around, clause)), |rule| {
                    let ports = endpoint_at(rule, clause, place).and_then(|one| one.ports.as_mut());
                    if let Some(Ports::List(items)) = ports.map(|ports| &mut ports.value) {
                        items[index].value = new;
                    }
                }),
            );
        }
    }
    made
}

/// Every protocol, and of several each left out.
fn protocol(around: &Around<'_>) -> Vec<Made> {
    let Some(rule) = around.rule().filter(|rule| !rule.protocols.is_empty()) else {
        return Vec::new();
    };
    let all: Vec<String> = rule.protocols.iter().map(|one| around.text(one)).collect();
    let words = format!("every protocol in place of `{}`", all.join(", "));
    let mut made: Vec<Made> = around
        .with(words, |rule| rule.protocols.clear())
        .into_iter()
        .collect();
    if all.len() > 1 {
        for (place, text) in all.iter().enumerate() {
            made.extend(around.with(format!("without `{text}`"), |rule| {
                rule.protocols.remove(place);
            }));
        }
    }
    made
}

/// Each condition left out: a side, or of one endpoint its address and its ports; `on`, each after `if`, the rate.
fn condition(around: &Around<'_>) -> Vec<Made> {
    let Some(rule) = around.rule() else {
        return Vec::new();
    };
    let mut made = Vec::new();
    for (place, clause) in rule.clauses.iter().enumerate() {
        match &clause.value {
            Clause::From(side) | Clause::To { side, .. } => {
                made.extend(without_side(around, place, side));
            }
            Clause::If(conditions) if conditions.len() > 1 => {
                for (index, one) in conditions.iter().enumerate() {
                    let words = format!("without `if {}`", around.text(one));
                    made.extend(around.with(words, |rule| {
                        if let Clause::If(conditions) = &mut rule.clauses[place].value {
                            conditions.remove(index);
                        }
                    }));
                }
            }
            Clause::If(_)
            | Clause::OnZone(_)
            | Clause::OnInterface(_)
            | Clause::ToZone(_)
            | Clause::ToInterface(_)
            | Clause::Above(_)
            | Clause::UpTo(_) => made.extend(without(around, place)),
            Clause::Mark(_)
            | Clause::Log(_)
            | Clause::At(_)
            | Clause::Note(_)
            | Clause::Target(_) => {}
        }
    }
    made
}

fn without(around: &Around<'_>, place: usize) -> Option<Made> {
    let text = around.text(around.rule()?.clauses.get(place)?);
    around.with(format!("without `{text}`"), |rule| {
        rule.clauses.remove(place);
    })
}

fn without_side(around: &Around<'_>, place: usize, side: &Side) -> Vec<Made> {
    let one = match side {
        Side::Endpoints {
            not: None,
            endpoints,
        } => match &endpoints[..] {
            [one] => Some(&one.value),
            _ => None,
        },
        _ => None,
    };
    let halves = one.and_then(|one| Some((one.address.as_ref()?, one.ports.as_ref()?)));
    let Some((address, _)) = halves else {
        return without(around, place).into_iter().collect();
    };
    let mut made = Vec::new();
    if address.value != Address::Any {
        let words = format!(
            "{} {}",
            end(around, place),
            instead("any", &around.text(address))
        );
        made.extend(around.with(words, |rule| {
            let address = endpoint_at(rule, place, 0).and_then(|one| one.address.as_mut());
            address.into_iter().for_each(|one| one.value = Address::Any);
        }));
    }
    let ports = one.and_then(|one| one.ports.as_ref());
    if let Some(ports) = ports.filter(|ports| ports.value != Ports::Any) {
        let end = end(around, place);
        let words = format!("{end} every port in place of `{}`", around.text(ports));
        made.extend(around.with(words, |rule| {
            let endpoint = endpoint_at(rule, place, 0);
            endpoint.into_iter().for_each(|one| one.ports = None);
        }));
    }
    made
}

/// After the next rule of its list.
fn order(around: &Around<'_>) -> Vec<Made> {
    let Some(rule) = around.rule() else {
        return Vec::new();
    };
    // Where none is written, a shortcut is about writes.
    let unwritten = |rule: &Rule| match rule.verb.value {
        Verb::Shortcut => Direction::Send,
        _ => Direction::In,
    };
    let direction = |rule: &Rule| {
        let written = rule.direction.as_ref().map(|one| one.value);
        written.unwrap_or_else(|| unwritten(rule))
    };
    let after = around.statements.iter().enumerate().skip(around.at + 1);
    for (place, other) in after {
        let is_next = |next: &&Rule| direction(next) == direction(rule);
        if deciding(&other.value).as_ref().is_some_and(is_next) {
            let line = around.sources.place(other.span).0;
            let own = around.statements[around.at].span.source;
            let file = match other.span.source {
                source if source == own => String::new(),
                source => format!("{}:", around.sources.get(source).name),
            };
            let text = around.text(other);
            return vec![Made {
                edit: Edit::Swap(place),
                words: format!("moved down, after line {file}{line}: `{text}`"),
            }];
        }
        // What stands in there is several places.
        let rules = matches!(&other.value, Statement::For(block) if !matches!(block.scope, Scope::Netns(_)));
        if rules {
            break;
        }
    }
    Vec::new()
}

fn default(around: &Around<'_>) -> Vec<Made> {
    let Statement::Default(line) = around.statement() else {
        return Vec::new();
    };
    let old = line.verb.value;
    let new = match old {
        Verb::Allow => Verb::Drop,
        _ => Verb::Allow,
    };
    let mut other: DefaultLine = (**line).clone();
    other.verb.value = new;
    vec![Made {
        edit: Edit::Replace(Statement::Default(Box::new(other))),
        words: instead(new.word(), old.word()),
    }]
}
