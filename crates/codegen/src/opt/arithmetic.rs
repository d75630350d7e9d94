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
            // The load extends by itself.
            Op::Load {
                size: loaded,
                base,
                offset,
                volatility,
                ..
            } if loaded == size && self.is_single(value) => Some(Change::Op(Op::Load {
                size,
                signed,
                base,
                offset,
                volatility,
            })),
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
