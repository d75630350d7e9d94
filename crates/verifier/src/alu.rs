//! Arithmetic on sets of numbers, as precise as Linux 6.18 is.

use beetrace_isa::{AluOp, Width};

use crate::scalar::{Bounds, Scalar};

impl Scalar {
    /// The results of `self op other` for an operation of this width. A 32-bit result has zeros above.
    pub fn alu(self, op: AluOp, other: Scalar, width: Width) -> Scalar {
        let mut out = match op {
            AluOp::Mov => other,
            AluOp::Add => self.plus(other),
            AluOp::Sub => self.minus(other),
            AluOp::Mul => self.times(other),
            AluOp::And | AluOp::Or | AluOp::Xor => self.bitwise(op, other),
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => match shift_count(other, width) {
                Some(n) => self.shift(op, n, width),
                None => return Scalar::UNKNOWN,
            },
            // Linux knows nothing of these, not even that 32-bit results have zeros above.
            AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => return Scalar::UNKNOWN,
        };
        if width == Width::W32 {
            return out.zero_extend();
        }
        out.synchronise();
        out
    }

    /// The results of `-self`.
    pub fn neg(self, width: Width) -> Scalar {
        Scalar::constant(0).alu(AluOp::Sub, self, width)
    }

    fn plus(self, o: Scalar) -> Scalar {
        Scalar {
            bits: self.bits.add(o.bits),
            u64: unsigned(
                self.u64.min.overflowing_add(o.u64.min),
                self.u64.max.overflowing_add(o.u64.max),
                u64::MAX,
            ),
            u32: unsigned(
                self.u32.min.overflowing_add(o.u32.min),
                self.u32.max.overflowing_add(o.u32.max),
                u32::MAX,
            ),
            s64: signed(
                self.s64.min.checked_add(o.s64.min),
                self.s64.max.checked_add(o.s64.max),
                Scalar::UNKNOWN.s64,
            ),
            s32: signed(
                self.s32.min.checked_add(o.s32.min),
                self.s32.max.checked_add(o.s32.max),
                Scalar::UNKNOWN.s32,
            ),
        }
    }

    fn minus(self, o: Scalar) -> Scalar {
        Scalar {
            bits: self.bits.sub(o.bits),
            u64: unsigned(
                self.u64.min.overflowing_sub(o.u64.max),
                self.u64.max.overflowing_sub(o.u64.min),
                u64::MAX,
            ),
            u32: unsigned(
                self.u32.min.overflowing_sub(o.u32.max),
                self.u32.max.overflowing_sub(o.u32.min),
                u32::MAX,
            ),
            s64: signed(
                self.s64.min.checked_sub(o.s64.max),
                self.s64.max.checked_sub(o.s64.min),
                Scalar::UNKNOWN.s64,
            ),
            s32: signed(
                self.s32.min.checked_sub(o.s32.max),
                self.s32.max.checked_sub(o.s32.min),
                Scalar::UNKNOWN.s32,
            ),
        }
    }

    fn times(self, o: Scalar) -> Scalar {
        let u64 = match (
            self.u64.min.checked_mul(o.u64.min),
            self.u64.max.checked_mul(o.u64.max),
        ) {
            (Some(min), Some(max)) => Bounds::new(min, max),
            _ => Scalar::UNKNOWN.u64,
        };
        let u32 = match (
            self.u32.min.checked_mul(o.u32.min),
            self.u32.max.checked_mul(o.u32.max),
        ) {
            (Some(min), Some(max)) => Bounds::new(min, max),
            _ => Scalar::UNKNOWN.u32,
        };
        let corners = [
            self.s64.min.checked_mul(o.s64.min),
            self.s64.min.checked_mul(o.s64.max),
            self.s64.max.checked_mul(o.s64.min),
            self.s64.max.checked_mul(o.s64.max),
        ];
        let corners_32 = [
            self.s32.min.checked_mul(o.s32.min),
            self.s32.min.checked_mul(o.s32.max),
            self.s32.max.checked_mul(o.s32.min),
            self.s32.max.checked_mul(o.s32.max),
        ];
        Scalar {
            bits: self.bits.times(o.bits),
            u64,
            u32,
            s64: hull(corners).unwrap_or(Scalar::UNKNOWN.s64),
            s32: hull(corners_32).unwrap_or(Scalar::UNKNOWN.s32),
        }
    }

