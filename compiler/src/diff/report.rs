//! What a comparison of two policies gives, ready to be shown: everything is text or a number.
//!
//! Not here: how it is found, and how it is laid out.

use crate::event::Verdict;
use crate::location::Location;
use crate::policy::{Direction, GroupId, OutInterfaceId, SocketId};

/// What changes between two policies.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The policies themselves first, then each `for netns` block of either, in the order they were written.
    pub scopes: Vec<Scope>,
}

impl Report {
    /// Whether the fate of something changes, or may change as far as is known.
    #[must_use]
    pub fn differs(&self) -> bool {
        let rate = |scope: &Scope| scope.edits.iter().any(|edit| edit.impact == Impact::Rate);
        self.scopes.iter().any(|scope| {
            let declared = scope.data.iter().any(|data| !data.settings.is_empty());
            let declared = declared || !scope.settings.is_empty();
            let told = !scope.changes.is_empty() || declared || rate(scope);
            told || scope.untold > 0 || scope.incomplete.is_some()
        })
    }

    /// Whether all of it was proved.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.scopes.iter().all(|scope| scope.incomplete.is_none())
    }
}

/// What changes in one network namespace.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The name of the `for netns` block; `None` for the policy around.
    pub netns: Option<String>,
    /// The rules and defaults that are not the same in both, in the order of the new list; those of packets that arrive
    /// first, then those that leave, then what is sent.
    pub edits: Vec<Edit>,
    /// What gets another fate: by edit, then the larger share first.
    pub changes: Vec<Change>,
    /// What gets the same fate by another rule, so that another counter counts it.
    pub moved: Vec<Moved>,
    /// Sets and maps that do not hold the same.
    pub data: Vec<Data>,
    /// What else is declared otherwise and does not show in the fate of a packet on its own: sentences such as
    /// `interfaces: eth1 is new`.
    pub settings: Vec<String>,
    /// Changes that were found and are not among `changes`, since there are so many.
    pub untold: usize,
    /// Those of the untold that would take too long to describe, however many are asked for.
    pub undescribed: usize,
    /// Why not everything is here, if so. What is here was proved all the same.
    pub incomplete: Option<Incomplete>,
}

impl Scope {
    /// The edits with their places, those first that change the largest share of anything.
    pub fn by_weight(&self) -> impl Iterator<Item = (usize, &Edit)> {
        let mut weights = vec![0.0; self.edits.len()];
        for change in &self.changes {
            if let Some(weight) = change.edit.and_then(|place| weights.get_mut(place)) {
                *weight = change.share.max(*weight);
            }
        }
        let mut edits: Vec<(f64, usize)> = weights.into_iter().zip(0..).collect();
        edits.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let places = edits.into_iter().map(|(_, place)| place);
        places.filter_map(|place| Some((place, self.edits.get(place)?)))
    }
}

/// How a rule or default is not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EditKind {
    /// Only in the new policy.
    Added,
    /// Only in the old policy.
    Removed,
    /// In both, at another place in the list.
    Moved,
    /// Another text in the same place.
    Changed,
    /// The same text in the same place, but a set, map or socket that it names is another.
    Named,
    /// The same meaning in other words, or with another label, log or note.
    Relabelled,
}

/// A rule or default that is not the same in both policies.
#[derive(Clone, Debug)]
pub struct Edit {
    /// How.
    pub kind: EditKind,
    /// Whose list it stands in.
    pub direction: Direction,
    /// The rule of the old policy; `None` if it was added.
    pub old: Option<Line>,
    /// The rule of the new policy; `None` if it was removed.
    pub new: Option<Line>,
    /// What it does to the fate of anything.
    pub impact: Impact,
}

/// What an edit does to the fate of anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Impact {
    /// It changes it: see the changes.
    Some,
    /// It changes how many packets fit into a rate, not which packets the rate is for.
    Rate,
    /// It changes nothing; why, as a sentence without a full stop: `line 4 decides all of it before`.
    None(Option<String>),
    /// Nobody knows: the comparison is incomplete.
    Unknown,
}

