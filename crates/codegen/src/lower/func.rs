//! The state of lowering one probe: the function that grows, its stack, its scratch memory, and the shape of control flow.

use std::collections::HashMap;

use beetrace_isa::{AluOp, JmpOp, Size, Width, helper};
use beetrace_lang::span::Span;
use beetrace_lang::typed::{Probe, VarId};
use beetrace_lang::types::StackType;
use beetrace_object::{Loss, MapKind, ProgramKind, Signature};

use super::analysis::ProbeFacts;
use super::btf::BtfFacts;
use super::memory::{Memory, Place};
use super::percpu::Entry;
use super::room::Scratch;
use super::ssa::{Fork, Ssa};
use super::vars::VarPlace;
use super::{LowerError, Result, Unit, source_span};
use crate::ir::{Block, Builder, Effect, FuncId, Function, Module, Op, Slot, Value};

/// What is captured by callbacks begins with these words.
pub(super) const FRAME_CONTEXT: i64 = 0;
pub(super) const FRAME_LEAVE: i64 = 8;
pub(super) const FRAME_RESULT: i64 = 16;
pub(super) const FRAME_VARS: u32 = 24;

/// Lowers one probe.
pub(super) struct Lower<'u, 'p> {
    pub(super) unit: &'u mut Unit<'p>,
    pub(super) probe: &'p Probe,
    /// The probe's index in the program.
    pub(super) index: u32,
    pub(super) facts: ProbeFacts,
    pub(super) btf_vars: Vec<Option<beetrace_lang::structs::StructId>>,
    pub(super) vars: Vec<VarPlace>,
    pub(super) frame_size: u32,
    /// Loops over numbers that call back and enclose what is being lowered.
    pub(super) range_depth: u32,
    pub(super) f: Growing,
    /// Callbacks and subprograms, complete but for their first block, by their number less one.
    others: Vec<Option<Growing>>,
    /// What tells of a helper's failure, by the loss that it counts.
    pub(super) failures: Vec<(Option<Loss>, FuncId)>,
    /// What keeps stacks whose bucket is taken, by their type.
    pub(super) stacks: Vec<(StackType, FuncId)>,
    pub(super) scratch: Scratch,
}

/// The function that is being built.
pub(super) struct Growing {
    pub(super) b: Builder,
    pub(super) ssa: Ssa,
    pub(super) id: FuncId,
    pub(super) loops: Vec<LoopTargets>,
    /// Where what callbacks capture lies.
    pub(super) frame: Option<Place>,
    pub(super) context: Value,
    /// Slots of composite variables of this function.
    pub(super) var_slots: HashMap<VarId, Place>,
    /// Key and value of the entry that a loop over a map has come to.
    pub(super) entries: HashMap<VarId, Entry>,
    pub(super) free: Vec<(Slot, u32)>,
    pub(super) live: Vec<(Slot, u32)>,
    pub(super) stack_used: u32,
    pub(super) scratch: Option<Value>,
    /// What it returns where there is no scratch memory.
    pub(super) failed: i64,
}

/// Where `break` and `continue` go.
#[derive(Clone, Copy, Debug)]
pub(super) enum LoopTargets {
    Native { end: Block, next: Block },
    Callback,
}

/// A comparison of two 64-bit values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test(pub(super) JmpOp, pub(super) Value, pub(super) Value);

pub(super) fn lower_probe<'p>(unit: &mut Unit<'p>, probe: &'p Probe, index: u32) -> Result<Module> {
    let facts = ProbeFacts::new(unit.program, unit.target, probe);
    let mut lower = Lower {
        btf_vars: facts.vars.iter().map(|v| v.btf).collect(),
        facts,
        unit,
        probe,
        index,
        vars: Vec::new(),
        frame_size: 0,
        range_depth: 0,
        f: Growing::new(&probe.name, Signature::Entry, 1, FuncId(0)),
        others: Vec::new(),
        failures: Vec::new(),
        stacks: Vec::new(),
        scratch: Scratch::default(),
    };
    lower.place_vars();
    lower.entry()?;
    lower.finish()
}

impl Growing {
    fn new(name: &str, signature: Signature, params: u32, id: FuncId) -> Self {
        let mut b = Builder::new(name, signature, params);
        let context = b.param(0);
        // The first block stays empty until it is known whether the function needs scratch memory.
        let (body, _) = b.block(0);
        b.switch_to(body);
        Growing {
            b,
            ssa: Ssa::default(),
            id,
            loops: Vec::new(),
            frame: None,
            context,
            var_slots: HashMap::new(),
            entries: HashMap::new(),
            free: Vec::new(),
            live: Vec::new(),
            stack_used: 0,
            scratch: None,
            failed: 1,
        }
    }
}

