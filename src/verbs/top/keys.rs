//! What keys do: which rows are shown, in which order, from where on.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::looked::Row;

/// What is the first to be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    PacketRate,
    ByteRate,
    Packets,
    Bytes,
    /// As the rules stand.
    Rules,
}

impl Order {
    /// Each with its key and what it is called.
    pub(super) const ALL: [(Self, char, &'static str); 5] = [
        (Self::PacketRate, 'p', "packets/s"),
        (Self::ByteRate, 'b', "bytes/s"),
        (Self::Packets, 'P', "packets"),
        (Self::Bytes, 'B', "bytes"),
        (Self::Rules, 'r', "rules"),
    ];

    pub(super) fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(one, ..)| *one == self)
            .map_or("", |(_, _, name)| name)
    }
}

/// How somebody wants to see it.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) order: Order,
    /// Whether only what is dropped or rejected is shown.
    pub(super) drops: bool,
    /// How many rows are above the first that is shown.
    pub(super) above: usize,
    /// How many rows are shown, as it was drawn last.
    pub(super) page: usize,
}

impl View {
    /// Does what a key says; whether it ends the command.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        if key.kind == KeyEventKind::Release {
            return false;
        }
        let letter = match key.code {
            KeyCode::Esc => return true,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Char(letter) => letter,
            KeyCode::Up => return self.scroll(-1),
            KeyCode::Down => return self.scroll(1),
            KeyCode::PageUp => return self.scroll(-self.pages()),
            KeyCode::PageDown => return self.scroll(self.pages()),
            KeyCode::Home => return self.scroll(isize::MIN),
            _ => return false,
        };
        if letter == 'q' {
            return true;
        }
        if letter == 'd' {
            (self.drops, self.above) = (!self.drops, 0);
        }
        let mut orders = Order::ALL.into_iter();
        if let Some((order, ..)) = orders.find(|(_, key, _)| *key == letter) {
            (self.order, self.above) = (order, 0);
        }
        false
    }

    fn pages(&self) -> isize {
        isize::try_from(self.page).unwrap_or(1).max(1)
    }

    fn scroll(&mut self, rows: isize) -> bool {
        self.above = self.above.saturating_add_signed(rows);
        false
    }

    /// The rows that are wanted, in their order.
    pub(super) fn chosen<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let wanted = rows.iter().filter(|row| !self.drops || row.drops);
        let mut rows: Vec<&Row> = wanted.collect();
        let rate = |row: &Row, which: usize| row.rate.map_or(0.0, |rate| rate[which]);
        // The greatest first; what is the same stays in the order of the rules.
        match self.order {
            Order::PacketRate => rows.sort_by(|one, other| rate(other, 0).total_cmp(&rate(one, 0))),
            Order::ByteRate => rows.sort_by(|one, other| rate(other, 1).total_cmp(&rate(one, 1))),
            Order::Packets => rows.sort_by_key(|row| std::cmp::Reverse(row.total[0])),
            Order::Bytes => rows.sort_by_key(|row| std::cmp::Reverse(row.total[1])),
            Order::Rules => {}
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, rate: [f64; 2], total: [u64; 2], drops: bool) -> Row {
        Row {
            rate: Some(rate),
            total,
            direction: "in".to_owned(),
            verdict: "drop".to_owned(),
            name: name.to_owned(),
            drops,
        }
    }

    #[test]
    fn keys_choose_rows_and_their_order() {
        let rows = [
            row("a", [1.0, 9.0], [4, 1], false),
            row("b", [3.0, 2.0], [6, 2], true),
            row("c", [2.0, 4.0], [5, 3], true),
        ];
        let mut view = View::default();
        for (key, names) in [
            ('p', "bca"),
            ('b', "acb"),
            ('P', "bca"),
            ('B', "cba"),
            ('r', "abc"),
            ('x', "abc"),
            ('d', "bc"),
            ('b', "cb"),
            ('d', "acb"),
        ] {
            assert!(!view.key(KeyCode::Char(key).into()));
            let chosen: String = view.chosen(&rows).iter().map(|row| &*row.name).collect();
            assert_eq!(chosen, names, "{key}");
        }
        view.page = 2;
        for (key, above) in [
            (KeyCode::Up, 0),
            (KeyCode::Down, 1),
            (KeyCode::PageDown, 3),
            (KeyCode::PageUp, 1),
            (KeyCode::Down, 2),
            (KeyCode::Home, 0),
        ] {
            assert!(!view.key(key.into()));
            assert_eq!(view.above, above, "{key:?}");
        }
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        for key in [KeyCode::Esc.into(), KeyCode::Char('q').into(), interrupt] {
            assert!(view.key(key));
        }
        assert!(!view.key(KeyCode::Char('c').into()));
    }
}
