//! All patterns read at once, letter by letter: the states that names lead to.
//!
//! Takes the pieces of patterns; gives the state before the first letter, the states that follow one, and which patterns
//! match there. Of a pattern only what is after the last star that was reached is kept: from there everything is accepted that
//! an earlier place accepts. So what all states have in common, places at stars, is stored once for many states. Not here:
//! which names are walked.

use std::collections::BTreeMap;
use std::rc::Rc;

/// A piece of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// This letter.
    Letter(char),
    /// One letter.
    One,
    /// Any letters; never next to another of these.
    Many,
}

/// The number of a pattern, and how many of its pieces have been read.
type Place = (usize, usize);

/// The walk ends without an answer when it has looked at so many places.
const MAX_WORK: usize = 1 << 24;

/// What a place at a star costs that is stored: a walk takes some 100 MB at most.
const STORED: usize = 8;

/// Where a walk stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    /// Which stars the patterns have reached.
    stars: usize,
    /// The places that are at no star, sorted.
    between: Vec<Place>,
}

/// Stars that patterns have reached, of each the last.
struct Stars {
    places: Rc<[Place]>,
    /// Where they lead, with the star left.
    leads: Leads,
    /// The patterns that end with them.
    ended: Vec<usize>,
}

/// Where letters lead.
#[derive(Clone, Default)]
struct Leads {
    /// Every letter.
    any: Vec<Place>,
    /// This letter, besides.
    letters: BTreeMap<char, Vec<Place>>,
}

/// A walk of some patterns.
pub(super) struct Walk {
    pieces: Vec<Vec<Piece>>,
    stars: Vec<Stars>,
    known: BTreeMap<Rc<[Place]>, usize>,
    work: usize,
}

impl Leads {
    /// Adds what leads on from the piece at a place.
    fn add(&mut self, pieces: &[Vec<Piece>], (number, at): Place) {
        let next = (number, at + 1);
        match pieces[number].get(at) {
            Some(Piece::One) => self.any.push(next),
            Some(Piece::Letter(letter)) if is_of_a_name(*letter) => {
                self.letters.entry(*letter).or_default().push(next);
            }
            // What is at a star is not between stars.
            Some(Piece::Letter(_) | Piece::Many) | None => {}
        }
    }

    fn len(&self) -> usize {
        let letters: usize = self.letters.values().map(Vec::len).sum();
        // Each letter leads to what every letter leads to, too.
        self.any.len() * (self.letters.len() + 1) + letters
    }
}

impl Walk {
    /// That of these patterns.
    pub(super) fn new(pieces: Vec<Vec<Piece>>) -> Self {
        let none = Stars {
            places: Rc::default(),
            leads: Leads::default(),
            ended: Vec::new(),
        };
        Self {
            pieces,
            known: BTreeMap::from([(Rc::clone(&none.places), 0)]),
            stars: vec![none],
            work: 0,
        }
    }

    /// The state before the first letter; `None` if there is too much to tell, as with the others.
    pub(super) fn start(&mut self) -> Option<State> {
        let places = (0..self.pieces.len()).map(|number| (number, 0)).collect();
        self.state(0, places)
    }

    /// The states after one more letter, with the letter; `None` stands for every letter that no pattern waits for. States that
    /// nothing can match any more are left out.
    pub(super) fn next(&mut self, state: &State) -> Option<Vec<(Option<char>, State)>> {
        let mut leads = self.stars[state.stars].leads.clone();
        for place in &state.between {
            leads.add(&self.pieces, *place);
        }
        self.charge(leads.len() + state.between.len())?;
        let others = self.state(state.stars, leads.any.clone())?;
        let mut states = vec![(None, others)];
        for (letter, mut places) in leads.letters {
            places.extend(&leads.any);
            states.push((Some(letter), self.state(state.stars, places)?));
        }
        states.retain(|(_, state)| state.stars != 0 || !state.between.is_empty());
        Some(states)
    }

    /// The patterns that the names of a state match.
    pub(super) fn matched(&mut self, state: &State) -> Option<Vec<usize>> {
        let ended = &self.stars[state.stars].ended;
        let read = state.between.iter();
        let read = read.filter(|(number, at)| *at == self.pieces[*number].len());
        let mut matched = ended.clone();
        matched.extend(read.map(|(number, _)| *number));
        matched.sort_unstable();
        self.charge(matched.len())?;
        Some(matched)
    }

    /// The state of these places after some stars.
    fn state(&mut self, stars: usize, places: Vec<Place>) -> Option<State> {
        let is_star = |(number, at): &Place| self.pieces[*number].get(*at) == Some(&Piece::Many);
        let (reached, mut between): (Vec<Place>, Vec<Place>) =
            places.into_iter().partition(is_star);
        let mut state = State {
            stars,
            between: Vec::new(),
        };
        if !reached.is_empty() {
            state.stars = self.reach(stars, &reached)?;
            let known = &self.stars[state.stars].places;
            between.retain(|(number, at)| {
                let star = known.binary_search_by_key(number, |(number, _)| *number);
                star.is_err() || star.is_ok_and(|index| known[index].1 < *at)
            });
        }
        between.sort_unstable();
        between.dedup();
        state.between = between;
        Some(state)
    }

    /// The stars that were reached, with more of them.
    fn reach(&mut self, stars: usize, reached: &[Place]) -> Option<usize> {
        let mut last: BTreeMap<usize, usize> = self.stars[stars].places.iter().copied().collect();
        for (number, at) in reached {
            let known = last.entry(*number).or_default();
            *known = (*known).max(*at);
        }
        self.charge(last.len())?;
        let places: Rc<[Place]> = last.into_iter().collect();
        if let Some(known) = self.known.get(&places) {
            return Some(*known);
        }
        self.charge(places.len() * STORED)?;
        let mut leads = Leads::default();
        let mut ended = Vec::new();
        for (number, at) in &*places {
            leads.add(&self.pieces, (*number, at + 1));
            if at + 1 == self.pieces[*number].len() {
                ended.push(*number);
            }
        }
        let stars = Stars {
            places: Rc::clone(&places),
            leads,
            ended,
        };
        self.stars.push(stars);
        self.known.insert(places, self.stars.len() - 1);
        Some(self.stars.len() - 1)
    }

    fn charge(&mut self, work: usize) -> Option<()> {
        self.work += work;
        (self.work <= MAX_WORK).then_some(())
    }
}

/// Whether the name of an interface may have a letter.
fn is_of_a_name(letter: char) -> bool {
    !matches!(letter, '/' | ':') && !letter.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each name its first half may be read in many patterns: every set of them is a state with all the others' stars.
    #[test]
    fn a_walk_that_would_store_too_much_ends() {
        let pieces = |number: usize| {
            let letters = [number / 40, number % 40].map(|digit| {
                let letter = u32::try_from(digit).unwrap() + u32::from('A');
                Piece::Letter(char::from_u32(letter).unwrap())
            });
            let [first, second] = letters;
            vec![Piece::Many, first, second, Piece::Many, second, first]
        };
        let mut walk = Walk::new((0..1_600).map(pieces).collect());
        let mut level = vec![walk.start().unwrap()];
        let mut ended = false;
        while !ended {
            let next: Option<Vec<_>> = level.iter().map(|state| walk.next(state)).collect();
            ended = next.is_none();
            let next = next.into_iter().flatten().flatten();
            level = next.map(|(_, state)| state).collect();
        }
        let stored: usize = walk.stars.iter().map(|one| one.places.len()).sum();
        assert!(stored * STORED <= MAX_WORK, "{stored}");
    }
}
