//! What an import has to say, line by line: what was left out, what means something else, and what is worth knowing.
//!
//! Takes what was found; gives it as text and as JSON. Not here: who finds it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::goal::Goal;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// It is not in the policy.
    LeftOut,
    /// It is in the policy, and means something else.
    Changed,
    /// It means the same, and is worth knowing.
    Note,
}

/// What a rule that is left out would have decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Effect {
    /// What it drops may get through.
    Opens,
    /// What it accepts may be dropped.
    Closes,
    /// Either.
    Both,
}

impl Effect {
    /// That of a rule that does this; nothing where it decides nothing.
    pub(super) fn of(goal: Option<&Goal>) -> Option<Self> {
        match goal {
            Some(Goal::Accept) => Some(Self::Closes),
            Some(Goal::Drop | Goal::Reject(_)) => Some(Self::Opens),
            Some(Goal::Log(_) | Goal::Count | Goal::Aside | Goal::Fill) => None,
            Some(Goal::Return | Goal::Jump(_) | Goal::Goto(_)) | None => Some(Self::Both),
        }
    }
}

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// The file.
    pub(super) file: String,
    /// The line of the file, if it is about one.
    pub(super) line: Option<usize>,
    /// What it is about as its tool names it, where files have no lines that tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<String>,
    /// The place in the file, by which entries are in order.
    #[serde(skip)]
    pub(super) order: Option<usize>,
    /// The rule.
    pub(super) rule: Option<String>,
    /// What is said.
    pub(super) said: String,
    /// A packet that it is about.
    pub(super) packet: Option<String>,
    /// What follows for verdicts, of a rule that is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effect: Option<Effect>,
}

impl Entry {
    /// One about the whole of a file.
    pub(super) fn of_file(kind: Kind, file: &str, said: String) -> Self {
        Self {
            kind,
            file: file.to_owned(),
            line: None,
            place: None,
            order: None,
            rule: None,
            said,
            packet: None,
            effect: None,
        }
    }

    /// Where it is, in few words.
    fn spot(&self) -> String {
        match (&self.place, self.line) {
            (Some(place), _) => place.clone(),
            (None, Some(line)) => format!("{} line {line}", self.file),
            (None, None) => self.file.clone(),
        }
    }

    /// What is said, of whatever rule; nothing of what is said of a whole.
    fn sentence(&self) -> Option<(Kind, &str, &str)> {
        let is_of_rule = self.rule.is_some() && (self.line.is_some() || self.place.is_some());
        is_of_rule.then_some((self.kind, self.file.as_str(), self.said.as_str()))
    }

    /// As a line of text, with the places of others of which the same is said.
    fn text_of(&self, more: &[&Self]) -> String {
        let spots: Vec<String> = more.iter().map(|one| one.spot()).collect();
        match spots.is_empty() {
            true => self.text(),
            false => format!("{}; the same of {}", self.text(), few(&spots)),
        }
    }

    /// As a line of text.
    fn text(&self) -> String {
        let mut text = self.file.clone();
        if let Some(line) = self.line {
            text += &format!(", line {line}");
        }
        if let Some(place) = &self.place {
            text += &format!(", {place}");
        }
        text += match self.kind {
            Kind::LeftOut => ", left out: ",
            Kind::Changed => ", changed: ",
            Kind::Note => ": ",
        };
        if let Some(rule) = &self.rule {
            text += &format!("`{}`: ", shortened(rule));
        }
        text += &self.said;
        if let Some(packet) = &self.packet {
            text += match self.kind {
                Kind::LeftOut => "; the rest of it is about packets such as ",
                Kind::Changed | Kind::Note => "; it is about packets such as ",
            };
            text += &format!("`{packet}`");
        }
        text
    }
}

/// The lines of a report. What is said of many rules is said of the first, with the places of the others.
pub(super) fn lines(report: &[Entry]) -> Vec<String> {
    const MANY: usize = 4;
    let mut alike: BTreeMap<_, Vec<&Entry>> = BTreeMap::new();
    for entry in report {
        if let Some(sentence) = entry.sentence() {
            alike.entry(sentence).or_default().push(entry);
        }
    }
    let line = |entry: &Entry| {
        let all = entry.sentence().and_then(|sentence| alike.get(&sentence));
        match all.map(|all| all.as_slice()) {
            Some([first, more @ ..]) if more.len() + 1 >= MANY => {
                std::ptr::eq(*first, entry).then(|| entry.text_of(more))
            }
            _ => Some(entry.text()),
        }
    };
    report.iter().filter_map(line).collect()
}

/// What follows from all that is left out, for what gets through and for what does not.
pub(super) fn weighed(report: &[Entry]) -> impl Iterator<Item = String> {
    let spots = |effect: Effect| {
        let has = move |entry: &&Entry| [Some(effect), Some(Effect::Both)].contains(&entry.effect);
        report
            .iter()
            .filter(has)
            .map(Entry::spot)
            .collect::<Vec<_>>()
    };
    let opens = spots(Effect::Opens);
    let closes = spots(Effect::Closes);
    let opens = (!opens.is_empty()).then(|| {
        format!(
            "more may get through than before, as rules that take packets away are left out: {}",
            few(&opens)
        )
    });
    let closes = (!closes.is_empty()).then(|| {
        format!(
            "more may be dropped than before, as rules that let packets through are left out: {}",
            few(&closes)
        )
    });
    opens.into_iter().chain(closes)
}

/// The first of many.
fn few(spots: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = spots
        .get(..SHOWN.min(spots.len()))
        .unwrap_or(&[])
        .join(", ");
    match spots.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

/// What is said of a rule in both families is said once.
pub(super) fn once(report: &mut Vec<Entry>) {
    let mut told = BTreeSet::new();
    report.retain(|entry| {
        told.insert((
            entry.kind,
            entry.place.clone(),
            entry.order,
            entry.rule.clone(),
            entry.said.clone(),
        ))
    });
}

/// What it does that a rule is left out.
pub(super) fn effect(goal: Option<&Goal>) -> String {
    match goal {
        Some(Goal::Accept) => "packets that it accepts may be dropped here".to_owned(),
        Some(Goal::Drop | Goal::Reject(_)) => "packets that it drops may get through here".to_owned(),
        Some(Goal::Log(_)) => "no line is written for it".to_owned(),
        Some(Goal::Count) => "nothing is counted for it".to_owned(),
        Some(Goal::Aside) => "no verdict changes by that".to_owned(),
        Some(Goal::Fill) => {
            "nothing is put into the set or taken out of it, so rules that ask for it find what it held".to_owned()
        }
        Some(Goal::Return) => {
            "packets that it takes out of its chain meet the rest of the chain here, which may accept or drop them".to_owned()
        }
        Some(Goal::Jump(chain) | Goal::Goto(chain)) => format!(
            "the chain {chain} is not asked from here: packets that it drops may get through, and those that it accepts may be dropped"
        ),
        None => "what it does is not done here: packets that it drops may get through, and those that it accepts may be dropped".to_owned(),
    }
}

/// As much of a line as a message shows.
pub(super) fn shortened(line: &str) -> String {
    const SHOWN: usize = 200;
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
