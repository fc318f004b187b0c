//! One instruction, 8 bytes in memory, little-endian.

/// A BPF instruction as the kernel's `struct bpf_insn`; 64-bit immediates take two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Insn {
    /// Class, size, mode or operation and source.
    pub opcode: u8,
    /// Destination register, 0 to 10.
    pub dst: u8,
    /// Source register, 0 to 10, or a pseudo value.
    pub src: u8,
    /// Offset: of a jump in instructions, of a memory access in bytes.
    pub offset: i16,
    /// Immediate.
    pub imm: i32,
}

impl Insn {
    /// The eight bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let [o0, o1] = self.offset.to_le_bytes();
        let [i0, i1, i2, i3] = self.imm.to_le_bytes();
        [
            self.opcode,
            self.src << 4 | self.dst,
            o0,
            o1,
            i0,
            i1,
            i2,
            i3,
        ]
    }

    /// The instruction in eight bytes; every pattern is one, whether the kernel takes it or not.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let [opcode, registers, o0, o1, i0, i1, i2, i3] = bytes;
        Self {
            opcode,
            dst: registers & 15,
            src: registers >> 4,
            offset: i16::from_le_bytes([o0, o1]),
            imm: i32::from_le_bytes([i0, i1, i2, i3]),
        }
    }
}
