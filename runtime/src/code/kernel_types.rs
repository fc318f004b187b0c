//! Where the running kernel keeps what says whose a socket is, and which network namespace is which.
//!
//! Takes the kernel's own description of its types (`/sys/kernel/btf/vmlinux`); gives offsets in its structures, for the
//! programs that the runtime makes on this very machine. Objects of the compiler never hold such offsets. What a program does
//! with them is in [`super::owner`] and [`crate::names::departed`].

mod packet;
mod queue;

use std::fs;
use std::sync::OnceLock;

pub(crate) use packet::PacketTypes;
pub(crate) use queue::{CallTypes, QueueTypes};

/// Where the kernel describes its types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// `BTF_MAGIC` of `linux/btf.h`.
const MAGIC: u16 = 0xeb9f;
/// `BTF_KIND_STRUCT`.
const STRUCT: u32 = 4;

/// Whether the kernel describes its types at all.
pub(crate) fn are_told() -> bool {
    fs::exists(VMLINUX).unwrap_or(false)
}

/// The description, which is read once: it is some megabytes, and the kernel gives a page of it at a time.
fn description() -> Result<&'static [u8], String> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(bytes) = BYTES.get() {
        return Ok(bytes);
    }
    let bytes = fs::read(VMLINUX).map_err(|error| format!("{VMLINUX}: {error}"))?;
    Ok(BYTES.get_or_init(|| bytes))
}

/// Offsets of fields, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelTypes {
    /// `sock.sk_uid`: the user that made the socket, 4 bytes.
    pub(crate) sock_uid: u16,
    /// `sock.sk_cgrp_data`: begins with the pointer to the control group; up to Linux 5.14 its low bits are flags.
    pub(crate) sock_cgroup: u16,
    /// `cgroup.level`: 0 for the root, 4 bytes.
    pub(crate) cgroup_level: u16,
    /// `cgroup.kn`: the node of its folder.
    pub(crate) cgroup_node: u16,
    /// `kernfs_node.name`: the folder's name.
    pub(crate) node_name: u16,
    /// `kernfs_node.parent`: the node of the folder above; `__parent` from Linux 6.15 on.
    pub(crate) node_parent: u16,
}

