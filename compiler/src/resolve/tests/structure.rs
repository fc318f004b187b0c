//! Sets that are asked as one question, zones, blocks, maps, namespaces and expect lines.

use super::*;
use crate::header_field::HeaderField;
use crate::policy::{
    Addresses, ClassId, DefaultVerdict, ExpectedVerdict, FieldTest, LiveEntry, RuleId, SetId,
    SetKind, Shortcut,
};
use crate::protocol::IpProtocol;
use crate::values::codes as values;

/// A list of so many addresses, none next to another.
fn addresses(count: u32) -> String {
    (0..count)
        .map(|number| format!("10.{}.{}.1\n", number >> 8, number & 255))
        .collect()
}

fn with_list(text: &str, count: u32) -> (Option<Policy>, Vec<Diagnostic>, SourceMap) {
    let mut files = Texts::default().with("list.txt", addresses(count));
    resolved_beside("test.sk", text, &mut files)
}

fn from_of(rule: &Rule) -> &Addresses {
    match &rule.matches.from {
        Some(Side::Endpoints { endpoints, .. }) => &endpoints[0].addresses,
        other => panic!("{other:?}"),
    }
}

fn first_code(text: &str) -> &'static str {
    complaint(text).code.0
}

#[test]
fn a_set_of_more_than_64_ranges_is_one_question_and_equal_contents_share_it() {
    let text = "default in drop\n\
        set a = file \"list.txt\"\nset b = @a\nset c = @a - { 10.0.0.1 }\nset unused = @a + { 11.0.0.1 }\n\
        allow from @a\nallow from @b, 192.0.2.1\nallow from @c\nallow to port 1";
    let (policy, found, _) = with_list(text, 65);
    assert!(found.is_empty(), "{found:?}");
    let policy = policy.unwrap();
    let set = SetId::from_u32(0);
    let names: Vec<&str> = policy.sets.values().map(|set| set.name.as_str()).collect();
    // `c` has 64 ranges, and no rule names `unused`.
    assert_eq!(names, ["a"]);
    let rules: Vec<&Rule> = policy.rules.values().collect();
    assert_eq!(from_of(rules[0]), &Addresses::Set(set));
    assert_eq!(from_of(rules[1]), &Addresses::Set(set));
    assert!(from_of(rules[2]).ranges().is_some());
    let SetKind::Constant(addresses) = &policy.sets[set].kind else {
        panic!("not constant");
    };
    assert_eq!(addresses.v4.ranges().len(), 65);
}

#[test]
fn a_list_is_told_of_once_however_many_lines_overlap() {
    let mut files = Texts::default().with("list.txt", "10.0.0.0/8\n10.0.0.1\n10.0.0.2\n");
    let text = "default in drop set a = file \"list.txt\" max 3 allow from @a";
    let (policy, found, _) = resolved_beside("test.sk", text, &mut files);
    assert!(policy.is_some());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, codes::ELEMENTS_OVERLAP);
    assert!(found[0].message.starts_with("2 elements"));
}

#[test]
fn a_live_set_starts_with_the_lines_of_a_file_as_they_are_written() {
    let lines = "10.0.0.0/8\n10.0.0.1 # inside\n10.0.0.0-10.0.0.1\n2001:db8::/32\n";
    let start = |text: &str, max: &str| {
        let mut files = Texts::default().with("feed.txt", text);
        let text =
            format!("default in allow live set feed max {max} = file \"feed.txt\" drop from @feed");
        let (policy, found, _) = resolved_beside("test.sk", &text, &mut files);
        let codes: Vec<&str> = found.iter().map(|one| one.code.0).collect();
        let started = policy.map(|policy| match &policy.sets[SetId::from_u32(0)].kind {
            SetKind::Live { start, .. } => start
                .iter()
                .map(|(address, length)| format!("{address}/{length}"))
                .collect::<Vec<_>>(),
            SetKind::Constant(_) => panic!("not live"),
        });
        (started.unwrap_or_default(), codes)
    };
    let (elements, found) = start(lines, "9");
    let wanted = ["10.0.0.0/8", "10.0.0.0/31", "10.0.0.1/32", "2001:db8::/32"];
    assert_eq!(
        (elements.as_slice(), found.as_slice()),
        (&wanted.map(str::to_owned)[..], &[][..])
    );
    assert_eq!(start(lines, "3").1, [codes::START_TOO_LONG.0]);
    assert_eq!(start("10.0.0.0-10.0.0.2\n", "3").1, [codes::LIVE_RANGE.0]);
}

