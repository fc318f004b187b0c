//! `import ufw` from outside: the text that comes out for what was said to ufw, what it decides, what is said of what is left out, and which
//! folders and files are refused.
//!
//! What the kernel makes of the same rules is compared in `netfilter/ufw.rs`.

pub(super) mod files;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Folder, Ran, run};
use files::Files;

/// What a user said: of IPv4, and of IPv6.
const SAID: [&str; 2] = [
    "
### tuple ### deny any any 0.0.0.0/0 any 192.0.2.66 in comment=62616421
-A ufw6-user-input -s 192.0.2.66 -j DROP

### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in comment=7468652073686f70
-A ufw6-user-input -p tcp -m multiport --dports 80,443 -j ACCEPT -m comment --comment 'dapp_Nginx%20Full'

### tuple ### allow any 53 0.0.0.0/0 any 10.0.0.0/8 in
-A ufw6-user-input -p tcp --dport 53 -s 10.0.0.0/8 -j ACCEPT
-A ufw6-user-input -p udp --dport 53 -s 10.0.0.0/8 -j ACCEPT

### tuple ### limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
-A ufw6-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set
-A ufw6-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 -j ufw6-user-limit
-A ufw6-user-input -p tcp --dport 22 -j ufw6-user-limit-accept

### tuple ### deny_log-all udp 69 0.0.0.0/0 any 0.0.0.0/0 in
-A ufw6-user-logging-input -p udp --dport 69 -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW BLOCK] \"
-A ufw6-user-logging-input -p udp --dport 69 -j RETURN
-A ufw6-user-input -p udp --dport 69 -j ufw6-user-logging-input
-A ufw6-user-input -p udp --dport 69 -j DROP

### tuple ### route:allow tcp 80 10.0.0.0/8 any 0.0.0.0/0 in_eth1!out_eth2
-A ufw6-user-forward -i eth1 -o eth2 -p tcp -d 10.0.0.0/8 --dport 80 -j ACCEPT

### tuple ### deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 out
-A ufw6-user-output -p tcp --dport 25 -j DROP
",
    "
### tuple ### allow tcp 80,443 ::/0 any ::/0 Nginx%20Full - in comment=7468652073686f70
-A ufw6-user-input -p tcp -m multiport --dports 80,443 -j ACCEPT -m comment --comment 'dapp_Nginx%20Full'

### tuple ### limit tcp 22 ::/0 any ::/0 in
-A ufw6-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set
-A ufw6-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 -j ufw6-user-limit
-A ufw6-user-input -p tcp --dport 22 -j ufw6-user-limit-accept

### tuple ### deny_log-all udp 69 ::/0 any ::/0 in
-A ufw6-user-logging-input -p udp --dport 69 -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW BLOCK] \"
-A ufw6-user-logging-input -p udp --dport 69 -j RETURN
-A ufw6-user-input -p udp --dport 69 -j ufw6-user-logging-input
-A ufw6-user-input -p udp --dport 69 -j DROP

### tuple ### deny tcp 25 ::/0 any ::/0 out
-A ufw6-user-output -p tcp --dport 25 -j DROP
",
];

/// The rules of the user as they are written, each with what was said.
const WRITTEN: &str = "# ufw allow 'Nginx Full'
allow tcp to port {80, 443} note \"Nginx Full: the shop\"
# ufw allow from 10.0.0.0/8 to any port 53
allow tcp, udp from 10.0.0.0/8 to port 53
# ufw limit 22/tcp
reject tcp to port 22 above 10 connections/minute per source/32/128 burst 5 log \"[UFW LIMIT BLOCK] \" max 3/minute
allow tcp to port 22
# ufw deny log-all 69/udp
drop udp to port 69 log \"[UFW BLOCK] \" max 3/minute
# chain ufw-skip-to-policy-input
drop udp to port 137
# chain ufw-after-logging-input
count in log \"[UFW BLOCK] \" max 3/minute
";

