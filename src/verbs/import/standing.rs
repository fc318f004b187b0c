//! Where the lists of a policy are asked about other packets than the chains of the kernel.
//!
//! Takes the lists that became of chains; gives what is said of them as a whole, beside what is said of single rules. Not here: what a rule
//! means.

use std::collections::BTreeSet;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::chains::{End, Flat, Step};
use super::list::List;
use super::lists::{self, Lists, steps};
use super::report::Kind;
use super::what::{Pattern, Side, What};

/// How a tool calls its chains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    /// That of what arrives.
    pub(super) input: &'static str,
    /// That of what leaves.
    pub(super) output: &'static str,
    /// That of what passes through.
    pub(super) forward: &'static str,
    /// The tool.
    pub(super) tool: &'static str,
}

/// What is said of the lists; `is_translated` is whether rules of the tool translate addresses.
pub(super) fn of_lists(lists: &[Lists], names: &Names, is_translated: bool) -> Vec<(Kind, String)> {
    let said = [
        interfaces(lists, names),
        unreachable(lists),
        looped(lists),
        unknown_family(lists),
        passing(lists, names),
        is_translated.then(|| translated(lists, names)).flatten(),
        fragments(lists, names),
        frames(lists, names),
        asked(lists, names),
        answers(lists),
    ];
    said.into_iter().flatten().collect()
}

fn takes_away(lists: &[Lists], list: List) -> bool {
    let mut lists = lists.iter();
    lists.any(|one| one.list == list && one.takes_away())
}

/// The chains hold on every interface; a list of a policy holds on those that it is put on. What leaves by another one meets no `forward`,
/// nor does what goes back where it came from, so what FORWARD drops could get through.
fn interfaces(lists: &[Lists], names: &Names) -> Option<(Kind, String)> {
    let forward = names.forward;
    let name = "the chains hold on every interface, and the lists on those that the policy is put on: name every one that has an address, but not `lo`, by which all passes. What lies on another interface, as a macvlan, meets the lists on both, and takes a token of a rate on each";
    Some(match takes_away(lists, List::Forward) {
        true => (
            Kind::Changed,
            format!(
                "{name}. What leaves by any other interface, what goes back out of the one by which it came, and what a bridge passes between its ports, meets no `forward`, though {forward} may drop it; a policy on the ports has the last meet it"
            ),
        ),
        false => (Kind::Note, name.to_owned()),
    })
}

/// How interfaces are called that carry no Ethernet, as far as names tell: what drives them, and whoever sets them up, calls them so.
const WITHOUT_ETHERNET: [&str; 7] = ["tun", "ppp", "wg", "ipsec", "vti", "sit", "ip6tnl"];

/// The interfaces that rules of a list name.
fn named(step: &Step) -> impl Iterator<Item = &Pattern> {
    let what = match step {
        Step::Rule(flat) => Some(&flat.what),
        Step::LeftOut(..) => None,
    };
    what.into_iter().flat_map(|what| {
        let zones = what.on_zone.iter().chain(&what.to_zone);
        let members = zones.flat_map(|zone| &zone.members);
        what.on.iter().chain(&what.leaves).chain(members)
    })
}

/// Programs of packets read Ethernet, so a policy is not put on an interface without: what the chains drop there gets through.
fn unreachable(lists: &[Lists]) -> Option<(Kind, String)> {
    let takes_away = List::ALL.into_iter().any(|list| takes_away(lists, list));
    let is_without = |name: &&str| WITHOUT_ETHERNET.iter().any(|begin| name.starts_with(begin));
    let names: BTreeSet<&str> = steps(lists)
        .flat_map(named)
        .map(Pattern::name)
        .filter(is_without)
        .collect();
    let general = "a policy cannot be put on an interface without Ethernet, as those of tun, ppp and WireGuard are: what the chains drop there gets through";
    takes_away.then(|| match names.is_empty() {
        true => (Kind::Note, general.to_owned()),
        false => {
            let names: Vec<&str> = names.into_iter().collect();
            let named = names.join(", ");
            (Kind::Changed, format!("{general}; rules name {named}"))
        }
    })
}

