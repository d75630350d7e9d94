//! Stacks: `kstack`, `ustack` and their kin.

use beetrace_isa::{AluOp, JmpOp, Size, helper};
use beetrace_lang::typed::Expr;
use beetrace_lang::types::{StackType, Type};
use beetrace_object::{Loss, Signature, StackMode};

use super::func::{Lower, Test};
use super::memory::Place;
use super::{LowerError, Result};
use crate::ir::{Effect, FuncId, Op, Value};

/// Flags of `bpf_get_stackid` and `bpf_get_stack` (include/uapi/linux/bpf.h).
const BPF_F_USER_STACK: i64 = 1 << 8;
const BPF_F_USER_BUILD_ID: i64 = 1 << 11;

/// What `bpf_get_stackid` says, negated, of a bucket that holds another stack, and of a thread without such a stack.
const EEXIST: i64 = 17;
const EFAULT: i64 = 14;

/// An odd number with as many zeros as ones: the golden ratio's part of 2^64.
const HASH_FACTOR: i64 = 0x9e37_79b9_7f4a_7c15_u64 as i64;

impl Lower<'_, '_> {
    /// Takes a stack: its id, its process and, where something asks for it, its number of frames.
    pub(super) fn stack_into(&mut self, expr: &Expr, to: Place) -> Result<()> {
        let Type::Stack(stack) = expr.ty else {
            return Err(LowerError::Malformed {
                what: "a stack of no stack type",
                span: expr.span,
            });
        };
        let frames = self.unit.frames_map(stack);
        let map = self.map_ref(frames);
        let flags = self.iconst(if stack.user { BPF_F_USER_STACK } else { 0 });
        let args = [self.f.context, map, flags];
        let id = self.call(helper::GET_STACKID, &args, Effect::Writes);
        let zero = self.iconst(0);
        let taken = self.stack_by_hash(stack, frames)?;
        let context = self.f.context;
        let id = self.choose(
            Test(JmpOp::Slt, id, zero),
            |l| {
                let collision = l.iconst(-EEXIST);
                l.choose(
                    Test(JmpOp::Eq, id, collision),
                    |l| {
                        let args = vec![context];
                        let function = taken;
                        Ok(l.f.b.def(Op::CallLocal { function, args }))
                    },
                    |l| {
                        // A thread of the kernel has no stack of a user: nothing is lost.
                        let absent = l.iconst(-EFAULT);
                        l.when(Test(JmpOp::Ne, id, absent), |l| {
                            l.count_loss(Loss::StackFailed)
                        })?;
                        Ok(l.iconst(-1))
                    },
                )
            },
            |_| Ok(id),
        )?;
        self.store(to, Size::B8, id);
        let pid = if stack.user {
            self.process_id(false)?
        } else {
            zero
        };
        self.store(to.at(8), Size::B4, pid);
        let frames = if self.unit.script.counts_frames {
            self.count_frames(stack)?
        } else {
            zero
        };
        self.store(to.at(12), Size::B4, frames);
        Ok(())
    }

    /// A function that keeps a stack whose bucket another has, under a hash of its frames: of the context, to the stack's id.
    fn stack_by_hash(&mut self, stack: StackType, frames: u32) -> Result<FuncId> {
        let known = self.stacks.iter().find(|(s, _)| *s == stack);
        if let Some((_, id)) = known {
            return Ok(*id);
        }
        let outer = self.begin_function("stack", Signature::Subprogram(1), 1);
        self.f.failed = -1;
        let (buffer, size) = self.frames_buffer(stack);
        let bytes = self.get_stack(stack, buffer, size);
        let (none, _) = self.f.b.block(0);
        let (taken, _) = self.f.b.block(0);
        let zero = self.iconst(0);
        self.branch(Test(JmpOp::Sgt, bytes, zero), taken, none);
        self.f.b.switch_to(taken);
        let hash = self.hash_words(buffer, size)?;
        let id = self.binary_imm(AluOp::Or, hash, i64::MIN);
        let id = self.binary_imm(AluOp::And, id, -2);
        let key = self.temporary(8);
        self.store(key, Size::B8, id);
        let key = self.address(key);
        let (known, _) = self.f.b.block(0);
        let (new, _) = self.f.b.block(0);
        let found = self.lookup(frames + 1, key);
        self.branch(Test(JmpOp::Ne, found, zero), known, new);
        self.f.b.switch_to(new);
        let map = self.map_ref(frames + 1);
        let (value, flags) = (self.address(buffer), self.iconst(0));
        let args = [map, key, value, flags];
        let result = self.call(helper::MAP_UPDATE_ELEM, &args, Effect::Writes);
        self.branch(Test(JmpOp::Eq, result, zero), known, none);
        self.f.b.switch_to(known);
        self.f.b.ret(id);
        self.f.b.switch_to(none);
        self.count_loss(Loss::StackFailed)?;
        let failed = self.iconst(-1);
        self.f.b.ret(failed);
        let id = self.end_function(outer);
        self.stacks.push((stack, id));
        Ok(id)
    }

