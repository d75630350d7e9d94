//! Comparisons of sets of numbers: whether a branch is decided, and what each way teaches.

use beetrace_isa::{JmpOp, Width};

use crate::scalar::{Bounds, Scalar};
use crate::tnum::Tnum;

/// One width's view of a set.
struct View {
    bits: Tnum,
    u: Bounds<u64>,
    s: Bounds<i64>,
}

fn view(s: &Scalar, width: Width) -> View {
    match width {
        Width::W64 => View {
            bits: s.bits,
            u: s.u64,
            s: s.s64,
        },
        Width::W32 => View {
            bits: s.bits.low(),
            u: Bounds::new(s.u32.min.into(), s.u32.max.into()),
            s: Bounds::new(s.s32.min.into(), s.s32.max.into()),
        },
    }
}

fn disjoint(a: &View, b: &View) -> bool {
    a.u.min > b.u.max || a.u.max < b.u.min || a.s.min > b.s.max || a.s.max < b.s.min
}

/// Whether `a op b` is the same for all numbers of the sets, and which.
pub fn decided(op: JmpOp, a: &Scalar, b: &Scalar, width: Width) -> Option<bool> {
    let (x, y) = (view(a, width), view(b, width));
    let ordered = |less: bool, not_less: bool| match (less, not_less) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    match op {
        JmpOp::Eq => {
            if x.bits.is_const() && y.bits.is_const() {
                Some(x.bits.value == y.bits.value)
            } else if disjoint(&x, &y)
                || width == Width::W64 && disjoint(&view(a, Width::W32), &view(b, Width::W32))
            {
                Some(false)
            } else {
                None
            }
        }
        JmpOp::Ne => decided(JmpOp::Eq, a, b, width).map(|equal| !equal),
        JmpOp::Set => {
            let (known, test) = match (x.bits.is_const(), y.bits.is_const()) {
                (_, true) => (x.bits, y.bits.value),
                (true, _) => (y.bits, x.bits.value),
                _ => return None,
            };
            ordered(known.value & test != 0, known.max() & test == 0)
        }
        JmpOp::Lt => ordered(x.u.max < y.u.min, x.u.min >= y.u.max),
        JmpOp::Le => ordered(x.u.max <= y.u.min, x.u.min > y.u.max),
        JmpOp::Slt => ordered(x.s.max < y.s.min, x.s.min >= y.s.max),
        JmpOp::Sle => ordered(x.s.max <= y.s.min, x.s.min > y.s.max),
        JmpOp::Gt | JmpOp::Ge | JmpOp::Sgt | JmpOp::Sge => decided(op.swap(), b, a, width),
    }
}

/// Narrows both sets to the numbers for which `a op b` is `outcome`. Where nothing is left a set becomes
/// that of all numbers: the branch is still followed, as Linux does.
pub fn refine(op: JmpOp, outcome: bool, a: &mut Scalar, b: &mut Scalar, width: Width) {
    if outcome || op != JmpOp::Set {
        let op = if outcome {
            op
        } else {
            op.negate().unwrap_or(op)
        };
        refine_true(op, a, b, width);
    } else {
        refine_no_common_bit(a, b, width);
        refine_no_common_bit(b, a, width);
    }
    for s in [a, b] {
        s.synchronise();
        if s.is_contradiction() {
            *s = Scalar::UNKNOWN;
        }
    }
}

fn refine_true(op: JmpOp, a: &mut Scalar, b: &mut Scalar, width: Width) {
    match op {
        JmpOp::Eq => refine_equal(a, b, width),
        JmpOp::Ne => {
            refine_unequal(a, b, width);
            refine_unequal(b, a, width);
        }
        JmpOp::Set => {
            refine_common_bit(a, b, width);
            refine_common_bit(b, a, width);
        }
        JmpOp::Le | JmpOp::Lt => {
            let strict = u64::from(op == JmpOp::Lt);
            match width {
                Width::W64 => {
                    a.u64.max = a.u64.max.min(b.u64.max.saturating_sub(strict));
                    b.u64.min = b.u64.min.max(a.u64.min.saturating_add(strict));
                }
                Width::W32 => {
                    let strict = strict as u32;
                    a.u32.max = a.u32.max.min(b.u32.max.saturating_sub(strict));
                    b.u32.min = b.u32.min.max(a.u32.min.saturating_add(strict));
                }
            }
        }
        JmpOp::Sle | JmpOp::Slt => {
            let strict = i64::from(op == JmpOp::Slt);
            match width {
                Width::W64 => {
                    a.s64.max = a.s64.max.min(b.s64.max.saturating_sub(strict));
                    b.s64.min = b.s64.min.max(a.s64.min.saturating_add(strict));
                }
                Width::W32 => {
                    let strict = strict as i32;
                    a.s32.max = a.s32.max.min(b.s32.max.saturating_sub(strict));
                    b.s32.min = b.s32.min.max(a.s32.min.saturating_add(strict));
                }
            }
        }
        JmpOp::Gt | JmpOp::Ge | JmpOp::Sgt | JmpOp::Sge => refine_true(op.swap(), b, a, width),
    }
}

