//! Instruction selection: from a function of the IR to machine code over virtual registers.
//!
//! Value `n` lives in virtual register `FIRST_VIRTUAL + n`. What costs no more to repeat than to keep (constants, addresses of
//! slots, maps and functions) has no register of its own: it is made where it is used, once between two calls.

use beetrace_isa::{AluOp, AtomicOp, Imm64, JmpOp, Reg, Size, Width};
use beetrace_object::SourceSpan;

use super::mir::{
    Addr, Base, Callee, FIRST_VIRTUAL, Label, MBlock, MEnd, MFunc, MInst, MOp, MSrc, VReg,
};
use super::moves::sequence;
use super::{EmitError, EmitErrorKind};
use crate::Target;
use crate::ir::cfg::Cfg;
use crate::ir::{self, Block, Function, Inst, Op, Terminator, Value};
use crate::opt::gives_number;

/// Selects instructions for every block that is reached.
pub(crate) fn select(function: &Function, target: &Target) -> Result<MFunc, EmitError> {
    let cfg = Cfg::new(function);
    let mut selector = Selector::new(function, target, &cfg);
    selector.prologue();
    for &block in &cfg.order {
        selector.block(block)?;
    }
    Ok(selector.out)
}

struct Selector<'a> {
    function: &'a Function,
    target: &'a Target,
    out: MFunc,
    /// What defines each value; `None` for parameters.
    defs: Vec<Option<&'a Op>>,
    uses: Vec<u32>,
    labels: Vec<Label>,
    current: Label,
    span: SourceSpan,
    /// Registers that hold what is cheap to repeat, since the last call.
    made: Vec<(MOp, VReg)>,
}

impl<'a> Selector<'a> {
    fn new(function: &'a Function, target: &'a Target, cfg: &Cfg) -> Self {
        let mut defs = vec![None; function.values as usize];
        for inst in function.blocks.iter().flat_map(|b| &b.insts) {
            if let Some(value) = inst.result {
                defs[value.0 as usize] = Some(&inst.op);
            }
        }
        let mut labels = vec![0; function.blocks.len()];
        let mut blocks = vec![empty_block(0)];
        for &block in &cfg.order {
            labels[block.0 as usize] = blocks.len();
            blocks.push(empty_block(cfg.depth(block)));
        }
        Selector {
            function,
            target,
            out: MFunc {
                blocks,
                slots: function.slots.clone(),
                regs: FIRST_VIRTUAL + function.values,
            },
            defs,
            uses: function.use_counts(),
            labels,
            current: 0,
            span: SourceSpan::default(),
            made: Vec::new(),
        }
    }

    fn prologue(&mut self) {
        let entry = &self.function.blocks[0];
        self.span = entry.insts.first().map_or(entry.end_span, |i| i.span);
        for (n, &param) in self.function.params.iter().enumerate() {
            let src = VReg(n as u32 + 1);
            self.push(MOp::Mov {
                dst: home(param),
                src,
            });
        }
        self.end(MEnd::Jump(self.labels[0]));
    }

    fn block(&mut self, block: Block) -> Result<(), EmitError> {
        let data = &self.function.blocks[block.0 as usize];
        self.switch_to(self.labels[block.0 as usize]);
        for inst in &data.insts {
            self.span = inst.span;
            self.inst(inst)?;
        }
        self.span = data.end_span;
        self.terminator(&data.end);
        Ok(())
    }

