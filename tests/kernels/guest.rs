//! The part that runs on the kernel under test: loads every object with aya, runs every case, says what happened.
//!
//! Takes the folder of work.rs; gives lines on stdout. Nothing here knows policies: an object is bytes, a case is an
//! input and a number.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use aya::maps::{Map, PerCpuArray};
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader};
use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use sockc_compiler::counter_blocks::PER_BLOCK;

use crate::passing;
use crate::syscalls::{self, Kind};
use crate::work::{Case, INDEX, Input, Line, MARK, Object};

// Verdicts of `linux/bpf.h` and `linux/pkt_cls.h`.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const TC_ACT_OK: u32 = 0;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;
const TC_ACT_REDIRECT: u32 = 7;
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_UNSPEC: u32 = u32::MAX;
const SK_DROP: u32 = 0;
const SK_PASS: u32 = 1;

/// Lines of a verifier's log that a refusal shows.
const LOG_LINES: usize = 25;

const LICENSE: &CStr = c"Dual MIT/GPL";

/// Does the work of a folder. Whoever started us judges by the lines.
pub(crate) fn run(folder: &Path) {
    let index = fs::read(folder.join(INDEX)).unwrap();
    let objects: Vec<Object> = serde_json::from_slice(&index).unwrap();
    let (mut programs, mut cases) = (0, 0);
    for object in &objects {
        let bytes = fs::read(folder.join(&object.file)).unwrap();
        match load(object, &bytes) {
            Ok((ebpf, loaded)) => {
                programs += loaded;
                cases += run_cases(object, &ebpf);
                check_counts(object, &ebpf);
            }
            Err((program, message)) => say(&Line::Refused {
                object: object.name.clone(),
                program,
                case: None,
                message,
            }),
        }
    }
    if let Err(message) = passing::check() {
        say(&Line::Refused {
            object: "a router".to_owned(),
            program: String::new(),
            case: None,
            message,
        });
    }
    say(&Line::Done { programs, cases });
}

fn say(line: &Line) {
    println!("{MARK}{}", serde_json::to_string(line).unwrap());
}

/// Loads an object's maps and programs; the error names the program.
fn load(object: &Object, bytes: &[u8]) -> Result<(Ebpf, usize), (String, String)> {
    let whole = |error: &dyn std::fmt::Debug| (String::new(), format!("{error:?}"));
    let began = Instant::now();
    // The objects need nothing of the kernel's own types, which take longer to read than all else.
    let mut ebpf = EbpfLoader::new()
        .btf(None)
        .allow_unsupported_maps()
        .load(bytes)
        .map_err(|error| whole(&error))?;
    for (name, program) in ebpf.programs_mut() {
        load_program(program).map_err(|error| (name.to_owned(), error))?;
    }
    say(&Line::Loaded {
        object: object.name.clone(),
        milliseconds: began.elapsed().as_secs_f64() * 1e3,
    });
    let counts = statistics(bytes, &ebpf).map_err(|error| (String::new(), error))?;
    let loaded = counts.len();
    for (program, insns) in counts {
        say(&Line::Verified {
            object: object.name.clone(),
            program,
            insns,
        });
    }
    Ok((ebpf, loaded))
}

fn load_program(program: &mut Program) -> Result<(), String> {
    match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        Program::SkLookup(program) => program.load(),
        Program::SkMsg(program) => program.load(),
        Program::SkSkb(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSockopt(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        other => {
            return Err(format!(
                "{:?}: a type sockc does not make",
                other.prog_type()
            ));
        }
    }
    .map_err(refusal)
}

/// A refusal with the end of the verifier's log, which says what the verifier did not like.
fn refusal(error: ProgramError) -> String {
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return format!("{error:?}");
    };
    let log = verifier_log.to_string();
    let lines: Vec<&str> = log.lines().collect();
    format!(
        "{io_error}\n{}",
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    )
}

