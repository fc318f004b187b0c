//! Named sockets with an owner, and what is said of those who are bound where a socket is looked for.

use std::ffi::CString;
use std::fs::{self, File};
use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use aya::programs::SkLookup;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use sockc_compiler::artifact::{AttachPoint, SlotOrigin, SlotOwner};
use sockc_runtime::{
    Carried, Error, Fill, Handover, SlotState, forecast, probe, socket_refresh, socket_register,
    status,
};

use crate::policy::*;
use crate::space::{Space, close, comes, inside, reaches, skip, wait_until};

const AT: &str = "127.0.0.1:7001";
const TO: &str = "127.0.0.9:53";
/// Somebody who is not root, though the lower half of the number is root's.
const NOBODY: u32 = 65_536;

/// A policy with one socket of this owner.
fn owned(protocol: u8, owner: SlotOwner) -> Policy {
    policy("s")
        .socket(3, protocol, AT)
        .with(|manifest| manifest.sockets[0].owner = Some(owner))
        .steer(53, 3)
}

fn slot(space: &Space) -> SlotState {
    status(&space.options).unwrap().unwrap().sockets[0].clone()
}

/// What is made as another user.
fn as_user<T>(uid: u32, make: impl FnOnce() -> T) -> T {
    // SAFETY: the call takes a number, and changes the calling thread only.
    unsafe { libc::setfsuid(uid) };
    let made = make();
    // SAFETY: as above.
    unsafe { libc::setfsuid(0) };
    made
}

fn tcp() -> TcpListener {
    TcpListener::bind(AT).unwrap()
}

fn udp() -> UdpSocket {
    UdpSocket::bind(AT).unwrap()
}

fn answers(server: &UdpSocket) -> bool {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(TO).unwrap();
    let _ = client.send(b"ping");
    comes(&client, &[server])
}

#[test]
fn a_tcp_socket_of_another_user_never_gets_in() {
    inside(|space| {
        if !probe().netns_cookie_in_sock_ops {
            return skip("bpf_get_netns_cookie in sock_ops");
        }
        let policy = || owned(6, SlotOwner::Uid(NOBODY));
        let other = tcp();
        let applied = policy().apply(&space.options).unwrap();
        assert_eq!(applied.sockets[0].state, Fill::NotOwner);
        let who = applied.sockets[0].who.clone().unwrap();
        assert_eq!((who.uid, who.local), (0, AT.parse().unwrap()));
        assert_eq!(who.process.map(|(pid, _)| pid), Some(std::process::id()));
        assert_eq!(reaches(TO, &[&other]), None);
        close(other);
        for _ in 0..2 {
            let own = as_user(NOBODY, tcp);
            assert_eq!(slot(space).state, Fill::Filled, "the hook knows the owner");
            assert_eq!(reaches(TO, &[&own]), Some(7001));
            close(own);
            let other = tcp();
            assert_eq!(slot(space).state, Fill::NotOwner);
            assert_eq!(reaches(TO, &[&other]), None, "nor by a packet");
            socket_refresh(&space.options, None).unwrap();
            assert_eq!(reaches(TO, &[&other]), None, "nor by a command");
        }
        let own = as_user(NOBODY, tcp);
        let applied = policy().apply(&space.options).unwrap();
        assert_eq!(applied.sockets[0].state, Fill::Filled);
        assert_eq!(reaches(TO, &[&own]), Some(7001));
    });
}

#[test]
fn a_udp_socket_of_another_user_never_gets_in() {
    inside(|space| {
        owned(17, SlotOwner::Uid(NOBODY))
            .apply(&space.options)
            .unwrap();
        for _ in 0..2 {
            let other = udp();
            assert!(!answers(&other));
            assert_eq!(slot(space).state, Fill::NotOwner);
            close(other);
            let own = as_user(NOBODY, udp);
            assert_eq!(slot(space).state, Fill::Waiting);
            assert!(answers(&own));
            assert_eq!(slot(space).state, Fill::Filled);
        }
    });
}

/// A UDP socket that lets others bind its address, as many services make theirs.
fn shared() -> UdpSocket {
    let datagram = (AddressFamily::Inet, SockType::Datagram);
    let socket = socket(datagram.0, datagram.1, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
    let at: SocketAddrV4 = AT.parse().unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::from(at)).unwrap();
    socket.into()
}

