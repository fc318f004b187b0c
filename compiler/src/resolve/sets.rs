//! Sets: of addresses with their arithmetic, of ports; every set once, in the order of their dependence.

use std::collections::BTreeMap;
use std::rc::Rc;

use cranelift_entity::PrimaryMap;
use sockc_grammar::ast::{
    Address, MapDecl, Name, OWN, PortItem, SetDecl, SetOperator, SetTerm, SetValue,
};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::addresses::Gathered;
use super::codes;
use super::declared::Declared;
use super::live::{list_fits, live_set};
use super::mentions::Mentions;
use super::overlaps::{self, overlaps};
use super::places::Places;
use super::ports::port_parts;
use super::report::Report;
use crate::policy::{AddressSet, Addresses, Set, SetId, SetKind};
use crate::ranges::RangeSet;
use crate::reading::{List, Lists};

/// A constant set of more ranges than this is asked as one question.
const LARGE: usize = 64;

/// What the name of a set stands for.
#[derive(Clone)]
enum Meaning<'a> {
    /// Declared, and not looked at yet.
    Unread(&'a SetDecl),
    Addresses {
        addresses: Rc<AddressSet>,
        /// Its number, if it is large and rules name it.
        id: Option<SetId>,
    },
    Ports(RangeSet<u16>),
    Live {
        kind: SetKind,
        id: Option<SetId>,
    },
    /// A map, live or not.
    Map,
    /// Something is wrong with it, which has been reported: its uses are silent.
    Refused,
}

/// The sets of a policy; maps share their space of names.
pub(super) struct Sets<'a> {
    declared: Declared<Meaning<'a>>,
    /// Those that this policy declares.
    order: Vec<&'a SetDecl>,
    /// Those that the policy around it declares.
    inherited: Vec<&'a SetDecl>,
    /// The number of `self`, if this policy names it. A policy inside this one has its own: it holds in another namespace, which
    /// has other addresses.
    own: Option<SetId>,
    lists: &'a Lists,
}

impl<'a> Sets<'a> {
    /// No sets yet; the lists are those that sets may name.
    pub(super) fn new(lists: &'a Lists) -> Self {
        Self {
            declared: Declared::new("set"),
            order: Vec::new(),
            inherited: Vec::new(),
            own: None,
            lists,
        }
    }

