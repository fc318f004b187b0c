//! Which records somebody wants by what a packet is: conditions in the words of a rule.
//!
//! The words are read as the only rule of a policy, by the grammar and the names of policies, and `decide` says of each record whether it
//! is one that the rule speaks of. A rule about what processes do names a group, which a record does not tell: such a direction is read
//! here, and the rest as that of a packet. Not here: which rule logged it.

use sockc_compiler::decide::decide;
use sockc_compiler::event::{Event, Header, Parsed, SocketAnswer, Verdict};
use sockc_compiler::files::Texts;
use sockc_compiler::header_field::HeaderField;
use sockc_compiler::log::{LogRecord, Logged};
use sockc_compiler::packet::text::{Described, DescribedWorld, class_of, describe_case};
use sockc_compiler::pipeline;
use sockc_compiler::policy::{Condition, Direction, Policy, Rule};
use sockc_compiler::protocol::IpProtocol;
use sockc_grammar::ast::Statement;
use sockc_grammar::source::SourceMap;

use crate::exit::Exit;
use crate::output::Output;

/// What stands before the words, and makes them a rule.
const VERB: &str = "allow ";
/// What is decided of all else.
const REST: &str = "default in drop\ndefault out drop\ndefault forward drop\n";

/// The conditions.
pub(super) struct Filter {
    policy: Policy,
    /// The direction that the words name; else they are about every one.
    named: Option<Direction>,
    /// What the words ask that a log does not keep.
    beyond: Option<&'static str>,
}

impl Filter {
    /// Reads them; what is wrong with them is said. Of drops that are sampled, where these are, all of the header may be asked.
    pub(super) fn read(words: &str, samples: bool, output: &mut Output) -> Result<Self, Exit> {
        let mut sources = SourceMap::default();
        let (process, rest) = of_process(words);
        // Ahead of the grammar, which would have it said with another direction.
        if words.split_whitespace().any(|word| word == "group") {
            return Err(refuse("a group", output));
        }
        // The zones of policies are not known here.
        if words.split_whitespace().any(|word| word == "zone") {
            return Err(refuse("a zone", output));
        }
        // The grammar would speak of the verb, which a filter does not have.
        if names_leaving(rest) && !rest.starts_with("forward") {
            output.error("`to interface` is the end by which what passes through leaves: begin the filter with `forward`, or write `on interface`");
            return Err(Exit::Usage);
        }
        let id = sources.add("<filter>", format!("{VERB}{rest}\n{REST}"));
        let (file, _) = sockc_grammar::parse(&sources, id);
        let outcome = pipeline::resolve(&mut sources, id, "filter", &mut Texts::default());
        let failed = outcome.failed();
        let (Some(policy), false) = (outcome.policy, failed) else {
            output.diagnostics(&sources, &outcome.diagnostics);
            output.error("a filter is what a rule says after its verb, such as `tcp from 203.0.113.0/24 to any:53`");
            return Err(Exit::Usage);
        };
        // It would be that of the filter, in which nothing is.
        if policy.sets.values().any(|set| set.is_own()) {
            output.error("a filter cannot ask for `self`; name the addresses, which `sockc set list self` shows where the policy in force names it");
            return Err(Exit::Usage);
        }
        let mut rules = file.all().filter_map(|one| match &one.value {
            Statement::Rule(rule) => Some(rule.direction.as_ref().map(|one| one.value)),
            _ => None,
        });
        let (Some(packets), None) = (rules.next(), rules.next()) else {
            output.error("a filter is what one rule says after its verb");
            return Err(Exit::Usage);
        };
        if process.is_some() && packets.is_some() {
            output.error("a filter names one direction");
            return Err(Exit::Usage);
        }
        let mut rules = policy.rules.values();
        if let Some(unknown) = rules.find_map(unknown) {
            return Err(refuse(unknown, output));
        }
        let mut rules = policy.rules.values();
        let beyond = rules.find_map(|rule| rule.matches.conditions.iter().find_map(beyond_logs));
        match beyond {
            Some(what) if !samples => {
                output.error(format!(
                    "a record of a log does not have {what}; of drops that are sampled (`--drops`) a filter may ask for it"
                ));
                return Err(Exit::Usage);
            }
            Some(what) => output.note(format!(
                "a record of a log does not have {what}, so with this filter nothing that rules log is shown, but drops alone"
            )),
            None => {}
        }
        Ok(Self {
            policy,
            named: process.or(packets.map(Direction::of)),
            beyond,
        })
    }

