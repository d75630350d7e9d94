//! Expressions whose value is in a register.

use beetrace_isa::{AluOp, Size};
use beetrace_lang::span::Span;
use beetrace_lang::structs::BitField;
use beetrace_lang::typed::{Call, Context, Expr, ExprKind};
use beetrace_lang::types::Type;

use super::func::Lower;
use super::layout::Repr;
use super::memory::{Memory, Place};
use super::{LowerError, Result};
use crate::ir::{Op, Value};

impl Lower<'_, '_> {
    /// The value of a scalar expression.
    pub(super) fn scalar(&mut self, expr: &Expr) -> Result<Value> {
        self.with_span(expr.span, |l| l.scalar_inner(expr))
    }

    fn scalar_inner(&mut self, expr: &Expr) -> Result<Value> {
        match &expr.kind {
            ExprKind::Int(n) => Ok(self.iconst(*n as i64)),
            ExprKind::Var(var) => self.var_get(*var, expr.span),
            ExprKind::AddressOfVar(var) => {
                let place = self.var_memory(*var, expr.span)?;
                let place = place.ok_or(LowerError::Malformed {
                    what: "the address of a variable in a register",
                    span: expr.span,
                })?;
                Ok(self.address(place))
            }
            ExprKind::AddressOfMap { map, key } => {
                self.map_address(*map, key.as_deref(), expr.span)
            }
            ExprKind::MapGet { map, key } => self.map_get(*map, key.as_deref(), expr),
            ExprKind::MapAggregate { map, key } => self.map_aggregate(*map, key.as_deref(), expr),
            ExprKind::HasKey { map, key } => self.has_key(*map, key),
            ExprKind::Find { map, key, var } => self.find(*map, key, *var, expr.span),
            ExprKind::Delete { map, key, warn } => {
                self.delete(*map, key.as_deref(), *warn, expr.span)
            }
            ExprKind::MapLen(map) => self.map_len(*map, expr.span),
            ExprKind::Unary { op, expr: inner } => self.unary(*op, inner, &expr.ty),
            ExprKind::Binary { .. } => self.binary_expr(expr),
            ExprKind::Offset {
                pointer,
                bytes,
                negative,
            } => {
                let pointer = self.number(pointer)?;
                let bytes = self.number(bytes)?;
                let op = if *negative { AluOp::Sub } else { AluOp::Add };
                Ok(self.binary(op, pointer, bytes))
            }
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => {
                let fork = self.fork();
                let (yes, _) = self.f.b.block(0);
                let (no, _) = self.f.b.block(0);
                let (end, params) = self.f.b.block(1);
                self.cond(cond, yes, no)?;
                for (block, side) in [(yes, then), (no, otherwise)] {
                    self.f.b.switch_to(block);
                    let value = match self.unit.repr(&side.ty) {
                        Repr::Scalar { .. } => self.scalar(side)?,
                        _ => {
                            self.effect(side)?;
                            self.iconst(0)
                        }
                    };
                    self.f.b.jump(end, &[value]);
                }
                self.join(end, fork);
                self.only(&params)
            }
            ExprKind::Cast { cast, expr: inner } => self.cast_scalar(*cast, inner, expr),
            ExprKind::Field { base, bits, offset } => {
                if let Some(bits) = bits {
                    return self.bit_field(base, *offset, *bits, expr);
                }
                self.member(expr)
            }
            ExprKind::Deref(_) | ExprKind::Index { .. } => self.member(expr),
            ExprKind::Element { base, index } => {
                if let ExprKind::Var(var) = base.kind
                    && let Some(&entry) = self.f.entries.get(&var)
                {
                    return self.entry_number(entry, *index, expr);
                }
                self.member(expr)
            }
            ExprKind::DataLoc { base, offset } => self.data_loc(base, *offset),
            ExprKind::Context => Ok(self.f.context),
            ExprKind::Argument(n) => self.argument(*n, expr),
            ExprKind::Register { offset, size } => {
                let value = self.register(*offset)?;
                Ok(match Size::from_bytes(u64::from(*size)) {
                    Some(Size::B8) | None => value,
                    Some(size) => {
                        let signed = expr.ty.as_int().is_some_and(|t| t.signed);
                        self.f.b.ext(size, signed, value)
                    }
                })
            }
            ExprKind::Step { target, by, prefix } => self.step(target, *by, *prefix),
            ExprKind::Block { stmts, value } => {
                self.stmts(stmts)?;
                match value {
                    Some(value) if self.is_scalar(value) => self.scalar(value),
                    Some(value) => {
                        self.effect(value)?;
                        Ok(self.iconst(0))
                    }
                    None => Ok(self.iconst(0)),
                }
            }
            ExprKind::Call(call) => self.call_scalar(call, expr),
            ExprKind::Str(_)
            | ExprKind::Bytes(_)
            | ExprKind::Tuple(_)
            | ExprKind::Record { .. } => Err(LowerError::Malformed {
                what: "a composite where a number was expected",
                span: expr.span,
            }),
        }
    }

