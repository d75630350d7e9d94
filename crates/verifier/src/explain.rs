//! From a stop to an explanation.

use crate::explore::Verifier;
use crate::program::{LineDef, ProgramInput};
use crate::reject::{Refusal, RejectKind, Rejection, SourceLine, Step, Stop};
use crate::state::State;

/// The most branches that are told.
const MAX_STEPS: usize = 16;

impl Verifier<'_> {
    pub(crate) fn line_of(&self, slot: usize) -> Option<SourceLine> {
        line(self.input.lines, slot)
    }

    /// The refusal of a path that ended in `state`.
    pub(crate) fn refuse(&mut self, state: &State, stop: Stop) -> Refusal {
        let mut refusal = self.refuse_at(state.pc, stop);
        if let Refusal::Rejected(r) = &mut refusal {
            r.path = self.path(state.trail);
            if state.frames.len() > 1 {
                let chain: Vec<String> = state
                    .frames
                    .iter()
                    .skip(1)
                    .map(|f| {
                        let name = self
                            .code
                            .functions
                            .get(f.function)
                            .map_or("a function", |f| f.name.as_str());
                        format!("`{name}` called {}", self.place(f.callsite))
                    })
                    .collect();
                r.facts.push(format!("in {}", chain.join(", ")));
            }
        }
        refusal
    }

    pub(crate) fn refuse_at(&mut self, slot: usize, stop: Stop) -> Refusal {
        let text = self.insn_text(slot);
        let trace = std::mem::take(&mut self.trace);
        build(self.input.lines, slot, text, trace, stop)
    }

    /// The last branches before a point.
    fn path(&self, mut trail: u32) -> Vec<Step> {
        let mut steps = Vec::new();
        while trail != 0
            && steps.len() < MAX_STEPS
            && let Some(step) = self.trail.get(trail as usize)
        {
            steps.push(Step {
                insn: step.slot,
                text: self.insn_text(step.slot),
                taken: step.taken,
                line: self.line_of(step.slot),
            });
            trail = step.before;
        }
        steps.reverse();
        steps
    }
}

/// The refusal of a program whose paths were not followed yet.
pub(crate) fn without_state(input: &ProgramInput<'_>, slot: usize, stop: Stop) -> Refusal {
    let mut at = 0;
    let insn = input.insns.iter().find(|insn| {
        let here = at == slot;
        at += insn.slots();
        here
    });
    let text = insn.map(|i| format!("{i:#}")).unwrap_or_default();
    build(input.lines, slot, text, String::new(), stop)
}

fn build(lines: &[LineDef], slot: usize, text: String, trace: String, stop: Stop) -> Refusal {
    match stop {
        Stop::Unsupported(what) => Refusal::Unsupported { slot, what },
        Stop::Reject {
            kind,
            message,
            facts,
            help,
        } => Refusal::Rejected(Box::new(Rejection {
            kind,
            insn: slot,
            text,
            line: line(lines, slot),
            message,
            path: Vec::new(),
            facts,
            help: help.unwrap_or_else(|| help_for(kind).to_owned()),
            trace,
        })),
    }
}

/// The source line that a slot comes from.
pub(crate) fn line(lines: &[LineDef], slot: usize) -> Option<SourceLine> {
    let index = lines
        .partition_point(|l| l.slot as usize <= slot)
        .checked_sub(1)?;
    let l = lines.get(index)?;
    Some(SourceLine {
        file: l.file.clone(),
        line: l.line,
        column: l.column,
        text: l.text.clone(),
    })
}

/// What to write instead, where nothing more special is known.
pub(crate) fn help_for(kind: RejectKind) -> &'static str {
    match kind {
        RejectKind::Instruction => "build the program with a compiler for the same instruction set",
        RejectKind::Unreachable => {
            "remove the instructions, or the jump that skips them on every path"
        }
        RejectKind::ControlFlow => {
            "end every function with `exit` and keep jumps within their function"
        }
        RejectKind::InfiniteLoop => {
            "make the loop's condition depend on something that changes each time, up to a bound"
        }
        RejectKind::TooComplex => {
            "bound the loop more tightly, move its body into a bpf_loop callback, or split the program"
        }
        RejectKind::CallDepth => {
            "call fewer functions within each other, or keep large variables in a map"
        }
        RejectKind::Uninitialized => "give the variable a value on every path before it is read",
        RejectKind::FramePointer => "copy r10 to another register and change the copy",
        RejectKind::NotAPointer => {
            "read memory that does not belong to the program with bpf_probe_read_kernel or bpf_probe_read_user"
        }
        RejectKind::MayBeNull => {
            "compare the pointer with null first, and use it only where it is not"
        }
        RejectKind::OutOfBounds => {
            "check the index against the size before the access, or make the memory larger"
        }
        RejectKind::Unbounded => {
            "bound the number first: `n &= 0xff`, or `if (n < 256)` with n unsigned"
        }
        RejectKind::Misaligned => "access the bytes at a multiple of the access's size",
        RejectKind::Access => "copy the data to a variable or map value of the program's own",
        RejectKind::PointerArithmetic => {
            "add and subtract only bounded numbers, as 64 bits, to pointers into memory"
        }
        RejectKind::Context => "use a field that this kind of program has, with its own size",
        RejectKind::Helper => {
            "use a helper that this kind of program has, or another kind of program"
        }
        RejectKind::Argument => "pass what the helper's manual page (bpf-helpers) asks for",
        RejectKind::Map => "use a map of a type that the helper is for",
        RejectKind::Reference => "release it exactly once on every path, the early exits included",
        RejectKind::Lock => {
            "hold one lock at a time, call nothing while it is held, and release it on every path"
        }
        RejectKind::ReturnValue => "return a constant of the allowed range on every path",
        RejectKind::Other => "run with -v to see the log",
    }
}