    fn asks(&self, field: HeaderField) -> bool {
        let mut rules = self.policy.rules.values();
        rules.any(|rule| rule.matches.conditions.iter().any(|one| asks(one, field)))
    }

    /// Whether they hold for the packet of a record, or of a sample, which has all of the header. The interfaces are that of the
    /// record, and of what passes through that by which it came in.
    pub(super) fn holds(
        &self,
        (record, sampled): (&LogRecord, Option<&Header>),
        [interface, came_in]: [Option<&str>; 2],
    ) -> bool {
        let of_log = || record.header().filter(|_| self.beyond.is_none());
        let Some(header) = sampled.cloned().or_else(of_log) else {
            return false;
        };
        let Some(rule) = self.policy.rules.values().next() else {
            return false;
        };
        let (direction, of) = (rule.direction, record.hook.direction());
        if self.named.is_some_and(|named| named != of) {
            return false;
        }
        // What a lookup, or a call, does not tell is not made up.
        if rule.matches.from.is_some() && !of.has_sender() {
            return false;
        }
        let packet = record.packet.as_ref();
        let lacks = |one: &Logged| {
            let no_flags = one.protocol == IpProtocol::TCP && one.flags.is_none();
            (no_flags && self.asks(HeaderField::TcpFlags))
                || (one.length == 0 && self.asks(HeaderField::Length))
        };
        if packet.is_none_or(lacks) {
            return false;
        }
        // Of what passes through, `on` names the interface by which it came in, also where the words name no direction.
        let on = match record.hook.direction().passes() {
            true => came_in,
            false => interface,
        };
        let classes = [on, interface]
            .map(|name| name.map_or(Policy::plain_class(), |name| class_of(&self.policy, name)));
        let event = Event::of_packet(direction, classes, Parsed::Ip(header));
        let described = Described::plain(event, SocketAnswer::None);
        let world = DescribedWorld::new(&self.policy, &described);
        decide(&self.policy, &described.event, &world).verdict == Verdict::Allow
    }
}

/// Refuses a filter that asks for what neither a record nor a sample has.
fn refuse(what: &str, output: &mut Output) -> Exit {
    output.error(format!(
        "what is shown does not have {what}; a filter may ask for protocols, addresses, ports, ICMP types, `on interface` and, of `forward`, `to interface`, and of fields for `tcp flags`, `fragment`, `length` and `mark`"
    ));
    Exit::Usage
}

/// The direction in front of the words that is about what processes do, if one is, and the words without it.
fn of_process(words: &str) -> (Option<Direction>, &str) {
    let words = words.trim_start();
    let (first, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let named = Direction::all_of_processes().find(|one| one.word() == first);
    (named, if named.is_some() { rest } else { words })
}

/// Whether words name the interface by which something leaves.
fn names_leaving(words: &str) -> bool {
    let words: Vec<&str> = words.split_whitespace().collect();
    words.windows(2).any(|pair| pair == ["to", "interface"])
}

/// Whether a condition asks a field.
fn asks(condition: &Condition, field: HeaderField) -> bool {
    match condition {
        Condition::No(inner) => asks(inner, field),
        Condition::AnyOf(any) => any.iter().any(|inner| asks(inner, field)),
        Condition::Header { field: asked, .. } => *asked == field,
        _ => false,
    }
}

/// What a rule asks or says that no record can answer, in words.
fn unknown(rule: &Rule) -> Option<&'static str> {
    let said = [
        (rule.rate.is_some(), "a rate"),
        (rule.log.is_some(), "a `log` of its own"),
        (rule.mark.is_some(), "a mark to set"),
        (rule.at.is_some(), "an `at` to choose"),
        (rule.note.is_some(), "a note"),
    ];
    let mut said = said.into_iter();
    let said = said.find_map(|(is_said, what)| is_said.then_some(what));
    let mut conditions = rule.matches.conditions.iter();
    said.or_else(|| conditions.find_map(unknown_condition))
}