#[test]
fn live_sets_start_sorted_and_endpoints_refer_to_them() {
    let policy = policy(
        "default in drop\n\
         live set vips max 10 expires 10m = { 3.3.3.0/24, 2001:db8::1, 1.1.1.1, 1.1.1.1 }\n\
         allow from @vips\n",
    );
    let (id, set) = policy.sets.iter().next().unwrap();
    let SetKind::Live {
        max,
        expires,
        start,
    } = &set.kind
    else {
        panic!("not live");
    };
    assert_eq!((*max, *expires), (10, Some(600_000)));
    let start: Vec<String> = start
        .iter()
        .map(|(address, length)| format!("{address}/{length}"))
        .collect();
    assert_eq!(start, ["1.1.1.1/32", "3.3.3.0/24", "2001:db8::1/128"]);
    let rule = policy.rules.values().next().unwrap();
    assert_eq!(from_of(rule), &Addresses::Set(id));
}

#[test]
fn self_is_one_set_however_often_it_is_named_and_a_block_has_its_own() {
    let text = "default in drop\n\
         allow from self, 192.0.2.1 to not self\n\
         expect drop from any to 192.0.2.9 with self { }\n\
         for netns \"blue\" {\ndefault in drop\nallow to self\n}\n\
         for netns \"red\" {\ndefault in drop\nallow to port 1\n}\n";
    let policy = policy(text);
    let own: Vec<SetId> = policy.sets.keys().collect();
    let [id] = own[..] else {
        panic!("{own:?}");
    };
    assert!(policy.sets[id].is_own());
    assert_eq!(
        (policy.sets[id].place.line, policy.sets[id].words()),
        (2, "self".to_owned())
    );
    let rule = policy.rules.values().next().unwrap();
    assert_eq!(from_of(rule), &Addresses::Set(id));
    let [blue, red] = &policy.netns[..] else {
        panic!("two blocks");
    };
    assert_eq!(blue.policy.live_sets(), ["self"]);
    assert!(blue.policy.around.is_empty());
    assert!(red.policy.live_sets().is_empty());
}

/// A line may speak of it where no rule does, as a guard's may.
#[test]
fn self_in_an_expect_line_alone_is_known() {
    for line in [
        "expect drop from any to self",
        "expect drop from self to any",
        "expect drop from any to any with self { 192.0.2.1 }",
        "expect drop from any to any with self",
    ] {
        let policy = policy(&format!("default in drop\n{line}\n"));
        assert_eq!(policy.live_sets(), ["self"], "{line}");
    }
}

#[test]
fn what_changes_while_running_is_no_part_of_what_does_not() {
    for text in [
        "set a = { self }",
        "set a = { 10.0.0.1 } - { self, 10.0.0.2 }",
        "live set a max 9 = { self }",
    ] {
        assert_eq!(first_code(text), codes::LIVE_ARITHMETIC.0, "{text}");
    }
    let map = "socket a = registered\nmap m = { tcp self:80 -> sock a }";
    let found = complaint(map);
    assert_eq!(found.code.0, codes::MAP_ENTRY.0);
    assert_eq!(found.primary.text, "the addresses of this machine");
}

#[test]
fn a_range_in_a_live_set_is_answered_with_its_prefixes() {
    let found = complaint("live set a max 9 = { 10.0.0.1-10.0.0.4 }");
    assert_eq!(
        found.help.as_deref(),
        Some("write its prefixes: 10.0.0.1/32, 10.0.0.2/31, 10.0.0.4/32")
    );
}

/// The classes of each rule.
fn on(policy: &Policy) -> Vec<Option<Vec<u32>>> {
    let numbers = |classes: &Vec<ClassId>| classes.iter().map(|class| class.as_u32()).collect();
    let rules = policy.rules.values();
    rules
        .map(|rule| rule.matches.on.as_ref().map(numbers))
        .collect()
}