/// A statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands, and what it says.
    pub location: Location,
    /// `label:`
    pub label: Option<String>,
    /// Whether it is a `default` line.
    pub is_default: bool,
}

/// What a changed region is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum About {
    /// Packets that arrive.
    In,
    /// Packets that leave.
    Out,
    /// What processes do, by its direction.
    Process(Direction),
    /// Socket lookups for packets that met no packet hook: over `lo`, or by an interface that is not the policy's. Only
    /// those that no change of arriving packets says already.
    Lookup,
    /// Malformed packets that arrive.
    MalformedIn,
    /// Malformed packets that leave.
    MalformedOut,
    /// Packets that pass through.
    Passing,
    /// Malformed packets that do.
    MalformedPassing,
}

impl About {
    /// Whether it is about packets that cannot be read.
    #[must_use]
    pub fn is_malformed(self) -> bool {
        matches!(
            self,
            Self::MalformedIn | Self::MalformedOut | Self::MalformedPassing
        )
    }

    /// The direction, as rules and JSON name it; `lookup` for lookups.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::In | Self::MalformedIn => "in",
            Self::Out | Self::MalformedOut => "out",
            Self::Passing | Self::MalformedPassing => Direction::Forward.word(),
            Self::Process(direction) => direction.word(),
            Self::Lookup => "lookup",
        }
    }
}

/// What becomes of something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fate {
    /// `allow`, `drop`, `reject`, `redirect` or `shortcut`.
    pub verdict: &'static str,
    /// Where a redirect or a shortcut leads, in the language's words: `sock proxy`, `interface eth1`, `group pods`; with the socket's addresses
    /// after it where both policies have a socket of this name and not the same addresses.
    pub target: Option<String>,
    /// The mark that the packet gets.
    pub mark: Option<u32>,
}

impl Fate {
    /// That of a verdict; `socket`, `interface` and `group` give the words for where it leads.
    pub(crate) fn of(
        verdict: Verdict,
        mark: Option<u32>,
        socket: impl FnOnce(SocketId) -> String,
        interface: impl FnOnce(OutInterfaceId) -> String,
        group: impl FnOnce(GroupId) -> String,
    ) -> Self {
        let target = match verdict {
            Verdict::Redirect(id) => Some(socket(id)),
            Verdict::Feed(feed) => Some(format!("{} {}", feed.queue.words(), socket(feed.socket))),
            Verdict::Forward(id) => Some(format!("interface {}", interface(id))),
            Verdict::Shortcut(id) => Some(format!("group {}", group(id))),
            Verdict::Allow | Verdict::Drop | Verdict::Reject => None,
        };
        Self {
            verdict: verdict.word(),
            target,
            mark,
        }
    }

    /// In words: `redirect to sock proxy`, `allow mark 0x7`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = self.verdict.to_owned();
        if let Some(target) = &self.target {
            words.push_str(" to ");
            words.push_str(target);
        }
        if let Some(mark) = self.mark {
            words.push_str(&format!(" mark {mark:#x}"));
        }
        words
    }
}

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decider {
    /// A rule or a `default` line.
    Line(Line),
    /// No rule matches and there is no default.
    Nobody,
    /// The policy is not on this interface.
    NotAttached,
    /// The processes are of no group of the policy.
    NoGroup,
}

/// A region whose fate changes.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it is about.
    pub about: About,
    /// For what processes do: their group, as the new policy calls it, or the old one if only that has it.
    pub group: Option<String>,
    /// What becomes of it in the old policy.
    pub from: Fate,
    /// What becomes of it in the new policy.
    pub to: Fate,
    /// Who decides in the old policy.
    pub was: Decider,
    /// Who decides in the new policy.
    pub will_be: Decider,
    /// The edit it comes from, as its place in [`Scope::edits`].
    pub edit: Option<usize>,
    /// The region in the language's words, such as `tcp from any to 192.0.2.0/24:22`.
    pub region: Words,
    /// A packet of it in the words that `explain` takes. Both policies were asked about it.
    pub example: String,
    /// What decides the example besides its words, if they do not say all of it in names that both policies know.
    pub unsaid: Option<Unsaid>,
    /// The part of all packets (or sends) of the direction that it is: above 0, up to 1. IPv4 and IPv6 are a half each,
    /// and every value of every field that rules look at counts the same; 0 for malformed packets.
    pub share: f64,
    /// How far it reaches; `None` for malformed packets.
    pub spans: Option<Spans>,
    /// What it is, drawn: for pictures.
    pub shadow: Vec<Shadow>,
}

