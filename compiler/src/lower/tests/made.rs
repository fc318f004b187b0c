//! Policies put together by hand, compiled, and run by the interpreter.

use sockc_grammar::source::SourceMap;

use crate::artifact::Artifact;
use crate::bulk::Structure;
use crate::hook::Hook;
use crate::interpret::{Bare, Execution, Input, Kernel, Maps, Skb, Xdp, run};
use crate::pipeline::{Built, Options, compile_policy};
use crate::policy::{Action, Direction, Policy, Rule};
use crate::target::Target;
use crate::tests::parts::{default, rule};

/// A policy whose default for arriving packets allows.
pub(super) fn policy(rules: impl IntoIterator<Item = Rule>) -> Policy {
    let mut policy = Policy::default();
    policy.defaults.push(default(Direction::In, true));
    policy.rules.extend(rules);
    policy
}

/// A rule at a hook of arriving packets that matches everything.
pub(super) fn at(hook: Hook, action: Action) -> Rule {
    Rule {
        at: Some(hook),
        ..rule(action)
    }
}

pub(super) fn built_for(policy: Policy, target: &Target) -> Built {
    built_with(policy, Options::from(target))
}

pub(super) fn built_with(policy: Policy, options: Options<'_>) -> Built {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", "");
    let outcome = compile_policy(policy, &sources, id, options);
    assert!(!outcome.failed(), "{outcome:?}");
    outcome.built.unwrap()
}

pub(super) fn built(policy: Policy) -> Artifact {
    built_for(policy, &Target::baseline()).artifact
}

/// Choices with which rules stand in tables, however few they are.
pub(super) fn tables(target: &Target) -> Options<'_> {
    Options {
        structure: Structure::Tables,
        ..Options::from(target)
    }
}

pub(super) fn in_tables(policy: Policy) -> Built {
    let target = Target::baseline();
    built_with(policy, tables(&target))
}

/// Runs a packet through the programs of a direction; gives whether it is dropped.
pub(super) fn drops(
    (built, maps): (&Built, &mut Maps),
    direction: Direction,
    (frame, mark): (&[u8], u32),
    world: &mut impl Kernel,
) -> bool {
    let mut hooks = Hook::of(direction).filter(|hook| hook.is_packet());
    hooks.any(|hook| {
        let spec = hook.spec();
        let mut programs = built.artifact.programs.iter();
        let Some(program) = programs.find(|one| one.name == spec.program) else {
            return false;
        };
        let input = match hook {
            Hook::Xdp => Input::Xdp(Xdp::new(frame.to_vec())),
            _ => Input::Skb(Skb {
                mark,
                egress: direction == Direction::Out,
                ..Skb::new(frame.to_vec())
            }),
        };
        let ran = run(program, maps, input, world).unwrap();
        ran.code() == spec.codes.drop
    })
}

/// What the only packet program does with a frame.
pub(super) fn run_on(artifact: &Artifact, maps: &mut Maps, frame: Vec<u8>) -> Execution {
    run_at(artifact, maps, frame, &mut Bare::default())
}

pub(super) fn run_at(
    artifact: &Artifact,
    maps: &mut Maps,
    frame: Vec<u8>,
    world: &mut Bare,
) -> Execution {
    let program = &artifact.programs[0];
    let input = match program.name.as_str() {
        "xdp_in" => Input::Xdp(Xdp::new(frame)),
        "tc_out" => Input::Skb(Skb {
            egress: true,
            ..Skb::new(frame)
        }),
        _ => Input::Skb(Skb::new(frame)),
    };
    run(program, maps, input, world).unwrap_or_else(|fault| panic!("{fault:?}"))
}