impl KernelTypes {
    /// Reads them; the text says why that cannot be.
    pub(crate) fn read() -> Result<Self, String> {
        Self::parse(description()?)
            .ok_or_else(|| format!("{VMLINUX} does not tell where a socket's owner is"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let types = Types::parse(bytes)?;
        let sock = types.structure("sock")?;
        let cgroup = types.structure("cgroup")?;
        let node = types.structure("kernfs_node")?;
        let parent = types.offset(node, "__parent");
        Some(Self {
            sock_uid: types.offset(sock, "sk_uid")?,
            sock_cgroup: types.offset(sock, "sk_cgrp_data")?,
            cgroup_level: types.offset(cgroup, "level")?,
            cgroup_node: types.offset(cgroup, "kn")?,
            node_name: types.offset(node, "name")?,
            node_parent: parent.or_else(|| types.offset(node, "parent"))?,
        })
    }
}

/// Where the kernel keeps which network namespace is which, and whether somebody holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceTypes {
    /// `sock.__sk_common.skc_net`: the pointer to a socket's namespace.
    pub(crate) sock_net: u16,
    /// `net.ns.inum`: the inode, 4 bytes.
    pub(crate) inode: u16,
    /// How many hold it, 4 bytes: `net.count` up to Linux 5.10, `net.ns.count`, and `net.ns.__ns_ref` from 6.18 on.
    pub(crate) references: u16,
}

impl NamespaceTypes {
    /// Reads them; the text says why that cannot be.
    pub(crate) fn read() -> Result<Self, String> {
        Self::parse(description()?)
            .ok_or_else(|| format!("{VMLINUX} does not tell where a network namespace is"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let types = Types::parse(bytes)?;
        let [net, space, common, sock] =
            ["net", "ns_common", "sock_common", "sock"].map(|name| types.structure(name));
        let (net, space) = (net?, space?);
        let within = types.offset(net, "ns")?;
        let mut counted = ["count", "__ns_ref"].into_iter();
        let counted = counted.find_map(|name| types.offset(space, name));
        Some(Self {
            sock_net: types.offset(sock?, "__sk_common")? + types.offset(common?, "skc_net")?,
            inode: within + types.offset(space, "inum")?,
            references: match types.offset(net, "count") {
                Some(count) => count,
                None => within + counted?,
            },
        })
    }
}

/// Where the kernel keeps what is between a process and a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionTypes {
    /// `inet_connection_sock.icsk_ulp_ops`: the pointer to the protocol that was put there, 0 if there is none.
    pub(crate) layer: u16,
}

impl ConnectionTypes {
    /// Reads them; the text says why that cannot be.
    pub(crate) fn read() -> Result<Self, String> {
        Self::parse(description()?)
            .ok_or_else(|| format!("{VMLINUX} does not tell what is between a process and TCP"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let types = Types::parse(bytes)?;
        let connection = types.structure("inet_connection_sock")?;
        Some(Self {
            layer: types.offset(connection, "icsk_ulp_ops")?,
        })
    }
}

/// Where the kernel keeps what it knows of a TCP segment that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentTypes {
    /// `sk_buff.cb`, which is a `tcp_skb_cb` then.
    pub(crate) control: u16,
    /// `tcp_skb_cb.seq` and `tcp_skb_cb.end_seq`: the sequence numbers at which it begins and ends, 4 bytes each.
    pub(crate) numbers: [u16; 2],
}

impl SegmentTypes {
    /// Reads them; the text says why that cannot be.
    pub(crate) fn read() -> Result<Self, String> {
        Self::parse(description()?)
            .ok_or_else(|| format!("{VMLINUX} does not tell what a TCP segment is"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let types = Types::parse(bytes)?;
        let segment = types.structure("tcp_skb_cb")?;
        Some(Self {
            control: types.offset(types.structure("sk_buff")?, "cb")?,
            numbers: [
                types.offset(segment, "seq")?,
                types.offset(segment, "end_seq")?,
            ],
        })
    }
}

/// Where the kernel keeps which program decides about what arrives on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArrivalTypes {
    /// `sock.sk_user_data`: of a socket in a SOCKMAP the pointer to its `sk_psock`, whose lowest bits are flags.
    pub(crate) user_data: u16,
    /// `sk_psock.progs.stream_verdict` and `.skb_verdict`: the pointers to the programs, 0 if there is none. A socket has one of them.
    pub(crate) verdicts: [u16; 2],
}

impl ArrivalTypes {
    /// Reads them; the text says why that cannot be.
    pub(crate) fn read() -> Result<Self, String> {
        Self::parse(description()?)
            .ok_or_else(|| format!("{VMLINUX} does not tell who decides about what arrives"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let types = Types::parse(bytes)?;
        let [sock, psock, programs] =
            ["sock", "sk_psock", "sk_psock_progs"].map(|name| types.structure(name));
        let (within, programs) = (types.offset(psock?, "progs")?, programs?);
        Some(Self {
            user_data: types.offset(sock?, "sk_user_data")?,
            verdicts: [
                within + types.offset(programs, "stream_verdict")?,
                within + types.offset(programs, "skb_verdict")?,
            ],
        })
    }
}

/// The sections of a description of types (BTF).
struct Types<'a> {
    types: &'a [u8],
    names: &'a [u8],
}

/// A structure: the bytes of its members.
#[derive(Clone, Copy)]
struct Structure<'a> {
    members: &'a [u8],
    /// Whether offsets hold the size of bit fields in their upper byte.
    bit_fields: bool,
}

impl<'a> Types<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let magic = bytes.first_chunk().copied().map(u16::from_ne_bytes)?;
        if magic != MAGIC {
            return None;
        }
        let header = |at: usize| word(bytes, at).and_then(|word| usize::try_from(word).ok());
        let body = bytes.get(header(4)?..)?;
        let section = |from: usize, size: usize| body.get(from..from.checked_add(size)?);
        Some(Self {
            types: section(header(8)?, header(12)?)?,
            names: section(header(16)?, header(20)?)?,
        })
    }

    /// The first structure of this name that has members.
    fn structure(&self, name: &str) -> Option<Structure<'a>> {
        self.find(|named, _| self.is_named(named, name))
    }

