//! Programs and sockets: lookups, references, steering, streams.

use std::net::SocketAddr;

use super::*;
use crate::bpf::helper::Helper;
use crate::protocol::IpProtocol;

/// A machine with one socket that every lookup in its own namespace finds; it remembers what was asked.
struct One {
    socket: SocketModel,
    asked: Vec<(LookupKind, Tuple)>,
}

impl Kernel for One {
    fn lookup(&mut self, kind: LookupKind, tuple: Tuple, netns: Netns) -> Option<SocketModel> {
        self.asked.push((kind, tuple));
        (netns == Netns::Current).then_some(self.socket)
    }

    fn now(&mut self) -> u64 {
        42
    }

    fn netns_cookie(&mut self) -> u64 {
        7
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn one() -> One {
    One {
        socket: SocketModel::listener(5, at("192.0.2.1:80")),
        asked: Vec::new(),
    }
}

/// Looks the 12 bytes at the packet's start up, reads the state, releases `releases` times, and returns the state; 0 if
/// there is no socket.
fn lookup_state(netns: Insn, releases: usize) -> Vec<Insn> {
    let mut insns = vec![
        mov64_imm(R6, 0),
        load(Width::W, R2, R1, 0),
        mov64_imm(R3, 12),
        netns,
        mov64_imm(R5, 0),
        call(Helper::SkcLookupTcp),
        jump_imm(JumpOp::Eq, R0, 0, 2 + 2 * i16::try_from(releases).unwrap()),
        mov64_reg(R7, R0),
        load(Width::W, R6, R0, 72),
    ];
    for _ in 0..releases {
        insns.extend([mov64_reg(R1, R7), call(Helper::SkRelease)]);
    }
    insns.extend([mov64_reg(R0, R6), exit()]);
    insns
}

fn run_lookup(insns: Vec<Insn>, world: &mut One) -> Result<u64, FaultKind> {
    let frame = vec![10, 0, 0, 1, 192, 0, 2, 1, 0x30, 0x39, 0, 80];
    let program = program(Section::Xdp, insns, &[]);
    let input = Input::Xdp(Xdp::new(frame));
    run(&program, &mut Maps::default(), input, world)
        .map(|outcome| outcome.r0)
        .map_err(|fault| fault.kind)
}

#[test]
fn a_lookup_reads_the_tuple_and_gives_the_state() {
    let mut world = one();
    let insns = lookup_state(mov64_imm(R4, -1), 1);
    assert_eq!(run_lookup(insns, &mut world), Ok(10));
    let tuple = Tuple {
        source: at("10.0.0.1:12345"),
        destination: at("192.0.2.1:80"),
    };
    assert_eq!(world.asked, [(LookupKind::SkcTcp, tuple)]);
}

#[test]
fn the_current_namespace_is_64_bits_wide() {
    let mut world = one();
    let narrow = lookup_state(mov32_imm(R4, -1), 1);
    assert_eq!(run_lookup(narrow, &mut world), Ok(0));
    assert_eq!(world.asked, []);
    let other = lookup_state(mov64_imm(R4, 0), 1);
    assert_eq!(run_lookup(other, &mut world), Ok(0));
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn references_are_released_exactly_once() {
    let insns = |releases| lookup_state(mov64_imm(R4, -1), releases);
    let leaked = run_lookup(insns(0), &mut one());
    assert_eq!(leaked, Err(FaultKind::ReferenceLeak));
    let twice = run_lookup(insns(2), &mut one());
    assert_eq!(twice, Err(FaultKind::Released));
    let mut used = insns(1);
    used.truncate(used.len() - 2);
    used.extend([load(Width::W, R0, R7, 72), exit()]);
    assert_eq!(run_lookup(used, &mut one()), Err(FaultKind::Released));
}

#[test]
fn a_request_socket_has_only_the_common_fields() {
    let mut insns = lookup_state(mov64_imm(R4, -1), 1);
    insns[8] = load(Width::W, R6, R0, 12);
    assert_eq!(run_lookup(insns, &mut one()), Err(FaultKind::BadField));
}

/// sk_lookup: tries to assign the socket in slot 0 and returns 1, or returns 0 if there is none.
fn steer() -> Vec<Insn> {
    let [first, second] = load_map(R1);
    vec![
        mov64_reg(R6, R1),
        store_imm(Width::W, R10, -4, 0),
        first,
        second,
        mov64_reg(R2, R10),
        alu64_imm(AluOp::Add, R2, -4),
        call(Helper::MapLookupElem),
        jump_imm(JumpOp::Eq, R0, 0, 9),
        mov64_reg(R7, R0),
        mov64_reg(R1, R6),
        mov64_reg(R2, R7),
        mov64_imm(R3, 0),
        call(Helper::SkAssign),
        mov64_reg(R1, R7),
        call(Helper::SkRelease),
        mov64_imm(R0, 1),
        exit(),
        mov64_imm(R0, 0),
        exit(),
    ]
}

fn steered(socket: Option<SocketModel>, protocol: u8, local: &str) -> Execution {
    let (mut maps, map) = one_map(spec(MapKind::SockMap, 4, 8, 4));
    if let Some(socket) = socket {
        maps.update_socket(map, &[0; 4], socket, 0).unwrap();
    }
    let program = program(Section::SkLookup, steer(), &[(2, map)]);
    let local = at(local);
    let input = Input::Lookup(Lookup {
        protocol: IpProtocol(protocol),
        remote: SocketAddr::new(local.ip(), 999),
        local,
        ingress_ifindex: 2,
    });
    run(&program, &mut maps, input, &mut Quiet).unwrap()
}

#[test]
fn a_lookup_is_steered_to_a_socket_that_fits() {
    let listener = SocketModel::listener(9, at("127.0.0.1:1234"));
    let outcome = steered(Some(listener), 6, "3.3.3.3:80");
    assert_eq!((outcome.assigned, outcome.r0), (Some(listener), 1));
    assert_eq!(steered(None, 6, "3.3.3.3:80").r0, 0);
    assert_eq!(steered(Some(listener), 17, "3.3.3.3:80").assigned, None);
    assert_eq!(
        steered(Some(listener), 6, "[2001:db8::1]:80").assigned,
        None
    );
    let both = SocketModel::listener(9, at("[::]:1234"));
    assert_eq!(steered(Some(both), 6, "3.3.3.3:80").assigned, Some(both));
    let v6_only = SocketModel {
        v6_only: true,
        ..both
    };
    assert_eq!(steered(Some(v6_only), 6, "3.3.3.3:80").assigned, None);
    let connected = listener.connected(1, at("10.0.0.1:5"));
    assert_eq!(steered(Some(connected), 6, "3.3.3.3:80").assigned, None);
}

#[test]
fn lookup_contexts_have_their_byte_orders() {
    let input = Lookup {
        protocol: IpProtocol::TCP,
        remote: at("10.0.0.1:4660"),
        local: at("10.0.0.2:80"),
        ingress_ifindex: 3,
    };
    for (offset, width, value) in [
        (8, Width::W, 2),
        (12, Width::B, 6),
        (16, Width::W, 0x0100_000a),
        (36, Width::W, 0x3412),
        (36, Width::H, 0x3412),
        (38, Width::H, 0),
        (40, Width::B, 10),
        (60, Width::W, 80),
        (60, Width::H, 80),
        (20, Width::W, 0),
        (64, Width::W, 3),
    ] {
        // The verdict must be 0 or 1: compare inside the program.
        let insns = vec![
            load(width, R2, R1, offset),
            mov64_imm(R0, 1),
            jump_imm(JumpOp::Eq, R2, value, 1),
            mov64_imm(R0, 0),
            exit(),
        ];
        let program = program(Section::SkLookup, insns, &[]);
        let outcome = run(
            &program,
            &mut Maps::default(),
            Input::Lookup(input),
            &mut Quiet,
        );
        assert_eq!(outcome.unwrap().r0, 1, "{offset}");
    }
    let insns = vec![load(Width::DW, R0, R1, 20), exit()];
    let program = program(Section::SkLookup, insns, &[]);
    let outcome = run(
        &program,
        &mut Maps::default(),
        Input::Lookup(input),
        &mut Quiet,
    );
    assert_eq!(outcome.unwrap_err().kind, FaultKind::Misaligned);
}

#[test]
fn a_verdict_of_lookups_and_streams_is_a_bit() {
    let program = program(Section::SkLookup, vec![mov64_imm(R0, 2), exit()], &[]);
    let input = Input::Lookup(Lookup {
        protocol: IpProtocol::TCP,
        remote: at("10.0.0.1:1"),
        local: at("10.0.0.2:2"),
        ingress_ifindex: 1,
    });
    let outcome = run(&program, &mut Maps::default(), input, &mut Quiet);
    assert_eq!(outcome.unwrap_err().kind, FaultKind::BadReturn(2));
}

fn two_maps() -> (Maps, MapId, MapId) {
    let mut specs = PrimaryMap::new();
    let peers = specs.push(spec(MapKind::SockHash, 8, 8, 1));
    let storage = specs.push(spec(MapKind::SkStorage, 4, 8, 0));
    (Maps::new(&specs), peers, storage)
}

/// sock_ops: stores (local port, remote port as it stands) as the socket's own key, and the key in its storage.
fn fill() -> Vec<Insn> {
    let [peers_1, peers_2] = load_map(R2);
    let [storage_1, storage_2] = load_map(R1);
    vec![
        mov64_reg(R6, R1),
        load(Width::W, R2, R1, 68),
        store_reg(Width::W, R10, -8, R2),
        load(Width::W, R2, R1, 64),
        store_reg(Width::W, R10, -4, R2),
        peers_1,
        peers_2,
        mov64_reg(R3, R10),
        alu64_imm(AluOp::Add, R3, -8),
        mov64_imm(R4, 0),
        call(Helper::SockHashUpdate),
        jump_imm(JumpOp::Ne, R0, 0, 10),
        load(Width::DW, R2, R6, 184),
        jump_imm(JumpOp::Eq, R2, 0, 8),
        storage_1,
        storage_2,
        mov64_reg(R3, R10),
        alu64_imm(AluOp::Add, R3, -8),
        mov64_imm(R4, 1),
        call(Helper::SkStorageGet),
        mov64_imm(R0, 1),
        exit(),
        mov64_imm(R0, 0),
        exit(),
    ]
}

/// sk_msg: sends to the socket whose key is in the writer's storage, else plainly.
fn redirect() -> Vec<Insn> {
    let [storage_1, storage_2] = load_map(R1);
    let [peers_1, peers_2] = load_map(R2);
    vec![
        mov64_reg(R6, R1),
        load(Width::DW, R2, R1, 72),
        storage_1,
        storage_2,
        mov64_imm(R3, 0),
        mov64_imm(R4, 0),
        call(Helper::SkStorageGet),
        jump_imm(JumpOp::Eq, R0, 0, 6),
        mov64_reg(R1, R6),
        peers_1,
        peers_2,
        mov64_reg(R3, R0),
        mov64_imm(R4, 1),
        call(Helper::MsgRedirectHash),
        mov64_imm(R0, 1),
        exit(),
    ]
}

#[test]
fn streams_find_their_peer_through_storage() {
    let (mut maps, peers, storage) = two_maps();
    let (local, remote) = (at("10.0.0.1:258"), at("10.0.0.2:772"));
    let socket = SocketModel::listener(3, local).connected(1, remote);
    let ops = |op, socket| {
        Input::SockOps(SockOps {
            op,
            connection: Connection { local, remote },
            state: 1,
            new_state: 0,
            callbacks: 0,
            snd_nxt: 1,
            rcv_nxt: 2,
            socket: Some(socket),
        })
    };
    let filler = program(Section::SockOps, fill(), &[(5, peers), (14, storage)]);
    let mut fill = |op, socket| {
        run(&filler, &mut maps, ops(op, socket), &mut Quiet)
            .unwrap()
            .r0
    };
    assert_eq!(fill(3, socket), 0, "not yet established");
    let multipath = SocketModel {
        multipath: true,
        ..socket
    };
    assert_eq!(fill(4, multipath), 0);
    assert_eq!(fill(4, socket), 1);
    let key = [2, 1, 0, 0, 0, 0, 3, 4];
    assert_eq!(maps.socket(peers, &key), Some(socket));
    assert_eq!(maps.get(storage, &3u64.to_le_bytes()), Some(&key[..]));

    let program = program(Section::SkMsg, redirect(), &[(2, storage), (9, peers)]);
    let message = |socket| {
        let data = b"hello".to_vec();
        Input::Message(Message { socket, data })
    };
    let outcome = run(&program, &mut maps, message(socket), &mut Quiet).unwrap();
    let expected = Redirect {
        socket,
        ingress: true,
    };
    assert_eq!(outcome.redirected, Some(expected));
    let stranger = SocketModel { id: 4, ..socket };
    let outcome = run(&program, &mut maps, message(stranger), &mut Quiet).unwrap();
    assert_eq!((outcome.redirected, outcome.r0), (None, 1));
}

#[test]
fn time_comes_from_the_world() {
    let insns = vec![call(Helper::KtimeGetNs), exit()];
    assert_eq!(run_lookup(insns, &mut one()), Ok(42));
}

#[test]
fn a_message_goes_to_the_socket_in_a_slot() {
    let [first, second] = load_map(R2);
    let insns = |index, flags| {
        vec![
            first,
            second,
            mov64_imm(R3, index),
            mov64_imm(R4, flags),
            call(Helper::MsgRedirectMap),
            exit(),
        ]
    };
    let (mut maps, slots) = one_map(spec(MapKind::SockMap, 4, 8, 4));
    let (local, remote) = (at("10.0.0.1:258"), at("10.0.0.2:772"));
    let open = SocketModel::listener(3, local).connected(1, remote);
    let listener = SocketModel::listener(4, local);
    maps.update_socket(slots, &[0; 4], open, 0).unwrap();
    maps.update_socket(slots, &[1, 0, 0, 0], listener, 0)
        .unwrap();
    let mut sent = |index, flags| {
        let program = program(Section::SkMsg, insns(index, flags), &[(0, slots)]);
        let input = Input::Message(Message {
            socket: open,
            data: b"hello".to_vec(),
        });
        let outcome = run(&program, &mut maps, input, &mut Quiet).unwrap();
        (outcome.code(), outcome.redirected)
    };
    let to = |ingress| {
        Some(Redirect {
            socket: open,
            ingress,
        })
    };
    assert_eq!(sent(0, 0), (1, to(false)));
    assert_eq!(sent(0, 1), (1, to(true)));
    assert_eq!(sent(0, 2), (0, None));
    assert_eq!(sent(1, 1), (0, None), "it listens");
    assert_eq!(sent(2, 1), (0, None), "the slot is empty");
    assert_eq!(sent(9, 1), (0, None), "there is no such slot");
}
