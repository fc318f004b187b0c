//! Random statements, well-formed, with blanks, line breaks and comments in odd places.

use sockc_random::Rng;

/// Writes statements; the same seed gives the same texts.
pub(super) struct Writer(Rng);

impl Writer {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0.below(limit)
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// One to four texts with commas.
    fn list(&mut self, mut one: impl FnMut(&mut Self) -> String) -> String {
        let count = 1 + self.below(4);
        let items: Vec<String> = (0..count).map(|_| one(self)).collect();
        items.join(" , ")
    }

    fn address(&mut self) -> String {
        self.pick(&[
            "any",
            "10.0.0.0/8",
            "192.0.2.7",
            "10.0.0.1-10.0.0.9",
            "2001:db8::/32",
            "@office",
            "self",
            "[2001:db8::1]",
            "::",
        ])
        .to_owned()
    }

    fn endpoint(&mut self) -> String {
        let ports = self.pick(&[
            "53",
            "8000-8099",
            "*",
            "@web",
            "http",
            "{ 80 , 443 , }",
            "{1-2}",
        ]);
        match self.below(4) {
            0 => self.address(),
            1 => format!("port {}", ports.replace('*', "7")),
            _ => {
                self.pick(&[
                    "any:",
                    "10.0.0.0/8:",
                    "[2001:db8::/32]:",
                    "@office:",
                    "self:",
                    "10.0.0.1-10.0.0.9:",
                ])
                .to_owned()
                    + ports
            }
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        match self.below(if depth > 2 { 6 } else { 8 }) {
            0 => "no socket".to_owned(),
            1 => "socket established in netns \"b\"".to_owned(),
            2 => "tcp flags syn no ack".to_owned(),
            3 => format!("length {} 468", self.pick(&["<", "<=", "=", ">=", ">"])),
            4 => "mark 0x10 / 0xff".to_owned(),
            5 => "sock proxy absent".to_owned(),
            6 => format!("no {}", self.condition(depth + 1)),
            _ => format!(
                "any of {{ {} }}",
                self.list(|random| random.condition(depth + 1))
            ),
        }
    }

    fn clause(&mut self, slot: usize, redirect: bool) -> String {
        match slot {
            0 => format!("from {}", self.list(Self::endpoint)),
            1 if redirect => self.list(Self::endpoint),
            1 => format!("to {}", self.list(Self::endpoint)),
            2 if redirect => self
                .pick(&[
                    "to sock proxy",
                    "by @map",
                    "to input of sock cache",
                    "to interface eth1",
                ])
                .to_owned(),
            3 => self
                .pick(&["on zone wan", "on interface br-*", "on interface \"a b\""])
                .to_owned(),
            4 => format!("if {} and {}", self.condition(0), self.condition(0)),
            5 => self
                .pick(&[
                    "above 1_000 packets/second per source/24/56 burst 5",
                    "up to 20 connections / minute",
                ])
                .to_owned(),
            6 => "mark 0x7".to_owned(),
            7 => self
                .pick(&["log", "log \"a # b\" max 5/second", "log sample 1/10"])
                .to_owned(),
            8 => self.pick(&["at xdp", "at sk_lookup"]).to_owned(),
            _ => self
                .pick(&["note \"why\"", "note \"{} # \\\\\""])
                .to_owned(),
        }
    }

    fn rule(&mut self) -> String {
        let verb = self.pick(&["allow", "drop", "reject", "count", "redirect"]);
        let mut parts = vec![
            self.pick(&["", "", "ssh-in: ", "audit", "any: audit"])
                .to_owned(),
            verb.to_owned(),
            self.pick(&["", "in", "out"]).to_owned(),
            self.pick(&[
                "",
                "tcp",
                "tcp , udp",
                "icmp { echo-request , 3/4 }",
                "proto 89",
                "icmp6 137",
            ])
            .to_owned(),
        ];
        let mut slots: Vec<usize> = (0..10).filter(|_| self.below(3) == 0).collect();
        while !slots.is_empty() {
            let slot = slots.swap_remove(self.below(slots.len()));
            if slot != 2 || verb == "redirect" {
                parts.push(self.clause(slot, verb == "redirect"));
            }
        }
        parts.join(" ")
    }

    fn declaration(&mut self) -> String {
        match self.below(8) {
            0 => format!("set office = {{ {} }}", self.list(Self::address)),
            1 => format!(
                "set sum = @a + {{ {} , }} - file \"x\" max 10",
                self.list(Self::address)
            ),
            2 => "set web = ports { 80 , 8000-8099 , http }".to_owned(),
            3 => "live set banned max 10 = { 10.0.0.1 } expires 10m".to_owned(),
            4 => "map dns = { tcp 1.1.1.0/24:53 -> sock a , any:* -> sock b }".to_owned(),
            5 => match self.below(4) {
                3 => "socket p = registered members 8 spread by source pinned owner uid 33 if absent drop",
                0 => "socket p = tcp listen 127.0.0.1:1 owner uid 33",
                1 => "socket p = registered owner cgroup \"/a/b\" if absent reject",
                _ => "socket p = tcp listen 127.0.0.1:1 , udp listen [::1]:1 owner uid www-data if absent drop",
            }.to_owned(),
            6 => "expect drop with no socket , ttl 3 to any:22 from any".to_owned(),
            _ => "interfaces eth0 , br-*".to_owned(),
        }
    }

    /// A text of some statements, with comments and blanks between the words.
    pub(super) fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..1 + self.below(5) {
            let block = self.below(8) == 0;
            if block {
                text += &self.spaced("for zone wan {");
            }
            let statement = if self.below(3) == 0 && !block {
                self.declaration()
            } else {
                self.rule()
            };
            text += &self.spaced(&statement);
            if block {
                text += self.pick(&["}", "\n}\n", " # c\n}\n"]);
            }
            text += self.pick(&[
                "\n",
                "\n\n\n",
                " # trailing\n",
                "\n# own\n\n",
                "  ",
                "\r\n",
                "\n\t#own\n",
            ]);
        }
        text
    }

    /// The words of a statement with odd blanks, sometimes a comment; strings stay whole.
    fn spaced(&mut self, statement: &str) -> String {
        let commented = self.below(3) == 0;
        let mut text = String::new();
        for (index, part) in statement.split('"').enumerate() {
            if index % 2 == 1 {
                text += &format!("\"{part}\"");
                continue;
            }
            for word in part.split_inclusive(' ') {
                text += word;
                if word.ends_with(' ') && self.below(4) == 0 {
                    let comment = commented && self.below(3) == 0;
                    text += if comment {
                        "# c\n  "
                    } else {
                        self.pick(&["  ", "\n", "\r\n\t"])
                    };
                    text += if comment && self.below(3) == 0 {
                        "\n  # own\n"
                    } else {
                        ""
                    };
                }
            }
        }
        text
    }
}
