//! Which values an instruction and the end of a block read and write, and which slots they name.

use super::{
    Arg, End, FrameRegion, Give, HeaderRegion, Inst, Operand, Places, Slot, SlotRegion,
    SocketRegion, Value,
};

impl Inst {
    /// Calls `read` with every value that is read, in no order, perhaps more than once.
    pub fn reads(&self, mut read: impl FnMut(Value)) {
        match self {
            Self::Copy { src, .. } | Self::StoreSlot { src, .. } => read(*src),
            Self::Alu { value, rhs, .. } => {
                read(*value);
                rhs.value().into_iter().for_each(read);
            }
            Self::FromNetwork { value, .. } => read(*value),
            Self::Load { base, .. } => read(*base),
            Self::Store { base, src, .. } | Self::AtomicAdd { base, src, .. } => {
                read(*base);
                read(*src);
            }
            Self::CompareExchange {
                base,
                expected,
                new,
                ..
            } => [*base, *expected, *new].into_iter().for_each(read),
            Self::Call { args, .. } => args.iter().filter_map(Arg::value).for_each(read),
            Self::Argument { .. }
            | Self::Imm { .. }
            | Self::LoadSlot { .. }
            | Self::SetSlot { .. }
            | Self::MapValue { .. } => {}
        }
    }

    /// The value that is written.
    #[must_use]
    pub fn writes(&self) -> Option<Value> {
        match self {
            Self::Argument { dst }
            | Self::Imm { dst, .. }
            | Self::Copy { dst, .. }
            | Self::Alu { value: dst, .. }
            | Self::FromNetwork { value: dst, .. }
            | Self::Load { dst, .. }
            | Self::LoadSlot { dst, .. }
            | Self::MapValue { dst, .. }
            | Self::CompareExchange { dst, .. } => Some(*dst),
            Self::Call { dst, .. } => *dst,
            Self::Store { .. }
            | Self::StoreSlot { .. }
            | Self::SetSlot { .. }
            | Self::AtomicAdd { .. } => None,
        }
    }

    /// Calls `with` with every slot that is read, written or pointed to.
    pub fn slots(&mut self, mut with: impl FnMut(&mut Slot)) {
        match self {
            Self::LoadSlot { slot, .. }
            | Self::StoreSlot { slot, .. }
            | Self::SetSlot { slot, .. } => with(slot),
            Self::Call { args, .. } => args.iter_mut().filter_map(Arg::slot).for_each(with),
            Self::Argument { .. }
            | Self::Imm { .. }
            | Self::Copy { .. }
            | Self::Alu { .. }
            | Self::FromNetwork { .. }
            | Self::Load { .. }
            | Self::Store { .. }
            | Self::MapValue { .. }
            | Self::AtomicAdd { .. }
            | Self::CompareExchange { .. } => {}
        }
    }
}

impl End {
    /// Calls `read` with every value that is read, in no order.
    pub fn reads(&self, mut read: impl FnMut(Value)) {
        match self {
            Self::Branch { lhs, rhs, .. } => {
                read(*lhs);
                rhs.value().into_iter().for_each(read);
            }
            Self::ReturnValue(value) => read(*value),
            Self::Socket(region) => [region.context, region.size].into_iter().for_each(read),
            Self::Slot(region) if region.give != Give::Nothing => read(region.context),
            Self::Headers(region) => {
                [region.network, region.end, region.cursor]
                    .into_iter()
                    .for_each(read);
            }
            Self::Frame(region) => read(region.context),
            Self::Open | Self::Jump(_) | Self::Return(_) | Self::Slot(_) => {}
        }
    }

    /// Calls `with` with every slot that is read, written or pointed to.
    pub fn slots(&mut self, mut with: impl FnMut(&mut Slot)) {
        match self {
            // Each field is named: a slot that is left out here would be another one after slots have moved.
            Self::Socket(SocketRegion {
                context: _,
                protocol,
                tuple,
                size: _,
                netns,
                state,
                next: _,
            }) => {
                [protocol, tuple, state].into_iter().for_each(&mut with);
                netns.iter_mut().for_each(with);
            }
            Self::Slot(SlotRegion {
                map: _,
                key,
                context: _,
                carrier: _,
                give: _,
                result,
                places,
                hit: _,
                miss: _,
            }) => {
                with(key);
                result.iter_mut().for_each(&mut with);
                if let Some(Places {
                    count: _,
                    first,
                    hash,
                    turn: _,
                }) = places
                {
                    with(first);
                    hash.iter_mut().for_each(with);
                }
            }
            Self::Headers(HeaderRegion {
                network: _,
                end: _,
                cursor: _,
                protocol,
                part,
                transport: _,
                later: _,
                malformed: _,
                short: _,
            }) => [protocol, part].into_iter().for_each(with),
            Self::Frame(FrameRegion {
                context: _,
                cursor: _,
                taken_off: _,
                kind,
                ip: _,
                other: _,
            }) => with(kind),
            Self::Open
            | Self::Jump(_)
            | Self::Branch { .. }
            | Self::Return(_)
            | Self::ReturnValue(_) => {}
        }
    }
}

impl Operand {
    /// The value, if it is one.
    #[must_use]
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Imm(_) => None,
        }
    }
}

impl Arg {
    /// The value, if it is one.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Imm(_) | Self::SlotAddress(_) | Self::SlotValue(..) | Self::Map(_) => None,
        }
    }

    /// The slot, if it is one or its address.
    fn slot(&mut self) -> Option<&mut Slot> {
        match self {
            Self::SlotAddress(slot) | Self::SlotValue(slot, _) => Some(slot),
            Self::Value(_) | Self::Imm(_) | Self::Map(_) => None,
        }
    }
}
