//! A redirect at tc: which sockets take a packet, and what becomes of it where none does.

use std::net::SocketAddr;

use super::{NEXT, built, header};
use crate::bpf::constant::{NEW_SYN_RECV, TC_ACT_SHOT, TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN};
use crate::interpret::{
    Execution, Input, Kernel, LookupKind, Maps, Netns, Skb, SocketModel, Tuple, run,
};
use crate::packet::build::Frame;
use crate::policy::INTERCEPTED;

/// TCP without UDP, so that what is absent is dropped in silence, and counts beside.
const POLICY: &str = "default in allow
    socket proxy = tcp listen 127.0.0.1:7001, tcp listen [::1]:7001 if absent drop
    redirect tcp to port 80 to sock proxy at tc\n";

/// A machine on which each lookup finds a socket in this state.
struct Found(Option<i32>);

impl Kernel for Found {
    fn lookup(&mut self, _: LookupKind, tuple: Tuple, netns: Netns) -> Option<SocketModel> {
        let other = |state: i32| (state, tuple.source);
        let model = SocketModel::listener(9, tuple.destination);
        // In the other namespace everything is the last segment of a handshake.
        let (state, remote) = match netns {
            Netns::Current => self.0.map(other)?,
            Netns::Id(_) => other(NEW_SYN_RECV),
        };
        Some(model.connected(state, remote))
    }

    fn now(&mut self) -> u64 {
        0
    }

    fn netns_cookie(&mut self) -> u64 {
        1
    }
}

/// What `tc_in` does with a SYN where a lookup finds `found`, and the slots hold a socket in the state `held`.
fn taken(policy: &str, six: bool, found: Option<i32>, held: Option<i32>) -> Execution {
    let artifact = built(policy).artifact;
    let mut programs = artifact.programs.iter();
    let program = programs.find(|one| one.name == "tc_in").unwrap();
    let mut maps = Maps::new(&artifact.maps);
    let sockets = maps.named("sockets").unwrap();
    for slot in &artifact.manifest.sockets[0].slots {
        let Some(state) = held else { continue };
        let address = SocketAddr::new(slot.address, slot.port);
        let model = SocketModel::listener(u64::from(slot.index), address);
        let model = SocketModel {
            state: state.cast_unsigned(),
            ..model
        };
        let _ = maps.update_socket(sockets, &slot.index.to_ne_bytes(), model, 0);
    }
    if let Some(namespaces) = maps.named("namespaces") {
        maps.update(namespaces, &[0; 4], &8u32.to_ne_bytes(), 0)
            .unwrap();
    }
    let ends = match six {
        true => ("2001:db8::1", "2001:db8::2"),
        false => ("192.0.2.1", "192.0.2.2"),
    };
    let skb = Skb {
        mark: 7,
        ..Skb::new(Frame::new(header(ends.0, ends.1)).bytes())
    };
    run(program, &mut maps, Input::Skb(skb), &mut Found(found)).unwrap()
}

#[test]
fn a_listener_takes_what_is_new_whatever_else_listens() {
    for (six, index) in [(false, 0), (true, 1)] {
        for found in [None, Some(TCP_LISTEN)] {
            let outcome = taken(POLICY, six, found, Some(TCP_LISTEN));
            assert_eq!(
                outcome.assigned.unwrap().id,
                index,
                "the slot of its family"
            );
            assert_eq!((outcome.code(), outcome.mark), (NEXT, Some(INTERCEPTED)));
        }
    }
}

#[test]
fn what_belongs_to_a_connection_is_left_to_it_with_the_mark() {
    // The slot may be empty by then.
    for held in [None, Some(TCP_LISTEN)] {
        for found in [TCP_ESTABLISHED, NEW_SYN_RECV, 6] {
            let outcome = taken(POLICY, false, Some(found), held);
            assert_eq!(outcome.assigned, None, "state {found}");
            assert_eq!((outcome.code(), outcome.mark), (NEXT, Some(INTERCEPTED)));
        }
    }
}

/// TC takes any socket, and one that does not listen would swallow the packet.
#[test]
fn a_socket_that_does_not_listen_is_absent() {
    for held in [None, Some(TCP_CLOSE), Some(TCP_ESTABLISHED)] {
        let outcome = taken(POLICY, true, None, held);
        assert_eq!(outcome.assigned, None, "{held:?}");
        assert_eq!(outcome.code(), TC_ACT_SHOT, "{held:?}");
    }
}

/// The state of what another namespace has says nothing of this one.
#[test]
fn a_handshake_in_another_namespace_is_not_ours() {
    let asked = "if socket exists in netns \"blue\" to sock proxy";
    let policy = POLICY.replace("to sock proxy", asked);
    let outcome = taken(&policy, false, None, Some(TCP_LISTEN));
    assert!(outcome.assigned.is_some());
    assert_eq!(outcome.mark, Some(INTERCEPTED));
}
