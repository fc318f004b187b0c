//! The parts of a comparison in words, the same in every view.

use sockc_compiler::diff::report::{
    About, Change, Data, Decider, Edit, EditKind, Fate, Line, Only, Words,
};

/// Most parts that are named of what a region does not have in it, unless all are asked for.
const MOST_EXCEPT: usize = 4;

/// What is put ahead of a region that is not about whole packets that arrive.
fn about(about: About) -> &'static str {
    match about {
        About::In => "",
        About::Out => "out ",
        About::Send => "send ",
        About::Lookup => "lookup of ",
        About::MalformedIn => "malformed ",
        About::MalformedOut => "out malformed ",
    }
}

/// A region, cut where it gets long unless `all` is asked for.
pub(super) fn region(change: &Change, all: bool) -> String {
    let words = &change.region;
    let shown = if all { words.clone() } else { short(words) };
    format!("{}{}", about(change.about), shown.line())
}

/// The words with the first exceptions only.
fn short(words: &Words) -> Words {
    let more = words.except.len().saturating_sub(MOST_EXCEPT);
    let mut words = words.clone();
    if more > 1 {
        words.except.truncate(MOST_EXCEPT);
        words.except.push(format!("and {more} more"));
    }
    words
}

/// `drop -> allow`.
pub(super) fn fates(change: &Change) -> String {
    format!("{} -> {}", change.from.words(), change.to.words())
}

/// Where a statement stands: `web.sk:12`.
pub(super) fn place(line: &Line) -> String {
    format!("{}:{}", line.file, line.line)
}

/// What a statement is called: its label, else itself.
pub(super) fn name(line: &Line) -> &str {
    line.label.as_deref().unwrap_or(&line.text)
}

/// A fate and who decides it: `drop, by web.sk:3 default in drop`.
pub(super) fn decided(fate: &Fate, by: &Decider) -> String {
    format!("{}, {}", fate.words(), decider(by))
}

/// Who decides.
pub(super) fn decider(by: &Decider) -> String {
    match by {
        Decider::Line(line) => format!("by {} {}", place(line), name(line)),
        Decider::Nobody => "as no rule matches and there is no default".into(),
        Decider::NotAttached => "as the policy is not on this interface".into(),
    }
}

/// What is to be said of an edit beside its lines, if anything.
pub(super) fn edited(edit: &Edit) -> Option<&'static str> {
    match edit.kind {
        EditKind::Added | EditKind::Removed | EditKind::Changed => None,
        EditKind::Moved => Some("moved in the list"),
        EditKind::Named => Some("the same words; what it names is not the same"),
        EditKind::Relabelled => Some("the same rule with another label, log or note"),
    }
}

/// A set or map that does not hold the same: `set office +2 -1 (12 -> 13)`.
pub(super) fn data(data: &Data) -> String {
    let (old, new) = data.sizes;
    match data.only {
        Some(Only::Old) => return format!("{} is gone ({old} elements)", data.name),
        Some(Only::New) => return format!("{} is new ({new} elements)", data.name),
        None => {}
    }
    let mut words = data.name.clone();
    if data.gained + data.lost > 0 {
        let counts = [(data.gained, '+'), (data.lost, '-')];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        words.extend(counts.map(|(count, sign)| format!(" {sign}{}", grouped(*count))));
        words += &format!(" ({} -> {})", grouped(old), grouped(new));
    }
    for setting in &data.settings {
        words += &format!(", {setting}");
    }
    if data.live {
        words += ", as it starts";
    }
    words
}

/// A number with a mark at each thousand.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether connections may change the socket that they would reach: those that stand keep theirs.
pub(super) fn moves_redirect(change: &Change) -> bool {
    let to_socket = |fate: &Fate| {
        let target = fate.target.as_deref();
        fate.verdict == "redirect" && target.is_some_and(|target| target.starts_with("sock "))
    };
    to_socket(&change.from) || to_socket(&change.to)
}

/// What is said where redirects move.
pub(super) const REDIRECTS_MOVE: &str =
    "a redirect moves: established connections keep their old socket";
