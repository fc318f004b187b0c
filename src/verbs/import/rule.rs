//! A rule of another tool as what it is about and what it does, for one family and one list.
//!
//! What is read of it by the tools' own modules meets here. Not here: where the rule is reached from.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::goal::Goal;
use super::line::Line;
use super::list::List;
use super::states::{self, States};
use super::what::{Rate, What, with_types};

/// What a rule says.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// What it is about: any of these.
    pub(super) cases: Vec<What>,
    /// What it does, as far as that was understood.
    pub(super) goal: Option<Goal>,
    /// The line that it writes beside that.
    pub(super) log: Option<Written>,
    /// Its comment.
    pub(super) comment: Option<String>,
    /// How it means something else here.
    pub(super) changed: Vec<String>,
    /// What is worth knowing of it, though it means the same.
    pub(super) notes: Vec<String>,
    /// Why it cannot be carried over.
    pub(super) unread: Option<String>,
    /// Whether another verdict of its map may be about the end of a handshake, so that its own is about none.
    pub(super) is_apart: bool,
    /// What is said of the states that it asks for, and which they are.
    states: Option<(String, States)>,
}

/// A line that a rule writes beside what it does.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// How it begins.
    pub(super) prefix: String,
    /// How many there are at most, where that is known.
    pub(super) most: Option<String>,
    /// The line of the file that asks for it, where that is another one.
    pub(super) line: Option<Line>,
}

impl From<String> for Written {
    fn from(prefix: String) -> Self {
        Self {
            prefix,
            most: None,
            line: None,
        }
    }
}

/// What one option asks, and what is said of that.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Any of these, which share no packet.
    pub(super) cases: Vec<What>,
    /// How it means something else here.
    pub(super) changed: Option<String>,
    /// What is worth knowing, though it means the same.
    pub(super) note: Option<String>,
}

impl From<What> for Asks {
    fn from(what: What) -> Self {
        Self {
            cases: vec![what],
            ..Self::default()
        }
    }
}

impl Rule {
    /// A rule about every packet, which does nothing yet.
    pub(super) fn any(family: Family) -> Self {
        Self {
            cases: vec![What::any(family)],
            goal: Some(Goal::Count),
            log: None,
            comment: None,
            changed: Vec::new(),
            notes: Vec::new(),
            unread: None,
            is_apart: false,
            states: None,
        }
    }

    /// The same about its cases from one on, if there are any.
    pub(super) fn behind_case(&self, number: usize) -> Option<Self> {
        let cases = self.cases.get(number..)?.to_vec();
        (!cases.is_empty()).then(|| Self {
            cases,
            ..self.clone()
        })
    }

    /// It cannot be carried over. The first reason is told.
    pub(super) fn refuse(&mut self, why: String) {
        self.unread.get_or_insert(why);
    }

    /// Joins what is asked to what was asked before, and keeps what is said of it.
    pub(super) fn asks(&mut self, asks: Asks) -> Result<(), String> {
        self.met(&asks.cases)?;
        self.changed.extend(asks.changed);
        self.notes.extend(asks.note);
        Ok(())
    }

    /// Joins what is asked to what was asked before.
    pub(super) fn met(&mut self, cases: &[What]) -> Result<(), String> {
        let mut met = Vec::new();
        for one in &self.cases {
            for other in cases {
                met.extend(one.and(other)?);
            }
        }
        self.cases = with_types(met);
        Ok(())
    }

    /// Joins states of connections. What is said of them is known once the whole rule is.
    pub(super) fn asks_states(
        &mut self,
        states: States,
        family: Family,
        list: List,
    ) -> Result<(), String> {
        let asks = states.asks(family, list)?;
        let is_empty = self.cases.is_empty();
        self.met(&asks.cases)?;
        if self.cases.is_empty() && !is_empty {
            // Of these protocols nothing is left of the states.
            return Err(asks.changed.unwrap_or_default());
        }
        self.states = asks.changed.map(|said| (said, states));
        self.notes.extend(asks.note);
        Ok(())
    }

    /// Gives it a rate; `late` is whether something was asked behind that.
    pub(super) fn limit(&mut self, rate: &Rate, late: bool) {
        if late {
            self.changed.push(
                "a packet takes a token only where all else in the rule matches, and not where a match behind the rate fails".to_owned(),
            );
        }
        if self.cases.len() > 1 {
            self.refuse("its rate is for packets that one rule cannot describe".to_owned());
        }
        for case in &mut self.cases {
            case.rate = Some(rate.clone());
        }
    }

    /// Ends reading: what is known of the whole rule only.
    pub(super) fn finish(&mut self, list: List) {
        let accepts = self.accepts_handshakes();
        for case in &mut self.cases {
            states::shorten(case, accepts);
        }
        self.check_ports();
        self.check_states(list);
    }

    /// Whether what ends a handshake is accepted with what is NEW.
    fn accepts_handshakes(&self) -> bool {
        self.goal == Some(Goal::Accept) && !self.is_apart
    }

    /// Says what the states of the rule mean here.
    fn check_states(&mut self, list: List) {
        let Some((said, states)) = self.states.take() else {
            return;
        };
        let accepts = self.accepts_handshakes();
        let is_exact_for_tcp = states.is_exact_for_tcp(list, accepts);
        let tcp = RangeSet::from_ranges([(6, 6)]);
        if !is_exact_for_tcp || self.cases.iter().any(|case| case.protocols != tcp) {
            let more = states::said_of_handshakes(&self.cases);
            let more = more.map(|more| format!("; {more}")).unwrap_or_default();
            self.changed.push(said + &more);
        }
    }

    /// Ports are read of three protocols.
    fn check_ports(&mut self) {
        const WITH_PORTS: [u8; 3] = [6, 17, 132];
        let with = RangeSet::from_ranges(WITH_PORTS.map(|one| (one, one)));
        let wrong = self.cases.iter().any(|case| {
            let asks = case.from.ports.is_some() || case.to.ports.is_some();
            asks && !case.protocols.minus(&with).is_empty()
        });
        if wrong {
            self.cases.clear();
            self.refuse("ports are those of TCP, UDP and SCTP".to_owned());
        }
    }
}
