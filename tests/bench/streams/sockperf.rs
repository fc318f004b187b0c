//! The round trip as `sockperf` measures it, with a server and a client of its own.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use sockc_runtime::lab::Space;

use crate::stage::{SERVER, Stage};
use crate::trip::{CPUS, Cpus, SHORTCUT, head, line};
use crate::turns::compare;

const PORT: &str = "11111";
const SECONDS: &str = "2";
/// How long the server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints the table; gives how many ratios are too large.
pub(crate) fn measure(stage: &Stage, turns: usize) -> usize {
    let there = Command::new("sockperf").arg("--version").output();
    if there.is_err() {
        println!("\nsockperf is not installed (on Debian: the package `sockperf`)");
        return 0;
    }
    stage.apply(SHORTCUT);
    head("sockperf, half a round trip");
    let mut slow = 0;
    for cpus in &CPUS {
        let trip = |grouped| move || trips(stage, cpus, grouped);
        let compared = compare(turns.max(3), trip(false), trip(true));
        slow += line(
            &format!("14 bytes, {}", cpus.name),
            compared,
            Some(cpus.most),
        );
    }
    slow
}

/// What sockperf says of one run.
fn trips(stage: &Stage, cpus: &Cpus, grouped: bool) -> Duration {
    let [server, client] = [&stage.lab.server, &stage.lab.client];
    let arguments = ["sockperf", "server", "--tcp", "-i", SERVER, "-p", PORT];
    let mut serving = begin(stage, server, cpus.server, grouped, &arguments);
    let ended = Instant::now() + PATIENCE;
    let said = loop {
        let arguments = [
            "sockperf",
            "ping-pong",
            "--tcp",
            "-i",
            SERVER,
            "-p",
            PORT,
            "-t",
            SECONDS,
            "-m",
            "14",
        ];
        let output = begin(stage, client, cpus.client, grouped, &arguments)
            .wait_with_output()
            .unwrap();
        match median_of(&output) {
            Some(time) => break time,
            None => assert!(Instant::now() < ended, "{output:?}"),
        }
    };
    serving.kill().unwrap();
    serving.wait().unwrap();
    said
}

/// Begins a command in a space, on a CPU, in the group or not. It waits to be moved before it becomes what it is.
fn begin(stage: &Stage, space: &Space, cpu: usize, grouped: bool, arguments: &[&str]) -> Child {
    let mut command = Command::new("sh");
    let script = format!("read begin && exec taskset -c {cpu} \"$@\"");
    command.args(["-c", &script, "sh"]).args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = space.run(|| command.spawn().unwrap()).unwrap();
    if grouped {
        stage.group.join(child.id()).unwrap();
    }
    let mut begin = child.stdin.take().unwrap();
    begin.write_all(b"\n").unwrap();
    child
}

/// `percentile 50.000 =    5.771`, in microseconds; nothing where there was no server yet.
fn median_of(output: &Output) -> Option<Duration> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find(|line| line.contains("percentile 50.000"))?;
    let micros: f64 = line.rsplit('=').next()?.trim().parse().ok()?;
    Some(Duration::from_secs_f64(micros / 1e6))
}