    /// A scalar that lies in memory: a member, an element, what a pointer points to.
    fn member(&mut self, expr: &Expr) -> Result<Value> {
        let (size, signed) = self.scalar_repr(expr)?;
        let mark = self.mark();
        let place = self.place(expr)?;
        let value = self.with_span(read_span(expr), |l| l.load(place, size, signed))?;
        self.release(mark);
        Ok(value)
    }

    fn bit_field(
        &mut self,
        base: &Expr,
        offset: u32,
        bits: BitField,
        expr: &Expr,
    ) -> Result<Value> {
        let (size, _) = self.scalar_repr(expr)?;
        let mark = self.mark();
        let place = self.place(base)?.at(i64::from(offset));
        let whole = self.load(place, size, false)?;
        self.release(mark);
        let left = 64u32.saturating_sub(bits.shift.saturating_add(bits.width));
        let right = 64u32.saturating_sub(bits.width);
        // The bits alone, whatever the sign of the type that they were cut from.
        let high = self.binary_imm(AluOp::Lsh, whole, i64::from(left));
        Ok(self.binary_imm(AluOp::Rsh, high, i64::from(right)))
    }

    /// The address of a tracepoint's array that lies behind the fixed part of its record.
    pub(super) fn data_loc(&mut self, base: &Expr, offset: u32) -> Result<Value> {
        let record = self.place(base)?;
        let word = self.load(record.at(i64::from(offset)), Size::B4, false)?;
        let distance = self.binary_imm(AluOp::And, word, 0xffff);
        let start = self.address(record);
        Ok(self.binary(AluOp::Add, start, distance))
    }

    fn argument(&mut self, n: u32, expr: &Expr) -> Result<Value> {
        let word = self.load_raw(Place::context().at(i64::from(n) * 8), Size::B8, false);
        Ok(match self.unit.repr(&expr.ty) {
            Repr::Scalar { size, signed } if size != Size::B8 => {
                let word = if expr.ty == Type::Bool {
                    self.f.b.ext(Size::B1, false, word)
                } else {
                    word
                };
                self.f.b.ext(size, signed, word)
            }
            _ => word,
        })
    }

    /// A 64-bit register of the context's `struct pt_regs`.
    pub(super) fn register(&mut self, offset: u32) -> Result<Value> {
        match self.probe.context {
            Context::Registers | Context::PerfEvent => {
                Ok(self.load_raw(Place::context().at(i64::from(offset)), Size::B8, false))
            }
            _ => Ok(self.iconst(0)),
        }
    }

    /// A pointer that the verifier knows by its BTF type.
    pub(super) fn btf_pointer(&mut self, expr: &Expr) -> Result<Value> {
        match &expr.kind {
            ExprKind::Call(Call::Curtask) => Ok(self.current_task_btf()),
            ExprKind::Cast { expr, .. } => self.btf_pointer(expr),
            _ => self.scalar(expr),
        }
    }

    /// An expression for its effect alone.
    pub(super) fn effect(&mut self, expr: &Expr) -> Result<()> {
        self.with_span(expr.span, |l| match l.unit.repr(&expr.ty) {
            Repr::Scalar { .. } => l.scalar(expr).map(|_| ()),
            Repr::Memory(_) => {
                let mark = l.mark();
                let result = l.place(expr).map(|_| ());
                l.release(mark);
                result
            }
            Repr::Void => match &expr.kind {
                ExprKind::Block { stmts, value } => {
                    l.stmts(stmts)?;
                    value.as_deref().map_or(Ok(()), |v| l.effect(v))
                }
                ExprKind::Ternary { .. }
                | ExprKind::Call(_)
                | ExprKind::Delete { .. }
                | ExprKind::Find { .. } => l.scalar(expr).map(|_| ()),
                ExprKind::Cast { expr, .. } => l.effect(expr),
                _ => Ok(()),
            },
        })
    }

    /// The address of a byte of a map's only value.
    pub(super) fn map_value(&mut self, (map, offset): (u32, u32)) -> Place {
        Place::value(self.f.b.def(Op::MapValue { map, offset }), Memory::Own)
    }
}

/// What a failed read is blamed on: the pointer that a chain of members begins with.
fn read_span(expr: &Expr) -> Span {
    match &expr.kind {
        ExprKind::Field { base, .. } | ExprKind::Index { base, .. } => read_span(base),
        ExprKind::Deref(pointer) => pointer.span,
        _ => expr.span,
    }
}
