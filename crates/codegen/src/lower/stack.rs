//! Stacks: `kstack`, `ustack` and their kin.

use beetrace_isa::{AluOp, JmpOp, Size, helper};
use beetrace_lang::typed::Expr;
use beetrace_lang::types::{StackType, Type};
use beetrace_object::{Loss, StackMode};

use super::func::{Lower, Test};
use super::memory::Place;
use super::{LowerError, Result};
use crate::ir::{Effect, Value};

/// Flags of `bpf_get_stackid` and `bpf_get_stack` (include/uapi/linux/bpf.h).
const BPF_F_USER_STACK: i64 = 1 << 8;
const BPF_F_USER_BUILD_ID: i64 = 1 << 11;

impl Lower<'_, '_> {
    /// Takes a stack: its id, its process and, where something asks for it, its number of frames.
    pub(super) fn stack_into(&mut self, expr: &Expr, to: Place) -> Result<()> {
        let Type::Stack(stack) = expr.ty else {
            return Err(LowerError::Malformed {
                what: "a stack of no stack type",
                span: expr.span,
            });
        };
        let map = self.unit.frames_map(stack);
        let map = self.map_ref(map);
        let flags = self.iconst(if stack.user { BPF_F_USER_STACK } else { 0 });
        let args = [self.f.context, map, flags];
        let id = self.call(helper::GET_STACKID, &args, Effect::Writes);
        let zero = self.iconst(0);
        let id = self.choose(
            Test(JmpOp::Slt, id, zero),
            |l| {
                l.count_loss(Loss::StackFailed)?;
                Ok(l.iconst(-1))
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

    fn count_frames(&mut self, stack: StackType) -> Result<Value> {
        let is_build_id = stack.mode == StackMode::BuildId && stack.user;
        let frame_size = if is_build_id { 32 } else { 8 };
        let size = stack.limit.clamp(1, 1024) * frame_size;
        let mark = self.mark();
        let buffer = self.temporary(size);
        let (buffer, length) = (self.address(buffer), self.iconst(i64::from(size)));
        let mut flags = if stack.user { BPF_F_USER_STACK } else { 0 };
        if is_build_id {
            flags |= BPF_F_USER_BUILD_ID;
        }
        let flags = self.iconst(flags);
        let args = [self.f.context, buffer, length, flags];
        let bytes = self.call(helper::GET_STACK, &args, Effect::Writes);
        self.release(mark);
        let zero = self.iconst(0);
        self.choose(
            Test(JmpOp::Sgt, bytes, zero),
            |l| Ok(l.binary_imm(AluOp::Div, bytes, i64::from(frame_size))),
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