/// The policy is not put on `lo`, so rules that drop what arrives or leaves there hold nowhere.
fn looped(lists: &[Lists]) -> Option<(Kind, String)> {
    let drops = |step: &&Step| matches!(step, Step::Rule(flat) if flat.end.takes_away());
    let mut dropping = steps(lists).filter(drops);
    let is_lo = |name: &Pattern| name.name() == "lo";
    dropping.any(|step| named(step).any(is_lo)).then(|| {
        let said = "rules that drop are about `lo`, which the policy is not put on: what they drop there gets through";
        (Kind::Changed, said.to_owned())
    })
}

fn unknown_family(lists: &[Lists]) -> Option<(Kind, String)> {
    let is_unknown = lists
        .iter()
        .any(|one| lists::unknown(one) == Some(Family::V6));
    is_unknown.then(|| {
        let said = "nothing is said of IPv6, so the policy lets it through; give what ip6tables-save prints with `--ip6`";
        (Kind::Changed, said.to_owned())
    })
}

/// What passes through meets `in` and `out`, and not INPUT and OUTPUT. Which addresses its networks have for broadcast does not stand in the
/// files, so the rules that let it past are for the user to complete; until then it is dropped, which opens nothing.
fn passing(lists: &[Lists], names: &Names) -> Option<(Kind, String)> {
    let (input, output) = (names.input, names.output);
    let forward = lists.iter().find(|one| one.list == List::Forward)?;
    let many = "BROADCASTS are the addresses that its networks have for broadcast";
    let remedies = [
        (
            List::In,
            "`allow in to not self, BROADCASTS, 224.0.0.0/4, 255.255.255.255, fe80::/10, ff00::/8`",
        ),
        (List::Out, "`allow out from not self, fe80::/10`"),
    ];
    let remedies: Vec<&str> = remedies
        .into_iter()
        .filter(|(list, _)| takes_away(lists, *list))
        .map(|(_, remedy)| remedy)
        .collect();
    // Where nothing passes through, and nobody is told so, it is dropped in one list or in the other.
    if remedies.is_empty() || !forward.lets_through() && !steps(lists).any(rejects) {
        return None;
    }
    let said = format!(
        "what passes through meets `in` where it arrives and `out` where it leaves, and {input} and {output} are not asked about it there: on a router, begin these lists with {}, where {many}",
        remedies.join(" and ")
    );
    Some(match forward.is_there() {
        true => (Kind::Changed, said),
        false => (Kind::Note, said),
    })
}

/// Programs at interfaces see addresses as they are outside: of what arrives before a destination is translated, of what leaves after a
/// source was.
fn translated(lists: &[Lists], names: &Names) -> Option<(Kind, String)> {
    let Names {
        input,
        output,
        forward,
        tool,
    } = names;
    let is_asked = lists
        .iter()
        .any(|one| one.list != List::In && one.is_there());
    (is_asked || takes_away(lists, List::In)).then(|| {
        let said = format!(
            "addresses are translated here: while {tool} goes on with that, `in` is asked before a destination is translated ({input} after), and `forward` and `out` after a source is ({forward} and {output} before); rules about such addresses have to name the others"
        );
        (Kind::Changed, said)
    })
}

/// Whether a rule asks for what no later fragment has: ports, flags of TCP, types of ICMP, a socket.
fn is_of_whole(flat: &Flat) -> bool {
    let what = &flat.what;
    let mut conditions = what.conditions.iter();
    what.from.ports.is_some()
        || what.to.ports.is_some()
        || what.icmp.is_some()
        || conditions.any(|one| one.text.starts_with("socket "))
}