    fn inst(&mut self, inst: &Inst) -> Result<(), EmitError> {
        let dst = match inst.result {
            Some(value) if self.uses[value.0 as usize] == 0 && inst.op.is_droppable() => {
                return Ok(());
            }
            Some(value) => home(value),
            None => self.out.fresh(),
        };
        match &inst.op {
            Op::Const(_)
            | Op::SlotAddr { .. }
            | Op::MapRef(_)
            | Op::MapValue { .. }
            | Op::FuncRef(_)
            | Op::KernelSymbol { .. } => {}
            Op::Binary {
                op,
                width,
                left,
                right,
            } => self.binary(dst, *op, *width, *left, *right),
            Op::Neg { width, value } => {
                self.copy(dst, *value);
                self.push(MOp::Neg { width: *width, dst });
            }
            Op::Compare {
                op,
                width,
                left,
                right,
            } => {
                let (op, width, left, right) = self.comparison(*op, *width, *left, *right);
                self.push(MOp::MovImm { dst, imm: 1 });
                self.push(MOp::MovUnless {
                    op,
                    width,
                    left,
                    right,
                    dst,
                    src: MSrc::Imm(0),
                });
            }
            Op::Ext {
                size,
                signed,
                value,
            } => self.ext(dst, *size, *signed, *value),
            Op::Swap {
                size: Size::B1,
                value,
            } => self.ext(dst, Size::B1, false, *value),
            Op::Swap { size, value } => {
                self.copy(dst, *value);
                self.push(MOp::Swap { size: *size, dst });
            }
            Op::Select {
                cond,
                then,
                otherwise,
            } => self.select(dst, *cond, *then, *otherwise),
            Op::Load {
                size,
                signed,
                base,
                offset,
                ..
            } => self.load(dst, *size, *signed, *base, *offset),
            Op::Store {
                size,
                base,
                offset,
                value,
            } => self.store(*size, *base, *offset, *value),
            Op::Atomic {
                op,
                size,
                base,
                offset,
                value,
            } => self.atomic(inst, *op, *size, (*base, *offset), *value)?,
            Op::Call { helper, args, .. } => self.call(dst, Callee::Helper(*helper), args),
            Op::CallKfunc { btf_id, args } => self.call(dst, Callee::Kfunc(*btf_id), args),
            Op::CallLocal { function, args } => self.call(dst, Callee::Local(*function), args),
        }
        Ok(())
    }

    fn binary(&mut self, dst: VReg, op: AluOp, width: Width, left: Value, right: Value) {
        let (left, right) = self.order_operands(op, left, right);
        let Some(n) = self.constant(right) else {
            self.copy(dst, left);
            let src = MSrc::Reg(self.reg(right));
            self.push(MOp::Alu {
                width,
                op,
                dst,
                src,
            });
            return;
        };
        let n = match width {
            Width::W32 => i64::from(n as i32),
            Width::W64 => n,
        };
        match op {
            // The kernel refuses to divide by a constant zero.
            AluOp::Div | AluOp::SDiv if n == 0 => return self.push(MOp::MovImm { dst, imm: 0 }),
            AluOp::Mod | AluOp::SMod if n == 0 => {
                return match width {
                    Width::W32 => self.ext(dst, Size::B4, false, left),
                    Width::W64 => self.copy(dst, left),
                };
            }
            AluOp::And if width == Width::W64 && n == i64::from(u32::MAX) => {
                return self.ext(dst, Size::B4, false, left);
            }
            _ => {}
        }
        let n = match op {
            // And refuses to shift by too much.
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => n & i64::from(width.bits() - 1),
            _ => n,
        };
        // What no 64-bit `and` with an immediate can do, a 32-bit one may: it clears the upper half.
        let width = match (op, u32::try_from(n)) {
            (AluOp::And, Ok(_)) if i32::try_from(n).is_err() => Width::W32,
            _ => width,
        };
        self.copy(dst, left);
        let src = match immediate(width, n) {
            Some(imm) => MSrc::Imm(imm),
            None => MSrc::Reg(self.reg(right)),
        };
        self.push(MOp::Alu {
            width,
            op,
            dst,
            src,
        });
    }

    /// Constants go right; what dies here goes left, because the left operand's register becomes the result's.
    fn order_operands(&self, op: AluOp, left: Value, right: Value) -> (Value, Value) {
        let commutes = matches!(
            op,
            AluOp::Add | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor
        );
        if !commutes || self.constant(right).is_some() {
            return (left, right);
        }
        let dies = |v: Value| self.uses[v.0 as usize] == 1;
        if self.constant(left).is_some() || (dies(right) && !dies(left)) {
            (right, left)
        } else {
            (left, right)
        }
    }

    fn ext(&mut self, dst: VReg, size: Size, signed: bool, value: Value) {
        match (size, signed) {
            (Size::B8, _) => self.copy(dst, value),
            (_, true) if self.target.isa_v4 => {
                let src = self.reg(value);
                self.push(MOp::MovSx {
                    from: size,
                    dst,
                    src,
                });
            }
            (_, true) => {
                self.copy(dst, value);
                self.sign_extend(dst, size);
            }
            (Size::B4, false) => {
                let src = self.reg(value);
                self.push(MOp::Zext32 { dst, src });
            }
            (Size::B1 | Size::B2, false) => {
                self.copy(dst, value);
                let mask = if size == Size::B1 { 0xff } else { 0xffff };
                self.alu(dst, AluOp::And, mask);
            }
        }
    }

    fn sign_extend(&mut self, dst: VReg, size: Size) {
        let shift = 64 - size.bits() as i32;
        self.alu(dst, AluOp::Lsh, shift);
        self.alu(dst, AluOp::Arsh, shift);
    }

