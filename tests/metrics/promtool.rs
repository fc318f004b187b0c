//! What Prometheus' own tool says of the numbers and of the rules in `contrib/`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use sockc_testing::Folder;

use super::scene::{Scene, root, skipped};

fn promtool() -> bool {
    let found = Command::new("promtool").arg("--version").output();
    skipped(found.is_ok(), "promtool, of the package prometheus")
}

#[test]
fn the_alerts_are_rules() {
    if !promtool() {
        return;
    }
    let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/prometheus/alerts.yml");
    let mut command = Command::new("promtool");
    let checked = command
        .args(["check", "rules"])
        .arg(alerts)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn both_forms_are_read_and_nothing_is_found_in_them() {
    if !root() || !promtool() {
        return;
    }
    let scene = Scene::new("promtool");
    let check = |text: &str| {
        let mut promtool = Command::new("promtool");
        let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped());
        let mut promtool = promtool.stderr(Stdio::piped()).spawn().unwrap();
        let mut input = promtool.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        let checked = promtool.wait_with_output().unwrap();
        assert!(checked.status.success(), "{checked:?}\n{text}");
        assert_eq!(String::from_utf8(checked.stderr).unwrap(), "", "{text}");
    };
    check(&scene.done(&["metrics", "--format", "prometheus"]));
    // Texts with quotes, and the same text again.
    scene.apply(
        "default in drop\nlive set banned max 9\nlive map tenants max 5 = { tcp 198.51.100.0/28:443 -> sock proxy }\n\
         socket proxy = tcp listen 127.0.0.1:1234\nredirect by @tenants\n\
         logged: drop udp to port 7001 log \"a b\"\ndrop udp to port 7003 log \"c d\"\ndrop udp to port 7002\ndrop udp to port 7002\ndrop from @banned\n",
    );
    check(&scene.done(&["metrics", "--format", "prometheus", "--all-rules"]));
    // The reader of the newer form wants a time with each sample.
    let text = scene.done(&["metrics", "--all-rules"]);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let timed = text.lines().map(|line| match line.starts_with('#') {
        true => format!("{line}\n"),
        false => format!("{line} 1700000000\n"),
    });
    let folder = Folder::new("blocks");
    let file = folder.file("text", &timed.collect::<String>());
    let mut promtool = Command::new("promtool");
    promtool.args(["tsdb", "create-blocks-from", "openmetrics", &file]);
    let read = promtool.arg(folder.0.join("blocks")).output().unwrap();
    assert!(read.status.success(), "{read:?}");
}