/// The kernel's lookup gives the youngest of several sockets at an address, and no other.
#[test]
fn an_owners_socket_behind_a_younger_one_is_told_planned_and_taken() {
    inside(|space| {
        let make = || owned(17, SlotOwner::Uid(NOBODY));
        make().apply(&space.options).unwrap();
        let own = as_user(NOBODY, shared);
        assert_eq!(slot(space).state, Fill::Waiting);
        let other = shared();
        assert!(!answers(&own) && !answers(&other));
        let told = slot(space);
        assert_eq!(told.state, Fill::Shadowed);
        assert_eq!(told.who.unwrap().uid, NOBODY);
        let (object, manifest) = make().build();
        let planned = forecast(&object, &manifest, &space.options).unwrap().data;
        let fates: Vec<Carried> = planned.iter().map(|one| one.fate).collect();
        assert_eq!(fates, [Carried::Filled]);
        let refreshed = socket_refresh(&space.options, None).unwrap();
        assert_eq!(refreshed.states[0].state, Fill::Filled);
        assert!(answers(&own) && !answers(&other));
        close(own);
        wait_until("the slot is empty", || slot(space).state == Fill::NotOwner);
        // The younger one is the owner's: packets find it.
        close(other);
        let _other = shared();
        let own = as_user(NOBODY, shared);
        assert_eq!(slot(space).state, Fill::Waiting);
        assert!(answers(&own));
    });
}

#[test]
fn a_user_may_be_named_and_must_be_there() {
    inside(|space| {
        let _own = tcp();
        let named = |name: &str| owned(6, SlotOwner::User(name.to_owned()));
        let applied = named("root").apply(&space.options).unwrap();
        assert_eq!(applied.sockets[0].state, Fill::Filled);
        let error = named("no-such-user").apply(&space.options).unwrap_err();
        assert!(matches!(error, Error::Socket { .. }), "{error}");
        assert!(error.to_string().contains("no-such-user"), "{error}");
    });
}

#[test]
fn a_socket_that_is_handed_over_has_to_be_the_owners() {
    inside(|space| {
        owned(6, SlotOwner::Uid(NOBODY))
            .with(|manifest| manifest.sockets[0].origin = SlotOrigin::Registered)
            .apply(&space.options)
            .unwrap();
        let hand = |server: &TcpListener| {
            let fd = std::os::fd::AsRawFd::as_raw_fd(server);
            socket_register(&space.options, "s3", &[Handover::Own(fd)])
        };
        let other = tcp();
        let error = hand(&other).unwrap_err().to_string();
        assert!(error.contains("does not belong to its owner"), "{error}");
        close(other);
        let own = as_user(NOBODY, tcp);
        hand(&own).unwrap();
        assert_eq!(reaches(TO, &[&own]), Some(7001));
        // A policy that wants another owner does not take it over.
        let applied = owned(6, SlotOwner::Uid(33))
            .with(|manifest| manifest.sockets[0].origin = SlotOrigin::Registered)
            .apply(&space.options)
            .unwrap();
        assert_eq!(applied.sockets[0].state, Fill::Absent);
        assert_eq!(reaches(TO, &[&own]), None);
    });
}

/// What a forecast says of the slots: whether each is filled or emptied, and how it would stand.
fn slots_then(space: &Space, policy: Policy) -> Vec<(Carried, Option<Fill>)> {
    let (object, manifest) = policy.build();
    let told = forecast(&object, &manifest, &space.options).unwrap();
    let data = told.data.into_iter().filter(|one| one.kind == "socket");
    data.map(|one| (one.fate, one.slot.map(|slot| slot.state)))
        .collect()
}

#[test]
fn a_server_that_the_next_apply_puts_out_is_forecast() {
    inside(|space| {
        let server = tcp();
        let file = space.folder().join("api.pid");
        let named = file.display().to_string();
        let by_file = || {
            let named = named.clone();
            policy("p")
                .socket(3, 6, AT)
                .with(|manifest| manifest.sockets[0].origin = SlotOrigin::Process(named))
                .steer(53, 3)
        };
        fs::write(&file, std::process::id().to_string()).unwrap();
        by_file().apply(&space.options).unwrap();
        assert_eq!(slots_then(space, by_file()), []);
        let put_out = [(Carried::Emptied, Some(Fill::OtherProcess))];
        for text in ["1", "hello"] {
            fs::write(&file, text).unwrap();
            assert_eq!(slots_then(space, by_file()), put_out, "{text}");
            // Looking again takes nothing out, and does not say so.
            let refreshed = socket_refresh(&space.options, None).unwrap();
            assert_eq!(refreshed.states[0].state, Fill::Filled);
            let notes = refreshed.notes.join("\n");
            assert!(
                notes.contains("\"s3\" keeps what it holds until"),
                "{notes}"
            );
            assert_eq!(reaches(TO, &[&server]), Some(7001));
        }
        let applied = by_file().apply(&space.options).unwrap();
        assert_eq!(applied.sockets[0].state, Fill::OtherProcess);
        assert!(
            applied.notes[0].contains("\"s3\" is absent"),
            "{:?}",
            applied.notes
        );
        assert_eq!(slots_then(space, by_file()), []);

        policy("p")
            .socket(3, 6, AT)
            .steer(53, 3)
            .apply(&space.options)
            .unwrap();
        assert_eq!(reaches(TO, &[&server]), Some(7001));
        let owned = || owned(6, SlotOwner::Uid(NOBODY));
        let not_owner = [(Carried::Emptied, Some(Fill::NotOwner))];
        assert_eq!(slots_then(space, owned()), not_owner);
        owned().apply(&space.options).unwrap();
        assert_eq!(reaches(TO, &[&server]), None);
    });
}