    fn bitwise(self, op: AluOp, o: Scalar) -> Scalar {
        let bits = match op {
            AluOp::And => self.bits.and(o.bits),
            AluOp::Or => self.bits.or(o.bits),
            _ => self.bits.xor(o.bits),
        };
        let low = bits.low();
        let (min, max, min32, max32) = match op {
            AluOp::And => (
                bits.min(),
                self.u64.max.min(o.u64.max),
                low.min() as u32,
                self.u32.max.min(o.u32.max),
            ),
            AluOp::Or => (
                self.u64.min.max(o.u64.min),
                bits.max(),
                self.u32.min.max(o.u32.min),
                low.max() as u32,
            ),
            _ => (bits.min(), bits.max(), low.min() as u32, low.max() as u32),
        };
        let mut out = Scalar::UNKNOWN;
        out.bits = bits;
        out.u64 = Bounds::new(min, max);
        out.u32 = Bounds::new(min32, max32);
        if min as i64 <= max as i64 {
            out.s64 = Bounds::new(min as i64, max as i64);
        }
        if min32 as i32 <= max32 as i32 {
            out.s32 = Bounds::new(min32 as i32, max32 as i32);
        }
        out
    }

    /// Shifts by a known count below the width.
    fn shift(self, op: AluOp, n: u32, width: Width) -> Scalar {
        match width {
            Width::W64 => self.shift_64(op, n),
            Width::W32 => self.shift_32(op, n),
        }
    }

    fn shift_64(self, op: AluOp, n: u32) -> Scalar {
        let mut out = Scalar::UNKNOWN;
        match op {
            AluOp::Lsh => {
                // By 32 the sign of the lower half becomes that of the whole: half of a sign extension.
                if n == 32 {
                    out.s64 =
                        Bounds::new(i64::from(self.s32.min) << 32, i64::from(self.s32.max) << 32);
                }
                if self.u64.max <= 1u64 << (63 - n) {
                    out.u64 = Bounds::new(self.u64.min << n, self.u64.max << n);
                }
                out.bits = self.bits.shl(n);
            }
            AluOp::Rsh => {
                out.u64 = Bounds::new(self.u64.min >> n, self.u64.max >> n);
                out.bits = self.bits.shr(n);
            }
            _ => {
                out.s64 = Bounds::new(self.s64.min >> n, self.s64.max >> n);
                out.bits = self.bits.sar(n, 64);
            }
        }
        out
    }

    /// Only the lower half of the result counts.
    fn shift_32(self, op: AluOp, n: u32) -> Scalar {
        let mut out = Scalar::UNKNOWN;
        let low = self.bits.low();
        match op {
            AluOp::Lsh => {
                if self.u32.max <= 1u32 << (31 - n) {
                    out.u32 = Bounds::new(self.u32.min << n, self.u32.max << n);
                }
                out.bits = low.shl(n).low();
            }
            AluOp::Rsh => {
                out.u32 = Bounds::new(self.u32.min >> n, self.u32.max >> n);
                out.bits = low.shr(n);
            }
            _ => {
                out.s32 = Bounds::new(self.s32.min >> n, self.s32.max >> n);
                out.bits = low.sar(n, 32);
            }
        }
        out
    }
}

/// The count of a shift if it is known and below the width.
fn shift_count(count: Scalar, width: Width) -> Option<u32> {
    let n = count.as_const()?;
    (n < u64::from(width.bits())).then_some(n as u32)
}

/// Bounds of which either both ends or none wrapped around: else they say nothing.
fn unsigned<T: Ord + Copy + Default>(min: (T, bool), max: (T, bool), top: T) -> Bounds<T> {
    if min.1 == max.1 {
        Bounds::new(min.0, max.0)
    } else {
        Bounds::new(T::default(), top)
    }
}

fn signed<T: Ord + Copy>(min: Option<T>, max: Option<T>, any: Bounds<T>) -> Bounds<T> {
    match (min, max) {
        (Some(min), Some(max)) => Bounds::new(min, max),
        _ => any,
    }
}

