//! What is told of machines that are not as they should be: all of it, and what to do about each.

use std::collections::BTreeSet;

use super::*;
use crate::exit::Exit;
use crate::verbs::doctor::State;
use sockc_runtime::{CardHealth, Chain};

fn sound() -> Health {
    Health {
        release: Some("6.18.0-amd64".into()),
        features: Some(Features {
            tcx: true,
            sockmap_link: true,
            sk_skb_verdict: true,
            segments: true,
            netns_cookie_in_sock_ops: true,
            gotol: true,
            atomics: true,
            lookup_interface: true,
            kernel_types: true,
        }),
        kept: Remembered::Next,
        missing: [Vec::new(), Vec::new()],
        missing_beside: Vec::new(),
        delegated: None,
        inside: None,
        is_read_only: false,
        sees_others: true,
        bpffs: Ok(true),
        cgroups: Some("/sys/fs/cgroup".into()),
        cgroups_are_of_all: false,
        settings: [
            ("net.core.bpf_jit_enable", "1".to_owned()),
            ("net.core.bpf_jit_harden", "0".to_owned()),
            ("kernel.unprivileged_bpf_disabled", "2".to_owned()),
        ]
        .into(),
        cards: vec![CardHealth {
            name: "eth0".into(),
            driver: None,
            joins: Some(false),
            xdp: None,
        }],
        chains: Ok(Vec::new()),
        legacy: Vec::new(),
    }
}

/// What is not as it should be.
fn told(health: &Health) -> Vec<(&'static str, State)> {
    let found = of(health, &Options::default());
    let told = found.iter().filter(|one| one.state != State::Ok);
    told.map(|one| (one.check, one.state)).collect()
}

#[test]
fn of_a_sound_machine_nothing_is_told() {
    assert_eq!(told(&sound()), []);
    let all = of(&sound(), &Options::default());
    assert!(
        all.iter()
            .all(|one| one.why.is_none() && one.remedy.is_none())
    );
}

#[test]
fn where_only_some_types_are_delegated_the_kernel_is_not_blamed() {
    let mut health = sound();
    health.features.as_mut().unwrap().tcx = false;
    health.delegated = Some(vec!["delegate_progs"]);
    let found = of(&health, &Options::default());
    let words = |check| found.iter().find(|one| one.check == check).unwrap();
    assert_eq!(
        words("features").found,
        "what this kernel can do is not known"
    );
    assert!(words("rights").found.contains("delegate_progs"));
}

