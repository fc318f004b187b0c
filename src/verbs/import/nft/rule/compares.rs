//! Comparisons of a rule of nft: a field, how it is compared, and with what.
//!
//! Takes a field and what stands at its right; joins what that asks to the rule that is being read. Not here: which field an expression
//! names, and how values are written.

use serde_json::Value;
use sockc_compiler::policy::Family;
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::ranges::RangeSet;

use super::Reading;
use crate::verbs::import::flags::{any_flag, of_flags};
use crate::verbs::import::hardware;
use crate::verbs::import::interfaces;
use crate::verbs::import::kinds::{self, Kinds};
use crate::verbs::import::list::List;
use crate::verbs::import::nft::fields::{self, Field};
use crate::verbs::import::nft::values::{self, pattern, plain};
use crate::verbs::import::rule::Asks;
use crate::verbs::import::states::States;
use crate::verbs::import::types::with_codes;
use crate::verbs::import::what::{Asked, Named, What, every};

impl Reading<'_> {
    /// Joins what a comparison of a field asks.
    pub(super) fn compares(&mut self, field: Field, op: &str, right: &Value) -> Result<(), String> {
        if field.family().is_some() {
            self.is_of_family = true;
        }
        if field.family().is_some_and(|family| family != self.family) {
            self.rule.cases.clear();
            return Ok(());
        }
        match field {
            Field::State => self.states(op, right),
            Field::Family => self.of_family(op, right),
            Field::Interface(end) => self.interface(end, op, right),
            Field::Flags(mask) => self.flags(mask, op, right),
            Field::Mark(mask) => self.marks(mask, op, right),
            Field::IcmpCode(_) => self.codes(op, right),
            Field::KindOfReceiver => self.kinds(op, right),
            Field::HasFragmentHeader => self.fragments(op, right),
            Field::Hardware(word) => self.hardware(word, op, right),
            _ => {
                if field.is_of_any_carrier() && !self.rule.cases.iter().all(has_known_ports) {
                    self.rule.changed.push("`th` is the ports of TCP, UDP and SCTP here; there it is also what stands in their place in other protocols".to_owned());
                }
                let values = self.values(field, op, right)?;
                let mut asks = field.asks(&values, self.family, self.list)?;
                if let Some(set) = self.named(op, right) {
                    call(&mut asks, field, &set);
                }
                self.ask(asks)
            }
        }
    }

    /// The set of the policy that stands for a set of a table.
    fn named(&self, op: &str, right: &Value) -> Option<Named> {
        let name = right.as_str()?.strip_prefix('@')?;
        Some(Named::new(
            self.listed.name_of(self.table, name),
            op == "!=",
        ))
    }

    /// The numbers that a comparison means.
    fn values(&self, field: Field, op: &str, right: &Value) -> Result<RangeSet<u128>, String> {
        let (kind, last) = (field.kind(), field.last());
        let every = RangeSet::from_ranges([(0, last)]);
        let elements = self.elements(right)?;
        let ranges = elements
            .into_iter()
            .map(|one| values::range(kind, plain(one)?));
        let ranges = ranges.collect::<Result<Vec<_>, String>>()?;
        let first = ranges.first().map_or((0, 0), |range| *range);
        let low_to = |high: Option<u128>| {
            high.map_or_else(RangeSet::default, |high| {
                RangeSet::from_ranges([(0, high.min(last))])
            })
        };
        let high_from = |low: u128| match low <= last {
            true => RangeSet::from_ranges([(low, last)]),
            false => RangeSet::default(),
        };
        let given = RangeSet::from_ranges(ranges);
        Ok(match op {
            "==" => given,
            "!=" => every.minus(&given),
            "<" => low_to(first.0.checked_sub(1)),
            "<=" => low_to(Some(first.1)),
            ">" => high_from(first.1.saturating_add(1)),
            ">=" => high_from(first.0),
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        })
    }

    fn states(&mut self, op: &str, right: &Value) -> Result<(), String> {
        let is_list = right.is_array();
        let negated = match op {
            "in" => false,
            "==" if !is_list => false,
            "!=" if !is_list => true,
            "!" => true,
            _ => return Err("states are compared in a way that is not known here".to_owned()),
        };
        let elements = match right.as_array() {
            Some(all) => all.iter().collect(),
            None => self.elements(right)?,
        };
        let names: Option<Vec<String>> = elements
            .into_iter()
            .map(|name| name.as_str().map(str::to_uppercase))
            .collect();
        let names = names.ok_or_else(|| "a state is no word".to_owned())?;
        let states = States::named(names.iter().map(String::as_str), negated)?;
        self.write()?;
        self.late |= self.rate.is_some();
        self.rule.asks_states(states, self.family, self.list)
    }

    fn of_family(&mut self, op: &str, right: &Value) -> Result<(), String> {
        self.is_of_family = true;
        let elements = self.elements(right)?;
        let has = elements
            .into_iter()
            .any(|one| fields::family(one) == Some(self.family));
        let holds = match op {
            "==" => has,
            "!=" => !has,
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        };
        if !holds {
            self.rule.cases.clear();
        }
        Ok(())
    }

    fn interface(&mut self, end: interfaces::End, op: &str, right: &Value) -> Result<(), String> {
        let negated = match op {
            "==" => false,
            "!=" => true,
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        };
        let elements = self.elements(right)?.into_iter();
        let patterns = elements.map(|one| pattern(plain(one)?));
        let mut patterns = patterns.collect::<Result<Vec<_>, String>>()?;
        // One that is in another one would be a case of its own.
        let all = patterns.clone();
        patterns.retain(|one| !all.iter().any(|other| other != one && other.has(one)));
        if patterns.is_empty() && !negated {
            self.rule.cases.clear();
            return Ok(());
        }
        let asks = interfaces::asks(end, &patterns, negated, self.family, self.list);
        self.ask(asks)
    }

    fn flags(&mut self, mask: u8, op: &str, right: &Value) -> Result<(), String> {
        let family = self.family;
        let sets: Vec<u8> = match right.is_array() {
            true => vec![fields::flags(right)?],
            false => {
                let elements = self.elements(right)?.into_iter();
                elements.map(fields::flags).collect::<Result<_, String>>()?
            }
        };
        let asks = match (op, sets.as_slice()) {
            ("==", sets) => of_flags(mask, sets, false, family),
            ("!=", sets) => of_flags(mask, sets, true, family),
            ("in", [bits]) => any_flag(bits & mask, family),
            ("!", [bits]) => of_flags(bits & mask, &[0], false, family),
            _ => return Err("flags are compared in a way that is not known here".to_owned()),
        };
        self.ask(asks)
    }

    fn hardware(&mut self, word: &str, op: &str, right: &Value) -> Result<(), String> {
        let negated = match op {
            "==" => false,
            "!=" => true,
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        };
        let elements = self.elements(right)?.into_iter();
        let addresses = elements.map(|one| {
            let address = plain(one)?.as_str();
            address.ok_or_else(|| "only a part of a hardware address is meant".to_owned())
        });
        let addresses = addresses.collect::<Result<Vec<_>, String>>()?;
        let asks = hardware::asks(word, &addresses, negated, self.family, self.list)?;
        self.ask(asks)
    }

    fn marks(&mut self, mask: u32, op: &str, right: &Value) -> Result<(), String> {
        let negated = match op {
            "==" => false,
            "!=" => true,
            _ => return Err("a mark is compared in a way that is not known here".to_owned()),
        };
        let elements = self.elements(right)?.into_iter();
        let marks = elements.map(|one| {
            let mark = plain(one)?
                .as_u64()
                .and_then(|mark| u32::try_from(mark).ok());
            mark.filter(|mark| mark & !mask == 0)
                .ok_or_else(|| "a mark is no number, or has bits that its mask has not".to_owned())
        });
        let marks = marks.collect::<Result<Vec<_>, String>>()?;
        let asks = fields::of_marks(mask, &marks, negated, self.family, self.list);
        self.ask(asks)
    }

    /// Codes of ICMP, of types that were asked for ahead of them.
    fn codes(&mut self, op: &str, right: &Value) -> Result<(), String> {
        let values = self.values(Field::IcmpCode(self.family), op, right)?;
        self.write()?;
        self.late |= self.rate.is_some();
        with_codes(&mut self.rule.cases, &values)
    }

    fn kinds(&mut self, op: &str, right: &Value) -> Result<(), String> {
        let negated = match op {
            "==" => false,
            "!=" => true,
            _ => return Err(format!("it compares by `{op}`, which is not known here")),
        };
        let mut all = RangeSet::default();
        let (mut changed, mut own) = (Vec::new(), Vec::new());
        for one in self.elements(right)? {
            let name = one.as_str().unwrap_or_default().to_uppercase();
            let kinds = Kinds::named(&name, self.list == List::In, self.family);
            // IPv6 has no addresses for broadcast.
            let none = name == "BROADCAST" && self.family == Family::V6;
            match kinds {
                Some(kinds) => {
                    let ranges = [kinds.addresses.ranges(), all.ranges()].concat();
                    all = RangeSet::from_ranges(ranges);
                    own.push(kinds.is_own);
                    changed.extend(kinds.changed);
                }
                None if none => {}
                None => {
                    return Err(format!("`{}`: {}", name.to_lowercase(), kinds::UNKNOWN));
                }
            }
        }
        let mut what = What::any(self.family);
        what.to.addresses = match negated {
            true => every(self.family).minus(&all),
            false => all,
        };
        if own == [true] {
            what.to.set = Some(kinds::own(negated));
        }
        let cases = if what.to.addresses.is_empty() {
            Vec::new()
        } else {
            vec![what]
        };
        self.ask(Asks {
            cases,
            changed: (!changed.is_empty()).then(|| changed.join("; ")),
            note: None,
        })
    }

    /// The header of IPv6 that parts of a datagram have.
    fn fragments(&mut self, op: &str, right: &Value) -> Result<(), String> {
        let has = match (op, right.as_bool()) {
            ("==", Some(has)) => has,
            ("!=", Some(has)) => !has,
            _ => return Err("headers between are stepped over, and not asked".to_owned()),
        };
        let (text, with) = match has {
            true => ("fragment", Some("fragment")),
            false => ("no fragment", None),
        };
        let what = What::asked(
            self.family,
            Asked {
                text: text.to_owned(),
                with: with.map(ToOwned::to_owned),
            },
        );
        self.ask(Asks {
            changed: Some("a datagram in one part may have the header, too, and is whole here; and where connections are tracked, no chain sees parts".to_owned()),
            ..what.into()
        })
    }
}

/// Whether it is about protocols alone whose ports are known.
fn has_known_ports(case: &What) -> bool {
    let ports = IpProtocol::WITH_PORTS.map(|one| u128::from(one.0));
    let numbers = case.protocols.ranges().iter();
    let mut numbers = numbers.flat_map(|&(low, high)| low..=high);
    numbers.all(|number| ports.contains(&u128::from(number)))
}

/// Calls addresses by the set that has them. One that holds nothing, or all, has no need of a name.
fn call(asks: &mut Asks, field: Field, set: &Named) {
    for case in &mut asks.cases {
        let side = match field {
            Field::From(_) => &mut case.from,
            Field::To(_) => &mut case.to,
            _ => continue,
        };
        if side.addresses != every(case.family) && !side.addresses.is_empty() {
            side.set = Some(set.clone());
        }
    }
}