/// The bounds of the products of ends, unless one overflows.
fn hull<T: Ord + Copy>(corners: [Option<T>; 4]) -> Option<Bounds<T>> {
    let [a, b, c, d] = corners;
    let all = [a?, b?, c?, d?];
    Some(Bounds::new(*all.iter().min()?, *all.iter().max()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A set made in the ways the verifier makes them, and one of its numbers.
    pub(crate) fn member() -> impl Strategy<Value = (Scalar, u64)> {
        let number = prop_oneof![
            any::<u64>(),
            0u64..300,
            any::<u32>().prop_map(u64::from),
            any::<i32>().prop_map(|n| i64::from(n) as u64),
            (-5i64..5).prop_map(|n| n as u64),
        ];
        (number.clone(), number, any::<u64>(), 0..6).prop_map(|(a, b, pick, how)| {
            let (lo, hi) = (a.min(b), a.max(b));
            match how {
                0 => (Scalar::constant(a), a),
                1 => (
                    Scalar::unsigned(lo, hi),
                    lo + pick.checked_rem(hi - lo).unwrap_or(0),
                ),
                2 => {
                    let (lo, hi) = ((a as i64).min(b as i64), (a as i64).max(b as i64));
                    let n = (lo as i128 + (pick as i128) % ((hi as i128 - lo as i128) + 1)) as i64;
                    (Scalar::signed(lo, hi), n as u64)
                }
                3 => (Scalar::UNKNOWN.truncate(4), pick & 0xffff_ffff),
                4 => {
                    let s = Scalar::UNKNOWN.alu(AluOp::And, Scalar::constant(a), Width::W64);
                    (s, pick & a)
                }
                _ => (Scalar::UNKNOWN, pick),
            }
        })
    }

    fn run(op: AluOp, x: u64, y: u64, width: Width) -> u64 {
        let (xw, yw) = (x as u32, y as u32);
        let narrow = |n: u32| u64::from(n);
        match (op, width) {
            (AluOp::Add, Width::W64) => x.wrapping_add(y),
            (AluOp::Add, Width::W32) => narrow(xw.wrapping_add(yw)),
            (AluOp::Sub, Width::W64) => x.wrapping_sub(y),
            (AluOp::Sub, Width::W32) => narrow(xw.wrapping_sub(yw)),
            (AluOp::Mul, Width::W64) => x.wrapping_mul(y),
            (AluOp::Mul, Width::W32) => narrow(xw.wrapping_mul(yw)),
            (AluOp::And, Width::W64) => x & y,
            (AluOp::And, Width::W32) => narrow(xw & yw),
            (AluOp::Or, Width::W64) => x | y,
            (AluOp::Or, Width::W32) => narrow(xw | yw),
            (AluOp::Xor, Width::W64) => x ^ y,
            (AluOp::Xor, Width::W32) => narrow(xw ^ yw),
            (AluOp::Lsh, Width::W64) => x << (y & 63),
            (AluOp::Lsh, Width::W32) => narrow(xw << (yw & 31)),
            (AluOp::Rsh, Width::W64) => x >> (y & 63),
            (AluOp::Rsh, Width::W32) => narrow(xw >> (yw & 31)),
            (AluOp::Arsh, Width::W64) => ((x as i64) >> (y & 63)) as u64,
            (AluOp::Arsh, Width::W32) => narrow(((xw as i32) >> (yw & 31)) as u32),
            (_, Width::W64) => y,
            (_, Width::W32) => narrow(yw),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn arithmetic_holds_every_result((a, x) in member(), (b, y) in member(), n in 0u64..64) {
            for width in [Width::W64, Width::W32] {
                for op in [AluOp::Add, AluOp::Sub, AluOp::Mul, AluOp::And, AluOp::Or, AluOp::Xor, AluOp::Mov] {
                    let out = a.alu(op, b, width);
                    let got = run(op, x, y, width);
                    prop_assert!(out.contains(got), "{a} {} {b} = {out}, not {got:#x}", op.symbol());
                }
                for op in [AluOp::Lsh, AluOp::Rsh, AluOp::Arsh] {
                    let n = n & u64::from(width.bits() - 1);
                    let out = a.alu(op, Scalar::constant(n), width);
                    let got = run(op, x, n, width);
                    prop_assert!(out.contains(got), "{a} {} {n} = {out}, not {got:#x}", op.symbol());
                }
            }
            prop_assert!(a.neg(Width::W64).contains(x.wrapping_neg()));
            for bytes in [1, 2, 4] {
                let keep = (1u64 << (8 * bytes)) - 1;
                prop_assert!(a.truncate(bytes).contains(x & keep));
                let unused = 64 - 8 * bytes;
                let extended = ((x << unused) as i64 >> unused) as u64;
                prop_assert!(a.sign_extend(bytes).contains(extended));
                if bytes < 4 {
                    prop_assert!(a.sign_extend_32(bytes).contains(extended & 0xffff_ffff));
                }
            }
        }
    }
}
