//! Random policies as text, for the tests that compare the reference meaning with everything faster.
//!
//! Takes a seed and what to use; gives a policy that resolves without errors, the same for the same seed. It draws from
//! few addresses, ports and lengths, so that rules overlap a lot. Redirects and what may stand ahead of them come first,
//! so that no rule waits for something that the socket lookup cannot read. Not here: packets.

mod parts;
mod random;
mod values;

pub use random::Random;

use parts::{conditions, sides, subject};
use values::{Lean, Values};

/// What random policies are made of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many rules.
    pub rules: usize,
    /// Whether there are rules for packets that leave.
    pub outgoing: bool,
    /// Whether there are named sockets and redirects to them.
    pub redirects: bool,
    /// Whether rules ask for sockets.
    pub socket_conditions: bool,
    /// Whether some rules say `at tc`.
    pub hooks: bool,
}

impl Options {
    /// Everything, with this many rules.
    #[must_use]
    pub fn everything(rules: usize) -> Self {
        Self {
            rules,
            outgoing: true,
            redirects: true,
            socket_conditions: true,
            hooks: true,
        }
    }
}

/// A policy as text.
#[must_use]
pub fn random_policy(seed: u64, options: Options) -> String {
    let mut random = Random::new(seed);
    let values = Values::new(&mut random);
    let mut policy = format!("sockc 1\npolicy random-{seed}\n\n");
    for direction in ["in", "out"] {
        let verb = random.pick(&["allow", "drop"]);
        policy += &format!("default {direction} {verb}\n");
    }
    policy += &values.declarations();
    if options.redirects {
        policy += SOCKETS;
    }
    policy.push('\n');
    let steering = if options.redirects {
        options.rules / 3
    } else {
        0
    };
    for number in 0..options.rules {
        let rule = if number < steering {
            steering_rule(&mut random, &values)
        } else {
            packet_rule(&mut random, &values, options)
        };
        if random.one_in(4) {
            policy += &format!("r{number}: ");
        }
        policy += &rule;
        policy.push('\n');
    }
    policy
}

/// A socket of each kind: both protocols and families or one of each, silent or not when absent.
const SOCKETS: &str = "\
socket both  = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234, udp listen 127.0.0.1:1234, udp listen [::1]:1234
socket quiet = tcp listen 127.0.0.1:1235, udp listen [::1]:1235 if absent drop
socket plain = tcp listen 0.0.0.0:1236 if absent reject
";

/// A redirect, or a rule that may stand ahead of one: by address, port and protocol only.
fn steering_rule(random: &mut Random, values: &Values) -> String {
    if random.one_in(2) {
        let socket = *random.pick(&["both", "quiet", "plain"]);
        let protocols = match (socket, random.below(4)) {
            (_, 0) => " tcp",
            ("both" | "quiet", 1) => " udp",
            ("both" | "quiet", 2) => " udp, tcp",
            _ => "",
        };
        let lean = *random.pick(&[Lean::V4, Lean::V6, Lean::Either]);
        let sides = sides(random, values, lean, true);
        return format!("redirect{protocols}{sides} to sock {socket}");
    }
    let verb = random.pick(&["allow", "drop", "count"]);
    format!("{verb}{}", subject(random, values))
}

/// A rule with everything that packet hooks read.
fn packet_rule(random: &mut Random, values: &Values, options: Options) -> String {
    let verb = random.pick(&["allow", "allow", "drop", "drop", "count"]);
    let direction = match random.below(3) {
        0 if options.outgoing => " out",
        1 => " in",
        _ => "",
    };
    let subject = subject(random, values);
    let conditions = conditions(random, options.socket_conditions);
    let hook = if options.hooks && random.one_in(12) {
        " at tc"
    } else {
        ""
    };
    format!("{verb}{direction}{subject}{conditions}{hook}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_policy_and_another_another() {
        let options = Options::everything(20);
        assert_eq!(random_policy(7, options), random_policy(7, options));
        assert_ne!(random_policy(7, options), random_policy(8, options));
    }
}