#[test]
fn classes_are_zones_times_the_patterns_that_a_name_can_match() {
    let policy = policy(
        "zone wan = eth0\nzone lan = eth1, br-*\ndefault in drop\n\
         allow on zone wan\nallow on interface br-a\nallow on interface *0\nallow\n\
         for zone lan { allow tcp  allow udp }\nfor interface br-a { allow sctp }\n",
    );
    let classes: Vec<(Option<&str>, Vec<&str>)> = policy
        .classes
        .values()
        .map(|class| {
            let zone = class.zone.map(|zone| policy.zones[zone].name.as_str());
            (zone, class.patterns.iter().map(String::as_str).collect())
        })
        .collect();
    assert_eq!(
        classes,
        [
            (None, vec![]),
            (None, vec!["*0"]),
            // eth0 ends in 0, and there is no other name in wan.
            (Some("wan"), vec!["*0"]),
            (Some("lan"), vec![]),
            (Some("lan"), vec!["br-a"]),
            (Some("lan"), vec!["*0"]),
        ]
    );
    let lan = || Some(vec![3, 4, 5]);
    assert_eq!(
        on(&policy),
        [
            Some(vec![2]),
            Some(vec![4]),
            Some(vec![1, 2, 5]),
            None,
            lan(),
            lan(),
            Some(vec![4]),
        ]
    );
    assert_eq!(policy.interfaces, ["eth0", "eth1", "br-*"]);
}

#[test]
fn interfaces_that_are_written_count_alone() {
    let policy = policy("interfaces eth7\nzone wan = eth0\n");
    assert_eq!(policy.interfaces, ["eth7"]);
}

#[test]
fn what_no_interface_can_be_called_is_warned_of() {
    let text = "default in drop allow on interface abcdefghijklmnopqrstuvwxyz";
    assert_eq!(first_code(text), "W0502");
}

#[test]
fn an_unknown_zone_is_answered_with_the_nearest() {
    for text in [
        "zone wan = eth0 default in drop allow on zone wna",
        "zone wan = eth0 default in drop for zone wna { allow tcp }",
        "zone wan = eth0 default in drop expect drop from any to any on zone wna",
    ] {
        let found = complaint(text);
        assert_eq!(found.code, values::UNKNOWN_NAME, "{text}");
        assert!(found.help.unwrap().starts_with("write `wan`"), "{text}");
    }
}

#[test]
fn zones_may_share_patterns_only_as_far_as_no_name_is_certainly_in_both() {
    policy("zone a = eth*\nzone b = *0\n");
    policy("zone a = eth0, eth0\n");
    for text in [
        "zone a = eth0 zone b = eth0",
        "zone a = eth* zone b = eth0",
        "zone a = eth0 zone b = eth*",
        "zone a = eth* zone b = eth*",
    ] {
        assert_eq!(first_code(text), "E0247", "{text}");
    }
}

/// Of a rule of a map: prefix length, ports, protocols, socket.
type MapRule = (u32, (u16, u16), Vec<u8>, u32);

fn map_rules(policy: &Policy) -> Vec<MapRule> {
    let rules = policy.rules.values();
    rules
        .map(|rule| {
            let Some(Side::Endpoints { endpoints, .. }) = &rule.matches.to else {
                panic!("no destination");
            };
            let (low, high) = endpoints[0].addresses.ranges().unwrap().v4.ranges()[0];
            let protocols = rule.matches.protocols.iter();
            let Action::Redirect(socket) = rule.action else {
                panic!("no redirect");
            };
            (
                32 - (high - low).trailing_ones(),
                endpoints[0].ports.as_ref().unwrap().ranges()[0],
                protocols.map(|one| one.number.0).collect(),
                socket.as_u32(),
            )
        })
        .collect()
}

#[test]
fn a_map_becomes_rules_the_most_specific_first_that_count_as_one() {
    let policy = policy(
        "socket both = registered\nsocket tcp-only = tcp listen 127.0.0.1:1\n\
         map dns = {\n\
           1.1.1.0/24:* -> sock both,\n\
           1.1.1.0/24:53 -> sock both,\n\
           1.1.1.0/24:50-60 -> sock tcp-only,\n\
           udp 1.1.1.0/24:53 -> sock both,\n\
           1.1.0.0/16:53 -> sock tcp-only,\n\
           1.1.1.53:1-1000 -> sock both\n\
         }\n\
         count tcp\nredirect tcp, udp by @dns\nredirect tcp by @dns\n",
    );
    let rules: Vec<_> = policy.rules.iter().collect();
    let head = rules[1].0;
    let expanded: Vec<_> = rules
        .iter()
        .filter(|(_, rule)| rule.head == Some(head))
        .collect();
    assert_eq!(expanded.len(), 6);
    let mut only = policy.clone();
    only.rules = expanded.iter().map(|(_, rule)| (*rule).clone()).collect();
    assert_eq!(
        map_rules(&only),
        [
            (32, (1, 1000), vec![6, 17], 0),
            (24, (53, 53), vec![17], 0),
            (24, (53, 53), vec![6, 17], 0),
            (24, (50, 60), vec![6], 1),
            (24, (0, 65535), vec![6, 17], 0),
            (16, (53, 53), vec![6], 1),
        ]
    );
    // The entry for UDP has no part in a redirect of TCP.
    assert_eq!(rules.len(), 1 + 6 + 5);
    assert_eq!(rules[0].1.head, None);
}

