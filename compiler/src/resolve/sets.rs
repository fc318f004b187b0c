//! Sets: of addresses with their arithmetic, of ports; every set once, in the order of their dependence.

use std::collections::BTreeMap;

use sockc_grammar::ast::{
    Address, MapDecl, Name, PortItem, SetDecl, SetOperator, SetTerm, SetValue,
};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::addresses::Gathered;
use super::declared::Declared;
use super::overlaps::{self, overlaps};
use super::ports::port_parts;
use super::report::Report;
use super::{codes, pending};
use crate::policy::AddressSet;
use crate::ranges::RangeSet;

/// What the name of a set stands for.
enum Meaning<'a> {
    /// Declared, and not looked at yet.
    Unread(&'a SetDecl),
    Addresses(AddressSet),
    Ports(RangeSet<u16>),
    /// Something is wrong with it, which has been reported: its uses are silent.
    Refused,
}

/// The sets of a policy; maps share their space of names.
pub(super) struct Sets<'a> {
    declared: Declared<Meaning<'a>>,
    order: Vec<&'a SetDecl>,
}

impl<'a> Sets<'a> {
    /// No sets yet.
    pub(super) fn new() -> Self {
        Self {
            declared: Declared::new("set"),
            order: Vec::new(),
        }
    }

    /// Declares a set.
    pub(super) fn declare(&mut self, set: &'a SetDecl, report: &mut Report) {
        if self
            .declared
            .declare(&set.name, Meaning::Unread(set), report)
        {
            self.order.push(set);
        }
    }

    /// Takes the name of a map, which has no meaning yet.
    pub(super) fn declare_map(&mut self, map: &MapDecl, report: &mut Report) {
        self.declared.declare(&map.name, Meaning::Refused, report);
    }

    /// The addresses of `@name`; reports an unknown name and a set of ports.
    pub(super) fn addresses(&self, name: &Name, report: &mut Report) -> Option<&AddressSet> {
        match self.declared.look_up(&name.value, name.span, report)? {
            Meaning::Addresses(set) => Some(set),
            Meaning::Ports(_) => {
                report.error(
                    codes::SET_OF_PORTS,
                    format!("`@{}` is a set of ports", name.value),
                    name.span,
                    "addresses are needed here",
                    format!("write `port @{0}`, or `any:@{0}`", name.value),
                );
                None
            }
            Meaning::Refused | Meaning::Unread(_) => None,
        }
    }

    /// The ports of `@name`; reports an unknown name and a set of addresses.
    pub(super) fn ports(&self, name: &Name, report: &mut Report) -> Option<&RangeSet<u16>> {
        match self.declared.look_up(&name.value, name.span, report)? {
            Meaning::Ports(set) => Some(set),
            Meaning::Addresses(_) => {
                report.error(
                    codes::SET_OF_ADDRESSES,
                    format!("`@{}` is a set of addresses", name.value),
                    name.span,
                    "ports are needed here",
                    format!("declare the ports: `set {} = ports {{ … }}`", name.value),
                );
                None
            }
            Meaning::Refused | Meaning::Unread(_) => None,
        }
    }

    /// Gives every declared set its meaning.
    pub(super) fn evaluate(&mut self, report: &mut Report) {
        for set in self.dependence_order(report) {
            let meaning = self.meaning(set, report).unwrap_or(Meaning::Refused);
            self.declared.set(&set.name.value, meaning);
        }
    }

