//! The walk over all paths.

use std::fmt::Write;

use beetrace_isa::{AluOp, Imm64, Insn, Reg as RegName, Src, Width};

use crate::code::Code;
use crate::dag::{Dag, Node};
use crate::program::{FunctionLinkage, MapDef, Options, ProgramInput, ProgramType};
use crate::prune::Checkpoints;
use crate::reject::{Check, RejectKind, reject, unsupported};
use crate::scalar::Scalar;
use crate::state::{Frame, Kind, MapRef, Reg, State};

/// The deepest chain of calls (`MAX_CALL_FRAMES`).
pub(crate) const MAX_FRAMES: usize = 8;
/// The most paths that wait to be followed (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
const MAX_PENDING: usize = 8192;

/// A branch that was taken or not, and the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrailStep {
    pub before: u32,
    pub slot: usize,
    pub taken: bool,
}

/// What follows an instruction.
pub(crate) enum Flow {
    /// The state's `pc` says where the path goes on.
    Continue,
    /// The path ends.
    End,
}

pub(crate) struct Verifier<'a> {
    pub input: &'a ProgramInput<'a>,
    pub options: Options,
    pub code: Code,
    pub dag: Dag,
    pub checkpoints: Checkpoints,
    pub pending: Vec<State>,
    pub trail: Vec<TrailStep>,
    /// The slot at which each id was made.
    pub id_origins: Vec<usize>,
    /// Bytes of stack that each function uses.
    pub stack_depths: Vec<u32>,
    /// Instructions followed.
    pub instructions: usize,
    pub jumps: usize,
    pub trace: String,
    /// The function that is verified on its own now; 0 is the program.
    pub root: usize,
    /// Global functions that were called.
    pub called: Vec<bool>,
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(input: &'a ProgramInput<'a>, options: Options, code: Code) -> Verifier<'a> {
        let functions = code.functions.len();
        let slots = code.insns.len();
        Verifier {
            input,
            options,
            code,
            dag: Dag::new(),
            checkpoints: Checkpoints::new(slots),
            pending: Vec::new(),
            trail: vec![TrailStep {
                before: 0,
                slot: 0,
                taken: false,
            }],
            id_origins: vec![0],
            stack_depths: vec![0; functions],
            instructions: 0,
            jumps: 0,
            trace: String::new(),
            root: 0,
            called: vec![false; functions],
        }
    }

    pub(crate) fn kind(&self) -> ProgramType {
        self.input.kind
    }

    /// A number for values that belong together, made at `slot`.
    pub(crate) fn new_id(&mut self, slot: usize) -> u32 {
        self.id_origins.push(slot);
        u32::try_from(self.id_origins.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn map(&self, map: MapRef) -> Check<&'a MapDef> {
        let def = self.input.maps.get(map.index as usize);
        let def = if map.inner {
            def.and_then(|d| d.inner.as_deref())
        } else {
            def
        };
        match def {
            Some(def) => Ok(def),
            None => reject(RejectKind::Map, format!("map {} is not defined", map.index)),
        }
    }

    /// Follows every path from the state. On an error the state in which it happened is given back.
    pub(crate) fn explore(
        &mut self,
        start: State,
    ) -> Result<(), (State, Box<crate::reject::Stop>)> {
        self.pending.push(start);
        while let Some(mut state) = self.pending.pop() {
            if let Err(stop) = self.follow(&mut state) {
                return Err((state, stop));
            }
        }
        Ok(())
    }

    /// Follows one path to its end.
    fn follow(&mut self, state: &mut State) -> Check {
        loop {
            self.instructions += 1;
            if self.instructions > self.options.instruction_budget {
                return reject(
                    RejectKind::TooComplex,
                    format!(
                        "the program is too complex: {} instructions were followed and there is no end",
                        self.options.instruction_budget
                    ),
                );
            }
            let Some(insn) = self.code.insn(state.pc) else {
                return reject(RejectKind::ControlFlow, "there is no instruction here");
            };
            if self.code.prune.get(state.pc).copied().unwrap_or(false) && self.visit(state)? {
                self.end_path(state);
                return Ok(());
            }
            if self.options.trace {
                let text = self.insn_text(state.pc);
                let _ = writeln!(self.trace, "{}: {state}\n    {text}", state.pc);
            }
            match self.step(state, insn)? {
                Flow::Continue => {}
                Flow::End => {
                    self.end_path(state);
                    return Ok(());
                }
            }
        }
    }

    /// The instruction as text.
    pub(crate) fn insn_text(&self, slot: usize) -> String {
        self.code
            .insn(slot)
            .map(|i| format!("{i:#}"))
            .unwrap_or_default()
    }

    pub(crate) fn push_trail(&mut self, before: u32, slot: usize, taken: bool) -> u32 {
        self.trail.push(TrailStep {
            before,
            slot,
            taken,
        });
        u32::try_from(self.trail.len() - 1).unwrap_or(0)
    }

    /// Remembers a path to follow later.
    pub(crate) fn push_pending(&mut self, state: State) -> Check {
        if self.pending.len() >= MAX_PENDING {
            return reject(
                RejectKind::TooComplex,
                format!("more than {MAX_PENDING} branches wait to be followed"),
            );
        }
        self.open_path(&state);
        self.pending.push(state);
        Ok(())
    }

    fn step(&mut self, state: &mut State, insn: Insn) -> Check<Flow> {
        let next = state.pc + insn.slots();
        match insn {
            Insn::Alu {
                width,
                op,
                dst,
                src,
            } => self.alu(state, width, op, dst, src)?,
            Insn::Neg { width, dst } => {
                let reg = *self.read(state, dst)?;
                let out = if reg.is_scalar() {
                    Reg::scalar(reg.num.neg(width), reg.node)
                } else {
                    Reg::unknown()
                };
                self.write(state, dst, out)?;
            }
            Insn::MovSx {
                width,
                from,
                dst,
                src,
            } => self.move_sign_extended(state, width, from.bytes(), dst, src)?,
            Insn::Endian { dst, .. } => {
                let node = self.read(state, dst)?.node;
                self.write(state, dst, Reg::scalar(Scalar::UNKNOWN, node))?;
            }
            Insn::LdImm64 { dst, imm } => {
                let reg = self.load_immediate(state.pc, imm)?;
                self.write(state, dst, reg)?;
            }
            Insn::Load {
                size,
                sign_extend,
                dst,
                src,
                off,
            } => self.load(state, size, sign_extend, dst, src, off)?,
            Insn::Store {
                size,
                dst,
                off,
                src,
            } => self.store(state, size, dst, off, src)?,
            Insn::Atomic {
                op,
                size,
                dst,
                src,
                off,
            } => self.atomic(state, op, size, dst, src, off)?,
            Insn::Ja { .. } => {
                self.jumps += 1;
                state.pc = self.code.successors(state.pc).jump.unwrap_or(next);
                return Ok(Flow::Continue);
            }
            Insn::Jmp {
                width,
                op,
                dst,
                src,
                ..
            } => {
                self.jumps += 1;
                return self.branch(state, width, op, dst, src);
            }
            Insn::Call { helper } => {
                self.jumps += 1;
                return self.call_helper(state, helper);
            }
            Insn::CallLocal { rel } => {
                self.jumps += 1;
                return self.call_local(state, rel);
            }
            Insn::CallKfunc { btf_id, .. } => {
                self.jumps += 1;
                return self.call_kernel_function(state, btf_id);
            }
            Insn::Exit => {
                self.jumps += 1;
                return self.exit(state);
            }
            Insn::LdAbs { .. } => self.load_packet(state, None)?,
            Insn::LdInd { src, .. } => self.load_packet(state, Some(src))?,
        }
        state.pc = next;
        Ok(Flow::Continue)
    }

    /// A register that must hold something.
    pub(crate) fn read<'s>(&self, state: &'s State, name: RegName) -> Check<&'s Reg> {
        let reg = state.reg(name);
        if reg.kind == Kind::Uninit {
            return reject(
                RejectKind::Uninitialized,
                format!("{name} is read but holds nothing here"),
            )
            .map_err(|stop| match name.index() {
                1..=5 => stop.fact(format!(
                    "calls leave nothing in r1 to r5, {name} among them"
                )),
                _ => stop,
            });
        }
        Ok(reg)
    }

    pub(crate) fn write(&self, state: &mut State, name: RegName, reg: Reg) -> Check {
        if name == RegName::FP {
            return reject(
                RejectKind::FramePointer,
                "the frame pointer r10 is read only",
            );
        }
        *state.reg_mut(name) = reg;
        Ok(())
    }

    /// An operand: a register, or an immediate extended to 64 bits.
    pub(crate) fn operand(&self, state: &State, src: Src) -> Check<Reg> {
        match src {
            Src::Reg(name) => self.read(state, name).copied(),
            Src::Imm(n) => Ok(Reg::constant(i64::from(n) as u64)),
        }
    }

    fn alu(&mut self, state: &mut State, width: Width, op: AluOp, dst: RegName, src: Src) -> Check {
        if op == AluOp::Mov {
            return self.mov(state, width, dst, src);
        }
        let right = self.operand(state, src)?;
        let left = *self.read(state, dst)?;
        if let Src::Imm(n) = src {
            let bits = i64::from(width.bits());
            match op {
                AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod if n == 0 => {
                    return reject(RejectKind::Instruction, "division by the constant zero");
                }
                AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if !(0..bits).contains(&i64::from(n)) => {
                    return reject(
                        RejectKind::Instruction,
                        format!("a shift by {n} of a number of {bits} bits"),
                    );
                }
                _ => {}
            }
        }
        let mut out = if left.is_pointer() || right.is_pointer() {
            self.pointer_alu(state.pc, width, op, &left, &right)?
        } else {
            let node = self.dag.join(left.node, right.node);
            Reg::scalar(left.num.alu(op, right.num, width), node)
        };
        // A number that is a known distance from another one stays linked to it.
        if op == AluOp::Add
            && width == Width::W64
            && left.is_scalar()
            && left.id != 0
            && left.delta.is_none()
            && let Some(n) = right.as_const()
            && let Ok(n) = i32::try_from(n as i64)
        {
            out.id = left.id;
            out.delta = Some(n);
        }
        self.write(state, dst, out)
    }

    fn mov(&mut self, state: &mut State, width: Width, dst: RegName, src: Src) -> Check {
        let name = match src {
            Src::Imm(n) => {
                let n = match width {
                    Width::W64 => i64::from(n) as u64,
                    Width::W32 => u64::from(n as u32),
                };
                return self.write(state, dst, Reg::constant(n));
            }
            Src::Reg(name) => name,
        };
        self.read(state, name)?;
        if width == Width::W64 {
            self.link(state, name);
            let reg = *state.reg(name);
            return self.write(state, dst, reg);
        }
        let reg = *state.reg(name);
        if !reg.is_scalar() {
            return self.write(
                state,
                dst,
                Reg::scalar(Scalar::unsigned(0, u32::MAX.into()), reg.node),
            );
        }
        let fits = reg.num.width() <= 32;
        if fits {
            self.link(state, name);
        }
        let mut out = *state.reg(name);
        if !fits {
            out.unlink();
        }
        out.num = out.num.zero_extend();
        self.write(state, dst, out)
    }

    /// Gives a number that is about to be copied an id, so that both are known to be equal.
    pub(crate) fn link(&mut self, state: &mut State, name: RegName) {
        let pc = state.pc;
        let reg = state.reg_mut(name);
        if !reg.is_scalar() {
            return;
        }
        if reg.delta.is_some() {
            reg.unlink();
        }
        if reg.id == 0 && !reg.num.is_const() {
            let id = self.new_id(pc);
            state.reg_mut(name).id = id;
        }
    }

    fn move_sign_extended(
        &mut self,
        state: &mut State,
        width: Width,
        bytes: u32,
        dst: RegName,
        src: RegName,
    ) -> Check {
        let reg = *self.read(state, src)?;
        if !reg.is_scalar() {
            return self.write(state, dst, Reg::scalar(Scalar::UNKNOWN, reg.node));
        }
        // Nothing to extend if the sign bit is known to be clear.
        let unchanged = reg.num.u64.max < 1u64 << (bytes * 8 - 1);
        if unchanged {
            self.link(state, src);
        }
        let mut out = *state.reg(src);
        if !unchanged {
            out.unlink();
        }
        out.num = match width {
            Width::W64 => out.num.sign_extend(bytes),
            Width::W32 => out.num.sign_extend_32(bytes),
        };
        self.write(state, dst, out)
    }

    fn load_immediate(&mut self, slot: usize, imm: Imm64) -> Check<Reg> {
        match imm {
            Imm64::Value(n) => Ok(Reg::constant(n)),
            Imm64::MapIdx(index) => {
                let map = MapRef {
                    index,
                    inner: false,
                };
                self.check_map(map)?;
                Ok(Reg::pointer(Kind::Map(map)))
            }
            Imm64::MapIdxValue { idx, off } => {
                let map = MapRef {
                    index: idx,
                    inner: false,
                };
                self.check_map(map)?;
                let def = self.map(map)?;
                if def.kind != crate::program::map_type::ARRAY || def.max_entries != 1 {
                    return reject(
                        RejectKind::Map,
                        format!(
                            "map `{}` is no array of one value, so its value has no address",
                            def.title()
                        ),
                    );
                }
                if off >= def.value_size {
                    return reject(
                        RejectKind::OutOfBounds,
                        format!("offset {off} is behind the value of map `{}`", def.title()),
                    );
                }
                let mut reg = Reg::pointer(Kind::MapValue(map));
                reg.off = i32::try_from(off).unwrap_or(i32::MAX);
                if def.spin_lock.is_some() {
                    reg.id = self.new_id(slot);
                }
                Ok(reg)
            }
            Imm64::Func(rel) => match crate::code::target(slot, rel.into())
                .and_then(|start| self.code.function_starting(start).map(|_| start))
            {
                Some(start) => {
                    let function = self.code.function_at(start);
                    if let Some(f) = self.code.functions.get(function)
                        && f.linkage != FunctionLinkage::Static
                    {
                        return reject(
                            RejectKind::Argument,
                            format!("callback `{}` is not a static function", f.name),
                        );
                    }
                    Ok(Reg::pointer(Kind::Function(
                        u32::try_from(start).unwrap_or(u32::MAX),
                    )))
                }
                None => reject(
                    RejectKind::ControlFlow,
                    "there is no function at this address",
                ),
            },
            Imm64::MapFd(_) | Imm64::MapFdValue { .. } => {
                unsupported("a map given by file descriptor")
            }
            Imm64::BtfVar { .. } => unsupported("a variable of the kernel"),
        }
    }

    /// Whether programs of this kind may use the map at all.
    fn check_map(&self, map: MapRef) -> Check {
        let def = self.map(map)?;
        if def.spin_lock.is_some() || def.inner.as_ref().is_some_and(|i| i.spin_lock.is_some()) {
            let refused = match self.kind() {
                ProgramType::SocketFilter => "socket filters",
                ProgramType::Kprobe
                | ProgramType::Tracepoint
                | ProgramType::PerfEvent
                | ProgramType::RawTracepoint
                | ProgramType::RawTracepointWritable => "tracing programs",
                _ => return Ok(()),
            };
            return reject(
                RejectKind::Map,
                format!(
                    "map `{}` has a spin lock, which {refused} cannot use",
                    def.title()
                ),
            );
        }
        Ok(())
    }

    /// Reads a packet the old way: `r6` is the context, `r0` receives the bytes.
    fn load_packet(&mut self, state: &mut State, index: Option<RegName>) -> Check {
        if !matches!(
            self.kind(),
            ProgramType::SocketFilter | ProgramType::TrafficControl
        ) {
            return reject(
                RejectKind::Instruction,
                "only socket filters and traffic control programs can load from the packet this way",
            );
        }
        if !state.references.is_empty() || state.lock.is_some() {
            return reject(
                RejectKind::Reference,
                "this load may end the program while a reference or a lock is held",
            );
        }
        let function = state.frame().function;
        let returns_int = self
            .code
            .functions
            .get(function)
            .is_some_and(|f| f.returns_int);
        if state.frames.len() > 1 && !returns_int {
            return reject(
                RejectKind::Instruction,
                "this load may end its function with the result 0, so that function must return an int",
            );
        }
        let context = self.read(state, RegName::R6)?;
        if context.kind != Kind::Context || context.off != 0 || !context.num.is_const() {
            return reject(
                RejectKind::Argument,
                format!(
                    "r6 must be the context for this load, but is {}",
                    context.kind.title()
                ),
            );
        }
        if let Some(name) = index {
            self.read(state, name)?;
        }
        if state.frames.len() > 1 {
            // Behind the packet the function ends.
            let mut outside = state.clone();
            *outside.reg_mut(RegName::R0) = Reg::constant(0);
            if let Flow::Continue = self.exit(&mut outside)? {
                self.push_pending(outside)?;
            }
        }
        let frame = state.frame_mut();
        for reg in frame.regs.iter_mut().take(6) {
            *reg = Reg::UNINIT;
        }
        frame.regs[0] = Reg::unknown();
        Ok(())
    }

    /// Marks a value as one on which the verdict rests.
    pub(crate) fn need(&mut self, reg: &Reg) {
        if reg.node != Node::ROOT {
            self.dag.mark(reg.node);
        }
    }

    /// The state at the start of the function under verification.
    pub(crate) fn entry_frame(&self, function: usize) -> Frame {
        Frame::new(0, function, 0)
    }
}