/// How many instructions the verifier processed for each program, by name. 5.10 does not keep the number
/// (`verified_insns` came in 5.16), so each program is loaded once more for the statistics line of the log.
fn statistics(bytes: &[u8], ebpf: &Ebpf) -> Result<Vec<(String, u32)>, String> {
    let mut object = aya_obj::Object::parse(bytes).map_err(|error| error.to_string())?;
    let maps = object.maps.iter().map(|(name, map)| {
        let there = ebpf.map(name).and_then(descriptor);
        let fd = there.ok_or_else(|| format!("the map {name} is of no kind that sockc makes"))?;
        Ok((name.clone(), fd, map.clone()))
    });
    let maps = maps.collect::<Result<Vec<_>, String>>()?;
    let named = maps
        .iter()
        .map(|(name, fd, map)| (name.as_str(), fd.as_raw_fd(), map));
    object
        .relocate_maps(named, &HashSet::new())
        .map_err(|error| error.to_string())?;
    let mut counts = Vec::new();
    for (name, program) in &object.programs {
        let function = object
            .functions
            .get(&program.function_key())
            .ok_or_else(|| format!("{name} has no function"))?;
        let kind = ebpf.program(name);
        let kind = kind
            .and_then(|one| self::kind(name, one))
            .ok_or("unknown type")?;
        let log = syscalls::load_for_statistics(kind, &function.instructions, LICENSE)
            .map_err(|error| format!("{name}: {error}"))?;
        counts.push((name.clone(), processed(&log)?));
    }
    counts.sort();
    Ok(counts)
}

/// The number in `processed 42 insns (limit …`.
fn processed(log: &str) -> Result<u32, String> {
    log.split("processed ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .ok_or_else(|| format!("no statistics in {log:?}"))
}

fn kind(name: &str, program: &Program) -> Option<Kind> {
    let (program_type, attach_type) = match program {
        Program::Xdp(_) => (bpf_prog_type::BPF_PROG_TYPE_XDP, bpf_attach_type::BPF_XDP),
        Program::SchedClassifier(_) => (
            bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
            // The kernel ignores it here.
            bpf_attach_type::BPF_CGROUP_INET_INGRESS,
        ),
        Program::SkLookup(_) => (
            bpf_prog_type::BPF_PROG_TYPE_SK_LOOKUP,
            bpf_attach_type::BPF_SK_LOOKUP,
        ),
        Program::SkMsg(_) => (
            bpf_prog_type::BPF_PROG_TYPE_SK_MSG,
            bpf_attach_type::BPF_SK_MSG_VERDICT,
        ),
        Program::SkSkb(_) => (
            bpf_prog_type::BPF_PROG_TYPE_SK_SKB,
            bpf_attach_type::BPF_SK_SKB_STREAM_VERDICT,
        ),
        Program::SockOps(_) => (
            bpf_prog_type::BPF_PROG_TYPE_SOCK_OPS,
            bpf_attach_type::BPF_CGROUP_SOCK_OPS,
        ),
        Program::CgroupSockopt(_) => (
            bpf_prog_type::BPF_PROG_TYPE_CGROUP_SOCKOPT,
            bpf_attach_type::BPF_CGROUP_SETSOCKOPT,
        ),
        Program::CgroupSkb(_) => (
            bpf_prog_type::BPF_PROG_TYPE_CGROUP_SKB,
            bpf_attach_type::BPF_CGROUP_INET_INGRESS,
        ),
        // Its name begins with that of its call.
        Program::CgroupSockAddr(_) => (
            bpf_prog_type::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
            match name.split('_').next()? {
                "connect4" => bpf_attach_type::BPF_CGROUP_INET4_CONNECT,
                "connect6" => bpf_attach_type::BPF_CGROUP_INET6_CONNECT,
                "sendmsg4" => bpf_attach_type::BPF_CGROUP_UDP4_SENDMSG,
                "sendmsg6" => bpf_attach_type::BPF_CGROUP_UDP6_SENDMSG,
                _ => return None,
            },
        ),
        _ => return None,
    };
    Some(Kind {
        program_type: program_type as u32,
        attach_type: attach_type as u32,
    })
}

fn descriptor(map: &Map) -> Option<BorrowedFd<'_>> {
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::PerfEventArray(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::LpmTrie(data)
        | Map::DevMap(data)
        | Map::RingBuf(data)
        | Map::SockMap(data)
        | Map::SockHash(data)
        | Map::ProgramArray(data)
        | Map::SkStorage(data)
        | Map::Unsupported(data) => Some(data.fd().as_fd()),
        _ => None,
    }
}

