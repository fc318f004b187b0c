//! Colours of the kinds of change, and their legend.

use std::fmt::Write;

use sockc_compiler::diff::report::Change;

use super::{LINE, MARGIN};
use crate::changes::words;
use crate::svg::colour::{BLUE, GREEN, GREY, PURPLE, SKY, VERMILION};
use crate::svg::escaped;

/// Colours by what becomes of a packet.
const COLOURS: [(&str, &str); 5] = [
    ("allow", VERMILION),
    ("drop", BLUE),
    ("reject", SKY),
    ("redirect", GREEN),
    ("shortcut", PURPLE),
];

/// The kinds of change in a picture, each a pair of fates.
#[derive(Debug)]
pub(super) struct Kinds(Vec<Kind>);

/// A pair of fates.
#[derive(Debug)]
struct Kind {
    fates: String,
    colour: &'static str,
    /// Where there are several they are hatched, each at another angle, since what overlaps is told apart by fields that are
    /// not drawn.
    angle: Option<usize>,
}

impl Kinds {
    /// The kinds of these changes, in their order.
    pub(super) fn new<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        for change in changes {
            let fates = words::fates(change);
            if kinds.iter().any(|kind| kind.fates == fates) {
                continue;
            }
            let verdict = change.to.verdict;
            let colour = COLOURS.iter().find(|(known, _)| *known == verdict);
            kinds.push(Kind {
                fates,
                colour: colour.map_or(GREY, |(_, colour)| colour),
                angle: None,
            });
        }
        let several = kinds.len();
        if several > 1 {
            for (place, kind) in kinds.iter_mut().enumerate() {
                kind.angle = Some(45 + 180 * place / several);
            }
        }
        Self(kinds)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The definitions of what is hatched.
    pub(super) fn patterns(&self) -> String {
        let mut text = String::from("<defs>\n");
        for (place, kind) in self.0.iter().enumerate() {
            if let Some(angle) = kind.angle {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "<pattern id=\"kind{place}\" width=\"10\" height=\"10\" patternUnits=\"userSpaceOnUse\" \
                     patternTransform=\"rotate({angle})\"><rect width=\"10\" height=\"10\" fill=\"{0}\" \
                     fill-opacity=\"0.2\"/><rect width=\"4\" height=\"10\" fill=\"{0}\"/></pattern>",
                    kind.colour
                );
            }
        }
        text + "</defs>\n"
    }

    /// How a change is filled.
    pub(super) fn fill(&self, change: &Change) -> String {
        let fates = words::fates(change);
        let place = self.0.iter().position(|kind| kind.fates == fates);
        place.map_or_else(|| GREY.to_owned(), |place| self.fill_of(place))
    }

    fn fill_of(&self, place: usize) -> String {
        match &self.0[place] {
            Kind { angle: Some(_), .. } => format!("url(#kind{place})"),
            Kind { colour, .. } => (*colour).to_owned(),
        }
    }

    /// A line for each kind.
    pub(super) fn legend(&self, text: &mut String, top: f64) {
        for (place, kind) in self.0.iter().enumerate() {
            let y = top + LINE * place as f64;
            let _ = writeln!(
                text,
                "<rect x=\"{MARGIN}\" y=\"{y}\" width=\"26\" height=\"14\" fill=\"{}\"/>\
                 <text x=\"50\" y=\"{}\">{}</text>",
                self.fill_of(place),
                y + 11.0,
                escaped(&kind.fates)
            );
        }
    }
}