/// What the words of an example cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// That some rates are exceeded and others are not.
    Rates,
    /// What a live set or map has come to hold.
    Held,
    /// That only a socket lookup meets the packet.
    Lookup,
    /// What is there under a name that both policies do not mean alike.
    Names,
}

/// How far a region reaches: what some packet of it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    /// The senders.
    pub senders: End,
    /// The receivers.
    pub receivers: End,
    /// The receivers' ports; `None` where packets without ports are in it too.
    pub ports: Option<Count>,
    /// Whether not every one of the senders with every receiver and port is in it: rules take something of that away.
    pub at_most: bool,
}

/// The addresses of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// So many.
    Of(Addresses),
    /// Too many parts to be counted.
    Parts,
    /// No address is known at this end.
    Unknown,
}

/// Addresses of both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Those of IPv4.
    pub v4: Count,
    /// Those of IPv6.
    pub v6: Count,
}

/// How many there are of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// All.
    All,
    /// So many, fewer than all.
    Some(u128),
}

/// A region in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// What it lies in, in the language's words.
    pub within: String,
    /// What of that is not in it, each in the language's words; or in plain ones, such as `what line 3 decides`.
    pub except: Vec<String>,
    /// Whether more is not in it than `except` says.
    pub and_more: bool,
}

impl Words {
    /// All of it on one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut words = self.within.clone();
        for (index, except) in self.except.iter().enumerate() {
            words.push_str(if index == 0 { " except " } else { ", " });
            words.push_str(except);
        }
        if self.and_more {
            words.push_str(if self.except.is_empty() {
                ", in part"
            } else {
                ", and more"
            });
        }
        words
    }
}

/// A part of a region over the sender's address and the receiver's port, whatever the other fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Whether the addresses are IPv6.
    pub ipv6: bool,
    /// The sender's addresses, inclusive, in host order.
    pub from: (u128, u128),
    /// The receiver's ports, inclusive; every one where packets without ports belong to it too.
    pub ports: (u16, u16),
}

/// What gets the same fate by another rule.
#[derive(Clone, Debug)]
pub struct Moved {
    /// What it is about.
    pub about: About,
    /// Whose counter it was.
    pub was: Decider,
    /// Whose counter it will be.
    pub will_be: Decider,
    /// A packet of it in the words that `explain` takes.
    pub example: String,
}

/// A set or map that does not hold the same in both policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// As it is declared: `set bogons`, `live set banned`, `map dns`, `live map tenants`.
    pub name: String,
    /// Elements (prefixes or entries) that are only in the new one.
    pub gained: usize,
    /// Elements that are only in the old one.
    pub lost: usize,
    /// Elements of the old one, and of the new one.
    pub sizes: (usize, usize),
    /// A few of those gained, as they are written.
    pub gained_examples: Vec<String>,
    /// A few of those lost.
    pub lost_examples: Vec<String>,
    /// What else is declared otherwise: `max 100 -> 200`.
    pub settings: Vec<String>,
    /// Whether it is only in the old policy, or only in the new one.
    pub only: Option<Only>,
    /// Of a live set that is only in one of them: whether it is one of the policy around in both, which the block ceases or
    /// begins to ask.
    pub stays: bool,
    /// What the old policy calls it, where it holds the same under another name.
    pub was_called: Option<String>,
    /// Whether its contents change while running, so that what is written here is only what it starts with.
    pub live: bool,
}

/// Which of two policies has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// The old one.
    Old,
    /// The new one.
    New,
}

/// Why a comparison is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// In a sentence without a full stop: what grew past which budget.
    pub why: String,
    /// Edits of which it is not known what they do.
    pub unknown_edits: usize,
}
