//! The chart: cost against the number of rules, both on logarithmic scales, one panel for each family.
//!
//! Takes panels of series of points; gives the text of an SVG file, the same for the same numbers. It can be read on light and
//! dark pages, and lines are told apart by their dashes too.

use std::fmt::Write as _;

use super::svg::colour::{BLUE, GREEN, GREY, PURPLE, VERMILION};
use super::svg::{self, escaped};

/// Curves of one family.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) series: Vec<Series>,
}

/// The curve of one system.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Number of rules, and nanoseconds a packet.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Width and height of a panel's field, and what is around it.
const FIELD: (f64, f64) = (380.0, 300.0);
const LEFT: f64 = 64.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 48.0;
/// Room for the names after the last panel.
const NAMES: f64 = 150.0;
/// Colours, dashes and widths, in the order in which systems come up: the controls, ours, and the others.
const STYLES: [Style; 16] = [
    Style(GREY, "", 1),
    Style(GREY, "6 3", 1),
    Style(VERMILION, "", 4),
    Style(VERMILION, "8 3", 4),
    Style(VERMILION, "", 1),
    Style(VERMILION, "8 3", 1),
    Style(BLUE, "", 2),
    Style(BLUE, "6 3", 2),
    Style("#000000", "", 2),
    Style(GREEN, "", 2),
    Style(GREEN, "6 3", 2),
    Style(GREEN, "2 3", 2),
    Style(GREEN, "9 2 2 2", 2),
    Style(PURPLE, "", 2),
    Style(PURPLE, "6 3", 2),
    Style("#000000", "2 3", 2),
];

/// A line's colour, dashes and width.
#[derive(Clone, Copy)]
struct Style(&'static str, &'static str, u8);

impl Style {
    /// As attributes.
    fn stroke(self) -> String {
        let Self(colour, dashes, width) = self;
        format!("stroke=\"{colour}\" stroke-width=\"{width}\" stroke-dasharray=\"{dashes}\"")
    }
}

/// The file.
pub(crate) fn draw(panels: &[Panel]) -> String {
    let names = names(panels);
    let step = LEFT + FIELD.0 + 16.0;
    let width = step * panels.len() as f64 + NAMES;
    let height = TOP + FIELD.1 + BOTTOM;
    let title = "Cost of a packet against the number of rules";
    let mut text = svg::begin((width, height), title, "");
    let scale = Scale::of(panels);
    for (place, panel) in panels.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<g transform=\"translate({} {TOP})\">",
            place as f64 * step + LEFT
        );
        axes(&mut text, &scale, &panel.title);
        for series in &panel.series {
            curve(&mut text, &scale, series, style(&names, &series.name));
        }
        text.push_str("</g>\n");
    }
    let _ = writeln!(text, "<g transform=\"translate({} {TOP})\">", width - NAMES);
    legend(&mut text, &names);
    text + "</g>\n" + svg::END
}

/// The names of all series, in the order in which they come up.
fn names(panels: &[Panel]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for series in panels.iter().flat_map(|panel| &panel.series) {
        if !names.contains(&series.name.as_str()) {
            names.push(&series.name);
        }
    }
    names
}

fn style(names: &[&str], name: &str) -> Style {
    let place = names.iter().position(|one| *one == name).unwrap_or(0);
    STYLES[place % STYLES.len()]
}

/// Whole powers of ten on both axes.
struct Scale {
    rules: (i32, i32),
    cost: (i32, i32),
}

impl Scale {
    fn of(panels: &[Panel]) -> Self {
        let points = || {
            panels
                .iter()
                .flat_map(|panel| &panel.series)
                .flat_map(|one| &one.points)
        };
        let powers = |numbers: &mut dyn Iterator<Item = f64>| {
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for number in numbers {
                (low, high) = (low.min(number.log10()), high.max(number.log10()));
            }
            if low > high {
                return (0, 1);
            }
            let low = low.floor() as i32;
            (low, (high.ceil() as i32).max(low + 1))
        };
        Self {
            rules: powers(&mut points().map(|point| point.0)),
            cost: powers(&mut points().map(|point| point.1)),
        }
    }

    fn x(&self, rules: f64) -> f64 {
        FIELD.0 * share(self.rules, rules)
    }

    fn y(&self, cost: f64) -> f64 {
        FIELD.1 * (1.0 - share(self.cost, cost))
    }
}

/// How far along the powers of ten a number is.
fn share((low, high): (i32, i32), number: f64) -> f64 {
    (number.log10() - f64::from(low)) / f64::from(high - low)
}

fn axes(text: &mut String, scale: &Scale, title: &str) {
    let (width, height) = FIELD;
    let _ = writeln!(
        text,
        "<text x=\"0\" y=\"-16\" font-size=\"14\" font-weight=\"bold\">{}</text>",
        escaped(title)
    );
    for power in scale.rules.0..=scale.rules.1 {
        let x = scale.x(10f64.powi(power));
        let _ = writeln!(
            text,
            "<path d=\"M{x:.1} 0V{height}\" stroke=\"#dddddd\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            height + 16.0,
            counted(power)
        );
    }
    for power in scale.cost.0..=scale.cost.1 {
        let y = scale.y(10f64.powi(power));
        let _ = writeln!(
            text,
            "<path d=\"M0 {y:.1}H{width}\" stroke=\"#dddddd\"/>\
             <text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            y + 4.0,
            timed(power)
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">rules</text>",
        width / 2.0,
        height + 36.0
    );
}

/// A power of ten of rules.
fn counted(power: i32) -> String {
    match power {
        3.. => format!("{}k", 10f64.powi(power - 3)),
        _ => format!("{}", 10f64.powi(power)),
    }
}

/// A power of ten of nanoseconds.
fn timed(power: i32) -> String {
    let units = ["ns", "µs", "ms", "s"];
    let unit = (power.max(0) / 3).min(3);
    format!("{} {}", 10f64.powi(power - 3 * unit), units[unit as usize])
}

fn curve(text: &mut String, scale: &Scale, series: &Series, style: Style) {
    let places = series
        .points
        .iter()
        .map(|(rules, cost)| (scale.x(*rules), scale.y(*cost)));
    let line: Vec<String> = places
        .clone()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = writeln!(
        text,
        "<polyline points=\"{}\" fill=\"none\" {}><title>{}</title></polyline>",
        line.join(" "),
        style.stroke(),
        escaped(&series.name)
    );
    for (x, y) in places {
        let _ = writeln!(
            text,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{}\"/>",
            style.0
        );
    }
}

fn legend(text: &mut String, names: &[&str]) {
    for (place, name) in names.iter().enumerate() {
        let y = 8.0 + 20.0 * place as f64;
        let _ = writeln!(
            text,
            "<path d=\"M0 {y}H26\" {}/><text x=\"32\" y=\"{}\">{}</text>",
            style(names, name).stroke(),
            y + 4.0,
            escaped(name)
        );
    }
}