type Row = (&'static str, State, fn(&mut Health));

/// What may be wrong with a machine, each by itself, and how that is told.
const WRONG: &[Row] = &[
    ("kernel", State::Fault, |all| {
        all.release = Some("5.9.16".into())
    }),
    ("kernel", State::Note, |all| all.release = None),
    ("features", State::Note, |all| all.features = None),
    ("features", State::Note, |all| {
        all.features.as_mut().unwrap().tcx = false
    }),
    ("probe", State::Note, |all| {
        all.kept = Remembered::Unwritable
    }),
    ("probe", State::Note, |all| all.kept = Remembered::Exposed),
    ("probe", State::Note, |all| all.kept = Remembered::NoFolder),
    ("rights", State::Note, |all| {
        all.missing = [vec!["CAP_BPF"], Vec::new()]
    }),
    ("rights", State::Note, |all| {
        all.missing = [Vec::new(), vec!["CAP_PERFMON"]]
    }),
    ("rights", State::Note, |all| {
        all.missing_beside = vec!["CAP_DAC_OVERRIDE"]
    }),
    ("rights", State::Note, |all| {
        all.delegated = Some(Vec::new());
    }),
    ("bpffs", State::Fault, |all| all.is_read_only = true),
    ("bpffs", State::Fault, |all| all.bpffs = Ok(false)),
    ("bpffs", State::Note, |all| {
        all.bpffs = Err("forbidden".into())
    }),
    ("cgroups", State::Note, |all| all.cgroups = None),
    ("cgroups", State::Note, |all| all.cgroups_are_of_all = true),
    ("harden", State::Note, |all| {
        all.settings.insert("net.core.bpf_jit_harden", "2".into());
    }),
    ("jit", State::Note, |all| {
        all.settings.remove("net.core.bpf_jit_enable");
    }),
    ("cards", State::Note, |all| all.cards[0].joins = Some(true)),
    ("nftables", State::Note, |all| {
        all.chains = Ok(vec![Chain {
            name: "inet filter input".into(),
            hook: "input".into(),
        }]);
    }),
    ("features", State::Note, |all| {
        all.features.as_mut().unwrap().kernel_types = false
    }),
    ("rights", State::Note, |all| all.sees_others = false),
    ("jit", State::Note, |all| {
        all.settings.insert("net.core.bpf_jit_enable", "0".into());
    }),
    ("users", State::Note, |all| {
        all.settings
            .insert("kernel.unprivileged_bpf_disabled", "0".into());
    }),
    ("cards", State::Note, |all| all.cards.clear()),
    ("nftables", State::Note, |all| {
        all.chains = Err("there is no `nft` here to ask".into())
    }),
    ("iptables", State::Note, |all| {
        all.legacy = vec!["iptables filter".into()]
    }),
];

/// Of where only some types are delegated two things are told.
fn narrowed() -> Health {
    Health {
        delegated: Some(vec!["delegate_progs", "delegate_maps"]),
        ..sound()
    }
}

#[test]
fn each_thing_that_is_not_as_it_should_be_is_told_by_itself() {
    for (check, state, change) in WRONG {
        let mut health = sound();
        change(&mut health);
        assert_eq!(told(&health), [(*check, *state)], "{check}");
    }
    let mut health = sound();
    health.chains = Ok(vec![Chain {
        name: "inet filter output".into(),
        hook: "output".into(),
    }]);
    assert_eq!(told(&health), []);
}

/// Every note and every fault that this file can tell is told here, and says what to do: who adds one adds a row above.
#[test]
fn all_that_is_told_says_why_and_what_to_do() {
    let machines = WRONG.iter().map(|(_, _, change)| {
        let mut health = sound();
        change(&mut health);
        health
    });
    let machines = machines.chain([narrowed()]);
    let mut told: BTreeSet<u32> = BTreeSet::new();
    for health in machines {
        let found = of(&health, &Options::default());
        for one in found.iter().filter(|one| one.state != State::Ok) {
            let says = |words: &Option<String>| words.as_ref().is_some_and(|one| one.len() > 5);
            assert!(says(&one.why) && says(&one.remedy), "{one:?}");
            told.insert(one.at);
        }
    }
    let lines = (1..).zip(include_str!("../checks.rs").lines());
    let words = ["Finding::note(", "Finding::unseen(", "Finding::fault("];
    let tells = |line: &str| words.iter().any(|word| line.contains(word));
    let all: BTreeSet<u32> = lines
        .filter(|(_, line)| tells(line))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(told, all);
    // What a kernel lacks is a table by itself.
    for (.., why, helps) in LACKS {
        assert!(why.len() > 5 && helps.len() > 5, "{why}");
    }
}

#[test]
fn numbers_of_kernels_are_no_words() {
    for (release, state) in [
        ("5.10.0-8-amd64", State::Ok),
        ("4.19.0", State::Fault),
        ("10.0", State::Ok),
        ("6", State::Ok),
    ] {
        let mut health = sound();
        health.release = Some(release.into());
        assert_eq!(kernel(&health).state, state, "{release}");
    }
}

/// Its root cannot mount one that is of any use.
#[test]
fn in_a_user_namespace_no_mount_is_suggested_that_it_would_be_refused() {
    let mut health = sound();
    health.bpffs = Ok(false);
    let remedy = |health: &Health| bpffs(health, &Options::default()).remedy.unwrap();
    assert!(remedy(&health).starts_with("mount -t bpf"));
    health.inside = Some(Inside::NoFileSystem);
    let remedy = remedy(&health);
    assert!(
        !remedy.contains("mount -t") && remedy.contains("delegates BPF"),
        "{remedy}"
    );
}

/// Where it is not known whether a policy would be refused the command does not end as if it would not.
#[test]
fn features_that_were_not_looked_at_are_no_success() {
    let mut health = sound();
    health.features = None;
    let found = features(&health);
    assert!(
        found
            .iter()
            .all(|one| one.unseen && one.ends == Exit::Refused)
    );
    health.chains = Err("there is no `nft` here to ask".into());
    let found = others(&health);
    assert!(found.iter().all(|one| one.unseen && one.ends == Exit::Done));
}