#[test]
fn entries_that_share_packets_nest_or_are_refused() {
    let map = |entries: &str| format!("socket s = registered map m = {{ {entries} }}");
    for right in [
        "1.1.1.0/24:53 -> sock s, tcp 1.1.1.0/24:53 -> sock s",
        "tcp 1.1.1.0/24:1-10 -> sock s, udp 1.1.1.0/24:5-15 -> sock s",
        "1.1.1.0/24:1-10 -> sock s, 1.1.1.0/25:5-15 -> sock s",
        "1.1.1.0/24:1-10 -> sock s, 1.1.1.0/24:11-15 -> sock s, 1.1.1.0/24:* -> sock s",
        "any:53 -> sock s, [::/0]:54 -> sock s",
        "1.1.1.1:{53, 53} -> sock s",
    ] {
        let (policy, found, _) = resolved(&map(right));
        assert!(policy.is_some(), "{right}: {found:?}");
    }
    for (wrong, code) in [
        (
            "1.1.1.0/24:53 -> sock s, 1.1.1.0/24:domain -> sock s",
            "E0251",
        ),
        ("any:53 -> sock s, 0.0.0.0/0:53 -> sock s", "E0251"),
        ("1.1.1.1:* -> sock s, 1.1.1.1:0-65535 -> sock s", "E0251"),
        ("1.1.1.1:1-10 -> sock s, 1.1.1.1:5-15 -> sock s", "E0252"),
        (
            "1.1.1.1:1-10 -> sock s, tcp 1.1.1.1:5-15 -> sock s",
            "E0252",
        ),
        (
            "1.1.1.1:10-20 -> sock s, 1.1.1.1:* -> sock s, 1.1.1.1:5-10 -> sock s",
            "E0252",
        ),
        ("icmp 1.1.1.1:1 -> sock s", "E0303"),
        ("1.1.1.1/24:1 -> sock s", "E0203"),
        ("1.1.1.1:1 -> sock t", "E0201"),
    ] {
        assert_eq!(first_code(&map(wrong)), code, "{wrong}");
    }
}

#[test]
fn an_audited_map_counts_a_packet_once() {
    let policy = policy(
        "socket s = registered\nmap m = { 1.1.1.0/24:53 -> sock s, tcp 1.1.0.0/16:53 -> sock s }\n\
         audit redirect by @m\n",
    );
    let rules: Vec<&Rule> = policy.rules.values().collect();
    let shape: Vec<_> = rules
        .iter()
        .map(|rule| {
            let Some(Side::Endpoints { endpoints, .. }) = &rule.matches.to else {
                panic!("no destination");
            };
            (
                rule.action,
                rule.matches.protocols[0].number,
                endpoints.len(),
            )
        })
        .collect();
    assert_eq!(
        shape,
        [
            (Action::Count, IpProtocol::TCP, 2),
            (Action::Count, IpProtocol::UDP, 1)
        ]
    );
}

#[test]
fn a_live_map_asks_for_every_socket() {
    let policy = policy(
        "live map tenants max 10 = { tcp 198.51.100.7:* -> sock b, 198.51.100.0/24:80 -> sock a }\n\
         socket a = registered\nsocket b = tcp listen 127.0.0.1:1\nredirect by @tenants\n",
    );
    let (map, live) = policy.live_maps.iter().next().unwrap();
    let start: Vec<LiveEntry> = live.start.clone();
    assert!(start.is_sorted() && start.len() == 2);
    let rules: Vec<_> = policy.rules.values().collect();
    let sockets: Vec<_> = policy.sockets.keys().collect();
    assert_eq!(rules.len(), 2);
    for (rule, socket) in rules.iter().zip(sockets) {
        assert_eq!(rule.action, Action::Redirect(socket));
        let condition = Condition::Entry { map, socket };
        assert_eq!(rule.matches.conditions, [condition]);
        assert_eq!(rule.head.unwrap().as_u32(), 0);
        assert_eq!(rule.matches.to, None);
    }
    assert_eq!(rules[1].matches.protocols.len(), 1);
    assert_eq!(first_code("live map m max 9 redirect tcp by @m"), "E0302");
}

