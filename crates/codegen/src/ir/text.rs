//! The text form of the IR: what tests and `--emit ir` show. `parse` reads it back.
//!
//! ```text
//! fn "count" entry(v0) {
//!   ss0 = slot 8 align 8
//! block0:
//!   v1 = call.pure get_current_pid_tgid()
//!   v2 = slotaddr ss0+0
//!   store.64 v2+0, v1
//!   v3 = map 0
//!   v4 = call.reads map_lookup_elem(v3, v2)
//!   v5 = const 0
//!   br ne.64 v4, v5, block1(v4), block2
//! block1(v6):
//!   v7 = const 1
//!   v8 = atomic_add.64 v6+0, v7
//!   jump block2
//! block2:
//!   ret v5
//! }
//! ```

use std::fmt::{self, Display, Formatter};

use beetrace_isa::{AluOp, AtomicOp, JmpOp, Width, helper_name};
use beetrace_object::{Signature, SourceSpan};

use super::{
    Block, Effect, FuncId, Function, Inst, Module, Op, Slot, Target, Terminator, Value, Volatility,
};

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl Display for Block {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "block{}", self.0)
    }
}

impl Display for Slot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "ss{}", self.0)
    }
}

impl Display for FuncId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "fn{}", self.0)
    }
}

impl Display for Module {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, function) in self.functions.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            function.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.signature {
            Signature::Entry => "entry",
            Signature::LoopCallback => "loop_callback",
            Signature::MapCallback => "map_callback",
            Signature::Subprogram(_) => "subprogram",
        };
        writeln!(f, "fn \"{}\" {kind}({}) {{", self.name, List(&self.params))?;
        for (i, slot) in self.slots.iter().enumerate() {
            writeln!(f, "  ss{i} = slot {} align {}", slot.size, slot.align)?;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            writeln!(f, "block{i}{}:", Args(&block.params))?;
            for inst in &block.insts {
                writeln!(f, "  {inst}{}", At(inst.span))?;
            }
            writeln!(f, "  {}{}", block.end, At(block.end_span))?;
        }
        writeln!(f, "}}")
    }
}

impl Display for Inst {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(result) = self.result {
            write!(f, "{result} = ")?;
        }
        self.op.fmt(f)
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Op::Const(n) => write!(f, "const {n}"),
            Op::Binary {
                op,
                width,
                left,
                right,
            } => write!(f, "{}.{} {left}, {right}", alu_name(*op), width.bits()),
            Op::Neg { width, value } => write!(f, "neg.{} {value}", width.bits()),
            Op::Compare {
                op,
                width,
                left,
                right,
            } => write!(f, "{}.{} {left}, {right}", jmp_name(*op), width.bits()),
            Op::Ext {
                size,
                signed,
                value,
            } => write!(f, "ext.{}{} {value}", sign(*signed), size.bits()),
            Op::Swap { size, value } => write!(f, "swap.{} {value}", size.bits()),
            Op::Select {
                cond,
                then,
                otherwise,
            } => write!(f, "select {cond}, {then}, {otherwise}"),
            Op::Load {
                size,
                signed,
                base,
                offset,
                volatility,
            } => {
                let constant = match volatility {
                    Volatility::Constant => ".const",
                    Volatility::Normal => "",
                };
                let sign = sign(*signed);
                write!(f, "load.{sign}{}{constant} {base}{offset:+}", size.bits())
            }
            Op::Store {
                size,
                base,
                offset,
                value,
            } => write!(f, "store.{} {base}{offset:+}, {value}", size.bits()),
            Op::Atomic {
                op,
                size,
                base,
                offset,
                value,
            } => {
                let (name, bits) = (atomic_name(*op), size.bits());
                write!(f, "{name}.{bits} {base}{offset:+}, {value}")
            }
            Op::SlotAddr { slot, offset } => write!(f, "slotaddr {slot}{offset:+}"),
            Op::MapRef(map) => write!(f, "map {map}"),
            Op::MapValue { map, offset } => write!(f, "mapvalue {map}+{offset}"),
            Op::FuncRef(function) => write!(f, "func {function}"),
            Op::KernelSymbol { btf_id } => write!(f, "ksym {btf_id}"),
            Op::Call {
                helper,
                args,
                effect,
            } => {
                let effect = match effect {
                    Effect::Pure => ".pure",
                    Effect::Reads => ".reads",
                    Effect::Writes => "",
                };
                write!(f, "call{effect} ")?;
                match helper_name(*helper) {
                    Some(name) => f.write_str(name.trim_start_matches("bpf_"))?,
                    None => helper.fmt(f)?,
                }
                write!(f, "({})", List(args))
            }
            Op::CallKfunc { btf_id, args } => write!(f, "kfunc {btf_id}({})", List(args)),
            Op::CallLocal { function, args } => write!(f, "call {function}({})", List(args)),
        }
    }
}