impl<'u, 'p> Lower<'u, 'p> {
    fn entry(&mut self) -> Result<()> {
        self.f.b.set_span(source_span(self.probe.span));
        if self.facts.has_callbacks {
            let slot = self.f.b.slot(self.frame_size, 8);
            self.f.stack_used += self.frame_size;
            let frame = Place::slot(slot);
            self.f.frame = Some(frame);
            let context = self.f.context;
            self.store(frame.at(FRAME_CONTEXT), Size::B8, context);
            if self.facts.returns_from_callback {
                let zero = self.iconst(0);
                self.store(frame.at(FRAME_LEAVE), Size::B8, zero);
            }
        }
        if let Some(predicate) = &self.probe.predicate {
            let (body, _) = self.f.b.block(0);
            let (out, _) = self.f.b.block(0);
            let mark = self.mark();
            self.cond(predicate, body, out)?;
            self.release(mark);
            self.f.b.switch_to(out);
            self.leave_default();
            self.f.b.switch_to(body);
        }
        self.stmts(&self.probe.body)?;
        self.f.b.set_span(source_span(self.probe.span));
        self.leave_default();
        Ok(())
    }

    fn finish(mut self) -> Result<Module> {
        let cpus = self.unit.target.cpus.max(1);
        if let Some(map) = self.scratch.map.and_then(|i| self.unit.map_mut(i)) {
            map.value_size = self.scratch.most.max(8);
            if self.scratch.is_large() {
                map.kind = MapKind::Array;
                map.max_entries = cpus;
            }
        }
        let empty = Growing::new("", Signature::Entry, 1, FuncId(0));
        let entry = std::mem::replace(&mut self.f, empty);
        let others = std::mem::take(&mut self.others);
        let mut functions = vec![self.close(entry)];
        functions.extend(others.into_iter().flatten().map(|f| self.close(f)));
        Ok(Module { functions })
    }

    /// Starts a function of its own; what comes is built in it until [`Lower::end_function`] gets what this returned.
    pub(super) fn begin_function(
        &mut self,
        name: &str,
        signature: Signature,
        params: u32,
    ) -> Growing {
        self.others.push(None);
        let id = FuncId(self.others.len() as u32);
        let name = format!("{}_{name}{}", self.probe.name, id.0);
        let mut function = Growing::new(&name, signature, params, id);
        function.b.set_span(self.f.b.span());
        std::mem::replace(&mut self.f, function)
    }

    /// Starts a callback. With `captures` it is called with the frame.
    pub(super) fn begin_callback(
        &mut self,
        name: &str,
        signature: Signature,
        captures: bool,
    ) -> Growing {
        let (params, frame_at) = match signature {
            Signature::MapCallback => (4, 3),
            _ => (2, 1),
        };
        let outer = self.begin_function(name, signature, params);
        if captures {
            let frame = Place::value(self.f.b.param(frame_at), Memory::Stack);
            self.f.frame = Some(frame);
            self.f.context = self.load_raw(frame.at(FRAME_CONTEXT), Size::B8, false);
        }
        outer
    }

    pub(super) fn end_function(&mut self, outer: Growing) -> FuncId {
        let function = std::mem::replace(&mut self.f, outer);
        let id = function.id;
        if let Some(place) = self.others.get_mut((id.0 as usize).wrapping_sub(1)) {
            *place = Some(function);
        }
        id
    }

    /// Writes a function's first block: where it needs scratch memory, that looks it up.
    fn close(&self, f: Growing) -> Function {
        let failed = if f.id == FuncId(0) {
            self.exit_value()
        } else {
            f.failed
        };
        let mut b = f.b;
        b.switch_to(Block(0));
        let Some((base, map)) = f.scratch.zip(self.scratch.map) else {
            b.jump(Block(1), &[]);
            return b.finish();
        };
        let key = b.slot(8, 8);
        let key = b.slot_addr(key, 0);
        let cpu = if self.scratch.is_large() {
            b.call(helper::GET_SMP_PROCESSOR_ID, &[], Effect::Pure)
        } else {
            b.iconst(0)
        };
        b.store(Size::B4, key, 0, cpu);
        let map = b.def(Op::MapRef(map));
        b.define(
            base,
            Op::Call {
                helper: helper::MAP_LOOKUP_ELEM,
                args: vec![map, key],
                effect: Effect::Reads,
            },
        );
        let (none, _) = b.block(0);
        b.branch_if(base, Block(1), none);
        b.switch_to(none);
        let value = b.iconst(failed);
        b.ret(value);
        b.finish()
    }

    /// What a program returns that says nothing else. A tracepoint's program must not return zero: `perf` would miss the event.
    fn exit_value(&self) -> i64 {
        i64::from(self.probe.kind == ProgramKind::Tracepoint)
    }

    pub(super) fn is_entry(&self) -> bool {
        self.f.id == FuncId(0)
    }

    fn leave_default(&mut self) {
        let value = self.iconst(self.exit_value());
        self.f.b.ret(value);
    }