fn unknown_condition(condition: &Condition) -> Option<&'static str> {
    match condition {
        Condition::No(inner) => unknown_condition(inner),
        Condition::AnyOf(any) => any.iter().find_map(unknown_condition),
        Condition::Header { .. } => None,
        Condition::Socket { .. } | Condition::SockAbsent(_) => Some("a socket"),
        Condition::Entry { .. } | Condition::FirstMatch(_) => Some("an entry of a map"),
    }
}

/// What a condition asks that no record of a log has, but a frame does.
fn beyond_logs(condition: &Condition) -> Option<&'static str> {
    match condition {
        Condition::No(inner) => beyond_logs(inner),
        Condition::AnyOf(any) => any.iter().find_map(beyond_logs),
        Condition::Header { field, .. } => match field {
            HeaderField::Fragment
            | HeaderField::TcpFlags
            | HeaderField::Length
            | HeaderField::Mark => None,
            HeaderField::Ttl => Some("a time to live"),
            HeaderField::Dscp => Some("a dscp"),
            HeaderField::Ecn => Some("an ecn"),
            HeaderField::Vlan => Some("a VLAN"),
            HeaderField::EtherFrom | HeaderField::EtherTo => Some("a hardware address"),
        },
        _ => None,
    }
}

/// A packet with this header in the words that `explain` takes. These name no policy, so any does.
pub(super) fn header_words(header: &Header, direction: Direction) -> Option<String> {
    let packet = Parsed::Ip(header.clone());
    let event = Event::of_packet(direction, [Policy::plain_class(); 2], packet);
    let described = Described::plain(event, SocketAnswer::None);
    PLAIN.with(|policy| describe_case(policy.as_ref()?, &described))
}

