//! Conditions: branches without a boolean in between where that is possible.

use beetrace_isa::{JmpOp, Size};
use beetrace_lang::ast::BinaryOp;
use beetrace_lang::typed::{Cast, Expr, ExprKind, UnaryOp};

use super::Result;
use super::func::{Lower, Test};
use super::layout::Repr;
use crate::ir::{Block, Value};

impl Lower<'_, '_> {
    /// Goes to `then` where a boolean expression holds, else to `otherwise`.
    pub(super) fn cond(&mut self, expr: &Expr, then: Block, otherwise: Block) -> Result<()> {
        self.with_span(expr.span, |l| l.cond_inner(expr, then, otherwise))
    }

    fn cond_inner(&mut self, expr: &Expr, then: Block, otherwise: Block) -> Result<()> {
        match &expr.kind {
            ExprKind::Int(n) => {
                let target = if *n != 0 { then } else { otherwise };
                self.f.b.jump(target, &[]);
                Ok(())
            }
            ExprKind::Unary {
                op: UnaryOp::Not,
                expr,
            } => self.cond(expr, otherwise, then),
            ExprKind::Binary { op, left, right } => match op {
                BinaryOp::And => {
                    let (next, _) = self.f.b.block(0);
                    self.cond(left, next, otherwise)?;
                    self.f.b.switch_to(next);
                    self.cond(right, then, otherwise)
                }
                BinaryOp::Or => {
                    let (next, _) = self.f.b.block(0);
                    self.cond(left, then, next)?;
                    self.f.b.switch_to(next);
                    self.cond(right, then, otherwise)
                }
                _ => match self.jump_op(*op, left) {
                    Some(op) => {
                        let (left, right) = (self.scalar(left)?, self.scalar(right)?);
                        self.branch(Test(op, left, right), then, otherwise);
                        Ok(())
                    }
                    None => self.cond_value(expr, then, otherwise),
                },
            },
            ExprKind::Cast {
                cast: Cast::Bool,
                expr: inner,
            } => match self.unit.repr(&inner.ty) {
                Repr::Scalar { .. } => self.cond_value(inner, then, otherwise),
                _ => self.cond_value(expr, then, otherwise),
            },
            _ => self.cond_value(expr, then, otherwise),
        }
    }

    fn cond_value(&mut self, expr: &Expr, then: Block, otherwise: Block) -> Result<()> {
        let value = self.scalar(expr)?;
        self.f.b.branch_if(value, then, otherwise);
        Ok(())
    }

    /// The jump of a comparison of scalars.
    pub(super) fn jump_op(&self, op: BinaryOp, left: &Expr) -> Option<JmpOp> {
        let Repr::Scalar { signed, .. } = self.unit.repr(&left.ty) else {
            return None;
        };
        Some(match (op, signed) {
            (BinaryOp::Eq, _) => JmpOp::Eq,
            (BinaryOp::Ne, _) => JmpOp::Ne,
            (BinaryOp::Lt, false) => JmpOp::Lt,
            (BinaryOp::Lt, true) => JmpOp::Slt,
            (BinaryOp::Le, false) => JmpOp::Le,
            (BinaryOp::Le, true) => JmpOp::Sle,
            (BinaryOp::Gt, false) => JmpOp::Gt,
            (BinaryOp::Gt, true) => JmpOp::Sgt,
            (BinaryOp::Ge, false) => JmpOp::Ge,
            (BinaryOp::Ge, true) => JmpOp::Sge,
            _ => return None,
        })
    }

    /// A boolean expression with short circuits, as 0 or 1.
    pub(super) fn cond_as_value(&mut self, expr: &Expr) -> Result<Value> {
        let fork = self.fork();
        let (yes, _) = self.f.b.block(0);
        let (no, _) = self.f.b.block(0);
        let (end, params) = self.f.b.block(1);
        self.cond(expr, yes, no)?;
        for (block, value) in [(yes, 1), (no, 0)] {
            self.f.b.switch_to(block);
            let value = self.iconst(value);
            self.f.b.jump(end, &[value]);
        }
        self.join(end, fork);
        self.only(&params)
    }

    /// Is it not zero.
    pub(super) fn is_set(&mut self, value: Value) -> Value {
        let zero = self.iconst(0);
        self.f
            .b
            .compare(JmpOp::Ne, beetrace_isa::Width::W64, value, zero)
    }

    /// Is a string not empty.
    pub(super) fn is_not_empty(&mut self, expr: &Expr) -> Result<Value> {
        let mark = self.mark();
        let place = self.place(expr)?;
        let first = self.load(place, Size::B1, false)?;
        self.release(mark);
        Ok(self.is_set(first))
    }
}