    /// The same names for a policy inside this one, which numbers those that it uses itself.
    pub(super) fn inherited(&self) -> Self {
        let mut inherited = Self {
            declared: self.declared.clone(),
            order: Vec::new(),
            inherited: self.order.iter().chain(&self.inherited).copied().collect(),
            own: None,
            lists: self.lists,
        };
        for decl in &inherited.inherited {
            let meaning = match self.declared.get(&decl.name.value) {
                Some(Meaning::Live { kind, .. }) => Meaning::Live {
                    kind: kind.clone(),
                    id: None,
                },
                Some(Meaning::Addresses { addresses, .. }) => Meaning::Addresses {
                    addresses: Rc::clone(addresses),
                    id: None,
                },
                _ => continue,
            };
            inherited.declared.set(&decl.name.value, meaning);
        }
        inherited
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

    /// Takes the name of a map; says whether it was free.
    pub(super) fn declare_map(&mut self, map: &MapDecl, report: &mut Report) -> bool {
        self.declared.declare(&map.name, Meaning::Map, report)
    }

    /// The addresses of `@name` for the arithmetic of sets; reports a name that stands for something else.
    pub(super) fn addresses(&self, name: &Name, report: &mut Report) -> Option<&AddressSet> {
        match self.declared.look_up(&name.value, name.span, report)? {
            Meaning::Addresses { addresses, .. } => Some(addresses),
            Meaning::Live { .. } => {
                report.error(
                    codes::LIVE_ARITHMETIC,
                    format!("`@{}` is a live set", name.value),
                    name.span,
                    "what is in it changes while running, so no other set can be made of it",
                    "name both sets in the rules that need both",
                );
                None
            }
            other => {
                no_addresses(name, other, report);
                None
            }
        }
    }

    /// The addresses of `@name` as an endpoint; reports a name that stands for something else.
    pub(super) fn endpoint(&self, name: &Name, report: &mut Report) -> Option<Addresses> {
        match self.declared.look_up(&name.value, name.span, report)? {
            Meaning::Addresses { id: Some(id), .. } | Meaning::Live { id: Some(id), .. } => {
                Some(Addresses::Set(*id))
            }
            Meaning::Addresses {
                addresses,
                id: None,
            } => Some(AddressSet::clone(addresses).into()),
            other => {
                no_addresses(name, other, report);
                None
            }
        }
    }

    /// The number of `self`: every mention of it has been seen before sets were numbered.
    pub(super) fn own(&self) -> Option<SetId> {
        self.own
    }

    /// The number of the live set `@name`, or of `self`; reports a name that stands for something else.
    pub(super) fn live(&self, name: &Name, report: &mut Report) -> Option<SetId> {
        if name.value == OWN {
            return self.own;
        }
        match self.declared.look_up(&name.value, name.span, report)? {
            Meaning::Live { id, .. } => *id,
            Meaning::Addresses { .. } => {
                report.error(
                    codes::NOT_A_SET,
                    format!("`@{}` is not a live set", name.value),
                    name.span,
                    "what is in it never changes",
                    "leave it out, or name a live set",
                );
                None
            }
            other => {
                no_addresses(name, other, report);
                None
            }
        }
    }

    /// The ports of `@name`; reports an unknown name and a set of addresses.
    pub(super) fn ports(&self, name: &Name, report: &mut Report) -> Option<&RangeSet<u16>> {
        match self.declared.look_up(&name.value, name.span, report)? {
            Meaning::Ports(set) => Some(set),
            Meaning::Addresses { .. } | Meaning::Live { .. } => {
                report.error(
                    codes::SET_OF_ADDRESSES,
                    format!("`@{}` is a set of addresses", name.value),
                    name.span,
                    "a set of ports is expected here",
                    format!("declare the ports: `set {} = ports {{ … }}`", name.value),
                );
                None
            }
            Meaning::Map => {
                report.push(is_a_map(name));
                None
            }
            Meaning::Refused | Meaning::Unread(_) => None,
        }
    }

    /// Whether `@name` is a map; reports a name that stands for something else.
    pub(super) fn is_map(&self, name: &Name, report: &mut Report) -> Option<()> {
        match self
            .declared
            .look_up_as("map", &name.value, name.span, report)?
        {
            Meaning::Map => Some(()),
            Meaning::Refused => None,
            _ => {
                report.error(
                    codes::NOT_A_SET,
                    format!("`@{}` is a set", name.value),
                    name.span,
                    "a map is needed here",
                    format!(
                        "declare `map {} = {{ PREFIX:PORTS -> sock NAME }}`",
                        name.value
                    ),
                );
                None
            }
        }
    }

    /// Numbers the sets that are asked as one question: live ones that this policy declares or names, large ones that
    /// its rules name, and `self`. Equal contents share a number.
    pub(super) fn number(
        &mut self,
        mentions: &Mentions<'_>,
        places: &Places<'_>,
        sets: &mut PrimaryMap<SetId, Set>,
    ) {
        let own = self.order.iter().map(|decl| (decl, true));
        let outer = self.inherited.iter().map(|decl| (decl, false));
        for (decl, own) in own.chain(outer) {
            let name = &decl.name;
            let named = mentions.sets.contains(name.value.as_str());
            let set = |kind| Set {
                name: name.value.clone(),
                kind,
                place: places.place(name.span),
            };
            let meaning = match self.declared.get(&name.value) {
                Some(Meaning::Live { kind, .. }) if own || named => Meaning::Live {
                    id: Some(sets.push(set(kind.clone()))),
                    kind: kind.clone(),
                },
                Some(Meaning::Addresses { addresses, .. }) if named && is_large(addresses) => {
                    let id = known(sets, addresses).unwrap_or_else(|| {
                        sets.push(set(SetKind::Constant(AddressSet::clone(addresses))))
                    });
                    Meaning::Addresses {
                        id: Some(id),
                        addresses: Rc::clone(addresses),
                    }
                }
                _ => continue,
            };
            self.declared.set(&name.value, meaning);
        }
        let own = mentions.own.map(|span| Set::own(places.place(span)));
        self.own = own.map(|own| sets.push(own));
    }

    /// The constant sets of addresses that rules here can name, in the order of their names.
    pub(super) fn named(&self) -> Vec<(String, AddressSet)> {
        let all = self.order.iter().chain(&self.inherited);
        let mut named: Vec<(String, AddressSet)> = all
            .filter_map(|decl| match self.declared.get(&decl.name.value) {
                Some(Meaning::Addresses { addresses, .. }) => {
                    Some((decl.name.value.clone(), AddressSet::clone(addresses)))
                }
                _ => None,
            })
            .collect();
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        named
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
        if set.live.is_some() {
            let kind = live_set(set, self.lists, report)?;
            return Some(Meaning::Live { kind, id: None });
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
                Some(Meaning::Addresses {
                    addresses: Rc::new(addresses),
                    id: None,
                })
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
                SetOperator::Minus => sum.minus(&term),
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
            SetTerm::File { path, max } => {
                // One that is wrong has been reported.
                let list = self.lists.get(&path.span)?.as_ref()?;
                list_fits(list, max.as_ref(), report)?;
                merged_lines(list, path.span, report);
                Some(list.addresses.clone())
            }
        }
    }
}

/// The constant set with these contents, if there is one.
fn known(sets: &PrimaryMap<SetId, Set>, addresses: &AddressSet) -> Option<SetId> {
    let mut sets = sets.iter();
    let equal = |set: &Set| matches!(&set.kind, SetKind::Constant(other) if other == addresses);
    sets.find(|(_, set)| equal(set)).map(|(id, _)| id)
}

/// Whether a set has so many ranges that they are not taken apart.
fn is_large(set: &AddressSet) -> bool {
    set.v4.ranges().len() + set.v6.ranges().len() > LARGE
}

/// Reports that a name does not stand for addresses, unless something else has been said of it.
fn no_addresses(name: &Name, meaning: &Meaning<'_>, report: &mut Report) {
    match meaning {
        Meaning::Ports(_) => report.error(
            codes::SET_OF_PORTS,
            format!("`@{}` is a set of ports", name.value),
            name.span,
            "a set of addresses is expected here",
            format!("write `port @{0}`, or `any:@{0}`", name.value),
        ),
        Meaning::Map => report.push(is_a_map(name)),
        _ => {}
    }
}

fn is_a_map(name: &Name) -> Diagnostic {
    Diagnostic::error(
        codes::NOT_A_SET,
        format!("`@{}` is a map", name.value),
        name.span,
        "a set is needed here",
    )
    .help(format!(
        "write `redirect tcp by @{}`, or name a set",
        name.value
    ))
}

/// Says once how many elements of a list overlap others.
fn merged_lines(list: &List, span: Span, report: &mut Report) {
    let message = match list.overlapping {
        0 => return,
        1 => "1 element of the list overlaps another and was merged".to_owned(),
        count => format!("{count} elements of the list overlap others and were merged"),
    };
    report.push(
        Diagnostic::warning(codes::ELEMENTS_OVERLAP, message, span, "this list")
            .help("write what is in the list once; it means the same"),
    );
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
