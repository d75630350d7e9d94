//! Building values where they are wanted: in a map key, in a record, in a variable.

use beetrace_isa::{JmpOp, Size};
use beetrace_lang::typed::{Cast, Expr, ExprKind};
use beetrace_lang::types::Type;

use super::Result;
use super::func::{Lower, Test};
use super::layout::Repr;
use super::memory::Place;

/// What lies behind the end of a string, and between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Zeros: the bytes are compared as a whole.
    Clean,
    /// Whatever was there: user space reads up to the NUL.
    Any,
}

impl Lower<'_, '_> {
    /// Stores the value of an expression at a place in the program's own memory.
    pub(super) fn store_into(&mut self, expr: &Expr, to: Place, fill: Fill) -> Result<()> {
        self.with_span(expr.span, |l| l.store_into_inner(expr, to, fill))
    }

    fn store_into_inner(&mut self, expr: &Expr, to: Place, fill: Fill) -> Result<()> {
        let len = match self.unit.repr(&expr.ty) {
            Repr::Void => return self.effect(expr),
            Repr::Scalar { size, .. } => {
                let value = self.scalar(expr)?;
                self.store(to, size, value);
                return Ok(());
            }
            Repr::Memory(len) => len,
        };
        match &expr.kind {
            ExprKind::Str(text) if fill == Fill::Any => {
                let needed = (text.len() as u32).saturating_add(1).min(len);
                self.write_bytes(to, text.as_bytes(), needed)
            }
            ExprKind::Str(text) => self.write_bytes(to, text.as_bytes(), len),
            ExprKind::Bytes(bytes) => self.write_bytes(to, bytes, len),
            ExprKind::Tuple(values) => {
                let order: Vec<u32> = (0..values.len() as u32).collect();
                self.members_into(values, &order, to, fill)
            }
            ExprKind::Record { values, order } => self.members_into(values, order, to, fill),
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => {
                let fork = self.fork();
                let (yes, _) = self.f.b.block(0);
                let (no, _) = self.f.b.block(0);
                let (end, _) = self.f.b.block(0);
                self.cond(cond, yes, no)?;
                for (block, side) in [(yes, then), (no, otherwise)] {
                    self.f.b.switch_to(block);
                    self.store_into(side, to, fill)?;
                    self.f.b.jump(end, &[]);
                }
                self.join(end, fork);
                Ok(())
            }
            ExprKind::MapGet { map, key } => self.map_get_into(*map, key.as_deref(), expr, to),
            ExprKind::Cast { cast, expr: inner } => self.cast_into(*cast, inner, expr, to, fill),
            ExprKind::Block {
                stmts,
                value: Some(value),
            } => {
                self.stmts(stmts)?;
                self.store_into(value, to, fill)
            }
            ExprKind::Call(call) if !self.call_has_place(call) => {
                self.call_into(call, expr, to, fill)
            }
            ExprKind::DataLoc { .. } if matches!(expr.ty, Type::Str(_)) => {
                let from = self.place(expr)?;
                self.string_into(to, from, len, fill)
            }
            _ => {
                let mark = self.mark();
                let from = self.place(expr)?;
                self.copy(to, from, len)?;
                self.release(mark);
                Ok(())
            }
        }
    }

    fn members_into(
        &mut self,
        values: &[Expr],
        order: &[u32],
        to: Place,
        fill: Fill,
    ) -> Result<()> {
        let (offsets, size, _) = self.unit.tuple(values.iter().map(|v| &v.ty));
        for &index in order {
            let index = index as usize;
            let (Some(value), Some(&at)) = (values.get(index), offsets.get(index)) else {
                continue;
            };
            let next = offsets.get(index + 1).copied().unwrap_or(size);
            let end = at.saturating_add(self.unit.size_of(&value.ty));
            let mark = self.mark();
            let place = to.at(i64::from(at));
            let gap = next.saturating_sub(end);
            match (self.unit.repr(&value.ty), wide_store(at, next)) {
                (Repr::Scalar { size, .. }, Some(wide)) if gap > 0 => {
                    // One store of member and padding: a load of both together need not wait for two.
                    let number = self.scalar(value)?;
                    let number = self.f.b.ext(size, false, number);
                    self.store(place, wide, number);
                }
                _ => {
                    self.store_into(value, place, fill)?;
                    if fill == Fill::Clean {
                        self.zero(to.at(i64::from(end)), gap);
                    }
                }
            }
            self.release(mark);
        }
        Ok(())
    }