    /// The sets, each after those it is made of. Reports cycles, whose last link then finds nothing.
    ///
    /// Kept on a stack of its own: a chain of sets may be as long as the file.
    fn dependence_order(&self, report: &mut Report) -> Vec<&'a SetDecl> {
        let mut states: BTreeMap<&str, Visit> = BTreeMap::new();
        let mut ordered = Vec::with_capacity(self.order.len());
        for &root in &self.order {
            let mut stack = Vec::new();
            if states.insert(&root.name.value, Visit::Open).is_none() {
                stack.push((root, references(root).into_iter()));
            } else {
                states.insert(&root.name.value, Visit::Done);
            }
            while let Some((set, rest)) = stack.last_mut() {
                let Some(reference) = rest.next() else {
                    states.insert(&set.name.value, Visit::Done);
                    ordered.push(*set);
                    stack.pop();
                    continue;
                };
                let Some(Meaning::Unread(next)) = self.declared.get(&reference.value) else {
                    continue;
                };
                match states.get(next.name.value.as_str()) {
                    None => {
                        states.insert(&next.name.value, Visit::Open);
                        stack.push((*next, references(next).into_iter()));
                    }
                    Some(Visit::Open) => report.push(cycle(next, &reference)),
                    Some(Visit::Done) => {}
                }
            }
        }
        ordered
    }

    fn meaning(&self, set: &SetDecl, report: &mut Report) -> Option<Meaning<'a>> {
        if let Some(live) = set.live {
            pending::refuse(pending::LIVE_SET, live.to(set.name.span), report);
            return None;
        }
        for only_live in set.max.iter().chain(&set.expires) {
            report.error(
                codes::ONLY_LIVE,
                format!("the set `{}` does not change while running", set.name.value),
                only_live.span,
                "only a live set has a size and an expiry",
                "leave it out",
            );
        }
        let Some(value) = &set.value else {
            refuse_empty(true, &set.name, report);
            return None;
        };
        match value {
            SetValue::Ports(items) => {
                let parts = port_parts(items, self, report)?;
                overlaps::warn(&overlaps(&parts), items, report);
                let ports = RangeSet::from_ranges(parts.into_iter().map(|(_, range)| range));
                refuse_empty(ports.is_empty(), &set.name, report)?;
                Some(Meaning::Ports(ports))
            }
            SetValue::Addresses { first, rest } => {
                let addresses = self.arithmetic(first, rest, report)?;
                let empty = addresses.v4.is_empty() && addresses.v6.is_empty();
                refuse_empty(empty, &set.name, report)?;
                Some(Meaning::Addresses(addresses))
            }
        }
    }

    /// Terms from the left; every wrong one is reported.
    fn arithmetic(
        &self,
        first: &SetTerm,
        rest: &[(Spanned<SetOperator>, SetTerm)],
        report: &mut Report,
    ) -> Option<AddressSet> {
        let mut sum = self.term(first, report);
        for (operator, term) in rest {
            let term = self.term(term, report);
            sum = sum.zip(term).map(|(sum, term)| match operator.value {
                SetOperator::Plus => AddressSet {
                    v4: sum.v4.union(&term.v4),
                    v6: sum.v6.union(&term.v6),
                },
                SetOperator::Minus => AddressSet {
                    v4: sum.v4.minus(&term.v4),
                    v6: sum.v6.minus(&term.v6),
                },
            });
        }
        sum
    }

    fn term(&self, term: &SetTerm, report: &mut Report) -> Option<AddressSet> {
        match term {
            SetTerm::Elements(elements) => {
                let mut gathered = Gathered::default();
                let mut sound = true;
                for element in elements {
                    sound &= gathered.add(element, self, report).is_some();
                }
                if !sound {
                    return None;
                }
                overlaps::warn(&gathered.overlaps(), elements, report);
                Some(gathered.finish())
            }
            SetTerm::Named(name) => self.addresses(name, report).cloned(),
            SetTerm::File { path, .. } => {
                pending::refuse(pending::SET_FILE, path.span, report);
                None
            }
        }
    }
}

/// How far the walk over the sets has come with one.
#[derive(Clone, Copy)]
enum Visit {
    Open,
    Done,
}

/// The names that a set is made of, in order.
fn references(set: &SetDecl) -> Vec<Name> {
    match &set.value {
        None => Vec::new(),
        Some(SetValue::Ports(items)) => items
            .iter()
            .filter_map(|item| match &item.value {
                PortItem::Set(name) => Some(Name {
                    value: name.clone(),
                    span: item.span,
                }),
                _ => None,
            })
            .collect(),
        Some(SetValue::Addresses { first, rest }) => std::iter::once(first)
            .chain(rest.iter().map(|(_, term)| term))
            .flat_map(named_in)
            .collect(),
    }
}

fn named_in(term: &SetTerm) -> Vec<Name> {
    match term {
        SetTerm::Named(name) => vec![name.clone()],
        SetTerm::Elements(elements) => elements
            .iter()
            .filter_map(|element| match &element.value {
                Address::Set(name) => Some(name.clone()),
                _ => None,
            })
            .collect(),
        SetTerm::File { .. } => Vec::new(),
    }
}

/// Refuses a set with nothing in it, whether written so or left by the arithmetic.
fn refuse_empty(empty: bool, name: &Name, report: &mut Report) -> Option<()> {
    if empty {
        report.error(
            codes::EMPTY_SET,
            format!("the set `{}` is empty", name.value),
            name.span,
            "nothing is in it, so no rule that uses it can match",
            "put an element in, or leave out the set and the rules that use it",
        );
        return None;
    }
    Some(())
}

fn cycle(set: &SetDecl, reference: &Name) -> Diagnostic {
    let span: Span = reference.span;
    Diagnostic::error(
        codes::SET_CYCLE,
        format!("the set `{}` is made of itself", set.name.value),
        span,
        "this closes the circle",
    )
    .also(set.name.span, "declared here")
    .help("write out the elements of one of the sets")
}