/// INPUT and OUTPUT see datagrams whole: IPv4's are put together ahead of LOCAL_IN, and cut behind LOCAL_OUT. TCP is seldom sent in
/// fragments, so of its rules that is worth knowing only.
fn fragments(lists: &[Lists], names: &Names) -> Option<(Kind, String)> {
    let there = lists.iter().filter(|one| one.takes_away());
    let steps = there.flat_map(|one| one.sides.iter().flat_map(|side| &side.steps));
    let of_whole: Vec<&Flat> = steps
        .filter_map(|step| match step {
            Step::Rule(flat) if is_of_whole(flat) => Some(flat.as_ref()),
            _ => None,
        })
        .collect();
    if of_whole.is_empty() {
        return None;
    }
    let tcp = RangeSet::from_ranges([(6, 6)]);
    let is_cut = |flat: &&Flat| flat.end == End::Allow && flat.what.protocols != tcp;
    let Names {
        input,
        output,
        forward,
        ..
    } = names;
    let said = format!(
        "a list is asked about each fragment, and the later ones have no ports, flags, types or sockets: a rule on these does not let them through, where {input} and {output}, and {forward} where connections are tracked, see the datagram whole. Where large datagrams have to pass, allow fragments from those who send them (`if fragment`). A first fragment that has not the whole header of TCP is malformed, as `tcp from 192.0.2.9 to 198.51.100.1 with malformed`: it gets the default, which is drop in each list that drops anything, so that no rule that drops can be got past by fragments"
    );
    Some(match of_whole.iter().any(is_cut) {
        true => (Kind::Changed, said),
        false => (Kind::Note, said),
    })
}

/// Programs that read frames get what INPUT drops, as it runs behind them, and not what is dropped at the interface.
fn frames(lists: &[Lists], names: &Names) -> Option<(Kind, String)> {
    let list = lists.iter().find(|one| one.list == List::In)?;
    let v4 = list.sides.iter().find(|side| side.family == Family::V4)?;
    let lets_leases = v4.steps.iter().any(is_of_leases);
    (takes_away(lists, List::In) && !lets_leases).then(|| {
        let input = names.input;
        let said = format!(
            "what `in` drops is kept from programs that read frames, too, as DHCP clients do, and {input} is not asked about these: with an address by DHCP, put `allow udp from any:67 to any:68` ahead of what drops"
        );
        (Kind::Note, said)
    })
}

/// What such programs send meets `out`, and OUTPUT is not asked about it.
fn asked(lists: &[Lists], names: &Names) -> Option<(Kind, String)> {
    takes_away(lists, List::Out).then(|| {
        let output = names.output;
        let said = format!(
            "what programs send as frames, as DHCP clients do, meets `out`, and {output} is not asked about it: with an address by DHCP, put `allow out udp from any:68 to any:67` ahead of what drops"
        );
        (Kind::Note, said)
    })
}

fn rejects(step: &Step) -> bool {
    matches!(step, Step::Rule(flat) if flat.end == End::Reject)
}

/// The answer to what is rejected leaves as any packet. OUTPUT takes a reset for one of the connection, and here no socket sends it.
fn answers(lists: &[Lists]) -> Option<(Kind, String)> {
    let is_told = steps(lists).any(rejects) && takes_away(lists, List::Out);
    is_told.then(|| {
        let said = "answers of `reject` meet `out`, where no socket sends them: for those of TCP, put `allow out tcp if tcp flags rst` ahead of what drops, and `allow out icmp destination-unreachable` and `allow out icmp6 destination-unreachable` for the others";
        (Kind::Changed, said.to_owned())
    })
}

/// Whether it lets all answers of DHCP servers in, whoever sends them and by whichever interface.
fn is_of_leases(step: &Step) -> bool {
    let Step::Rule(flat) = step else {
        return false;
    };
    let what = &flat.what;
    let has = |side: &Side, port: u16| side.ports.as_ref().is_none_or(|ports| ports.contains(port));
    let is_of_them = what.protocols.contains(17) && has(&what.from, 67) && has(&what.to, 68);
    let mut rest = what.clone();
    rest.protocols = RangeSet::full();
    rest.from.ports = None;
    rest.to.ports = None;
    flat.end == End::Allow && is_of_them && rest == What::any(what.family)
}