    fn cast_into(
        &mut self,
        cast: Cast,
        inner: &Expr,
        expr: &Expr,
        to: Place,
        fill: Fill,
    ) -> Result<()> {
        let len = self.unit.size_of(&expr.ty);
        if let Repr::Scalar { size, .. } = self.unit.repr(&inner.ty) {
            let value = self.scalar(inner)?;
            self.store(to, size, value);
            self.zero(
                to.at(i64::from(size.bytes())),
                len.saturating_sub(size.bytes()),
            );
            return Ok(());
        }
        match cast {
            Cast::Str if matches!(expr.ty, Type::Buf(_)) => self.buffer_into(inner, to, len),
            Cast::Str => self.text_into(inner, to, len, fill),
            Cast::Members => self.convert_into(inner, to, &expr.ty, fill),
            Cast::Reinterpret if matches!(expr.ty, Type::Str(_)) => {
                self.text_into(inner, to, len, fill)
            }
            _ => {
                let mark = self.mark();
                let from = self.place(inner)?;
                let have = self.unit.size_of(&inner.ty).min(len);
                self.copy(to, from, have)?;
                self.zero(to.at(i64::from(have)), len - have);
                self.release(mark);
                Ok(())
            }
        }
    }

    /// A string, buffer or array of characters as a string of another size.
    fn text_into(&mut self, from: &Expr, to: Place, len: u32, fill: Fill) -> Result<()> {
        if let ExprKind::Str(text) = &from.kind {
            let needed = (text.len() as u32).saturating_add(1).min(len);
            let all = if fill == Fill::Any { needed } else { len };
            return self.write_bytes(to, text.as_bytes(), all);
        }
        let have = self.unit.size_of(&from.ty);
        let mark = self.mark();
        match &from.ty {
            Type::Str(_) if have >= len => self.store_prefix(from, to, len)?,
            Type::Str(_) => {
                // What is built here is zero behind its end already, but for the space that it does not fill.
                self.store_into(from, to, fill)?;
                let rest = if fill == Fill::Any { 1 } else { len - have };
                self.zero(to.at(i64::from(have)), rest);
            }
            Type::Buf(_) => {
                let place = self.place(from)?;
                self.string_into(to, place.at(4), len.min(have.saturating_sub(4)), fill)?;
                let used = len.min(have.saturating_sub(4));
                self.zero(to.at(i64::from(used)), len - used);
            }
            _ => {
                let place = self.place(from)?;
                let used = len.min(have);
                if fill == Fill::Clean {
                    self.zero(to.at(i64::from(used)), len - used);
                }
                self.characters_into(to, place, used, len, fill)?;
            }
        }
        self.release(mark);
        Ok(())
    }

    /// A buffer as one of another capacity.
    fn buffer_into(&mut self, from: &Expr, to: Place, len: u32) -> Result<()> {
        let have = self.unit.size_of(&from.ty);
        let mark = self.mark();
        let place = self.place(from)?;
        self.copy(to, place, have.min(len))?;
        self.zero(to.at(i64::from(have)), len.saturating_sub(have));
        if len < have {
            let used = self.load_raw(to, Size::B4, false);
            let used = self.at_most(used, i64::from(len.saturating_sub(4)))?;
            self.store(to, Size::B4, used);
        }
        self.release(mark);
        Ok(())
    }

    fn store_prefix(&mut self, from: &Expr, to: Place, len: u32) -> Result<()> {
        let place = self.place(from)?;
        self.copy(to, place, len)
    }

    /// An array of characters, which need not end with a NUL, as a string in `len` bytes.
    fn characters_into(
        &mut self,
        to: Place,
        from: Place,
        have: u32,
        len: u32,
        fill: Fill,
    ) -> Result<()> {
        if have < len {
            // The helper ends what it reads with a NUL: one byte more keeps the last character.
            return self.string_into(to, from, have.saturating_add(1), fill);
        }
        self.string_into(to, from, len, fill)
    }

    /// Reads a string of any memory into `len` bytes.
    pub(super) fn string_into(
        &mut self,
        to: Place,
        from: Place,
        len: u32,
        fill: Fill,
    ) -> Result<()> {
        if fill == Fill::Clean {
            self.zero(to, len);
        }
        let len = self.iconst(i64::from(len));
        self.read_str(to, from, len)?;
        Ok(())
    }