thread_local! {
    /// A policy without names.
    static PLAIN: Option<Policy> = {
        let mut sources = SourceMap::default();
        let id = sources.add("<plain>", REST);
        pipeline::resolve(&mut sources, id, "plain", &mut Texts::default()).policy
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_compiler::hook::Hook;

    fn record(hook: Hook) -> LogRecord {
        LogRecord {
            time: 1,
            counter: 0,
            interface: 2,
            came_in: 0,
            hook,
            packet: Some(Logged {
                from: "203.0.113.9".parse().unwrap(),
                to: "192.0.2.1".parse().unwrap(),
                protocol: IpProtocol::TCP,
                fragment: 0,
                ports: Some((4000, 53)),
                flags: Some(0x12),
                icmp: None,
                length: 60,
                mark: 3,
            }),
        }
    }

    #[test]
    fn words_of_a_rule_choose_records() {
        for (words, hook, holds) in [
            ("from 203.0.113.0/24 to any:53", Hook::Xdp, true),
            ("from 203.0.113.0/24 to any:53", Hook::TcOut, true),
            ("from 203.0.113.0/24 to any:54", Hook::Xdp, false),
            ("from not 203.0.113.0/24", Hook::Xdp, false),
            ("out tcp", Hook::Xdp, false),
            ("out tcp", Hook::TcOut, true),
            ("in tcp", Hook::TcOut, false),
            ("udp", Hook::Xdp, false),
            ("tcp if tcp flags syn ack and length = 60", Hook::TcIn, true),
            ("tcp if mark 3", Hook::TcIn, true),
            ("tcp if length > 60", Hook::TcIn, false),
            ("tcp on interface eth0", Hook::TcIn, true),
            ("tcp on interface \"eth1\"", Hook::TcIn, false),
        ] {
            let filter = Filter::read(words, false, &mut Output::silent());
            let filter = filter.unwrap_or_else(|_| panic!("{words}"));
            assert_eq!(
                filter.holds((&record(hook), None), [Some("eth0"), None]),
                holds,
                "{words}"
            );
        }
        let connect = |words: &str, hook| {
            let filter = Filter::read(words, false, &mut Output::silent());
            let filter = filter.unwrap_or_else(|_| panic!("{words}"));
            filter.holds((&record(hook), None), [None; 2])
        };
        for (words, hook, holds) in [
            ("connect tcp to any:53", Hook::Connect4, true),
            ("connect", Hook::Connect4, true),
            ("connect tcp to any:54", Hook::Connect4, false),
            ("connect tcp to any:53", Hook::TcIn, false),
            ("connect tcp to any:53", Hook::SkMsg, false),
            ("send from 203.0.113.9", Hook::SkMsg, true),
            ("in tcp", Hook::Connect4, false),
            ("tcp", Hook::Connect4, true),
            // Who calls is not known.
            ("from any:4000", Hook::Connect4, false),
            ("connect tcp from not 192.0.2.1", Hook::Connect4, false),
        ] {
            assert_eq!(connect(words, hook), holds, "{words}");
        }
        let mut lookup = record(Hook::SkLookup);
        if let Some(packet) = &mut lookup.packet {
            (packet.flags, packet.length) = (None, 0);
        }
        for (words, holds) in [
            ("tcp to any:53", true),
            ("tcp if tcp flags syn", false),
            ("tcp if length < 100", false),
        ] {
            let filter = Filter::read(words, false, &mut Output::silent())
                .ok()
                .unwrap();
            assert_eq!(filter.holds((&lookup, None), [None; 2]), holds, "{words}");
        }
        let malformed = LogRecord {
            packet: None,
            ..record(Hook::Xdp)
        };
        let all = Filter::read("from any", false, &mut Output::silent());
        assert!(!all.ok().unwrap().holds((&malformed, None), [None; 2]));
    }

    #[test]
    fn words_of_what_passes_through_ask_both_interfaces() {
        for (words, holds) in [
            ("forward tcp", true),
            ("out tcp", false),
            ("in tcp", false),
            ("forward tcp on interface eth1 to interface eth0", true),
            ("forward tcp on interface eth0", false),
            ("forward tcp to interface eth1", false),
            ("tcp on interface eth1", true),
            ("tcp on interface eth0", false),
        ] {
            let filter = Filter::read(words, false, &mut Output::silent());
            let filter = filter.unwrap_or_else(|_| panic!("{words}"));
            let record = record(Hook::TcForward);
            let found = filter.holds((&record, None), [Some("eth0"), Some("eth1")]);
            assert_eq!(found, holds, "{words}");
        }
        // Nobody could declare a zone there.
        let zone = Filter::read("forward tcp to zone dmz", false, &mut Output::silent());
        assert!(zone.is_err());
    }

    #[test]
    fn a_sample_is_asked_for_all_of_its_header() {
        let logged = record(Hook::Xdp);
        let mut header = logged.header().unwrap();
        (header.ttl, header.dscp) = (3, 46);
        for (words, holds) in [
            ("tcp if ttl < 4", true),
            ("tcp if ttl > 4", false),
            ("tcp if dscp ef", true),
            ("tcp if dscp af41", false),
        ] {
            let filter = Filter::read(words, true, &mut Output::silent());
            let filter = filter.unwrap_or_else(|_| panic!("{words}"));
            let found = filter.holds((&logged, Some(&header)), [None; 2]);
            assert_eq!(found, holds, "{words}");
            // What a log does not keep is not taken for plain.
            assert!(!filter.holds((&logged, None), [None; 2]), "{words}");
        }
        let words = header_words(&header, Direction::Out).unwrap();
        assert!(
            words.starts_with("out tcp from 203.0.113.9:4000"),
            "{words}"
        );
        assert!(
            words.contains("ttl 3") && words.contains("dscp ef"),
            "{words}"
        );
    }

    #[test]
    fn what_no_record_has_is_refused() {
        for words in [
            "port 53 udp",
            "if socket exists",
            "if ttl < 3",
            "from @banned",
            "tcp log",
            "tcp up to 3/second",
            "tcp\nallow udp",
            "tcp if vlan 3",
            "send in tcp",
            "send from group jobs",
            "to group jobs",
            "to self",
            "udp from not self to any:53",
        ] {
            let read = Filter::read(words, false, &mut Output::silent());
            assert_eq!(read.err(), Some(Exit::Usage), "{words}");
        }
    }
}
