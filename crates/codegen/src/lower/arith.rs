//! Arithmetic on integers, which are held extended to 64 bits by their sign.

use beetrace_isa::{AluOp, JmpOp, Size, Width};
use beetrace_lang::ast::BinaryOp;
use beetrace_lang::typed::{Cast, Expr, ExprKind, UnaryOp};
use beetrace_lang::types::{IntType, Type};
use beetrace_object::Action;

use super::analysis::constant;
use super::func::{Lower, Test};
use super::layout::Repr;
use super::{LowerError, Result, source_span};
use crate::ir::{Op, Value};

const DIVIDE_BY_ZERO: &str = "Divide or modulo by 0 detected. This can lead to unexpected \
    results. 1 is being used as the result.";

impl Lower<'_, '_> {
    pub(super) fn unary(&mut self, op: UnaryOp, expr: &Expr, ty: &Type) -> Result<Value> {
        let value = self.scalar(expr)?;
        Ok(match op {
            UnaryOp::Not => {
                let zero = self.iconst(0);
                self.f.b.compare(JmpOp::Eq, Width::W64, value, zero)
            }
            UnaryOp::BitNot => {
                let inverted = self.binary_imm(AluOp::Xor, value, -1);
                self.wrap(inverted, ty)
            }
            UnaryOp::Minus => {
                let negated = self.f.b.def(Op::Neg {
                    width: Width::W64,
                    value,
                });
                self.wrap(negated, ty)
            }
        })
    }

    /// A 64-bit result cut to an integer's type.
    pub(super) fn wrap(&mut self, value: Value, ty: &Type) -> Value {
        match self.unit.repr(ty) {
            Repr::Scalar { size, signed } if size != Size::B8 => self.f.b.ext(size, signed, value),
            _ => value,
        }
    }

    pub(super) fn binary_expr(&mut self, expr: &Expr) -> Result<Value> {
        let ExprKind::Binary { op, left, right } = &expr.kind else {
            return self.scalar(expr);
        };
        if matches!(op, BinaryOp::And | BinaryOp::Or) {
            return self.cond_as_value(expr);
        }
        if matches!(
            op,
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge
        ) {
            return match self.jump_op(*op, left) {
                Some(op) => {
                    let (left, right) = (self.scalar(left)?, self.scalar(right)?);
                    Ok(self.f.b.compare(op, Width::W64, left, right))
                }
                None => {
                    let equal = self.equal(left, right)?;
                    Ok(match op {
                        BinaryOp::Ne => self.binary_imm(AluOp::Xor, equal, 1),
                        _ => equal,
                    })
                }
            };
        }
        let may_be_zero = constant(right).is_none();
        let (left, right) = (self.scalar(left)?, self.scalar(right)?);
        let ty = expr.ty.as_int().unwrap_or(IntType::U64);
        let malformed = LowerError::Malformed {
            what: "an operator that is no arithmetic",
            span: expr.span,
        };
        if matches!(op, BinaryOp::Div | BinaryOp::Mod) && may_be_zero {
            let zero = self.iconst(0);
            return self.choose(
                Test(JmpOp::Ne, right, zero),
                |l| l.arithmetic(*op, left, right, ty).ok_or(malformed),
                |l| {
                    l.message(Action::RuntimeMessage {
                        text: DIVIDE_BY_ZERO.into(),
                        span: source_span(expr.span),
                        is_error: false,
                    })?;
                    Ok(l.iconst(1))
                },
            );
        }
        self.arithmetic(*op, left, right, ty).ok_or(malformed)
    }

