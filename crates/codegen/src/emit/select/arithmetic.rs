//! Arithmetic, extensions and choices.

use beetrace_isa::{AluOp, Size, Width};

use super::{Selector, immediate};
use crate::emit::mir::{MOp, MSrc, VReg};
use crate::ir::Value;

impl Selector<'_> {
    pub(super) fn binary(&mut self, dst: VReg, op: AluOp, width: Width, left: Value, right: Value) {
        let (left, right) = self.order_operands(op, left, right);
        let Some(n) = self.constant(right) else {
            self.copy(dst, left);
            let src = MSrc::Reg(self.reg(right));
            self.push(MOp::Alu {
                width,
                op,
                dst,
                src,
            });
            return;
        };
        let n = match width {
            Width::W32 => i64::from(n as i32),
            Width::W64 => n,
        };
        match op {
            // The kernel refuses to divide by a constant zero.
            AluOp::Div | AluOp::SDiv if n == 0 => return self.push(MOp::MovImm { dst, imm: 0 }),
            AluOp::Mod | AluOp::SMod if n == 0 => {
                return match width {
                    Width::W32 => self.ext(dst, Size::B4, false, left),
                    Width::W64 => self.copy(dst, left),
                };
            }
            AluOp::And if width == Width::W64 && n == i64::from(u32::MAX) => {
                return self.ext(dst, Size::B4, false, left);
            }
            _ => {}
        }
        let n = match op {
            // And refuses to shift by too much.
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => n & i64::from(width.bits() - 1),
            _ => n,
        };
        // What no 64-bit `and` with an immediate can do, a 32-bit one may: it clears the upper half.
        let width = match (op, u32::try_from(n)) {
            (AluOp::And, Ok(_)) if i32::try_from(n).is_err() => Width::W32,
            _ => width,
        };
        self.copy(dst, left);
        let src = match immediate(width, n) {
            Some(imm) => MSrc::Imm(imm),
            None => MSrc::Reg(self.reg(right)),
        };
        self.push(MOp::Alu {
            width,
            op,
            dst,
            src,
        });
    }

    /// Constants go right; what dies here goes left, because the left operand's register becomes the result's.
    pub(super) fn order_operands(&self, op: AluOp, left: Value, right: Value) -> (Value, Value) {
        let commutes = matches!(
            op,
            AluOp::Add | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor
        );
        if !commutes || self.constant(right).is_some() {
            return (left, right);
        }
        let dies = |v: Value| self.uses[v.0 as usize] == 1;
        if self.constant(left).is_some() || (dies(right) && !dies(left)) {
            (right, left)
        } else {
            (left, right)
        }
    }

    pub(super) fn ext(&mut self, dst: VReg, size: Size, signed: bool, value: Value) {
        match (size, signed) {
            (Size::B8, _) => self.copy(dst, value),
            (_, true) if self.target.isa_v4 => {
                let src = self.reg(value);
                self.push(MOp::MovSx {
                    from: size,
                    dst,
                    src,
                });
            }
            (_, true) => {
                self.copy(dst, value);
                self.sign_extend(dst, size);
            }
            (Size::B4, false) => {
                let src = self.reg(value);
                self.push(MOp::Zext32 { dst, src });
            }
            (Size::B1 | Size::B2, false) => {
                self.copy(dst, value);
                let mask = if size == Size::B1 { 0xff } else { 0xffff };
                self.alu(dst, AluOp::And, mask);
            }
        }
    }

    pub(super) fn sign_extend(&mut self, dst: VReg, size: Size) {
        let shift = 64 - size.bits() as i32;
        self.alu(dst, AluOp::Lsh, shift);
        self.alu(dst, AluOp::Arsh, shift);
    }

    pub(super) fn alu(&mut self, dst: VReg, op: AluOp, imm: i32) {
        self.push(MOp::Alu {
            width: Width::W64,
            op,
            dst,
            src: MSrc::Imm(imm),
        });
    }

    pub(super) fn select(&mut self, dst: VReg, cond: Value, then: Value, otherwise: Value) {
        let (op, width, left, right) = self.condition(cond);
        let dies = |v: Value| self.uses[v.0 as usize] == 1;
        let (op, then, otherwise) = match op.negate() {
            // The first moved should be what dies here, and the second what needs no register.
            Some(negated)
                if (self.constant(then).is_some() && self.constant(otherwise).is_none())
                    || (dies(otherwise) && !dies(then) && self.constant(otherwise).is_none()) =>
            {
                (negated, otherwise, then)
            }
            _ => (op, then, otherwise),
        };
        let src = match self.constant(otherwise).map(i32::try_from) {
            Some(Ok(imm)) => MSrc::Imm(imm),
            _ => MSrc::Reg(self.reg(otherwise)),
        };
        self.copy(dst, then);
        self.push(MOp::MovUnless {
            op,
            width,
            left,
            right,
            dst,
            src,
        });
    }
}
