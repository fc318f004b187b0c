//! A screen: what is in force, what it decides a second, rules in their order, and below them live sets, maps and sockets.
//!
//! Takes what was seen and how somebody wants to see it; draws within whatever size there is. Text that others wrote is made
//! harmless here. Not here: where it comes from.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::widgets::{Paragraph, Row as Line, Table};

use super::looked::{Lists, Row, Screen};
use super::view::{View, name};
use crate::machine::counted::in_words;
use crate::output::{harmless, quoted};
use crate::verbs::counters::rates::{COLUMNS, words};

/// The columns that are left out where there is no room for all, the first one here first: half a number would be another one.
const GIVE_WAY: [usize; 5] = [3, 1, 4, 2, 0];
/// So much of a rule is to be seen at least, as long as another column can give way.
const RULE: usize = 20;
/// So many lines the rules have at least, with their heading.
const RULES: usize = 3;
/// What shows all sets, maps and sockets.
pub(super) const COMMANDS: [&str; 3] = [
    "`sockc set list`",
    "`sockc map list`",
    "`sockc socket list`",
];
/// So many of each list are shown at most.
const LISTED: usize = 6;
/// What keys do.
const HELP: [&str; 9] = [
    "q, Esc, Ctrl-C    end",
    "s                 sort by packets/s, by bytes/s, or as the rules stand",
    "z                 leave out what has counted nothing, or show it again",
    "p                 look no more, or go on",
    "Up, Down          a rule up or down",
    "Page Up, Down     a page up or down",
    "Home, End         the first rules, the last ones",
    "Ctrl-Z            stop, until `fg`",
    "any other key     back to the rules",
];

/// Draws it.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    screen: &Screen,
    view: &mut View,
    commands: &[String; 3],
) {
    let head = heading(screen, view);
    // Beside the head, the rules and the line of the keys.
    let others = head.len() + RULES + 1;
    let room = usize::from(frame.area().height).saturating_sub(others);
    let lists = lists(&screen.lists, commands);
    let unseen = match room {
        0 => without_room(lists.len()),
        _ => String::new(),
    };
    let lists = cut(lists, room);
    let height = |lines: &[String]| Constraint::Length(u16::try_from(lines.len()).unwrap_or(0));
    let parts = Layout::vertical([
        height(&head),
        Constraint::Min(u16::try_from(RULES).unwrap_or(0)),
        height(&lists),
        Constraint::Length(1),
    ]);
    let [top, rules, below, foot] = parts.areas(frame.area());
    frame.render_widget(Paragraph::new(head.join("\n")), top);
    let shown = match view.help {
        true => {
            frame.render_widget(Paragraph::new(HELP.join("\n")), rules);
            String::new()
        }
        false => draw_rules(frame, rules, screen, view),
    };
    frame.render_widget(Paragraph::new(lists.join("\n")), below);
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    let keys = format!(
        " q end   {unseen}s sort: {}   z {}   p {}   ? keys   {shown}",
        name(view.sort),
        if view.nonzero { "all" } else { "nonzero" },
        if view.paused { "go on" } else { "pause" },
    );
    frame.render_widget(Paragraph::new(keys).style(reversed), foot);
}

/// What stands above the rules.
fn heading(screen: &Screen, view: &View) -> Vec<String> {
    let paused = if view.paused { "   paused" } else { "" };
    let mut lines = match &screen.in_force {
        Some(one) => {
            let policy = quoted(&one.policy);
            let first = format!(
                "policy {policy}   generation {}   {}{paused}",
                one.generation, screen.time
            );
            let mut lines = vec![first];
            lines.extend(decided(screen));
            lines
        }
        None => vec![format!("{}{paused}", screen.time)],
    };
    let trial = screen.in_force.iter().flat_map(|one| &one.trial);
    lines.extend(trial.chain(&screen.notes).map(|note| plain(note)));
    lines
}

