//! A comparison as a picture: what changes, by the sender's address and the receiver's port.
//!
//! Takes a report whose changes have their shadows; gives an SVG file that needs nothing else, can be read on light and
//! dark pages, and says in its tooltips what each area is. One row for each direction of each namespace, IPv4 at the
//! left, IPv6 at the right. Not here: the other fields; an area stands for whatever they are.

mod axis;
mod style;

use std::fmt::Write;

use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{About, Change, Scope, Shadow};

use super::{summary, words};
use crate::output::count;
use crate::svg::{self, escaped};
use axis::{Axis, Of};
use style::Kinds;

/// A panel's field, and what is around it.
const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 168.0;
const BELOW: f64 = 58.0;
const ABOVE: f64 = 34.0;
/// The title and the line below it.
const HEAD: f64 = 56.0;
/// Where the title, the legend and the note begin.
const MARGIN: f64 = 16.0;
/// A line of the legend.
const LINE: f64 = 22.0;
/// The least that is seen of an area.
const MIN_SIZE: f64 = 2.5;
/// The maximum number of areas that are drawn of one panel. A reader sees no more.
const MAX_AREAS: usize = 4_000;

/// The file.
pub(crate) fn draw(title: &str, report: &Report) -> String {
    let rows = rows(report);
    let kinds = Kinds::new(rows.iter().flat_map(|row| row.changes.iter().copied()));
    let (width, row_height) = (2.0 * (LEFT + WIDTH) + 24.0, ABOVE + HEIGHT + BELOW);
    let legend = HEAD + row_height * rows.len() as f64;
    let notes = legend + LINE * kinds.len() as f64;
    let height = notes + 2.0 * LINE;
    let mut text = svg::begin((width, height), title, &kinds.patterns());
    text.push_str(&svg::heading(MARGIN, title, &summary::effect(report)));
    for (place, row) in rows.iter().enumerate() {
        let top = HEAD + row_height * place as f64 + ABOVE;
        for (ipv6, left) in [(false, LEFT), (true, 2.0 * LEFT + WIDTH)] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "<g transform=\"translate({left} {top})\">");
            row.panel(&mut text, ipv6, &kinds);
            text.push_str("</g>\n");
        }
    }
    kinds.legend(&mut text, legend);
    text + &svg::remark(MARGIN, notes + 14.0, NOTE) + svg::END
}

const NOTE: &str = "Ports and addresses are marked where an area begins or ends; the space between is not to scale. What \
                    overlaps differs in other fields.";

/// The changes of one direction in one namespace.
struct Row<'a> {
    title: String,
    changes: Vec<&'a Change>,
}

fn rows(report: &Report) -> Vec<Row<'_>> {
    let abouts = |scope: &Scope| {
        let mut abouts: Vec<About> = scope.changes.iter().map(|one| one.about).collect();
        abouts.sort();
        abouts.dedup();
        abouts
    };
    let mut rows = Vec::new();
    for scope in &report.scopes {
        for about in abouts(scope) {
            let changes = scope
                .changes
                .iter()
                .filter(|one| one.about == about && !one.shadow.is_empty());
            let mut changes: Vec<&Change> = changes.collect();
            // The smaller ones are drawn upon the larger ones.
            changes.sort_by(|one, other| other.share.total_cmp(&one.share));
            if !changes.is_empty() {
                let netns = scope
                    .netns
                    .iter()
                    .map(|name| format!(", in netns \"{name}\""));
                let title = format!("{}{}", about_title(about), netns.collect::<String>());
                rows.push(Row { title, changes });
            }
        }
    }
    rows
}

fn about_title(about: About) -> &'static str {
    match about {
        About::In => "packets that arrive",
        About::Out => "packets that leave",
        About::Process(direction) => direction.spec().title,
        About::Passing => sockc_compiler::policy::Direction::Forward.spec().title,
        About::MalformedPassing => "malformed packets that pass through",
        About::Lookup => "socket lookups",
        About::MalformedIn => "malformed packets that arrive",
        About::MalformedOut => "malformed packets that leave",
    }
}

impl Row<'_> {
    fn panel(&self, text: &mut String, ipv6: bool, kinds: &Kinds) {
        let areas = || {
            let of = |one: &Shadow| one.ipv6 == ipv6;
            let areas = self.changes.iter().flat_map(move |change| {
                change
                    .shadow
                    .iter()
                    .filter(move |one| of(one))
                    .map(move |one| (*change, one))
            });
            areas.take(MAX_AREAS)
        };
        let (family, of) = if ipv6 {
            ("IPv6", Of::V6)
        } else {
            ("IPv4", Of::V4)
        };
        let addresses = Axis::new(of, HEIGHT, areas().map(|(_, area)| area.from));
        let ports = Axis::new(Of::Ports, WIDTH, areas().map(|(_, area)| ports(area)));
        let _ = writeln!(
            text,
            "<text x=\"0\" y=\"-12\" font-weight=\"bold\">{family}, {}</text>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#f4f4f4\"/>",
            escaped(&self.title)
        );
        for (change, area) in areas() {
            draw_area(text, change, area, (&addresses, &ports), kinds);
        }
        addresses.down(text, WIDTH);
        ports.along(text, HEIGHT);
        let _ = writeln!(
            text,
            "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#888888\"/>"
        );
        self.note(text, ipv6, areas().count());
    }

    /// What a panel does not show.
    fn note(&self, text: &mut String, ipv6: bool, drawn: usize) {
        let shadows = self.changes.iter().flat_map(|change| &change.shadow);
        let all = shadows.filter(|one| one.ipv6 == ipv6).count();
        let note = match (all, all - drawn) {
            (0, _) => "nothing changes".to_owned(),
            (_, 0) => return,
            (_, more) => format!("{} not drawn", count::of(more, "more area")),
        };
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{note}</text>",
            WIDTH / 2.0,
            HEIGHT / 2.0
        );
    }
}

/// The ports of an area, as an axis takes them.
fn ports(area: &Shadow) -> (u128, u128) {
    (area.ports.0.into(), area.ports.1.into())
}

fn draw_area(
    text: &mut String,
    change: &Change,
    area: &Shadow,
    axes: (&Axis, &Axis),
    kinds: &Kinds,
) {
    let (top, bottom) = axes.0.span(area.from);
    let (left, right) = axes.1.span(ports(area));
    let wide = |low: f64, high: f64, most: f64| {
        let size = (high - low).max(MIN_SIZE);
        (low.min(most - size), size)
    };
    let (x, width) = wide(left, right, WIDTH);
    let (y, height) = wide(top, bottom, HEIGHT);
    let _ = writeln!(
        text,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{}\"><title>{}: {}</title></rect>",
        kinds.fill(change),
        escaped(&words::fates(change)),
        escaped(&words::region(change, false))
    );
}

#[cfg(test)]
mod tests;
