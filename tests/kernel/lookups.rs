//! The kernel's own tests of sk_lookup and of its reuseport groups (`sk_lookup` in `tools/testing/selftests/bpf/prog_tests`),
//! with policies in place of their programs: each protocol and family, by one port and by every port of an address, to a
//! socket alone, to a group whose own program chooses, and to one that has a connected member. What a program of ours has
//! before or after it is in `runtime/tests/kernel/`.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::opcode::Register;
use sockc_testing::again;
use socket2::{Domain, Socket, Type};

use crate::stage::{PATIENCE, Stage, accept, at, client_for, ip, udp, wait_for};
use crate::syscalls::{Kind, load};

/// Where the sockets are, and where clients go, of both families.
const OWN: [&str; 2] = ["127.0.0.1:7001", "[::1]:7001"];
const TO: [&str; 2] = ["3.3.3.3:80", "[2001:db8:3::3]:80"];
/// How many sockets a group has, and which of them its program chooses.
const MEMBERS: usize = 3;
const CHOSEN: usize = 1;

/// What a redirect names.
const NAMED: [[&str; 2]; 2] = [
    ["3.3.3.3:80", "[2001:db8:3::3]:80"],
    ["3.3.3.3:*", "[2001:db8:3::3]:*"],
];

fn stage() -> Option<Stage> {
    let stage = Stage::new()?;
    Some(stage.serving(&[("3.3.3.3", 32), ("2001:db8:3::3", 128)]))
}

/// So many sockets of one reuseport group, or one alone.
fn group(stage: &Stage, kind: Type, address: SocketAddr, members: usize) -> Vec<Socket> {
    let make = || {
        let member = || {
            let socket = Socket::new(Domain::for_address(address), kind, None).unwrap();
            socket.set_reuse_port(members > 1).unwrap();
            socket.bind(&address.into()).unwrap();
            if kind == Type::STREAM {
                socket.listen(64).unwrap();
            }
            socket
        };
        (0..members).map(|_| member()).collect()
    };
    stage.lab.server.run(make).unwrap()
}

/// Has the group's own program, of the classic kind, choose the member of this number.
pub(crate) fn choose(socket: &Socket, number: u32) {
    let give = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: number,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw const give as *mut _,
    };
    set(socket, libc::SO_ATTACH_REUSEPORT_CBPF, &program);
}

/// Has the group's own program refuse everybody; gives the program.
pub(crate) fn refuse(socket: &Socket) -> OwnedFd {
    let code = [asm::mov64_imm(Register::R0, 0), asm::exit()];
    let code: Vec<u8> = code.into_iter().flat_map(|insn| insn.to_bytes()).collect();
    let kind = Kind {
        program_type: bpf_prog_type::BPF_PROG_TYPE_SK_REUSEPORT as u32,
        attach_type: bpf_attach_type::BPF_SK_REUSEPORT_SELECT as u32,
    };
    let program = load(kind, &code, c"MIT").unwrap();
    set(socket, libc::SO_ATTACH_REUSEPORT_EBPF, &program.as_raw_fd());
    program
}

