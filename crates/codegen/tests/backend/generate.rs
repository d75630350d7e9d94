//! Random programs: arithmetic, branches, bounded loops, slots, calls.

use beetrace_codegen::ir::{Block, Builder, Effect, FuncId, Module, Op, Slot, Value, Volatility};
use beetrace_isa::{AluOp, AtomicOp, JmpOp, Size, Width};
use beetrace_object::Signature;

use crate::{CONTEXT, PURE, READS, WRITES};

/// A module that a list of choices stands for: every list gives one, a shorter list a smaller one.
pub(crate) fn module(choices: &[u16]) -> Module {
    let mut choices = Choices(choices.iter());
    let sub = subprogram(&mut choices);
    let mut b = Builder::new("entry", Signature::Entry, 1);
    let context = b.param(0);
    fill(&mut b, context);
    let mut generator = Generator::new(&mut b, &mut choices, Some(context));
    generator.statements(0);
    let result = generator.sum();
    b.store(Size::B8, context, 0, result);
    // The kernel shows the lower half only.
    let half = b.iconst(32);
    let upper = b.binary(AluOp::Rsh, Width::W64, result, half);
    let result = b.binary(AluOp::Xor, Width::W64, result, upper);
    let result = b.ext(Size::B4, false, result);
    b.ret(result);
    Module {
        functions: vec![b.finish(), sub, exchange()],
    }
}

/// Writes numbers of all kinds to the context, behind its first eight bytes.
fn fill(b: &mut Builder, context: Value) {
    let mut n: u64 = 0x9e37_79b9_7f4a_7c15;
    for offset in (8..CONTEXT).step_by(8) {
        n = n.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(17) ^ offset as u64;
        let number = b.iconst(n as i64);
        b.store(Size::B8, context, offset as i32, number);
    }
}

/// Exchanges the number at an address with another.
fn exchange() -> beetrace_codegen::ir::Function {
    let mut b = Builder::new("exchange", Signature::Subprogram(2), 2);
    let old = b.load(Size::B8, false, b.param(0), 0);
    b.store(Size::B8, b.param(0), 0, b.param(1));
    b.ret(old);
    b.finish()
}

fn subprogram(choices: &mut Choices) -> beetrace_codegen::ir::Function {
    let mut b = Builder::new("sub", Signature::Subprogram(2), 2);
    let params = [b.param(0), b.param(1)];
    let mut generator = Generator::new(&mut b, choices, None);
    generator.values.extend(params);
    for _ in 0..3 {
        generator.arithmetic();
    }
    let result = generator.sum();
    b.ret(result);
    b.finish()
}

struct Choices<'a>(std::slice::Iter<'a, u16>);

impl Choices<'_> {
    /// One of `n`; the first when no choices are left.
    fn pick(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.pick(all.len())]
    }

    fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

/// Where the part of the context begins that programs do not change once it is filled.
const WRITTEN: usize = 32;

const NUMBERS: [i64; 22] = [
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    10,
    31,
    32,
    63,
    64,
    255,
    256,
    1000,
    -128,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    -0x8000_0000,
    i64::MAX,
    i64::MIN,
];

const ALU: [AluOp; 13] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::SDiv,
    AluOp::Mod,
    AluOp::SMod,
    AluOp::Or,
    AluOp::And,
    AluOp::Xor,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Arsh,
];

const SIGNED: [bool; 2] = [false, true];
const WIDTHS: [Width; 2] = [Width::W64, Width::W32];

struct Generator<'a, 'b> {
    b: &'a mut Builder,
    choices: &'a mut Choices<'b>,
    /// Numbers that may be used here.
    values: Vec<Value>,
    /// Written slots with their sizes.
    slots: Vec<(Slot, u32)>,
    context: Option<Value>,
}

impl<'a, 'b> Generator<'a, 'b> {
    fn new(b: &'a mut Builder, choices: &'a mut Choices<'b>, context: Option<Value>) -> Self {
        let first = b.iconst(1);
        Generator {
            b,
            choices,
            values: vec![first],
            slots: Vec::new(),
            context,
        }
    }

