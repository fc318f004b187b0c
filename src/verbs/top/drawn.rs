//! A screen: what is dropped a second, rules in their order, and beside them live sets and sockets.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::widgets::{Paragraph, Row as Line, Table};

use super::keys::{Order, View};
use super::looked::{Row, Screen};
use crate::output::harmless;
use crate::verbs::counters::rates::words;

/// The heading of the rules, and how wide each column is.
const COLUMNS: [(&str, u16); 7] = [
    ("packets/s", 12),
    ("bytes/s", 14),
    ("packets", 12),
    ("bytes", 14),
    ("dir", 7),
    ("verdict", 12),
    ("rule", 0),
];
/// So many lines of sets, and of sockets, are shown at most.
const LISTED: usize = 6;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, view: &mut View) {
    let lists = lists(screen);
    let height = u16::try_from(lists.len()).unwrap_or(0);
    let parts = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Length(height),
        Constraint::Length(1),
    ]);
    let [head, rules, below, foot] = parts.areas(frame.area());
    frame.render_widget(Paragraph::new(heading(screen, view)), head);
    draw_rules(frame, rules, screen, view);
    frame.render_widget(Paragraph::new(lists.join("\n")), below);
    let keys = Paragraph::new(keys()).style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_widget(keys, foot);
}

fn heading(screen: &Screen, view: &View) -> String {
    let dropped = screen.rows.iter().filter(|row| row.drops);
    let rates = dropped
        .filter_map(|row| row.rate)
        .map(|[packets, _]| packets);
    let rate = screen.rows.iter().any(|row| row.rate.is_some());
    let dropped = words(rate.then(|| rates.sum()));
    let lost = match screen.lost {
        0 => String::new(),
        lost => format!("   log records lost {lost}"),
    };
    let which = if view.drops {
        ", what is dropped alone"
    } else {
        ""
    };
    let first = format!(
        "{}   dropped {dropped} packets/s{lost}   by {}{which}",
        screen.time,
        view.order.name()
    );
    match &screen.note {
        Some(note) => format!("{first}\n{}", harmless(note)),
        None => first,
    }
}

fn draw_rules(frame: &mut Frame<'_>, area: Rect, screen: &Screen, view: &mut View) {
    let rows = view.chosen(&screen.rows);
    // Under the heading.
    view.page = usize::from(area.height.saturating_sub(1));
    view.above = view.above.min(rows.len().saturating_sub(view.page));
    let shown = rows.into_iter().skip(view.above).take(view.page).map(line);
    let widths = COLUMNS.map(|(_, width)| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(width),
    });
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let heading = Line::new(COLUMNS.map(|(name, _)| name)).style(bold);
    frame.render_widget(Table::new(shown, widths).header(heading), area);
}

fn line(row: &Row) -> Line<'static> {
    let [packets, bytes] = row.total;
    Line::new([
        words(row.rate.map(|[packets, _]| packets)),
        words(row.rate.map(|[_, bytes]| bytes)),
        packets.to_string(),
        bytes.to_string(),
        row.direction.clone(),
        row.verdict.clone(),
        harmless(&row.name),
    ])
}

/// The lines of live sets and of sockets.
fn lists(screen: &Screen) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, all) in [("set", &screen.sets), ("socket", &screen.sockets)] {
        lines.extend(
            all.iter()
                .take(LISTED)
                .map(|one| format!("{what:<7} {}", harmless(one))),
        );
        match all.len().saturating_sub(LISTED) {
            0 => {}
            more => lines.push(format!("{what:<7} ... and {more} more")),
        }
    }
    lines
}

fn keys() -> String {
    let orders = Order::ALL.map(|(_, key, name)| format!("{key} {name}"));
    format!(
        " q end   {}   d drops   arrows, page keys: more rules",
        orders.join("   ")
    )
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn screen() -> Screen {
        let row = |number: u64| Row {
            rate: Some([number as f64, 10.5]),
            total: [number, 100],
            direction: "in".to_owned(),
            verdict: if number % 2 == 0 { "drop" } else { "allow" }.to_owned(),
            name: format!("edge.sk:{number} rule \u{1b}[2J"),
            drops: number % 2 == 0,
        };
        Screen {
            time: "2026-11-22 17:41:33 UTC".to_owned(),
            note: None,
            rows: (1..=20).map(row).collect(),
            sets: (0..8).map(|set| format!("set{set}  1 of 10")).collect(),
            sockets: vec!["proxy tcp4  listening".to_owned()],
            lost: 812,
        }
    }

    fn drawn(screen: &Screen, view: &mut View, size: (u16, u16)) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal.draw(|frame| draw(frame, screen, view)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content.chunks(usize::from(size.0));
        lines
            .map(|cells| {
                cells
                    .iter()
                    .map(|cell| cell.symbol())
                    .collect::<String>()
                    .trim_end()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn a_screen_has_rules_sets_and_sockets() {
        let mut view = View::default();
        let lines = drawn(&screen(), &mut view, (120, 20));
        let head = "2026-11-22 17:41:33 UTC   dropped 110.0 packets/s   log records lost 812   by packets/s";
        assert_eq!(lines[0], head);
        assert!(lines[2].starts_with("packets/s    bytes/s"), "{lines:#?}");
        assert_eq!(view.page, 8);
        assert!(lines[3].starts_with("20.0"), "{lines:#?}");
        assert!(lines[3].contains("drop") && lines[3].contains("edge.sk:20 rule \\u{1b}[2J"));
        assert!(lines[10].starts_with("13.0"), "{lines:#?}");
        assert_eq!(lines[16], "set     set5  1 of 10");
        assert_eq!(lines[17], "set     ... and 2 more");
        assert_eq!(lines[18], "socket  proxy tcp4  listening");
        assert!(lines[19].starts_with(" q end   p packets/s"));
        // No further than to the last.
        view.above = 100;
        let lines = drawn(&screen(), &mut view, (120, 20));
        assert_eq!(view.above, 12);
        assert!(lines[10].starts_with("1.0"), "{lines:#?}");
    }

    #[test]
    fn a_small_or_an_empty_one_is_no_panic() {
        for size in [(1, 1), (10, 3), (200, 5)] {
            drawn(&screen(), &mut View::default(), size);
        }
        let empty = Screen {
            note: Some("no policy is in force".to_owned()),
            ..Screen::default()
        };
        let lines = drawn(&empty, &mut View::default(), (80, 10));
        assert_eq!(lines[1], "no policy is in force");
        assert!(lines[0].contains("dropped - packets/s"), "{lines:#?}");
    }
}
