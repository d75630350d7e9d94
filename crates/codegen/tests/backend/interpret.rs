//! An interpreter of the IR, for what programs without maps can do.

use std::collections::HashMap;

use beetrace_codegen::ir::{FuncId, Function, Module, Op, Slot, Terminator, Value};
use beetrace_isa::{AluOp, AtomicOp, JmpOp, Size, Width};

use crate::Trace;

const CONTEXT_BASE: u64 = 0x10_0000;
const STACK_BASE: u64 = 0x20_0000;

/// Runs function 0 with the address of the context as its parameter; gives its result.
pub(crate) fn run(module: &Module, context: &mut [u8], trace: &mut Trace) -> Result<u64, String> {
    let mut machine = Machine {
        module,
        context,
        stack: Vec::new(),
        trace,
        fuel: 1_000_000,
    };
    machine.function(FuncId(0), &[CONTEXT_BASE])
}

struct Machine<'a> {
    module: &'a Module,
    context: &'a mut [u8],
    /// Bytes of slots; `None` where nothing was written yet.
    stack: Vec<Option<u8>>,
    trace: &'a mut Trace,
    fuel: u64,
}

impl Machine<'_> {
    fn function(&mut self, id: FuncId, args: &[u64]) -> Result<u64, String> {
        let function = &self.module.functions[id.0 as usize];
        let frame = self.stack.len();
        let mut slots = Vec::new();
        for slot in &function.slots {
            let at = self.stack.len().next_multiple_of(8);
            slots.push(STACK_BASE + at as u64);
            self.stack.resize(at + slot.size as usize, None);
        }
        let mut values: HashMap<Value, u64> = function
            .params
            .iter()
            .copied()
            .zip(args.iter().copied())
            .collect();
        let result = self.blocks(function, &slots, &mut values);
        self.stack.truncate(frame);
        result
    }

    fn blocks(
        &mut self,
        function: &Function,
        slots: &[u64],
        values: &mut HashMap<Value, u64>,
    ) -> Result<u64, String> {
        let mut block = 0usize;
        loop {
            let data = &function.blocks[block];
            for inst in &data.insts {
                self.fuel = self.fuel.checked_sub(1).ok_or("no end")?;
                let result = self.op(&inst.op, slots, values)?;
                if let Some(value) = inst.result {
                    values.insert(value, result);
                }
            }
            let target = match &data.end {
                Terminator::Jump(target) => target,
                Terminator::Branch {
                    op,
                    width,
                    left,
                    right,
                    then,
                    otherwise,
                } => {
                    if compare(*op, *width, values[left], values[right]) {
                        then
                    } else {
                        otherwise
                    }
                }
                Terminator::Return(value) => return Ok(values[value]),
                Terminator::Unreachable => return Err("unreachable was reached".into()),
            };
            block = target.block.0 as usize;
            let args: Vec<u64> = target.args.iter().map(|a| values[a]).collect();
            let params = &function.blocks[block].params;
            values.extend(params.iter().copied().zip(args));
            self.fuel = self.fuel.checked_sub(1).ok_or("no end")?;
        }
    }

    fn op(&mut self, op: &Op, slots: &[u64], values: &HashMap<Value, u64>) -> Result<u64, String> {
        let get = |v: &Value| values.get(v).copied().ok_or(format!("{v} has no value"));
        let slot_addr = |slot: &Slot, offset: i32| {
            slots[slot.0 as usize].wrapping_add_signed(i64::from(offset))
        };
        Ok(match op {
            Op::Const(n) => *n as u64,
            Op::Binary {
                op,
                width,
                left,
                right,
            } => binary(*op, *width, get(left)?, get(right)?),
            Op::Neg { width, value } => binary(AluOp::Sub, *width, 0, get(value)?),
            Op::Compare {
                op,
                width,
                left,
                right,
            } => u64::from(compare(*op, *width, get(left)?, get(right)?)),
            Op::Ext {
                size,
                signed,
                value,
            } => extend(*size, *signed, get(value)?),
            Op::Swap { size, value } => get(value)?.swap_bytes() >> (64 - size.bits()),
            Op::Select {
                cond,
                then,
                otherwise,
            } => get(if get(cond)? != 0 { then } else { otherwise })?,
            Op::Load {
                size,
                signed,
                base,
                offset,
                ..
            } => {
                let raw = self.load(*size, address(get(base)?, *offset))?;
                extend(*size, *signed, raw)
            }
            Op::Store {
                size,
                base,
                offset,
                value,
            } => {
                self.store(*size, address(get(base)?, *offset), get(value)?)?;
                0
            }
            Op::Atomic {
                op,
                size,
                base,
                offset,
                value,
            } => {
                let at = address(get(base)?, *offset);
                let (old, value) = (self.load(*size, at)?, get(value)?);
                self.store(*size, at, atomic(*op, old, value))?;
                old
            }
            Op::SlotAddr { slot, offset } => slot_addr(slot, *offset),
            Op::Call { helper, args, .. } => {
                let args = args.iter().map(get).collect::<Result<Vec<_>, _>>()?;
                self.trace.call(*helper, &args)
            }
            Op::CallLocal { function, args } => {
                let args = args.iter().map(get).collect::<Result<Vec<_>, _>>()?;
                self.function(*function, &args)?
            }
            other => return Err(format!("cannot interpret `{other}`")),
        })
    }

    fn load(&mut self, size: Size, at: u64) -> Result<u64, String> {
        let mut n = 0;
        for i in (0..u64::from(size.bytes())).rev() {
            n = n << 8 | u64::from(self.byte(at + i)?);
        }
        Ok(n)
    }

    fn byte(&self, at: u64) -> Result<u8, String> {
        if let Some(byte) = at.checked_sub(STACK_BASE) {
            let byte = self.stack.get(byte as usize).ok_or("outside of slots")?;
            return byte.ok_or("read before it was written".into());
        }
        let byte = at.wrapping_sub(CONTEXT_BASE) as usize;
        self.context
            .get(byte)
            .copied()
            .ok_or(format!("no memory at {at:#x}"))
    }

    fn store(&mut self, size: Size, at: u64, value: u64) -> Result<(), String> {
        for (i, byte) in value
            .to_le_bytes()
            .into_iter()
            .take(size.bytes() as usize)
            .enumerate()
        {
            let at = at + i as u64;
            if let Some(index) = at.checked_sub(STACK_BASE) {
                *self
                    .stack
                    .get_mut(index as usize)
                    .ok_or("outside of slots")? = Some(byte);
            } else {
                let index = at.wrapping_sub(CONTEXT_BASE) as usize;
                *self
                    .context
                    .get_mut(index)
                    .ok_or(format!("no memory at {at:#x}"))? = byte;
            }
        }
        Ok(())
    }
}

