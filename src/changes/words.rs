//! The parts of a comparison in words, the same in every view.

use sockc_compiler::diff::report::{
    About, Change, Data, Decider, Edit, EditKind, Fate, Line, Only, Unsaid, Words,
};

use crate::output::count;

/// The maximum number of parts that are named of what a region does not have in it, unless all are asked for.
const MAX_EXCEPT: usize = 4;

/// A region, cut where it gets long unless `all` is asked for.
pub(super) fn region(change: &Change, all: bool) -> String {
    let words = &change.region;
    let shown = if all { words.clone() } else { short(words) };
    let line = shown.line();
    match change.about {
        About::In | About::Out | About::Passing | About::Process(_) => line,
        About::Lookup => format!("socket lookup for {line}"),
        About::MalformedIn => format!("{line} that arrive"),
        About::MalformedOut => format!("{line} that leave"),
        About::MalformedPassing => format!("{line} that pass through"),
    }
}

/// The words with the first exceptions only.
fn short(words: &Words) -> Words {
    let more = words.except.len().saturating_sub(MAX_EXCEPT);
    let mut words = words.clone();
    if more > 1 {
        words.except.truncate(MAX_EXCEPT);
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
    format!("{}:{}", line.location.file, line.location.line)
}

/// What a statement is called: its label, else itself, a `default` without its log.
pub(super) fn name(line: &Line) -> &str {
    let text = match line.is_default {
        true => line.location.text.split(" log ").next().unwrap_or_default(),
        false => &line.location.text,
    };
    line.label.as_deref().unwrap_or(text)
}

/// A verdict and who decides it: `drop, by web.sk:3 default in drop`. Targets and marks are said of the change.
pub(crate) fn decided(fate: &Fate, by: &Decider) -> String {
    format!("{}, {}", fate.verdict, decider(by))
}

/// Who decides.
pub(super) fn decider(by: &Decider) -> String {
    match by {
        Decider::Line(line) => format!("by {} {}", place(line), name(line)),
        Decider::Nobody => "as no rule matches and there is no default".into(),
        Decider::NotAttached => "as the policy is not on this interface".into(),
        Decider::NoGroup => "as the policy has no group of these processes".into(),
    }
}

/// Which policy a line of an edit is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Old,
    New,
    /// The text is the same in both; the line is the new policy's.
    Both,
}

/// The lines of an edit: what was, then what is; one where both read the same.
pub(super) fn sides(edit: &Edit) -> Vec<(Version, &Line)> {
    match (&edit.old, &edit.new) {
        (Some(old), Some(new)) if old.location.text == new.location.text => {
            vec![(Version::Both, new)]
        }
        (old, new) => {
            let old = old.iter().map(|line| (Version::Old, line));
            old.chain(new.iter().map(|line| (Version::New, line)))
                .collect()
        }
    }
}

/// What is to be said of an edit besides its lines, if anything.
pub(super) fn edited(edit: &Edit) -> Option<String> {
    match (edit.kind, &edit.old) {
        (EditKind::Moved, Some(old)) => Some(format!("moved in the list, from {}", place(old))),
        (EditKind::Named, _) => Some("the same text; what it names has changed".into()),
        _ => None,
    }
}

/// The two labels of a rule that only its label tells apart.
pub(super) fn renamed(edit: &Edit) -> Option<(&str, &str)> {
    let [was, is] = [edit.old.as_ref()?, edit.new.as_ref()?].map(|line| line.label.as_deref());
    let none = "(no label)";
    (edit.kind == EditKind::Relabelled && was != is)
        .then(|| (was.unwrap_or(none), is.unwrap_or(none)))
}

/// A set or map that does not hold the same: `set office +2 -1 (12 -> 13)`.
pub(super) fn data(data: &Data) -> String {
    let (old, new) = data.sizes;
    if let (true, Some(only)) = (data.stays, data.only) {
        let verb = match only {
            Only::Old => "ceases",
            Only::New => "begins",
        };
        return format!("{} stays, and the block {verb} to use it", data.name);
    }
    let change = match data.only {
        Some(Only::Old) => Some(("gone", old)),
        Some(Only::New) => Some(("new", new)),
        None => None,
    };
    if let Some((change, elements)) = change {
        let elements = count::of(elements, "element");
        // What it has come to hold is the machine's, and no text says it.
        let elements = match data.live {
            true => format!("declared with {elements}"),
            false => elements,
        };
        return format!("{} is {change} ({elements})", data.name);
    }
    if let Some(was) = &data.was_called {
        let elements = count::of(new, "element");
        return format!(
            "{} was called `{}` and holds the same ({elements})",
            data.name,
            bare(was)
        );
    }
    let mut words = data.name.clone();
    if data.gained + data.lost > 0 {
        let counts = [(data.gained, '+'), (data.lost, '-')];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        words.extend(counts.map(|(count, sign)| format!(" {sign}{}", count::grouped(*count))));
        words += &format!(" ({} -> {})", count::grouped(old), count::grouped(new));
        if data.live {
            words += ", in what it starts with";
        }
    }
    for setting in &data.settings {
        words += &format!(", {setting}");
    }
    words
}

/// The name of a set without what it is.
fn bare(declared: &str) -> &str {
    declared.rsplit(' ').next().unwrap_or(declared)
}

/// What stands after an example whose words do not say all that decides it.
pub(super) fn remark(change: &Change) -> Option<&'static str> {
    change.unsaid.map(unsaid)
}

/// What decides an example besides its words.
pub(crate) fn unsaid(unsaid: Unsaid) -> &'static str {
    match unsaid {
        Unsaid::Rates => "(and some rates are exceeded, others not: words know one state of all)",
        Unsaid::Held => "(and it depends on what a live set or map has come to hold)",
        Unsaid::Lookup => {
            "(met by a socket lookup alone; `explain` takes it for a packet that arrives)"
        }
        Unsaid::Names => {
            "(and on what is there under a name that the two policies do not mean alike)"
        }
    }
}

/// Whether connections that get through before and after change the socket that they reach: those that stand keep theirs. Where one of
/// both lets nobody in, none stands or none is to go on.
pub(super) fn moves_redirect(change: &Change) -> bool {
    let socket = |fate: &Fate| match (fate.verdict, fate.target.as_deref()) {
        ("allow", _) => Some(None),
        ("redirect", Some(target)) if target.starts_with("sock ") => Some(Some(target.to_owned())),
        _ => None,
    };
    let both = socket(&change.from).zip(socket(&change.to));
    both.is_some_and(|(before, after)| before != after)
}

/// What is said where connections reach another socket.
pub(super) const REDIRECTS_MOVE: &str = "new connections reach another socket: established connections keep their old socket, those of one `at tc` only while a rule brings their packets here";
