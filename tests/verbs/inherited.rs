//! Sockets that are handed to `socket register` by systemd's protocol, and descriptors of other processes with large numbers.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use sockc_runtime::lab::Lab;
use sockc_testing::again;
use socket2::{Domain, Socket, Type};

use super::{Folder, Ran, root, run, sockc};

const POLICY: &str = "socket web = registered\nsocket many = registered members 2\n\
    redirect tcp, udp 127.0.0.9:80 to sock web\nredirect tcp, udp [::1]:80 to sock web\n\
    redirect tcp 127.0.0.9:81 to sock many\n";
const TO: &str = "127.0.0.9:80";
const PATIENCE: Duration = Duration::from_secs(30);
/// The first descriptor that is handed over.
const FIRST: i32 = 3;
/// Beyond what any process here has open.
const LARGE: i32 = 500;

/// Registers what stands at the descriptors from 3 on, with these variables.
fn register(name: &str, descriptors: &[i32], variables: &[(&str, &str)]) -> Ran {
    let mut command = sockc(&["socket", "register", name, "--listen-fds"]);
    command.env_remove("LISTEN_FDS").env_remove("LISTEN_PID");
    command.envs(variables.iter().copied());
    // Those that are to be handed over stand above all others first, so that none is written over.
    let above: Vec<OwnedFd> = descriptors.iter().map(|fd| duplicate(*fd, LARGE)).collect();
    let numbers: Vec<i32> = above.iter().map(AsRawFd::as_raw_fd).collect();
    let hand_over = move || {
        for (place, number) in (FIRST..).zip(&numbers) {
            // SAFETY: dup2(2) takes numbers only, and is allowed between fork and exec.
            if unsafe { libc::dup2(*number, place) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only dup2(2) is called, which allocates nothing.
    unsafe { command.pre_exec(hand_over) };
    Ran::of(command.output().unwrap())
}

fn duplicate(fd: i32, at_least: i32) -> OwnedFd {
    // SAFETY: whoever has given the number has it open.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(at_least)).unwrap();
    // SAFETY: the kernel has just given this descriptor to us alone.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Whether a connection comes to this listener; `None`: it is refused.
fn reaches(to: &str, listener: &TcpListener) -> Option<bool> {
    let to: SocketAddr = to.parse().unwrap();
    let mut client = match TcpStream::connect_timeout(&to, PATIENCE) {
        Ok(client) => client,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            return None;
        }
    };
    listener.set_nonblocking(true).unwrap();
    let Ok((mut server, _)) = listener.accept() else {
        return Some(false);
    };
    server.set_nonblocking(false).unwrap();
    server.write_all(b"!").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.read_exact(&mut [0]).unwrap();
    Some(true)
}

fn applied(name: &str, work: impl FnOnce() + Send) {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new(name));
    let policy = folder.file("web.sk", POLICY);
    let inside = || {
        let applied = run(&["apply", &policy]);
        assert_eq!(applied.code, Some(0), "{}", applied.stderr);
        work();
        run(&["unload", "--yes"]);
    };
    lab.server.run(inside).unwrap();
}

/// Descriptors and variables, how the command ends then, and a word of why.
type Case<'a> = (&'a [i32], &'a [(&'a str, &'a str)], i32, &'a str);

/// Two listeners of one address.
fn group() -> [TcpListener; 2] {
    let first = member("127.0.0.1:0".parse().unwrap());
    let second = member(first.local_addr().unwrap());
    [first, second]
}

fn member(at: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&at.into()).unwrap();
    socket.listen(16).unwrap();
    socket.into()
}