fn set<T>(socket: &Socket, option: i32, value: &T) {
    // SAFETY: the kernel reads `value`, which is as long as it is told.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const *value).cast(),
            size_of::<T>() as u32,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Sends a connection or a datagram; gives the number of the member that has it.
fn reached(stage: &Stage, kind: Type, to: &str, members: &[Socket]) -> usize {
    let sent = match kind {
        Type::STREAM => stage.connect(to).unwrap().into(),
        _ => {
            let client = udp(&stage.lab.client, client_for(at(to)));
            client.send_to(b"?", at(to)).unwrap();
            Socket::from(client)
        }
    };
    let from = sent.local_addr().unwrap();
    let mut found = None;
    wait_for("what was sent", || {
        found = members.iter().position(|member| has(member, kind, &from));
        found.is_some()
    });
    found.unwrap()
}

/// Whether a member has something of this sender.
fn has(member: &Socket, kind: Type, from: &socket2::SockAddr) -> bool {
    member.set_nonblocking(true).unwrap();
    if kind == Type::STREAM {
        return member.accept().is_ok_and(|(_, peer)| peer == *from);
    }
    let socket: UdpSocket = member.try_clone().unwrap().into();
    let got = again(|| socket.recv_from(&mut [0; 8]));
    got.is_ok_and(|(_, peer)| Some(peer) == from.as_socket())
}

/// What is looked at: the lab, a protocol, a family, and the sockets that a policy redirects to.
type Check = fn(&Stage, Type, usize, &[Socket]);

/// Every protocol and family, with a redirect of one port and of every port: so many sockets, what is done with them before the
/// policy comes, and what is looked at then.
fn each(members: usize, before: fn(&[Socket]), check: Check) {
    let Some(stage) = stage() else { return };
    for (kind, protocol) in [(Type::STREAM, "tcp"), (Type::DGRAM, "udp")] {
        for named in NAMED {
            for (family, to) in named.iter().enumerate() {
                let own = OWN[family];
                let members = group(&stage, kind, at(own), members);
                before(&members);
                stage.apply(&format!(
                    "socket there = {protocol} listen {own}\nredirect {protocol} to {to} to sock there"
                ));
                check(&stage, kind, family, &members);
            }
        }
    }
}

#[test]
fn a_socket_alone_is_reached() {
    each(
        1,
        |_| (),
        |stage, kind, family, members| {
            assert_eq!(reached(stage, kind, TO[family], members), 0);
        },
    );
}

#[test]
fn the_program_of_a_group_chooses_among_its_members() {
    each(
        MEMBERS,
        |members| choose(&members[0], CHOSEN as u32),
        |stage, kind, family, members| {
            for _ in 0..4 {
                assert_eq!(reached(stage, kind, TO[family], members), CHOSEN);
            }
        },
    );
}

#[test]
fn the_program_of_a_group_refuses() {
    each(
        MEMBERS,
        |_| (),
        |stage, kind, family, members| {
            refuse(&members[0]);
            if kind == Type::STREAM {
                return stage.assert_refused(TO[family]);
            }
            let client = udp(&stage.lab.client, client_for(at(TO[family])));
            client.connect(at(TO[family])).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.send(b"?").unwrap();
            let refused = again(|| client.recv(&mut [0; 8])).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        },
    );
}

/// A member that is connected gets what its peer sends to its own address, and nothing of what is redirected.
#[test]
fn a_connected_member_of_a_group_gets_nothing_that_is_redirected() {
    each(
        MEMBERS,
        |_| (),
        |stage, kind, family, members| {
            if kind == Type::STREAM {
                return;
            }
            let peer = SocketAddr::new(ip(["127.0.0.1", "::1"][family]), 9);
            members[CHOSEN].connect(&peer.into()).unwrap();
            for _ in 0..16 {
                assert_ne!(reached(stage, kind, TO[family], members), CHOSEN);
            }
        },
    );
}

/// A socket of both families takes what is redirected of IPv6 alone, as the manual says.
#[test]
fn a_socket_of_both_families_serves_ipv6() {
    let Some(stage) = stage() else { return };
    let make = || {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        socket.set_only_v6(false).unwrap();
        socket.bind(&at("[::]:7001").into()).unwrap();
        socket.listen(8).unwrap();
        socket
    };
    let listener = stage.lab.server.run(make).unwrap().into();
    stage.apply(
        "socket there = tcp listen [::]:7001, tcp listen 0.0.0.0:7001\n\
         redirect tcp to 3.3.3.3:80, [2001:db8:3::3]:80 to sock there",
    );
    stage.assert_refused(TO[0]);
    let _client = stage.connect(TO[1]).unwrap();
    accept(&listener);
}
