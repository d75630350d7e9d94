//! Walking over what instructions use.

use super::{Effect, Function, Op, Target, Terminator, Value};

impl Op {
    /// Calls `f` with every operand, in order.
    pub fn for_each(&self, mut f: impl FnMut(Value)) {
        match self {
            Op::Const(_)
            | Op::SlotAddr { .. }
            | Op::MapRef(_)
            | Op::MapValue { .. }
            | Op::FuncRef(_)
            | Op::KernelSymbol { .. } => {}
            Op::Binary { left, right, .. } | Op::Compare { left, right, .. } => {
                f(*left);
                f(*right);
            }
            Op::Neg { value, .. } | Op::Ext { value, .. } | Op::Swap { value, .. } => f(*value),
            Op::Select {
                cond,
                then,
                otherwise,
            } => {
                f(*cond);
                f(*then);
                f(*otherwise);
            }
            Op::Load { base, .. } => f(*base),
            Op::Store { base, value, .. } | Op::Atomic { base, value, .. } => {
                f(*base);
                f(*value);
            }
            Op::Call { args, .. } | Op::CallKfunc { args, .. } | Op::CallLocal { args, .. } => {
                args.iter().copied().for_each(f);
            }
        }
    }

    /// Replaces every operand by what `f` gives for it.
    pub fn map(&mut self, mut f: impl FnMut(Value) -> Value) {
        match self {
            Op::Const(_)
            | Op::SlotAddr { .. }
            | Op::MapRef(_)
            | Op::MapValue { .. }
            | Op::FuncRef(_)
            | Op::KernelSymbol { .. } => {}
            Op::Binary { left, right, .. } | Op::Compare { left, right, .. } => {
                *left = f(*left);
                *right = f(*right);
            }
            Op::Neg { value, .. } | Op::Ext { value, .. } | Op::Swap { value, .. } => {
                *value = f(*value);
            }
            Op::Select {
                cond,
                then,
                otherwise,
            } => {
                *cond = f(*cond);
                *then = f(*then);
                *otherwise = f(*otherwise);
            }
            Op::Load { base, .. } => *base = f(*base),
            Op::Store { base, value, .. } | Op::Atomic { base, value, .. } => {
                *base = f(*base);
                *value = f(*value);
            }
            Op::Call { args, .. } | Op::CallKfunc { args, .. } | Op::CallLocal { args, .. } => {
                args.iter_mut().for_each(|a| *a = f(*a));
            }
        }
    }

    /// Whether the instruction may be dropped when nothing uses its result.
    pub fn is_droppable(&self) -> bool {
        match self {
            Op::Store { .. }
            | Op::Atomic { .. }
            | Op::CallKfunc { .. }
            | Op::CallLocal { .. }
            | Op::Call {
                effect: Effect::Writes,
                ..
            } => false,
            Op::Call {
                effect: Effect::Pure | Effect::Reads,
                ..
            } => true,
            _ => true,
        }
    }

    /// Whether the instruction is a call of any kind.
    pub fn is_call(&self) -> bool {
        matches!(
            self,
            Op::Call { .. } | Op::CallKfunc { .. } | Op::CallLocal { .. }
        )
    }
}

impl Terminator {
    /// Calls `f` with every operand: compared values first, then arguments.
    pub fn for_each(&self, mut f: impl FnMut(Value)) {
        match self {
            Terminator::Branch { left, right, .. } => {
                f(*left);
                f(*right);
            }
            Terminator::Return(value) => f(*value),
            Terminator::Jump(_) | Terminator::Unreachable => {}
        }
        for target in self.targets() {
            target.args.iter().copied().for_each(&mut f);
        }
    }

    /// Replaces every operand by what `f` gives for it.
    pub fn map(&mut self, mut f: impl FnMut(Value) -> Value) {
        match self {
            Terminator::Branch { left, right, .. } => {
                *left = f(*left);
                *right = f(*right);
            }
            Terminator::Return(value) => *value = f(*value),
            Terminator::Jump(_) | Terminator::Unreachable => {}
        }
        for target in self.targets_mut() {
            target.args.iter_mut().for_each(|a| *a = f(*a));
        }
    }

    /// Where control may go: none, one, or `then` and `otherwise`.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let (first, second) = match self {
            Terminator::Jump(target) => (Some(target), None),
            Terminator::Branch {
                then, otherwise, ..
            } => (Some(then), Some(otherwise)),
            Terminator::Return(_) | Terminator::Unreachable => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// The same to change.
    pub fn targets_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        let (first, second) = match self {
            Terminator::Jump(target) => (Some(target), None),
            Terminator::Branch {
                then, otherwise, ..
            } => (Some(then), Some(otherwise)),
            Terminator::Return(_) | Terminator::Unreachable => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl Function {
    /// A value that nothing defines yet.
    pub fn fresh(&mut self) -> Value {
        self.values += 1;
        Value(self.values - 1)
    }

    /// How often each value is used, by its number.
    pub fn use_counts(&self) -> Vec<u32> {
        let mut counts = vec![0u32; self.values as usize];
        let mut count = |v: Value| counts[v.0 as usize] += 1;
        for block in &self.blocks {
            for inst in &block.insts {
                inst.op.for_each(&mut count);
            }
            block.end.for_each(&mut count);
        }
        counts
    }
}