#[test]
fn what_systemd_hands_over_stands_behind_its_name_or_is_refused_in_words() {
    applied("listen-fds", || {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp6 = TcpListener::bind("[::1]:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let unbound = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let file = File::open("/dev/null").unwrap();
        let group = group();
        let [tcp4, file, unbound] = [tcp.as_raw_fd(), file.as_raw_fd(), unbound.as_raw_fd()];
        let [one, other] = [&group[0], &group[1]].map(AsRawFd::as_raw_fd);
        let own = std::process::id().to_string();
        let one_fd = [("LISTEN_FDS", "1")];
        let cases: [Case<'_>; 9] = [
            (&[tcp4], &[], 64, "LISTEN_FDS is not set"),
            (&[tcp4], &[("LISTEN_FDS", "0")], 64, "LISTEN_FDS is `0`"),
            (
                &[tcp4],
                &[("LISTEN_FDS", "many")],
                64,
                "LISTEN_FDS is `many`",
            ),
            (
                &[tcp4],
                &[("LISTEN_FDS", "1"), ("LISTEN_PID", &own)],
                64,
                "LISTEN_PID names another process",
            ),
            (&[file], &one_fd, 3, "no socket of IPv4 or IPv6"),
            (&[unbound], &one_fd, 3, "bound"),
            (
                &[tcp4, file],
                &[("LISTEN_FDS", "2")],
                3,
                "no socket of IPv4 or IPv6",
            ),
            (&[tcp4], &[("LISTEN_FDS", "300")], 3, "descriptor"),
            (
                &[one, other],
                &[("LISTEN_FDS", "2")],
                3,
                "two of these sockets are tcp4",
            ),
        ];
        for (descriptors, variables, code, why) in cases {
            let ran = register("web", descriptors, variables);
            assert_eq!(
                ran.code,
                Some(code),
                "{variables:?}: {}{}",
                ran.stdout,
                ran.stderr
            );
            assert!(ran.stderr.contains(why), "{why}: {}", ran.stderr);
            assert_eq!(reaches(TO, &tcp), None, "{why}");
        }
        let three = [tcp4, tcp6.as_raw_fd(), udp.as_raw_fd()];
        let ran = register("web", &three, &[("LISTEN_FDS", "3")]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(
            ran.stdout.contains("now holds tcp4, tcp6, udp4"),
            "{}",
            ran.stdout
        );
        assert_eq!(reaches(TO, &tcp), Some(true));
        assert_eq!(reaches("[::1]:80", &tcp6), Some(true));
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"?", TO).unwrap();
        let (_, peer) = again(|| udp.recv_from(&mut [0; 8])).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

/// A reuseport group is handed over as members of one name.
#[test]
fn a_group_that_systemd_hands_over_has_a_place_for_each_of_its_sockets() {
    applied("listen-group", || {
        let group = group();
        let numbers = [&group[0], &group[1]].map(AsRawFd::as_raw_fd);
        let ran = register("many", &numbers, &[("LISTEN_FDS", "2")]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        let mut got = [0; 2];
        for _ in 0..64 {
            let client = TcpStream::connect("127.0.0.9:81").unwrap();
            for (member, got) in group.iter().zip(&mut got) {
                member.set_nonblocking(true).unwrap();
                *got += usize::from(member.accept().is_ok());
            }
            drop(client);
        }
        assert_eq!(got.iter().sum::<usize>(), 64, "{got:?}");
        assert!(got.iter().all(|count| *count > 0), "{got:?}");
    });
}

/// The descriptors of a process have gaps, and numbers of more than two digits.
#[test]
fn a_descriptor_behind_a_gap_is_taken() {
    applied("large-number", || {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = duplicate(tcp.as_raw_fd(), LARGE);
        let [pid, fd] = [std::process::id().to_string(), far.as_raw_fd().to_string()];
        let at = ["socket", "register", "web", "--pid", &pid, "--fd"];
        let nobody = (far.as_raw_fd() + 100).to_string();
        let refused = run(&[&at[..], &[&nobody]].concat());
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        assert_eq!(reaches(TO, &tcp), None);
        let taken = run(&[&at[..], &[&fd]].concat());
        assert_eq!(taken.code, Some(0), "{}", taken.stderr);
        assert_eq!(reaches(TO, &tcp), Some(true));
        let listed = run(&["socket", "list"]).stdout;
        let address = tcp.local_addr().unwrap().to_string();
        assert!(listed.contains(&address), "{listed}");
    });
}