    /// Tuples and records, member by member.
    fn convert_into(&mut self, expr: &Expr, to: Place, ty: &Type, fill: Fill) -> Result<()> {
        if expr.ty == *ty {
            return self.store_into(expr, to, fill);
        }
        if let (ExprKind::Tuple(values), Type::Tuple(types)) = (&expr.kind, ty)
            && values.len() == types.len()
        {
            let (offsets, ..) = self.unit.tuple(types.iter());
            self.zero(to, self.unit.size_of(ty));
            for ((value, ty), at) in values.iter().zip(types.iter()).zip(offsets) {
                self.convert_into(value, to.at(i64::from(at)), ty, fill)?;
            }
            return Ok(());
        }
        let mark = self.mark();
        if let (Repr::Scalar { size, .. }, true) = (self.unit.repr(ty), self.is_scalar(expr)) {
            let value = self.scalar(expr)?;
            let value = self.convert(value, &expr.ty, ty);
            self.store(to, size, value);
        } else {
            let from = self.place(expr)?;
            self.convert_place(from, &expr.ty, to, ty)?;
        }
        self.release(mark);
        Ok(())
    }

    /// A value in memory as one of another type.
    fn convert_place(&mut self, from: Place, have: &Type, to: Place, want: &Type) -> Result<()> {
        if let (Repr::Scalar { size, signed }, Repr::Scalar { size: wanted, .. }) =
            (self.unit.repr(have), self.unit.repr(want))
        {
            let value = self.load(from, size, signed)?;
            let value = self.convert(value, have, want);
            self.store(to, wanted, value);
            return Ok(());
        }
        let pairs: Vec<(u32, Type, u32, Type)> = match (have, want) {
            (Type::Tuple(have), Type::Tuple(want)) => {
                let (at, ..) = self.unit.tuple(have.iter());
                let (to, ..) = self.unit.tuple(want.iter());
                let from = at.into_iter().zip(have.iter().cloned());
                let into = to.into_iter().zip(want.iter().cloned());
                from.zip(into)
                    .map(|((a, have), (b, want))| (a, have, b, want))
                    .collect()
            }
            (Type::Record(have), Type::Record(want)) => {
                let (at, ..) = self.unit.tuple(have.iter().map(|(_, t)| t));
                let (to, ..) = self.unit.tuple(want.iter().map(|(_, t)| t));
                let from: Vec<(u32, &(String, Type))> = at.into_iter().zip(have.iter()).collect();
                to.into_iter()
                    .zip(want.iter())
                    .filter_map(|(b, (name, want))| {
                        let (a, (_, have)) = from.iter().find(|(_, (n, _))| n == name)?;
                        Some((*a, have.clone(), b, want.clone()))
                    })
                    .collect()
            }
            _ => {
                let (have, want) = (self.unit.size_of(have), self.unit.size_of(want));
                self.copy(to, from, have.min(want))?;
                self.zero(to.at(i64::from(have)), want.saturating_sub(have));
                return Ok(());
            }
        };
        self.zero(to, self.unit.size_of(want));
        for (a, have, b, want) in pairs {
            self.convert_place(from.at(i64::from(a)), &have, to.at(i64::from(b)), &want)?;
        }
        Ok(())
    }

    /// The beginning of a value that is in memory or zero: `pointer` may be null.
    pub(super) fn copy_or_zero(
        &mut self,
        pointer: crate::ir::Value,
        to: Place,
        len: u32,
    ) -> Result<()> {
        let fork = self.fork();
        let (yes, _) = self.f.b.block(0);
        let (no, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        let zero = self.iconst(0);
        self.branch(Test(JmpOp::Ne, pointer, zero), yes, no);
        self.f.b.switch_to(yes);
        let from = Place::value(pointer, super::memory::Memory::Own);
        self.copy(to, from, len)?;
        self.f.b.jump(end, &[]);
        self.f.b.switch_to(no);
        self.zero(to, len);
        self.f.b.jump(end, &[]);
        self.join(end, fork);
        Ok(())
    }

    /// One byte of a place.
    pub(super) fn byte(&mut self, place: Place) -> crate::ir::Value {
        self.load_raw(place, Size::B1, false)
    }
}

/// The word that fills the bytes from one offset to the next.
fn wide_store(from: u32, to: u32) -> Option<Size> {
    let size = Size::from_bytes(u64::from(to.checked_sub(from)?))?;
    from.is_multiple_of(size.bytes()).then_some(size)
}
