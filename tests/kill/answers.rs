//! `sockc answer`, killed before its calls and with calls refused, while somebody asks it; and so the command that it runs.
//!
//! Whoever asks gets all of the answer, or hears why not; nothing of the policy changes, and what such a service leaves keeps no
//! other one out. Not here: who may ask, and for what (`tests/rights/answered.rs`).

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::mount::{MsFlags, mount};

use crate::campaign::{Campaign, Seen};
use crate::kills::old;
use crate::refusals::LIES;
use crate::root;
use crate::scene::Scene;
use crate::stays::{Point, campaign, ended_well, wrong};
use crate::trace::{Ended, Fate, Which};

/// Somebody of the group that is answered.
const MEMBER: &str = "64322";
const GROUP: &str = "64400";
const AT: &str = "/run/sockc/answer";
/// What is asked: a text that stays the same.
const ASKED: [&str; 2] = ["show", "running"];

/// What is said where nobody can hear whether a process has begun.
const NO_KERNEL_REFUSES: &str = "the CLOEXEC pipe failed";

/// The machine's `/run` is other tests' too.
fn hide_run(scene: &Scene) {
    let nothing = None::<&str>;
    let over = || {
        mount(
            Some("none"),
            "/run",
            Some("tmpfs"),
            MsFlags::empty(),
            nothing,
        )
        .unwrap()
    };
    scene.space.run(over).unwrap();
}

/// The command, where another user may run it.
fn program(scene: &Scene) -> PathBuf {
    let path = PathBuf::from(scene.path("sockc"));
    fs::copy(scene.command(&[]).get_program(), &path).unwrap();
    path
}

/// What a member is told.
fn asks(scene: &Scene, program: &PathBuf) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", MEMBER, "--regid", MEMBER]);
    command.arg(format!("--groups={GROUP}"));
    command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]);
    command.arg(program).args(ASKED).stdin(Stdio::null());
    scene.space.run(|| command.output().unwrap()).unwrap()
}

/// Runs the service until it waits, has a member ask, and has it end once that one is told.
fn answered(service: &Campaign<'_>, program: &PathBuf, point: Option<Point>) -> (Ended, Output) {
    let scene = service.scene;
    let is_told = AtomicBool::new(false);
    let ask = || {
        let told = asks(scene, program);
        is_told.store(true, Ordering::SeqCst);
        // It hears of that one, and waits again.
        let _ = scene.space.run(|| UnixStream::connect(AT).is_ok());
        told
    };
    thread::scope(|scope| {
        let mut member = None;
        let ended = service.run(Which::Stays, |call, words| {
            let fate = point.map_or(Fate::Go, |point| point.fate(call));
            if !words.starts_with("poll") || fate != Fate::Go {
                return fate;
            }
            member.get_or_insert_with(|| scope.spawn(ask));
            match is_told.load(Ordering::SeqCst) {
                true => Fate::Signal(libc::SIGTERM),
                false => Fate::Go,
            }
        });
        // One that ended before it waited is asked in vain.
        let member = member.unwrap_or_else(|| scope.spawn(ask));
        (ended, member.join().unwrap())
    })
}

/// Whether a member has the whole answer, or a reason that is one.
fn told_well(told: &Output, whole: &[u8]) -> Result<(), String> {
    let said = String::from_utf8_lossy(&told.stderr);
    let is_well = match told.status.code() {
        Some(0) => told.stdout == whole,
        Some(3) => said.contains("error: ") && !LIES.iter().any(|words| said.contains(words)),
        _ => false,
    };
    match is_well {
        true => Ok(()),
        false => Err(format!("the member is told {told:?}")),
    }
}

#[test]
fn answer() {
    if !root() {
        return;
    }
    let scene = Scene::new(false);
    hide_run(&scene);
    let program = program(&scene);
    old(&scene);
    let before = Seen::of(&scene);
    let wanted = scene.must(&ASKED).stdout;
    let service = Campaign {
        name: "answer",
        scene: &scene,
        prepare: &|_| (),
        arguments: &["answer", "--group", GROUP],
    };
    let (whole, told) = answered(&service, &program, None);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert_eq!(told.stdout, wanted.as_bytes(), "{told:?}");
    campaign(service.name, whole.calls.len(), |point| {
        let (ended, told) = answered(&service, &program, Some(point));
        // The standard library gives up there, and no kernel refuses to read that pair of sockets.
        if ended.stderr.contains(NO_KERNEL_REFUSES) {
            return Ok(false);
        }
        let checked = ended_well(&ended, point).and_then(|()| told_well(&told, wanted.as_bytes()));
        checked.map_err(|what| wrong(&what, &ended, point))?;
        if Seen::of(&scene) != before {
            return Err(wrong("what is left", &ended, point));
        }
        let (next, told) = answered(&service, &program, None);
        match next.code == Some(0) && told.stdout == wanted.as_bytes() {
            true => Ok(!point.is_past(&ended)),
            false => Err(wrong(
                &format!("the next one: {next:?} {told:?}"),
                &ended,
                point,
            )),
        }
    });
}