#[test]
fn a_namespace_has_a_policy_of_its_own_that_knows_outer_names() {
    let policy = policy(
        "policy edge\nzone wan = eth0\nzone far = eth9\ninterfaces eth0\ndefault in drop\n\
         set office = { 10.20.0.0/16 }\nlive set banned max 5\nlive set other max 5\n\
         socket s = tcp listen 127.0.0.1:1\nmap m = { 1.1.1.1:1 -> sock s }\n\
         a: allow on zone wan\n\
         for netns \"blue\" {\n\
           default in reject\n\
           a: allow from @office, @banned on zone far\n\
           redirect by @m\n\
           for interface veth0 { allow tcp }\n\
           expect reject udp from any to any:1\n\
         }\n\
         for netns \"green\" { default out drop }\n\
         for netns \"blue\" { allow udp }\n",
    );
    assert_eq!(policy.rules.len(), 1);
    assert!(policy.expects.is_empty());
    let names: Vec<&str> = policy.netns.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["blue", "green"]);
    let blue = &policy.netns[0].policy;
    assert_eq!((blue.name.as_str(), blue.rules.len()), ("edge", 4));
    assert_eq!(blue.defaults[0].verdict, DefaultVerdict::Reject);
    let zones: Vec<&str> = blue.zones.values().map(|zone| zone.name.as_str()).collect();
    // Only the zone that it names is in it, so `eth0` here is no interface of it.
    assert_eq!(zones, ["far"]);
    assert_eq!(blue.interfaces, ["eth9"]);
    let sets: Vec<&str> = blue.sets.values().map(|set| set.name.as_str()).collect();
    assert_eq!(sets, ["banned"]);
    assert_eq!((blue.sockets.len(), blue.expects.len()), (1, 1));
    assert!(policy.netns[1].policy.interfaces.is_empty());
}

#[test]
fn a_name_inside_a_namespace_is_declared_once_too() {
    for (text, code) in [
        (
            "set a = { 10.0.0.1 } for netns \"n\" { set a = { 10.0.0.2 } }",
            "E0202",
        ),
        ("zone a = eth0 for netns \"n\" { zone a = eth1 }", "E0202"),
        ("for netns \"n\" { allow tcp }", "E0216"),
        ("for netns \"n\" { sockc 1 }", "E0218"),
        ("for netns \"a/b\" { default in drop }", "E0328"),
        (
            "for netns \"n\" { set a = { 10.0.0.1 } } default in drop allow from @a",
            "E0201",
        ),
    ] {
        assert_eq!(first_code(text), code, "{text}");
    }
    policy("for netns \"n\" { set a = { 10.0.0.1 } } for netns \"m\" { set a = { 10.0.0.1 } }");
}

#[test]
fn expect_lines_are_regions() {
    let policy = policy(
        "zone wan = eth0\ndefault in drop\ndefault send allow\ngroup g = cgroup \"/g\"\n\
         live set banned max 5\nsocket s = registered\n\
         expect drop udp from @banned to any:53 on zone wan with @banned { 1.2.3.4, 10.0.0.0/8 }, rate exceeded\n\
         expect redirect to sock s tcp from any to any:1 on interface eth7\n\
         expect allow tcp from any to any:2 with socket listening, in netns \"blue\", sock s absent\n\
         expect allow send tcp from group g to any with group g\n\
         expect drop from any to any with malformed\n\
         expect reject from any to any with no socket, ttl 3, length 500, dscp ef, mark 7, vlan 12, fragment\n",
    );
    let expects = &policy.expects;
    assert_eq!(expects[0].verdict, ExpectedVerdict::Drop);
    let region = &expects[0].region;
    let wan: Vec<u32> = region
        .matches
        .on
        .as_ref()
        .unwrap()
        .iter()
        .map(|one| one.as_u32())
        .collect();
    assert_eq!(wan, [1]);
    assert!(region.rate_exceeded == Some(true) && region.members[0].1.v4.ranges().len() == 2);
    // No rule tells eth7 from others.
    assert_eq!(
        expects[1].region.matches.on,
        Some(vec![Policy::plain_class()])
    );
    assert!(matches!(expects[1].verdict, ExpectedVerdict::RedirectTo(_)));
    assert!(matches!(
        expects[2].region.matches.conditions[..],
        [
            Condition::Socket {
                test: SocketState::Listening,
                netns: Some(_)
            },
            Condition::SockAbsent(_)
        ]
    ));
    assert_eq!(expects[3].region.direction, Direction::Send);
    assert!(expects[3].region.group.is_some());
    assert!(expects[4].region.malformed && expects[4].region.matches.from.is_none());
    let conditions = &expects[5].region.matches.conditions;
    assert_eq!(conditions.len(), 7);
    assert_eq!(
        conditions[2],
        Condition::Header {
            field: HeaderField::Length,
            test: FieldTest::exactly(500),
        }
    );
    assert_eq!(
        conditions[4],
        Condition::Header {
            field: HeaderField::Mark,
            test: FieldTest::Masked {
                wanted: 7,
                mask: u32::MAX.into(),
            },
        }
    );
}

