//! Arithmetic on constants, as the instruction set defines it.

use beetrace_isa::{AluOp, JmpOp, Size, Width};

/// The result of arithmetic; `Mov` gives the right operand.
pub(crate) fn binary(op: AluOp, width: Width, left: i64, right: i64) -> i64 {
    match width {
        Width::W64 => binary64(op, left, right),
        Width::W32 => i64::from(binary32(op, left as i32, right as i32) as u32),
    }
}

macro_rules! arithmetic {
    ($name:ident, $signed:ty, $unsigned:ty) => {
        fn $name(op: AluOp, x: $signed, y: $signed) -> $signed {
            let (a, b) = (x as $unsigned, y as $unsigned);
            match op {
                AluOp::Add => x.wrapping_add(y),
                AluOp::Sub => x.wrapping_sub(y),
                AluOp::Mul => x.wrapping_mul(y),
                AluOp::Div => a.checked_div(b).unwrap_or(0) as $signed,
                AluOp::Mod => a.checked_rem(b).unwrap_or(a) as $signed,
                AluOp::SDiv if y == 0 => 0,
                AluOp::SDiv => x.wrapping_div(y),
                AluOp::SMod if y == 0 => x,
                AluOp::SMod => x.wrapping_rem(y),
                AluOp::Or => x | y,
                AluOp::And => x & y,
                AluOp::Xor => x ^ y,
                AluOp::Lsh => x.wrapping_shl(b as u32),
                AluOp::Rsh => a.wrapping_shr(b as u32) as $signed,
                AluOp::Arsh => x.wrapping_shr(b as u32),
                AluOp::Mov => y,
            }
        }
    };
}

arithmetic!(binary64, i64, u64);
arithmetic!(binary32, i32, u32);

/// Whether a comparison holds.
pub(crate) fn compare(op: JmpOp, width: Width, left: i64, right: i64) -> bool {
    let (x, y) = match width {
        Width::W64 => (left, right),
        Width::W32 => (i64::from(left as i32), i64::from(right as i32)),
    };
    // Extending both by their signs keeps the unsigned order, too.
    let (a, b) = (x as u64, y as u64);
    match op {
        JmpOp::Eq => x == y,
        JmpOp::Ne => x != y,
        JmpOp::Gt => a > b,
        JmpOp::Ge => a >= b,
        JmpOp::Lt => a < b,
        JmpOp::Le => a <= b,
        JmpOp::Set => a & b != 0,
        JmpOp::Sgt => x > y,
        JmpOp::Sge => x >= y,
        JmpOp::Slt => x < y,
        JmpOp::Sle => x <= y,
    }
}

/// The low `size` of a number, extended.
pub(crate) fn extend(size: Size, signed: bool, n: i64) -> i64 {
    let shift = 64 - size.bits();
    if signed {
        n << shift >> shift
    } else {
        ((n as u64) << shift >> shift) as i64
    }
}

/// The low `size` of a number with its bytes reversed, zeros above.
pub(crate) fn swap(size: Size, n: i64) -> i64 {
    ((n as u64).swap_bytes() >> (64 - size.bits())) as i64
}

/// All ones in the low `size`.
pub(crate) fn mask(size: Size) -> u64 {
    u64::MAX >> (64 - size.bits())
}
