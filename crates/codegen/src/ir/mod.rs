//! The intermediate representation: SSA over 64-bit values, close to what eBPF can do.
//!
//! Conventions:
//! - Every value is 64 bits. An integer of a narrower type is held extended by its sign (or with zeros) to 64 bits; the
//!   lowering keeps that with [`Op::Ext`]. A boolean is 0 or 1. A pointer is an address.
//! - A block has parameters instead of phi nodes; a jump passes arguments.
//! - Memory is reached only by [`Op::Load`], [`Op::Store`], [`Op::Atomic`] and helpers. Locals that need an address are [`Slot`]s of
//!   the stack; what is too large for it lives in per-CPU scratch maps, which the lowering looks up.
//! - A module is one program: function 0 is the entry, the others are callbacks and subprograms.

mod builder;
pub mod cfg;
pub mod parse;
mod text;
pub mod verify;
mod visit;

pub use builder::Builder;

use beetrace_isa::{AluOp, AtomicOp, JmpOp, Size, Width};
use beetrace_object::{Signature, SourceSpan};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// Index into [`Module::functions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FuncId(pub u32);

/// One program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Module {
    pub functions: Vec<Function>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub name: String,
    pub signature: Signature,
    /// What it is called with, at most five; these are also defined in no block.
    pub params: Vec<Value>,
    /// Block 0 is the entry and has no parameters.
    pub blocks: Vec<BlockData>,
    pub slots: Vec<SlotData>,
    /// How many values there are: ids run from 0.
    pub values: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BlockData {
    pub params: Vec<Value>,
    pub insts: Vec<Inst>,
    pub end: Terminator,
    pub end_span: SourceSpan,
}

/// Bytes on the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotData {
    pub size: u32,
    /// 1, 2, 4 or 8.
    pub align: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Inst {
    pub op: Op,
    /// The value that it defines; `None` for a store.
    pub result: Option<Value>,
    pub span: SourceSpan,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Const(i64),
    /// Arithmetic. 32-bit forms use the low halves and leave the high half zero. `Div`, `Mod` are unsigned, `SDiv`, `SMod` signed;
    /// by zero they give zero and the dividend, as eBPF does. Shift counts are masked to the width.
    Binary {
        op: AluOp,
        width: Width,
        left: Value,
        right: Value,
    },
    Neg {
        width: Width,
        value: Value,
    },
    /// 1 where the comparison holds, else 0.
    Compare {
        op: JmpOp,
        width: Width,
        left: Value,
        right: Value,
    },
    /// The low `size` of the value, extended by its sign or with zeros.
    Ext {
        size: Size,
        signed: bool,
        value: Value,
    },
    /// Bytes of the low `size` reversed, zeros above.
    Swap {
        size: Size,
        value: Value,
    },
    /// `then` where `cond` is not zero, else `otherwise`; both are evaluated.
    Select {
        cond: Value,
        then: Value,
        otherwise: Value,
    },
    /// Directly from memory that the program may read: its stack, a map value, its context, a BTF pointer.
    Load {
        size: Size,
        signed: bool,
        base: Value,
        offset: i32,
        volatility: Volatility,
    },
    Store {
        size: Size,
        base: Value,
        offset: i32,
        value: Value,
    },
    Atomic {
        op: AtomicOp,
        size: Size,
        base: Value,
        offset: i32,
        value: Value,
    },
    SlotAddr {
        slot: Slot,
        offset: i32,
    },
    /// The map itself, as an argument of a helper.
    MapRef(u32),
    /// The address of a byte of value 0 of an array map.
    MapValue {
        map: u32,
        offset: u32,
    },
    /// The address of a function of this module, as an argument of a helper.
    FuncRef(FuncId),
    /// The address of a kernel symbol of BTF (`ld_imm64` with a BTF id): a per-CPU variable, say.
    KernelSymbol {
        btf_id: u32,
    },
    /// A helper of the kernel by its number.
    Call {
        helper: u32,
        args: Vec<Value>,
        effect: Effect,
    },
    /// A kernel function by its BTF id in vmlinux.
    CallKfunc {
        btf_id: u32,
        args: Vec<Value>,
    },
    /// A subprogram of this module.
    CallLocal {
        function: FuncId,
        args: Vec<Value>,
    },
}

/// Whether two loads of the same place may give different values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Volatility {
    /// The context and other memory that never changes while a program runs.
    Constant,
    Normal,
}

/// What a helper call does besides giving a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The same result every time in one run of a program: `get_current_pid_tgid`. Calls may be merged and dropped.
    Pure,
    /// May be dropped where its result is not used; reads memory or time, so calls are not merged or moved over writes.
    Reads,
    /// Writes memory that it is given, or changes the world.
    Writes,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Terminator {
    Jump(Target),
    /// To `then` where the comparison holds.
    Branch {
        op: JmpOp,
        width: Width,
        left: Value,
        right: Value,
        then: Target,
        otherwise: Target,
    },
    Return(Value),
    /// Control never comes here.
    Unreachable,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub block: Block,
    pub args: Vec<Value>,
}
