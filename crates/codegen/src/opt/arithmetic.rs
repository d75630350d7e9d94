//! Rules for arithmetic.

use beetrace_isa::{AluOp, JmpOp, Size, Width};

use super::fold;
use super::simplify::{Change, Simplifier, constant};
use crate::ir::{Op, Value};

impl Simplifier {
    pub(crate) fn binary(
        &mut self,
        op: AluOp,
        width: Width,
        left: Value,
        right: Value,
    ) -> Option<Change> {
        let (a, b) = (self.facts.constant(left), self.facts.constant(right));
        match (a, b) {
            (Some(a), Some(b)) => Some(constant(fold::binary(op, width, a, b))),
            (Some(_), None) if commutes(op) => Some(binary(op, width, right, left)),
            (Some(0), None) if absorbs_zero(op) => Some(constant(0)),
            (_, Some(n)) => self
                .identity(op, width, left, n)
                .or_else(|| self.cheaper(op, width, left, n))
                .or_else(|| self.regroup(op, width, left, right, n))
                .or_else(|| self.narrow(op, width, left, right)),
            _ if left == right && width == Width::W64 => match op {
                AluOp::And | AluOp::Or => Some(Change::Value(left)),
                AluOp::Xor | AluOp::Sub => Some(constant(0)),
                _ => None,
            },
            _ => self.narrow(op, width, left, right),
        }
    }

    /// Operations with a constant that change nothing, or leave nothing.
    fn identity(&mut self, op: AluOp, width: Width, left: Value, n: i64) -> Option<Change> {
        let n = match width {
            Width::W32 => i64::from(n as i32),
            Width::W64 => n,
        };
        let count = n & i64::from(width.bits() - 1);
        let keeps = match op {
            AluOp::Add | AluOp::Sub | AluOp::Or | AluOp::Xor | AluOp::Mod | AluOp::SMod => n == 0,
            AluOp::Mul | AluOp::Div | AluOp::SDiv => n == 1,
            AluOp::And => n == -1,
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => count == 0,
            AluOp::Mov => false,
        };
        if keeps {
            return Some(match width {
                Width::W64 => Change::Value(left),
                Width::W32 => ext(Size::B4, false, left),
            });
        }
        match (op, n) {
            (AluOp::Mul | AluOp::And | AluOp::Div | AluOp::SDiv, 0) => Some(constant(0)),
            (AluOp::Mod | AluOp::SMod, 1) | (AluOp::SMod, -1) => Some(constant(0)),
            (AluOp::Or, -1) if width == Width::W64 => Some(constant(-1)),
            (AluOp::SDiv, -1) => Some(Change::Op(Op::Neg { width, value: left })),
            (AluOp::And, _) if width == Width::W64 => {
                let known = self.facts.known(left);
                if known.zeros | n as u64 == u64::MAX {
                    return Some(Change::Value(left));
                }
                let mut sizes = [Size::B1, Size::B2, Size::B4].into_iter();
                let size = sizes.find(|&s| fold::mask(s) == n as u64)?;
                Some(ext(size, false, left))
            }
            (AluOp::Xor, 1) => self.negated(left).map(Change::Op),
            _ => None,
        }
    }

    /// The opposite of a comparison.
    pub(crate) fn negated(&self, value: Value) -> Option<Op> {
        match *self.facts.def(value)? {
            Op::Compare {
                op,
                width,
                left,
                right,
            } => Some(Op::Compare {
                op: op.negate()?,
                width,
                left,
                right,
            }),
            _ => None,
        }
    }

