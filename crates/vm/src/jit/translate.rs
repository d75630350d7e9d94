//! From instructions to Cranelift's IR: blocks, registers, memory, jumps.

use std::collections::BTreeMap;

use beetrace_isa::{AtomicOp, Insn, JmpOp, Reg, Size, Src, Width};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AtomicRmwOp, Block, FuncRef, InstBuilder, MemFlagsData, SigRef, Signature, StackSlotData,
    StackSlotKind, Type, Value, types,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, Variable};

use super::CompileError;
use crate::program::{FRAME_BYTES, Program, constant};

/// The translation of one function.
pub(super) struct Translator<'p, 'b> {
    pub(super) program: &'p Program,
    pub(super) b: FunctionBuilder<'b>,
    /// The functions of the program, in the order of their starts.
    pub(super) functions: Vec<FuncRef>,
    pub(super) helper: SigRef,
    /// Address of the run's state.
    pub(super) run: Value,
    registers: [Variable; 11],
    /// Blocks by the index of their first instruction.
    blocks: BTreeMap<usize, Block>,
}

/// Translates the function that starts at `start` into `builder`'s.
pub(super) fn function(
    program: &Program,
    start: usize,
    functions: Vec<FuncRef>,
    signature: &Signature,
    mut builder: FunctionBuilder<'_>,
    config: TargetFrontendConfig,
) -> Result<(), CompileError> {
    let range = program.functions.range(start);
    let registers = std::array::from_fn(|_| builder.declare_var(types::I64));
    let mut blocks = BTreeMap::new();
    for at in range.clone() {
        let target = match program.insns.get(at) {
            Some(Insn::Ja { .. }) => vec![program.functions.target(at)],
            Some(Insn::Jmp { .. }) => vec![program.functions.target(at), at + 1],
            _ => continue,
        };
        for index in target {
            blocks
                .entry(index)
                .or_insert_with(|| builder.create_block());
        }
    }
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let params = builder.block_params(entry).to_vec();
    let helper = builder.import_signature(signature.clone());
    let slot = builder.create_sized_stack_slot(StackSlotData::new(
        StackSlotKind::ExplicitSlot,
        FRAME_BYTES as u32,
        4,
    ));
    let frame = builder
        .ins()
        .stack_addr(types::I64, slot, FRAME_BYTES as i32);
    let run = params
        .first()
        .copied()
        .ok_or(CompileError::Untranslated(start))?;
    let mut t = Translator {
        program,
        b: builder,
        functions,
        helper,
        run,
        registers,
        blocks,
    };
    for (reg, value) in Reg::ALL.into_iter().skip(1).zip(params.into_iter().skip(1)) {
        t.set(reg, value);
    }
    t.set(Reg::R10, frame);

    let mut open = true;
    for at in range {
        if let Some(&block) = t.blocks.get(&at) {
            if open {
                t.b.ins().jump(block, &[]);
            }
            t.b.switch_to_block(block);
        } else if !open {
            // What no jump leads to, after an end, is never run.
            continue;
        }
        let insn = program
            .insns
            .get(at)
            .ok_or(CompileError::Untranslated(at))?;
        open = t.insn(at, insn)?;
    }
    t.b.seal_all_blocks();
    t.b.finalize(config);
    Ok(())
}

impl Translator<'_, '_> {
    pub(super) fn get(&mut self, reg: Reg) -> Value {
        self.b.use_var(self.registers[reg.index()])
    }

    pub(super) fn set(&mut self, reg: Reg, value: Value) {
        self.b.def_var(self.registers[reg.index()], value);
    }

    pub(super) fn number(&mut self, value: u64) -> Value {
        self.b.ins().iconst(types::I64, value as i64)
    }

    pub(super) fn low(&mut self, value: Value) -> Value {
        self.b.ins().ireduce(types::I32, value)
    }

    pub(super) fn get_sized(&mut self, reg: Reg, width: Width) -> Value {
        let value = self.get(reg);
        match width {
            Width::W64 => value,
            Width::W32 => self.low(value),
        }
    }

    /// The second operand of an operation, in the operation's width.
    pub(super) fn operand(&mut self, src: Src, width: Width) -> Value {
        match (src, width) {
            (Src::Reg(reg), width) => self.get_sized(reg, width),
            (Src::Imm(imm), Width::W64) => self.b.ins().iconst(types::I64, i64::from(imm)),
            (Src::Imm(imm), Width::W32) => {
                let bits = i64::from(imm as u32);
                self.b.ins().iconst(types::I32, bits)
            }
        }
    }

    /// Writes a result of an operation; 32-bit results clear the upper half.
    pub(super) fn set_sized(&mut self, reg: Reg, width: Width, value: Value) {
        let value = match width {
            Width::W64 => value,
            Width::W32 => self.b.ins().uextend(types::I64, value),
        };
        self.set(reg, value);
    }

    fn block(&self, at: usize, index: usize) -> Result<Block, CompileError> {
        let block = self.blocks.get(&index).copied();
        block.ok_or(CompileError::Untranslated(at))
    }

