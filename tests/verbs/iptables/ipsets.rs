//! `import iptables-save --ipset` from outside: what sets of ipset become, and what is said of them.
//!
//! What sets mean is compared with the kernel by hand, as kernels differ in which types they have.

use std::fs;

use super::{Folder, PLAIN, Ran, of_kind, run};

/// What `ipset save` prints of sets of every kind.
const SETS: &str = r#"create office hash:net family inet hashsize 1024 maxelem 65536 comment bucketsize 12 initval 0xe9fa5d80
add office 10.0.0.0/8 comment "the # house"
add office 10.1.0.0/16 nomatch
add office 192.0.2.7
create six hash:net family inet6 hashsize 1024 maxelem 65536 bucketsize 12 initval 0xe9fa5d80
add six 2001:db8::/32
create every list:set size 8
add every office
add every six
create banned hash:ip family inet hashsize 1024 maxelem 5000 timeout 600 bucketsize 12 initval 0xe9fa5d80
add banned 203.0.113.9 timeout 540
add banned 203.0.113.10 timeout 540
add banned 203.0.113.11 timeout 0
create web hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xe9fa5d80
add web 192.0.2.1,tcp:80
add web 192.0.2.2,tcp:80
add web 192.0.2.1,icmp:echo-request
add web 192.0.2.3,gre:0
create links hash:net,iface family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xe9fa5d80
add links 10.0.0.0/8,eth0
add links 10.0.0.0/16,eth1
create pairs hash:ip,port,ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xe9fa5d80
add pairs 192.0.2.1,udp:53,198.51.100.1
create low bitmap:port range 0-1023
add low 22
add low 23
create frames bitmap:ip,mac range 192.0.2.0-192.0.2.255
add frames 192.0.2.1,02:42:AC:11:00:02
create marked hash:ip,mark family inet markmask 0x0000ffff hashsize 1024 maxelem 65536 bucketsize 12 initval 0xe9fa5d80
add marked 192.0.2.1,0x00000063
create none hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xe9fa5d80
create set hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xe9fa5d80
add set 192.0.2.99
create spare hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xe9fa5d80
"#;

/// Rules of INPUT, which has no other ones and accepts.
fn rules(lines: &[&str]) -> String {
    let lines = lines.iter().map(|line| format!("-A INPUT {line}\n"));
    PLAIN.replace("INPUT DROP", "INPUT ACCEPT").replace(
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n",
        &lines.collect::<String>(),
    )
}

/// What the command says of rules and sets.
fn imported(folder: &Folder, lines: &[&str], sets: &str, more: &[&str]) -> Ran {
    let v4 = folder.file("rules.v4", &rules(lines));
    let v6 = folder.file("rules.v6", &rules(&[]));
    let sets = folder.file("sets", sets);
    let all = [
        "import",
        "iptables-save",
        &v4,
        "--ip6",
        &v6,
        "--ipset",
        &sets,
    ];
    run(&[&all[..], more].concat())
}

fn said(folder: &Folder, lines: &[&str]) -> serde_json::Value {
    let ran = imported(folder, lines, SETS, &["--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.json()
}

/// What is said of a kind, with all entries.
fn told<'a>(said: &'a serde_json::Value, kind: &str) -> Vec<&'a str> {
    let all = of_kind(said, kind).into_iter();
    all.filter_map(|one| one["said"].as_str()).collect()
}

