//! Loops: in the program where the verifier can count their rounds, else functions that the kernel calls back.

use beetrace_isa::{AluOp, JmpOp, Size, helper};
use beetrace_lang::span::Span;
use beetrace_lang::typed::{Expr, MapId, Stmt, VarId};
use beetrace_object::Signature;

use super::analysis::{RangePlan, assigned_vars, constant, range_plan};
use super::func::{FRAME_VARS, Growing, LoopTargets, Lower, Test};
use super::layout::Repr;
use super::memory::{Memory, Place};
use super::percpu::Entry;
use super::vars::VarPlace;
use super::{LowerError, Result};
use crate::ir::{Block, Effect, FuncId, Op, Value};

impl Lower<'_, '_> {
    /// Variables in registers that a loop assigns.
    fn carried(&self, body: &[Stmt], cond: Option<&Expr>) -> Vec<VarId> {
        let mut vars = assigned_vars(self.unit.target, body, cond);
        vars.retain(|v| self.vars.get(v.0 as usize) == Some(&VarPlace::Register));
        vars
    }

    fn rounds(&mut self, end: Block, next: Block, body: &[Stmt]) -> Result<()> {
        self.f.loops.push(LoopTargets::Native { end, next });
        let result = self.stmts(body);
        self.f.loops.pop();
        result
    }

