//! Where lists are cut, so that a comparison fits a screen.

/// What stands after a list that was cut.
pub(super) const HINT: &str = "(--all shows them)";

/// Changes are all told in full if there are no more than this.
const ALL_IN_FULL: usize = 4;
/// So many are told in full if there are more, and so many then on one line.
const IN_FULL: usize = 2;
const IN_BRIEF: usize = 12;

/// The lists of a comparison, the changes apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lists {
    /// Edits without effect.
    Edits,
    /// Counters that move.
    Moved,
    /// Sets and maps.
    Data,
    /// What else is declared.
    Settings,
    /// The rules of a first policy.
    Rules,
}

impl Lists {
    /// So many items are shown.
    fn most(self) -> usize {
        match self {
            Self::Moved => 3,
            Self::Edits => 4,
            Self::Data | Self::Settings => 8,
            Self::Rules => 24,
        }
    }
}

/// How a change is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// With its example, its deciders and its share.
    Full,
    /// On one line.
    Brief,
    /// Not at all.
    LeftOut,
}

/// How much may be shown still.
#[derive(Debug)]
pub(super) struct Allowance {
    all: bool,
    full: usize,
    brief: usize,
}

impl Allowance {
    /// For so many changes; of which everything is shown if `all` is asked for.
    pub(super) fn new(all: bool, changes: usize) -> Self {
        let full = match changes {
            0..=ALL_IN_FULL => ALL_IN_FULL,
            _ => IN_FULL,
        };
        // A list is not cut for the sake of one.
        let brief = IN_BRIEF + usize::from(changes == full + IN_BRIEF + 1);
        Self { all, full, brief }
    }

    /// Whether nothing is cut.
    pub(super) fn all(&self) -> bool {
        self.all
    }

    /// How the next change is told.
    pub(super) fn form(&self) -> Form {
        match (self.all, self.full, self.brief) {
            (true, ..) | (_, 1.., _) => Form::Full,
            (_, 0, 1..) => Form::Brief,
            (_, 0, 0) => Form::LeftOut,
        }
    }

    /// A change is told.
    pub(super) fn told(&mut self) {
        match self.form() {
            Form::Full => self.full = self.full.saturating_sub(1),
            Form::Brief => self.brief -= 1,
            Form::LeftOut => {}
        }
    }

    /// How many of a list's items are shown.
    pub(super) fn take(&self, list: Lists, items: usize) -> usize {
        let most = list.most();
        match self.all || items == most + 1 {
            true => items,
            false => items.min(most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(all: bool, changes: usize) -> (usize, usize, usize) {
        let mut allowance = Allowance::new(all, changes);
        let mut counts = (0, 0, 0);
        for _ in 0..changes {
            match allowance.form() {
                Form::Full => counts.0 += 1,
                Form::Brief => counts.1 += 1,
                Form::LeftOut => counts.2 += 1,
            }
            allowance.told();
        }
        counts
    }

    #[test]
    fn few_changes_are_told_in_full_and_many_in_brief() {
        assert_eq!(forms(false, 4), (4, 0, 0));
        assert_eq!(forms(false, 5), (2, 3, 0));
        assert_eq!(forms(false, 15), (2, 13, 0));
        assert_eq!(forms(false, 16), (2, 12, 2));
        assert_eq!(forms(true, 90), (90, 0, 0));
    }

    #[test]
    fn lists_are_cut_but_not_for_one() {
        let allowance = Allowance::new(false, 0);
        assert_eq!(allowance.take(Lists::Moved, 4), 4);
        assert_eq!(allowance.take(Lists::Moved, 5), 3);
        assert_eq!(Allowance::new(true, 0).take(Lists::Moved, 5), 5);
    }
}
