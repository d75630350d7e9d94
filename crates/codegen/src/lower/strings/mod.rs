//! Strings: comparing, searching, measuring, joining. Words of eight bytes at a time where that is possible.

mod compare;
mod measure;
mod search;

use beetrace_isa::{AluOp, JmpOp, Size};
use beetrace_lang::typed::{Call, Cast, Expr, ExprKind};
use beetrace_lang::types::Type;

use super::Result;
use super::func::{Lower, Test};
use super::into::Fill;
use super::memory::Place;
use crate::ir::Value;

/// Bytes that are worked on one word after the other without a loop.
const UNROLLED: u32 = 64;

const ONES: i64 = 0x0101_0101_0101_0101;
const HIGH: i64 = 0x8080_8080_8080_8080_u64 as i64;

impl Lower<'_, '_> {
    /// The bytes of a string in the program's own memory. Behind its NUL may be anything.
    fn text(&mut self, expr: &Expr) -> Result<Place> {
        let lies_somewhere = matches!(
            &expr.kind,
            ExprKind::Var(_)
                | ExprKind::MapGet { .. }
                | ExprKind::Str(_)
                | ExprKind::Bytes(_)
                | ExprKind::Element { .. }
                | ExprKind::Call(Call::Table { .. })
                | ExprKind::Cast {
                    cast: Cast::Reinterpret | Cast::Str,
                    ..
                }
        );
        let is_cast = matches!(&expr.kind, ExprKind::Cast { .. });
        if lies_somewhere && !(is_cast && self.needs_copy(expr)) {
            let place = self.place(expr)?;
            if place.is_own() {
                return Ok(place);
            }
        }
        let to = self.temporary(self.unit.size_of(&expr.ty));
        self.store_into(expr, to, Fill::Any)?;
        Ok(to)
    }

    /// Whether a cast's operand lies elsewhere than in the program's own memory, or has no place at all.
    fn needs_copy(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Cast { expr: inner, .. } => match &inner.kind {
                ExprKind::Var(_) | ExprKind::MapGet { .. } | ExprKind::Str(_) => {
                    !matches!(inner.ty, Type::Str(_))
                        || self.unit.size_of(&inner.ty) < self.unit.size_of(&expr.ty)
                }
                _ => true,
            },
            _ => false,
        }
    }

    /// The first `limit` bytes of a string, followed by so many zeros, where any byte may be read at any alignment.
    fn padded_text(&mut self, expr: &Expr, padding: u32) -> Result<Place> {
        let size = self.unit.size_of(&expr.ty);
        let to = self.scratch(size.saturating_add(padding).saturating_add(8));
        self.store_into(expr, to, Fill::Any)?;
        self.zero(to.at(i64::from(size)), padding);
        Ok(to)
    }

    /// The high bit of the lowest byte that is zero, and perhaps of bytes above it; zero where no byte is.
    fn zero_bytes(&mut self, word: Value) -> Value {
        let less = self.binary_imm(AluOp::Add, word, ONES.wrapping_neg());
        let inverted = self.binary_imm(AluOp::Xor, word, -1);
        let both = self.binary(AluOp::And, less, inverted);
        self.binary_imm(AluOp::And, both, HIGH)
    }

    /// Runs `work` for offsets from zero in steps; it may leave by a branch of its own.
    fn each_offset(
        &mut self,
        end: u32,
        step: i64,
        work: impl FnOnce(&mut Self, Value) -> Result<()>,
    ) -> Result<()> {
        let (limit, zero) = (self.iconst(i64::from(end)), self.iconst(0));
        let (head, params) = self.f.b.block(1);
        let (body, _) = self.f.b.block(0);
        let (out, _) = self.f.b.block(0);
        self.f.b.jump(head, &[zero]);
        self.f.b.switch_to(head);
        self.f.ssa.begin_loop(&mut self.f.b, Vec::new());
        let at = self.only(&params)?;
        self.branch(Test(JmpOp::Lt, at, limit), body, out);
        self.f.b.switch_to(body);
        work(self, at)?;
        let next = self.binary_imm(AluOp::Add, at, step);
        self.f.b.jump(head, &[next]);
        self.f.b.switch_to(out);
        Ok(())
    }

    /// A constant as a block's argument and other small numbers.
    fn flag(&mut self, is_set: bool) -> Value {
        self.iconst(i64::from(is_set))
    }
}

/// The largest word that lies at an offset of both places at an alignment that loads allow, and is no longer than `len`.
fn word_at(places: &[Place], at: u32, len: u32) -> Size {
    Size::ALL
        .into_iter()
        .rev()
        .find(|&s| s.bytes() <= len && places.iter().all(|p| p.allows(at, s)))
        .unwrap_or(Size::B1)
}
