//! Building a function block by block.

use beetrace_isa::{AluOp, AtomicOp, JmpOp, Size, Width};
use beetrace_object::{Signature, SourceSpan};

use super::{
    Block, BlockData, Effect, Function, Inst, Op, Slot, SlotData, Target, Terminator, Value,
    Volatility,
};

/// Appends to one block of a function at a time; every instruction gets the span that was set last.
#[derive(Debug)]
pub struct Builder {
    function: Function,
    current: Block,
    span: SourceSpan,
    /// Whether the current block has its terminator: what is appended then is unreachable and dropped.
    ended: Vec<bool>,
    /// Blocks that jump to each block, each once.
    preds: Vec<Vec<Block>>,
}

impl Builder {
    /// A function with `params` parameters and an empty entry block, which is current.
    pub fn new(name: impl Into<String>, signature: Signature, params: u32) -> Self {
        let function = Function {
            name: name.into(),
            signature,
            params: (0..params).map(Value).collect(),
            blocks: Vec::new(),
            slots: Vec::new(),
            values: params,
        };
        let mut b = Builder {
            function,
            current: Block(0),
            span: SourceSpan::default(),
            ended: Vec::new(),
            preds: Vec::new(),
        };
        b.current = b.block(0).0;
        b
    }

    pub fn set_span(&mut self, span: SourceSpan) {
        self.span = span;
    }

    pub fn span(&self) -> SourceSpan {
        self.span
    }

    pub fn param(&self, index: usize) -> Value {
        self.function.params[index]
    }

    /// A new block with so many parameters; it does not become current.
    pub fn block(&mut self, params: usize) -> (Block, Vec<Value>) {
        let params: Vec<Value> = (0..params).map(|_| self.value()).collect();
        let block = Block(self.function.blocks.len() as u32);
        self.function.blocks.push(BlockData {
            params: params.clone(),
            insts: Vec::new(),
            end: Terminator::Unreachable,
            end_span: self.span,
        });
        self.ended.push(false);
        self.preds.push(Vec::new());
        (block, params)
    }

    /// One more parameter of a block; [`Builder::push_arg`] must give it a value from every predecessor.
    pub fn add_param(&mut self, block: Block) -> Value {
        let value = self.value();
        self.function.blocks[block.0 as usize].params.push(value);
        value
    }

    /// Appends an argument to every jump from one block to another.
    pub fn push_arg(&mut self, from: Block, to: Block, value: Value) {
        let push = |target: &mut Target| {
            if target.block == to {
                target.args.push(value);
            }
        };
        match &mut self.function.blocks[from.0 as usize].end {
            Terminator::Jump(target) => push(target),
            Terminator::Branch {
                then, otherwise, ..
            } => {
                push(then);
                push(otherwise);
            }
            Terminator::Return(_) | Terminator::Unreachable => {}
        }
    }

    /// The blocks that jump to a block so far, each once.
    pub fn predecessors(&self, block: Block) -> &[Block] {
        &self.preds[block.0 as usize]
    }

    pub fn switch_to(&mut self, block: Block) {
        self.current = block;
    }

    pub fn current(&self) -> Block {
        self.current
    }

    /// Whether the current block already ends.
    pub fn is_ended(&self) -> bool {
        self.ended[self.current.0 as usize]
    }

    pub fn slot(&mut self, size: u32, align: u32) -> Slot {
        self.function.slots.push(SlotData { size, align });
        Slot(self.function.slots.len() as u32 - 1)
    }

    fn value(&mut self) -> Value {
        self.function.values += 1;
        Value(self.function.values - 1)
    }

    /// A value that [`Builder::define`] defines later, in a block that dominates its uses.
    pub fn declare(&mut self) -> Value {
        self.value()
    }

    /// Appends the instruction that gives a declared value.
    pub fn define(&mut self, value: Value, op: Op) {
        self.append(op, Some(value));
    }

    /// A constant at the end of any block, be it ended or not.
    pub fn const_in(&mut self, block: Block, n: i64) -> Value {
        let value = self.value();
        let span = self.span;
        self.function.blocks[block.0 as usize].insts.push(Inst {
            op: Op::Const(n),
            result: Some(value),
            span,
        });
        value
    }

    fn append(&mut self, op: Op, result: Option<Value>) {
        if !self.is_ended() {
            let inst = Inst {
                op,
                result,
                span: self.span,
            };
            self.function.blocks[self.current.0 as usize]
                .insts
                .push(inst);
        }
    }

