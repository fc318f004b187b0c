//! Placement, rule by rule.

mod runs;

use sockc_grammar::diagnostic::Code;

use super::*;
use crate::header_field::HeaderField;
use crate::hook::Ability;
use crate::policy::{Arriving, Condition, FieldTest, Match, Shortcut, Side, SocketId, SocketState};
use crate::tests::parts::{default, group, prefix, rule, socket, tcp};

fn policy(rules: impl IntoIterator<Item = Rule>) -> Policy {
    let mut policy = Policy::default();
    policy.sockets.push(socket(false));
    policy.sockets.push(socket(true));
    for rule in rules {
        policy.rules.push(rule);
    }
    policy
}

fn with_default(mut policy: Policy, allow: bool) -> Policy {
    policy.defaults.push(default(Direction::In, allow));
    policy
}

fn placed(policy: &Policy) -> Vec<Chain> {
    place(policy, &mut Store::new()).unwrap()
}

fn codes(policy: &Policy) -> Vec<Code> {
    let errors = place(policy, &mut Store::new()).unwrap_err();
    errors.into_iter().map(|error| error.code).collect()
}

/// Hook, then effect, `+` where it counts, `*` where only new flows match and `/` where only their fragments do, of each entry, then the default.
fn sketch(chains: &[Chain]) -> Vec<String> {
    let entry = |entry: &ChainRule| {
        format!(
            "{:?}{}{}",
            entry.effect,
            if entry.counts { "+" } else { "" },
            match entry.part {
                Part::All => "",
                Part::NewFlows => "*",
                Part::NewFragments => "/",
            }
        )
    };
    chains
        .iter()
        .map(|chain| {
            let entries: Vec<String> = chain.entries.iter().map(entry).collect();
            let default = match chain.default.verdict {
                DefaultVerdict::Allow => "allow",
                DefaultVerdict::Drop => "drop",
                DefaultVerdict::Reject => "reject",
            };
            let counts = if chain.default.counts { "+" } else { "" };
            format!(
                "{:?}: {} | {default}{counts}",
                chain.hook,
                entries.join(" ")
            )
        })
        .collect()
}

fn redirect(socket: u32, matches: Match) -> Rule {
    Rule {
        matches,
        ..rule(Action::Redirect(SocketId::from_u32(socket)))
    }
}

fn on(action: Action, condition: Condition) -> Rule {
    Rule {
        matches: Match {
            conditions: vec![condition],
            ..Match::default()
        },
        ..rule(action)
    }
}

fn at(hook: Hook, data: Rule) -> Rule {
    Rule {
        at: Some(hook),
        ..data
    }
}

const SHORT: Condition = Condition::Header {
    field: HeaderField::Length,
    test: FieldTest::Range { low: 0, high: 99 },
};
const EXISTS: Condition = Condition::Socket {
    test: SocketState::Exists,
    netns: None,
};
const ESTABLISHED: Condition = Condition::Socket {
    test: SocketState::Established,
    netns: None,
};

#[test]
fn rules_run_at_xdp_and_redirects_at_the_lookup() {
    let policy = with_default(
        policy([on(Action::Allow, EXISTS), redirect(0, tcp(prefix(), 53))]),
        false,
    );
    // The allow overlaps the redirect, so this order has no placement; the other has.
    assert_eq!(codes(&policy), [codes::ALLOW_AHEAD]);
    let swapped = with_default(
        super::tests::policy([redirect(0, tcp(prefix(), 53)), on(Action::Allow, EXISTS)]),
        false,
    );
    assert_eq!(
        sketch(&placed(&swapped)),
        ["Xdp: Pass Allow+ | drop+", "SkLookup: Redirect+ | allow"]
    );
}

#[test]
fn an_unreadable_allow_stands_ahead_of_a_redirect_it_does_not_meet() {
    let mut far = on(Action::Allow, SHORT);
    far.matches = Match {
        conditions: vec![SHORT],
        ..tcp(prefix(), 80)
    };
    let policy = policy([far, redirect(0, tcp(prefix(), 53))]);
    assert_eq!(
        sketch(&placed(&policy)),
        ["Xdp: Allow+ Pass | allow+", "SkLookup: Redirect+ | allow"]
    );
}