    fn alu(&mut self, dst: VReg, op: AluOp, imm: i32) {
        self.push(MOp::Alu {
            width: Width::W64,
            op,
            dst,
            src: MSrc::Imm(imm),
        });
    }

    fn select(&mut self, dst: VReg, cond: Value, then: Value, otherwise: Value) {
        let (op, width, left, right) = self.condition(cond);
        let dies = |v: Value| self.uses[v.0 as usize] == 1;
        let (op, then, otherwise) = match op.negate() {
            // The first moved should be what dies here, and the second what needs no register.
            Some(negated)
                if (self.constant(then).is_some() && self.constant(otherwise).is_none())
                    || (dies(otherwise) && !dies(then) && self.constant(otherwise).is_none()) =>
            {
                (negated, otherwise, then)
            }
            _ => (op, then, otherwise),
        };
        let src = match self.constant(otherwise).map(i32::try_from) {
            Some(Ok(imm)) => MSrc::Imm(imm),
            _ => MSrc::Reg(self.reg(otherwise)),
        };
        self.copy(dst, then);
        self.push(MOp::MovUnless {
            op,
            width,
            left,
            right,
            dst,
            src,
        });
    }

    fn load(&mut self, dst: VReg, size: Size, signed: bool, base: Value, offset: i32) {
        let addr = self.addr(base, offset);
        let signed = signed && size != Size::B8;
        let sign_extend = signed && self.target.isa_v4;
        self.push(MOp::Load {
            size,
            sign_extend,
            dst,
            addr,
        });
        if signed && !sign_extend {
            self.sign_extend(dst, size);
        }
    }

    fn store(&mut self, size: Size, base: Value, offset: i32, value: Value) {
        let addr = self.addr(base, offset);
        let imm = self.constant(value).and_then(|n| match size {
            Size::B8 => i32::try_from(n).ok(),
            Size::B4 => Some(n as i32),
            Size::B2 => Some(i32::from(n as i16)),
            Size::B1 => Some(i32::from(n as i8)),
        });
        let src = match imm {
            Some(imm) => MSrc::Imm(imm),
            None => MSrc::Reg(self.reg(value)),
        };
        self.push(MOp::Store { size, addr, src });
    }

    fn atomic(
        &mut self,
        inst: &Inst,
        op: AtomicOp,
        size: Size,
        (base, offset): (Value, i32),
        value: Value,
    ) -> Result<(), EmitError> {
        let result = inst.result.filter(|v| self.uses[v.0 as usize] > 0);
        let fetch = result.is_some();
        let op = match op {
            AtomicOp::Add { .. } => AtomicOp::Add { fetch },
            AtomicOp::Or { .. } => AtomicOp::Or { fetch },
            AtomicOp::And { .. } => AtomicOp::And { fetch },
            AtomicOp::Xor { .. } => AtomicOp::Xor { fetch },
            AtomicOp::Xchg | AtomicOp::CmpXchg => op,
        };
        if !self.target.atomic_fetch && op != (AtomicOp::Add { fetch: false }) {
            return Err(EmitError {
                span: inst.span,
                kind: EmitErrorKind::NeedsAtomicFetch,
            });
        }
        let addr = self.addr(base, offset);
        let src = if super::mir::fetches(op) {
            let src = self.out.fresh();
            self.copy(src, value);
            src
        } else {
            self.reg(value)
        };
        self.push(MOp::Atomic {
            op,
            size,
            addr,
            src,
        });
        if let Some(result) = result {
            self.push(MOp::Mov {
                dst: home(result),
                src,
            });
        }
        Ok(())
    }

