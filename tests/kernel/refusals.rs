//! What the world refuses: a plain error that says what, where and what to do, and a kernel that is as it was before.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aya::programs::{Program, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::opcode::{Register, Width};
use sockc_compiler::object;
use sockc_runtime::lab::{BPFFS, FRONT};
use sockc_runtime::{Error, Fill, Options};

use crate::stage::{Compiled, Stage, compile};

/// In force before, and still afterwards: a hook for lookups, one for restarts, none for packets.
const BEFORE: &str = "
    policy before
    socket proxy = tcp listen 127.0.0.1:1234
    steer: redirect 3.3.3.3:* to sock proxy";
/// What is tried: packet hooks both ways, lookups.
const NEXT: &str = "
    policy next
    default in drop
    default out allow
    socket proxy = tcp listen 127.0.0.1:1235
    redirect 3.3.3.3:* to sock proxy
    count out tcp";

fn stage() -> Option<Stage> {
    let stage = Stage::new()?.serving(&[("3.3.3.3", 32)]);
    stage.apply(BEFORE);
    Some(stage)
}

/// Every name in the state folders.
fn pins(stage: &Stage) -> Vec<PathBuf> {
    fn below(folder: PathBuf, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            found.push(entry.path());
            if entry.file_type().unwrap().is_dir() {
                below(entry.path(), found);
            }
        }
    }
    let collect = || {
        let mut found = Vec::new();
        below(PathBuf::from(BPFFS).join("sockc"), &mut found);
        found.sort();
        found
    };
    stage.lab.server.run(collect).unwrap()
}

/// Asserts that `attempt` is refused in these words and that nothing has changed: the same policy, programs, links and pins,
/// and the same traffic.
fn refused(
    stage: &Stage,
    words: &[&str],
    attempt: impl FnOnce() -> Result<sockc_runtime::Applied, Error> + Send,
) -> Error {
    let (status, names) = (stage.status(), pins(stage));
    assert!(!names.is_empty());
    let error = stage.lab.server.run(attempt).unwrap().unwrap_err();
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "\"{word}\" is not in: {text}");
    }
    assert_eq!(stage.status(), status, "{text}");
    assert_eq!(pins(stage), names, "{text}");
    let proxy = stage.listen("127.0.0.1:1234");
    stage.assert_reaches("3.3.3.3:80", &proxy);
    error
}

fn attempt(compiled: &Compiled, options: &Options) -> Result<sockc_runtime::Applied, Error> {
    sockc_runtime::apply(&compiled.object, &compiled.manifest, options)
}

#[test]
fn an_interface_that_is_not_there() {
    let Some(stage) = stage() else { return };
    let options = Options {
        interfaces: vec!["eth7".into()],
        ..stage.options.clone()
    };
    let words = ["\"eth7\"", FRONT, "it has"];
    refused(&stage, &words, || attempt(&compile(NEXT), &options));
    let options = Options {
        interfaces: Vec::new(),
        ..stage.options.clone()
    };
    let words = [
        "\"next\"",
        "names none; add `interfaces …` to it or give --interface",
        "--interface",
    ];
    refused(&stage, &words, || attempt(&compile(NEXT), &options));
}

#[test]
fn an_xdp_program_of_somebody_else() {
    let Some(stage) = stage() else { return };
    let foreign = compile("default in allow\ncount tcp");
    let mut other = EbpfLoader::new()
        .allow_unsupported_maps()
        .load(&foreign.object)
        .unwrap();
    for mode in [XdpMode::Skb, XdpMode::Driver] {
        let attached = stage.lab.server.run(|| attach(&mut other, mode)).unwrap();
        let id = id_of(&mut other).to_string();
        let words = ["another XDP program", "\"front\"", &id, "xdp_in", "at tc"];
        let error = refused(&stage, &words, || attempt(&compile(NEXT), &stage.options));
        assert!(matches!(error, Error::ForeignXdp { .. }));
        let xdp = xdp_of(&mut other);
        xdp.detach(attached).unwrap();
    }
    // Once it is gone, nothing is in the way.
    stage.apply(NEXT);
}

fn xdp_of(ebpf: &mut Ebpf) -> &mut Xdp {
    match ebpf.program_mut("xdp_in") {
        Some(Program::Xdp(xdp)) => xdp,
        _ => panic!("no XDP program"),
    }
}

fn attach(ebpf: &mut Ebpf, mode: XdpMode) -> aya::programs::xdp::XdpLinkId {
    let xdp = xdp_of(ebpf);
    if xdp.fd().is_err() {
        xdp.load().unwrap();
    }
    xdp.attach(FRONT, mode).unwrap()
}

fn id_of(ebpf: &mut Ebpf) -> u32 {
    xdp_of(ebpf).info().unwrap().id()
}

#[test]
fn a_folder_that_is_no_bpffs() {
    let Some(stage) = stage() else { return };
    for folder in ["/tmp", "/sys/fs/no-such-folder"] {
        let options = Options {
            bpffs: folder.into(),
            ..stage.options.clone()
        };
        let words = [folder, "is not a bpf file system", "mount -t bpf"];
        refused(&stage, &words, || attempt(&compile(NEXT), &options));
    }
}

