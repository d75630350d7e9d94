//! What is verified: instructions, and what they may refer to.

use beetrace_isa::Insn;

/// A program as it is given to [`verify`](crate::verify).
#[derive(Clone, Debug, Default)]
pub struct ProgramInput<'a> {
    /// Of the entry function and, behind it, of all subprograms and callbacks.
    pub insns: &'a [Insn],
    pub kind: ProgramType,
    /// What [`Imm64::MapIdx`](beetrace_isa::Imm64::MapIdx) counts.
    pub maps: &'a [MapDef],
    /// Functions by rising [`FunctionDef::start`]. Those that are called but not listed are taken as static.
    pub functions: &'a [FunctionDef],
    /// Source lines by rising [`LineDef::slot`].
    pub lines: &'a [LineDef],
    /// Kernel functions that the engine has: calls of others are unsupported.
    pub kernel_functions: &'a [KernelFunction],
}

/// A kernel function, as [`Insn::CallKfunc`] names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFunction {
    pub btf_id: u32,
    pub name: String,
}

/// Kinds of programs and, where the kernel's rules depend on it, the place of attachment
/// (`enum bpf_prog_type` and `enum bpf_attach_type` of include/uapi/linux/bpf.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProgramType {
    #[default]
    SocketFilter,
    Kprobe,
    /// `tc`: `sched_cls` and `sched_act`.
    TrafficControl,
    Tracepoint,
    Xdp,
    PerfEvent,
    CgroupSkb,
    CgroupSock,
    LwtIn,
    LwtOut,
    LwtXmit,
    LwtSeg6Local,
    SockOps,
    SkSkb,
    RawTracepoint,
    RawTracepointWritable,
    CgroupSockAddr(SockAddrHook),
    CgroupSysctl,
    CgroupSockopt,
    FlowDissector,
    Syscall,
    /// A kind whose context or attachment exists only inside a kernel; holds its name.
    KernelOnly(&'static str),
}

/// The address hook of a `cgroup_sock_addr` program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SockAddrHook {
    pub call: SockAddrCall,
    pub family: SockAddrFamily,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SockAddrCall {
    Bind,
    Connect,
    SendMsg,
    RecvMsg,
    GetPeerName,
    GetSockName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SockAddrFamily {
    V4,
    V6,
    Unix,
}

/// A map as the verifier sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDef {
    pub name: String,
    /// `enum bpf_map_type` of include/uapi/linux/bpf.h, see [`map_type`].
    pub kind: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    pub max_entries: u32,
    pub access: MapAccess,
    /// Byte offset in the value of a `struct bpf_spin_lock`, found through its BTF.
    pub spin_lock: Option<u32>,
    /// Other ranges `(offset, size)` of the value that programs must not touch: `bpf_timer`, `kptr` and their like.
    pub special: Vec<(u32, u32)>,
    /// Whether the value's type is known from BTF; `bpf_spin_lock` needs that.
    pub has_btf: bool,
    /// The definition of the maps that a map of maps holds.
    pub inner: Option<Box<MapDef>>,
    /// The bytes of a map that nothing changes any more: loads from it are constants.
    pub frozen: Option<Vec<u8>>,
}

impl MapDef {
    /// A map without special fields.
    pub fn new(name: &str, kind: u32, key_size: u32, value_size: u32, max_entries: u32) -> MapDef {
        MapDef {
            name: name.into(),
            kind,
            key_size,
            value_size,
            max_entries,
            access: MapAccess::default(),
            spin_lock: None,
            special: Vec::new(),
            has_btf: false,
            inner: None,
            frozen: None,
        }
    }

    /// The name in messages.
    pub(crate) fn title(&self) -> &str {
        if self.name.is_empty() {
            "map"
        } else {
            &self.name
        }
    }
}

/// What programs may do with a map's values (`BPF_F_RDONLY_PROG`, `BPF_F_WRONLY_PROG`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapAccess {
    #[default]
    ReadWrite,
    ReadOnly,
    WriteOnly,
}

impl MapAccess {
    pub fn reads(self) -> bool {
        self != MapAccess::WriteOnly
    }

    pub fn writes(self) -> bool {
        self != MapAccess::ReadOnly
    }
}

/// Numbers of map types (`enum bpf_map_type` of include/uapi/linux/bpf.h).
pub mod map_type {
    pub const HASH: u32 = 1;
    pub const ARRAY: u32 = 2;
    pub const PROG_ARRAY: u32 = 3;
    pub const PERF_EVENT_ARRAY: u32 = 4;
    pub const PERCPU_HASH: u32 = 5;
    pub const PERCPU_ARRAY: u32 = 6;
    pub const STACK_TRACE: u32 = 7;
    pub const CGROUP_ARRAY: u32 = 8;
    pub const LRU_HASH: u32 = 9;
    pub const LRU_PERCPU_HASH: u32 = 10;
    pub const LPM_TRIE: u32 = 11;
    pub const ARRAY_OF_MAPS: u32 = 12;
    pub const HASH_OF_MAPS: u32 = 13;
    pub const DEVMAP: u32 = 14;
    pub const SOCKMAP: u32 = 15;
    pub const CPUMAP: u32 = 16;
    pub const XSKMAP: u32 = 17;
    pub const SOCKHASH: u32 = 18;
    pub const CGROUP_STORAGE: u32 = 19;
    pub const REUSEPORT_SOCKARRAY: u32 = 20;
    pub const PERCPU_CGROUP_STORAGE: u32 = 21;
    pub const QUEUE: u32 = 22;
    pub const STACK: u32 = 23;
    pub const SK_STORAGE: u32 = 24;
    pub const DEVMAP_HASH: u32 = 25;
    pub const RINGBUF: u32 = 27;
    pub const TASK_STORAGE: u32 = 29;
    pub const BLOOM_FILTER: u32 = 30;
    pub const USER_RINGBUF: u32 = 31;
    pub const CGRP_STORAGE: u32 = 32;
    pub const ARENA: u32 = 33;
}

/// A function of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionDef {
    pub name: String,
    /// The slot of its first instruction.
    pub start: u32,
    pub linkage: FunctionLinkage,
    /// Whether BTF says that its result is an `int`; legacy packet loads in subprograms need that.
    pub returns_int: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionLinkage {
    /// Followed from each call with what is known there.
    Static,
    /// Verified once, for all arguments of these types; a call only checks them.
    Global {
        arguments: Vec<ArgumentType>,
        /// False for `void`.
        returns: bool,
    },
}

/// What a global function can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentType {
    Scalar,
    Context,
    /// A pointer to that many bytes, or null unless `nonnull`.
    Memory {
        size: u32,
        nonnull: bool,
    },
    /// A type that cannot be verified without a kernel; holds its name.
    Unsupported(String),
}

/// The source line that instructions from `slot` on come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineDef {
    pub slot: u32,
    pub file: String,
    /// From 1.
    pub line: u32,
    pub column: u32,
    /// The text of the line.
    pub text: String,
}

/// Limits, and what is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Instructions that are followed, counting each time (`BPF_COMPLEXITY_LIMIT_INSNS`).
    pub instruction_budget: usize,
    /// Whether accesses to packets and map values must be aligned, as on machines that cannot do others.
    pub strict_alignment: bool,
    /// Whether [`Verified::trace`](crate::Verified::trace) is written.
    pub trace: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            instruction_budget: 1_000_000,
            strict_alignment: false,
            trace: false,
        }
    }
}