#[test]
fn established_connections_get_to_no_lookup() {
    let policy = with_default(
        policy([
            on(Action::Allow, ESTABLISHED),
            redirect(0, tcp(prefix(), 53)),
        ]),
        false,
    );
    assert_eq!(sketch(&placed(&policy))[1], "SkLookup: Redirect+ | allow");
    let negated = Condition::No(Box::new(ESTABLISHED));
    let policy = super::tests::policy([on(Action::Allow, negated), redirect(0, tcp(prefix(), 53))]);
    assert_eq!(
        sketch(&placed(&policy))[1],
        "SkLookup: Allow Redirect+ | allow"
    );
}

#[test]
fn the_message_names_both_rules_and_the_way_out() {
    let policy = policy([on(Action::Allow, SHORT), redirect(0, tcp(prefix(), 53))]);
    let errors = place(&policy, &mut Store::new()).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].secondary.len(), 1);
    assert!(errors[0].primary.text.contains("length"));
    let help = errors[0].help.clone().unwrap();
    assert_eq!(help, "put the redirect first, or allow by address and port");
}

#[test]
fn redirects_alone_need_a_packet_hook_only_to_drop_in_silence() {
    let plain = policy([redirect(0, tcp(prefix(), 53))]);
    assert_eq!(sketch(&placed(&plain)), ["SkLookup: Redirect+ | allow"]);
    let silent = policy([redirect(1, tcp(prefix(), 53))]);
    assert_eq!(
        sketch(&placed(&silent)),
        [
            "Xdp: RedirectPass* Pass | allow+",
            "SkLookup: Redirect+ | allow"
        ]
    );
}

#[test]
fn rules_at_tc_are_passes_at_xdp() {
    let both = with_default(
        policy([
            at(Hook::TcIn, on(Action::Drop, SHORT)),
            on(Action::Allow, ESTABLISHED),
        ]),
        false,
    );
    assert_eq!(
        sketch(&placed(&both)),
        ["Xdp: Pass Allow+ | drop+", "TcIn: Drop+ Allow | drop"]
    );
    let only = with_default(policy([at(Hook::TcIn, on(Action::Allow, SHORT))]), false);
    assert_eq!(sketch(&placed(&only)), ["TcIn: Allow+ | drop+"]);
}

#[test]
fn a_mark_is_set_where_a_packet_has_one() {
    let marking = Rule {
        mark: Some(7),
        ..rule(Action::Allow)
    };
    let chains = placed(&with_default(policy([marking]), false));
    assert_eq!(sketch(&chains), ["TcIn: Allow+ | drop+"]);
    let Ability::No(reason) = Hook::Xdp.sets_mark() else {
        panic!("a frame has no mark")
    };
    assert_eq!(chains[0].entries[0].reason, reason);
}

#[test]
fn a_count_at_tc_pulls_the_drops_after_it_to_tc() {
    let count = at(Hook::TcIn, on(Action::Count, SHORT));
    let list = |at_hook| {
        let mut drop = rule(Action::Drop);
        drop.matches = tcp(prefix(), 80);
        drop.at = at_hook;
        with_default(policy([rule(Action::Count), count.clone(), drop]), false)
    };
    assert_eq!(
        sketch(&placed(&list(None))),
        ["Xdp: Count+ Pass | allow", "TcIn: Count+ Drop+ | drop+"]
    );
    assert_eq!(codes(&list(Some(Hook::Xdp))), [codes::COUNT_UNSEEN]);
}

#[test]
fn a_redirect_at_tc_is_done_there_and_not_again_at_the_lookup() {
    let taking = |number: u32| {
        at(
            Hook::TcIn,
            Rule {
                matches: tcp(prefix(), 80),
                ..rule(Action::Intercept(SocketId::from_u32(number)))
            },
        )
    };
    let chains = placed(&policy([rule(Action::Count), taking(1)]));
    assert_eq!(
        sketch(&chains),
        [
            "Xdp: Count+ Pass | allow+",
            "TcIn: Drop+/ Intercept+* Allow+ | allow"
        ]
    );
    let both = policy([taking(0), redirect(0, tcp(prefix(), 80))]);
    assert_eq!(
        sketch(&placed(&both)),
        [
            "TcIn: Drop+/ Intercept+* Allow+ Pass | allow+",
            "SkLookup: Redirect+ | allow"
        ]
    );
}

