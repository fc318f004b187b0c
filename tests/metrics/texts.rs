//! The numbers are those of what was sent, and go on over an apply.

use sockc_runtime::lab::FRONT;

use super::scene::{Samples, Scene, root, run};

const POLICY: &str = "\
default in allow
live set banned max 100
socket proxy = tcp listen 127.0.0.1:1234
web: drop udp to port 7001
drop udp to port 7002
count udp to port 7003
audited: audit drop udp to port 7004
listed: drop from @banned
redirect tcp 127.0.0.9:80 to sock proxy
";

const PACKETS: &str = "sockc_rule_packets_total";
const BYTES: &str = "sockc_rule_bytes_total";
const OTHERS: &str = "sockc_other_rules_packets_total";

#[test]
fn numbers_are_those_of_what_was_sent() {
    if !root() {
        return;
    }
    let scene = Scene::new("sent");
    let none = scene.samples(&[]);
    assert_eq!(none.get("sockc_policy_info", &["policy=\"\""]), 0.0);
    assert_eq!(none.get("sockc_up", &[]), 1.0);
    assert_eq!(none.get("sockc_faults", &[]), 0.0);
    assert_eq!(none.find("sockc_policy_rules", &[]), None);

    scene.apply(POLICY);
    scene.done(&["set", "add", "banned", "192.0.2.9", "192.0.2.10"]);
    for (port, count) in [(7001, 7), (7002, 5), (7003, 3), (7004, 2)] {
        scene.send(port, count);
    }
    let now = scene.samples(&[]);
    assert_eq!(now.get("sockc_policy_info", &["policy=\"edge\""]), 1.0);
    assert_eq!(now.get("sockc_policy_rules", &[]), 6.0);
    assert!(now.get("sockc_policy_applied_timestamp_seconds", &[]) > 1.6e9);
    let web = [
        "rule=\"web\"",
        "verdict=\"drop\"",
        "audit=\"false\"",
        "direction=\"in\"",
    ];
    assert_eq!(now.get(PACKETS, &web), 7.0);
    assert_eq!(now.get(BYTES, &web), 7.0 * 29.0);
    assert_eq!(
        now.get(PACKETS, &["rule=\"audited\"", "audit=\"true\""]),
        2.0
    );
    assert_eq!(now.get(PACKETS, &["rule=\"listed\""]), 0.0);
    assert_eq!(now.get(OTHERS, &["verdict=\"drop\""]), 5.0);
    assert_eq!(now.get(OTHERS, &["verdict=\"count\""]), 3.0);
    assert_eq!(
        now.get("sockc_rule_info", &["rule=\"web\"", "line=\"4\""]),
        1.0
    );
    assert_eq!(now.get("sockc_set_elements", &["set=\"banned\""]), 2.0);
    assert_eq!(now.get("sockc_set_capacity", &["set=\"banned\""]), 100.0);
    assert_eq!(now.get("sockc_socket_present", &["socket=\"proxy\""]), 0.0);
    assert_eq!(now.get("sockc_drift", &[]), 0.0);
    assert_eq!(now.get("sockc_hook_attached", &["target=\"front\""]), 1.0);
    let listener = || std::net::TcpListener::bind("127.0.0.1:1234").unwrap();
    let listener = scene.lab.server.run(listener).unwrap();
    let connect = || std::net::TcpStream::connect("127.0.0.9:80").is_ok();
    assert!(scene.lab.server.run(connect).unwrap());
    let now = scene.samples(&[]);
    let proxy = ["socket=\"proxy\"", "family=\"ipv4\"", "protocol=\"tcp\""];
    assert_eq!(now.get("sockc_socket_present", &proxy), 1.0);
    assert_eq!(now.get("sockc_redirect_lookups_total", &proxy), 1.0);
    assert_eq!(now.get("sockc_redirect_given_total", &proxy), 1.0);
    drop(listener);

    // The same as `counters` says, by which rules without a label have their own.
    let all = scene.samples(&["--all-rules"]);
    let text = "rule=\"drop udp to port 7002\"";
    assert_eq!(all.get(PACKETS, &[text]), 5.0);
    let json: serde_json::Value =
        serde_json::from_str(&scene.done(&["metrics", "--json"])).unwrap();
    assert_eq!(json["format"], "sockc.metrics/1");
    let families = json["metrics"].as_array().unwrap();
    let packets = families.iter().find(|one| one["name"] == PACKETS).unwrap();
    let samples = packets["samples"].as_array().unwrap();
    let web = samples
        .iter()
        .find(|one| one["labels"]["rule"] == "web")
        .unwrap();
    assert_eq!(
        (&packets["kind"], &web["value"]),
        (&"counter".into(), &7.into())
    );
}

