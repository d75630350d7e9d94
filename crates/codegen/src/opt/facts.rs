//! What is known of values: what defines them, which of their bits are known, whether they may be pointers.
//!
//! Known bits stay below what the kernel's verifier finds out by itself: a mask is dropped only where the verifier
//! knows as well that it changes nothing.

use beetrace_isa::{AluOp, Size, Width, helper};

use super::fold;
use crate::ir::{Function, Op, Value};

/// How far definitions are followed.
const DEPTH: u32 = 6;

/// A parameter that gets more than so many arguments is not followed.
const MAX_ARGS: usize = 6;

/// Bits that are the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) zeros: u64,
    pub(crate) ones: u64,
    /// How many bits from the top are equal, at least 1.
    pub(crate) signs: u32,
}

impl Known {
    const NOTHING: Known = Known {
        zeros: 0,
        ones: 0,
        signs: 1,
    };

    fn constant(n: i64) -> Known {
        Known::bits(!n as u64, n as u64)
    }

    fn bits(zeros: u64, ones: u64) -> Known {
        let signs = zeros.leading_ones().max(ones.leading_ones()).max(1);
        Known { zeros, ones, signs }
    }

    /// Zero but for the low `bits`.
    fn below(bits: u32) -> Known {
        Known::bits(u64::MAX.checked_shl(bits).unwrap_or(0), 0)
    }

    fn signed(bits: u32) -> Known {
        Known {
            signs: 65 - bits,
            ..Known::NOTHING
        }
    }

    fn either(self, other: Known) -> Known {
        Known {
            zeros: self.zeros & other.zeros,
            ones: self.ones & other.ones,
            signs: self.signs.min(other.signs),
        }
    }

    /// The low half alone, as a 32-bit operation sees and leaves it.
    fn low(self) -> Known {
        let half = u64::from(u32::MAX);
        Known::bits(self.zeros | !half, self.ones & half)
    }

    /// The greatest that it can be, without a sign.
    pub(crate) fn max(self) -> u64 {
        !self.zeros
    }

    /// The least.
    pub(crate) fn min(self) -> u64 {
        self.ones
    }

    /// Whether the upper half is zero.
    pub(crate) fn is_word(self) -> bool {
        self.max() <= u64::from(u32::MAX)
    }
}

/// Definitions of a function's values, kept up to date by the pass that changes them.
pub(crate) struct Facts {
    defs: Vec<Option<Op>>,
    /// By value: the arguments that a block's parameter gets.
    incoming: Vec<Vec<Value>>,
}

impl Facts {
    pub(crate) fn new(function: &Function) -> Facts {
        let mut facts = Facts {
            defs: vec![None; function.values as usize],
            incoming: vec![Vec::new(); function.values as usize],
        };
        for block in &function.blocks {
            for inst in &block.insts {
                if let Some(value) = inst.result {
                    facts.define(value, &inst.op);
                }
            }
            for target in block.end.targets() {
                let params = &function.blocks[target.block.0 as usize].params;
                for (param, &arg) in params.iter().zip(&target.args) {
                    facts.incoming[param.0 as usize].push(arg);
                }
            }
        }
        facts
    }

    pub(crate) fn define(&mut self, value: Value, op: &Op) {
        let index = value.0 as usize;
        if index >= self.defs.len() {
            self.defs.resize(index + 1, None);
            self.incoming.resize(index + 1, Vec::new());
        }
        self.defs[index] = Some(op.clone());
    }

    /// What defines the value, `None` for parameters.
    pub(crate) fn def(&self, value: Value) -> Option<&Op> {
        self.defs[value.0 as usize].as_ref()
    }

    pub(crate) fn constant(&self, value: Value) -> Option<i64> {
        match self.def(value) {
            Some(&Op::Const(n)) => Some(n),
            _ => None,
        }
    }

    pub(crate) fn known(&self, value: Value) -> Known {
        self.known_at(value, DEPTH)
    }

    fn known_at(&self, value: Value, depth: u32) -> Known {
        if let Some(n) = self.constant(value) {
            return Known::constant(n);
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Known::NOTHING;
        };
        let of = |v: Value| self.known_at(v, depth);
        let Some(op) = self.def(value) else {
            let args = &self.incoming[value.0 as usize];
            if args.len() > MAX_ARGS {
                return Known::NOTHING;
            }
            let args = args.iter().filter(|&&a| a != value);
            let known = args.map(|&a| self.known_at(a, depth.saturating_sub(1)));
            return known.reduce(Known::either).unwrap_or(Known::NOTHING);
        };
        match *op {
            Op::Binary {
                op,
                width,
                left,
                right,
            } => self.known_binary(op, width, of(left), of(right), right),
            Op::Neg {
                width: Width::W32, ..
            } => Known::below(32),
            Op::Compare { .. } => Known::below(1),
            Op::Ext {
                size,
                signed: false,
                value,
            } => {
                let (known, mask) = (of(value), fold::mask(size));
                Known::bits(known.zeros | !mask, known.ones & mask)
            }
            Op::Ext {
                size,
                signed: true,
                value,
            } => {
                let signs = of(value).signs.max(65 - size.bits());
                Known {
                    signs,
                    ..Known::NOTHING
                }
            }
            Op::Swap { size, .. } => Known::below(size.bits()),
            Op::Select {
                then, otherwise, ..
            } => of(then).either(of(otherwise)),
            Op::Load {
                size,
                signed: false,
                ..
            } => Known::below(size.bits()),
            Op::Load {
                size, signed: true, ..
            } => Known::signed(size.bits()),
            Op::Atomic { size: Size::B4, .. } => Known::below(32),
            _ => Known::NOTHING,
        }
    }

