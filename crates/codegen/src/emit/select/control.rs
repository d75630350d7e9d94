//! Calls, conditions and the ends of blocks.

use beetrace_isa::{JmpOp, Reg, Width};

use super::{Selector, empty_block, home, immediate};
use crate::emit::mir::{Callee, Label, MEnd, MOp, MSrc, VReg};
use crate::emit::moves::sequence;
use crate::ir::{self, Op, Terminator, Value};
use crate::opt::gives_number;

impl Selector<'_> {
    pub(super) fn call(&mut self, dst: VReg, callee: Callee, args: &[Value]) {
        for (n, &arg) in args.iter().enumerate() {
            self.copy(VReg(n as u32 + 1), arg);
        }
        self.push(MOp::Call {
            callee,
            args: args.len() as u8,
        });
        self.made.clear();
        self.push(MOp::Mov {
            dst,
            src: VReg::fixed(Reg::R0),
        });
    }

    pub(super) fn terminator(&mut self, end: &Terminator) {
        match end {
            Terminator::Jump(target) => {
                self.pass(target);
                self.end(MEnd::Jump(self.labels[target.block.0 as usize]));
            }
            Terminator::Branch {
                op,
                width,
                left,
                right,
                then,
                otherwise,
            } => {
                let likely = self.likely(*op, *left, *right);
                let (op, width, left, right) = self.branch_condition(*op, *width, *left, *right);
                let end = MEnd::Branch {
                    op,
                    width,
                    left,
                    right,
                    then: self.edge(then),
                    otherwise: self.edge(otherwise),
                    likely,
                };
                self.end(end);
            }
            Terminator::Return(value) => {
                self.copy(VReg::fixed(Reg::R0), *value);
                self.end(MEnd::Exit);
            }
            Terminator::Unreachable => {
                self.push(MOp::MovImm {
                    dst: VReg::fixed(Reg::R0),
                    imm: 0,
                });
                self.end(MEnd::Exit);
            }
        }
    }

    /// What a helper finds is rarely not there.
    pub(super) fn likely(&self, op: JmpOp, left: Value, right: Value) -> Option<bool> {
        match (self.def(left)?, op, self.constant(right)) {
            (Op::Call { helper, .. }, JmpOp::Eq | JmpOp::Ne, Some(0)) if !gives_number(*helper) => {
                Some(op == JmpOp::Ne)
            }
            _ => None,
        }
    }

    /// The label of a branch's target: a block of its own where arguments are passed on the way.
    pub(super) fn edge(&mut self, target: &ir::Target) -> Label {
        let label = self.labels[target.block.0 as usize];
        if target.args.is_empty() {
            return label;
        }
        let depth = self.out.blocks[self.current]
            .depth
            .min(self.out.blocks[label].depth);
        let (back, made) = (self.current, std::mem::take(&mut self.made));
        let edge = self.out.blocks.len();
        self.out.blocks.push(empty_block(depth));
        self.current = edge;
        self.pass(target);
        self.end(MEnd::Jump(label));
        self.current = back;
        self.made = made;
        edge
    }

    /// Copies arguments to the parameters of the target, as if all at once.
    pub(super) fn pass(&mut self, target: &ir::Target) {
        let function = self.function;
        let params = &function.blocks[target.block.0 as usize].params;
        let (mut copies, mut made) = (Vec::new(), Vec::new());
        for (&param, &arg) in params.iter().zip(&target.args) {
            match self.cheap(arg) {
                Some(_) => made.push((param, arg)),
                None => copies.push((home(param), home(arg))),
            }
        }
        for (dst, src) in sequence(&copies, || self.out.fresh()) {
            self.push(MOp::Mov { dst, src });
        }
        for (param, arg) in made {
            self.copy(home(param), arg);
        }
    }

    pub(super) fn condition(&mut self, cond: Value) -> (JmpOp, Width, VReg, MSrc) {
        if let Some(Op::Compare {
            op,
            width,
            left,
            right,
        }) = self.def(cond)
        {
            return self.comparison(*op, *width, *left, *right);
        }
        (JmpOp::Ne, Width::W64, self.reg(cond), MSrc::Imm(0))
    }

    /// Branches on what a comparison compares, rather than on its result.
    pub(super) fn branch_condition(
        &mut self,
        op: JmpOp,
        width: Width,
        left: Value,
        right: Value,
    ) -> (JmpOp, Width, VReg, MSrc) {
        if let (
            Some(Op::Compare {
                op: inner,
                width,
                left,
                right,
            }),
            Some(0),
        ) = (self.def(left), self.constant(right))
        {
            match (op, inner.negate()) {
                (JmpOp::Ne, _) => return self.comparison(*inner, *width, *left, *right),
                (JmpOp::Eq, Some(negated)) => {
                    return self.comparison(negated, *width, *left, *right);
                }
                _ => {}
            }
        }
        self.comparison(op, width, left, right)
    }

    pub(super) fn comparison(
        &mut self,
        op: JmpOp,
        width: Width,
        left: Value,
        right: Value,
    ) -> (JmpOp, Width, VReg, MSrc) {
        let (op, left, right) = match (self.constant(left), self.constant(right)) {
            (Some(_), None) => (op.swap(), right, left),
            _ => (op, left, right),
        };
        let reg = self.reg(left);
        let src = match self.constant(right).and_then(|n| immediate(width, n)) {
            Some(imm) => MSrc::Imm(imm),
            None => MSrc::Reg(self.reg(right)),
        };
        (op, width, reg, src)
    }
}