/// Whatever becomes of rules without a label, their sum goes on.
#[test]
fn totals_never_fall_over_an_apply() {
    if !root() {
        return;
    }
    let scene = Scene::new("fall");
    scene.apply(POLICY);
    for (port, count) in [(7001, 7), (7002, 5), (7003, 3), (7004, 2), (7005, 4)] {
        scene.send(port, count);
    }
    let before = scene.samples(&[]);
    let drops = |now: &Samples| now.get(OTHERS, &["verdict=\"drop\""]);
    assert_eq!(drops(&before), 5.0);
    // Those that were only counted went on to the default; the kernel's own packets may have come to it too.
    let default = ["direction=\"in\""];
    assert!(before.get("sockc_default_packets_total", &default) >= 9.0);
    // One goes, one is written otherwise, the default too, and lines move.
    let other = POLICY
        .replace("drop udp to port 7002\n", "")
        .replace("count udp to port 7003", "count udp to port { 7003, 7009 }")
        .replace("default in allow", "# A line.\ndefault in allow at tc");
    scene.apply(&other);
    let after = scene.samples(&[]);
    assert_eq!(after.fallen(&before), [""; 0]);
    assert_eq!(drops(&after), 5.0);
    assert_eq!(after.get(OTHERS, &["verdict=\"count\""]), 3.0);
    let gone_on = after.get("sockc_default_packets_total", &default);
    assert!(gone_on >= before.get("sockc_default_packets_total", &default));
    assert_eq!(
        after.get("sockc_rule_info", &["rule=\"web\"", "line=\"5\""]),
        1.0
    );
    // It comes again, and counts from nothing on; the sum has both. What is gone stays through a third apply.
    scene.apply(POLICY);
    scene.send(7002, 2);
    let again = scene.samples(&["--all-rules"]);
    assert_eq!(drops(&again), 7.0);
    assert_eq!(again.get(PACKETS, &["rule=\"drop udp to port 7002\""]), 2.0);
    assert_eq!(again.fallen(&after), [""; 0]);
    // What is compiled without counters has the totals; they stand still.
    let path = scene.folder.file("edge.sk", POLICY);
    scene.done(&[
        "apply",
        &path,
        "--interface",
        FRONT,
        "--yes",
        "--no-counters",
    ]);
    scene.send(7001, 1);
    let still = scene.samples(&[]);
    assert_eq!(still.get("sockc_policy_counted", &[]), 0.0);
    assert_eq!(
        (drops(&still), still.get(PACKETS, &["rule=\"web\""])),
        (7.0, 7.0)
    );
    assert_eq!(still.fallen(&again), [""; 0]);
    scene.apply(POLICY);
    scene.send(7001, 1);
    let on = scene.samples(&[]);
    assert_eq!((drops(&on), on.get(PACKETS, &["rule=\"web\""])), (7.0, 8.0));
}