#[test]
fn what_was_handed_over_by_another_than_the_owner_is_forecast_to_go() {
    inside(|space| {
        let handed = |owner: Option<u32>| {
            policy("s")
                .socket(3, 6, AT)
                .with(|manifest| {
                    manifest.sockets[0].origin = SlotOrigin::Registered;
                    manifest.sockets[0].owner = owner.map(SlotOwner::Uid);
                })
                .steer(53, 3)
        };
        handed(None).apply(&space.options).unwrap();
        let server = tcp();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&server);
        socket_register(&space.options, "s3", &[Handover::Own(fd)]).unwrap();
        for owner in [None, Some(0)] {
            assert_eq!(slots_then(space, handed(owner)), [(Carried::Kept, None)]);
        }
        let gone = [(Carried::Emptied, Some(Fill::NotOwner))];
        assert_eq!(slots_then(space, handed(Some(NOBODY))), gone);
    });
}

/// A process in a control group, with a socket.
struct Service(Pid);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

/// Starts a process that enters a control group, and then opens a TCP listener, or a UDP socket.
fn service(group: &Path, kind: i32) -> Service {
    let procs = CString::new(group.join("cgroup.procs").display().to_string()).unwrap();
    let (ready, tell) = nix::unistd::pipe().unwrap();
    // SAFETY: the child makes system calls only, until it is killed.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => {
            drop(tell);
            let service = Service(child);
            assert_eq!(
                nix::unistd::read(&ready, &mut [0]).unwrap(),
                1,
                "it is there"
            );
            service
        }
        ForkResult::Child => {
            // SAFETY: plain system calls on values of this function.
            unsafe {
                let procs = libc::open(procs.as_ptr(), libc::O_WRONLY);
                let mut address: libc::sockaddr_in = std::mem::zeroed();
                address.sin_family = 2;
                address.sin_port = 7001_u16.to_be();
                address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
                let size = 16;
                let entered = libc::write(procs, c"0".as_ptr().cast(), 1) == 1;
                let socket = libc::socket(libc::AF_INET, kind, 0);
                let bound = libc::bind(socket, (&raw const address).cast(), size) == 0;
                let listens = kind != libc::SOCK_STREAM || libc::listen(socket, 8) == 0;
                if entered && bound && listens {
                    libc::write(
                        std::os::fd::AsRawFd::as_raw_fd(&tell),
                        c"r".as_ptr().cast(),
                        1,
                    );
                    loop {
                        libc::pause();
                    }
                }
                libc::_exit(1)
            }
        }
    }
}

/// A control group below the test's, which goes with this value.
struct Group(PathBuf);