    /// Translates an instruction; gives whether the one behind it can be reached from it.
    fn insn(&mut self, at: usize, insn: &Insn) -> Result<bool, CompileError> {
        match *insn {
            Insn::Alu {
                width,
                op,
                dst,
                src,
            } => self.alu(width, op, dst, src),
            Insn::Neg { width, dst } => {
                let value = self.get_sized(dst, width);
                let value = self.b.ins().ineg(value);
                self.set_sized(dst, width, value);
            }
            Insn::MovSx {
                width,
                from,
                dst,
                src,
            } => self.sign_extend(width, from, dst, src),
            Insn::Endian { op, size, dst } => self.endian(op, size, dst),
            Insn::LdImm64 { dst, imm } => {
                let value = match imm {
                    beetrace_isa::Imm64::Func(_) => self.function_address(at)?,
                    _ => self.number(constant(self.program, at)),
                };
                self.set(dst, value);
            }
            Insn::Load {
                size,
                sign_extend,
                dst,
                src,
                off,
            } => {
                let base = self.get(src);
                let value = self.b.ins().load(int(size), flags(), base, i32::from(off));
                let value = match (size, sign_extend) {
                    (Size::B8, _) => value,
                    (_, true) => self.b.ins().sextend(types::I64, value),
                    (_, false) => self.b.ins().uextend(types::I64, value),
                };
                self.set(dst, value);
            }
            Insn::Store {
                size,
                dst,
                off,
                src,
            } => {
                let base = self.get(dst);
                let value = self.operand(src, Width::W64);
                let value = match size {
                    Size::B8 => value,
                    _ => self.b.ins().ireduce(int(size), value),
                };
                self.b.ins().store(flags(), value, base, i32::from(off));
            }
            Insn::Atomic {
                op,
                size,
                dst,
                src,
                off,
            } => self.atomic(op, size, dst, src, off),
            Insn::Ja { .. } => {
                let block = self.block(at, self.program.functions.target(at))?;
                self.b.ins().jump(block, &[]);
                return Ok(false);
            }
            Insn::Jmp {
                width,
                op,
                dst,
                src,
                ..
            } => {
                let condition = self.condition(width, op, dst, src);
                let taken = self.block(at, self.program.functions.target(at))?;
                let next = self.block(at, at + 1)?;
                self.b.ins().brif(condition, taken, &[], next, &[]);
                return Ok(false);
            }
            Insn::Call { helper } => return self.helper_call(at, helper),
            Insn::CallLocal { .. } => self.local_call(at)?,
            Insn::Exit => {
                let value = self.get(Reg::R0);
                self.b.ins().return_(&[value]);
                return Ok(false);
            }
            Insn::LdAbs { size, imm } => self.load_packet(size, None, imm),
            Insn::LdInd { size, src, imm } => self.load_packet(size, Some(src), imm),
            Insn::CallKfunc { .. } => return Err(CompileError::Untranslated(at)),
        }
        Ok(true)
    }

    fn condition(&mut self, width: Width, op: JmpOp, dst: Reg, src: Src) -> Value {
        let left = self.get_sized(dst, width);
        let right = self.operand(src, width);
        let code = match op {
            JmpOp::Eq => IntCC::Equal,
            JmpOp::Ne => IntCC::NotEqual,
            JmpOp::Gt => IntCC::UnsignedGreaterThan,
            JmpOp::Ge => IntCC::UnsignedGreaterThanOrEqual,
            JmpOp::Lt => IntCC::UnsignedLessThan,
            JmpOp::Le => IntCC::UnsignedLessThanOrEqual,
            JmpOp::Sgt => IntCC::SignedGreaterThan,
            JmpOp::Sge => IntCC::SignedGreaterThanOrEqual,
            JmpOp::Slt => IntCC::SignedLessThan,
            JmpOp::Sle => IntCC::SignedLessThanOrEqual,
            JmpOp::Set => return self.b.ins().band(left, right),
        };
        self.b.ins().icmp(code, left, right)
    }

    fn atomic(&mut self, op: AtomicOp, size: Size, dst: Reg, src: Reg, off: i16) {
        let ty = int(size);
        let base = self.get(dst);
        let offset = self.number(i64::from(off) as u64);
        let address = self.b.ins().iadd(base, offset);
        let width = if size == Size::B8 {
            Width::W64
        } else {
            Width::W32
        };
        let operand = self.get_sized(src, width);
        let (rmw, fetch) = match op {
            AtomicOp::Add { fetch } => (AtomicRmwOp::Add, fetch),
            AtomicOp::Or { fetch } => (AtomicRmwOp::Or, fetch),
            AtomicOp::And { fetch } => (AtomicRmwOp::And, fetch),
            AtomicOp::Xor { fetch } => (AtomicRmwOp::Xor, fetch),
            AtomicOp::Xchg => (AtomicRmwOp::Xchg, true),
            AtomicOp::CmpXchg => {
                let expected = self.get_sized(Reg::R0, width);
                let old = self.b.ins().atomic_cas(flags(), address, expected, operand);
                return self.set_sized(Reg::R0, width, old);
            }
        };
        let old = self.b.ins().atomic_rmw(ty, flags(), rmw, address, operand);
        if fetch {
            self.set_sized(src, width, old);
        }
    }
}

/// Memory accesses of verified programs do not trap.
pub(super) fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

pub(super) fn int(size: Size) -> Type {
    match size {
        Size::B1 => types::I8,
        Size::B2 => types::I16,
        Size::B4 => types::I32,
        Size::B8 => types::I64,
    }
}
