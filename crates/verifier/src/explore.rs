//! The walk over all paths.

use std::fmt::Write;

use beetrace_isa::{Insn, Reg as RegName, Src};

use crate::code::Code;
use crate::dag::{Dag, Node};
use crate::program::{MapDef, Options, ProgramInput, ProgramType};
use crate::prune::Checkpoints;
use crate::reject::{Check, RejectKind, reject};
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
