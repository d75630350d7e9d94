//! Are two values equal?

use beetrace_isa::{AluOp, JmpOp, Size, Width};
use beetrace_lang::typed::{Expr, ExprKind};
use beetrace_lang::types::Type;

use super::{UNROLLED, word_at};
use crate::ir::{Block, Value};
use crate::lower::Result;
use crate::lower::analysis::constant;
use crate::lower::func::{Lower, Test};
use crate::lower::memory::Place;
use crate::lower::room::round_up;

impl Lower<'_, '_> {
    /// Whether two composites are equal, as 0 or 1.
    pub(in crate::lower) fn equal(&mut self, left: &Expr, right: &Expr) -> Result<Value> {
        let size = self.unit.size_of(&left.ty);
        match (&left.ty, &right.ty) {
            (Type::Str(a), Type::Str(b)) => self.equal_texts(left, right, (*a).max(*b)),
            _ => self.equal_bytes(left, right, size),
        }
    }

    /// Zero where the first `len` bytes of two strings are equal or both end before.
    pub(in crate::lower) fn strncmp(
        &mut self,
        left: &Expr,
        right: &Expr,
        len: u32,
    ) -> Result<Value> {
        let equal = self.equal_texts(left, right, len)?;
        Ok(self.binary_imm(AluOp::Xor, equal, 1))
    }

    /// Runs `compare` with a block for equal and one for different, and gives 1 or 0.
    fn verdict(
        &mut self,
        compare: impl FnOnce(&mut Self, Block, Block) -> Result<()>,
    ) -> Result<Value> {
        let fork = self.fork();
        let (yes, _) = self.f.b.block(0);
        let (no, _) = self.f.b.block(0);
        let (end, params) = self.f.b.block(1);
        compare(self, yes, no)?;
        for (block, equal) in [(yes, true), (no, false)] {
            self.f.b.switch_to(block);
            let value = self.flag(equal);
            self.f.b.jump(end, &[value]);
        }
        self.join(end, fork);
        self.only(&params)
    }

    fn equal_texts(&mut self, left: &Expr, right: &Expr, limit: u32) -> Result<Value> {
        let literal = |e: &Expr| match &e.kind {
            ExprKind::Str(text) => Some(text.clone()),
            _ => None,
        };
        let mark = self.mark();
        let result = match (literal(left), literal(right)) {
            (_, Some(text)) => self.equals_literal(left, text.as_bytes(), limit),
            (Some(text), None) => self.equals_literal(right, text.as_bytes(), limit),
            (None, None) => {
                let sizes = (self.unit.size_of(&left.ty), self.unit.size_of(&right.ty));
                let (a, b) = (self.text(left)?, self.text(right)?);
                self.verdict(|l, yes, no| {
                    let common = sizes.0.min(sizes.1).min(limit);
                    l.same_text(a, b, common, yes, no)?;
                    // The longer one ends here too, or it has more.
                    let longer = if sizes.0 > sizes.1 { a } else { b };
                    if sizes.0 != sizes.1 && common < limit {
                        let next = l.byte(longer.at(i64::from(common)));
                        let zero = l.iconst(0);
                        l.branch(Test(JmpOp::Eq, next, zero), yes, no);
                    } else {
                        l.f.b.jump(yes, &[]);
                    }
                    Ok(())
                })
            }
        };
        self.release(mark);
        result
    }

