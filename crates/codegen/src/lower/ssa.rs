//! Scratch variables as SSA values.
//!
//! The language is structured, so every block but a loop's head knows all its predecessors when it becomes current. A loop's head
//! gets a parameter for each variable that the loop assigns; every other parameter is made where a read finds two different values.

use std::collections::HashMap;

use beetrace_lang::typed::VarId;

use crate::ir::{Block, Builder, Value};

/// The variables of one function that live in registers.
#[derive(Debug, Default)]
pub(super) struct Ssa {
    definitions: HashMap<(Block, VarId), Value>,
    heads: HashMap<Block, Vec<VarId>>,
    /// From a block behind a construct that assigned nothing to the block before it.
    shortcuts: HashMap<Block, Block>,
    writes: u64,
}

/// Where a construct began, to tell at its end whether it assigned anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    block: Block,
    writes: u64,
}

impl Ssa {
    pub(super) fn write(&mut self, b: &Builder, var: VarId, value: Value) {
        self.writes += 1;
        self.definitions.insert((b.current(), var), value);
    }

    /// The value at the end of what the current block holds so far; zero where nothing was assigned.
    pub(super) fn read(&mut self, b: &mut Builder, var: VarId) -> Value {
        let block = b.current();
        self.read_in(b, block, var)
    }

    fn read_in(&mut self, b: &mut Builder, block: Block, var: VarId) -> Value {
        let mut at = block;
        let value = loop {
            if let Some(&value) = self.definitions.get(&(at, var)) {
                break value;
            }
            if let Some(&before) = self.shortcuts.get(&at) {
                at = before;
                continue;
            }
            let is_head = self.heads.contains_key(&at);
            match b.predecessors(at) {
                [] => {
                    let zero = b.const_in(at, 0);
                    self.definitions.insert((at, var), zero);
                    break zero;
                }
                [only] => at = *only,
                [first, ..] if is_head => at = *first,
                many => {
                    let many = many.to_vec();
                    break self.merge(b, at, &many, var);
                }
            }
        };
        self.definitions.insert((block, var), value);
        value
    }

    fn merge(&mut self, b: &mut Builder, at: Block, preds: &[Block], var: VarId) -> Value {
        let values: Vec<Value> = preds.iter().map(|&p| self.read_in(b, p, var)).collect();
        let value = match values.split_first() {
            Some((&first, rest)) if rest.iter().all(|&v| v == first) => first,
            _ => {
                let param = b.add_param(at);
                for (&pred, &value) in preds.iter().zip(&values) {
                    b.push_arg(pred, at, value);
                }
                param
            }
        };
        self.definitions.insert((at, var), value);
        value
    }

    pub(super) fn fork(&self, b: &Builder) -> Fork {
        Fork {
            block: b.current(),
            writes: self.writes,
        }
    }

    /// The current block is where all ways of a construct meet again.
    pub(super) fn join(&mut self, b: &Builder, fork: Fork) {
        if self.writes == fork.writes && b.current() != fork.block {
            self.shortcuts.insert(b.current(), fork.block);
        }
    }

    /// The current block is the head of a loop that assigns these variables.
    pub(super) fn begin_loop(&mut self, b: &mut Builder, assigned: Vec<VarId>) {
        let head = b.current();
        for &var in &assigned {
            let param = b.add_param(head);
            self.definitions.insert((head, var), param);
        }
        self.writes += 1;
        self.heads.insert(head, assigned);
    }

    /// All jumps to the loop's head are there.
    pub(super) fn end_loop(&mut self, b: &mut Builder, head: Block) {
        let assigned = self.heads.get(&head).cloned().unwrap_or_default();
        for pred in b.predecessors(head).to_vec() {
            for &var in &assigned {
                let value = self.read_in(b, pred, var);
                b.push_arg(pred, head, value);
            }
        }
    }
}