    /// Multiplication and division by powers of two; subtraction as addition.
    fn cheaper(&mut self, op: AluOp, width: Width, left: Value, n: i64) -> Option<Change> {
        let unsigned = match width {
            Width::W32 => u64::from(n as u32),
            Width::W64 => n as u64,
        };
        let shift = i64::from(unsigned.trailing_zeros());
        let (op, n) = match op {
            AluOp::Sub => (AluOp::Add, n.checked_neg()?),
            AluOp::Mul if unsigned.is_power_of_two() => (AluOp::Lsh, shift),
            AluOp::Div if unsigned.is_power_of_two() => (AluOp::Rsh, shift),
            AluOp::Mod if unsigned.is_power_of_two() => (AluOp::And, (unsigned - 1) as i64),
            AluOp::Mul if unsigned == u64::MAX && width == Width::W64 => {
                return Some(Change::Op(Op::Neg { width, value: left }));
            }
            _ => return None,
        };
        let right = self.iconst(n);
        Some(binary(op, width, left, right))
    }

    /// Two operations with constants as one.
    fn regroup(
        &mut self,
        op: AluOp,
        width: Width,
        left: Value,
        right: Value,
        n: i64,
    ) -> Option<Change> {
        match (op, self.facts.def(left)?.clone()) {
            (AluOp::Add, Op::SlotAddr { slot, offset }) if width == Width::W64 => {
                let offset = i32::try_from(n.checked_add(i64::from(offset))?).ok()?;
                Some(Change::Op(Op::SlotAddr { slot, offset }))
            }
            (AluOp::Add, Op::MapValue { map, offset }) if width == Width::W64 => {
                let offset = u32::try_from(n.checked_add(i64::from(offset))?).ok()?;
                Some(Change::Op(Op::MapValue { map, offset }))
            }
            (
                AluOp::Add | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor,
                Op::Binary {
                    op: inner,
                    width: inner_width,
                    left,
                    right,
                },
            ) if inner == op && inner_width == width => {
                let first = self.facts.constant(right)?;
                let right = self.iconst(fold::binary(op, width, first, n));
                Some(binary(op, width, left, right))
            }
            (
                AluOp::Lsh | AluOp::Rsh,
                Op::Binary {
                    op: inner,
                    width: inner_width,
                    left,
                    right: first,
                },
            ) if inner == op && inner_width == width => {
                let mask = i64::from(width.bits() - 1);
                let sum = (self.facts.constant(first)? & mask) + (n & mask);
                if sum > mask {
                    return Some(constant(0));
                }
                let right = self.iconst(sum);
                Some(binary(op, width, left, right))
            }
            (
                AluOp::Rsh | AluOp::Arsh,
                Op::Binary {
                    op: AluOp::Lsh,
                    width: Width::W64,
                    left: inner,
                    right: first,
                },
            ) if width == Width::W64 && self.facts.constant(first)? == n => {
                let bits = 64u64.checked_sub(u64::try_from(n).ok()?)?;
                let size = Size::from_bytes(bits / 8).filter(|s| u64::from(s.bits()) == bits)?;
                Some(ext(size, op == AluOp::Arsh, inner))
            }
            // A mask that keeps what an extension keeps needs no extension.
            (AluOp::And, Op::Ext { size, value, .. })
                if n as u64 & !fold::mask(size) == 0 && !self.facts.may_be_pointer(value) =>
            {
                Some(binary(op, width, value, right))
            }
            _ => None,
        }
    }

    /// A 32-bit operation does not see the upper halves of its operands.
    fn narrow(&mut self, op: AluOp, width: Width, left: Value, right: Value) -> Option<Change> {
        if width == Width::W64 {
            return None;
        }
        let (a, b) = (self.peel(left, Size::B4), self.peel(right, Size::B4));
        if a.is_none() && b.is_none() {
            return None;
        }
        Some(binary(op, width, a.unwrap_or(left), b.unwrap_or(right)))
    }

