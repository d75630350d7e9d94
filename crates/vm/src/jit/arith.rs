//! Arithmetic.

use beetrace_isa::{AluOp, Endian, Reg, Size, Src, Width};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};

use super::translate::{Translator, int};

impl Translator<'_, '_> {
    pub(super) fn alu(&mut self, width: Width, op: AluOp, dst: Reg, src: Src) {
        let a = match op {
            AluOp::Mov => None,
            _ => Some(self.get_sized(dst, width)),
        };
        let b = self.operand(src, width);
        let Some(a) = a else {
            return self.set_sized(dst, width, b);
        };
        let ins = self.b.ins();
        let value = match op {
            AluOp::Mov => b,
            AluOp::Add => ins.iadd(a, b),
            AluOp::Sub => ins.isub(a, b),
            AluOp::Mul => ins.imul(a, b),
            AluOp::Or => ins.bor(a, b),
            AluOp::And => ins.band(a, b),
            AluOp::Xor => ins.bxor(a, b),
            // Shifts of Cranelift use the low bits of their count, as eBPF's do.
            AluOp::Lsh => ins.ishl(a, b),
            AluOp::Rsh => ins.ushr(a, b),
            AluOp::Arsh => ins.sshr(a, b),
            AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => {
                self.divide(op, width, a, b, src)
            }
        };
        self.set_sized(dst, width, value);
    }

    /// Cranelift's divisions trap where eBPF's give a number: by zero, and the lowest number by -1.
    fn divide(&mut self, op: AluOp, width: Width, a: Value, b: Value, src: Src) -> Value {
        let ty = match width {
            Width::W64 => types::I64,
            Width::W32 => types::I32,
        };
        let signed = matches!(op, AluOp::SDiv | AluOp::SMod);
        let zero = self.b.ins().iconst(ty, 0);
        let by_zero = if matches!(op, AluOp::Div | AluOp::SDiv) {
            zero
        } else {
            a
        };
        match src {
            Src::Imm(0) => by_zero,
            Src::Imm(-1) if signed => match op {
                AluOp::SDiv => self.b.ins().ineg(a),
                _ => zero,
            },
            Src::Imm(_) => self.plain_divide(op, a, b),
            Src::Reg(_) => {
                let one = self.b.ins().iconst(ty, 1);
                let is_zero = self.b.ins().icmp(IntCC::Equal, b, zero);
                let mut divisor = self.b.ins().select(is_zero, one, b);
                if !signed {
                    let value = self.unsigned_divide(op, ty, a, divisor);
                    return self.b.ins().select(is_zero, by_zero, value);
                }
                let minus_one = self
                    .b
                    .ins()
                    .iconst(ty, if ty == types::I64 { -1 } else { 0xffff_ffff });
                let is_minus = self.b.ins().icmp(IntCC::Equal, b, minus_one);
                divisor = self.b.ins().select(is_minus, one, divisor);
                let value = self.plain_divide(op, a, divisor);
                let by_minus = match op {
                    AluOp::SDiv => self.b.ins().ineg(a),
                    _ => zero,
                };
                let value = self.b.ins().select(is_minus, by_minus, value);
                self.b.ins().select(is_zero, by_zero, value)
            }
        }
    }

    fn plain_divide(&mut self, op: AluOp, a: Value, b: Value) -> Value {
        let ins = self.b.ins();
        match op {
            AluOp::Div => ins.udiv(a, b),
            AluOp::Mod => ins.urem(a, b),
            AluOp::SDiv => ins.sdiv(a, b),
            _ => ins.srem(a, b),
        }
    }

    /// Divides in 32 bits where both numbers fit, which many processors do faster.
    fn unsigned_divide(&mut self, op: AluOp, ty: Type, a: Value, b: Value) -> Value {
        if ty != types::I64 {
            return self.plain_divide(op, a, b);
        }
        let (short, long, done) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        let result = self.b.append_block_param(done, types::I64);
        let both = self.b.ins().bor(a, b);
        let bits = self.b.ins().iconst(types::I64, 32);
        let upper = self.b.ins().ushr(both, bits);
        self.b.ins().brif(upper, long, &[], short, &[]);
        self.b.set_cold_block(long);

        self.b.switch_to_block(long);
        let value = self.plain_divide(op, a, b);
        self.b.ins().jump(done, &[value.into()]);

        self.b.switch_to_block(short);
        let (a, b) = (self.low(a), self.low(b));
        let value = self.plain_divide(op, a, b);
        let value = self.b.ins().uextend(types::I64, value);
        self.b.ins().jump(done, &[value.into()]);

        self.b.switch_to_block(done);
        result
    }

    pub(super) fn sign_extend(&mut self, width: Width, from: Size, dst: Reg, src: Reg) {
        let value = self.get(src);
        let value = self.b.ins().ireduce(int(from), value);
        let ty = match width {
            Width::W64 => types::I64,
            Width::W32 => types::I32,
        };
        let value = self.b.ins().sextend(ty, value);
        self.set_sized(dst, width, value);
    }

    /// This machine is little-endian: `Le` only cuts.
    pub(super) fn endian(&mut self, op: Endian, size: Size, dst: Reg) {
        let value = self.get(dst);
        let cut = match size {
            Size::B8 => value,
            _ => self.b.ins().ireduce(int(size), value),
        };
        let swapped = match op {
            Endian::Le => cut,
            Endian::Be | Endian::Swap => self.b.ins().bswap(cut),
        };
        let value = match size {
            Size::B8 => swapped,
            _ => self.b.ins().uextend(types::I64, swapped),
        };
        self.set(dst, value);
    }
}