fn refine_equal(a: &mut Scalar, b: &mut Scalar, width: Width) {
    let (x, y) = (*a, *b);
    for (one, other) in [(&mut *a, &y), (&mut *b, &x)] {
        one.u32.narrow(other.u32.min, other.u32.max);
        one.s32.narrow(other.s32.min, other.s32.max);
        match width {
            Width::W64 => {
                one.u64.narrow(other.u64.min, other.u64.max);
                one.s64.narrow(other.s64.min, other.s64.max);
                one.bits = one.bits.intersect(other.bits);
            }
            Width::W32 => {
                let low = one.bits.low().intersect(other.bits.low());
                one.bits = one.bits.with_low(low);
            }
        }
    }
}

/// A number that the other is known to be is no bound of this set.
fn refine_unequal(a: &mut Scalar, b: &Scalar, width: Width) {
    let Some(n) = b.as_const_of(width) else {
        return;
    };
    match width {
        Width::W64 => {
            exclude(&mut a.u64, n, |m| m.wrapping_add(1), |m| m.wrapping_sub(1));
            exclude(
                &mut a.s64,
                n as i64,
                |m| m.wrapping_add(1),
                |m| m.wrapping_sub(1),
            );
        }
        Width::W32 => {
            exclude(
                &mut a.u32,
                n as u32,
                |m| m.wrapping_add(1),
                |m| m.wrapping_sub(1),
            );
            exclude(
                &mut a.s32,
                n as i32,
                |m| m.wrapping_add(1),
                |m| m.wrapping_sub(1),
            );
        }
    }
}

fn exclude<T: Ord + Copy>(bounds: &mut Bounds<T>, n: T, up: fn(T) -> T, down: fn(T) -> T) {
    if bounds.min == n && bounds.max == n {
        return;
    }
    if bounds.min == n {
        bounds.min = up(bounds.min);
    }
    if bounds.max == n {
        bounds.max = down(bounds.max);
    }
}

/// `a & b != 0` where `b` is one known bit: that bit is set.
fn refine_common_bit(a: &mut Scalar, b: &Scalar, width: Width) {
    if let Some(n) = b.as_const_of(width)
        && n.is_power_of_two()
    {
        let bit = Tnum::constant(n);
        a.bits = match width {
            Width::W64 => a.bits.or(bit),
            Width::W32 => a.bits.with_low(a.bits.low().or(bit)),
        };
    }
}

/// `a & b == 0` where `b` is known: none of its bits is set.
fn refine_no_common_bit(a: &mut Scalar, b: &Scalar, width: Width) {
    if let Some(n) = b.as_const_of(width) {
        // Linux forgets the bounds here, lest they contradict the bits where the branch is impossible.
        *a = Scalar {
            bits: a.bits,
            ..Scalar::UNKNOWN
        };
        let others = Tnum::constant(!n);
        a.bits = match width {
            Width::W64 => a.bits.and(others),
            Width::W32 => a.bits.with_low(a.bits.low().and(others)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alu::tests::member;
    use proptest::prelude::*;

    fn holds(op: JmpOp, x: u64, y: u64, width: Width) -> bool {
        let (x, y, sx, sy) = match width {
            Width::W64 => (x, y, x as i64, y as i64),
            Width::W32 => (
                x & 0xffff_ffff,
                y & 0xffff_ffff,
                i64::from(x as i32),
                i64::from(y as i32),
            ),
        };
        match op {
            JmpOp::Eq => x == y,
            JmpOp::Ne => x != y,
            JmpOp::Gt => x > y,
            JmpOp::Ge => x >= y,
            JmpOp::Lt => x < y,
            JmpOp::Le => x <= y,
            JmpOp::Set => x & y != 0,
            JmpOp::Sgt => sx > sy,
            JmpOp::Sge => sx >= sy,
            JmpOp::Slt => sx < sy,
            JmpOp::Sle => sx <= sy,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn a_branch_keeps_the_numbers_that_take_it((a, x) in member(), (b, y) in member()) {
            for width in [Width::W64, Width::W32] {
                for op in JmpOp::ALL {
                    let outcome = holds(op, x, y, width);
                    if let Some(known) = decided(op, &a, &b, width) {
                        prop_assert_eq!(known, outcome, "{} {} {}", a, op.symbol(), b);
                        continue;
                    }
                    let (mut p, mut q) = (a, b);
                    refine(op, outcome, &mut p, &mut q, width);
                    prop_assert!(p.contains(x), "{a} {} {b} {outcome}: {p} lacks {x:#x}", op.symbol());
                    prop_assert!(q.contains(y), "{a} {} {b} {outcome}: {q} lacks {y:#x}", op.symbol());
                }
            }
        }
    }

    #[test]
    fn what_a_branch_teaches() {
        let (mut a, mut b) = (Scalar::UNKNOWN, Scalar::constant(8));
        refine(JmpOp::Lt, true, &mut a, &mut b, Width::W64);
        assert_eq!(a, Scalar::unsigned(0, 7));
        refine(
            JmpOp::Ne,
            true,
            &mut a,
            &mut Scalar::constant(0),
            Width::W64,
        );
        assert_eq!(a.u64, Bounds::new(1, 7));
        assert_eq!(decided(JmpOp::Gt, &a, &b, Width::W64), Some(false));
        let mut c = Scalar::UNKNOWN;
        refine(
            JmpOp::Set,
            false,
            &mut c,
            &mut Scalar::constant(!7),
            Width::W64,
        );
        assert_eq!(c.u64.max, 7);
    }
}
