//! Programs: instructions and where they are attached.

use beetrace_isa::Insn;
use serde::{Deserialize, Serialize};

use crate::{ProbeSpec, SourceSpan};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Letters, digits and `_`; the kernel sees its first 15 bytes.
    pub name: String,
    pub kind: ProgramKind,
    #[serde(skip)]
    pub insns: Vec<Insn>,
    /// The functions that `insns` hold one behind the other: the entry first, then callbacks and subprograms.
    pub functions: Vec<Function>,
    /// Where lines begin, by rising instruction index (an index into `insns`, not a slot).
    pub lines: Vec<Line>,
    /// Where it is attached. Several where one program serves many attach points.
    pub probes: Vec<ProbeSpec>,
}

/// Kinds of programs, by the kernel's `enum bpf_prog_type` (include/uapi/linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum ProgramKind {
    Kprobe = 2,
    Tracepoint = 5,
    PerfEvent = 7,
    RawTracepoint = 17,
    /// `fentry`, `fexit`, BTF raw tracepoints and iterators: the attach type is in the probe.
    Tracing = 26,
    /// Runs only when asked (`BPF_PROG_TYPE_SYSCALL`): `begin`, `end`, `self`, `test`, `bench`.
    Syscall = 31,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    pub name: String,
    /// Index into `insns` of its first instruction.
    pub start: u32,
    pub signature: Signature,
}

/// What the function's arguments and result are, as the kernel's BTF must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signature {
    /// `int f(void *ctx)`
    Entry,
    /// A callback of `bpf_loop`: `long f(u64 index, void *ctx)`
    LoopCallback,
    /// A callback of `bpf_for_each_map_elem`: `long f(struct bpf_map *, void *key, void *value, void *ctx)`
    MapCallback,
    /// A subprogram of that many 64-bit arguments.
    Subprogram(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub insn: u32,
    pub span: SourceSpan,
}