    fn equals_literal(&mut self, text: &Expr, literal: &[u8], limit: u32) -> Result<Value> {
        let size = self.unit.size_of(&text.ty);
        let length = literal
            .iter()
            .position(|&b| b == 0)
            .unwrap_or(literal.len());
        let mut wanted = literal.get(..length).unwrap_or_default().to_vec();
        wanted.push(0);
        wanted.truncate(limit as usize);
        if wanted.len() > size as usize {
            // A string that fills its space has no NUL.
            wanted.truncate(length);
        }
        if wanted.len() > size as usize {
            self.effect(text)?;
            return Ok(self.flag(false));
        }
        let place = self.text(text)?;
        if wanted.len() as u32 > 2 * UNROLLED {
            let other = self.constant(&wanted);
            let len = wanted.len() as u32;
            return self.verdict(|l, yes, no| {
                l.same_text(place, other, len, yes, no)?;
                l.f.b.jump(yes, &[]);
                Ok(())
            });
        }
        self.verdict(|l, yes, no| {
            let mut at = 0;
            let len = wanted.len() as u32;
            while at < len {
                let size = word_at(&[place], at, len - at);
                let bytes = wanted.get(at as usize..(at + size.bytes()) as usize);
                let word = bytes.unwrap_or_default().iter().rev();
                let word = word.fold(0u64, |word, &byte| word << 8 | u64::from(byte));
                let (next, _) = l.f.b.block(0);
                let have = l.load_raw(place.at(i64::from(at)), size, false);
                let want = l.iconst(word as i64);
                l.branch(Test(JmpOp::Eq, have, want), next, no);
                l.f.b.switch_to(next);
                at += size.bytes();
            }
            l.f.b.jump(yes, &[]);
            Ok(())
        })
    }

    /// Compares strings up to a NUL: goes to `yes` behind it, to `no` at a difference, and on where `len` bytes are equal and not zero.
    pub(super) fn same_text(
        &mut self,
        left: Place,
        right: Place,
        len: u32,
        yes: Block,
        no: Block,
    ) -> Result<()> {
        let mut at = 0;
        if len > UNROLLED && word_at(&[left, right], 0, 8) == Size::B8 {
            let whole = len / 8 * 8;
            self.each_offset(whole, 8, |l, at| {
                let (a, b) = (l.moved(left, at), l.moved(right, at));
                l.same_word(a, b, Size::B8, yes, no);
                Ok(())
            })?;
            at = whole;
        }
        while at < len {
            let size = word_at(&[left, right], at, len - at);
            let offset = i64::from(at);
            self.same_word(left.at(offset), right.at(offset), size, yes, no);
            at += size.bytes();
        }
        Ok(())
    }

    fn same_word(&mut self, left: Place, right: Place, size: Size, yes: Block, no: Block) {
        let (a, b) = (
            self.load_raw(left, size, false),
            self.load_raw(right, size, false),
        );
        let zero = self.iconst(0);
        let (on, _) = self.f.b.block(0);
        let (same, _) = self.f.b.block(0);
        if size == Size::B1 {
            self.branch(Test(JmpOp::Eq, a, b), same, no);
            self.f.b.switch_to(same);
            self.branch(Test(JmpOp::Eq, a, zero), yes, on);
            self.f.b.switch_to(on);
            return;
        }
        // Bytes behind the first NUL do not count: the mask ends with its byte, and is all ones where there is none.
        let mut ends = self.zero_bytes(a);
        if size != Size::B8 {
            ends = self.f.b.ext(size, false, ends);
        }
        let below = self.binary_imm(AluOp::Sub, ends, 1);
        let mask = self.binary(AluOp::Xor, ends, below);
        let difference = self.binary(AluOp::Xor, a, b);
        let difference = self.binary(AluOp::And, difference, mask);
        self.branch(Test(JmpOp::Eq, difference, zero), same, no);
        self.f.b.switch_to(same);
        self.branch(Test(JmpOp::Ne, ends, zero), yes, on);
        self.f.b.switch_to(on);
    }