    fn statements(&mut self, depth: usize) {
        let count = 1 + self.choices.pick(if depth == 0 { 40 } else { 8 });
        for _ in 0..count {
            if self.choices.is_empty() {
                return;
            }
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: usize) {
        match self.choices.pick(20) {
            0..=5 => self.arithmetic(),
            6 => self.new_slot(),
            7 | 8 => self.use_slot(),
            9 => self.read_context(),
            10 | 11 => self.call(),
            12 | 13 if depth < 3 => self.branch(depth),
            14 if depth < 2 => self.repeat(depth),
            15 => self.call_local(),
            16 => self.call_with_address(),
            17 => self.use_any_slot(),
            18 | 19 => self.use_context(),
            _ => self.arithmetic(),
        }
    }

    /// A number that exists, or a constant.
    fn value(&mut self) -> Value {
        if self.choices.pick(4) == 3 {
            let n = self.choices.of(&NUMBERS);
            return self.b.iconst(n);
        }
        let back = self.choices.pick(self.values.len().min(12));
        self.values[self.values.len() - 1 - back]
    }

    fn arithmetic(&mut self) {
        let (left, right) = (self.value(), self.value());
        let width = self.choices.of(&WIDTHS);
        let op = match self.choices.pick(12) {
            0..=5 => Op::Binary {
                op: self.choices.of(&ALU),
                width,
                left,
                right,
            },
            6 => Op::Neg { width, value: left },
            7 => Op::Compare {
                op: self.choices.of(&JmpOp::ALL),
                width,
                left,
                right,
            },
            8 | 9 => Op::Ext {
                size: self.choices.of(&Size::ALL),
                signed: self.choices.of(&SIGNED),
                value: left,
            },
            10 => Op::Swap {
                size: self.choices.of(&Size::ALL),
                value: left,
            },
            _ => Op::Select {
                cond: self.value(),
                then: left,
                otherwise: right,
            },
        };
        let value = self.b.def(op);
        self.values.push(value);
    }

    fn new_slot(&mut self) {
        let size = self.choices.of(&[8, 16, 24]);
        let slot = self.b.slot(size, 8);
        for offset in (0..size).step_by(8) {
            let at = self.b.slot_addr(slot, 0);
            let value = self.value();
            self.b.store(Size::B8, at, offset as i32, value);
        }
        self.slots.push((slot, size));
    }

    fn use_slot(&mut self) {
        if self.slots.is_empty() {
            return self.new_slot();
        }
        let index = self.choices.pick(self.slots.len());
        let (slot, bytes) = self.slots[index];
        let size = self.choices.of(&Size::ALL);
        let places = bytes / size.bytes();
        let at = (self.choices.pick(places as usize) as u32 * size.bytes()) as i32;
        let split = self.choices.pick(2) as i32 * at;
        let base = self.b.slot_addr(slot, split);
        match self.choices.pick(6) {
            0 | 1 => {
                let value = self.value();
                self.b.store(size, base, at - split, value);
            }
            2 if size >= Size::B4 => {
                let value = self.value();
                let old = self.b.def(Op::Atomic {
                    op: self.choices.of(&[
                        AtomicOp::Add { fetch: true },
                        AtomicOp::Xor { fetch: false },
                        AtomicOp::Xchg,
                    ]),
                    size,
                    base,
                    offset: at - split,
                    value,
                });
                self.values.push(old);
            }
            _ => {
                let signed = self.choices.of(&SIGNED);
                let value = self.b.load(size, signed, base, at - split);
                self.values.push(value);
            }
        }
    }

    fn read_context(&mut self) {
        let Some(base) = self.context else {
            return self.arithmetic();
        };
        let size = self.choices.of(&Size::ALL);
        let places = (CONTEXT - WRITTEN) / size.bytes() as usize;
        let offset = (WRITTEN + self.choices.pick(places) * size.bytes() as usize) as i32;
        let signed = self.choices.of(&SIGNED);
        let value = self.b.def(Op::Load {
            size,
            signed,
            base,
            offset,
            volatility: Volatility::Constant,
        });
        self.values.push(value);
    }

    /// Loads or stores where the context changes.
    fn use_context(&mut self) {
        let Some(base) = self.context else {
            return self.arithmetic();
        };
        let size = self.choices.of(&Size::ALL);
        let places = (WRITTEN - 8) / size.bytes() as usize;
        let offset = (8 + self.choices.pick(places) * size.bytes() as usize) as i32;
        if self.choices.pick(2) == 0 {
            let value = self.value();
            self.b.store(size, base, offset, value);
        } else {
            let signed = self.choices.of(&SIGNED);
            let value = self.b.load(size, signed, base, offset);
            self.values.push(value);
        }
    }

    fn call(&mut self) {
        // What a real helper gives is not known, so that nothing of it may reach the result.
        let (helper, effect) = self.choices.of(&[
            (PURE, Effect::Pure),
            (READS, Effect::Reads),
            (WRITES, Effect::Writes),
        ]);
        let result = self.b.call(helper, &[], effect);
        let size = self.b.iconst(63);
        let bit = self.b.binary(AluOp::Rsh, Width::W64, result, size);
        let zero = self.b.iconst(0);
        let value = self.b.binary(AluOp::Mul, Width::W64, bit, zero);
        self.values.push(value);
    }

    fn call_local(&mut self) {
        if self.context.is_none() {
            return self.arithmetic();
        }
        let args = vec![self.value(), self.value()];
        let value = self.b.def(Op::CallLocal {
            function: FuncId(1),
            args,
        });
        self.values.push(value);
    }

    /// The address of eight bytes of a slot.
    fn slot_address(&mut self) -> Value {
        if self.slots.is_empty() {
            self.new_slot();
        }
        let index = self.choices.pick(self.slots.len());
        let (slot, bytes) = self.slots[index];
        let offset = self.choices.pick(bytes as usize / 8) * 8;
        self.b.slot_addr(slot, offset as i32)
    }

    fn call_with_address(&mut self) {
        if self.context.is_none() {
            return self.arithmetic();
        }
        let args = vec![self.slot_address(), self.value()];
        let value = self.b.def(Op::CallLocal {
            function: FuncId(2),
            args,
        });
        self.values.push(value);
    }

    /// Loads from or stores to one of two slots.
    fn use_any_slot(&mut self) {
        let (then, otherwise) = (self.slot_address(), self.slot_address());
        let cond = self.value();
        let base = self.b.def(Op::Select {
            cond,
            then,
            otherwise,
        });
        if self.choices.pick(2) == 0 {
            let value = self.b.load(Size::B4, true, base, 4);
            self.values.push(value);
        } else {
            let value = self.value();
            self.b.store(Size::B4, base, 0, value);
        }
    }

    fn branch(&mut self, depth: usize) {
        let (then, _) = self.b.block(0);
        let (otherwise, _) = self.b.block(0);
        let (join, params) = self.b.block(2);
        let (left, right) = (self.value(), self.value());
        let op = self.choices.of(&JmpOp::ALL);
        let width = self.choices.of(&WIDTHS);
        if self.choices.pick(3) == 0 {
            let cond = self.b.compare(op, width, left, right);
            self.b.branch_if(cond, then, otherwise);
        } else {
            self.b
                .branch(op, width, left, right, (then, &[]), (otherwise, &[]));
        }
        for arm in [then, otherwise] {
            self.arm(arm, join, depth);
        }
        self.b.switch_to(join);
        self.values.extend(params);
    }

    fn arm(&mut self, arm: Block, join: Block, depth: usize) {
        self.b.switch_to(arm);
        let (values, slots) = (self.values.len(), self.slots.len());
        self.statements(depth + 1);
        let args = [self.value(), self.value()];
        self.b.jump(join, &args);
        self.values.truncate(values);
        self.slots.truncate(slots);
    }

    fn repeat(&mut self, depth: usize) {
        let (head, params) = self.b.block(3);
        let (body, _) = self.b.block(0);
        let (out, results) = self.b.block(1);
        let times = self.choices.pick(5) as i64;
        let (zero, first, second) = (self.b.iconst(0), self.value(), self.value());
        self.b.jump(head, &[zero, first, second]);
        self.b.switch_to(head);
        let limit = self.b.iconst(times);
        let (counter, a) = (params[0], params[1]);
        self.b.branch(
            JmpOp::Lt,
            Width::W64,
            counter,
            limit,
            (body, &[]),
            (out, &[a]),
        );
        self.b.switch_to(body);
        let (values, slots) = (self.values.len(), self.slots.len());
        self.values.extend(&params);
        self.statements(depth + 1);
        let next = self.b.add_imm(counter, 1);
        let (a, b) = (self.value(), self.value());
        self.b.jump(head, &[next, a, b]);
        self.values.truncate(values);
        self.slots.truncate(slots);
        self.b.switch_to(out);
        self.values.extend(results);
    }

    /// A number that depends on every number in reach.
    fn sum(&mut self) -> Value {
        let mut sum = self.b.iconst(0);
        for value in std::mem::take(&mut self.values) {
            let three = self.b.iconst(3);
            sum = self.b.binary(AluOp::Mul, Width::W64, sum, three);
            sum = self.b.binary(AluOp::Xor, Width::W64, sum, value);
        }
        for (slot, size) in std::mem::take(&mut self.slots) {
            for offset in (0..size).step_by(8) {
                let base = self.b.slot_addr(slot, 0);
                let value = self.b.load(Size::B8, false, base, offset as i32);
                sum = self.b.binary(AluOp::Add, Width::W64, sum, value);
            }
        }
        sum
    }
}