#[test]
fn a_namespace_in_an_expect_line_is_that_of_the_socket_before_it() {
    let netns = |with: &str| -> Vec<bool> {
        let policy = policy(&format!(
            "default in drop expect drop from any to any with {with}"
        ));
        let conditions = policy.expects[0].region.matches.conditions.iter();
        conditions
            .map(|condition| match condition {
                Condition::No(inner) => matches!(**inner, Condition::Socket { netns: Some(_), .. }),
                other => matches!(other, Condition::Socket { netns: Some(_), .. }),
            })
            .collect()
    };
    assert_eq!(
        netns("no socket, no socket in netns \"web\""),
        [false, true]
    );
    assert_eq!(netns("socket listening, in netns \"web\""), [true]);
    assert_eq!(netns("in netns \"web\", socket listening"), [true]);
}

#[test]
fn an_unknown_map_is_called_one() {
    let text = "socket s = registered map dns = { 1.1.1.1:53 -> sock s } redirect by @dsn";
    let found = complaint(text);
    assert_eq!(found.message, "there is no map `dsn`");
    assert!(found.help.unwrap().starts_with("write `dns`"));
}

#[test]
fn the_essentials_resolve_without_a_word() {
    let policy = policy("default in drop\ninclude <essentials>\n");
    let labels: Vec<_> = policy
        .rules
        .values()
        .map(|rule| rule.label.clone())
        .collect();
    assert!(labels.len() > 5 && labels.iter().all(Option::is_some));
    assert!(policy.rules.values().all(|rule| rule.note.is_some()));
    assert_eq!(
        &*policy.rules.values().next().unwrap().place.file,
        "<essentials>"
    );
}

#[test]
fn the_version_stands_first_in_each_file() {
    let mut files = Texts::default()
        .with("a.sk", "sockc 1\ncount tcp")
        .with("b.sk", "count tcp\nsockc 1");
    let (policy, found, _) = resolved_beside("test.sk", "count udp\ninclude \"a.sk\"", &mut files);
    assert!(policy.is_some(), "{found:?}");
    let (_, found, _) = resolved_beside("test.sk", "include \"b.sk\"", &mut files);
    assert_eq!(found[0].code, codes::VERSION);
}

#[test]
fn what_processes_do_is_decided_outside_of_namespaces() {
    let group = "group g = cgroup \"/g\" default send allow default connect allow ";
    for inside in [
        "drop connect from group g to 10.0.0.1",
        "drop send tcp from group g to 10.0.0.1",
        "shortcut tcp within group g",
        "count connect",
        "default connect allow",
        "default send drop",
        "group h = cgroup \"/h\"",
        "expect allow connect to any",
        "expect allow send tcp from any to any with group g",
    ] {
        let found = complaint(&format!("{group} for netns \"n\" {{ {inside} }}"));
        assert_eq!(found.code, codes::PROCESS_INSIDE, "{inside}");
        if !inside.starts_with("group") && !inside.starts_with("default") {
            policy(&format!("{group} {inside}"));
        }
    }
}