    /// Appends an instruction that gives a value.
    pub fn def(&mut self, op: Op) -> Value {
        let value = self.value();
        self.append(op, Some(value));
        value
    }

    pub fn iconst(&mut self, n: i64) -> Value {
        self.def(Op::Const(n))
    }

    pub fn binary(&mut self, op: AluOp, width: Width, left: Value, right: Value) -> Value {
        self.def(Op::Binary {
            op,
            width,
            left,
            right,
        })
    }

    pub fn add_imm(&mut self, value: Value, n: i64) -> Value {
        if n == 0 {
            return value;
        }
        let n = self.iconst(n);
        self.binary(AluOp::Add, Width::W64, value, n)
    }

    pub fn compare(&mut self, op: JmpOp, width: Width, left: Value, right: Value) -> Value {
        self.def(Op::Compare {
            op,
            width,
            left,
            right,
        })
    }

    pub fn ext(&mut self, size: Size, signed: bool, value: Value) -> Value {
        self.def(Op::Ext {
            size,
            signed,
            value,
        })
    }

    pub fn load(&mut self, size: Size, signed: bool, base: Value, offset: i32) -> Value {
        self.def(Op::Load {
            size,
            signed,
            base,
            offset,
            volatility: Volatility::Normal,
        })
    }

    pub fn store(&mut self, size: Size, base: Value, offset: i32, value: Value) {
        self.append(
            Op::Store {
                size,
                base,
                offset,
                value,
            },
            None,
        );
    }

    pub fn slot_addr(&mut self, slot: Slot, offset: i32) -> Value {
        self.def(Op::SlotAddr { slot, offset })
    }

    pub fn call(&mut self, helper: u32, args: &[Value], effect: Effect) -> Value {
        self.def(Op::Call {
            helper,
            args: args.to_vec(),
            effect,
        })
    }

    /// An atomic operation; with `fetch` its result is what was in memory before.
    pub fn atomic(&mut self, op: AtomicOp, size: Size, base: Value, offset: i32, value: Value) {
        let fetches = !matches!(
            op,
            AtomicOp::Add { fetch: false }
                | AtomicOp::Or { fetch: false }
                | AtomicOp::And { fetch: false }
                | AtomicOp::Xor { fetch: false }
        );
        let result = fetches.then(|| self.value());
        self.append(
            Op::Atomic {
                op,
                size,
                base,
                offset,
                value,
            },
            result,
        );
    }

    fn end(&mut self, end: Terminator) {
        let index = self.current.0 as usize;
        if !self.ended[index] {
            self.ended[index] = true;
            let targets = match &end {
                Terminator::Jump(target) => [Some(target.block), None],
                Terminator::Branch {
                    then, otherwise, ..
                } => [Some(then.block), Some(otherwise.block)],
                Terminator::Return(_) | Terminator::Unreachable => [None, None],
            };
            for target in targets.into_iter().flatten() {
                let preds = &mut self.preds[target.0 as usize];
                if !preds.contains(&self.current) {
                    preds.push(self.current);
                }
            }
            self.function.blocks[index].end = end;
            self.function.blocks[index].end_span = self.span;
        }
    }

    pub fn jump(&mut self, block: Block, args: &[Value]) {
        self.end(Terminator::Jump(Target {
            block,
            args: args.to_vec(),
        }));
    }

    pub fn branch(
        &mut self,
        op: JmpOp,
        width: Width,
        left: Value,
        right: Value,
        then: (Block, &[Value]),
        otherwise: (Block, &[Value]),
    ) {
        let target = |(block, args): (Block, &[Value])| Target {
            block,
            args: args.to_vec(),
        };
        let (then, otherwise) = (target(then), target(otherwise));
        self.end(Terminator::Branch {
            op,
            width,
            left,
            right,
            then,
            otherwise,
        });
    }

    /// Branches on a value being not zero.
    pub fn branch_if(&mut self, cond: Value, then: Block, otherwise: Block) {
        let zero = self.iconst(0);
        self.branch(
            JmpOp::Ne,
            Width::W64,
            cond,
            zero,
            (then, &[]),
            (otherwise, &[]),
        );
    }

    pub fn ret(&mut self, value: Value) {
        self.end(Terminator::Return(value));
    }

    pub fn finish(self) -> Function {
        self.function
    }
}
