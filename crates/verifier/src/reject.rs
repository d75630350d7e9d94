//! The answers of the verifier.

use std::fmt;

/// The program is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Instructions that were followed, counting each time.
    pub instructions: usize,
    /// Bytes of stack of each function, in the order of their first slots.
    pub stack_depths: Vec<u32>,
    /// What was known before each instruction, if [`Options::trace`](crate::Options::trace) asked for it.
    pub trace: String,
}

/// Why a program will not be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not safe, or cannot be seen to be.
    #[error("{0}")]
    Rejected(Box<Rejection>),
    /// It needs something that exists only in a kernel.
    #[error("not supported outside of the kernel: {what} (instruction {slot})")]
    Unsupported {
        /// The slot of the instruction.
        slot: usize,
        what: String,
    },
}

/// A program is not safe: where, why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub kind: RejectKind,
    /// The slot of the instruction.
    pub insn: usize,
    /// The instruction as text.
    pub text: String,
    pub line: Option<SourceLine>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The branches that lead there, first to last. Only the last sixteen.
    pub path: Vec<Step>,
    /// What was known, and why.
    pub facts: Vec<String>,
    /// What to write instead.
    pub help: String,
    /// The states on the way, if [`Options::trace`](crate::Options::trace) asked for them.
    pub trace: String,
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    pub file: String,
    /// From 1.
    pub line: u32,
    pub column: u32,
    pub text: String,
}

/// A branch on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The slot of the jump.
    pub insn: usize,
    pub text: String,
    /// Whether it jumped.
    pub taken: bool,
    pub line: Option<SourceLine>,
}

/// The rules that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectKind {
    /// A malformed instruction.
    Instruction,
    /// Instructions that no path reaches.
    Unreachable,
    /// A jump or call out of the program or function, or a function that runs past its end.
    ControlFlow,
    /// A loop that provably never ends.
    InfiniteLoop,
    /// The instruction budget is used up.
    TooComplex,
    /// Calls are too deep, or their stacks too large.
    CallDepth,
    /// A register is read that holds nothing.
    Uninitialized,
    /// The frame pointer is written.
    FramePointer,
    /// A number is used as an address.
    NotAPointer,
    /// A pointer may be null.
    MayBeNull,
    /// An access is or may be outside of its memory.
    OutOfBounds,
    /// An offset or a size has no bound.
    Unbounded,
    /// An access to the stack, or another that must be, is not aligned.
    Misaligned,
    /// Read-only memory is written, or write-only memory read.
    Access,
    /// Arithmetic that pointers do not allow.
    PointerArithmetic,
    /// A field of the context that does not exist or may not be accessed so.
    Context,
    /// A helper that does not exist or is not for this kind of program.
    Helper,
    /// An argument of a call is of the wrong type.
    Argument,
    /// A map is not for this helper.
    Map,
    /// A reference is not given back, or given back twice.
    Reference,
    /// A lock is not released, or a rule within it broken.
    Lock,
    /// The result of the program or of a callback is outside of its range.
    ReturnValue,
    /// The kernel's verifier said something that is not known here.
    Other,
}

impl fmt::Display for Rejection {
    /// As a person reads it: the message, the place, the facts, the path, the help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        if let Some(l) = &self.line {
            writeln!(f, "  --> {}:{}:{}", l.file, l.line, l.column)?;
            if !l.text.is_empty() {
                writeln!(f, "   | {}", l.text.trim())?;
            }
        }
        if !self.text.is_empty() {
            writeln!(f, "   = instruction {}: {}", self.insn, self.text)?;
        }
        for fact in &self.facts {
            writeln!(f, "   = known: {fact}")?;
        }
        if !self.path.is_empty() {
            writeln!(f, "   = path:")?;
        }
        for step in &self.path {
            let way = if step.taken { "taken" } else { "not taken" };
            match &step.line {
                Some(l) => writeln!(f, "       line {}: {} ({way})", l.line, step.text)?,
                None => writeln!(f, "       {}: {} ({way})", step.insn, step.text)?,
            }
        }
        write!(f, "   = help: {}", self.help)
    }
}

/// What stops the exploration, before the place and the path are added.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    Reject {
        kind: RejectKind,
        message: String,
        facts: Vec<String>,
        help: Option<String>,
    },
    Unsupported(String),
}

pub(crate) type Check<T = ()> = Result<T, Box<Stop>>;

/// A rejection without facts.
pub(crate) fn reject<T>(kind: RejectKind, message: impl Into<String>) -> Check<T> {
    Err(Box::new(Stop::Reject {
        kind,
        message: message.into(),
        facts: Vec::new(),
        help: None,
    }))
}

pub(crate) fn unsupported<T>(what: impl Into<String>) -> Check<T> {
    Err(Box::new(Stop::Unsupported(what.into())))
}

impl Stop {
    pub(crate) fn fact(mut self: Box<Stop>, fact: impl Into<String>) -> Box<Stop> {
        if let Stop::Reject { facts, .. } = &mut *self {
            facts.push(fact.into());
        }
        self
    }

    pub(crate) fn help(mut self: Box<Stop>, text: impl Into<String>) -> Box<Stop> {
        if let Stop::Reject { help, .. } = &mut *self {
            *help = Some(text.into());
        }
        self
    }
}