#[test]
fn a_user_without_rights() {
    let Some(stage) = stage() else { return };
    let words = ["CAP_BPF", "CAP_NET_ADMIN", "root"];
    let error = refused(&stage, &words, || {
        become_nobody();
        attempt(&compile(NEXT), &stage.options)
    });
    assert!(matches!(error, Error::Rights { .. }));
}

/// The system call, unlike the C library's function, changes the calling thread only.
fn become_nobody() {
    // SAFETY: setresuid(2) takes numbers only.
    let done = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
    assert_eq!(done, 0);
}

#[test]
fn a_namespace_that_is_not_there() {
    let Some(stage) = stage() else { return };
    let options = Options {
        netns: Some("no-such-namespace".into()),
        ..stage.options.clone()
    };
    let words = ["no-such-namespace", "ip netns list"];
    refused(&stage, &words, || attempt(&compile(NEXT), &options));
}

#[test]
fn a_control_group_that_is_not_there() {
    let Some(stage) = stage() else { return };
    let policy = "
        default send allow
        group pods = cgroup \"/no-such-group.slice\"
        drop send tcp from group pods to 192.0.2.0/24";
    let words = ["\"pods\"", "no-such-group.slice", "start its service"];
    refused(&stage, &words, || attempt(&compile(policy), &stage.options));
}

#[test]
fn an_object_cut_short_or_of_another_version() {
    let Some(stage) = stage() else { return };
    let whole = compile(NEXT);
    for length in [
        0,
        3,
        64,
        whole.object.len() / 4,
        whole.object.len() / 2,
        whole.object.len() - 1,
    ] {
        let error = refused(&stage, &["compile the policy again"], || {
            sockc_runtime::apply(&whole.object[..length], &whole.manifest, &stage.options)
        });
        assert!(matches!(error, Error::Object { .. }), "{length}: {error}");
    }
    let mut other = whole.manifest.clone();
    other.version += 1;
    let words = ["another version", "compile the policy again"];
    let error = refused(&stage, &words, || {
        sockc_runtime::apply(&whole.object, &other, &stage.options)
    });
    assert!(matches!(error, Error::Version { .. }));
}

/// What the verifier refuses in a tree is said to be of the rule that the comparison there is for.
#[test]
fn a_program_that_the_verifier_refuses_names_the_rule() {
    let Some(stage) = stage() else { return };
    let compiled = compile("default in drop\nallow udp to port 53\nallow tcp to port 4711\n");
    let mut artifact = object::read(&compiled.object).unwrap();
    let code = &mut artifact.programs[0].insns;
    let in_memory = i32::from(4711_u16.to_be());
    let comparison = code.iter().position(|insn| insn.imm == in_memory).unwrap();
    code[comparison] = asm::load(Width::DW, Register::R0, Register::R10, 4000);
    let object = object::write(&artifact).unwrap();
    let words = ["the kernel refused", "allow tcp to port 4711"];
    let error = refused(&stage, &words, || {
        sockc_runtime::apply(&object, &artifact.manifest, &stage.options)
    });
    let Error::Program {
        rule: Some(rule), ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(rule.starts_with("allow tcp to port 4711"), "{rule}");
}

#[test]
fn a_second_apply_at_the_same_time() {
    let Some(stage) = stage() else { return };
    let second = Options {
        lock_wait: Duration::from_millis(50),
        ..stage.options.clone()
    };
    let answers: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&answers);
    let first = Options {
        watch: Some(Arc::new(move |_| {
            let error = attempt(&compile(NEXT), &second).unwrap_err();
            assert!(matches!(error, Error::Locked { .. }), "{error}");
            seen.lock().unwrap().push(error.to_string());
            ControlFlow::Continue(())
        })),
        ..stage.options.clone()
    };
    let compiled = compile(NEXT);
    let applied = stage.lab.server.run(|| attempt(&compiled, &first)).unwrap();
    assert_eq!(applied.unwrap().generation, 2, "the first is not disturbed");
    let answers = answers.lock().unwrap();
    assert!(answers.len() > 5, "it was tried before every step");
    for word in ["another sockc", BPFFS, "try again"] {
        assert!(answers[0].contains(word), "{}", answers[0]);
    }
    assert_eq!(stage.status().unwrap().policy, "next");
}

#[test]
fn a_stop_before_any_step_until_the_switch_changes_nothing() {
    let Some(stage) = stage() else { return };
    let mut stopped = Vec::new();
    for number in 0.. {
        let count = Mutex::new(0);
        let options = Options {
            watch: Some(Arc::new(move |step| {
                let mut count = count.lock().unwrap();
                *count += 1;
                if *count > number || step == "switch" {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })),
            ..stage.options.clone()
        };
        let error = refused(&stage, &["nothing was changed"], || {
            attempt(&compile(NEXT), &options)
        });
        let Error::Stopped { step } = error else {
            panic!("{error}")
        };
        let last = step == "switch";
        stopped.push(step);
        if last {
            break;
        }
    }
    assert!(stopped.len() > 5, "{stopped:?}");
}

#[test]
fn a_socket_nobody_listens_on_is_told_and_is_no_failure() {
    let Some(stage) = Stage::new() else { return };
    let applied = stage.apply(NEXT);
    assert_eq!(applied.sockets.len(), 1);
    assert_eq!(applied.sockets[0].socket, "proxy");
    assert_eq!(applied.sockets[0].state, Fill::Absent);
}
