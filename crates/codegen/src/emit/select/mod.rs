//! Instruction selection: from a function of the IR to machine code over virtual registers.
//!
//! Value `n` lives in virtual register `FIRST_VIRTUAL + n`. What costs no more to repeat than to keep (constants, addresses of
//! slots, maps and functions) has no register of its own: it is made where it is used, once between two calls.

mod arithmetic;
mod control;
mod memory;

use beetrace_isa::{Imm64, Size, Width};
use beetrace_object::SourceSpan;

use super::EmitError;
use super::mir::{Callee, FIRST_VIRTUAL, Label, MBlock, MEnd, MFunc, MInst, MOp, MSrc, VReg};
use crate::Target;
use crate::ir::cfg::Cfg;
use crate::ir::{Block, Function, Inst, Op, Value};

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
