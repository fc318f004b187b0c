//! What is legal and probably not meant: warnings of a policy that compiles.
//!
//! Takes a resolved policy, or its text; gives warnings. None is a guess: each is proved from the reference meaning, or
//! from what the text plainly says, and a lint that cannot be sure says nothing. Not here: mistakes, which the stages
//! report that find them.

mod boxes;
mod circling;
mod decided;
mod essentials;
mod family;
mod idle;
mod intercepts;
mod interfaces;
mod joined;
mod labels;
mod limits;
mod list;
mod literal;
mod lone_port;
mod mapped;
mod members;
mod names;
mod outside;
mod overlap;
mod owner;
mod rates;
mod reach;
mod redirected;
mod sample;
mod send;
mod sender_port;
mod sides;
#[cfg(test)]
mod tests;
mod udp;
mod unanswered;

use sockc_grammar::diagnostic::{Code, Diagnostic};
use sockc_grammar::source::{SourceId, SourceMap, Span};

use crate::policy::{Direction, Policy};
use crate::reading::Reading;
use list::List;

sockc_grammar::codes! {
    UNREACHABLE = "W0601", "a rule that is never reached";
    NO_EFFECT = "W0602", "a rule that changes nothing";
    NO_NEIGHBOURS = "W0603", "a default that keeps IPv6 neighbour discovery out";
    NO_PATH_MTU = "W0604", "a default that keeps path MTU errors out";
    UDP_SOCKETS = "W0605", "a UDP rule that opens every port on which something waits";
    PORT_IN_ADDRESS = "W0606", "an IPv6 address that reads like one with a port";
    OTHER_FAMILY = "W0607", "a redirect for a family that its socket never holds";
    NEARLY_FULL = "W0608", "a set or map that starts nearly full";
    UNUSED = "W0609", "a name that is declared and not used";
    UDP_ANY_PORT = "W0610", "a redirect of every UDP port to one socket";
    OVERLAP = "W0611", "two rules whose order decides what becomes of some packets";
    OUTSIDE = "W0612", "a rule for interfaces that the policy is not on";
    VERB_AS_LABEL = "W0613", "a label that is a verb";
    ONE_AT_A_TIME = "W0614", "a rate below one a second, without a burst";
    SHARED_BUCKET = "W0615", "a rate that one sender can use up for all";
    ANYBODYS_SOCKET = "W0617", "a redirect of ports below 1024 to a socket that any user may bind";
    SPREAD_TWICE = "W0618", "members at one address, over which the kernel spreads again";
    ONLY_DATA = "W0620", "a rule that stops data of TCP connections only";
    SENDER_PORT = "W0621", "a rule that lets in anyone who sends from a port";
    NO_INTERFACE = "W0630", "a name that no interface can have";
    PAST_PROXY = "W0631", "a redirect at tc that packets which cannot be read get past";
    NEVER_OPENED = "W0632", "a redirect at tc that takes half a handshake";
    REDIRECTED_AWAY = "W0633", "a redirect to an interface where its packets are dropped";
    UNANSWERED = "W0634", "a reject whose answers the policy drops";
    CIRCLING = "W0635", "a redirect of what leaves that ends in a circle";
    LONE_PORT = "W0636", "a port beside addresses in one list";
    CUT_SHORT = "N0621", "the search for rules without effect was cut short";
    JOINED = "W0626", "a rule on the length of packets that may be joined";
}

/// The lints that say nothing unless they are asked for.
pub const OPTIONAL: &[Code] = &[OVERLAP];

/// How much work the lints of one direction may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Some hundredths of a second, and no more findings of a kind than a person reads: for a policy that is compiled.
    Quick,
    /// Hardly ever more than a second, some seconds for lists of 100,000 rules that share much: for `check`.
    Thorough,
    /// Some seconds: for what is said only if it is asked for.
    Exhaustive,
}

impl Care {
    /// Looks at rules that may match a packet or share packets.
    fn looks(self) -> u64 {
        match self {
            Self::Quick => 400_000,
            Self::Thorough => 100_000_000,
            Self::Exhaustive => 400_000_000,
        }
    }

    /// So many rules of a direction are reported by the lints that search, each.
    fn findings(self) -> usize {
        match self {
            Self::Quick => 20,
            Self::Thorough | Self::Exhaustive => usize::MAX,
        }
    }

