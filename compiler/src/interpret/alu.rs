//! Arithmetic and comparisons, exactly as the instruction set says (RFC 9669, sections 4.1 and 4.3).

use crate::bpf::opcode::{AluOp, JumpOp};

/// The low 32 bits.
pub(super) fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// `left op right`; 32-bit results are zero-extended.
pub(super) fn apply(wide: bool, op: AluOp, left: u64, right: u64) -> u64 {
    if wide {
        apply64(op, left, right)
    } else {
        u64::from(apply32(op, low(left), low(right)))
    }
}

macro_rules! arithmetic {
    ($name:ident, $unsigned:ty, $low:expr) => {
        fn $name(op: AluOp, left: $unsigned, right: $unsigned) -> $unsigned {
            let amount: u32 = $low(right);
            let (signed_left, signed_right) = (left.cast_signed(), right.cast_signed());
            match op {
                AluOp::Add => left.wrapping_add(right),
                AluOp::Sub => left.wrapping_sub(right),
                AluOp::Mul => left.wrapping_mul(right),
                AluOp::Div => left.checked_div(right).unwrap_or(0),
                AluOp::Or => left | right,
                AluOp::And => left & right,
                // These shifts take the amount modulo the width, as the machine does.
                AluOp::Lsh => left.wrapping_shl(amount),
                AluOp::Rsh => left.wrapping_shr(amount),
                AluOp::Mod => left.checked_rem(right).unwrap_or(left),
                AluOp::Xor => left ^ right,
                AluOp::Mov => right,
                AluOp::Arsh => signed_left.wrapping_shr(amount).cast_unsigned(),
                AluOp::SDiv if right == 0 => 0,
                AluOp::SDiv => signed_left.wrapping_div(signed_right).cast_unsigned(),
                AluOp::SMod if right == 0 => left,
                AluOp::SMod => signed_left.wrapping_rem(signed_right).cast_unsigned(),
            }
        }
    };
}
arithmetic!(apply64, u64, low);
arithmetic!(apply32, u32, |amount| amount);

/// The low `bits` of `value`, sign-extended to 64 bits, or to 32 and zero-extended.
pub(super) fn extend(wide: bool, bits: u32, value: u64) -> u64 {
    let unused = 64 - bits;
    let extended = (value << unused).cast_signed() >> unused;
    let extended = extended.cast_unsigned();
    if wide {
        extended
    } else {
        u64::from(low(extended))
    }
}

/// The low `bits` of `value`, swapped or not; the bits above are zero.
pub(super) fn byte_order(swap: bool, bits: u32, value: u64) -> u64 {
    let unused = 64 - bits;
    if swap {
        value.swap_bytes() >> unused
    } else {
        value << unused >> unused
    }
}

/// Whether `left op right` holds, on 64 or on the low 32 bits.
pub(super) fn compare(wide: bool, op: JumpOp, left: u64, right: u64) -> bool {
    let (left, right) = if wide {
        (left, right)
    } else {
        // Sign-extending both sides keeps the order of unsigned values too.
        (extend(true, 32, left), extend(true, 32, right))
    };
    let (signed_left, signed_right) = (left.cast_signed(), right.cast_signed());
    match op {
        JumpOp::Eq => left == right,
        JumpOp::Gt => left > right,
        JumpOp::Ge => left >= right,
        JumpOp::Set => left & right != 0,
        JumpOp::Ne => left != right,
        JumpOp::SGt => signed_left > signed_right,
        JumpOp::SGe => signed_left >= signed_right,
        JumpOp::Lt => left < right,
        JumpOp::Le => left <= right,
        JumpOp::SLt => signed_left < signed_right,
        JumpOp::SLe => signed_left <= signed_right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_by_zero() {
        for wide in [true, false] {
            assert_eq!(apply(wide, AluOp::Div, 7, 0), 0);
            assert_eq!(apply(wide, AluOp::SDiv, 7, 0), 0);
        }
        let value = 0xffff_ffff_0000_0007;
        assert_eq!(apply(true, AluOp::Mod, value, 0), value);
        assert_eq!(apply(false, AluOp::Mod, value, 0), 7);
        assert_eq!(apply(true, AluOp::SMod, value, 0), value);
    }

    #[test]
    fn signed_overflow() {
        let least = 1 << 63;
        assert_eq!(apply(true, AluOp::SDiv, least, u64::MAX), least);
        assert_eq!(apply(true, AluOp::SMod, least, u64::MAX), 0);
        assert_eq!(apply(false, AluOp::SDiv, 1 << 31, u64::MAX), 1 << 31);
        assert_eq!(
            apply(true, AluOp::SDiv, 7, (-2i64).cast_unsigned()),
            (-3i64).cast_unsigned()
        );
    }

    #[test]
    fn narrow_results_are_zero_extended() {
        assert_eq!(apply(false, AluOp::Add, u64::MAX, 1), 0);
        assert_eq!(apply(false, AluOp::Sub, 0, 1), 0xffff_ffff);
        assert_eq!(apply(false, AluOp::Arsh, 0x8000_0000, 31), 0xffff_ffff);
        assert_eq!(apply(false, AluOp::Mov, 1 << 40, u64::MAX), 0xffff_ffff);
    }

    #[test]
    fn shift_amounts_are_masked() {
        assert_eq!(apply(true, AluOp::Lsh, 1, 65), 2);
        assert_eq!(apply(false, AluOp::Lsh, 1, 33), 2);
        assert_eq!(apply(true, AluOp::Rsh, 4, 1 << 32 | 1), 2);
        assert_eq!(apply(true, AluOp::Arsh, u64::MAX, 64), u64::MAX);
    }

    #[test]
    fn extension_and_byte_order() {
        assert_eq!(extend(true, 8, 0xff), u64::MAX);
        assert_eq!(extend(false, 8, 0x80), 0xffff_ff80);
        assert_eq!(extend(true, 32, 0x7fff_ffff), 0x7fff_ffff);
        assert_eq!(byte_order(true, 16, 0xdead_1234), 0x3412);
        assert_eq!(byte_order(true, 32, 0x1122_3344_5566_7788), 0x8877_6655);
        assert_eq!(byte_order(false, 16, 0xdead_1234), 0x1234);
        assert_eq!(byte_order(true, 64, 1), 1 << 56);
    }

    #[test]
    fn comparisons_on_both_widths() {
        let negative = u64::MAX;
        assert!(compare(true, JumpOp::Gt, negative, 1));
        assert!(compare(true, JumpOp::SLt, negative, 1));
        assert!(compare(false, JumpOp::Eq, 1 << 32, 0));
        assert!(!compare(true, JumpOp::Eq, 1 << 32, 0));
        assert!(compare(false, JumpOp::Gt, 0x8000_0000, 0x7fff_ffff));
        assert!(compare(false, JumpOp::SLt, 0x8000_0000, 0x7fff_ffff));
        assert!(!compare(false, JumpOp::Set, 1 << 32, 1 << 32));
    }
}