    /// Ends the probe, from a callback as well.
    pub(super) fn leave(&mut self, value: Option<Value>) {
        // A program that the kernel attaches by BTF may return nothing but zero.
        let value = value.filter(|_| self.probe.kind != ProgramKind::Tracing);
        let value = value.unwrap_or_else(|| self.iconst(self.exit_value()));
        match self.f.frame.filter(|_| !self.is_entry()) {
            None => self.f.b.ret(value),
            Some(frame) => {
                let one = self.iconst(1);
                self.store(frame.at(FRAME_LEAVE), Size::B8, one);
                self.store(frame.at(FRAME_RESULT), Size::B8, value);
                self.f.b.ret(one);
            }
        }
    }

    /// Behind a call that ran a callback: ends this function too where the callback ended the probe.
    pub(super) fn propagate_leave(&mut self) -> Result<()> {
        let Some(frame) = self.f.frame.filter(|_| self.facts.returns_from_callback) else {
            return Ok(());
        };
        let leave = self.load_raw(frame.at(FRAME_LEAVE), Size::B8, false);
        let zero = self.iconst(0);
        self.when(Test(JmpOp::Ne, leave, zero), |l| {
            let value = if l.is_entry() {
                l.load_raw(frame.at(FRAME_RESULT), Size::B8, false)
            } else {
                l.iconst(1)
            };
            l.f.b.ret(value);
            Ok(())
        })
    }

    pub(super) fn iconst(&mut self, n: i64) -> Value {
        self.f.b.iconst(n)
    }

    pub(super) fn binary(&mut self, op: AluOp, left: Value, right: Value) -> Value {
        self.f.b.binary(op, Width::W64, left, right)
    }

    pub(super) fn binary_imm(&mut self, op: AluOp, left: Value, right: i64) -> Value {
        let right = self.iconst(right);
        self.binary(op, left, right)
    }

    pub(super) fn call(&mut self, helper: u32, args: &[Value], effect: Effect) -> Value {
        self.f.b.call(helper, args, effect)
    }

    pub(super) fn map_ref(&mut self, map: u32) -> Value {
        self.f.b.def(Op::MapRef(map))
    }

    pub(super) fn branch(&mut self, test: Test, then: Block, otherwise: Block) {
        let Test(op, left, right) = test;
        self.f
            .b
            .branch(op, Width::W64, left, right, (then, &[]), (otherwise, &[]));
    }

    /// Runs `then` only where the test holds.
    pub(super) fn when(
        &mut self,
        test: Test,
        then: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let fork = self.fork();
        let (yes, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        self.branch(test, yes, end);
        self.f.b.switch_to(yes);
        then(self)?;
        self.f.b.jump(end, &[]);
        self.join(end, fork);
        Ok(())
    }

    /// One of two values.
    pub(super) fn choose(
        &mut self,
        test: Test,
        then: impl FnOnce(&mut Self) -> Result<Value>,
        otherwise: impl FnOnce(&mut Self) -> Result<Value>,
    ) -> Result<Value> {
        let fork = self.fork();
        let (yes, _) = self.f.b.block(0);
        let (no, _) = self.f.b.block(0);
        let (end, params) = self.f.b.block(1);
        self.branch(test, yes, no);
        self.f.b.switch_to(yes);
        let value = then(self)?;
        self.f.b.jump(end, &[value]);
        self.f.b.switch_to(no);
        let value = otherwise(self)?;
        self.f.b.jump(end, &[value]);
        self.join(end, fork);
        self.only(&params)
    }

    /// The one parameter of a block.
    pub(super) fn only(&self, params: &[Value]) -> Result<Value> {
        params.first().copied().ok_or(LowerError::Malformed {
            what: "a block without parameter",
            span: self.probe.span,
        })
    }

    /// The smaller of an unsigned value and a constant, in a way that the verifier follows.
    pub(super) fn at_most(&mut self, value: Value, limit: i64) -> Result<Value> {
        let limit = self.iconst(limit);
        self.choose(Test(JmpOp::Gt, value, limit), |_| Ok(limit), |_| Ok(value))
    }

    pub(super) fn fork(&self) -> Fork {
        self.f.ssa.fork(&self.f.b)
    }

    /// Goes on in a block where all ways since `fork` meet.
    pub(super) fn join(&mut self, block: Block, fork: Fork) {
        self.f.b.switch_to(block);
        self.f.ssa.join(&self.f.b, fork);
    }

    pub(super) fn with_span<T>(
        &mut self,
        span: Span,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = self.f.b.span();
        self.f.b.set_span(source_span(span));
        let result = work(self);
        self.f.b.set_span(before);
        result
    }

    pub(super) fn btf(&self) -> BtfFacts<'_> {
        BtfFacts {
            program: self.unit.program,
            target: self.unit.target,
            probe: self.probe,
            vars: &self.btf_vars,
        }
    }
}
