//! Operations on whole diagrams. Each recurses over variables in order, so at most as deep as there are bits.
//!
//! By their usual names: if-then-else, conjunction, apply, cofactor (`restrict`), existential quantification (`exists`), the
//! preimage of a terminal, and the priority merge of rules, of which the first match wins.

use super::cache::{Known, Question};
use super::{BudgetExceeded, Node, Store};
use crate::field::Field;

/// The third operand that marks a merge in the operation cache: no node has this id.
const MERGE: Node = Node(u32::MAX);

impl Store {
    /// Where `condition` (terminals 0 and 1) is 1, `then`; elsewhere `otherwise`.
    pub fn ite(
        &mut self,
        condition: Node,
        then: Node,
        otherwise: Node,
    ) -> Result<Node, BudgetExceeded> {
        match (condition, then, otherwise) {
            (Node::TRUE, ..) => return Ok(then),
            (Node::FALSE, ..) => return Ok(otherwise),
            (_, Node::TRUE, Node::FALSE) => return Ok(condition),
            _ if then == otherwise => return Ok(then),
            _ => {}
        }
        let question = Question(condition, then, otherwise);
        if let Some(answer) = self.cache.get(question) {
            return Ok(answer);
        }
        self.step()?;
        let variable = self
            .variable(condition)
            .min(self.variable(then))
            .min(self.variable(otherwise));
        let (c0, c1) = self.split(condition, variable);
        let (t0, t1) = self.split(then, variable);
        let (e0, e1) = self.split(otherwise, variable);
        let low = self.ite(c0, t0, e0)?;
        let high = self.ite(c1, t1, e1)?;
        let answer = self.make(variable, low, high)?;
        self.cache.put(question, answer);
        Ok(answer)
    }

    /// 1 where both are 1.
    pub fn and(&mut self, f: Node, g: Node) -> Result<Node, BudgetExceeded> {
        self.ite(f.min(g), f.max(g), Node::FALSE)
    }

    /// 1 where at least one is 1.
    pub fn or(&mut self, f: Node, g: Node) -> Result<Node, BudgetExceeded> {
        self.ite(f.min(g), Node::TRUE, f.max(g))
    }

    /// 1 where `f` is 0.
    pub fn not(&mut self, f: Node) -> Result<Node, BudgetExceeded> {
        self.ite(f, Node::FALSE, Node::TRUE)
    }

    /// Whether both are 1 anywhere.
    pub fn intersects(&mut self, f: Node, g: Node) -> Result<bool, BudgetExceeded> {
        Ok(self.and(f, g)? != Node::FALSE)
    }

    /// Whether both are 1 anywhere, found out without making nodes: quick where one of them is narrow.
    #[must_use]
    pub(crate) fn intersects_unbuilt(&mut self, f: Node, g: Node) -> bool {
        let mut apart = Known::default();
        let found = self.find_common(f, g, &mut apart);
        self.spend(apart.len() as u64);
        found
    }

    fn find_common(&self, f: Node, g: Node, apart: &mut Known<(Node, Node), ()>) -> bool {
        match (f, g) {
            (Node::FALSE, _) | (_, Node::FALSE) => return false,
            (Node::TRUE, _) | (_, Node::TRUE) => return true,
            _ if f == g => return true,
            _ => {}
        }
        if apart.contains_key(&(f, g)) {
            return false;
        }
        let variable = self.variable(f).min(self.variable(g));
        let (f0, f1) = self.split(f, variable);
        let (g0, g1) = self.split(g, variable);
        if self.find_common(f0, g0, apart) || self.find_common(f1, g1, apart) {
            return true;
        }
        apart.insert((f, g), ());
        false
    }

    /// The priority merge: `f`, and `g` where `f` is `NOMATCH`.
    pub(crate) fn merge(&mut self, f: Node, g: Node) -> Result<Node, BudgetExceeded> {
        if f == Node::NOMATCH {
            return Ok(g);
        }
        if f == g || g == Node::NOMATCH || self.terminal_of(f).is_some() {
            return Ok(f);
        }
        let question = Question(f, g, MERGE);
        if let Some(answer) = self.cache.get(question) {
            return Ok(answer);
        }
        let variable = self.variable(f).min(self.variable(g));
        let (f0, f1) = self.split(f, variable);
        let (g0, g1) = self.split(g, variable);
        let low = self.merge(f0, g0)?;
        let high = self.merge(f1, g1)?;
        let answer = self.make(variable, low, high)?;
        self.cache.put(question, answer);
        Ok(answer)
    }

    /// The priority merge of a list, the first on top; halves are merged, so that intermediate diagrams stay small.
    pub(crate) fn merge_all(&mut self, layers: &[Node]) -> Result<Node, BudgetExceeded> {
        match layers {
            [] => Ok(Node::NOMATCH),
            [one] => Ok(*one),
            _ => {
                let (upper, lower) = layers.split_at(layers.len() / 2);
                let f = self.merge_all(upper)?;
                let g = self.merge_all(lower)?;
                self.merge(f, g)
            }
        }
    }

