//! Which records somebody wants by what a packet is: conditions in the words of a rule.
//!
//! The words are read as the only rule of a policy, by the grammar and the names of policies ([`words`]), and `decide` says of each record
//! whether it is one that the rule speaks of. Not here: which rule logged it.

mod words;

use sockc_compiler::decide::decide;
use sockc_compiler::event::{Event, Header, Parsed, SocketAnswer, Verdict};
use sockc_compiler::files::Texts;
use sockc_compiler::header_field::HeaderField;
use sockc_compiler::log::{LogRecord, Logged};
use sockc_compiler::packet::text::{Described, DescribedWorld, class_of, describe_case};
use sockc_compiler::pipeline;
use sockc_compiler::policy::{Condition, Direction, Policy, Rule};
use sockc_compiler::protocol::IpProtocol;
use sockc_grammar::source::SourceMap;

use crate::exit::Exit;
use crate::output::Output;

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
        let (policy, named, beyond) = words::read(words, samples, output)?;
        Ok(Self {
            policy,
            named,
            beyond,
        })
    }

    /// Whether it may be about what a statement of this direction decides, named by its word.
    pub(super) fn is_about(&self, direction: &str) -> bool {
        self.named.is_none_or(|named| named.word() == direction)
    }

    fn asks(&self, field: HeaderField) -> bool {
        self.policy
            .rules
            .values()
            .any(|rule| rule_asks(rule, field))
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
                || (record.mark().is_none() && self.asks(HeaderField::Mark))
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

/// Whether a rule asks a field.
fn rule_asks(rule: &Rule, field: HeaderField) -> bool {
    rule.matches.conditions.iter().any(|one| asks(one, field))
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
            // Nor with which mark, whatever the record has there.
            ("if mark 3", Hook::Connect4, false),
            ("if no mark 4", Hook::SkMsg, false),
            ("if mark 3", Hook::TcIn, true),
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
            "on zone wan",
            "connect tcp from not 192.0.2.1",
            "connect on interface eth0",
            "send on interface eth0",
            "receive tcp if tcp flags syn",
            "connect if length > 3",
            "send if no mark 3",
            // What no packet is.
            "tcp from 1.1.1.1 to ::1",
            "udp if tcp flags syn",
            "icmp to port 5",
            "forward on interface eth0 to interface eth0",
            "connect tcp to not any",
            "connect icmp",
        ] {
            let read = Filter::read(words, false, &mut Output::silent());
            assert_eq!(read.err(), Some(Exit::Usage), "{words}");
        }
        // What the data of a stream does have.
        for words in ["send tcp if length > 3", "receive from 192.0.2.1"] {
            let read = Filter::read(words, false, &mut Output::silent());
            assert!(read.is_ok(), "{words}");
        }
    }
}
