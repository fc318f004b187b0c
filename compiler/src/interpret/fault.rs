//! What a kernel would not have let happen.

use std::fmt;

use crate::bpf::helper::Helper;
use crate::bpf::opcode::Register;

/// A fault and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The instruction, counted in 8-byte units.
    pub insn: usize,
    /// What happened.
    pub kind: FaultKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The program is of another type than its input.
    WrongInput,
    /// No instruction is there.
    OutOfProgram,
    /// The decoder does not know it.
    UnknownInstruction,
    /// More instructions ran than the verifier would process.
    TooManySteps,
    /// A register was read before it was written; calls void R1 to R5.
    UninitialisedRegister(Register),
    /// Stack bytes were read before they were written, or half of a pointer was read.
    UninitialisedStack,
    /// A NULL pointer was followed.
    NullPointer,
    /// A number was used as a pointer.
    NotAPointer,
    /// A pointer was used as a number.
    NotAScalar(Register),
    /// Arithmetic that a pointer does not stand.
    PointerArithmetic,
    /// Pointers were compared that have nothing to do with each other.
    PointerCompare,
    /// A pointer was put where only numbers may be.
    PointerStored,
    /// An access outside the packet's linear part, the stack, or a map's value.
    OutOfBounds,
    /// An access at an address that is no multiple of its width, where the kernel wants one.
    Misaligned,
    /// A packet pointer from before `bpf_skb_pull_data`.
    StalePacketPointer,
    /// No such field in the context or socket, or not with this width.
    BadField,
    /// A write to what programs only read.
    ReadOnly,
    /// A helper we do not use.
    UnknownHelper(u32),
    /// A helper that this type of program may not call.
    HelperNotAllowed(Helper),
    /// A helper's argument is not of the kind it takes.
    BadArgument(Register),
    /// A map reference without a relocation, or of the wrong kind of map.
    UnknownMap,
    /// The program ends and holds a socket.
    ReferenceLeak,
    /// A socket was used or released after its release.
    Released,
    /// A socket was released that was never taken.
    NotAReference,
    /// The return code is none that this type of program may give.
    BadReturn(u64),
    /// Something that the interpreter leaves out.
    Unsupported(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: {}", self.insn, self.kind)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::WrongInput => "the input is for another type of program",
            Self::OutOfProgram => "the program has no such instruction",
            Self::UnknownInstruction => "unknown instruction",
            Self::TooManySteps => "too many instructions ran",
            Self::UninitialisedRegister(register) => {
                return write!(f, "r{} was never written", register.number());
            }
            Self::UninitialisedStack => "read of stack bytes that were never written",
            Self::NullPointer => "a NULL pointer was followed",
            Self::NotAPointer => "a number was used as a pointer",
            Self::NotAScalar(register) => {
                return write!(f, "r{} holds a pointer, not a number", register.number());
            }
            Self::PointerArithmetic => "arithmetic on a pointer that allows none",
            Self::PointerCompare => "comparison of unrelated pointers",
            Self::PointerStored => "a pointer was stored where only numbers may be",
            Self::OutOfBounds => "access out of bounds",
            Self::Misaligned => "misaligned access",
            Self::StalePacketPointer => "a packet pointer from before the packet was pulled",
            Self::BadField => "no such field, or not of this width",
            Self::ReadOnly => "write to what is read-only",
            Self::UnknownHelper(number) => return write!(f, "unknown helper {number}"),
            Self::HelperNotAllowed(helper) => {
                return write!(f, "{} is not for this type of program", helper.name());
            }
            Self::BadArgument(register) => {
                return write!(
                    f,
                    "the helper does not take what is in r{}",
                    register.number()
                );
            }
            Self::UnknownMap => "no such map, or of the wrong kind",
            Self::ReferenceLeak => "a socket reference is still held at the end",
            Self::Released => "a socket was used after its release",
            Self::NotAReference => "a socket was released that was never taken",
            Self::BadReturn(code) => return write!(f, "return code {code:#x}"),
            Self::Unsupported(what) => return write!(f, "{what} is not supported"),
        };
        f.write_str(text)
    }
}

impl std::error::Error for Fault {}