    fn known_binary(&self, op: AluOp, width: Width, a: Known, b: Known, right: Value) -> Known {
        let (a, b) = match width {
            Width::W32 => (a.low(), b.low()),
            Width::W64 => (a, b),
        };
        let count = self.constant(right).map(|n| n as u32 & (width.bits() - 1));
        let signs = a.signs.min(b.signs);
        let bitwise = |zeros, ones| {
            let known = Known::bits(zeros, ones);
            Known {
                signs: known.signs.max(signs),
                ..known
            }
        };
        let known = match (op, count) {
            (AluOp::And, _) => bitwise(a.zeros | b.zeros, a.ones & b.ones),
            (AluOp::Or, _) => bitwise(a.zeros & b.zeros, a.ones | b.ones),
            (AluOp::Xor, _) => bitwise(
                (a.zeros & b.zeros) | (a.ones & b.ones),
                (a.zeros & b.ones) | (a.ones & b.zeros),
            ),
            // One bit more than the longer of the two.
            (AluOp::Add, _) => {
                let room = a.zeros.leading_ones().min(b.zeros.leading_ones());
                Known::below(65 - room.max(1))
            }
            (AluOp::Lsh, Some(n)) => Known::bits(a.zeros << n | ((1 << n) - 1), a.ones << n),
            (AluOp::Rsh, Some(n)) => Known::bits(!(!a.zeros >> n), a.ones >> n),
            (AluOp::Arsh, Some(n)) if width == Width::W64 => {
                let known = Known::bits((a.zeros as i64 >> n) as u64, (a.ones as i64 >> n) as u64);
                Known {
                    signs: (a.signs + n).min(64),
                    ..known
                }
            }
            _ => Known::NOTHING,
        };
        match width {
            Width::W32 => known.low(),
            Width::W64 => known,
        }
    }

    /// Whether the kernel's verifier may take the value for a pointer: then only what is allowed on pointers may be done to it.
    pub(crate) fn may_be_pointer(&self, value: Value) -> bool {
        self.may_be_pointer_at(value, DEPTH)
    }

    fn may_be_pointer_at(&self, value: Value, depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return true;
        };
        let of = |v: Value| self.may_be_pointer_at(v, depth);
        match self.def(value) {
            Some(
                Op::Const(_)
                | Op::Compare { .. }
                | Op::Ext { .. }
                | Op::Swap { .. }
                | Op::Neg { .. }
                | Op::Atomic { .. }
                | Op::CallLocal { .. },
            ) => false,
            Some(&Op::Binary {
                op: AluOp::Add | AluOp::Sub,
                width: Width::W64,
                left,
                right,
            }) => of(left) || of(right),
            Some(Op::Binary { .. }) => false,
            Some(&Op::Select {
                then, otherwise, ..
            }) => of(then) || of(otherwise),
            Some(Op::Load { size, .. }) => *size == Size::B8,
            Some(Op::Call { helper, .. }) => !gives_number(*helper),
            None => {
                let args = &self.incoming[value.0 as usize];
                args.is_empty()
                    || args.len() > MAX_ARGS
                    || args.iter().any(|&a| a != value && of(a))
            }
            _ => true,
        }
    }
}

/// Helpers that are known to give no pointer.
pub(crate) fn gives_number(id: u32) -> bool {
    matches!(
        id,
        helper::MAP_UPDATE_ELEM
            | helper::MAP_DELETE_ELEM
            | helper::PROBE_READ
            | helper::KTIME_GET_NS
            | helper::GET_PRANDOM_U32
            | helper::GET_SMP_PROCESSOR_ID
            | helper::GET_CURRENT_PID_TGID
            | helper::GET_CURRENT_UID_GID
            | helper::GET_CURRENT_COMM
            | helper::GET_STACKID
            | helper::GET_CURRENT_TASK
            | helper::PROBE_READ_STR
            | helper::GET_STACK
            | helper::GET_CURRENT_CGROUP_ID
            | helper::SEND_SIGNAL
            | helper::PROBE_READ_USER
            | helper::PROBE_READ_KERNEL
            | helper::PROBE_READ_USER_STR
            | helper::PROBE_READ_KERNEL_STR
            | helper::JIFFIES64
            | helper::GET_NS_CURRENT_PID_TGID
            | helper::KTIME_GET_BOOT_NS
            | helper::RINGBUF_OUTPUT
            | helper::RINGBUF_QUERY
            | helper::KTIME_GET_COARSE_NS
            | helper::FOR_EACH_MAP_ELEM
            | helper::GET_FUNC_IP
            | helper::GET_ATTACH_COOKIE
            | helper::LOOP
            | helper::STRNCMP
            | helper::KTIME_GET_TAI_NS
    )
}