    fn arithmetic(
        &mut self,
        op: BinaryOp,
        left: Value,
        right: Value,
        ty: IntType,
    ) -> Option<Value> {
        let whole = Width::W64;
        let width = if ty.bits == 64 {
            Width::W64
        } else {
            Width::W32
        };
        let alu = match (op, ty.signed) {
            (BinaryOp::Add, _) => AluOp::Add,
            (BinaryOp::Sub, _) => AluOp::Sub,
            (BinaryOp::Mul, _) => AluOp::Mul,
            (BinaryOp::Div, false) => AluOp::Div,
            (BinaryOp::Div, true) => AluOp::SDiv,
            (BinaryOp::Mod, false) => AluOp::Mod,
            (BinaryOp::Mod, true) => AluOp::SMod,
            // Of two values that are extended alike, these keep the extension.
            (BinaryOp::BitAnd, _) => return Some(self.f.b.binary(AluOp::And, whole, left, right)),
            (BinaryOp::BitOr, _) => return Some(self.f.b.binary(AluOp::Or, whole, left, right)),
            (BinaryOp::BitXor, _) => return Some(self.f.b.binary(AluOp::Xor, whole, left, right)),
            (BinaryOp::Shl, _) => AluOp::Lsh,
            (BinaryOp::Shr, false) => AluOp::Rsh,
            (BinaryOp::Shr, true) => AluOp::Arsh,
            _ => return None,
        };
        let right = match op {
            BinaryOp::Shl | BinaryOp::Shr if ty.bits < 32 || alu == AluOp::Arsh => {
                self.binary_imm(AluOp::And, right, i64::from(ty.bits) - 1)
            }
            _ => right,
        };
        // The count is masked above, and the left side is extended: the whole register shifts right.
        let width = if alu == AluOp::Arsh { whole } else { width };
        let result = self.f.b.binary(alu, width, left, right);
        // A 32-bit operation leaves the upper half zero, which is right for `uint32`.
        let is_exact = width == whole && (ty.bits == 64 || alu == AluOp::Arsh)
            || width == Width::W32
                && !ty.signed
                && (ty.bits == 32 || matches!(alu, AluOp::Div | AluOp::Mod | AluOp::Rsh));
        Some(if is_exact {
            result
        } else {
            self.wrap(result, &Type::Int(ty))
        })
    }

    /// Conversions whose result is a scalar.
    pub(super) fn cast_scalar(&mut self, cast: Cast, expr: &Expr, to: &Expr) -> Result<Value> {
        match cast {
            Cast::Bool => match self.unit.repr(&expr.ty) {
                Repr::Scalar { .. } => {
                    let value = self.scalar(expr)?;
                    Ok(match expr.ty {
                        Type::Bool => value,
                        _ => self.is_set(value),
                    })
                }
                _ => self.is_not_empty(expr),
            },
            Cast::Int | Cast::Reinterpret if self.is_scalar(expr) => {
                let value = if matches!(to.ty, Type::Pointer(..)) {
                    self.scalar(expr)?
                } else {
                    self.number(expr)?
                };
                Ok(self.convert(value, &expr.ty, &to.ty))
            }
            Cast::Int if expr.ty.is_aggregate() => self.aggregate_number(expr),
            _ => {
                let mark = self.mark();
                let place = self.place(expr)?;
                let (size, signed) = self.scalar_repr(to)?;
                let value = self.load(place, size, signed)?;
                self.release(mark);
                Ok(value)
            }
        }
    }

    pub(super) fn is_scalar(&self, expr: &Expr) -> bool {
        matches!(self.unit.repr(&expr.ty), Repr::Scalar { .. })
    }

    /// A number of one scalar type as one of another.
    pub(super) fn convert(&mut self, value: Value, from: &Type, to: &Type) -> Value {
        let (
            Repr::Scalar {
                size: from,
                signed: from_signed,
            },
            Repr::Scalar {
                size: to,
                signed: to_signed,
            },
        ) = (self.unit.repr(from), self.unit.repr(to))
        else {
            return value;
        };
        let fits = to == Size::B8
            || (to == from && to_signed == from_signed)
            || (to > from && (to_signed || !from_signed));
        if fits {
            value
        } else {
            self.f.b.ext(to, to_signed, value)
        }
    }

    /// A scalar that the verifier takes for a plain number, even where it comes from a pointer that it knows.
    pub(super) fn number(&mut self, expr: &Expr) -> Result<Value> {
        let value = self.scalar(expr)?;
        let is_known = match &expr.kind {
            ExprKind::AddressOfVar(_) | ExprKind::AddressOfMap { .. } | ExprKind::Context => true,
            ExprKind::Call(_) => false,
            _ => self.btf().pointer(expr).is_some(),
        };
        Ok(if is_known { self.launder(value) } else { value })
    }

    /// Makes the verifier forget that a value is a pointer: arithmetic on it is then allowed.
    pub(super) fn launder(&mut self, value: Value) -> Value {
        let size = Size::B8;
        let swapped = self.f.b.def(Op::Swap { size, value });
        self.f.b.def(Op::Swap {
            size,
            value: swapped,
        })
    }
}