/// Runs the cases of a loaded object and gives how many were run.
fn run_cases(object: &Object, ebpf: &Ebpf) -> usize {
    for (number, case) in object.cases.iter().enumerate() {
        match run_case(case, ebpf) {
            Ok((passes, _)) if passes == case.passes => {}
            Ok((_, returned)) => say(&Line::Wrong {
                object: object.name.clone(),
                returned,
                case: number,
            }),
            Err((program, message)) => say(&Line::Refused {
                object: object.name.clone(),
                program,
                case: Some(number),
                message,
            }),
        }
    }
    object.cases.len()
}

/// Compares what the counters have counted with what they should.
fn check_counts(object: &Object, ebpf: &Ebpf) {
    let Some(large) = &object.large else { return };
    let counters = PerCpuArray::try_from(ebpf.map("counters").unwrap());
    let counters: PerCpuArray<_, [[u64; 2]; PER_BLOCK as usize]> = counters.unwrap();
    for (&slot, &expected) in &large.counts {
        let of_each = counters.get(&(slot / PER_BLOCK), 0).unwrap();
        let place = (slot % PER_BLOCK) as usize;
        let found = of_each.iter().map(|block| block[place][0]).sum();
        if found != expected {
            say(&Line::Miscounted {
                object: object.name.clone(),
                slot,
                found,
                expected,
            });
        }
    }
}

/// Whether no program drops the input, and what each one returned; the error names the program.
type Answer = Result<(bool, Vec<(String, u32)>), (String, String)>;

fn run_case(case: &Case, ebpf: &Ebpf) -> Answer {
    let mut returned = Vec::new();
    for name in &case.programs {
        let (found, passes) =
            run_program(ebpf.program(name), &case.input).map_err(|error| (name.clone(), error))?;
        returned.push((name.clone(), found));
        if !passes {
            return Ok((false, returned));
        }
    }
    Ok((true, returned))
}

/// What a program returns, and whether that lets the input pass. Anything but the two values sockc uses is an error.
fn run_program(program: Option<&Program>, input: &Input) -> Result<(u32, bool), String> {
    let program = program.ok_or("no such program")?;
    let fd = program.fd().map_err(|error| error.to_string())?.as_fd();
    let (found, [drop, pass]) = match (program, input) {
        (Program::Xdp(_), Input::Frame(frame)) => {
            (syscalls::run_on_frame(fd, frame), [XDP_DROP, XDP_PASS])
        }
        (Program::SchedClassifier(_), Input::Frame(frame)) => {
            (syscalls::run_on_frame(fd, frame), [TC_ACT_SHOT, TC_ACT_OK])
        }
        (Program::SkLookup(_), Input::Lookup(context)) => {
            let context = context
                .as_slice()
                .try_into()
                .map_err(|_| "a context of another length")?;
            let found = syscalls::run_lookup(fd, context).map(|(verdict, _)| verdict);
            (found, [SK_DROP, SK_PASS])
        }
        _ => return Err("such programs take other inputs".to_owned()),
    };
    match found.map_err(|error| error.to_string())? {
        found if found == drop => Ok((found, false)),
        // An answer, or out of another interface.
        found @ (XDP_TX | XDP_REDIRECT) if drop == XDP_DROP => Ok((found, false)),
        found @ TC_ACT_REDIRECT if drop == TC_ACT_SHOT => Ok((found, false)),
        found if found == pass || (drop == TC_ACT_SHOT && found == TC_ACT_UNSPEC) => {
            Ok((found, true))
        }
        found => Err(format!("returned {found}")),
    }
}