/// What each of two groups writes to the other is a rule of its own, and both count as the line; one group is `within`.
#[test]
fn a_shortcut_between_groups_goes_both_ways() {
    let shortcuts = |text: &str| {
        let policy = policy(&format!(
            "group a = cgroup \"/a\" group b = cgroup \"/b\" {text}"
        ));
        let rules: Vec<Rule> = policy.rules.values().cloned().collect();
        assert!(rules.iter().all(|rule| rule.direction == Direction::Send));
        rules
    };
    let [a, b] = [0, 1].map(GroupId::from_u32);
    let between = shortcuts("shortcut tcp from group a to group b");
    let actions: Vec<_> = between.iter().map(|rule| rule.action).collect();
    let there = Shortcut { from: a, to: b };
    let both = [there, there.back()].map(Action::Shortcut);
    assert_eq!(actions, both);
    let heads: Vec<_> = between.iter().map(|rule| rule.head).collect();
    assert_eq!(heads, [Some(RuleId::from_u32(0)); 2]);
    let same = shortcuts("shortcut tcp from group b to group b");
    let within = shortcuts("shortcut tcp within group b");
    assert_eq!(same.len(), 1);
    assert_eq!(same[0].action, within[0].action);
    assert_eq!(same[0].matches, within[0].matches);
    let audited = shortcuts("audit shortcut tcp from group a to group b");
    let from: Vec<_> = audited.iter().map(|rule| &rule.matches.from).collect();
    assert_eq!(from, [&Some(Side::Group(a)), &Some(Side::Group(b))]);
    assert!(audited.iter().all(|rule| rule.action == Action::Count));
}

#[test]
fn both_ends_of_a_shortcut_are_groups() {
    let group = "group a = cgroup \"/a\" default send allow";
    for rule in [
        "shortcut tcp to group a",
        "shortcut tcp from 10.0.0.1 to group a",
        "shortcut tcp from group a",
        "shortcut tcp from group a to 10.0.0.1",
    ] {
        let found = complaint(&format!("{group} {rule}"));
        assert_eq!(found.code, codes::NO_TARGET, "{rule}");
    }
    for rule in [
        "shortcut tcp from group a to group z",
        "shortcut tcp from group z to group a",
    ] {
        let found = complaint(&format!("{group} {rule}"));
        assert_eq!(found.code, values::UNKNOWN_NAME, "{rule}");
    }
}

/// Of a sender that the kernel has not chosen yet, `any` is all that can be said; its negation still is one.
#[test]
fn a_call_has_no_sender() {
    let call = |from: &str| {
        let text = "group g = cgroup \"/g\" default connect allow drop connect tcp";
        complaint(&format!("{text} from {from}")).code
    };
    for from in [
        "192.0.2.1",
        "any:443",
        "port 443",
        "not any:443",
        "any, any:443",
    ] {
        assert_eq!(call(from), codes::SEND_CONDITION, "{from}");
    }
    assert_eq!(call("not any"), values::MATCHES_NOTHING);
}

/// A prefix of IPv4 that is too long is not one of IPv4 in IPv6.
#[test]
fn a_process_names_no_prefix_that_is_too_long() {
    let group = "group g = cgroup \"/g\" default send allow default connect allow";
    for rule in ["drop connect to 0.0.0.0/100", "drop send from 0.0.0.0/100"] {
        let found = complaint(&format!("{group} {rule}"));
        assert_eq!(found.code, values::PREFIX_TOO_LONG, "{rule}");
    }
}

#[test]
fn a_mapped_address_in_what_processes_do_is_that_of_ipv4() {
    let group = "group g = cgroup \"/g\" default send allow default connect allow ";
    for (rule, v4) in [
        ("drop connect to ::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("drop connect to [::ffff:10.0.0.9]:80", "10.0.0.9:80"),
        (
            "drop connect to not ::ffff:10.0.0.1-::ffff:10.0.0.9",
            "not 10.0.0.1-10.0.0.9",
        ),
        (
            "drop connect to 0.0.0.0, ::, ::ffff:0:0/96",
            "127.0.0.1, ::1, 0.0.0.0/0",
        ),
        ("drop send tcp from ::ffff:10.0.0.9", "10.0.0.9"),
    ] {
        let (verb, _) = rule
            .split_once(if rule.contains(" to ") {
                "to "
            } else {
                "from "
            })
            .unwrap();
        let word = if rule.contains(" to ") { "to" } else { "from" };
        let one = policy(&format!("{group}{rule}"));
        let other = policy(&format!("{group}{verb}{word} {v4}"));
        let matches = |policy: &Policy| policy.rules.values().next().unwrap().matches.clone();
        assert_eq!(matches(&one), matches(&other), "{rule}");
    }
}