    /// Nodes of diagrams for the rules that cannot be told quickly.
    fn nodes(self) -> usize {
        match self {
            Self::Quick => 50_000,
            Self::Thorough => 300_000,
            Self::Exhaustive => 2_000_000,
        }
    }
}

/// What the rules of a policy give reason to say, each looked at with those around it; by lint, then in order. The policies of
/// its namespaces are asked by themselves. `own` is the policy's own file: rules of included files are there for other
/// policies too.
#[must_use]
pub(crate) fn searched(policy: &Policy, own: SourceId, care: Care) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut cut_short = false;
    let mut enough = false;
    let mut has_rules = Direction::ALL.map(|_| false);
    for rule in policy.rules.values() {
        has_rules[rule.direction as usize] = true;
    }
    let with_rules = Direction::ALL.into_iter().zip(has_rules);
    for (direction, _) in with_rules.filter(|(_, has_rules)| *has_rules) {
        let mut list = List::new(policy, direction, care);
        let unreachable = reach::check(&mut list, own, &mut found);
        idle::check(&mut list, own, &unreachable, &mut found);
        cut_short |= list.is_exhausted();
        enough |= list.is_enough();
    }
    let why = if enough {
        Some(Why::Enough)
    } else {
        cut_short.then_some(Why::Looks)
    };
    found.extend(why.map(|why| self::cut_short(own, why)));
    found
}

/// What is seen at a glance; by lint, then in order.
#[must_use]
pub(crate) fn seen(policy: &Policy) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    essentials::check(policy, &mut found);
    udp::check(policy, &mut found);
    family::check(policy, &mut found);
    mapped::check(policy, &mut found);
    owner::check(policy, &mut found);
    members::check(policy, &mut found);
    limits::live(policy, &mut found);
    outside::check(policy, &mut found);
    send::check(policy, &mut found);
    joined::check(policy, &mut found);
    sender_port::check(policy, &mut found);
    intercepts::check(policy, &mut found);
    redirected::check(policy, &mut found);
    unanswered::check(policy, &mut found);
    circling::check(policy, &mut found);
    found
}

/// What is said only if it is asked for: `codes` are some of [`OPTIONAL`]; by lint, then in order.
#[must_use]
pub fn also(policy: &Policy, own: SourceId, codes: &[Code]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if !codes.contains(&OVERLAP) {
        return found;
    }
    let mut cut_short = false;
    for direction in Direction::of_packets() {
        let mut list = List::new(policy, direction, Care::Exhaustive);
        let unreachable = reach::check(&mut list, own, &mut Vec::new());
        overlap::check(&mut list, own, &unreachable, &mut found);
        cut_short |= list.is_exhausted();
    }
    found.extend(cut_short.then(|| self::cut_short(own, Why::Looks)));
    for inner in &policy.netns {
        found.extend(also(&inner.policy, own, codes));
    }
    found
}

/// Why not every rule was looked at.
#[derive(Clone, Copy)]
enum Why {
    /// It would take too long.
    Looks,
    /// What was found is as much as anybody reads.
    Enough,
}

fn cut_short(own: SourceId, why: Why) -> Diagnostic {
    let whole = Span {
        source: own,
        start: 0,
        end: 0,
    };
    let help = match why {
        Why::Looks => {
            "what is reported holds; for the rest, join rules that do the same, or name addresses with sets"
        }
        Why::Enough => "what is reported holds; `sockc check` looks at all rules",
    };
    Diagnostic::note(
        CUT_SHORT,
        "not every rule was looked at",
        whole,
        "rules that are never reached or change nothing may be among those that were not",
    )
    .help(help)
}

/// What the text of a sound policy gives reason to say.
#[must_use]
pub(crate) fn text(reading: &Reading, sources: &SourceMap) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    literal::check(&reading.file, sources, &mut found);
    lone_port::check(&reading.file, sources, &mut found);
    labels::check(&reading.file, sources, &mut found);
    rates::check(&reading.file, &mut found);
    limits::files(reading, &mut found);
    names::check(&reading.file, &mut found);
    interfaces::check(&reading.file, &mut found);
    found
}