impl Display for Terminator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Terminator::Jump(target) => write!(f, "jump {target}"),
            Terminator::Branch {
                op,
                width,
                left,
                right,
                then,
                otherwise,
            } => {
                let (op, bits) = (jmp_name(*op), width.bits());
                write!(f, "br {op}.{bits} {left}, {right}, {then}, {otherwise}")
            }
            Terminator::Return(value) => write!(f, "ret {value}"),
            Terminator::Unreachable => f.write_str("unreachable"),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.block, Args(&self.args))
    }
}

/// Values between commas.
struct List<'a>(&'a [Value]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, value) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{value}")?;
        }
        Ok(())
    }
}

/// Values in parentheses, nothing for none.
struct Args<'a>(&'a [Value]);

impl Display for Args<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "({})", List(self.0))
    }
}

/// A place in the sources, nothing where there is none.
struct At(SourceSpan);

impl Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let At(span) = *self;
        if span == SourceSpan::default() {
            return Ok(());
        }
        write!(f, " @{}:{}-{}", span.source, span.start, span.end)
    }
}

fn sign(signed: bool) -> char {
    if signed { 's' } else { 'u' }
}

pub(super) const WIDTHS: [(Width, &str); 2] = [(Width::W32, "32"), (Width::W64, "64")];

pub(super) fn alu_name(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "add",
        AluOp::Sub => "sub",
        AluOp::Mul => "mul",
        AluOp::Div => "div",
        AluOp::SDiv => "sdiv",
        AluOp::Mod => "mod",
        AluOp::SMod => "smod",
        AluOp::Or => "or",
        AluOp::And => "and",
        AluOp::Xor => "xor",
        AluOp::Lsh => "lsh",
        AluOp::Rsh => "rsh",
        AluOp::Arsh => "arsh",
        AluOp::Mov => "mov",
    }
}

pub(super) fn jmp_name(op: JmpOp) -> &'static str {
    match op {
        JmpOp::Eq => "eq",
        JmpOp::Ne => "ne",
        JmpOp::Gt => "gt",
        JmpOp::Ge => "ge",
        JmpOp::Lt => "lt",
        JmpOp::Le => "le",
        JmpOp::Set => "set",
        JmpOp::Sgt => "sgt",
        JmpOp::Sge => "sge",
        JmpOp::Slt => "slt",
        JmpOp::Sle => "sle",
    }
}

pub(super) fn atomic_name(op: AtomicOp) -> &'static str {
    match op {
        AtomicOp::Add { fetch: false } => "atomic_add",
        AtomicOp::Or { fetch: false } => "atomic_or",
        AtomicOp::And { fetch: false } => "atomic_and",
        AtomicOp::Xor { fetch: false } => "atomic_xor",
        AtomicOp::Add { fetch: true } => "fetch_add",
        AtomicOp::Or { fetch: true } => "fetch_or",
        AtomicOp::And { fetch: true } => "fetch_and",
        AtomicOp::Xor { fetch: true } => "fetch_xor",
        AtomicOp::Xchg => "xchg",
        AtomicOp::CmpXchg => "cmpxchg",
    }
}