    pub(super) fn while_loop(&mut self, cond: &Expr, body: &[Stmt]) -> Result<()> {
        let carried = self.carried(body, Some(cond));
        let (head, _) = self.f.b.block(0);
        let (inside, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        self.f.b.jump(head, &[]);
        self.f.b.switch_to(head);
        self.f.ssa.begin_loop(&mut self.f.b, carried);
        let mark = self.mark();
        self.cond(cond, inside, end)?;
        self.release(mark);
        self.f.b.switch_to(inside);
        self.rounds(end, head, body)?;
        self.f.b.jump(head, &[]);
        self.f.ssa.end_loop(&mut self.f.b, head);
        self.f.b.switch_to(end);
        Ok(())
    }

    pub(super) fn unroll(&mut self, count: u32, body: &[Stmt]) -> Result<()> {
        let (end, _) = self.f.b.block(0);
        for _ in 0..count {
            let (next, _) = self.f.b.block(0);
            self.rounds(end, next, body)?;
            self.f.b.jump(next, &[]);
            self.f.b.switch_to(next);
        }
        self.f.b.jump(end, &[]);
        self.f.b.switch_to(end);
        Ok(())
    }

    pub(super) fn for_range(
        &mut self,
        var: VarId,
        start: &Expr,
        end: &Expr,
        body: &[Stmt],
        span: Span,
    ) -> Result<()> {
        match range_plan(self.unit.target, start, end) {
            RangePlan::Native => self.range_native(var, start, end, body, span),
            RangePlan::Callback => self.range_callback(var, start, end, body, span),
        }
    }

    fn range_native(
        &mut self,
        var: VarId,
        start: &Expr,
        end: &Expr,
        body: &[Stmt],
        span: Span,
    ) -> Result<()> {
        let op = self.below(start);
        let ty = start.ty.clone();
        let (from, to) = (self.scalar(start)?, self.scalar(end)?);
        let mut carried = self.carried(body, None);
        carried.retain(|v| *v != var);
        let (head, params) = self.f.b.block(1);
        let (inside, _) = self.f.b.block(0);
        let (next, _) = self.f.b.block(0);
        let (out, _) = self.f.b.block(0);
        self.f.b.jump(head, &[from]);
        self.f.b.switch_to(head);
        let index = self.only(&params)?;
        self.f.ssa.begin_loop(&mut self.f.b, carried);
        self.branch(Test(op, index, to), inside, out);
        self.f.b.switch_to(inside);
        self.var_put(var, index, span)?;
        self.rounds(out, next, body)?;
        self.f.b.jump(next, &[]);
        self.f.b.switch_to(next);
        let more = self.binary_imm(AluOp::Add, index, 1);
        let more = self.wrap(more, &ty);
        self.f.b.jump(head, &[more]);
        self.f.ssa.end_loop(&mut self.f.b, head);
        self.f.b.switch_to(out);
        Ok(())
    }

    fn below(&self, bound: &Expr) -> JmpOp {
        match self.unit.repr(&bound.ty) {
            Repr::Scalar { signed: false, .. } => JmpOp::Lt,
            _ => JmpOp::Slt,
        }
    }

    fn range_callback(
        &mut self,
        var: VarId,
        start: &Expr,
        end: &Expr,
        body: &[Stmt],
        span: Span,
    ) -> Result<()> {
        let op = self.below(start);
        let first = constant(start);
        let (from, to) = (self.scalar(start)?, self.scalar(end)?);
        let zero = self.iconst(0);
        let rounds = self.choose(
            Test(op, from, to),
            |l| Ok(l.binary(AluOp::Sub, to, from)),
            |_| Ok(zero),
        )?;
        let frame = self.frame(span)?;
        let start_at = i64::from(FRAME_VARS + 8 * self.range_depth);
        if first.is_none() {
            self.store(frame.at(start_at), Size::B8, from);
        }
        let outer = self.begin_callback("loop", Signature::LoopCallback, true);
        let inner = self.frame(span)?;
        let index = self.f.b.param(0);
        let from = match first {
            Some(first) => self.iconst(first),
            None => self.load_raw(inner.at(start_at), Size::B8, false),
        };
        let value = self.binary(AluOp::Add, from, index);
        let value = self.wrap(value, &start.ty);
        self.var_put(var, value, span)?;
        self.range_depth += 1;
        let callback = self.callback_body(outer, body);
        self.range_depth -= 1;
        let function = self.f.b.def(Op::FuncRef(callback?));
        let context = self.address(frame);
        let flags = self.iconst(0);
        let args = [rounds, function, context, flags];
        self.call(helper::LOOP, &args, Effect::Writes);
        self.propagate_leave()
    }

    /// Lowers what a callback does and ends it.
    fn callback_body(&mut self, outer: Growing, body: &[Stmt]) -> Result<FuncId> {
        self.f.loops.push(LoopTargets::Callback);
        self.stmts(body)?;
        let go_on = self.iconst(0);
        self.f.b.ret(go_on);
        Ok(self.end_function(outer))
    }

    fn frame(&self, span: Span) -> Result<Place> {
        self.f.frame.ok_or(LowerError::Malformed {
            what: "a callback without a frame",
            span,
        })
    }

    pub(super) fn for_map(
        &mut self,
        var: VarId,
        map: MapId,
        body: &[Stmt],
        span: Span,
    ) -> Result<()> {
        if !self.unit.target.for_each_map_elem {
            return Err(LowerError::Unsupported {
                what: "a loop over a map",
                needs: "bpf_for_each_map_elem (Linux 5.13)",
                span,
            });
        }
        let frame = self.frame(span)?;
        let outer = self.begin_callback("each", Signature::MapCallback, true);
        let pointer = |v: Value| Place::value(v, Memory::Own);
        let entry = Entry {
            map,
            key: pointer(self.f.b.param(1)),
            value: pointer(self.f.b.param(2)),
        };
        if self.var_place(var, span)? == VarPlace::Entry {
            self.f.entries.insert(var, entry);
        } else {
            self.entry_into(entry, var, span)?;
        }
        let callback = self.callback_body(outer, body)?;
        let map = self.map_ref(map.0);
        let function = self.f.b.def(Op::FuncRef(callback));
        let context = self.address(frame);
        let flags = self.iconst(0);
        let args = [map, function, context, flags];
        self.call(helper::FOR_EACH_MAP_ELEM, &args, Effect::Writes);
        self.propagate_leave()
    }
}