    pub(crate) fn ext(&mut self, size: Size, signed: bool, value: Value) -> Option<Change> {
        if size == Size::B8 {
            return Some(Change::Value(value));
        }
        if let Some(n) = self.facts.constant(value) {
            return Some(constant(fold::extend(size, signed, n)));
        }
        let known = self.facts.known(value);
        let is_exact = match signed {
            false => known.max() <= fold::mask(size),
            true => known.signs > 64 - size.bits(),
        };
        if is_exact {
            return Some(Change::Value(value));
        }
        // What is not negative is extended by zeros, which costs less.
        if signed && known.zeros >> (size.bits() - 1) & 1 == 1 {
            return Some(ext(size, false, value));
        }
        if let Some(inner) = self.peel(value, size) {
            return Some(ext(size, signed, inner));
        }
        match *self.facts.def(value)? {
            // The low half of a sum needs only the low halves.
            Op::Binary {
                op,
                width: Width::W64,
                left,
                right,
            } if size == Size::B4
                && !signed
                && self.is_single(value)
                && matches!(
                    op,
                    AluOp::Add | AluOp::Sub | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor
                )
                && !self.facts.may_be_pointer(left)
                && !self.facts.may_be_pointer(right) =>
            {
                Some(binary(op, Width::W32, left, right))
            }
            _ => None,
        }
    }

    pub(crate) fn select(&mut self, cond: Value, then: Value, otherwise: Value) -> Option<Change> {
        if let Some(n) = self.facts.constant(cond) {
            return Some(Change::Value(if n != 0 { then } else { otherwise }));
        }
        if then == otherwise {
            return Some(Change::Value(then));
        }
        let arms = (self.facts.constant(then), self.facts.constant(otherwise));
        let is_bool = self.facts.known(cond).max() <= 1;
        match arms {
            (Some(1), Some(0)) if is_bool => Some(Change::Value(cond)),
            (Some(0), Some(1)) if is_bool => match self.negated(cond) {
                Some(op) => Some(Change::Op(op)),
                None => {
                    let one = self.iconst(1);
                    Some(binary(AluOp::Xor, Width::W64, cond, one))
                }
            },
            (Some(1), Some(0)) => {
                let right = self.iconst(0);
                Some(Change::Op(Op::Compare {
                    op: JmpOp::Ne,
                    width: Width::W64,
                    left: cond,
                    right,
                }))
            }
            (Some(a), Some(b)) if a == b => Some(Change::Value(then)),
            _ => None,
        }
    }
}

fn commutes(op: AluOp) -> bool {
    matches!(
        op,
        AluOp::Add | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor
    )
}

/// Whether zero on the left gives zero.
fn absorbs_zero(op: AluOp) -> bool {
    matches!(
        op,
        AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod | AluOp::Lsh | AluOp::Rsh | AluOp::Arsh
    )
}

fn binary(op: AluOp, width: Width, left: Value, right: Value) -> Change {
    Change::Op(Op::Binary {
        op,
        width,
        left,
        right,
    })
}