    /// A number that depends on all words.
    fn hash_words(&mut self, place: Place, size: u32) -> Result<Value> {
        let (head, params) = self.f.b.block(2);
        let (body, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        let (zero, limit) = (self.iconst(0), self.iconst(i64::from(size)));
        self.f.b.jump(head, &[zero, zero]);
        self.f.b.switch_to(head);
        self.f.ssa.begin_loop(&mut self.f.b, Vec::new());
        let [at, hash] = params[..] else {
            return Ok(zero);
        };
        self.branch(Test(JmpOp::Lt, at, limit), body, end);
        self.f.b.switch_to(body);
        let word = self.moved(place, at);
        let word = self.load_raw(word, Size::B8, false);
        let mixed = self.binary(AluOp::Xor, hash, word);
        let mixed = self.binary_imm(AluOp::Mul, mixed, HASH_FACTOR);
        let high = self.binary_imm(AluOp::Rsh, mixed, 29);
        let mixed = self.binary(AluOp::Xor, mixed, high);
        let next = self.binary_imm(AluOp::Add, at, 8);
        self.f.b.jump(head, &[next, mixed]);
        self.f.b.switch_to(end);
        Ok(hash)
    }

    /// Memory for all frames of a stack.
    fn frames_buffer(&mut self, stack: StackType) -> (Place, u32) {
        let frame_size = frame_size(stack);
        let size = stack.limit.clamp(1, 1024) * frame_size;
        (self.temporary(size), size)
    }

    /// Takes a stack into memory, zero behind its last frame; the result is its bytes, or negative.
    fn get_stack(&mut self, stack: StackType, to: Place, size: u32) -> Value {
        let (buffer, length) = (self.address(to), self.iconst(i64::from(size)));
        let mut flags = if stack.user { BPF_F_USER_STACK } else { 0 };
        if frame_size(stack) > 8 {
            flags |= BPF_F_USER_BUILD_ID;
        }
        let flags = self.iconst(flags);
        let args = [self.f.context, buffer, length, flags];
        self.call(helper::GET_STACK, &args, Effect::Writes)
    }

    fn count_frames(&mut self, stack: StackType) -> Result<Value> {
        let mark = self.mark();
        let (buffer, size) = self.frames_buffer(stack);
        let bytes = self.get_stack(stack, buffer, size);
        self.release(mark);
        let zero = self.iconst(0);
        self.choose(
            Test(JmpOp::Sgt, bytes, zero),
            |l| Ok(l.binary_imm(AluOp::Div, bytes, i64::from(frame_size(stack)))),
            |_| Ok(zero),
        )
    }

    /// Frames of a stack value.
    pub(super) fn stack_len(&mut self, stack: &Expr) -> Result<Value> {
        let mark = self.mark();
        let place = self.place(stack)?;
        let frames = self.load(place.at(12), Size::B4, false)?;
        self.release(mark);
        Ok(frames)
    }
}

/// Bytes of a frame: an address, or a `struct bpf_stack_build_id`.
fn frame_size(stack: StackType) -> u32 {
    if stack.mode == StackMode::BuildId && stack.user {
        32
    } else {
        8
    }
}