fn address(base: u64, offset: i32) -> u64 {
    base.wrapping_add_signed(i64::from(offset))
}

pub(crate) fn atomic(op: AtomicOp, old: u64, value: u64) -> u64 {
    match op {
        AtomicOp::Add { .. } => old.wrapping_add(value),
        AtomicOp::Or { .. } => old | value,
        AtomicOp::And { .. } => old & value,
        AtomicOp::Xor { .. } => old ^ value,
        AtomicOp::Xchg | AtomicOp::CmpXchg => value,
    }
}

pub(crate) fn extend(size: Size, signed: bool, n: u64) -> u64 {
    let shift = 64 - size.bits();
    if signed {
        (((n << shift) as i64) >> shift) as u64
    } else {
        n << shift >> shift
    }
}

/// Arithmetic as the instruction set defines it.
pub(crate) fn binary(op: AluOp, width: Width, a: u64, b: u64) -> u64 {
    if width == Width::W32 {
        let (a, b) = (a as u32, b as u32);
        let (x, y) = (a as i32, b as i32);
        return u64::from(match op {
            AluOp::Add => a.wrapping_add(b),
            AluOp::Sub => a.wrapping_sub(b),
            AluOp::Mul => a.wrapping_mul(b),
            AluOp::Div => a.checked_div(b).unwrap_or(0),
            AluOp::SDiv if b == 0 => 0,
            AluOp::SDiv => x.wrapping_div(y) as u32,
            AluOp::Mod => a.checked_rem(b).unwrap_or(a),
            AluOp::SMod if b == 0 => a,
            AluOp::SMod => x.wrapping_rem(y) as u32,
            AluOp::Or => a | b,
            AluOp::And => a & b,
            AluOp::Xor => a ^ b,
            AluOp::Lsh => a.wrapping_shl(b),
            AluOp::Rsh => a.wrapping_shr(b),
            AluOp::Arsh => x.wrapping_shr(b) as u32,
            AluOp::Mov => b,
        });
    }
    let (x, y) = (a as i64, b as i64);
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::SDiv if b == 0 => 0,
        AluOp::SDiv => x.wrapping_div(y) as u64,
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::SMod if b == 0 => a,
        AluOp::SMod => x.wrapping_rem(y) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a.wrapping_shl(b as u32),
        AluOp::Rsh => a.wrapping_shr(b as u32),
        AluOp::Arsh => x.wrapping_shr(b as u32) as u64,
        AluOp::Mov => b,
    }
}

pub(crate) fn compare(op: JmpOp, width: Width, a: u64, b: u64) -> bool {
    let (a, b) = match width {
        Width::W32 if op.is_signed() => (a as i32 as u64, b as i32 as u64),
        Width::W32 => (u64::from(a as u32), u64::from(b as u32)),
        Width::W64 => (a, b),
    };
    let (x, y) = (a as i64, b as i64);
    match op {
        JmpOp::Eq => a == b,
        JmpOp::Ne => a != b,
        JmpOp::Gt => a > b,
        JmpOp::Ge => a >= b,
        JmpOp::Lt => a < b,
        JmpOp::Le => a <= b,
        JmpOp::Set => a & b != 0,
        JmpOp::Sgt => x > y,
        JmpOp::Sge => x >= y,
        JmpOp::Slt => x < y,
        JmpOp::Sle => x <= y,
    }
}