    /// Compares composites byte by byte.
    fn equal_bytes(&mut self, left: &Expr, right: &Expr, size: u32) -> Result<Value> {
        let mark = self.mark();
        let (a, b) = (self.clean_place(left)?, self.clean_place(right)?);
        let equal = self.verdict(|l, yes, no| {
            let mut at = 0;
            if size > 2 * UNROLLED && word_at(&[a, b], 0, 8) == Size::B8 {
                let whole = size / 8 * 8;
                l.each_offset(whole, 8, |l, at| {
                    let (a, b) = (l.moved(a, at), l.moved(b, at));
                    l.go_on_where_equal(a, b, Size::B8, no);
                    Ok(())
                })?;
                at = whole;
            }
            while at < size {
                let word = word_at(&[a, b], at, size - at);
                let offset = i64::from(at);
                l.go_on_where_equal(a.at(offset), b.at(offset), word, no);
                at += word.bytes();
            }
            l.f.b.jump(yes, &[]);
            Ok(())
        })?;
        self.release(mark);
        Ok(equal)
    }

    fn go_on_where_equal(&mut self, left: Place, right: Place, size: Size, no: Block) {
        let (a, b) = (
            self.load_raw(left, size, false),
            self.load_raw(right, size, false),
        );
        let (on, _) = self.f.b.block(0);
        self.branch(Test(JmpOp::Eq, a, b), on, no);
        self.f.b.switch_to(on);
    }

    /// The difference of the first bytes that differ, zero where none of `len` do.
    pub(in crate::lower) fn memcmp(
        &mut self,
        left: &Expr,
        right: &Expr,
        len: &Expr,
    ) -> Result<Value> {
        let sizes = (self.unit.size_of(&left.ty), self.unit.size_of(&right.ty));
        let known = constant(len).map(|n| u32::try_from(n).unwrap_or(0));
        let most = sizes.0.min(sizes.1);
        let limit = known.unwrap_or(most).min(most);
        let mark = self.mark();
        let values = [self.clean_place(left)?, self.clean_place(right)?];
        let wanted = self.scalar(len)?;
        let wanted = self.at_most(wanted, i64::from(limit))?;
        let room = round_up(limit.max(1));
        let copies = [self.temporary(room), self.temporary(room)];
        for (to, from) in copies.into_iter().zip(values) {
            self.zero(to, room);
            if known.is_some() {
                self.copy(to, from, limit)?;
            } else {
                self.read_dynamic(to, from, wanted)?;
            }
        }
        let [a, b] = copies;
        let (end, params) = self.f.b.block(2);
        let zero = self.iconst(0);
        self.each_offset(room, 8, |l, at| {
            let (a, b) = (l.moved(a, at), l.moved(b, at));
            let (a, b) = (
                l.load_raw(a, Size::B8, false),
                l.load_raw(b, Size::B8, false),
            );
            let (on, _) = l.f.b.block(0);
            l.f.b
                .branch(JmpOp::Ne, Width::W64, a, b, (end, &[a, b]), (on, &[]));
            l.f.b.switch_to(on);
            Ok(())
        })?;
        self.f.b.jump(end, &[zero, zero]);
        self.f.b.switch_to(end);
        self.release(mark);
        match params[..] {
            [a, b] => self.first_difference(a, b),
            _ => self.only(&params),
        }
    }

    /// The difference of the lowest bytes of two words that differ.
    fn first_difference(&mut self, left: Value, right: Value) -> Result<Value> {
        let (end, params) = self.f.b.block(1);
        let zero = self.iconst(0);
        for byte in 0..8 {
            let a = self.binary_imm(AluOp::Rsh, left, 8 * byte);
            let b = self.binary_imm(AluOp::Rsh, right, 8 * byte);
            let (a, b) = (
                self.f.b.ext(Size::B1, false, a),
                self.f.b.ext(Size::B1, false, b),
            );
            let difference = self.binary(AluOp::Sub, a, b);
            let (on, _) = self.f.b.block(0);
            self.f.b.branch(
                JmpOp::Ne,
                Width::W64,
                difference,
                zero,
                (end, &[difference]),
                (on, &[]),
            );
            self.f.b.switch_to(on);
        }
        self.f.b.jump(end, &[zero]);
        self.f.b.switch_to(end);
        self.only(&params)
    }
}
