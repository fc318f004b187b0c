//! Whose the sockets of a manifest's names have to be, and whether programs can ask for that on this machine.
//!
//! Takes a manifest; looks the names of users up, and asks the kernel once, where somebody wants to know. Not here: the code
//! that asks, which is [`crate::code::owner`].

use std::collections::BTreeMap;
use std::sync::OnceLock;

use nix::unistd::User;
use sockc_compiler::artifact::{Manifest, SlotOwner};
use sockc_compiler::bpf::opcode::Register;

use crate::code::kernel_types::KernelTypes;
use crate::code::owner::{self, Answers, Belongs, Scratch};
use crate::code::{Code, Label};
use crate::error::Error;

/// How many levels below the owner of a socket a control group is still seen to be its.
const LEVELS: usize = 16;
/// The owners of a manifest's sockets.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    named: BTreeMap<String, Belongs>,
    /// What programs need to ask whose a socket is, or why they cannot; asked for once.
    able: OnceLock<Result<KernelTypes, String>>,
}

impl Owners {
    /// Looks users' names up; one that the machine does not know is an error.
    pub(crate) fn of(manifest: &Manifest) -> Result<Self, Error> {
        let named = manifest.sockets.iter().filter_map(|socket| {
            let owner = resolved(&socket.name, socket.owner.as_ref()?);
            Some(owner.map(|owner| (socket.name.clone(), owner)))
        });
        Ok(Self {
            named: named.collect::<Result<_, Error>>()?,
            ..Self::default()
        })
    }

    /// Whose the sockets have to be whose queues take data. No program fills their slots.
    pub(crate) fn of_ends(manifest: &Manifest) -> Result<Self, Error> {
        let named = manifest.ends.iter().filter_map(|end| {
            let owner = resolved(&end.name, end.owner.as_ref()?);
            Some(owner.map(|owner| (end.name.clone(), owner)))
        });
        Ok(Self {
            named: named.collect::<Result<_, Error>>()?,
            ..Self::default()
        })
    }

    /// The same for who only looks: a user whose name is not known any more is nobody.
    pub(crate) fn known(manifest: &Manifest) -> Self {
        let named = manifest.sockets.iter().filter_map(|socket| {
            let owner = resolved(&socket.name, socket.owner.as_ref()?);
            Some((
                socket.name.clone(),
                owner.unwrap_or(Belongs::User(u32::MAX)),
            ))
        });
        Self {
            named: named.collect(),
            ..Self::default()
        }
    }

    /// Whose the sockets of this name have to be.
    pub(crate) fn belongs(&self, socket: &str) -> Option<&Belongs> {
        self.named.get(socket)
    }

    /// Why programs cannot ask whose a socket is, where some socket has an owner.
    pub(crate) fn unable(&self) -> Option<&str> {
        if self.named.is_empty() {
            return None;
        }
        self.types().err()
    }

    /// Whether programs can ask whose a socket is.
    pub(crate) fn can_ask(&self) -> bool {
        self.types().is_ok()
    }

    fn types(&self) -> Result<&KernelTypes, &str> {
        let able = self.able.get_or_init(owner::able);
        able.as_ref().map_err(String::as_str)
    }

    /// Whether a program may fill slots of a socket of this name.
    pub(crate) fn lets_programs_fill(&self, socket: &str) -> bool {
        self.belongs(socket).is_none() || self.can_ask()
    }

    /// Jumps to `other` unless the socket in a register belongs to the owner of the sockets of a name.
    pub(crate) fn check(
        &self,
        code: &mut Code,
        name: &str,
        socket: Register,
        scratch: Scratch,
        other: Label,
    ) {
        let Some(belongs) = self.belongs(name) else {
            return;
        };
        let Ok(types) = self.types() else {
            return code.jump(other);
        };
        let answers = Answers {
            other,
            unknown: other,
            levels: LEVELS,
        };
        owner::check(code, types, belongs, socket, scratch, answers);
    }
}

fn resolved(socket: &str, owner: &SlotOwner) -> Result<Belongs, Error> {
    let name = match owner {
        SlotOwner::Uid(uid) => return Ok(Belongs::User(*uid)),
        SlotOwner::Cgroup(path) => return Ok(Belongs::cgroup(path)),
        SlotOwner::User(name) => name,
    };
    let refused = |cause: String| Error::Socket {
        name: socket.to_owned(),
        cause,
    };
    let user = User::from_name(name)
        .map_err(|error| refused(format!("the user \"{name}\" cannot be looked up: {error}")))?;
    let user = user.ok_or_else(|| {
        refused(format!(
            "its owner is the user \"{name}\", and this machine knows no user of that name"
        ))
    })?;
    Ok(Belongs::User(user.uid.as_raw()))
}
