//! Checks what a function must hold whatever built it: a failure is always a bug of the compiler.
//!
//! Checked: nothing impossible happened while it was built; every block that can be reached ends; control flow goes forward;
//! every value is written before it is read, on every way; the argument is read before anything else; calls have as many
//! arguments as there are registers for them; slots are not overrun; the stack holds 512 bytes. Not checked: that all values
//! find registers, which `emit` says.

use std::fmt::{self, Display, Formatter};

use super::{Arg, Block, End, Function, Inst, Liveness, Slot, SocketRegion, forward_order};
use crate::bpf::limits::STACK;
use crate::bpf::opcode::Width;

/// r1 to r5.
const ARGUMENTS: usize = 5;

/// What is wrong with a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The function's name.
    pub function: String,
    /// The block.
    pub block: Option<Block>,
    /// What is wrong.
    pub what: String,
}

impl Display for Invalid {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.function)?;
        if let Some(block) = self.block {
            write!(f, "{block}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// A function that holds what it must, and what was found out about it.
pub(crate) struct Valid<'f> {
    /// The function.
    pub(crate) function: &'f Function,
    /// The blocks that can be reached, in [`forward_order`].
    pub(crate) order: Vec<Block>,
    /// Which values are read after each place.
    pub(crate) liveness: Liveness,
}

/// Checks a function.
///
/// # Errors
///
/// The first thing that is wrong.
pub(crate) fn validate(function: &Function) -> Result<Valid<'_>, Invalid> {
    let fail = |block, what: String| Invalid {
        function: function.name.clone(),
        block,
        what,
    };
    if let Some(bug) = &function.bug {
        return Err(fail(None, bug.clone()));
    }
    let order = forward_order(function).ok_or_else(|| fail(None, "a jump goes backward".into()))?;
    for (slot, data) in &function.slots {
        if usize::from(data.offset.unsigned_abs()) > STACK {
            return Err(fail(None, format!("{slot} lies beyond the stack")));
        }
    }
    for &block in &order {
        check_block(function, block).map_err(|what| fail(Some(block), what))?;
    }
    let liveness = Liveness::of(function, &order);
    // A value that some way reads and does not write before is needed by the first block.
    match liveness.before(function.entry).first() {
        Some(value) => Err(fail(None, format!("{value} is read where it has no value"))),
        None => Ok(Valid {
            function,
            order,
            liveness,
        }),
    }
}

fn check_block(function: &Function, block: Block) -> Result<(), String> {
    let check = Check { function };
    let data = &function.blocks[block];
    for (index, inst) in data.insts.iter().enumerate() {
        let first = block == function.entry && index == 0;
        if matches!(inst, Inst::Argument { .. }) && !first {
            return Err("the argument is read too late".into());
        }
        check.inst(inst)?;
    }
    match &data.end {
        End::Socket(region) => {
            if let Some(netns) = region.netns {
                check.slot(netns, 0, 4)?;
            }
            check.slot(region.protocol, 0, 1)?;
            check.slot(region.tuple, 0, SocketRegion::TUPLE)
        }
        End::Slot(region) => {
            if let Some(result) = region.result {
                check.slot(result, 0, 4)?;
            }
            if let Some(places) = &region.places {
                check.slot(places.first, 0, 4)?;
                if let Some(hash) = places.hash {
                    check.slot(hash, 0, 8)?;
                }
            }
            check.slot(region.key, 0, 4)
        }
        End::Headers(region) => {
            check.slot(region.protocol, 0, 1)?;
            check.slot(region.part, 0, 1)
        }
        End::Frame(region) => check.slot(region.kind, 0, 2),
        End::Open => Err("it has no end".into()),
        End::Jump(_) | End::Branch { .. } | End::Return(_) | End::ReturnValue(_) => Ok(()),
    }
}

struct Check<'f> {
    function: &'f Function,
}

impl Check<'_> {
    fn inst(&self, inst: &Inst) -> Result<(), String> {
        match inst {
            Inst::LoadSlot {
                slot, byte, width, ..
            }
            | Inst::StoreSlot {
                slot, byte, width, ..
            }
            | Inst::SetSlot {
                slot, byte, width, ..
            } => self.access(*slot, *byte, *width),
            Inst::Call { args, .. } if args.len() > ARGUMENTS => {
                Err(format!("a call has {} arguments", args.len()))
            }
            Inst::Call { args, .. } => {
                let after = args.iter().skip(1).map(Some).chain([None]);
                let mut args = args.iter().zip(after);
                args.try_for_each(|(arg, after)| self.arg(*arg, after))
            }
            Inst::Argument { .. }
            | Inst::Imm { .. }
            | Inst::Copy { .. }
            | Inst::Alu { .. }
            | Inst::FromNetwork { .. }
            | Inst::Load { .. }
            | Inst::Store { .. }
            | Inst::MapValue { .. }
            | Inst::AtomicAdd { .. }
            | Inst::CompareExchange { .. } => Ok(()),
        }
    }

    /// The number after an address is how many bytes there the helper takes; one for which no number stands takes no more
    /// than the slot has. (Flags that stand there are no larger than a slot.)
    fn arg(&self, arg: Arg, after: Option<&Arg>) -> Result<(), String> {
        match (arg, after) {
            (Arg::SlotValue(slot, width), _) => self.access(slot, 0, width),
            (Arg::SlotAddress(slot), Some(Arg::Imm(bytes))) => {
                let bytes = usize::try_from(*bytes);
                self.slot(slot, 0, bytes.map_err(|_| format!("{slot} is overrun"))?)
            }
            (Arg::Value(_) | Arg::Imm(_) | Arg::SlotAddress(_) | Arg::Map(_), _) => Ok(()),
        }
    }

    fn access(&self, slot: Slot, byte: u8, width: Width) -> Result<(), String> {
        self.slot(slot, usize::from(byte), width.bytes())
    }

    fn slot(&self, slot: Slot, byte: usize, size: usize) -> Result<(), String> {
        if byte + size <= self.function.slots[slot].size as usize {
            Ok(())
        } else {
            Err(format!("{slot} is overrun"))
        }
    }
}