    /// The first structure that has members of these names, for those that have none of their own.
    fn structure_with(&self, members: [&str; 2]) -> Option<Structure<'a>> {
        self.find(|_, structure| {
            members
                .iter()
                .all(|name| self.offset(structure, name).is_some())
        })
    }

    fn find(&self, wanted: impl Fn(u32, Structure<'a>) -> bool) -> Option<Structure<'a>> {
        let mut at = 0;
        loop {
            let (named, info) = (word(self.types, at)?, word(self.types, at + 4)?);
            let (kind, count) = ((info >> 24) & 0x1f, usize::try_from(info & 0xffff).ok()?);
            let end = at + 12 + after(kind, count)?;
            if kind == STRUCT && count > 0 {
                let structure = Structure {
                    members: self.types.get(at + 12..end)?,
                    bit_fields: info >> 31 == 1,
                };
                if wanted(named, structure) {
                    return Some(structure);
                }
            }
            at = end;
        }
    }

    /// Where a member begins.
    fn offset(&self, structure: Structure<'_>, name: &str) -> Option<u16> {
        let members = structure.members.as_chunks::<12>().0.iter();
        let mut named = members
            .filter(|member| word(*member, 0).is_some_and(|found| self.is_named(found, name)));
        let bits = word(named.next()?, 8)?;
        let bits = if structure.bit_fields {
            bits & 0x00ff_ffff
        } else {
            bits
        };
        u16::try_from(bits / 8).ok()
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|at| self.names.get(at..));
        let rest = found.and_then(|found| found.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// How many bytes stand after the 12 of a type of this kind (`linux/btf.h`); `None` for a kind that is not known.
fn after(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Pointers, forward declarations, names, qualifiers, functions, numbers with a point, tags of types.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables, tags of declarations.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, sections, enumerations of 64 bits.
        4 | 5 | 15 | 19 => count * 12,
        // Enumerations, parameters of functions.
        6 | 13 => count * 8,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk().copied()?;
    Some(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A description with one integer, one structure of this name and its member at a bit.
    fn sample(structure: &str, member: &str, bit: u32) -> Vec<u8> {
        let names = format!("\0int\0{structure}\0{member}\0");
        let member_at = u32::try_from(6 + structure.len()).unwrap();
        let types: Vec<u32> = vec![
            1,
            1 << 24,
            4,
            32, // An integer.
            5,
            (4 << 24) | 1,
            8,
            member_at,
            1,
            bit, // A structure of one member.
        ];
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_ne_bytes).collect();
        let (size, strings) = (
            u32::try_from(types.len()).unwrap(),
            u32::try_from(names.len()).unwrap(),
        );
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend(
            [24, 0, size, size, strings]
                .into_iter()
                .flat_map(u32::to_ne_bytes),
        );
        [bytes, types, names.into_bytes()].concat()
    }

    #[test]
    fn a_member_is_found_after_other_types() {
        let bytes = sample("sock", "sk_uid", 4096);
        let types = Types::parse(&bytes).unwrap();
        let sock = types.structure("sock").unwrap();
        assert_eq!(types.offset(sock, "sk_uid"), Some(512));
        assert_eq!(types.offset(sock, "sk_ui"), None);
        assert!(types.structure("soc").is_none());
    }

    #[test]
    fn what_is_cut_off_tells_nothing() {
        let bytes = sample("sock", "sk_uid", 4096);
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            assert!(KernelTypes::parse(cut).is_none());
        }
    }

    #[test]
    fn the_running_kernel_tells_all_of_them() {
        if fs::exists(VMLINUX).unwrap_or(false) {
            let types = KernelTypes::read().unwrap();
            assert!(types.sock_uid > 0 && types.node_parent != types.node_name);
            assert!(NamespaceTypes::read().unwrap().sock_net > 0);
            assert!(ConnectionTypes::read().unwrap().layer > 0);
            let queue = QueueTypes::read().unwrap();
            assert!(queue.owned > 0 && queue.calls.thread != queue.calls.wakes);
            let [stream, skb] = ArrivalTypes::read().unwrap().verdicts;
            assert!(stream > 0 && skb > stream);
        }
    }
}