/// What is decided a second, and what is lost.
fn decided(screen: &Screen) -> [String; 2] {
    let deciding = || screen.rows.iter().filter(|row| row.decides);
    let stopped = || deciding().filter(|row| row.drops);
    let [packets, bytes] = [0, 1].map(|which| words(sum(deciding(), which)));
    let dropped = words(sum(stopped(), 0));
    let all = stopped().map(|row| row.total[0]);
    let all = all.reduce(u64::saturating_add);
    // A policy without counters knows nothing of this.
    let all = all.map_or_else(|| "-".to_owned(), |all| all.to_string());
    [
        format!(
            "decided {packets} packets/s, {bytes} bytes/s   log records lost {}",
            screen.lost
        ),
        format!("dropped or rejected {dropped} packets/s, {all} in all"),
    ]
}

/// The sum of some rates; nothing where none is known.
fn sum<'a>(rows: impl Iterator<Item = &'a Row>, which: usize) -> Option<f64> {
    let rates = rows.filter_map(|row| row.rate).map(|rate| rate[which]);
    rates.reduce(|one, other| one + other)
}

/// Draws the rules that there is room for; says which those are.
fn draw_rules(frame: &mut Frame<'_>, area: Rect, screen: &Screen, view: &mut View) -> String {
    let rows = view.chosen(&screen.rows);
    let count = rows.len();
    // Under the heading.
    view.page = usize::from(area.height.saturating_sub(1));
    view.above = view.above.min(count.saturating_sub(view.page));
    let shown: Vec<_> = rows.into_iter().skip(view.above).take(view.page).collect();
    let last = view.above + shown.len();
    let which = match shown.len() {
        0 => String::new(),
        _ => format!("{} to {last} of {count}", view.above + 1),
    };
    let cells: Vec<_> = shown.into_iter().map(cells).collect();
    let columns = columns(&cells, usize::from(area.width));
    let heading = line(&COLUMNS.map(str::to_owned), &columns);
    let heading = heading.style(Style::new().add_modifier(Modifier::BOLD));
    let width = |(_, width): &(usize, usize)| u16::try_from(*width).unwrap_or(u16::MAX);
    let widths = columns.iter().map(width).map(Constraint::Length);
    let widths = widths.chain([Constraint::Fill(1)]);
    let lines = cells.iter().map(|cells| line(cells, &columns));
    let table = Table::new(lines, widths).header(heading);
    frame.render_widget(table, area);
    which
}

/// What stands in the columns for a rule.
fn cells(row: &Row) -> [String; 6] {
    // What has no bytes has none a second either.
    let bytes = row.rate.filter(|_| row.bytes.is_some());
    [
        words(row.rate.map(|[packets, _]| packets)),
        words(bytes.map(|[_, bytes]| bytes)),
        row.total[0].to_string(),
        in_words(row.bytes),
        row.direction.clone(),
        plain(&row.name),
    ]
}

/// The columns ahead of the rule that there is room for, each as wide as the longest of its cells.
fn columns(rows: &[[String; 6]], room: usize) -> Vec<(usize, usize)> {
    let ahead = COLUMNS.iter().enumerate().take(GIVE_WAY.len());
    let width = |(at, heading): (usize, &&str)| {
        let cells = rows.iter().map(|row| row[at].len());
        (at, cells.fold(heading.len(), usize::max))
    };
    let mut kept: Vec<_> = ahead.map(width).collect();
    for at in GIVE_WAY {
        // A space stands behind each.
        let taken: usize = kept.iter().map(|(_, width)| width + 1).sum();
        if taken + RULE <= room {
            break;
        }
        kept.retain(|(one, _)| *one != at);
    }
    kept
}

/// A line of the columns that are shown, and the rule.
fn line(cells: &[String; 6], columns: &[(usize, usize)]) -> Line<'static> {
    let ahead = columns.iter().map(|(at, _)| cells[*at].clone());
    let [.., rule] = cells;
    Line::new(ahead.chain([rule.clone()]))
}

