//! From a program to an answer.

use beetrace_isa::Insn;

use crate::code::{Code, target};
use crate::explain;
use crate::explore::{MAX_FRAMES, Verifier};
use crate::program::{ArgumentType, FunctionLinkage, Options, ProgramInput, ProgramType};
use crate::reject::{Check, Refusal, RejectKind, Stop, Verified, reject, unsupported};
use crate::state::{Kind, Reg, State};

/// Bytes of stack that all functions of a chain of calls may use together (`MAX_BPF_STACK`).
const MAX_TOTAL_STACK: u32 = 512;
/// The most stack before a tail call from a subprogram.
const MAX_TAIL_CALL_STACK: u32 = 256;

/// Decides whether the program is safe to run.
///
/// # Errors
///
/// [`Refusal::Rejected`] says what is wrong; [`Refusal::Unsupported`] that the program needs a kernel.
pub fn verify(input: &ProgramInput<'_>, options: Options) -> Result<Verified, Refusal> {
    let code =
        Code::new(input).map_err(|(slot, stop)| explain::without_state(input, slot, *stop))?;
    let mut verifier = Verifier::new(input, options, code);
    if let ProgramType::KernelOnly(name) = input.kind {
        return Err(Refusal::Unsupported {
            slot: 0,
            what: format!("{name} programs"),
        });
    }
    verifier.run()
}

impl Verifier<'_> {
    fn run(&mut self) -> Result<Verified, Refusal> {
        self.verify_function(0)?;
        // Global functions that were called are verified on their own, and may call others.
        let mut done = vec![false; self.called.len()];
        while let Some(next) = (1..done.len()).find(|&i| {
            self.called.get(i).copied().unwrap_or(false) && !done.get(i).copied().unwrap_or(true)
        }) {
            if let Some(d) = done.get_mut(next) {
                *d = true;
            }
            self.checkpoints.clear();
            self.verify_function(next)?;
        }
        if let Err((slot, stop)) = self.check_stack_depth() {
            return Err(self.refuse_at(slot, *stop));
        }
        Ok(Verified {
            instructions: self.instructions,
            stack_depths: self.stack_depths.clone(),
            trace: std::mem::take(&mut self.trace),
        })
    }

    fn verify_function(&mut self, function: usize) -> Result<(), Refusal> {
        self.root = function;
        let start = self.code.functions.get(function).map_or(0, |f| f.start);
        let frame = match self.arguments_frame(function) {
            Ok(frame) => frame,
            Err(stop) => return Err(self.refuse_at(start, *stop)),
        };
        let state = State {
            frames: vec![frame],
            references: Vec::new(),
            lock: None,
            pc: start,
            parent: None,
            resumed: false,
            trail: 0,
        };
        self.explore(state)
            .map_err(|(state, stop)| self.refuse(&state, *stop))
    }

    fn arguments_frame(&mut self, function: usize) -> Check<crate::state::Frame> {
        let mut frame = self.entry_frame(function);
        let linkage = self.code.functions.get(function).map(|f| f.linkage.clone());
        let Some(FunctionLinkage::Global { arguments, .. }) = linkage.filter(|_| function != 0)
        else {
            frame.regs[1] = Reg::pointer(Kind::Context);
            return Ok(frame);
        };
        if arguments.len() > 5 {
            return reject(RejectKind::Argument, "a function has at most 5 arguments");
        }
        for (argument, reg) in arguments.iter().zip(frame.regs.iter_mut().skip(1)) {
            *reg = match argument {
                ArgumentType::Scalar => Reg::unknown(),
                ArgumentType::Context => Reg::pointer(Kind::Context),
                ArgumentType::Memory { size, nonnull } => {
                    let mut reg = Reg::pointer(Kind::Memory {
                        size: *size,
                        writable: true,
                    });
                    reg.nullable = !nonnull;
                    if reg.nullable {
                        self.id_origins.push(0);
                        reg.id = u32::try_from(self.id_origins.len() - 1).unwrap_or(u32::MAX);
                    }
                    reg
                }
                ArgumentType::Unsupported(what) => {
                    return unsupported(format!("an argument of type {what}"));
                }
            };
        }
        Ok(frame)
    }

    /// The stacks of every chain of calls fit together.
    fn check_stack_depth(&self) -> Result<(), (usize, Box<Stop>)> {
        let mut roots = vec![0];
        roots.extend(
            (1..self.code.functions.len())
                .filter(|i| self.called.get(*i).copied().unwrap_or(false)),
        );
        for root in roots {
            let mut worst = vec![(0, 0); self.code.functions.len()];
            self.check_chain(root, 0, 1, &mut worst)?;
        }
        Ok(())
    }

    fn check_chain(
        &self,
        function: usize,
        above: u32,
        frames: usize,
        worst: &mut [(u32, usize)],
    ) -> Result<(), (usize, Box<Stop>)> {
        let Some(f) = self.code.functions.get(function) else {
            return Ok(());
        };
        // Nothing new below a function that was reached with as much above it before.
        match worst.get_mut(function) {
            Some(w) if above > w.0 || frames > w.1 => *w = (w.0.max(above), w.1.max(frames)),
            _ => return Ok(()),
        }
        let own = self.stack_depths.get(function).copied().unwrap_or(0);
        let total = above + own.max(1).next_multiple_of(16);
        let fail = |message: String| -> Result<(), (usize, Box<Stop>)> {
            reject(RejectKind::CallDepth, message).map_err(|stop| (f.start, stop))
        };
        if total > MAX_TOTAL_STACK {
            return fail(format!(
                "the stacks of {frames} functions that call each other take {total} bytes, of {MAX_TOTAL_STACK}"
            ));
        }
        if frames > MAX_FRAMES {
            return fail(format!("calls are more than {MAX_FRAMES} deep"));
        }
        for slot in f.start..f.end {
            let callee = match self.code.insn(slot) {
                Some(Insn::CallLocal { rel }) => target(slot, rel.into()),
                Some(Insn::LdImm64 {
                    imm: beetrace_isa::Imm64::Func(rel),
                    ..
                }) => target(slot, rel.into()),
                Some(Insn::Call {
                    helper: beetrace_isa::helper::TAIL_CALL,
                }) if above >= MAX_TAIL_CALL_STACK => {
                    return fail(format!(
                        "a tail call below {above} bytes of stack of calling functions"
                    ));
                }
                _ => None,
            };
            if let Some(next) = callee.and_then(|s| self.code.function_starting(s)) {
                self.check_chain(next, total, frames + 1, worst)?;
            }
        }
        Ok(())
    }
}
