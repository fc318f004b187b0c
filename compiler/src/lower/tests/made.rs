//! Policies put together by hand, compiled, and run by the interpreter.

use sockc_grammar::source::SourceMap;

use crate::artifact::Artifact;
use crate::hook::Hook;
use crate::interpret::{Bare, Execution, Input, Maps, Skb, Xdp, run};
use crate::pipeline::{Built, compile_policy};
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
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", "");
    let outcome = compile_policy(policy, &sources, id, target);
    assert!(!outcome.failed(), "{outcome:?}");
    outcome.built.unwrap()
}

pub(super) fn built(policy: Policy) -> Artifact {
    built_for(policy, &Target::baseline()).artifact
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
