//! The few addresses and ports of one policy, and the sets that hold them.

use std::net::{Ipv4Addr, Ipv6Addr};

use sockc_random::Rng;

/// Addresses and ports to draw from.
pub(super) struct Values {
    v4: Vec<String>,
    v6: Vec<String>,
    ports: Vec<&'static str>,
    /// What stands for addresses by name.
    named: &'static [&'static str],
}

/// Sets that every policy has, and `any`.
const NAMED: &[&str] = &["@near", "@far", "@mixed", "any"];
/// The same with the sets that are asked as one question.
const WITH_QUESTIONS: &[&str] = &[
    "@near", "@far", "@mixed", "any", "@banned", "@vips", "@large",
];
/// The same where the machine's own addresses stand in the place of a set that starts empty, as they do.
const WITH_OWN: &[&str] = &["@near", "@far", "@mixed", "any", "self", "@vips", "@large"];

/// Which family the addresses of a rule are of, so that most rules can match something.
#[derive(Clone, Copy)]
pub(super) enum Lean {
    V4,
    V6,
    Either,
}

/// Ports, ranges that touch and cross each other, and names.
const PORTS: &[&str] = &[
    "0",
    "1",
    "22",
    "53",
    "80",
    "443",
    "8080",
    "65535",
    "0-1023",
    "80-443",
    "443-8080",
    "1024-65535",
    "ssh",
    "domain",
    "https",
];

impl Values {
    /// Draws the values of a policy; `questions`: whether it has sets that are asked as one question.
    pub(super) fn new(rng: &mut Rng, questions: bool) -> Self {
        let mut v4 = vec!["3.3.3.3".to_owned(), "192.0.2.0/24".to_owned()];
        let mut v6 = vec!["2001:db8::/32".to_owned()];
        let inner = u32::try_from(rng.below(1 << 16)).unwrap_or(0);
        for _ in 0..6 {
            v4.push(nested_v4(rng, 0x0a01_0000 | inner));
            v6.push(nested_v6(rng, 0x2001_0db8 << 96 | u128::from(inner)));
        }
        let ports = (0..6).map(|_| *rng.one_of(PORTS)).collect();
        Self {
            v4,
            v6,
            ports,
            named: match questions {
                true if inner % 2 == 0 => WITH_OWN,
                true => WITH_QUESTIONS,
                false => NAMED,
            },
        }
    }

    /// Live sets that start with nothing and with something, and a set of more ranges than are taken apart.
    pub(super) fn question_sets(&self) -> String {
        let scattered = (0..40u16).flat_map(|number| {
            let v6 = format!("2001:db8:{:x}::/48", number * 3);
            [format!("10.1.{}.0/25", number * 2), v6]
        });
        let scattered: Vec<String> = scattered.collect();
        format!(
            "live set banned max 100 expires 10m\n\
             live set vips max 100 = {{ 3.3.3.0/24, 192.0.2.7, 2001:db8::/64 }}\n\
             set large = {{ {} }}\n",
            scattered.join(", ")
        )
    }

    /// The sets, each with something in it: both families, one, the arithmetic of both, and ports.
    pub(super) fn declarations(&self) -> String {
        let (v4, v6) = (&self.v4, &self.v6);
        format!(
            "set near = {{ {}, {}, {} }}\n\
             set far = {{ {}, {} }}\n\
             set mixed = @near - {{ {}, {} }} + @far + {{ {} }}\n\
             set some-ports = ports {{ {}, {} }}\n",
            v4[2], v6[2], v6[3], v4[3], v4[4], v4[5], v6[3], v6[4], self.ports[0], self.ports[1],
        )
    }

    /// An address part of the family a rule leans to, bracketed where `with_ports` needs it.
    pub(super) fn address(&self, rng: &mut Rng, lean: Lean, with_ports: bool) -> String {
        let v4 = match lean {
            Lean::V4 => true,
            Lean::V6 => false,
            Lean::Either => rng.one_in(2),
        };
        match rng.below(8) {
            0 | 1 => (*rng.one_of(self.named)).to_owned(),
            _ if v4 => rng.one_of(&self.v4).clone(),
            _ if with_ports => format!("[{}]", rng.one_of(&self.v6)),
            _ => rng.one_of(&self.v6).clone(),
        }
    }

    /// A ports part.
    pub(super) fn ports(&self, rng: &mut Rng) -> String {
        let one = rng.one_of(&self.ports);
        match rng.below(6) {
            0 => "*".to_owned(),
            1 => "@some-ports".to_owned(),
            2 => format!("{{{one}, {}}}", rng.one_of(&self.ports)),
            _ => (*one).to_owned(),
        }
    }
}

/// A prefix or range around a few bits of one address, so that they nest.
fn nested_v4(rng: &mut Rng, base: u32) -> String {
    let address = base ^ u32::try_from(rng.below(4)).unwrap_or(0);
    let length = *rng.one_of(&[0u32, 1, 8, 15, 16, 24, 29, 30, 31, 32]);
    let host = u32::MAX.checked_shr(length).unwrap_or(0);
    let low = Ipv4Addr::from_bits(address & !host);
    if rng.one_in(4) {
        let high = Ipv4Addr::from_bits(address | host >> 1);
        return format!("{low}-{high}");
    }
    format!("{low}/{length}")
}

fn nested_v6(rng: &mut Rng, base: u128) -> String {
    let address = base ^ (rng.below(4) as u128) << *rng.one_of(&[0, 32, 64, 90]);
    let length = *rng.one_of(&[0u32, 3, 32, 33, 48, 64, 65, 96, 126, 128]);
    let host = u128::MAX.checked_shr(length).unwrap_or(0);
    let low = Ipv6Addr::from_bits(address & !host);
    if rng.one_in(4) {
        let high = Ipv6Addr::from_bits(address | host >> 1);
        return format!("{low}-{high}");
    }
    format!("{low}/{length}")
}
