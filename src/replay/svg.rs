//! A replay as a picture: a bar for each change, as long as its packets are many.
//!
//! Takes what was counted; gives the text of an SVG file that needs nothing else and can be read on light and dark pages.
//! What opens is drawn full, what closes is hatched, so that it is told without colours too.

use sockc_compiler::replay::report::Change;

use super::{Replayed, text};
use crate::changes::words::decided;
use crate::svg::colour::{BLUE, GREY};
use crate::svg::{self, escaped};

/// So many changes are drawn.
const MAX_BARS: usize = 40;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 20.0;
/// The longest bar; its numbers stand after it.
const MAX_BAR: f64 = 560.0;
const HEAD: f64 = 64.0;
/// A change: two lines of words and a bar.
const ROW: f64 = 56.0;

const HATCHES: &str = "<defs><pattern id=\"closes\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
    patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#f6c9a8\"/>\
    <rect width=\"3\" height=\"6\" fill=\"#d55e00\"/></pattern></defs>\n";

/// The file.
pub(super) fn draw(replayed: &Replayed) -> String {
    let pairs = &replayed.report.pairs;
    let shown = &pairs[..pairs.len().min(MAX_BARS)];
    let height = HEAD + ROW * shown.len() as f64 + 40.0;
    let title = format!("What changes in {}", replayed.file);
    let mut picture = svg::begin((WIDTH, height), &title, HATCHES);
    picture.push_str(&svg::heading(LEFT, &title, &summary(replayed)));
    let most = pairs.first().map_or(1, |first| first.count.packets.max(1));
    for (place, change) in shown.iter().enumerate() {
        let top = HEAD + ROW * place as f64;
        picture.push_str(&bar(change, top, change.count.packets as f64 / most as f64));
    }
    let more = match pairs.len() - shown.len() {
        0 => String::new(),
        more => format!("{more} smaller changes are not drawn. "),
    };
    let key = "Full bars: gets through from now on. Hatched bars: does not any more. Grey bars: another way.";
    picture + &svg::remark(LEFT, height - 16.0, format_args!("{more}{key}")) + svg::END
}

fn summary(replayed: &Replayed) -> String {
    let report = &replayed.report;
    format!(
        "{} of {} packets and {} of {} flows get another fate",
        report.changed.packets, report.whole.packets, report.changed_flows, report.flows
    )
}

fn bar(change: &Change, top: f64, part: f64) -> String {
    let passes = |verdict| !matches!(verdict, "drop" | "reject");
    let fill = match (passes(change.from.verdict), passes(change.to.verdict)) {
        (false, true) => BLUE,
        (true, false) => "url(#closes)",
        _ => GREY,
    };
    let width = (part * MAX_BAR).max(2.0);
    let who = format!(
        "was {} · will be {}",
        decided(&change.from, &change.was),
        decided(&change.to, &change.will_be)
    );
    format!(
        "<g><title>{}</title>\n<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{}</text>\n\
         <rect x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"14\" fill=\"{fill}\"/>\n\
         <text x=\"{:.1}\" y=\"{}\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"{}\" fill=\"#555555\" font-size=\"11\">{}</text></g>\n",
        escaped(change.example.as_deref().unwrap_or_default()),
        top + 10.0,
        escaped(&text::fates(change)),
        top + 15.0,
        LEFT + width + 8.0,
        top + 26.0,
        escaped(&text::size(change)),
        top + 42.0,
        escaped(&shortened(&who)),
    )
}

/// Cut where the picture ends.
fn shortened(text: &str) -> String {
    const LETTERS: usize = 150;
    if text.chars().count() <= LETTERS {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LETTERS).collect();
    format!("{kept}…")
}