impl Group {
    fn make(space: &Space, name: &str) -> Self {
        let path = space.group_folder().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel takes a process out some time after its end.
        for _ in 0..500 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_control_group_that_is_made_anew_is_the_same_owner() {
    inside(|space| {
        if !probe().netns_cookie_in_sock_ops {
            return skip("bpf_get_netns_cookie in sock_ops");
        }
        for (kind, protocol) in [(libc::SOCK_STREAM, 6), (libc::SOCK_DGRAM, 17)] {
            let owner = format!("{}/own", space.cgroup);
            owned(protocol, SlotOwner::Cgroup(owner))
                .apply(&space.options)
                .unwrap();
            // What a packet does where no hook sees the service begin; nobody waits for an answer.
            let packet = || {
                let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                client.connect(TO).unwrap();
                let _ = client.send(b"ping");
            };
            for inner in [None, None, Some("deep")] {
                let own = Group::make(space, "own");
                let deep = inner.map(|name| Group::make(space, &format!("own/{name}")));
                let place = deep.as_ref().map_or(&own.0, |deep| &deep.0);
                let service = service(place, kind);
                packet();
                assert_eq!(slot(space).state, Fill::Filled, "{kind} {inner:?}");
                drop(service);
                drop(deep);
            }
            for name in ["owner", "ow", "other"] {
                let other = Group::make(space, name);
                let _service = service(&other.0, kind);
                packet();
                socket_refresh(&space.options, None).unwrap();
                assert_eq!(slot(space).state, Fill::NotOwner, "{kind} {name}");
            }
        }
    });
}

#[test]
fn who_waits_is_told_planned_and_taken() {
    inside(|space| {
        let make = || policy("s").socket(3, 17, AT).steer(53, 3);
        make().apply(&space.options).unwrap();
        assert_eq!(slot(space).state, Fill::Absent);
        let plan = || {
            let (object, manifest) = make().build();
            let told = forecast(&object, &manifest, &space.options).unwrap();
            told.data
                .into_iter()
                .filter(|one| one.fate == Carried::Filled)
                .count()
        };
        assert_eq!(plan(), 0);
        let server = udp();
        let waiting = slot(space);
        assert_eq!(waiting.state, Fill::Waiting);
        let who = waiting.who.unwrap();
        assert_eq!(who.process.map(|(pid, _)| pid), Some(std::process::id()));
        assert_eq!(plan(), 1);
        let refreshed = socket_refresh(&space.options, Some("s3")).unwrap();
        assert_eq!(refreshed.states[0].state, Fill::Filled);
        assert_eq!(refreshed.states[0].who.as_ref().unwrap().cookie, who.cookie);
        assert_eq!(plan(), 0);
        assert!(answers(&server));
        let error = socket_refresh(&space.options, Some("s4")).unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error}");
    });
}

#[test]
fn a_lookup_program_of_others_that_hides_a_socket_is_named_and_gone_around() {
    inside(|space| {
        let server = tcp();
        let (object, _) = policy("other")
            .rule(AttachPoint::SkLookup, "hides", SK_DROP)
            .build();
        let mut other = aya::Ebpf::load(&object).unwrap();
        let program: &mut SkLookup = other.program_mut("lookup").unwrap().try_into().unwrap();
        program.load().unwrap();
        program
            .attach(File::open("/proc/thread-self/ns/net").unwrap())
            .unwrap();
        let put = || policy("s").socket(3, 6, AT).socket(4, 17, AT).steer(53, 3);
        let udp = UdpSocket::bind(AT).unwrap();
        let applied = put().apply(&space.options).unwrap();
        let notes = applied.notes.join("\n");
        assert!(notes.contains("where both steer, it does"), "{notes}");
        for state in [applied.sockets[0].clone(), slot(space)] {
            assert_eq!(state.state, Fill::Filled);
            assert!(state.who.is_some());
        }
        // What is steered is not refused by the other program (`BPF_PROG_SK_LOOKUP_RUN_ARRAY` of `linux/filter.h`).
        assert_eq!(reaches(TO, &[&server]), Some(7001));
        // No packet finds one that comes later.
        close(udp);
        // A command that another test is just starting has the first one, too, until it runs.
        let mut bound = None;
        wait_until("the address", || {
            bound = UdpSocket::bind(AT).ok();
            bound.is_some()
        });
        let hidden = || status(&space.options).unwrap().unwrap().sockets[1].clone();
        assert_eq!(hidden().state, Fill::Hidden);
        assert_eq!(hidden().foreign[0].name, "lookup");
        let (object, manifest) = put().build();
        let told = forecast(&object, &manifest, &space.options).unwrap();
        let fates: Vec<_> = told.data.iter().map(|one| &one.fate).collect();
        assert_eq!(fates, [&Carried::Filled]);
        socket_refresh(&space.options, None).unwrap();
        assert_eq!(hidden().state, Fill::Filled);
        drop(other);
    });
}

#[test]
fn a_pid_file_that_is_no_file_or_endless_keeps_nobody_waiting() {
    inside(|space| {
        let file = space.folder().join("api.pid");
        let apply = || {
            let named = file.display().to_string();
            let applied = policy("p")
                .socket(0, 6, AT)
                .with(|manifest| manifest.sockets[0].origin = SlotOrigin::Process(named))
                .steer(53, 0)
                .apply(&space.options)
                .unwrap();
            applied.notes.join("\n")
        };
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(apply().contains("it is no regular file"), "{}", apply());
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert!(apply().contains("it is no regular file"));
        fs::remove_file(&file).unwrap();
        fs::write(&file, "1".repeat(33)).unwrap();
        assert!(apply().contains("more than 32 bytes"));
    });
}

#[test]
fn the_process_that_waits_is_the_one_of_the_file() {
    inside(|space| {
        let file = space.folder().join("api.pid");
        fs::write(&file, std::process::id().to_string()).unwrap();
        let named = file.display().to_string();
        policy("p")
            .socket(0, 17, AT)
            .with(|manifest| manifest.sockets[0].origin = SlotOrigin::Process(named))
            .steer(53, 0)
            .apply(&space.options)
            .unwrap();
        let server = udp();
        assert!(
            !answers(&server),
            "no program can tell which process was meant"
        );
        assert_eq!(slot(space).state, Fill::Waiting);
        fs::write(&file, "1").unwrap();
        assert_eq!(slot(space).state, Fill::OtherProcess);
        fs::write(&file, std::process::id().to_string()).unwrap();
        socket_refresh(&space.options, None).unwrap();
        assert!(answers(&server));
    });
}
