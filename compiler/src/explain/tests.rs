//! Reasons, one for each part of a rule, and that random rules never run out of reasons.

use sockc_grammar::parse;
use sockc_grammar::source::SourceMap;

use super::*;
use crate::event::{Fragment, Header, Parsed, SocketAnswer, Transport};
use crate::policy::{Direction, Family, NetnsId, SocketId};
use crate::protocol::IpProtocol;
use crate::tests::dice::Dice;
use crate::tests::resolve;

struct Finds(SocketAnswer);

impl World for Finds {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        self.0
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        true
    }
}

fn policy(text: &str) -> Policy {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    let (file, mistakes) = parse(&sources, id);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let (policy, diagnostics) = resolve(file, &sources, "test");
    policy.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

fn arrives(header: Header) -> Event {
    Event::Packet {
        direction: Direction::In,
        class: Policy::plain_class(),
        packet: Parsed::Ip(header),
    }
}

fn syn() -> Header {
    Header {
        from: [8, 8, 8, 8].into(),
        to: [192, 0, 2, 1].into(),
        protocol: IpProtocol::TCP,
        transport: Transport::Tcp {
            from: 40_000,
            to: 22,
            flags: 2,
        },
        length: 40,
        ..Header::PLAIN
    }
}

/// An `allow` that no redirect follows is in no lookup program, so nobody says that it decides a lookup.
#[test]
fn only_rules_that_a_lookup_asks_decide_it() {
    let text = "
        interfaces eth0
        default in drop
        socket web = tcp listen 127.0.0.1:8080
        early: allow tcp to port 80 on interface eth1
        moved: redirect tcp 192.0.2.1:22 to sock web
        late: allow tcp to port 22 on interface eth1\n";
    let policy = policy(text);
    let (class, _) = policy
        .classes
        .iter()
        .find(|(_, class)| !class.patterns.is_empty())
        .unwrap();
    let ask = |port: u16, to: [u8; 4]| {
        let mut header = Header {
            to: to.into(),
            ..syn()
        };
        header.transport = Transport::Tcp {
            from: 40_000,
            to: port,
            flags: 2,
        };
        let trace = explain(
            &policy,
            &Event::Lookup { class, header },
            &Finds(SocketAnswer::None),
        );
        let label = |rule: RuleId| policy.rules[rule].label.clone().unwrap();
        let by = match trace.decision.decider {
            Decider::Rule(rule) => label(rule),
            other => format!("{other:?}"),
        };
        let reasons = trace.steps.iter().filter_map(|step| match &step.outcome {
            RuleAnswer::No(reason) => Some((label(step.rule), reason.clone())),
            _ => None,
        });
        (by, reasons.collect::<Vec<_>>())
    };
    assert_eq!(ask(80, [192, 0, 2, 1]).0, "early");
    assert_eq!(ask(22, [192, 0, 2, 1]).0, "moved");
    let (by, reasons) = ask(22, [192, 0, 2, 9]);
    assert_eq!(by, "Unmatched");
    let late = &reasons.iter().find(|(label, _)| label == "late").unwrap().1;
    assert_eq!(late, "it does not run in the socket lookup");
}

/// The reason why the only rule does not match.
fn reason(rule: &str, header: Header, answer: SocketAnswer) -> String {
    let policy = policy(&format!("default in drop {rule}"));
    let trace = explain(&policy, &arrives(header), &Finds(answer));
    match &trace.steps[0].outcome {
        RuleAnswer::No(reason) => reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_part_has_its_reason() {
    let none = SocketAnswer::None;
    for (rule, wanted) in [
        ("allow udp", "it is for udp; this is tcp"),
        (
            "allow from 10.0.0.0/8, 192.0.2.7-192.0.2.9",
            "it wants from 10.0.0.0/8, 192.0.2.7-192.0.2.9; this is from 8.8.8.8:40000",
        ),
        (
            "allow to any:80",
            "it wants to any port 80; this is to 192.0.2.1:22",
        ),
        (
            "allow to not 192.0.2.0/24",
            "it wants to not 192.0.2.0/24; this is to 192.0.2.1:22",
        ),
        (
            "allow if socket exists",
            "it wants socket exists; the lookup finds no socket",
        ),
        (
            "allow if tcp flags ack no syn",
            "it wants tcp flags ack no syn; it has syn",
        ),
        (
            "allow if length > 468",
            "it wants length >= 469; its length is 40",
        ),
        ("allow if fragment", "it wants fragment; it is whole"),
    ] {
        assert_eq!(reason(rule, syn(), none), wanted, "{rule}");
    }
    let later = Header {
        fragment: Fragment::Later,
        transport: Transport::None,
        ..syn()
    };
    assert_eq!(
        reason("allow to any:22", later.clone(), none),
        "it names a port; this packet has none"
    );
    assert_eq!(
        reason("allow udp", later, none),
        "it is for udp; this is a later fragment of tcp"
    );
}

/// Nothing conforms to a rate.
struct Full;

impl World for Full {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        SocketAnswer::None
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        true
    }
    fn conforms(&self, _: crate::policy::RuleId, _: &Header) -> bool {
        false
    }
}

#[test]
fn a_rate_has_the_reason_of_its_part() {
    let policy = policy(
        "default in drop allow above 5 packets/second allow tcp up to 5 packets/second drop",
    );
    let reasons = |world: &dyn World| -> Vec<String> {
        let trace = explain(&policy, &arrives(syn()), world);
        let outcomes = trace.steps.into_iter().map(|step| step.outcome);
        let reasons = outcomes.filter_map(|outcome| match outcome {
            RuleAnswer::No(reason) => Some(reason),
            _ => None,
        });
        reasons.collect()
    };
    assert_eq!(
        reasons(&Finds(SocketAnswer::None)),
        ["it is for what is above its rate; this packet fits"]
    );
    let full = explain(&policy, &arrives(syn()), &Full);
    assert_eq!(full.steps[0].outcome, RuleAnswer::Decides);
    let limited = self::policy("default in drop allow tcp up to 5 packets/second");
    let full = explain(&limited, &arrives(syn()), &Full);
    let above = "it is for what fits in its rate; this packet is above it".to_owned();
    assert_eq!(full.steps[0].outcome, RuleAnswer::No(above));
    let short = self::policy("default in drop allow tcp up to 39 bytes/second");
    let never = explain(&short, &arrives(syn()), &Finds(SocketAnswer::None));
    let longer =
        "it is for what fits in its rate; these 40 bytes never do, since a full bucket holds 39";
    assert_eq!(never.steps[0].outcome, RuleAnswer::No(longer.to_owned()));
}

#[test]
fn a_rule_that_lookups_do_not_ask_about_says_so() {
    // A lookup reads no TTL, so an allow that asks for one is not in it, wherever it stands.
    let text = "default in allow drop udp drop tcp to any:22 allow tcp if ttl >= 1 redirect tcp to 192.0.2.9:80 to sock s";
    let policy = policy(&format!("socket s = tcp listen 127.0.0.1:9 {text}"));
    let lookup = Event::Lookup {
        class: Policy::plain_class(),
        header: syn(),
    };
    let trace = explain(&policy, &lookup, &Finds(SocketAnswer::None));
    let elsewhere = RuleAnswer::No("it does not run in the socket lookup".to_owned());
    assert_eq!(trace.steps[0].outcome, elsewhere);
    assert_eq!(trace.steps[1].outcome, elsewhere);
    assert_eq!(trace.steps[2].outcome, elsewhere);
}

#[test]
fn the_way_ends_at_the_decider() {
    let policy = policy("default in drop count tcp allow udp allow tcp drop");
    let trace = explain(&policy, &arrives(syn()), &Finds(SocketAnswer::None));
    let outcomes: Vec<&RuleAnswer> = trace.steps.iter().map(|step| &step.outcome).collect();
    assert_eq!(outcomes[0], &RuleAnswer::Counts);
    assert!(matches!(outcomes[1], RuleAnswer::No(_)));
    assert_eq!(outcomes[2..], [&RuleAnswer::Decides]);
}

#[test]
fn random_rules_have_reasons() {
    let mut dice = Dice::new(77);
    for round in 0..300 {
        let policy = dice.arriving(1 + round % 8);
        for _ in 0..40 {
            let (header, answer) = dice.packet();
            let trace = explain(&policy, &arrives(header), &Finds(answer));
            for step in trace.steps {
                if let RuleAnswer::No(reason) = step.outcome {
                    assert!(
                        !reason.contains("rate"),
                        "{:?}: {reason}",
                        policy.rules[step.rule]
                    );
                }
            }
        }
    }
}