/// The lines of live sets, live maps and sockets.
fn lists(lists: &Lists, commands: &[String; 3]) -> Vec<String> {
    let mut lines = Vec::new();
    let [sets, maps, sockets] = commands;
    for (what, command, all) in [
        ("set", sets, &lists.sets),
        ("map", maps, &lists.maps),
        ("socket", sockets, &lists.sockets),
    ] {
        let shown = all.iter().take(LISTED);
        lines.extend(shown.map(|one| format!("{what:<7} {}", plain(one))));
        match all.len().saturating_sub(LISTED) {
            0 => {}
            more => lines.push(format!("{what:<7} ... and {more} more: {command}")),
        }
    }
    lines
}

/// What the line of the keys says where none of so many lines has a place.
fn without_room(lines: usize) -> String {
    match lines {
        0 => String::new(),
        1 => "1 line of sets, maps and sockets not shown   ".to_owned(),
        _ => format!("{lines} lines of sets, maps and sockets not shown   "),
    }
}

/// The lines that there is room for; the last one says how many are not among them.
fn cut(mut lines: Vec<String>, room: usize) -> Vec<String> {
    if lines.len() > room && room > 0 {
        let more = lines.len() - (room - 1);
        lines.truncate(room - 1);
        lines.push(format!("... {more} more lines of sets, maps and sockets"));
    }
    lines.truncate(room);
    lines
}

