//! What keys do: which rows are shown, in which order, from where on.

use std::cmp::Reverse;

use super::keys::Key;
use super::looked::Row;
use crate::cli::Sort;

/// What a key asks of whoever draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To draw again.
    Draw,
    /// To end.
    End,
    /// To stop until somebody has it go on.
    Stop,
}

/// How somebody wants to see it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) sort: Sort,
    /// Whether what has counted nothing is left out.
    pub(super) nonzero: bool,
    /// Whether nobody looks.
    pub(super) paused: bool,
    /// Whether the keys are explained in place of the rows.
    pub(super) help: bool,
    /// How many rows are above the first that is shown.
    pub(super) above: usize,
    /// How many rows are shown, as it was drawn last.
    pub(super) page: usize,
}

impl View {
    pub(super) fn new(sort: Sort, nonzero: bool) -> Self {
        Self {
            sort,
            nonzero,
            paused: false,
            help: false,
            above: 0,
            page: 0,
        }
    }

    /// Does what a key says.
    pub(super) fn key(&mut self, key: Key) -> Wish {
        match key {
            Key::Letter('q') | Key::Escape | Key::Interrupt => return Wish::End,
            Key::Suspend => return Wish::Stop,
            // Any other key takes the help away.
            _ if self.help => self.help = false,
            Key::Letter('?') => self.help = true,
            Key::Letter('s') => (self.sort, self.above) = (next(self.sort), 0),
            Key::Letter('z') => (self.nonzero, self.above) = (!self.nonzero, 0),
            Key::Letter('p') => self.paused = !self.paused,
            Key::Up => self.above = self.above.saturating_sub(1),
            Key::Down => self.above = self.above.saturating_add(1),
            Key::PageUp => self.above = self.above.saturating_sub(self.page.max(1)),
            Key::PageDown => self.above = self.above.saturating_add(self.page.max(1)),
            Key::Home => self.above = 0,
            Key::End => self.above = usize::MAX,
            Key::Letter(_) | Key::Other => {}
        }
        Wish::Draw
    }

    /// The rows that are wanted, in their order.
    pub(super) fn chosen<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let wanted = rows.iter().filter(|row| !self.nonzero || row.total[0] > 0);
        let mut rows: Vec<&Row> = wanted.collect();
        // The greatest first; what is the same stays in the order of the rules.
        match self.sort {
            Sort::Packets => by(&mut rows, 0),
            Sort::Bytes => by(&mut rows, 1),
            Sort::Rule => {}
        }
        rows
    }
}

/// By rate; where that is the same, or is not known, by what was counted in all.
fn by(rows: &mut [&Row], which: usize) {
    let rate = |row: &Row| row.rate.map_or(0.0, |rate| rate[which]);
    rows.sort_by(|one, other| {
        rate(other)
            .total_cmp(&rate(one))
            .then_with(|| Reverse(one.total[which]).cmp(&Reverse(other.total[which])))
    });
}

fn next(sort: Sort) -> Sort {
    match sort {
        Sort::Packets => Sort::Bytes,
        Sort::Bytes => Sort::Rule,
        Sort::Rule => Sort::Packets,
    }
}

/// What rows are sorted by, in words.
pub(super) fn name(sort: Sort) -> &'static str {
    match sort {
        Sort::Packets => "packets/s",
        Sort::Bytes => "bytes/s",
        Sort::Rule => "rule",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, rate: Option<[f64; 2]>, total: [u64; 2]) -> Row {
        Row {
            rate,
            total,
            bytes: Some(total[1]),
            direction: "in".to_owned(),
            name: name.to_owned(),
            decides: true,
            drops: true,
        }
    }

    #[test]
    fn keys_choose_rows_and_their_order() {
        let rows = [
            row("a", Some([1.0, 9.0]), [4, 1]),
            row("b", Some([3.0, 2.0]), [6, 2]),
            row("c", None, [0, 0]),
            row("d", Some([3.0, 4.0]), [7, 3]),
        ];
        let mut view = View::new(Sort::Packets, false);
        for (key, names) in [
            ('x', "dbac"),
            ('s', "adbc"),
            ('s', "abcd"),
            ('z', "abd"),
            ('s', "dba"),
            ('z', "dbac"),
        ] {
            assert_eq!(view.key(Key::Letter(key)), Wish::Draw);
            let chosen: String = view.chosen(&rows).iter().map(|row| &*row.name).collect();
            assert_eq!(chosen, names, "{key}");
        }
    }

    #[test]
    fn keys_move_and_end() {
        let mut view = View::new(Sort::Rule, false);
        view.page = 2;
        for (key, above) in [
            (Key::Up, 0),
            (Key::Down, 1),
            (Key::PageDown, 3),
            (Key::PageUp, 1),
            (Key::Down, 2),
            (Key::Home, 0),
            (Key::End, usize::MAX),
            (Key::PageDown, usize::MAX),
        ] {
            assert_eq!(view.key(key), Wish::Draw);
            assert_eq!(view.above, above, "{key:?}");
        }
        view.key(Key::Letter('p'));
        view.key(Key::Letter('?'));
        assert!(view.paused && view.help);
        // It only takes the help away.
        view.key(Key::Letter('p'));
        assert!(view.paused && !view.help);
        for key in [Key::Letter('q'), Key::Escape, Key::Interrupt] {
            assert_eq!(view.key(key), Wish::End);
        }
        assert_eq!(view.key(Key::Suspend), Wish::Stop);
    }
}
