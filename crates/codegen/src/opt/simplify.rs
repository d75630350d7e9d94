//! Constant folding, algebra, copy propagation: each instruction by itself, with what defines its operands.
//!
//! The rules are in [`arithmetic`](super::arithmetic) and [`conditions`](super::conditions); this drives them over a function.

use beetrace_isa::{AluOp, Size, Width};

use super::facts::Facts;
use super::fold;
use crate::ir::cfg::Cfg;
use crate::ir::{Function, Inst, Op, Terminator, Value};

/// What a rule makes of an instruction.
pub(crate) enum Change {
    Op(Op),
    /// The result is this value.
    Value(Value),
}

/// How often rules may be tried on one instruction.
const TRIES: usize = 16;

/// Applies rules to every instruction that is reached. True where anything changed.
pub(crate) fn simplify(function: &mut Function) -> bool {
    let cfg = Cfg::new(function);
    let mut simplifier = Simplifier {
        facts: Facts::new(function),
        uses: function.use_counts(),
        replaced: vec![None; function.values as usize],
        values: function.values,
        out: Vec::new(),
        current: None,
        changed: false,
    };
    for &block in &cfg.order {
        let data = &mut function.blocks[block.0 as usize];
        for inst in std::mem::take(&mut data.insts) {
            simplifier.inst(inst);
        }
        let span = data.end_span;
        simplifier.current = Some(span);
        let mut end = std::mem::replace(&mut data.end, Terminator::Unreachable);
        end.map(|v| simplifier.resolve(v));
        for _ in 0..TRIES {
            match simplifier.end(&end) {
                Some(new) => {
                    end = new;
                    simplifier.changed = true;
                }
                None => break,
            }
        }
        data.end = end;
        data.insts = std::mem::take(&mut simplifier.out);
    }
    function.values = simplifier.values;
    for block in &mut function.blocks {
        for inst in &mut block.insts {
            inst.op.map(|v| simplifier.resolve(v));
        }
        block.end.map(|v| simplifier.resolve(v));
    }
    simplifier.changed
}

pub(crate) struct Simplifier {
    pub(crate) facts: Facts,
    uses: Vec<u32>,
    replaced: Vec<Option<Value>>,
    values: u32,
    /// The instructions of the current block so far.
    out: Vec<Inst>,
    /// The span that new instructions get.
    current: Option<beetrace_object::SourceSpan>,
    changed: bool,
}

impl Simplifier {
    fn inst(&mut self, mut inst: Inst) {
        self.current = Some(inst.span);
        inst.op.map(|v| self.resolve(v));
        for _ in 0..TRIES {
            match self.rule(&inst.op) {
                Some(Change::Op(op)) => {
                    inst.op = op;
                    self.changed = true;
                }
                Some(Change::Value(value)) => {
                    self.changed = true;
                    if let Some(result) = inst.result {
                        self.replaced[result.0 as usize] = Some(value);
                    }
                    return;
                }
                None => break,
            }
        }
        if let Some(result) = inst.result {
            self.facts.define(result, &inst.op);
        }
        self.out.push(inst);
    }

    /// What stands for the value now.
    fn resolve(&self, mut value: Value) -> Value {
        while let Some(new) = self.replaced.get(value.0 as usize).copied().flatten() {
            value = new;
        }
        value
    }

    /// A new instruction in front of the current one.
    pub(crate) fn insert(&mut self, op: Op) -> Value {
        let value = Value(self.values);
        self.values += 1;
        self.facts.define(value, &op);
        self.out.push(Inst {
            op,
            result: Some(value),
            span: self.current.unwrap_or_default(),
        });
        value
    }

    pub(crate) fn iconst(&mut self, n: i64) -> Value {
        self.insert(Op::Const(n))
    }

    /// Whether nothing but the current instruction uses the value.
    pub(crate) fn is_single(&self, value: Value) -> bool {
        self.uses.get(value.0 as usize).is_none_or(|&n| n <= 1)
    }

    fn rule(&mut self, op: &Op) -> Option<Change> {
        match *op {
            Op::Binary {
                op,
                width,
                left,
                right,
            } => self.binary(op, width, left, right),
            Op::Neg { width, value } => {
                let n = self.facts.constant(value)?;
                Some(constant(fold::binary(AluOp::Sub, width, 0, n)))
            }
            Op::Compare {
                op,
                width,
                left,
                right,
            } => self.compare(op, width, left, right),
            Op::Ext {
                size,
                signed,
                value,
            } => self.ext(size, signed, value),
            Op::Swap { size, value } => {
                let n = self.facts.constant(value)?;
                Some(constant(fold::swap(size, n)))
            }
            Op::Select {
                cond,
                then,
                otherwise,
            } => self.select(cond, then, otherwise),
            Op::Load {
                size,
                signed,
                base,
                offset,
                volatility,
            } => {
                let (base, offset) = self.shorten(base, offset)?;
                Some(Change::Op(Op::Load {
                    size,
                    signed,
                    base,
                    offset,
                    volatility,
                }))
            }
            Op::Store {
                size,
                base,
                offset,
                value,
            } => {
                let near = self.shorten(base, offset);
                let narrow = self.peel(value, size);
                if near.is_none() && narrow.is_none() {
                    return None;
                }
                let (base, offset) = near.unwrap_or((base, offset));
                Some(Change::Op(Op::Store {
                    size,
                    base,
                    offset,
                    value: narrow.unwrap_or(value),
                }))
            }
            Op::Atomic {
                op,
                size,
                base,
                offset,
                value,
            } => {
                let (base, offset) = self.shorten(base, offset)?;
                Some(Change::Op(Op::Atomic {
                    op,
                    size,
                    base,
                    offset,
                    value,
                }))
            }
            _ => None,
        }
    }

    /// An address that is a base and a constant: the constant goes into the instruction.
    fn shorten(&self, base: Value, offset: i32) -> Option<(Value, i32)> {
        let Some(&Op::Binary {
            op: AluOp::Add,
            width: Width::W64,
            left,
            right,
        }) = self.facts.def(base)
        else {
            return None;
        };
        let sum = self.facts.constant(right)?.checked_add(i64::from(offset))?;
        Some((left, i32::from(i16::try_from(sum).ok()?)))
    }

    /// The value without an extension or a mask that changes nothing in its low `size`.
    pub(crate) fn peel(&self, value: Value, size: Size) -> Option<Value> {
        let inner = match *self.facts.def(value)? {
            Op::Ext {
                size: kept, value, ..
            } if kept >= size => value,
            Op::Binary {
                op: AluOp::And,
                left,
                right,
                ..
            } => {
                let mask = fold::mask(size);
                let kept = self.facts.constant(right)? as u64;
                if kept & mask != mask {
                    return None;
                }
                left
            }
            _ => return None,
        };
        (!self.facts.may_be_pointer(inner)).then_some(inner)
    }
}

/// The instruction becomes a constant.
pub(crate) fn constant(n: i64) -> Change {
    Change::Op(Op::Const(n))
}
