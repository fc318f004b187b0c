//! A router between the interface at which frames arrive and a namespace that counts and drops them.
//!
//! Gives the stage of a measurement, and how many frames arrived behind it. Not here: who decides what is forwarded.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::rc::Rc;

use aya_obj::generated::bpf_attach_type;
use nix::net::if_::if_nametoindex;
use sockc_runtime::lab::Space;

use crate::rules::RuleSet;
use crate::stage::{Problem, Stage};
use crate::syscalls::link;
use crate::syscalls::prog::AttachTarget;
use crate::systems::Layer;
use crate::systems::patient;
use crate::systems::plain::drop_all;
use crate::written::{self, System};

/// The interface by which frames leave, at both of its ends.
pub(crate) const FAR: &str = "far";
/// How the router is set up: an address, one neighbour, and everything by way of that.
const ROUTES: [&str; 5] = [
    "link set far up",
    "address add 10.7.0.1/16 dev far",
    "neighbour add 10.7.0.2 lladdr 02:00:00:00:07:02 dev far nud permanent",
    "route add 0.0.0.0/1 via 10.7.0.2",
    "route add 128.0.0.0/1 via 10.7.0.2",
];

/// A router with a system in force.
pub(crate) struct Router {
    pub(crate) stage: Rc<Stage>,
    far: Space,
    /// A link ends with its last descriptor.
    _sink: OwnedFd,
    is_ours: bool,
}

impl Router {
    /// A router that forwards what the system allows; `None` where the rules cannot be said in it.
    pub(crate) fn new(system: System, set: &RuleSet) -> Result<Option<Self>, Problem> {
        let loaded = match system {
            System::Nobody => Load::Nothing,
            System::Sockc => Load::Policy(written::policy(set)),
            System::NftChain => Load::Script(written::chain(set)),
            System::NftSet => match written::set(set) {
                Some(script) => Load::Script(script),
                None => return Ok(None),
            },
        };
        let (stage, far) = (Stage::new()?, Space::new()?);
        let net = format!("/proc/{}/fd/{}", std::process::id(), far.net().as_raw_fd());
        let peer = format!("link add {FAR} type veth peer name {FAR} netns {net}");
        stage.inside(|| ip(&peer))?;
        far.run(|| ip("link set far address 02:00:00:00:07:02 up"))??;
        stage.inside(|| ROUTES.iter().try_for_each(|line| ip(line)))?;
        stage.inside(routes_all)?;
        let is_ours = matches!(loaded, Load::Policy(_));
        stage.inside(|| loaded.run())?;
        let sink = far.run(sink)??;
        Ok(Some(Self {
            stage: Rc::new(stage),
            far,
            _sink: sink,
            is_ours,
        }))
    }

    /// How many frames have arrived behind the router.
    pub(crate) fn arrived(&self) -> Result<u64, Problem> {
        self.far.run(|| -> Result<u64, Problem> {
            let shown = Command::new("ip")
                .args(["-j", "-s", "link", "show", FAR])
                .output()?;
            let shown: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
            let packets = shown[0]["stats64"]["rx"]["packets"].as_u64();
            packets.ok_or_else(|| "ip shows no packets".into())
        })?
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if self.is_ours {
            // The namespace goes, and with it all that hangs on its interfaces; this is for the pins.
            let unload = || Ok(sockc(&["unload", "--yes"], "").is_ok());
            let _ = self.stage.inside(unload);
        }
    }
}

/// What is loaded by a command.
enum Load {
    Nothing,
    Policy(String),
    Script(String),
}

impl Load {
    fn run(&self) -> Result<(), Problem> {
        match self {
            Self::Nothing => Ok(()),
            Self::Policy(text) => sockc(&["apply", "--yes", "-"], text),
            Self::Script(text) => done(Command::new("nft").args(["-f", "-"]), text),
        }
    }
}

fn sockc(words: &[&str], input: &str) -> Result<(), Problem> {
    done(Command::new(env!("CARGO_BIN_EXE_sockc")).args(words), input)
}

fn ip(line: &str) -> Result<(), Problem> {
    done(Command::new("ip").args(line.split(' ')), "")
}

fn done(command: &mut Command, input: &str) -> Result<(), Problem> {
    patient::run(command, input).map_err(|unfit| unfit.to_string())?;
    Ok(())
}

/// Has the kernel forward, from whatever address.
fn routes_all() -> Result<(), Problem> {
    for (name, value) in [
        ("ip_forward", "1"),
        ("conf/all/rp_filter", "0"),
        ("conf/far/rp_filter", "0"),
    ] {
        std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value)?;
    }
    Ok(())
}

/// Drops what arrives, after it is counted.
fn sink() -> Result<OwnedFd, Problem> {
    let program = drop_all(Layer::Stack)?;
    let place = AttachTarget::Interface(if_nametoindex(FAR)?);
    Ok(link::create(
        program.as_fd(),
        place,
        bpf_attach_type::BPF_TCX_INGRESS,
        0,
    )?)
}