    fn call(&mut self, dst: VReg, callee: Callee, args: &[Value]) {
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

    fn terminator(&mut self, end: &Terminator) {
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
    fn likely(&self, op: JmpOp, left: Value, right: Value) -> Option<bool> {
        match (self.def(left)?, op, self.constant(right)) {
            (Op::Call { helper, .. }, JmpOp::Eq | JmpOp::Ne, Some(0)) if !gives_number(*helper) => {
                Some(op == JmpOp::Ne)
            }
            _ => None,
        }
    }

    /// The label of a branch's target: a block of its own where arguments are passed on the way.
    fn edge(&mut self, target: &ir::Target) -> Label {
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
    fn pass(&mut self, target: &ir::Target) {
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

    fn condition(&mut self, cond: Value) -> (JmpOp, Width, VReg, MSrc) {
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
    fn branch_condition(
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

    fn comparison(
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

    fn addr(&mut self, base: Value, offset: i32) -> Addr {
        if let Some(&Op::SlotAddr { slot, offset: at }) = self.def(base)
            && let Some(off) = at.checked_add(offset)
        {
            let base = Base::Slot(slot);
            return Addr { base, off };
        }
        let (reg, off) = match self.def(base) {
            // One register serves for all of a map's value.
            Some(&Op::MapValue { map, offset: at })
                if let Some(off) = offset.checked_add_unsigned(at)
                    && i16::try_from(off).is_ok() =>
            {
                let imm = Imm64::MapIdxValue { idx: map, off: 0 };
                let op = move |dst| MOp::LdImm64 { dst, imm };
                (self.make(op), off)
            }
            _ => (self.reg(base), offset),
        };
        if i16::try_from(off).is_ok() {
            let base = Base::Reg(reg);
            return Addr { base, off };
        }
        let sum = self.out.fresh();
        self.push(MOp::Mov { dst: sum, src: reg });
        self.alu(sum, AluOp::Add, off);
        Addr {
            base: Base::Reg(sum),
            off: 0,
        }
    }

    /// How to make the value from nothing, where that is cheap.
    fn cheap(&self, value: Value) -> Option<impl Fn(VReg) -> MOp + use<>> {
        let template = VReg(u32::MAX);
        let op = match *self.def(value)? {
            Op::Const(imm) => MOp::MovImm { dst: template, imm },
            Op::SlotAddr { slot, offset } => MOp::SlotAddr {
                dst: template,
                slot,
                off: offset,
            },
            Op::MapRef(idx) => ld_imm64(template, Imm64::MapIdx(idx)),
            Op::MapValue { map: idx, offset } => {
                ld_imm64(template, Imm64::MapIdxValue { idx, off: offset })
            }
            Op::KernelSymbol { btf_id } => ld_imm64(
                template,
                Imm64::BtfVar {
                    btf_id,
                    module_fd: 0,
                },
            ),
            Op::FuncRef(function) => MOp::FuncAddr {
                dst: template,
                function,
            },
            _ => return None,
        };
        Some(move |dst| {
            let mut op = op;
            op.visit_mut(|reg, _| *reg = dst);
            op
        })
    }

    /// The register that holds a value.
    fn reg(&mut self, value: Value) -> VReg {
        match self.cheap(value) {
            Some(op) => self.make(op),
            None => home(value),
        }
    }

    fn make(&mut self, op: impl Fn(VReg) -> MOp) -> VReg {
        let key = op(VReg(u32::MAX));
        if let Some((_, reg)) = self.made.iter().find(|(made, _)| *made == key) {
            return *reg;
        }
        let reg = self.out.fresh();
        self.push(op(reg));
        self.made.push((key, reg));
        reg
    }

    /// Puts a value into a register of its own choice.
    fn copy(&mut self, dst: VReg, value: Value) {
        let op = match self.cheap(value) {
            Some(op) => op(dst),
            None => MOp::Mov {
                dst,
                src: home(value),
            },
        };
        self.push(op);
    }

    fn def(&self, value: Value) -> Option<&'a Op> {
        self.defs[value.0 as usize]
    }

    fn constant(&self, value: Value) -> Option<i64> {
        match self.def(value) {
            Some(Op::Const(n)) => Some(*n),
            _ => None,
        }
    }

    fn push(&mut self, op: MOp) {
        let span = self.span;
        self.out.blocks[self.current].insts.push(MInst { op, span });
    }

    fn end(&mut self, end: MEnd) {
        let block = &mut self.out.blocks[self.current];
        block.end = end;
        block.end_span = self.span;
    }

    fn switch_to(&mut self, label: Label) {
        self.current = label;
        self.made.clear();
    }
}

fn empty_block(depth: u32) -> MBlock {
    MBlock {
        insts: Vec::new(),
        end: MEnd::Exit,
        end_span: SourceSpan::default(),
        depth,
    }
}

fn home(value: Value) -> VReg {
    VReg(FIRST_VIRTUAL + value.0)
}

fn ld_imm64(dst: VReg, imm: Imm64) -> MOp {
    MOp::LdImm64 { dst, imm }
}

/// The number as an immediate: sign-extended to 64 bits, or the low half for a 32-bit operation.
fn immediate(width: Width, n: i64) -> Option<i32> {
    match width {
        Width::W32 => Some(n as i32),
        Width::W64 => i32::try_from(n).ok(),
    }
}