fn ext(size: Size, signed: bool, value: Value) -> Change {
    Change::Op(Op::Ext {
        size,
        signed,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::super::dead::remove_dead;
    use super::super::simplify::simplify;
    use super::super::testing::check;

    #[track_caller]
    fn expect(body: &str, expected: &str) {
        let body = format!("block0:\n v1 = load.u64 v0+0\n v2 = load.u32 v0+8\n{body}");
        check(
            &[simplify, simplify, remove_dead],
            &body,
            &format!("block0:\n{expected}"),
        );
    }

    #[test]
    fn constants_are_computed() {
        expect(
            "v3 = const 6
             v4 = const 7
             v5 = mul.64 v3, v4
             ret v5",
            "v5 = const 42
             ret v5",
        );
        expect(
            "v3 = const -1
             v4 = const 1
             v5 = add.32 v3, v4
             v6 = const 0
             v7 = div.64 v3, v6
             v8 = or.64 v5, v7
             ret v8",
            "v8 = const 0
             ret v8",
        );
    }

    #[test]
    fn what_changes_nothing_goes() {
        expect(
            "v3 = const 0
             v4 = add.64 v1, v3
             v5 = const 1
             v6 = mul.64 v5, v4
             v7 = const -1
             v8 = and.64 v6, v7
             ret v8",
            "v1 = load.u64 v0+0
             ret v1",
        );
    }

    #[test]
    fn a_mask_that_a_load_implies_goes() {
        expect(
            "v3 = const 0xffffffff
             v4 = and.64 v2, v3
             v5 = ext.u32 v4
             ret v5",
            "v2 = load.u32 v0+8
             ret v2",
        );
        // The whole number may be larger.
        expect(
            "v3 = ext.u32 v1
             ret v3",
            "v1 = load.u64 v0+0
             v3 = ext.u32 v1
             ret v3",
        );
    }

    #[test]
    fn powers_of_two_shift() {
        expect(
            "v3 = const 8
             v4 = mul.64 v2, v3
             v5 = mod.64 v2, v3
             v6 = div.64 v2, v3
             v7 = add.64 v4, v5
             v8 = add.64 v7, v6
             ret v8",
            "v2 = load.u32 v0+8
             v9 = const 3
             v4 = lsh.64 v2, v9
             v10 = const 7
             v5 = and.64 v2, v10
             v11 = const 3
             v6 = rsh.64 v2, v11
             v7 = add.64 v4, v5
             v8 = add.64 v7, v6
             ret v8",
        );
    }

    #[test]
    fn constants_meet() {
        expect(
            "v3 = const 5
             v4 = add.64 v1, v3
             v5 = const 7
             v6 = sub.64 v4, v5
             ret v6",
            "v1 = load.u64 v0+0
             v8 = const -2
             v6 = add.64 v1, v8
             ret v6",
        );
    }

    #[test]
    fn shifts_there_and_back_extend() {
        expect(
            "v3 = const 48
             v4 = lsh.64 v2, v3
             v5 = arsh.64 v4, v3
             ret v5",
            "v2 = load.u32 v0+8
             v5 = ext.s16 v2
             ret v5",
        );
    }

    #[test]
    fn the_low_half_of_a_sum_needs_no_more() {
        expect(
            "v3 = ext.s32 v2
             v4 = load.u16 v0+16
             v5 = add.64 v3, v4
             v6 = ext.u32 v5
             ret v6",
            "v2 = load.u32 v0+8
             v4 = load.u16 v0+16
             v6 = add.32 v2, v4
             ret v6",
        );
        // What may be a pointer is left alone.
        expect(
            "v3 = add.64 v1, v2
             v4 = ext.u32 v3
             ret v4",
            "v1 = load.u64 v0+0
             v2 = load.u32 v0+8
             v3 = add.64 v1, v2
             v4 = ext.u32 v3
             ret v4",
        );
    }

    #[test]
    fn swapping_twice_is_kept() {
        // It makes the verifier take a pointer for a number.
        expect(
            "v3 = swap.64 v1
             v4 = swap.64 v3
             ret v4",
            "v1 = load.u64 v0+0
             v3 = swap.64 v1
             v4 = swap.64 v3
             ret v4",
        );
    }

    #[test]
    fn a_choice_of_one_and_zero_is_its_condition() {
        expect(
            "v3 = const 1
             v4 = const 0
             v5 = slt.64 v1, v2
             v6 = select v5, v4, v3
             ret v6",
            "v1 = load.u64 v0+0
             v2 = load.u32 v0+8
             v6 = sge.64 v1, v2
             ret v6",
        );
    }

    #[test]
    fn offsets_go_into_loads_and_slots() {
        check(
            &[simplify, simplify, remove_dead],
            "ss0 = slot 16 align 8
             block0:
             v1 = const 8
             v2 = add.64 v0, v1
             v3 = load.u64 v2+4
             v4 = slotaddr ss0+0
             v5 = add.64 v4, v1
             store.64 v5+0, v3
             v6 = call 1(v5)
             ret v6",
            "ss0 = slot 16 align 8
             block0:
             v3 = load.u64 v0+12
             v5 = slotaddr ss0+8
             store.64 v5+0, v3
             v6 = call map_lookup_elem(v5)
             ret v6",
        );
    }
}
