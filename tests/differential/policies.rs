//! Random policies of the shapes that users have: with a last rule for everything, of many plain rules, in namespaces.
//!
//! Takes seeds; gives text. What is in a rule comes from the compiler's generator and from the benchmarks' families.

use sockc_testing::Rng;
use sockc_testing::{Options, random_policy};

use crate::rules::family::Family;
use crate::rules::policy::{RunsAt, Verdicts, policy};

/// Lengths of long lists: where tables begin, and up to thousands.
const LONG: [usize; 6] = [64, 90, 150, 300, 700, 2_000];

/// The families that long lists are of.
const FAMILIES: [&str; 4] = ["acl", "dual", "firewall", "ipc"];

/// A random policy; of four, three end with a rule for everything, as people write them.
pub(crate) fn closed(seed: u64, options: Options) -> String {
    let text = random_policy(seed, options);
    let last = match seed % 4 {
        0 => "",
        1 => "allow in\ndrop out\n",
        2 => "drop in\nallow out\n",
        _ => "allow in\nallow out\n",
    };
    text + last
}

/// What rules of long lists ask: of TCP alone, and of all packets.
const OF_TCP: [&str; 2] = [" if tcp flags syn no ack", " if socket established"];
const OF_ALL: [&str; 4] = [
    " if socket exists",
    " if no socket",
    " if ttl < 64",
    " if length > 100",
];

/// The same line, which asks something in one of so many.
fn asking(rng: &mut Rng, line: String, one_in: usize) -> String {
    if !rng.one_in(one_in) {
        return line;
    }
    let tcp = line.contains(" tcp ") && rng.chance(1, 2);
    let asked = match tcp {
        true => *rng.one_of::<&str>(&OF_TCP),
        false => *rng.one_of::<&str>(&OF_ALL),
    };
    line + asked
}

/// What those rules name.
const DECLARED: &str = "\
sockc 1
zone wan = eth0
live set banned max 100 = { 192.0.2.0/24, 10.0.0.0/9, 2001:db8::/64 }
default in drop
";

/// A long list in which most rules ask for more than addresses and ports: for sockets, sets, flags, types of ICMP, zones; and some
/// have rates.
pub(crate) fn mixed(seed: u64, size: usize) -> String {
    let mut rng = Rng::new(seed);
    let family = Family::named("acl").unwrap();
    let plain = policy(&family.rules(size).rules, Verdicts::Alternate, RunsAt::Xdp);
    let mut text = String::from(DECLARED);
    for (number, line) in plain.lines().skip(2).enumerate() {
        let verb = line.split(' ').next().unwrap_or_default();
        let to = line.split(" to ").nth(1).unwrap_or_default();
        text += &match number % 8 {
            0 => line.to_owned(),
            1 => format!("{line} on zone wan"),
            2 => format!(
                "{verb} icmp echo-request to {}",
                to.split(':').next().unwrap_or_default()
            ),
            // One that speaks of nearly every packet would decide for all behind it.
            3 if to.contains("/32:") => line.replacen("from ", "from not ", 1),
            4 => format!("{verb} from @banned to {to}"),
            5 => format!("{line} if socket exists"),
            _ => asking(&mut rng, line.to_owned(), 1),
        };
        if number % (size / 3) == size / 4 {
            text += " up to 100 packets/second";
        }
        text.push('\n');
    }
    text + "allow tcp up to 100 packets/second\n"
}

/// A long list of plain rules with some of every other kind among them. In one of two, some of those that drop ask something:
/// ahead of redirects, an allow cannot.
pub(crate) fn long(seed: u64) -> String {
    let mut rng = Rng::new(seed);
    let size = LONG[(seed % 6) as usize];
    let family = Family::named(FAMILIES[rng.below(FAMILIES.len())]).unwrap();
    let plain = policy(&family.rules(size).rules, Verdicts::Alternate, RunsAt::Xdp);
    let out = rng.chance(1, 3);
    let plain = plain.lines().skip(2).map(|line| match out {
        true => line
            .replacen("allow ", "allow out ", 1)
            .replacen("drop ", "drop out ", 1),
        false => line.to_owned(),
    });
    let one_in = if seed.is_multiple_of(2) {
        3
    } else {
        usize::MAX
    };
    let mut asked = Rng::new(seed);
    let plain = plain.map(|line| match line.starts_with("drop") {
        true => asking(&mut asked, line, one_in),
        false => line,
    });
    let text = closed(seed, Options::everything(12));
    let (declarations, others) = text.rsplit_once("\n\n").unwrap();
    let mut lines: Vec<String> = plain.collect();
    let mut places: Vec<usize> = others.lines().map(|_| rng.below(lines.len())).collect();
    places.sort_unstable();
    // From the last on, so that the places in front stay what they are.
    let others: Vec<&str> = others.lines().collect();
    for (place, line) in places.into_iter().zip(others).rev() {
        lines.insert(place, line.to_owned());
    }
    format!("{declarations}\n\n{}\n", lines.join("\n"))
}

/// A random policy in a block for a network namespace, next to a policy for the rest.
pub(crate) fn in_namespace(seed: u64, rules: usize) -> String {
    let text = closed(seed, Options::everything(rules));
    let inside = text.lines().skip_while(|line| !line.starts_with("default"));
    let inside: String = inside.map(|line| format!("    {line}\n")).collect();
    format!(
        "sockc 1\ndefault in drop\nallow in tcp to port 22\nfor netns \"blue\" {{\n{inside}}}\n"
    )
}