const HOLDS: &str = "
expect drop tcp from 192.0.2.66 to 198.51.100.1:443 on interface eth0 with no socket
expect allow tcp from 192.0.2.7 to 198.51.100.1:443
expect allow tcp from 2001:db8::9 to [2001:db8::1]:80
expect allow udp from 10.1.2.3 to 198.51.100.1:53
expect drop udp from 192.0.2.7 to 198.51.100.1:53 on interface eth0 with no socket
expect allow tcp from 192.0.2.7 to 198.51.100.1:22 with no rate exceeded
expect drop udp from 2001:db8::9 to [2001:db8::1]:69 on interface eth0 with no socket
expect allow forward tcp from 192.0.2.7 to 10.0.0.1:80 on interface eth1 to interface eth2
expect drop forward tcp from 192.0.2.7 to 10.0.0.1:80 on interface eth2 to interface eth1
expect drop out tcp from 198.51.100.1 to 192.0.2.7:25 on interface eth0 with no socket
expect allow out udp from 198.51.100.1 to 192.0.2.7:53
";

fn imported(folder: &str, more: &[&str]) -> Ran {
    run(&[&["import", "ufw", folder], more].concat())
}

/// The report of a folder that is taken, and its policy.
fn said(folder: &str) -> (Vec<serde_json::Value>, String) {
    let ran = imported(folder, &["--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let said = ran.json();
    assert_eq!(said["format"], "sockc.import-ufw/1");
    let report = said["report"].as_array().unwrap().clone();
    (report, said["text"].as_str().unwrap().to_owned())
}

/// The entries of which a part of what is said is known, as kind, name of the file, and line.
fn told(report: &[serde_json::Value], part: &str) -> Vec<(String, String, Option<u64>)> {
    let is_it = |one: &&serde_json::Value| one["said"].as_str().unwrap().contains(part);
    let entries = report.iter().filter(is_it).map(|one| {
        let file = one["file"].as_str().unwrap().rsplit('/').next().unwrap();
        let kind = one["kind"].as_str().unwrap();
        (kind.to_owned(), file.to_owned(), one["line"].as_u64())
    });
    entries.collect()
}

#[test]
fn what_was_said_to_ufw_becomes_a_policy_that_reads_so() {
    let folder = Folder::new("ufw-said");
    let files = Files {
        user: SAID,
        ..Files::default()
    };
    let (report, text) = said(&files.write(&folder, "etc"));
    assert!(text.contains(WRITTEN), "{text}");
    let first = "# ufw deny from 192.0.2.66\ndrop from 192.0.2.66 note \"bad!\"\n";
    assert!(text.contains(first), "{text}");
    let routed = "# ufw route allow in on eth1 out on eth2 to 10.0.0.0/8 port 80 proto tcp
allow forward tcp to 10.0.0.0/8:80 on interface eth1 to interface eth2\n";
    assert!(text.contains(routed), "{text}");
    assert!(
        text.contains("# ufw deny out 25/tcp\ndrop out tcp to port 25\n"),
        "{text}"
    );
    let file = folder.file("held.sk", &(text + HOLDS));
    let checked = run(&["check", &file]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    // One for each family.
    let limits = told(&report, "`recent` becomes a rate");
    let files: Vec<&str> = limits.iter().map(|one| one.1.as_str()).collect();
    assert_eq!(files, ["user.rules", "user6.rules"], "{limits:?}");
    for one in report.iter().filter_map(|one| one["packet"].as_str()) {
        let ran = run(&["explain", &file, one]);
        assert_eq!(ran.code, Some(0), "{one}: {}", ran.stderr);
    }
    let drops = told(&report, "conntrack judges what is INVALID");
    assert!(
        drops.contains(&("left-out".to_owned(), "before.rules".to_owned(), Some(14))),
        "{drops:?}"
    );
}

#[test]
fn defaults_decide_what_no_rule_does() {
    let folder = Folder::new("ufw-defaults");
    for (name, settings, holds) in [
        (
            "reject",
            "DEFAULT_INPUT_POLICY=REJECT\nDEFAULT_OUTPUT_POLICY=DROP\n",
            "expect reject tcp from 192.0.2.7 to 198.51.100.1:99 on interface eth0 with no socket
expect reject udp from 192.0.2.7 to 198.51.100.1:137 on interface eth0 with no socket
expect drop out udp from 198.51.100.1 to 192.0.2.7:53 on interface eth0
expect drop forward udp from any to 192.0.2.1:53\n",
        ),
        (
            "accept",
            "DEFAULT_INPUT_POLICY=ACCEPT\nDEFAULT_FORWARD_POLICY=ACCEPT\n",
            "expect allow tcp from 192.0.2.7 to 198.51.100.1:99
expect allow udp from 2001:db8::9 to [2001:db8::1]:137
expect allow forward udp from any to 192.0.2.1:53\n",
        ),
        (
            "closed",
            "IPV6=no\nDEFAULT_INPUT_POLICY=ACCEPT\nDEFAULT_FORWARD_POLICY=ACCEPT\n",
            "expect allow tcp from 192.0.2.7 to 198.51.100.1:99
expect drop tcp from 2001:db8::9 to [2001:db8::1]:99 on interface eth0
expect drop out tcp from 2001:db8::9 to [2001:db8::1]:99 on interface eth0
expect drop forward tcp from 2001:db8::9 to [2001:db8::1]:99\n",
        ),
    ] {
        let files = Files {
            settings,
            ..Files::default()
        };
        let (_, text) = said(&files.write(&folder, name));
        let file = folder.file(&format!("{name}.sk"), &format!("{text}\n{holds}"));
        let checked = run(&["check", &file]);
        assert_eq!(checked.code, Some(0), "{name}: {text}{}", checked.stderr);
    }
}

#[test]
fn levels_of_logging_write_their_lines() {
    let folder = Folder::new("ufw-logging");
    for (name, logging, line) in [
        (
            "high",
            "-I ufw6-before-logging-input -j LOG --log-prefix \"[UFW AUDIT] \" -m limit --limit 3/min --limit-burst 10\n",
            "# chain ufw-before-logging-input\ncount in log \"[UFW AUDIT] \" max 3/minute\n",
        ),
        (
            "full",
            "-A ufw6-after-logging-input -j LOG --log-prefix \"[UFW BLOCK] \"\n",
            "# chain ufw-after-logging-input\ncount in log \"[UFW BLOCK] \" max 10/second\n",
        ),
        // What is said to be logged is not, by a rule that stands first.
        (
            "off",
            "-I ufw6-user-logging-input -j RETURN\n",
            "# ufw deny log-all 69/udp\ndrop udp to port 69\n",
        ),
    ] {
        let files = Files {
            user: SAID,
            logging,
            ..Files::default()
        };
        let (_, text) = said(&files.write(&folder, name));
        assert!(text.contains(line), "{name}: {text}");
    }
}

#[test]
fn what_stands_beside_the_rules_is_told() {
    let folder = Folder::new("ufw-beside");
    let files = Files {
        enabled: "no",
        settings: "IPT_MODULES=\"nf_conntrack_ftp\"\n",
        ..Files::default()
    };
    let own = files.write(&folder, "etc");
    for name in ["before.init", "after.init", "sysctl.conf"] {
        fs::write(format!("{own}/{name}"), "#!/bin/sh\n").unwrap();
    }
    let runs = fs::Permissions::from_mode(0o750);
    fs::set_permissions(format!("{own}/after.init"), runs).unwrap();
    let rules = fs::read_to_string(format!("{own}/before.rules")).unwrap();
    let nat = "*nat\n-F\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n";
    fs::write(format!("{own}/before.rules"), rules + nat).unwrap();
    // Docker calls this chain.
    let docker =
        "*filter\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -p tcp --dport 5432 -j DROP\nCOMMIT\n";
    let rules = fs::read_to_string(format!("{own}/after.rules")).unwrap();
    fs::write(format!("{own}/after.rules"), rules + docker).unwrap();
    let (report, _) = said(&own);
    let entry = |kind: &str, file: &str, line| (kind.to_owned(), file.to_owned(), line);
    for (part, wanted) in [
        ("ENABLED=no", entry("changed", "ufw.conf", Some(2))),
        (
            "IPT_MODULES=nf_conntrack_ftp",
            entry("left-out", "ufw", Some(6)),
        ),
        ("runs this program", entry("left-out", "after.init", None)),
        ("settings of the kernel", entry("note", "sysctl.conf", None)),
        (
            "the chain DOCKER-USER",
            entry("left-out", "after.rules", None),
        ),
        ("table nat: ", entry("left-out", "before.rules", Some(26))),
    ] {
        assert_eq!(told(&report, part), [wanted], "{part}");
    }
    let out = folder.0.join("edge.sk");
    let strict = imported(&own, &["--strict", "-o", out.to_str().unwrap()]);
    assert_eq!(
        (strict.code, out.exists()),
        (Some(1), false),
        "{}",
        strict.stderr
    );
    // None of the files is written over.
    for name in ["user6.rules", "sysctl.conf", "applications.d"] {
        let over = imported(&own, &["-o", &format!("{own}/{name}")]);
        assert_eq!(over.code, Some(64), "{name}: {}", over.stderr);
    }
}

#[test]
fn what_is_no_folder_of_ufw_is_answered_with_what_to_give() {
    let folder = Folder::new("ufw-refused");
    let own = Files::default().write(&folder, "etc");
    let alone = Files::default().write(&folder, "alone");
    fs::remove_file(folder.0.join("alone/default/ufw")).unwrap();
    let broken = Files::default().write(&folder, "broken");
    fs::write(
        format!("{broken}/user6.rules"),
        "*filter\n-A nowhere -j DROP\nCOMMIT\n",
    )
    .unwrap();
    let empty = Files::default().write(&folder, "empty");
    fs::write(format!("{empty}/after.rules"), "").unwrap();
    let shell = Files {
        settings: ". /etc/other\n",
        ..Files::default()
    };
    let shell = shell.write(&folder, "shell");
    let file = format!("{own}/user.rules");
    let saved = folder.file("rules.v4", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n");
    for (given, part) in [
        (file.as_str(), "one file"),
        ("-", "standard input is one file"),
        (&format!("{own}/none"), "is not there"),
        (folder.0.to_str().unwrap(), "has no ufw.conf"),
        (&alone, "--defaults /etc/default/ufw"),
        (
            &broken,
            "user6.rules, line 2: the chain nowhere is not there",
        ),
        (&empty, "after.rules is not there or is empty"),
        (
            &shell,
            "default/ufw, line 6: `. /etc/other` is no plain setting",
        ),
    ] {
        let ran = imported(given, &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{given}");
        assert!(ran.stderr.contains(part), "{given}: {}", ran.stderr);
        assert!(ran.stderr.contains("nothing was written"), "{}", ran.stderr);
    }
    let defaults = folder.0.join("etc/default/ufw");
    let named = imported(&alone, &["--defaults", defaults.to_str().unwrap()]);
    assert_eq!(named.code, Some(0), "{}", named.stderr);
    let v6 = format!("{own}/user6.rules");
    for arguments in [&[file.as_str()][..], &[&saved, "--ip6", &v6]] {
        let ran = run(&[&["import", "iptables-save"], arguments].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        assert!(ran.stderr.contains("`sockc import ufw`"), "{}", ran.stderr);
    }
    for verb in ["check", "apply"] {
        let ran = run(&[verb, &file]);
        assert_eq!(ran.code, Some(1), "{verb}: {}", ran.stderr);
        let is_told = ran.stderr.contains("E0120") && ran.stderr.contains("`sockc import ufw`");
        assert!(is_told, "{verb}: {}", ran.stderr);
    }
}
