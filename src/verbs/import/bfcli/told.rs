//! What is said of a rule set of bpfilter beside its rules.
//!
//! Takes the chains that are carried over; gives where they are asked about other packets than the lists, and where bpfilter reads packets
//! otherwise. Not here: what is said of single rules.

use super::chain::{Scope, entry};
use super::frames;
use super::hook::Sees;
use super::making::Carried;
use super::matchers::{self, Field};
use super::read::Policy;
use crate::verbs::import::list::List;
use crate::verbs::import::report::{Entry, Kind};

/// All that is said; `takes_away` is whether a list drops anything.
pub(super) fn entries(carried: &[Carried<'_>], file: &str, takes_away: bool) -> Vec<Entry> {
    let mut said: Vec<Entry> = Vec::new();
    for one in carried {
        said.extend(unattached(one, file));
        said.extend(of_sockets(one, file));
        said.extend(of_family(one, file));
        said.extend(of_frames(one, file));
        said.extend(of_loopback(one, file));
    }
    let whole = [
        everywhere(carried),
        tagged(carried),
        headers(carried),
        takes_away.then(|| MALFORMED.to_owned()),
    ];
    let whole = whole.into_iter().flatten();
    said.extend(whole.map(|said| Entry::of_file(Kind::Note, file, said)));
    said
}

fn unattached(one: &Carried<'_>, file: &str) -> Option<Entry> {
    let chain = one.chain;
    let option = chain.hook.sees.option();
    chain.attached().is_none().then(|| {
        let said = format!(
            "the file does not attach it (`{option}=`), so that it decides nothing until `bfcli chain attach`; here it holds on every interface of the policy"
        );
        entry(Kind::Changed, file, chain, said)
    })
}

fn of_sockets(one: &Carried<'_>, file: &str) -> Option<Entry> {
    (one.scope == Scope::Sockets).then(|| {
        let said = "it is asked about what sockets get or send, and its rules about packets for which the kernel finds a socket here (`if socket exists`): what has no socket, as ICMP that the kernel answers, and sockets that read every packet of a protocol, are none of these, and what passes by `lo` is none of the policy's";
        entry(Kind::Changed, file, one.chain, said.to_owned())
    })
}

fn of_family(one: &Carried<'_>, file: &str) -> Option<Entry> {
    one.chain.options.contains_key("family").then(|| {
        let said = "`family=` says nothing to bpfilter of today: the chain holds for IPv4 and IPv6, there as here";
        entry(Kind::Note, file, one.chain, said.to_owned())
    })
}

/// A policy is not put on `lo`.
fn of_loopback(one: &Carried<'_>, file: &str) -> Option<Entry> {
    (one.scope == Scope::Interface("lo".to_owned())).then(|| {
        let said = "it is attached to `lo`, which a policy is not put on: what it drops there gets through";
        entry(Kind::Changed, file, one.chain, said.to_owned())
    })
}

/// Frames that are not IP pass every policy, and meet a chain at an interface.
fn of_frames(one: &Carried<'_>, file: &str) -> Option<Entry> {
    let chain = one.chain;
    let drops = chain.policy == Policy::Drop || frames::are_dropped(one);
    (chain.hook.sees == Sees::Interface && drops).then(|| {
        let said =
            "it drops frames that are not IP, too, as those of ARP, and these always pass here";
        entry(Kind::Changed, file, chain, said.to_owned())
    })
}

/// Chains of netfilter that see what passes through hold on every interface.
fn everywhere(carried: &[Carried<'_>]) -> Option<String> {
    carried.iter().any(|one| one.chain.hook.sees == Sees::All).then(|| {
        "chains at NF_PRE_ROUTING and NF_POST_ROUTING hold on every interface, and the lists on those that the policy is put on: name every one that has an address, but not `lo`; what lies on another interface, as a macvlan, meets the lists on both".to_owned()
    })
}

/// XDP reads a tag as what it stands for.
fn tagged(carried: &[Carried<'_>]) -> Option<String> {
    carried.iter().any(|one| one.chain.hook.name == "BF_HOOK_XDP").then(|| {
        "of frames with a VLAN tag in them bpfilter reads nothing at XDP, so that they get the policy of the chain; here tags are stepped over, and the packet behind meets the rules".to_owned()
    })
}

/// What stands behind the header of IP.
fn headers(carried: &[Carried<'_>]) -> Option<String> {
    let asks = |word: &str| {
        let mut names = word.split(|one: char| "(), \n\t".contains(one));
        names.any(|name| {
            matchers::named(name).is_some_and(|one| {
                one.field.is_of_transport()
                    || matches!(one.field, Field::Transport | Field::NextHeader)
            })
        })
    };
    let rules = carried.iter().flat_map(|one| &one.chain.rules);
    let mut words = rules.flat_map(|rule| &rule.words);
    words.any(|word| asks(word.text)).then(|| {
        "bpfilter reads whatever stands behind the header of IP as that of TCP, UDP or ICMP, in later fragments too, and steps over no header of IPv6 but where hop-by-hop or destination options come first: such packets may match rules there that they do not match here, and the other way round. Here a later fragment has no ports, flags or types, and headers between are stepped over. A header of ICMP behind one of the other family is none here".to_owned()
    })
}

/// What cannot be read.
const MALFORMED: &str = "a packet that ends within a header is accepted by bpfilter, whatever the policy of the chain; here it gets the default of its list, which is drop in each list that drops anything";

/// Whether a list is asked ahead of chains that see less than it does.
pub(super) fn is_mixed(carried: &[Carried<'_>], list: List) -> bool {
    let sees = |sees: fn(Sees) -> bool| {
        let mut here = carried
            .iter()
            .filter(|one| one.chain.hook.list == Some(list));
        here.any(|one| sees(one.chain.hook.sees))
    };
    sees(|one| matches!(one, Sees::Interface | Sees::All)) && sees(|one| one == Sees::Own)
}

/// What is said where rules at an interface and rules of the machine's own packets are one list.
pub(super) const MIXED: &str = "rules of chains that see what passes through stand in one list with those of NF_LOCAL_IN or NF_LOCAL_OUT, which do not: on a router, put what lets it past between them, and not at the beginning";