/// A text in one line, without what a terminal would take for a command.
fn plain(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::looked::InForce;
    use super::*;
    use crate::cli::Sort;

    fn view() -> View {
        View::new(Sort::Packets, false)
    }

    fn screen() -> Screen {
        let row = |number: u64| Row {
            rate: Some([number as f64, 10.5]),
            total: [number, 100],
            bytes: Some(100),
            direction: "in".to_owned(),
            name: format!("edge.sk:{number} rule \u{1b}[2J\n"),
            decides: number.is_multiple_of(2),
            drops: number.is_multiple_of(4),
        };
        Screen {
            time: "2026-11-22 17:41:33 UTC".to_owned(),
            in_force: Some(InForce {
                policy: "edge\u{1b}]0;".to_owned(),
                generation: 7,
                trial: Some("on trial: 9.9 s left".to_owned()),
            }),
            notes: vec![],
            rows: (1..=20).map(row).collect(),
            lists: Lists {
                sets: (0..8).map(|set| format!("set{set}  1 of 10")).collect(),
                maps: vec!["tenants  3 of 9".to_owned()],
                sockets: vec!["proxy tcp4  listening".to_owned()],
            },
            lost: 812,
        }
    }

    fn drawn(screen: &Screen, view: &mut View, size: (u16, u16)) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        let commands = COMMANDS.map(str::to_owned);
        terminal
            .draw(|frame| draw(frame, screen, view, &commands))
            .unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content.chunks(usize::from(size.0));
        let text = |cells: &[ratatui::buffer::Cell]| {
            let text: String = cells.iter().map(|cell| cell.symbol()).collect();
            text.trim_end().to_owned()
        };
        lines.map(text).collect()
    }

    #[test]
    fn a_screen_has_all_that_is_in_force() {
        let mut view = view();
        let lines = drawn(&screen(), &mut view, (140, 23));
        assert_eq!(
            lines[0],
            "policy \"edge\\u{1b}]0;\"   generation 7   2026-11-22 17:41:33 UTC"
        );
        // The even ones decide, every other one of these drops.
        assert_eq!(
            lines[1],
            "decided 110.0 packets/s, 105.0 bytes/s   log records lost 812"
        );
        assert_eq!(lines[2], "dropped or rejected 60.0 packets/s, 60 in all");
        assert_eq!(lines[3], "on trial: 9.9 s left");
        assert!(lines[4].starts_with("packets/s bytes/s"), "{lines:#?}");
        assert_eq!(view.page, 8);
        assert!(lines[5].starts_with("20.0"), "{lines:#?}");
        assert!(lines[5].ends_with("in        edge.sk:20 rule \\u{1b}[2J"));
        assert!(lines[12].starts_with("13.0"), "{lines:#?}");
        assert_eq!(lines[18], "set     set5  1 of 10");
        assert_eq!(lines[19], "set     ... and 2 more: `sockc set list`");
        assert_eq!(lines[20], "map     tenants  3 of 9");
        assert_eq!(lines[21], "socket  proxy tcp4  listening");
        assert_eq!(
            lines[22],
            " q end   s sort: packets/s   z nonzero   p pause   ? keys   1 to 8 of 20"
        );
    }

    #[test]
    fn one_scrolls_no_further_than_to_the_last() {
        let mut view = view();
        view.above = usize::MAX;
        let lines = drawn(&screen(), &mut view, (140, 23));
        assert_eq!(view.above, 12);
        assert!(lines[12].starts_with("1.0"), "{lines:#?}");
        assert!(lines[22].ends_with("13 to 20 of 20"), "{lines:#?}");
    }

    #[test]
    fn a_number_is_shown_whole_or_not_at_all() {
        let mut screen = screen();
        for row in &mut screen.rows {
            row.total = [u64::MAX; 2];
            row.bytes = Some(u64::MAX);
        }
        let whole = u64::MAX.to_string();
        for (width, numbers) in [(140, 2), (90, 2), (75, 1), (52, 1), (40, 0), (25, 0)] {
            let lines = drawn(&screen, &mut view(), (width, 23));
            let cells: Vec<_> = lines[5].split_whitespace().collect();
            let found = cells.iter().filter(|cell| **cell == whole).count();
            assert_eq!(found, numbers, "{width}: {lines:#?}");
            assert!(
                !cells
                    .iter()
                    .any(|cell| *cell != whole && cell.starts_with("1844"))
            );
            assert!(lines[5].contains("edge.sk:20"), "{width}: {lines:#?}");
        }
    }

    #[test]
    fn lists_without_room_say_how_much_there_is() {
        let lines = drawn(&screen(), &mut view(), (80, 10));
        assert_eq!(lines[7], "set     set0  1 of 10");
        assert_eq!(lines[8], "... 8 more lines of sets, maps and sockets");
        // Where not even that line has a place, that of the keys says so.
        for (size, has_none) in [((80, 9), false), ((80, 8), true)] {
            let lines = drawn(&screen(), &mut view(), size);
            let told = lines.last().unwrap();
            let wanted = " q end   9 lines of sets, maps and sockets not shown";
            assert_eq!(told.starts_with(wanted), has_none, "{size:?}: {lines:#?}");
        }
    }

    #[test]
    fn what_does_not_count_has_no_sums() {
        let screen = Screen {
            rows: vec![],
            ..screen()
        };
        let lines = drawn(&screen, &mut view(), (140, 23));
        assert_eq!(
            lines[1..3],
            [
                "decided - packets/s, - bytes/s   log records lost 812",
                "dropped or rejected - packets/s, - in all",
            ]
        );
    }

    #[test]
    fn help_stands_in_place_of_the_rules() {
        let mut view = view();
        (view.help, view.paused) = (true, true);
        let lines = drawn(&screen(), &mut view, (140, 30)).join("\n");
        assert!(
            lines.contains(HELP[0]) && lines.contains("p go on"),
            "{lines}"
        );
        assert!(
            lines.contains("UTC   paused") && !lines.contains("edge.sk:20"),
            "{lines}"
        );
    }

    #[test]
    fn no_size_is_a_panic() {
        for width in 1..=40 {
            for height in 1..=20 {
                drawn(&screen(), &mut view(), (width, height));
                drawn(&Screen::default(), &mut view(), (width, height));
            }
        }
        let empty = Screen {
            notes: vec!["no policy is in force".to_owned()],
            ..Screen::default()
        };
        let lines = drawn(&empty, &mut view(), (80, 10));
        assert_eq!(lines[1], "no policy is in force");
    }
}