    /// 1 where at least one of the list is 1.
    pub fn any(&mut self, list: &[Node]) -> Result<Node, BudgetExceeded> {
        match list {
            [] => Ok(Node::FALSE),
            [one] => Ok(*one),
            _ => {
                let (first, second) = list.split_at(list.len() / 2);
                let f = self.any(first)?;
                let g = self.any(second)?;
                self.or(f, g)
            }
        }
    }

    /// `f` with every terminal replaced.
    pub(crate) fn map_terminals(
        &mut self,
        f: Node,
        map: &mut dyn FnMut(u32) -> u32,
    ) -> Result<Node, BudgetExceeded> {
        self.apply2(f, Node::FALSE, &mut |terminal, _| map(terminal))
    }

    /// The preimage of a terminal: 1 where `f` has it.
    pub(crate) fn preimage(&mut self, f: Node, terminal: u32) -> Result<Node, BudgetExceeded> {
        self.map_terminals(f, &mut |found| u32::from(found == terminal))
    }

    /// Those of `f` that are not of `g`.
    pub fn minus(&mut self, f: Node, g: Node) -> Result<Node, BudgetExceeded> {
        self.ite(g, Node::FALSE, f)
    }

    /// The diagram of `combine` of both terminals, everywhere. `combine` must be a function of its arguments; it is
    /// called in a fixed order.
    pub(crate) fn apply2(
        &mut self,
        f: Node,
        g: Node,
        combine: &mut dyn FnMut(u32, u32) -> u32,
    ) -> Result<Node, BudgetExceeded> {
        let mut known = Known::default();
        self.combine(f, g, combine, &mut known)
    }

    fn combine(
        &mut self,
        f: Node,
        g: Node,
        combine: &mut dyn FnMut(u32, u32) -> u32,
        known: &mut Known<(Node, Node), Node>,
    ) -> Result<Node, BudgetExceeded> {
        if let Some(&answer) = known.get(&(f, g)) {
            return Ok(answer);
        }
        let answer = match (self.terminal_of(f), self.terminal_of(g)) {
            (Some(a), Some(b)) => self.terminal(combine(a, b))?,
            _ => {
                let variable = self.variable(f).min(self.variable(g));
                let (f0, f1) = self.split(f, variable);
                let (g0, g1) = self.split(g, variable);
                let low = self.combine(f0, g0, combine, known)?;
                let high = self.combine(f1, g1, combine, known)?;
                self.make(variable, low, high)?
            }
        };
        known.insert((f, g), answer);
        Ok(answer)
    }

    /// The cofactor: `f` where the field has this value; the answer does not depend on the field.
    pub fn restrict(&mut self, f: Node, field: Field, value: u32) -> Result<Node, BudgetExceeded> {
        let mut known = Known::default();
        self.restrict_from(f, field, value, &mut known)
    }

    /// Existential quantification: 1 where `f` (terminals 0 and 1) is 1 for some value of the field; the answer does not depend on the field.
    pub fn exists(&mut self, f: Node, field: Field) -> Result<Node, BudgetExceeded> {
        let mut known = Known::default();
        self.exists_from(f, field, &mut known)
    }

    fn exists_from(
        &mut self,
        f: Node,
        field: Field,
        known: &mut Known<Node, Node>,
    ) -> Result<Node, BudgetExceeded> {
        let data = self.data(f);
        if data.variable >= self.first(field) + field.bits() {
            return Ok(f);
        }
        if let Some(&answer) = known.get(&f) {
            return Ok(answer);
        }
        let low = self.exists_from(data.low, field, known)?;
        let high = self.exists_from(data.high, field, known)?;
        let answer = if self.bit_of(data.variable).0 == field {
            self.or(low, high)?
        } else {
            self.make(data.variable, low, high)?
        };
        known.insert(f, answer);
        Ok(answer)
    }

    fn restrict_from(
        &mut self,
        f: Node,
        field: Field,
        value: u32,
        known: &mut Known<Node, Node>,
    ) -> Result<Node, BudgetExceeded> {
        let data = self.data(f);
        if data.variable >= self.first(field) + field.bits() {
            return Ok(f);
        }
        if let Some(&answer) = known.get(&f) {
            return Ok(answer);
        }
        let (tested, bit) = self.bit_of(data.variable);
        let answer = if tested == field {
            let next = if value >> bit & 1 == 1 {
                data.high
            } else {
                data.low
            };
            self.restrict_from(next, field, value, known)?
        } else {
            let low = self.restrict_from(data.low, field, value, known)?;
            let high = self.restrict_from(data.high, field, value, known)?;
            self.make(data.variable, low, high)?
        };
        known.insert(f, answer);
        Ok(answer)
    }
}
