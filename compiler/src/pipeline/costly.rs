//! Lists that run at TC because of the interfaces they are for.
//!
//! On some interfaces (a veth) a program at XDP costs every packet that passes it more than all rules do. Takes a policy and what
//! is known of its interfaces; says in the policy where its list of what arrives runs. Only a list that drops at TC whatever it
//! drops at XDP is moved. Not here: which interfaces a machine has, and what placement makes of it.

use super::options::Machine;
use crate::hook::Hook;
use crate::place::{changes_on_the_way, fields};
use crate::policy::{
    Action, Arriving, DefaultVerdict, Direction, Policy, ProtocolMatch, Rule, Side,
};
use crate::protocol::IpProtocol;

/// Moves the lists of the policies whose interfaces are such, and that may be moved.
pub(super) fn arrange(policy: &mut Policy, machine: &dyn Machine) {
    let costly = machine.costly(policy);
    let is = |name: &str| costly.iter().any(|one| one == name);
    if is("") {
        move_one(policy);
    }
    let blocks = policy.netns.iter_mut();
    for block in blocks.filter(|block| is(&block.name)) {
        move_one(&mut block.policy);
    }
}

fn move_one(policy: &mut Policy) {
    if why_not(policy).is_none() {
        policy.arriving = Arriving::Costly;
    }
}

/// The policies that were moved, as a [`Machine`] names them.
pub(super) fn those(policy: &Policy) -> Vec<String> {
    let moved = |policy: &Policy| policy.arriving == Arriving::Costly;
    let own = moved(policy).then(String::new);
    let blocks = policy.netns.iter().filter(|block| moved(&block.policy));
    let blocks = blocks.map(|block| block.name.clone());
    own.into_iter().chain(blocks).collect()
}

/// Why a list stays where it is although its interfaces are such; `None` if it is moved.
#[must_use]
pub fn why_not(policy: &Policy) -> Option<&'static str> {
    let rules = || policy.rules_of(Direction::In).map(|(_, rule)| rule);
    let changes = policy.rules_of(Direction::In).any(|(id, rule)| {
        let waits = rule.at.is_some_and(|hook| hook != Hook::Xdp);
        !waits && fields(id, rule).into_iter().any(changes_on_the_way)
    });
    let default = policy.default_of(Direction::In);
    let passes = default.is_none_or(|line| line.verdict == DefaultVerdict::Allow)
        || rules().any(|rule| matches!(rule.action, Action::Allow | Action::Redirect(_)));
    if let Arriving::Named(hook) = policy.arriving {
        return Some(match hook {
            Hook::Xdp => "its default says `at xdp`",
            _ => "its default says `at tc`",
        });
    }
    if rules().any(|rule| rule.at == Some(Hook::Xdp)) {
        return Some("a rule says `at xdp`, so a program is there anyway");
    }
    if changes {
        return Some(
            "a rule asks for a rate, a length or tcp flags, which at tc may be those of several packets joined",
        );
    }
    if rules().any(lets_ipsec_in) {
        return Some(
            "it lets IPsec in, and what comes out of its tunnels would meet the rules at tc once more",
        );
    }
    (!passes).then_some("it lets nothing pass")
}

/// Whether a rule is for what IPsec wraps packets into. `xfrm_input` of the kernel hands over what it takes out as a packet that
/// arrives on the interface of the wrapping one, which meets TC, and not a program of the driver's.
fn lets_ipsec_in(rule: &Rule) -> bool {
    const WRAPPED: [u8; 2] = [50, 51];
    /// What ESP in UDP is sent to (RFC 3948).
    const PORT: u16 = 4500;
    let passes = matches!(rule.action, Action::Allow);
    let wraps = |one: &ProtocolMatch| {
        let to_port = match &rule.matches.to {
            Some(Side::Endpoints { endpoints, .. }) => {
                let mut named = endpoints.iter().filter_map(|one| one.ports.as_ref());
                named.any(|ports| ports.contains(PORT))
            }
            Some(Side::Group(_)) | None => false,
        };
        WRAPPED.contains(&one.number.0) || one.number == IpProtocol::UDP && to_port
    };
    passes && rule.matches.protocols.iter().any(wraps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_grammar::source::SourceMap;

    use crate::files::Texts;
    use crate::pipeline::{CostlyMachine, Options, compile};
    use crate::target::Target;

    /// The hooks of the programs of a text whose interfaces are all such, and what the object says.
    fn hooks(text: &str) -> (Vec<Hook>, Vec<String>) {
        let mut sources = SourceMap::default();
        let id = sources.add("t.sk", text);
        let target = Target::baseline();
        let options = Options {
            machine: &CostlyMachine,
            ..Options::from(&target)
        };
        let outcome = compile(&mut sources, id, "t", options, &mut Texts::default());
        let built = outcome.built.expect("it compiles");
        let hooks = built.chains.iter().map(|chain| chain.hook);
        (hooks.collect(), built.artifact.manifest.made.costly)
    }

    #[test]
    fn a_list_is_moved_only_if_it_drops_no_less_there() {
        let moved = (vec![Hook::TcIn], vec![String::new()]);
        for text in [
            "default in drop\nallow tcp to port 80\n",
            "default in allow\ndrop udp\n",
            "default in drop\nallow tcp if socket exists\n",
        ] {
            assert_eq!(hooks(text), moved, "{text}");
        }
        for text in [
            "default in drop at xdp\nallow tcp to port 80\n",
            "default in drop\n",
            "default in drop\nallow tcp if length < 100\n",
            "default in allow\ndrop tcp if tcp flags syn\n",
            "default in allow\ndrop udp above 5 packets/second\n",
            "default in allow\ndrop udp at xdp\n",
            "default in drop\nallow esp\n",
            "default in drop\nallow udp to port { isakmp, 4500 }\n",
        ] {
            assert_eq!(hooks(text), (vec![Hook::Xdp], Vec::new()), "{text}");
        }
    }

    #[test]
    fn each_block_is_moved_by_itself() {
        let text = "default in allow\ndrop udp at xdp\nfor netns \"blue\" {\n  default in drop\n  allow tcp\n}\n";
        assert_eq!(hooks(text), (vec![Hook::Xdp], vec!["blue".to_owned()]));
    }
}
