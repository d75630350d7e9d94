//! Finding a string in another.

use beetrace_isa::{AluOp, JmpOp, Size, Width, helper};
use beetrace_lang::typed::{Expr, ExprKind};
use beetrace_object::Signature;

use crate::ir::{Block, Effect, Op, Value};
use crate::lower::Result;
use crate::lower::func::{Lower, Test};
use crate::lower::memory::{Memory, Place};

/// Positions that a loop in the program itself may try: the verifier follows each.
const NATIVE_POSITIONS: u32 = 1024;

/// What is looked for.
#[derive(Clone, Copy)]
enum Needle<'n> {
    Literal(&'n [u8]),
    Text {
        place: Place,
        size: u32,
        /// Its first word without what is behind the NUL, and which bits of a word those are.
        head: Value,
        mask: Value,
    },
}

/// Where to go on from one position: it is there; it is not; the string ends here.
#[derive(Clone, Copy)]
struct Ways {
    hit: Block,
    next: Block,
    stop: Block,
}

/// What a callback is given, by offsets.
const HAYSTACK: i64 = 0;
const RESULT: i64 = 8;
const NEEDLE: i64 = 16;
const HEAD: i64 = 24;
const MASK: i64 = 32;
const FRAME: u32 = 40;

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
        if size > NATIVE_POSITIONS && self.unit.target.bpf_loop {
            return self.find_by_callback(place, size, Needle::Literal(needle));
        }
        self.find_by_loop(place, size, Needle::Literal(needle))
    }

    fn find_text(&mut self, haystack: &Expr, needle: &Expr) -> Result<Value> {
        let sizes = (
            self.unit.size_of(&haystack.ty),
            self.unit.size_of(&needle.ty),
        );
        let place = self.padded_text(haystack, sizes.1.saturating_add(8))?;
        let wanted = self.padded_text(needle, 8)?;
        let first = self.byte(wanted);
        let zero = self.iconst(0);
        self.choose(
            Test(JmpOp::Eq, first, zero),
            |_| Ok(zero),
            |l| {
                let head = l.load_raw(wanted, Size::B8, false);
                let mask = l.mask_to_nul(head);
                let head = l.binary(AluOp::And, head, mask);
                let needle = Needle::Text {
                    place: wanted,
                    size: sizes.1,
                    head,
                    mask,
                };
                let few = sizes.0.saturating_mul(sizes.1 / 8 + 1) <= NATIVE_POSITIONS;
                if few || !l.unit.target.bpf_loop {
                    l.find_by_loop(place, sizes.0, needle)
                } else {
                    l.find_by_callback(place, sizes.0, needle)
                }
            },
        )
    }

    fn find_by_loop(&mut self, place: Place, size: u32, needle: Needle<'_>) -> Result<Value> {
        let (end, params) = self.f.b.block(1);
        let none = self.iconst(-1);
        self.each_offset(size, 1, |l, at| {
            let ways = l.ways();
            let place = l.moved(place, at);
            l.try_here(place, needle, ways)?;
            l.f.b.switch_to(ways.hit);
            l.f.b.jump(end, &[at]);
            l.f.b.switch_to(ways.stop);
            l.f.b.jump(end, &[none]);
            l.f.b.switch_to(ways.next);
            Ok(())
        })?;
        self.f.b.jump(end, &[none]);
        self.f.b.switch_to(end);
        self.only(&params)
    }

    fn find_by_callback(&mut self, place: Place, size: u32, needle: Needle<'_>) -> Result<Value> {
        let frame = self.stack_temporary(FRAME);
        let (haystack, none) = (self.address(place), self.iconst(-1));
        self.store(frame.at(HAYSTACK), Size::B8, haystack);
        self.store(frame.at(RESULT), Size::B8, none);
        if let Needle::Text {
            place, head, mask, ..
        } = needle
        {
            let wanted = self.address(place);
            self.store(frame.at(NEEDLE), Size::B8, wanted);
            self.store(frame.at(HEAD), Size::B8, head);
            self.store(frame.at(MASK), Size::B8, mask);
        }
        let outer = self.begin_function("find", Signature::LoopCallback, 2);
        self.find_callback(size, needle)?;
        let callback = self.end_function(outer);
        let (positions, flags) = (self.iconst(i64::from(size)), self.iconst(0));
        let function = self.f.b.def(Op::FuncRef(callback));
        let context = self.address(frame);
        let args = [positions, function, context, flags];
        self.call(helper::LOOP, &args, Effect::Writes);
        Ok(self.load_raw(frame.at(RESULT), Size::B8, true))
    }

    fn find_callback(&mut self, size: u32, needle: Needle<'_>) -> Result<()> {
        let at = self.f.b.param(0);
        let frame = Place::value(self.f.b.param(1), Memory::Stack);
        let ways = self.ways();
        let (inside, _) = self.f.b.block(0);
        let (go_on, stop, limit) = (self.iconst(0), self.iconst(1), self.iconst(i64::from(size)));
        self.branch(Test(JmpOp::Lt, at, limit), inside, ways.stop);
        self.f.b.switch_to(inside);
        let haystack = self.load_raw(frame.at(HAYSTACK), Size::B8, false);
        let needle = match needle {
            Needle::Literal(_) => needle,
            Needle::Text { size, .. } => {
                let wanted = self.load_raw(frame.at(NEEDLE), Size::B8, false);
                Needle::Text {
                    place: Place::value(wanted, Memory::Own),
                    size,
                    head: self.load_raw(frame.at(HEAD), Size::B8, false),
                    mask: self.load_raw(frame.at(MASK), Size::B8, false),
                }
            }
        };
        let here = self.binary(AluOp::Add, haystack, at);
        self.try_here(Place::value(here, Memory::Own), needle, ways)?;
        self.f.b.switch_to(ways.hit);
        self.store(frame.at(RESULT), Size::B8, at);
        self.f.b.ret(stop);
        self.f.b.switch_to(ways.stop);
        self.f.b.ret(stop);
        self.f.b.switch_to(ways.next);
        self.f.b.ret(go_on);
        Ok(())
    }

    fn ways(&mut self) -> Ways {
        let mut block = || self.f.b.block(0).0;
        Ways {
            hit: block(),
            next: block(),
            stop: block(),
        }
    }

    /// Compares what begins at one position.
    fn try_here(&mut self, place: Place, needle: Needle<'_>, ways: Ways) -> Result<()> {
        let word = self.load_raw(place, Size::B8, false);
        let first = self.f.b.ext(Size::B1, false, word);
        let zero = self.iconst(0);
        let (on, _) = self.f.b.block(0);
        self.branch(Test(JmpOp::Eq, first, zero), ways.stop, on);
        self.f.b.switch_to(on);
        match needle {
            Needle::Literal(bytes) => {
                self.try_literal(place, word, bytes, ways);
                Ok(())
            }
            Needle::Text {
                place: wanted,
                size,
                head,
                mask,
            } => {
                // The rest is compared only where the first word fits.
                let (rest, _) = self.f.b.block(0);
                let masked = self.binary(AluOp::And, word, mask);
                self.branch(Test(JmpOp::Eq, masked, head), rest, ways.next);
                self.f.b.switch_to(rest);
                self.needle_fits(place, wanted, size, ways)
            }
        }
    }

    fn try_literal(&mut self, place: Place, first: Value, bytes: &[u8], ways: Ways) {
        for (index, part) in (0i64..).zip(bytes.chunks(8)) {
            let word = match index {
                0 => first,
                _ => self.load_raw(place.at(index * 8), Size::B8, false),
            };
            let want = part.iter().rev();
            let want = want.fold(0u64, |word, &byte| word << 8 | u64::from(byte));
            let word = if part.len() < 8 {
                let mask = (1i64 << (8 * part.len())) - 1;
                self.binary_imm(AluOp::And, word, mask)
            } else {
                word
            };
            let want = self.iconst(want as i64);
            let (more, _) = self.f.b.block(0);
            self.branch(Test(JmpOp::Eq, word, want), more, ways.next);
            self.f.b.switch_to(more);
        }
        self.f.b.jump(ways.hit, &[]);
    }

    /// All bytes before the first that is zero, as a mask; all ones where none is.
    fn mask_to_nul(&mut self, word: Value) -> Value {
        let ends = self.zero_bytes(word);
        let negative = self.f.b.def(Op::Neg {
            width: Width::W64,
            value: ends,
        });
        let lowest = self.binary(AluOp::And, ends, negative);
        // The mark is the highest bit of its byte: seven bits down is its lowest, and one less are all bits below the byte.
        let byte = self.binary_imm(AluOp::Rsh, lowest, 7);
        self.binary_imm(AluOp::Sub, byte, 1)
    }

    /// Whether the needle, up to its NUL, is what the place begins with.
    fn needle_fits(&mut self, place: Place, needle: Place, len: u32, ways: Ways) -> Result<()> {
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
            l.branch(Test(JmpOp::Eq, difference, zero), same, ways.next);
            l.f.b.switch_to(same);
            l.branch(Test(JmpOp::Ne, ends, zero), ways.hit, on);
            l.f.b.switch_to(on);
            Ok(())
        })?;
        self.f.b.jump(ways.hit, &[]);
        Ok(())
    }
}