/// Where another command is at work for too long, what does not depend on it is told.
#[test]
fn another_command_hides_only_what_it_may_change() {
    if !root() {
        return;
    }
    let scene = Scene::new("busy");
    scene.apply(POLICY);
    let ran = scene.lab.server.run(|| {
        let folders = std::fs::read_dir("/sys/fs/bpf/sockc").unwrap();
        let folder = folders.map(|one| one.unwrap().path()).next().unwrap();
        let lock = std::fs::File::open(folder).unwrap();
        lock.lock().unwrap();
        run(&["metrics"])
    });
    let ran = ran.unwrap();
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let now = Samples::of(&ran.stdout);
    assert_eq!(now.get("sockc_up", &[]), 0.0);
    assert_eq!(now.get("sockc_hook_attached", &["target=\"front\""]), 1.0);
    assert_eq!(now.get("sockc_policy_info", &["policy=\"edge\""]), 1.0);
    assert_eq!(now.find("sockc_set_elements", &[]), None);
    assert_eq!(now.find(PACKETS, &["rule=\"web\""]), None);
}

#[test]
fn what_others_changed_is_a_number_and_namespaces_have_labels() {
    if !root() {
        return;
    }
    let scene = Scene::new("drift");
    scene.apply(POLICY);
    let netns = format!("/proc/{}/ns/net", std::process::id());
    // The server's namespace by the path of a process in it.
    let both = scene.lab.server.run(|| {
        let own = "/proc/thread-self/ns/net";
        assert!(std::path::Path::new(own).exists());
        run(&["metrics", "--netns", "/proc/self/ns/net", "--netns", &netns])
    });
    let both = both.unwrap();
    assert_eq!(both.code, Some(0), "{}", both.stderr);
    let samples = Samples::of(&both.stdout);
    assert_eq!(
        samples.get("sockc_policy_info", &["netns=\"/proc/self/ns/net\""]),
        1.0
    );
    let other = format!("netns=\"{netns}\"");
    assert_eq!(samples.get("sockc_policy_info", &[&other]), 0.0);
    // A namespace that is not there is no reason to say nothing of the other.
    let missing = [
        "metrics",
        "--netns",
        "sockc-nowhere",
        "--netns",
        "/proc/self/ns/net",
    ];
    let half = scene.ran(&missing);
    assert_eq!(half.code, Some(3), "{}", half.stderr);
    let samples = Samples::of(&half.stdout);
    assert_eq!(samples.get("sockc_up", &["netns=\"sockc-nowhere\""]), 0.0);
    assert_eq!(
        samples.get("sockc_up", &["netns=\"/proc/self/ns/net\""]),
        1.0
    );

    let link = scene.lab.server.run(|| {
        let folders = std::fs::read_dir("/sys/fs/bpf/sockc").unwrap();
        let folder = folders.map(|one| one.unwrap().path()).next().unwrap();
        let mut links = std::fs::read_dir(folder.join("link")).unwrap();
        let link = links.next().unwrap().unwrap().path();
        std::fs::remove_file(&link).unwrap();
        link
    });
    let now = scene.ran(&["metrics"]);
    assert_eq!(now.code, Some(0), "{link:?} {}", now.stderr);
    let samples = Samples::of(&now.stdout);
    assert!(samples.get("sockc_drift", &[]) >= 1.0);
    let faults = scene.ran(&["status"]);
    assert_eq!(faults.code, Some(5));
    let told = faults
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    assert_eq!(
        samples.get("sockc_faults", &[]),
        told.count() as f64,
        "{}",
        faults.stderr
    );
}

/// Time of programs is there only while the kernel takes it.
#[test]
fn time_of_programs_is_told_while_it_is_taken() {
    if !root() {
        return;
    }
    let switch = "/proc/sys/kernel/bpf_stats_enabled";
    let is_on = || std::fs::read_to_string(switch).is_ok_and(|text| text.trim() == "1");
    let scene = Scene::new("time");
    scene.apply(POLICY);
    let now = scene.samples(&[]);
    let runs = now.find("sockc_program_runs_total", &["target=\"front\""]);
    assert_eq!(runs.is_some(), is_on());
}
