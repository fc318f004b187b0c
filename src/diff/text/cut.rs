//! Where lists are cut, so that a comparison fits a screen.

/// What stands behind a list that was cut.
pub(super) const HINT: &str = "(--all shows them)";

/// The lists of a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lists {
    /// The changes of one edit.
    Changes,
    /// Edits without effect.
    Edits,
    /// Counters that move.
    Moved,
    /// Sets and maps.
    Data,
    /// What else is declared.
    Settings,
}

impl Lists {
    /// So many items are shown.
    fn most(self) -> usize {
        match self {
            Self::Changes | Self::Moved => 3,
            Self::Edits => 4,
            Self::Data | Self::Settings => 8,
        }
    }
}

/// So many changes are shown of all edits together.
const MOST_CHANGES: usize = 12;

/// How much may be shown still.
#[derive(Debug)]
pub(super) struct Cut {
    /// Changes that may be shown; `None` for all, and all of every list.
    changes: Option<usize>,
}

impl Cut {
    pub(super) fn new(all: bool) -> Self {
        Self {
            changes: (!all).then_some(MOST_CHANGES),
        }
    }

    /// Whether nothing is cut.
    pub(super) fn all(&self) -> bool {
        self.changes.is_none()
    }

    /// Whether there is room for changes of one more edit.
    pub(super) fn has_room(&self) -> bool {
        self.changes != Some(0)
    }

    /// How many of a list's items are shown. A list is not cut for the sake of one.
    pub(super) fn take(&mut self, list: Lists, items: usize) -> usize {
        let Some(left) = &mut self.changes else {
            return items;
        };
        let most = list.most();
        let shown = if items == most + 1 {
            items
        } else {
            items.min(most)
        };
        if matches!(list, Lists::Changes) {
            *left = left.saturating_sub(shown);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_but_not_for_one() {
        let mut cut = Cut::new(false);
        assert_eq!(cut.take(Lists::Changes, 2), 2);
        assert_eq!(cut.take(Lists::Changes, 4), 4);
        assert_eq!(cut.take(Lists::Changes, 90), 3);
        assert!(cut.has_room());
        assert_eq!(cut.take(Lists::Changes, 3), 3);
        assert!(!cut.has_room());
        assert_eq!(Cut::new(true).take(Lists::Changes, 90), 90);
    }
}
