//! A router on the kernel under test: what passes through meets its list, with both interfaces, and what the router sends does not.
//!
//! Which interface a packet came in by the kernel keeps in a field that programs read where it leaves (`skb_iif`); a test run of a
//! program cannot set that on 5.10 (`convert___skb_to_skb` of net/bpf/test_run.c), so these packets are real.

use std::net::{IpAddr, UdpSocket};

use sockc_compiler::event::{Header, Transport};
use sockc_compiler::files::Texts;
use sockc_compiler::object;
use sockc_compiler::packet::build::Frame;
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::Options;
use sockc_runtime::lab::{BPFFS, Lab, MAC, Netlink, Probe, Reply};

use crate::cases::compile;

const POLICY: &str = "zone inside = one
zone outside = two
default forward drop
default out allow
through: allow forward udp to any:80 on zone inside to zone outside
refused: reject forward udp to any:81 on zone inside to zone outside
";

/// Those who talk through the router, and the length of a prefix that is only theirs.
const ENDS: [([&str; 2], u8); 2] = [
    (["10.1.0.2", "10.7.0.2"], 32),
    (["2001:db8:1::2", "2001:db8:7::2"], 128),
];
/// The sender's port.
const FROM: u16 = 4000;
/// Bytes of each packet.
const LENGTH: u32 = 100;

/// Sends packets of both families through; the error is what went wrong.
pub(crate) fn check() -> Result<(), String> {
    let lab = Lab::with(&["one", "two"]).map_err(words)?;
    lab.pass_on(true).map_err(words)?;
    apply(&lab)?;
    for (ends, length) in ENDS {
        let ends = ends.map(|end| end.parse::<IpAddr>().unwrap());
        let way = || {
            let mut netlink = Netlink::open()?;
            netlink.route(ends[0], length, "one")?;
            netlink.route(ends[1], length, "two")
        };
        lab.server.run(way).map_err(words)?.map_err(words)?;
        passes(&lab, ends).map_err(|what| format!("{ends:?}: {what}"))?;
    }
    Ok(())
}

fn words(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn apply(lab: &Lab) -> Result<(), String> {
    let made = compile(
        "passing",
        "passing.sk",
        POLICY.to_owned(),
        &mut Texts::default(),
    )?;
    let artifact = made.built.ok_or("nothing was made")?.artifact;
    let bytes = object::write(&artifact).map_err(words)?;
    let options = Options {
        bpffs: BPFFS.into(),
        ..Options::default()
    };
    let apply = || sockc_runtime::apply(&bytes, &artifact.manifest, &options);
    let applied = lab.server.run(apply).map_err(words)?;
    applied.map(drop).map_err(|error| error.to_string())
}

fn passes(lab: &Lab, ends: [IpAddr; 2]) -> Result<(), String> {
    let mut into = Probe::new(&lab.client, &lab.server, "one").map_err(words)?;
    let mut back = Probe::new(&lab.server, &lab.client, "one").map_err(words)?;
    let mut out = Probe::new(&lab.server, &lab.client, "two").map_err(words)?;
    for (port, passes) in [(80, true), (81, false), (82, false)] {
        into.send(&frame(ends, port, 64)).map_err(words)?;
        if out.saw(&frame(ends, port, 63)).map_err(words)? != passes {
            return Err(format!(
                "a packet to port {port} fared otherwise than its list says"
            ));
        }
        let answers = back.arrived().map_err(words)?;
        let read = |frame: &Vec<u8>| Reply::read(frame, ends[1], ends[0], (port, FROM));
        let refused = answers
            .iter()
            .filter_map(read)
            .any(|one| one == Reply::Unreachable);
        if refused != (port == 81) {
            return Err(format!(
                "of a packet to port {port} the sender heard otherwise"
            ));
        }
    }
    let send = || {
        let any = if ends[1].is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        UdpSocket::bind(any)?.send_to(b"own", (ends[1], 82))
    };
    lab.server.run(send).map_err(words)?.map_err(words)?;
    match out
        .arrived()
        .map_err(words)?
        .iter()
        .any(|frame| frame.ends_with(b"own"))
    {
        true => Ok(()),
        false => Err("what the router sends itself met the list of what passes through".to_owned()),
    }
}

fn frame([from, to]: [IpAddr; 2], port: u16, ttl: u8) -> Vec<u8> {
    let header = Header {
        from,
        to,
        protocol: IpProtocol::UDP,
        transport: Transport::Ports {
            from: FROM,
            to: port,
        },
        ttl,
        length: LENGTH,
        ..Header::PLAIN
    };
    Frame::new(header).addresses(MAC, MAC).bytes()
}
