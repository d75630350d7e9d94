//! Finding a string in another.

use beetrace_isa::{AluOp, JmpOp, Size, Width};
use beetrace_lang::typed::{Expr, ExprKind};

use crate::ir::{Block, Value};
use crate::lower::Result;
use crate::lower::func::{Lower, Test};
use crate::lower::memory::Place;

impl Lower<'_, '_> {
    /// Position of the first occurrence, -1 where there is none.
    pub(in crate::lower) fn strstr(&mut self, haystack: &Expr, needle: &Expr) -> Result<Value> {
        let mark = self.mark();
        let position = match &needle.kind {
            ExprKind::Str(text) => {
                let length = text.bytes().position(|b| b == 0).unwrap_or(text.len());
                let bytes = text.as_bytes().get(..length).unwrap_or_default();
                self.find_literal(haystack, bytes)?
            }
            _ => self.find_text(haystack, needle)?,
        };
        self.release(mark);
        Ok(position)
    }

    fn find_literal(&mut self, haystack: &Expr, needle: &[u8]) -> Result<Value> {
        if needle.is_empty() {
            self.effect(haystack)?;
            return Ok(self.iconst(0));
        }
        let size = self.unit.size_of(&haystack.ty);
        let place = self.padded_text(haystack, needle.len() as u32 + 8)?;
        let (end, params) = self.f.b.block(1);
        self.each_offset(size, 1, |l, at| {
            let place = l.moved(place, at);
            let (next, _) = l.f.b.block(0);
            let mut offset = 0;
            for part in needle.chunks(8) {
                let word = l.load_raw(place.at(offset), Size::B8, false);
                if offset == 0 {
                    l.leave_at_nul(word, end);
                }
                let want = part.iter().rev();
                let want = want.fold(0u64, |word, &byte| word << 8 | u64::from(byte));
                let word = if part.len() < 8 {
                    let mask = (1i64 << (8 * part.len())) - 1;
                    l.binary_imm(AluOp::And, word, mask)
                } else {
                    word
                };
                let want = l.iconst(want as i64);
                let (more, _) = l.f.b.block(0);
                l.branch(Test(JmpOp::Eq, word, want), more, next);
                l.f.b.switch_to(more);
                offset += 8;
            }
            l.f.b.jump(end, &[at]);
            l.f.b.switch_to(next);
            Ok(())
        })?;
        self.not_found(end, &params)
    }

    fn not_found(&mut self, end: Block, params: &[Value]) -> Result<Value> {
        let none = self.iconst(-1);
        self.f.b.jump(end, &[none]);
        self.f.b.switch_to(end);
        self.only(params)
    }

    /// Goes to `end` with -1 where the string ends at the first byte of a word.
    fn leave_at_nul(&mut self, word: Value, end: Block) {
        let first = self.f.b.ext(Size::B1, false, word);
        let (zero, none) = (self.iconst(0), self.iconst(-1));
        let (on, _) = self.f.b.block(0);
        self.f.b.branch(
            JmpOp::Eq,
            Width::W64,
            first,
            zero,
            (end, &[none]),
            (on, &[]),
        );
        self.f.b.switch_to(on);
    }

    /// Compares the needle's first word at every byte, and the rest of it only where that fits.
    fn find_text(&mut self, haystack: &Expr, needle: &Expr) -> Result<Value> {
        let sizes = (
            self.unit.size_of(&haystack.ty),
            self.unit.size_of(&needle.ty),
        );
        let place = self.padded_text(haystack, sizes.1.saturating_add(8))?;
        let wanted = self.padded_text(needle, 8)?;
        let (end, params) = self.f.b.block(1);
        let (start, _) = self.f.b.block(0);
        let zero = self.iconst(0);
        let first = self.byte(wanted);
        self.f.b.branch(
            JmpOp::Eq,
            Width::W64,
            first,
            zero,
            (end, &[zero]),
            (start, &[]),
        );
        self.f.b.switch_to(start);
        let head = self.load_raw(wanted, Size::B8, false);
        let mask = self.mask_to_nul(head);
        let head = self.binary(AluOp::And, head, mask);
        self.each_offset(sizes.0, 1, |l, at| {
            let place = l.moved(place, at);
            let (next, _) = l.f.b.block(0);
            let (rest, _) = l.f.b.block(0);
            let word = l.load_raw(place, Size::B8, false);
            l.leave_at_nul(word, end);
            let masked = l.binary(AluOp::And, word, mask);
            l.branch(Test(JmpOp::Eq, masked, head), rest, next);
            l.f.b.switch_to(rest);
            let (hit, _) = l.f.b.block(0);
            l.needle_fits(place, wanted, sizes.1, hit, next)?;
            l.f.b.switch_to(hit);
            l.f.b.jump(end, &[at]);
            l.f.b.switch_to(next);
            Ok(())
        })?;
        self.not_found(end, &params)
    }

    /// All bytes before the first that is zero, as a mask; all ones where none is.
    fn mask_to_nul(&mut self, word: Value) -> Value {
        let ends = self.zero_bytes(word);
        let negative = self.f.b.def(crate::ir::Op::Neg {
            width: Width::W64,
            value: ends,
        });
        let lowest = self.binary(AluOp::And, ends, negative);
        // The mark is the highest bit of its byte: seven bits down is its lowest, and one less are all bits below the byte.
        let byte = self.binary_imm(AluOp::Rsh, lowest, 7);
        self.binary_imm(AluOp::Sub, byte, 1)
    }

    /// Whether the needle, up to its NUL, is what the place begins with.
    fn needle_fits(
        &mut self,
        place: Place,
        needle: Place,
        len: u32,
        yes: Block,
        no: Block,
    ) -> Result<()> {
        self.each_offset(len, 8, |l, at| {
            let (have, want) = (l.moved(place, at), l.moved(needle, at));
            let have = l.load_raw(have, Size::B8, false);
            let want = l.load_raw(want, Size::B8, false);
            let ends = l.zero_bytes(want);
            let mask = l.mask_to_nul(want);
            let difference = l.binary(AluOp::Xor, have, want);
            let difference = l.binary(AluOp::And, difference, mask);
            let zero = l.iconst(0);
            let (same, _) = l.f.b.block(0);
            let (on, _) = l.f.b.block(0);
            l.branch(Test(JmpOp::Eq, difference, zero), same, no);
            l.f.b.switch_to(same);
            l.branch(Test(JmpOp::Ne, ends, zero), yes, on);
            l.f.b.switch_to(on);
            Ok(())
        })?;
        self.f.b.jump(yes, &[]);
        Ok(())
    }
}
