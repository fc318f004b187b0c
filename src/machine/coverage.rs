//! The interfaces and control groups that the policy in force is for, in words: missing, open, removed, made again, renamed, moved to
//! another namespace.
//!
//! Takes what the runtime found; gives a sentence for each, and whether the policy lost something by it. Not here: the JSON of `status`.

use sockc_runtime::{Coverage, InTwoZones, Moved, MovedGroup, MovedTo, NamedKind, NamedLoss};

/// What to do where the policy does not hold.
const PUT_IT_ON: &str = "`sockc apply --running` puts it there";

/// A sentence, and whether what it says is a loss of the policy.
pub(crate) struct Told {
    pub(crate) is_loss: bool,
    pub(crate) words: String,
}

impl Told {
    fn of(is_loss: bool, words: String) -> Self {
        Self { is_loss, words }
    }

    fn loss(words: String) -> Self {
        Self::of(true, words)
    }
}

/// All that is to be said of it.
pub(crate) fn told(coverage: &Coverage) -> Vec<Told> {
    let mut told = moved(coverage);
    told.extend(coverage.two_zones.iter().map(in_two_zones));
    let open = coverage.open.iter();
    told.extend(open.filter(|name| !is_in_two(coverage, name)).map(|name| {
        Told::loss(format!(
            "the policy is for the interface {name} and does not hold on it: its packets pass by; {PUT_IT_ON}"
        ))
    }));
    told.extend(missing(coverage));
    if coverage.nowhere {
        told.push(Told::loss(
            "the packet rules hold on no interface at all".to_owned(),
        ));
    }
    let groups = coverage.groups.iter();
    told.extend(groups.map(|group| Told::loss(group_words(group))));
    let named = coverage.named.iter();
    told.extend(named.map(|one| Told::of(one.is_loss(), named_words(one))));
    told
}

/// Whether an interface is in two zones: all that is to be said of it is said by that.
fn is_in_two(coverage: &Coverage, name: &str) -> bool {
    let mut two_zones = coverage.two_zones.iter();
    two_zones.any(|one| one.interface == name)
}

fn in_two_zones(one: &InTwoZones) -> Told {
    Told::of(one.held_as.is_none(), one.words())
}

/// Those that are not what they were.
fn moved(coverage: &Coverage) -> Vec<Told> {
    let moved = coverage.moved.iter();
    let moved =
        moved.filter(|one| !matches!(&one.now, MovedTo::Renamed(now) if is_in_two(coverage, now)));
    moved
        .map(|one| Told::of(one.is_loss(), moved_words(one)))
        .collect()
}

/// Those that are not there. What a pattern covers comes and goes, and nothing is missing while there is none.
fn missing(coverage: &Coverage) -> impl Iterator<Item = Told> {
    // Of one that was removed all is said.
    let is_removed = |name: &String| {
        let mut moved = coverage.moved.iter();
        moved.any(|one| one.interface == *name && one.is_loss())
    };
    let missing = coverage.missing.iter();
    let missing = missing.filter(move |name| !is_removed(name));
    missing.map(|name| Told::of(!is_pattern(name), missing_words(name)))
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn moved_words(moved: &Moved) -> String {
    let name = &moved.interface;
    match &moved.now {
        MovedTo::Again => {
            format!(
                "{name} was removed and made again: the policy does not hold on it; {PUT_IT_ON}"
            )
        }
        MovedTo::Gone if moved.named => format!(
            "{name} was removed: if it is made again, the policy does not hold on it until `sockc apply --running`"
        ),
        MovedTo::Gone => format!("{name} was removed; the policy held on it"),
        MovedTo::Renamed(now) if moved.wanted => format!(
            "{name} is called {now} now: the policy holds on it as on {name} until the next `sockc apply`"
        ),
        MovedTo::Renamed(now) => {
            format!(
                "{name} is called {now} now: the policy still holds on it, and should name it so"
            )
        }
        MovedTo::Elsewhere => format!(
            "{name} is in another network namespace now: the policy still holds on it there; the next `sockc apply` takes it off"
        ),
    }
}

fn group_words(moved: &MovedGroup) -> String {
    let MovedGroup { group, path, .. } = moved;
    match moved.again {
        true => format!(
            "the control group {path} was removed and made again: the rules of the group \"{group}\" do not hold for its sockets; `sockc apply --running` has them hold"
        ),
        false => format!(
            "the control group {path} was removed: if it is made again, the rules of the group \"{group}\" do not hold for its sockets until `sockc apply --running`"
        ),
    }
}

fn named_words(loss: &NamedLoss) -> String {
    let name = &loss.name;
    let later = "once there is one, until `sockc apply --running`";
    if let Some(instead) = &loss.instead {
        return format!(
            "what is redirected to {name} leaves by {instead}, which has its number: as a rule {name} was renamed; `sockc apply --running` ends that"
        );
    }
    match (loss.kind, loss.again) {
        (NamedKind::Lookups | NamedKind::CameIn, true) => {
            let (rules, whose) = match loss.kind {
                NamedKind::CameIn => ("the rules of `forward` say of what comes in by", ""),
                _ => (
                    "the policy says of the interface",
                    " where sockets are looked up for its packets",
                ),
            };
            let instead = loss.known.as_ref();
            let instead =
                instead.map(|was| format!(", and what they say of {was} does in its place"));
            format!(
                "what {rules} {name} does not hold{whose}{}: it came, or got its name, after the apply; `sockc apply --running` has it hold",
                instead.unwrap_or_default()
            )
        }
        (NamedKind::Lookups | NamedKind::CameIn, false) if loss.taken => taken(loss),
        (NamedKind::Lookups | NamedKind::CameIn, false) => unnamed(loss),
        (NamedKind::Target, true) => format!(
            "the interface {name}, which packets are redirected to, came after the apply, or somebody emptied its slot: they are dropped; `sockc apply --running` has them leave by it"
        ),
        (NamedKind::Target, false) => format!(
            "there is no interface {name}: what is redirected to it is dropped, also {later}"
        ),
        // Of these `status` tells apart from interfaces.
        (NamedKind::Namespace, _) => {
            format!("the network namespace \"{name}\" is another one than at the apply")
        }
    }
}

/// What programs say of an interface that has the number of one that was removed.
fn taken(loss: &NamedLoss) -> String {
    let (name, was) = (&loss.name, loss.known.as_deref().unwrap_or_default());
    let rules = match loss.kind {
        NamedKind::CameIn => format!("what comes in by {name} meets the rules of `forward`"),
        _ => format!("sockets are looked up for packets of {name} by the rules"),
    };
    format!(
        "{rules} for {was}: that was removed, and {name} was given its number; `sockc apply --running` ends that"
    )
}

/// What programs say of an interface that the policy does not name, or that is not there.
fn unnamed(loss: &NamedLoss) -> String {
    let name = &loss.name;
    let rules = match loss.kind {
        NamedKind::CameIn => "the rules of `forward` about what comes in by",
        _ => "the rules of lookups for packets of",
    };
    match &loss.known {
        None => format!(
            "there is no interface {name}: when one comes, {rules} {name} do not hold until `sockc apply --running`"
        ),
        Some(was) => format!(
            "{rules} {was} hold for {name}, which has its number: the next `sockc apply` takes it for {name}, which none of them names; to keep them, name it so first"
        ),
    }
}

fn missing_words(name: &str) -> String {
    let later = "the policy does not hold on it until `sockc apply --running`";
    if is_pattern(name) {
        return format!("no interface is called `{name}`; when one comes, {later}");
    }
    format!("there is no interface {name}; when it comes, {later}")
}