#[test]
fn rules_at_sk_lookup_are_passes_for_new_flows() {
    let mut allow = at(Hook::SkLookup, rule(Action::Allow));
    allow.matches = tcp(prefix(), 80);
    let policy = with_default(policy([allow]), false);
    assert_eq!(
        sketch(&placed(&policy)),
        ["Xdp: Pass* | drop+", "SkLookup: Allow+* | allow"]
    );
}

#[test]
fn each_group_has_the_rules_that_name_it_or_none() {
    let mut policy = Policy::default();
    let pods = policy.groups.push(group("pods"));
    let jobs = policy.groups.push(group("jobs"));
    let send = |action, from: Option<GroupId>| Rule {
        direction: Direction::Send,
        matches: Match {
            from: from.map(Side::Group),
            ..Match::default()
        },
        ..rule(action)
    };
    policy.rules.push(send(Action::Drop, Some(pods)));
    policy.rules.push(send(Action::Count, None));
    policy
        .rules
        .push(send(Action::Shortcut(Shortcut::within(jobs)), None));
    assert_eq!(
        sketch(&placed(&policy)),
        [
            "SkMsg: Drop+ Count+ | allow",
            "SkMsg: Count+ Shortcut+ | allow"
        ]
    );
}

#[test]
fn a_list_that_is_not_there_has_no_chain() {
    assert_eq!(placed(&Policy::default()), []);
    let mut policy = Policy::default();
    policy.groups.push(group("pods"));
    policy.defaults.push(default(Direction::Out, false));
    assert_eq!(sketch(&placed(&policy)), ["TcOut:  | drop+"]);
}

#[test]
fn a_store_that_is_too_small_is_said() {
    let policy = policy([on(Action::Allow, SHORT), redirect(0, tcp(prefix(), 53))]);
    let errors = place(&policy, &mut Store::with_budget(20)).unwrap_err();
    assert_eq!(errors[0].code, codes::TOO_LARGE);
}

#[test]
fn the_description_has_every_rule_and_reason() {
    let policy = with_default(
        policy([
            redirect(1, tcp(prefix(), 53)),
            on(Action::Allow, ESTABLISHED),
        ]),
        false,
    );
    assert_eq!(
        describe(&policy, &placed(&policy)),
        "sample.sk:1  sample\n\
         \x20 xdp          watch             drops new flows while its socket is absent\n\
         \x20 xdp          pass              connections that exist are not moved\n\
         \x20 sk_lookup    redirect  counts  only the socket lookup can hand a packet to a socket\n\
         sample.sk:1  sample\n\
         \x20 xdp          allow     counts  xdp is the earliest hook, and can evaluate it\n\
         sample.sk:1  sample\n\
         \x20 xdp          drop      counts  xdp is the earliest hook\n"
    );
}

#[test]
fn a_list_that_is_for_tc_leaves_only_what_says_so_at_xdp() {
    let of = |arriving, rules: Vec<Rule>| {
        let placed_at = Policy {
            arriving,
            ..with_default(policy(rules), false)
        };
        sketch(&placed(&placed_at))
    };
    let late = Arriving::Named(Hook::TcIn);
    let plain = || Rule {
        matches: tcp(prefix(), 80),
        ..rule(Action::Allow)
    };
    let early = || at(Hook::Xdp, rule(Action::Drop));
    assert_eq!(of(late, vec![plain()]), ["TcIn: Allow+ | drop+"]);
    assert_eq!(of(Arriving::Costly, vec![]), ["TcIn:  | drop+"]);
    assert_eq!(
        of(late, vec![plain(), early()]),
        ["Xdp: Pass Drop+ | allow", "TcIn: Allow+ | drop+"]
    );
    assert_eq!(
        of(Arriving::Named(Hook::Xdp), vec![plain()]),
        ["Xdp: Allow+ | drop+"]
    );
}
