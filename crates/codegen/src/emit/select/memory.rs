//! Loads, stores and addresses.

use beetrace_isa::{AluOp, AtomicOp, Imm64, Size};

use super::{Selector, home};
use crate::emit::mir::{Addr, Base, MOp, MSrc, VReg, fetches};
use crate::emit::{EmitError, EmitErrorKind};
use crate::ir::{Inst, Op, Value};

impl Selector<'_> {
    pub(super) fn load(&mut self, dst: VReg, size: Size, signed: bool, base: Value, offset: i32) {
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

    pub(super) fn store(&mut self, size: Size, base: Value, offset: i32, value: Value) {
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

    pub(super) fn atomic(
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
        let src = if fetches(op) {
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

    pub(super) fn addr(&mut self, base: Value, offset: i32) -> Addr {
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
}
