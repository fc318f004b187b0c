//! The printed form of a function, for `--emit ir`.

use std::fmt::{self, Display, Formatter};

use super::{Arg, End, Function, Give, Inst, Operand, forward_order};

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "function {} in {}", self.name, self.section.name())?;
        for (slot, data) in &self.slots {
            writeln!(f, "  {slot}: {} bytes at {}", data.size, data.offset)?;
        }
        let mut origin = None;
        for block in forward_order(self).unwrap_or_default() {
            let data = &self.blocks[block];
            write!(f, "{block}:")?;
            if origin != Some(data.origin) {
                origin = Some(data.origin);
                let place = &self.origins[data.origin];
                write!(f, "    ; {}:{} {}", place.file, place.line, place.text)?;
            }
            writeln!(f)?;
            for inst in &data.insts {
                writeln!(f, "  {inst}")?;
            }
            writeln!(f, "  {}", data.end)?;
        }
        Ok(())
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imm(imm) => write!(f, "{imm:#x}"),
            Self::Value(value) => write!(f, "{value}"),
        }
    }
}

impl Display for Inst {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument { dst } => write!(f, "{dst} = argument"),
            Self::Imm { dst, imm } => write!(f, "{dst} = {imm:#x}"),
            Self::Copy { dst, src } => write!(f, "{dst} = {src}"),
            Self::Alu { op, value, rhs } => write!(f, "{value} = {op:?} {value}, {rhs}"),
            Self::FromNetwork { value, bits } => write!(f, "{value} = from_network{bits} {value}"),
            Self::Load {
                dst,
                base,
                offset,
                width,
            } => write!(f, "{dst} = load.{width:?} {base}{offset:+}"),
            Self::Store {
                base,
                offset,
                src,
                width,
            } => write!(f, "store.{width:?} {base}{offset:+}, {src}"),
            Self::LoadSlot {
                dst,
                slot,
                byte,
                width,
            } => write!(f, "{dst} = load.{width:?} {slot}+{byte}"),
            Self::StoreSlot {
                slot,
                byte,
                src,
                width,
            } => write!(f, "store.{width:?} {slot}+{byte}, {src}"),
            Self::SetSlot {
                slot,
                byte,
                imm,
                width,
            } => write!(f, "store.{width:?} {slot}+{byte}, {imm:#x}"),
            Self::MapValue { dst, map, offset } => write!(f, "{dst} = &{map}[0]+{offset}"),
            Self::AtomicAdd {
                base,
                offset,
                src,
                width,
            } => write!(f, "atomic_add.{width:?} {base}{offset:+}, {src}"),
            Self::CompareExchange {
                dst,
                base,
                offset,
                expected,
                new,
            } => write!(
                f,
                "{dst} = compare_exchange.DW {base}{offset:+}, {expected}, {new}"
            ),
            Self::Call { helper, args, dst } => {
                if let Some(dst) = dst {
                    write!(f, "{dst} = ")?;
                }
                write!(f, "call {}(", helper.name())?;
                for (index, arg) in args.iter().enumerate() {
                    write!(f, "{}{arg}", if index == 0 { "" } else { ", " })?;
                }
                write!(f, ")")
            }
        }
    }
}

impl Display for Arg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Imm(imm) => write!(f, "{imm}"),
            Self::SlotAddress(slot) => write!(f, "&{slot}"),
            Self::SlotValue(slot, width) => write!(f, "{slot}.{width:?}"),
            Self::Map(map) => write!(f, "{map}"),
        }
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => write!(f, "open"),
            Self::Jump(block) => write!(f, "jump {block}"),
            Self::Branch {
                op,
                narrow,
                lhs,
                rhs,
                then,
                other,
            } => {
                let bits = if *narrow { 32 } else { 64 };
                write!(f, "if {lhs} {op:?}.{bits} {rhs} then {then} else {other}")
            }
            Self::Return(imm) => write!(f, "return {imm}"),
            Self::ReturnValue(value) => write!(f, "return {value}"),
            Self::Socket(region) => {
                let netns = match region.netns {
                    Some(netns) => format!(" in {netns}"),
                    None => String::new(),
                };
                write!(
                    f,
                    "socket {} = {}(&{}, {}){netns} then {}",
                    region.state, region.protocol, region.tuple, region.size, region.next
                )
            }
            Self::Slot(region) => {
                let verb = match region.give {
                    Give::Nothing => "present".to_owned(),
                    Give::ToLookup { alone: false } => "assign".to_owned(),
                    Give::ToLookup { alone: true } => "assign-alone".to_owned(),
                    Give::ToPacket(state) => format!("assign state {state}"),
                };
                let (map, key) = (region.map, region.key);
                match &region.places {
                    None => write!(f, "{verb} {map}[{key}]")?,
                    Some(places) => {
                        write!(f, "{verb} {map}[{}+{}]", places.first, places.count)?;
                        if let Some(hash) = places.hash {
                            write!(f, " by {hash}")?;
                        }
                    }
                }
                write!(f, " then {} else {}", region.hit, region.miss)
            }
            Self::Headers(region) => write!(
                f,
                "headers {}+{} {} {} then {} later {} malformed {} short {}",
                region.network,
                region.cursor,
                region.protocol,
                region.part,
                region.transport,
                region.later,
                region.malformed,
                region.short
            ),
            Self::Frame(region) => write!(
                f,
                "frame {} {} then {} else {}",
                region.cursor, region.kind, region.ip, region.other
            ),
        }
    }
}
