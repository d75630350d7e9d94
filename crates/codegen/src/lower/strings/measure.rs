//! The length of a string, and two strings in one.

use beetrace_isa::{AluOp, JmpOp, Size, Width};
use beetrace_lang::typed::{Expr, ExprKind};

use super::{ONES, UNROLLED, word_at};
use crate::ir::{Block, Value};
use crate::lower::Result;
use crate::lower::func::{Lower, Test};
use crate::lower::into::Fill;
use crate::lower::memory::Place;

impl Lower<'_, '_> {
    /// Bytes before the NUL.
    pub(in crate::lower) fn strlen(&mut self, text: &Expr) -> Result<Value> {
        if let ExprKind::Str(text) = &text.kind {
            let length = text.bytes().position(|b| b == 0).unwrap_or(text.len());
            return Ok(self.iconst(length as i64));
        }
        let size = self.unit.size_of(&text.ty);
        let mark = self.mark();
        let place = self.text(text)?;
        let length = self.length_of(place, size)?;
        self.release(mark);
        Ok(length)
    }

    pub(super) fn length_of(&mut self, place: Place, size: u32) -> Result<Value> {
        let (end, params) = self.f.b.block(1);
        let mut at = 0;
        if size > UNROLLED && word_at(&[place], 0, 8) == Size::B8 {
            let whole = size / 8 * 8;
            self.each_offset(whole, 8, |l, at| {
                let place = l.moved(place, at);
                l.end_in_word(place, Size::B8, at, end)
            })?;
            at = whole;
        }
        while at < size {
            let word = word_at(&[place], at, size - at);
            let before = self.iconst(i64::from(at));
            self.end_in_word(place.at(i64::from(at)), word, before, end)?;
            at += word.bytes();
        }
        let full = self.iconst(i64::from(size));
        self.f.b.jump(end, &[full]);
        self.f.b.switch_to(end);
        self.only(&params)
    }

    /// Goes to `end` with the length where the NUL is in this word.
    fn end_in_word(&mut self, place: Place, size: Size, before: Value, end: Block) -> Result<()> {
        let zero = self.iconst(0);
        let (on, _) = self.f.b.block(0);
        let (found, _) = self.f.b.block(0);
        let word = self.load_raw(place, size, false);
        if size == Size::B1 {
            self.f.b.branch(
                JmpOp::Eq,
                Width::W64,
                word,
                zero,
                (end, &[before]),
                (on, &[]),
            );
            self.f.b.switch_to(on);
            return Ok(());
        }
        let mut ends = self.zero_bytes(word);
        if size != Size::B8 {
            ends = self.f.b.ext(size, false, ends);
        }
        self.branch(Test(JmpOp::Ne, ends, zero), found, on);
        self.f.b.switch_to(found);
        // Below the lowest mark every byte has its lowest bit set; their sum counts one more than the bytes before the NUL.
        let negative = self.f.b.def(crate::ir::Op::Neg {
            width: Width::W64,
            value: ends,
        });
        let lowest = self.binary(AluOp::And, ends, negative);
        let below = self.binary_imm(AluOp::Sub, lowest, 1);
        let bits = self.binary_imm(AluOp::And, below, ONES);
        let sum = self.binary_imm(AluOp::Mul, bits, ONES);
        let count = self.binary_imm(AluOp::Rsh, sum, 56);
        let count = self.binary_imm(AluOp::Sub, count, 1);
        let length = self.binary(AluOp::Add, before, count);
        self.f.b.jump(end, &[length]);
        self.f.b.switch_to(on);
        Ok(())
    }

    /// One string behind the other, cut to `len` bytes.
    pub(in crate::lower) fn concat_into(
        &mut self,
        left: &Expr,
        right: &Expr,
        to: Place,
        len: u32,
        fill: Fill,
    ) -> Result<()> {
        let sizes = (self.unit.size_of(&left.ty), self.unit.size_of(&right.ty));
        let space = sizes.0.saturating_add(sizes.1);
        let mark = self.mark();
        let right = self.text(right)?;
        // The second string may begin at any byte of the first one's space: both together fit.
        let whole = self.scratch(space.max(len));
        self.zero(whole.at(i64::from(sizes.0)), space.max(len) - sizes.0);
        self.store_into(left, whole, fill)?;
        let used = self.length_of(whole, sizes.0)?;
        let used = self.at_most(used, i64::from(sizes.0))?;
        let rest = self.moved(whole, used);
        let wanted = self.iconst(i64::from(sizes.1));
        self.read_str(rest, right, wanted)?;
        self.copy(to, whole, len)?;
        self.release(mark);
        Ok(())
    }
}