#[test]
fn sets_are_sets_of_the_policy_or_rules_with_what_they_hold() {
    let folder = Folder::new("ipset-sets");
    let lines = [
        "-m set --match-set office src -j DROP",
        "-m set ! --match-set set dst -j ACCEPT",
        "-m set --match-set every src -j DROP",
        "-p tcp -m set --match-set office src --return-nomatch -j DROP",
        "-m set --match-set web dst,dst -j DROP",
        "-p tcp -m set ! --match-set web dst,dst -j DROP",
        "-m set --match-set links src,src -j DROP",
        "-m set --match-set pairs src,dst,dst -j DROP",
        "-m set --match-set low dst ! --update-counters -j DROP",
        "-m set --match-set frames src,src -j DROP",
        "-m set --match-set marked src,src -j DROP",
    ];
    let said = said(&folder, &lines);
    let text = said["text"].as_str().unwrap();
    for line in [
        "set office = {\n    10.0.0.0/16,  # the # house\n    10.2.0.0-10.255.255.255,\n    192.0.2.7\n}",
        "drop from @office\n",
        "set set-6ee0eb49 = { 192.0.2.99 }",
        "allow to not @set-6ee0eb49\n",
        "drop from 10.0.0.0/16, 10.2.0.0-10.255.255.255, 192.0.2.7\n",
        "drop tcp from 10.1.0.0/16\n",
        "drop icmp 8/0 to 192.0.2.1\ndrop tcp to 192.0.2.1:80\ndrop tcp to 192.0.2.2:80\ndrop gre to 192.0.2.3\n",
        "drop tcp to 192.0.2.1:{0-79, 81-65535}\ndrop tcp to 192.0.2.2:{0-79, 81-65535}\n",
        "drop from 10.0.0.0/16 on interface eth1\n",
        "drop from 10.1.0.0-10.255.255.255 on interface eth0\n",
        "drop udp from 192.0.2.1 to 198.51.100.1:53\n",
        "drop tcp, udp to port 22-23\n",
        "drop from 192.0.2.1 if ether from 02:42:ac:11:00:02\n",
        "drop from 192.0.2.1 if mark 0x63/0xffff\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    // What has the longest prefix by another interface is not looked for under a shorter one.
    assert!(!text.contains("10.0.0.0/16 on interface eth0"), "{text}");
    assert_eq!(told(&said, "left-out"), Vec::<&str>::new(), "{text}");
    let held =
        "expect drop tcp from 10.9.0.1 to any\nexpect allow tcp from 10.1.2.3 to 192.0.2.1:80\n";
    let file = folder.file("held.sk", &format!("{text}\n{held}"));
    let checked = run(&["check", &file]);
    assert_eq!(checked.code, Some(0), "{text}{}", checked.stderr);
}

/// A set whose entries go by themselves is a live set, and the report has the commands that fill it.
#[test]
fn a_set_that_programs_fill_is_a_live_set() {
    let folder = Folder::new("ipset-live");
    let lines = [
        "-p tcp -m set --match-set banned src -m tcp --dport 22 -j REJECT --reject-with tcp-reset",
        "-s 203.0.113.0/24 -m set --match-set banned src -j DROP",
        "-m set ! --match-set banned src -j ACCEPT",
    ];
    let said = said(&folder, &lines);
    let text = said["text"].as_str().unwrap();
    for line in [
        "live set banned max 5000 expires 10m\n",
        "reject tcp from @banned to port 22\n",
        "# left out, line 6: -A INPUT -s 203.0.113.0/24",
        "allow from not @banned\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let notes = told(&said, "changed").join("\n");
    for command in [
        "`sockc set add banned 203.0.113.10 203.0.113.9 --expires 9m`",
        "`sockc set add banned 203.0.113.11 --expires never`",
    ] {
        assert!(notes.contains(command), "{command}: {notes}");
    }
    let file = folder.file("live.sk", text);
    let packet = "tcp from 203.0.113.9:40000 to 192.0.2.1:22 with @banned { 203.0.113.9 }";
    let explained = run(&["explain", &file, packet]);
    assert!(
        explained.stdout.contains("reject"),
        "{}{}",
        explained.stdout,
        explained.stderr
    );
}

/// What is not in the policy is told, and so is what is not in it later.
#[test]
fn what_becomes_of_sets_is_told() {
    let folder = Folder::new("ipset-told");
    let lines = [
        "-m set --match-set none src -j DROP",
        "-m set --match-set gone src -j DROP",
        "-m set --match-set six src -j DROP",
        "-m set --match-set office src --packets-gt 5 -j DROP",
        "-m set ! --match-set web dst,dst -j DROP",
        "-m set ! --match-set links src,src -j DROP",
        "-m set --match-set web dst -j DROP",
        "-p udp -j SET --add-set office src",
        "-m set --match-set set src -j DROP",
    ];
    let said = said(&folder, &lines);
    let left_out = told(&said, "left-out").join("\n");
    for why in [
        "the set none holds nothing",
        "what the set gone holds does not stand there; give all that `ipset save` prints",
        "`--packets-gt 5`: how often",
        "all types of ICMP but some",
        "all interfaces but eth",
        "target SET: no rule changes a set; a program does, by `sockc set add`; nothing is put into the set",
    ] {
        assert!(left_out.contains(why), "{why}: {left_out}");
    }
    let notes = told(&said, "note").join("\n");
    for note in [
        "the set six is of the other family, so no packet is in it",
        "the set web has entries of more parts than the rule names sides, so no packet is in it",
        "no rule asks for the sets banned, every, frames, low, marked, pairs, spare",
        "what is written of the sets links, office, set, six, web is what was held",
    ] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    assert!(!said["text"].as_str().unwrap().contains("@six"), "{said}");
}

#[test]
fn rules_without_their_sets_say_how_these_are_given() {
    let folder = Folder::new("ipset-without");
    let file = folder.file(
        "rules.v4",
        &rules(&["-m set --match-set office src -j DROP"]),
    );
    let ran = run(&["import", "iptables-save", &file]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let remedy = "what the set office holds does not stand there; give what `ipset save` prints by `--ipset`";
    assert!(ran.stderr.contains(remedy), "{}", ran.stderr);
}

/// A file that is broken or something else is refused by its line, and nothing is written.
#[test]
fn a_file_that_is_no_save_of_ipset_is_refused() {
    let folder = Folder::new("ipset-refused");
    let out = folder.0.join("out.sk");
    let created = "create a hash:ip family inet\n";
    for (text, line, why) in [
        ("<ipsets>\n</ipsets>\n".to_owned(), 1, "`ipset save -o xml`"),
        ("Name: a\n".to_owned(), 1, "what `ipset list` prints"),
        (PLAIN.to_owned(), 1, "iptables-save prints"),
        ("[ { \"name\" : \"a\" } ]\n".to_owned(), 1, "JSON"),
        (
            format!("{created}add a 10.0.0.1\nadd b 10.0.0.1\n"),
            3,
            "the set b is not created",
        ),
        (format!("{created}add a 10.0.0.x\n"), 2, "`10.0.0.x`"),
        (format!("{created}add a 2001:db8::1\n"), 2, "`2001:db8::1`"),
        (
            format!("{created}add a 10.0.0.1 nomatch\n"),
            2,
            "never `nomatch`",
        ),
        (
            format!("{created}add a 10.0.0.1 timeout\n"),
            2,
            "has no value",
        ),
        (format!("{created}{created}"), 2, "created twice"),
        (format!("{created}add a 10.0.0.1"), 2, "may be cut"),
        (
            format!("{created}flush a b\n"),
            2,
            "no line of `ipset save`",
        ),
        (
            "create l list:set size 8\nadd l a\n".to_owned(),
            2,
            "the set a is not created",
        ),
        (
            "create p hash:ip,port family inet\nadd p 10.0.0.1,tcp:99999\n".to_owned(),
            2,
            "no port",
        ),
    ] {
        let ran = imported(&folder, &[], &text, &["-o", out.to_str().unwrap()]);
        assert_eq!(
            (ran.code, out.exists()),
            (Some(1), false),
            "{text}{}",
            ran.stderr
        );
        let place = format!("sets, line {line}: ");
        assert!(
            ran.stderr.contains(&place) && ran.stderr.contains(why),
            "{text}{}",
            ran.stderr
        );
    }
    let checked = run(&["check", &folder.file("sets.sk", SETS)]);
    let is_told = checked.stderr.contains("E0120") && checked.stderr.contains("--ipset");
    assert!(checked.code == Some(1) && is_told, "{}", checked.stderr);
    let over = imported(
        &folder,
        &[],
        SETS,
        &["-o", folder.0.join("sets").to_str().unwrap()],
    );
    assert_eq!(over.code, Some(64), "{}", over.stderr);
    assert!(
        fs::read_to_string(folder.0.join("sets"))
            .unwrap()
            .starts_with("create office")
    );
}
