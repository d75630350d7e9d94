//! Operations that the target lacks, in terms of those that it has.

use beetrace_isa::{AluOp, Size, Width};
use beetrace_object::SourceSpan;

use crate::Target;
use crate::ir::{Function, Inst, Op, Value};

/// Expands signed division where the target has none. True where anything was expanded.
pub(crate) fn legalise(function: &mut Function, target: &Target) -> bool {
    if target.isa_v4 {
        return false;
    }
    let mut constants = vec![None; function.values as usize];
    for inst in function.blocks.iter().flat_map(|b| &b.insts) {
        if let (Op::Const(n), Some(value)) = (&inst.op, inst.result) {
            constants[value.0 as usize] = Some(*n);
        }
    }
    let mut expander = Expander {
        values: function.values,
        out: Vec::new(),
        span: SourceSpan::default(),
    };
    let mut changed = false;
    for block in &mut function.blocks {
        for mut inst in std::mem::take(&mut block.insts) {
            if let Op::Binary {
                op: op @ (AluOp::SDiv | AluOp::SMod),
                width,
                left,
                right,
            } = inst.op
            {
                expander.span = inst.span;
                let divisor = constants[right.0 as usize];
                inst.op = expander.divide(op == AluOp::SDiv, width, left, right, divisor);
                changed = true;
            }
            expander.out.push(inst);
        }
        block.insts = std::mem::take(&mut expander.out);
    }
    function.values = expander.values;
    changed
}

struct Expander {
    values: u32,
    out: Vec<Inst>,
    span: SourceSpan,
}

impl Expander {
    fn def(&mut self, op: Op) -> Value {
        let value = Value(self.values);
        self.values += 1;
        self.out.push(Inst {
            op,
            result: Some(value),
            span: self.span,
        });
        value
    }

    fn binary(&mut self, op: AluOp, left: Value, right: Value) -> Value {
        self.def(binary(op, left, right))
    }

    fn iconst(&mut self, n: i64) -> Value {
        self.def(Op::Const(n))
    }

    fn shift(&mut self, op: AluOp, left: Value, count: u32) -> Value {
        let count = self.iconst(i64::from(count));
        self.binary(op, left, count)
    }

    /// Gives the instruction whose result is the quotient, or the remainder.
    fn divide(
        &mut self,
        is_quotient: bool,
        width: Width,
        left: Value,
        right: Value,
        divisor: Option<i64>,
    ) -> Op {
        if width == Width::W64 {
            return self.divide64(is_quotient, left, right, divisor);
        }
        let extend = |value| Op::Ext {
            size: Size::B4,
            signed: true,
            value,
        };
        let left = self.def(extend(left));
        let divisor = divisor.map(|n| i64::from(n as i32));
        let right = match divisor {
            Some(n) => self.iconst(n),
            None => self.def(extend(right)),
        };
        let whole = self.divide64(is_quotient, left, right, divisor);
        let value = self.def(whole);
        Op::Ext {
            size: Size::B4,
            signed: false,
            value,
        }
    }

    fn divide64(
        &mut self,
        is_quotient: bool,
        left: Value,
        right: Value,
        divisor: Option<i64>,
    ) -> Op {
        // All ones where the dividend is negative.
        let sign = self.shift(AluOp::Arsh, left, 63);
        match divisor {
            Some(n) if n > 1 && n.count_ones() == 1 => {
                self.divide_by_power(is_quotient, left, sign, n)
            }
            Some(n) => {
                let magnitude = self.magnitude(left, sign);
                let by = self.iconst(n.unsigned_abs() as i64);
                let sign = match is_quotient && n < 0 {
                    true => {
                        let ones = self.iconst(-1);
                        self.binary(AluOp::Xor, sign, ones)
                    }
                    false => sign,
                };
                let result = self.unsigned(is_quotient, magnitude, by);
                self.signed(result, sign)
            }
            None => {
                let other = self.shift(AluOp::Arsh, right, 63);
                let magnitude = self.magnitude(left, sign);
                let by = self.magnitude(right, other);
                let sign = match is_quotient {
                    true => self.binary(AluOp::Xor, sign, other),
                    false => sign,
                };
                let result = self.unsigned(is_quotient, magnitude, by);
                self.signed(result, sign)
            }
        }
    }

    /// Division rounds towards zero, a shift towards minus infinity: negative dividends get the difference first.
    fn divide_by_power(&mut self, is_quotient: bool, left: Value, sign: Value, n: i64) -> Op {
        let bits = n.trailing_zeros();
        let difference = self.shift(AluOp::Rsh, sign, 64 - bits);
        let sum = self.binary(AluOp::Add, left, difference);
        if is_quotient {
            let count = self.iconst(i64::from(bits));
            return binary(AluOp::Arsh, sum, count);
        }
        let mask = self.iconst(n - 1);
        let rest = self.binary(AluOp::And, sum, mask);
        binary(AluOp::Sub, rest, difference)
    }

    fn unsigned(&mut self, is_quotient: bool, left: Value, right: Value) -> Value {
        let op = if is_quotient { AluOp::Div } else { AluOp::Mod };
        self.binary(op, left, right)
    }

    fn magnitude(&mut self, value: Value, sign: Value) -> Value {
        let op = self.signed(value, sign);
        self.def(op)
    }

    /// The value, negated where `sign` is all ones.
    fn signed(&mut self, value: Value, sign: Value) -> Op {
        let inverted = self.binary(AluOp::Xor, value, sign);
        binary(AluOp::Sub, inverted, sign)
    }
}

fn binary(op: AluOp, left: Value, right: Value) -> Op {
    Op::Binary {
        op,
        width: Width::W64,
        left,
        right,
    }
}
