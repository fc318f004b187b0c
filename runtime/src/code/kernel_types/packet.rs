//! Where the kernel keeps what a tracing program reads of a packet that another program has just decided about.
//!
//! Not here: what is read of it, and when (`crate::drops`).

use super::{Structure, Types, VMLINUX, after, description, word};

/// `BTF_KIND_UNION`.
const UNION: u32 = 5;
/// So many structures without a name stand in each other at most.
const DEPTH: usize = 8;

/// Offsets in `xdp_buff` and `sk_buff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketTypes {
    /// `xdp_buff.data` and `xdp_buff.data_end`: pointers to the frame and behind it.
    pub(crate) frame: [u16; 2],
    /// `sk_buff.len`: its bytes from the Ethernet header on, while TC looks at it. Four bytes.
    pub(crate) length: u16,
    /// `sk_buff.mark`, 4 bytes.
    pub(crate) mark: u16,
    /// `sk_buff.vlan_proto` and `sk_buff.vlan_tci`: the tag that was taken off, 2 bytes each.
    pub(crate) tag: [u16; 2],
    /// Up to Linux 6.0 `sk_buff.vlan_present`: the byte and its bit. Since then a tag without a protocol is none.
    pub(crate) tagged: Option<(u16, u8)>,
}

impl PacketTypes {
    /// Reads them; the text says why that cannot be.
    pub(crate) fn read() -> Result<Self, String> {
        Self::parse(description()?)
            .ok_or_else(|| format!("{VMLINUX} does not tell where a packet's bytes are"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let types = Types::parse(bytes)?;
        let (frame, buffer) = (types.structure("xdp_buff")?, types.structure("sk_buff")?);
        let bytes_at = |of, name| {
            let bits = types.deep(of, name, DEPTH)?;
            u16::try_from(bits / 8).ok()
        };
        let tagged = types.deep(buffer, "vlan_present", DEPTH);
        let tagged = tagged.and_then(|bits| Some((u16::try_from(bits / 8).ok()?, 1 << (bits % 8))));
        Some(Self {
            frame: [bytes_at(frame, "data")?, bytes_at(frame, "data_end")?],
            length: bytes_at(buffer, "len")?,
            mark: bytes_at(buffer, "mark")?,
            tag: [
                bytes_at(buffer, "vlan_proto")?,
                bytes_at(buffer, "vlan_tci")?,
            ],
            tagged,
        })
    }
}

impl<'a> Types<'a> {
    /// At which bit a member begins, which may stand in structures and unions without a name.
    fn deep(&self, structure: Structure<'a>, name: &str, depth: usize) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        let members = structure.members.as_chunks::<12>().0;
        members.iter().find_map(|member| {
            let (named, of, at) = (word(member, 0)?, word(member, 4)?, word(member, 8)?);
            let at = match structure.bit_fields {
                true => at & 0x00ff_ffff,
                false => at,
            };
            match named {
                // The name at 0 is no name.
                0 => Some(at + self.deep(self.numbered(of)?, name, depth)?),
                _ => self.is_named(named, name).then_some(at),
            }
        })
    }

    /// The structure or union of this number.
    fn numbered(&self, number: u32) -> Option<Structure<'a>> {
        let mut at = 0;
        // Numbers begin at 1: 0 is `void`.
        for _ in 1..number {
            let info = word(self.types, at + 4)?;
            at += 12 + after((info >> 24) & 0x1f, usize::try_from(info & 0xffff).ok()?)?;
        }
        let info = word(self.types, at + 4)?;
        let (kind, count) = ((info >> 24) & 0x1f, usize::try_from(info & 0xffff).ok()?);
        matches!(kind, super::STRUCT | UNION).then_some(())?;
        Some(Structure {
            members: self.types.get(at + 12..at + 12 + after(kind, count)?)?,
            bit_fields: info >> 31 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_tells_where_a_packet_is() {
        if !super::super::are_told() {
            return;
        }
        let types = PacketTypes::read().unwrap();
        let [data, end] = types.frame;
        assert!(end > data || data > end);
        // All of these stand in structures without a name, and none where another one does.
        let [protocol, tag] = types.tag;
        assert_eq!(tag, protocol + 2);
        assert!(types.length > 0 && types.mark > 0 && types.mark != types.length);
    }
}
