//! What helper functions take and give, and which programs may call them
//! (the kernel's `bpf_func_proto`s, public in the manual page bpf-helpers(7)).

mod table;

use std::sync::LazyLock;

use beetrace_isa::helper;

use crate::program::{ProgramType, SockAddrCall};

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arg {
    /// Anything that is initialised.
    Any,
    /// The program's context.
    Ctx,
    /// The program's context or null.
    CtxOrNull,
    /// A map, known at verification.
    Map,
    /// A key of the map in the argument before.
    Key,
    /// A value of the map in an argument before, read.
    Value,
    /// Room for a value of that map, written.
    ValueOut,
    /// Memory that is read; its size is the next argument.
    Mem,
    MemOrNull,
    /// Memory that is written; its size is the next argument.
    MemOut,
    MemOutOrNull,
    /// The size of the memory before; not zero.
    Size,
    /// The size of the memory before, maybe zero.
    SizeOrZero,
    /// A constant size of memory that the helper gives.
    AllocSize,
    /// A ring buffer record, given back by the call.
    Record,
    /// A function of the program.
    Func,
    /// A pointer to the stack or null, for a callback.
    StackOrNull,
    SpinLock,
    /// That many bytes, aligned to as many, that are written.
    FixedOut(u32),
    /// A constant string in a read-only map.
    ConstString,
    /// Any socket, or null where the flag says so.
    SockCommon,
    /// A socket that the call gives back.
    SockRelease,
}

/// The type of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ret {
    Number,
    Nothing,
    MapValueOrNull,
    MapValue,
    RecordOrNull,
    SockOrNull { acquire: bool },
    SockCommonOrNull { acquire: bool },
    TcpSockOrNull,
}

/// A helper's signature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prototype {
    pub id: u32,
    pub arguments: &'static [Arg],
    pub ret: Ret,
    /// The groups of program types that have it.
    pub groups: u32,
    /// Whether it takes pointers into the packet.
    pub packet: bool,
}

/// Groups of program types.
pub(crate) mod group {
    pub(crate) const ALL: u32 = 1;
    pub(crate) const TRACE: u32 = 1 << 1;
    pub(crate) const FILTER: u32 = 1 << 2;
    pub(crate) const TC: u32 = 1 << 3;
    pub(crate) const XDP: u32 = 1 << 4;
    pub(crate) const CG_SKB: u32 = 1 << 5;
    pub(crate) const LWT: u32 = 1 << 6;
    pub(crate) const LWT_XMIT: u32 = 1 << 7;
    pub(crate) const SOCK_ADDR: u32 = 1 << 8;
    pub(crate) const SOCK_OPS: u32 = 1 << 9;
    pub(crate) const CG_SOCK: u32 = 1 << 10;
    pub(crate) const SYSCTL: u32 = 1 << 11;
    pub(crate) const FLOW: u32 = 1 << 12;
    pub(crate) const SYSCALL: u32 = 1 << 13;
    pub(crate) const KPROBE: u32 = 1 << 14;
    pub(crate) const PERF: u32 = 1 << 15;
    pub(crate) const SK_SKB: u32 = 1 << 16;
    pub(crate) const BIND: u32 = 1 << 17;
    pub(crate) const SEG6: u32 = 1 << 18;
    pub(crate) const SKB: u32 = FILTER | TC | CG_SKB | LWT | LWT_XMIT | SK_SKB | SEG6;
    pub(crate) const CGROUP: u32 = CG_SKB | SOCK_ADDR | SOCK_OPS | CG_SOCK | SYSCTL;
}

/// The groups that a kind of program belongs to.
fn groups(kind: ProgramType) -> u32 {
    use group::*;
    ALL | match kind {
        ProgramType::SocketFilter => FILTER,
        ProgramType::Kprobe => TRACE | KPROBE,
        ProgramType::TrafficControl => TC,
        ProgramType::Xdp => XDP,
        ProgramType::Tracepoint
        | ProgramType::RawTracepoint
        | ProgramType::RawTracepointWritable => TRACE,
        ProgramType::PerfEvent => TRACE | PERF,
        ProgramType::CgroupSkb => CG_SKB,
        ProgramType::CgroupSock => CG_SOCK,
        ProgramType::LwtIn | ProgramType::LwtOut => LWT,
        ProgramType::LwtXmit => LWT_XMIT,
        ProgramType::LwtSeg6Local => SEG6,
        ProgramType::SockOps => SOCK_OPS,
        ProgramType::SkSkb => SK_SKB,
        ProgramType::CgroupSockAddr(hook) => match hook.call {
            SockAddrCall::Bind | SockAddrCall::Connect => SOCK_ADDR | BIND,
            _ => SOCK_ADDR,
        },
        ProgramType::CgroupSysctl => SYSCTL,
        ProgramType::FlowDissector => FLOW,
        ProgramType::Syscall => SYSCALL,
        ProgramType::CgroupSockopt | ProgramType::KernelOnly(_) => 0,
    }
}

static BY_ID: LazyLock<Vec<Option<&'static Prototype>>> = LazyLock::new(|| {
    let mut all = vec![None; 212];
    for p in table::TABLE {
        if let Some(place) = all.get_mut(p.id as usize) {
            *place = Some(p);
        }
    }
    all
});

/// The signature of a helper, if this verifier knows it.
pub(crate) fn prototype(id: u32) -> Option<&'static Prototype> {
    BY_ID.get(usize::try_from(id).ok()?).copied().flatten()
}

impl Prototype {
    pub(crate) fn allowed(&self, kind: ProgramType) -> bool {
        self.groups & groups(kind) != 0
    }
}

/// Whether the helper calls a function of the program before it returns.
pub(crate) fn calls_back(id: u32) -> bool {
    matches!(id, helper::LOOP | helper::FOR_EACH_MAP_ELEM)
}

/// Whether the helper may move or change the packet, so that pointers into it are lost.
pub(crate) fn changes_packet(id: u32) -> bool {
    matches!(
        id,
        helper::SKB_STORE_BYTES
            | helper::L3_CSUM_REPLACE
            | helper::L4_CSUM_REPLACE
            | helper::SKB_VLAN_PUSH
            | helper::SKB_VLAN_POP
            | helper::SKB_CHANGE_PROTO
            | helper::SKB_CHANGE_TAIL
            | helper::SKB_CHANGE_HEAD
            | helper::SKB_ADJUST_ROOM
            | helper::SKB_PULL_DATA
            | helper::CLONE_REDIRECT
            | helper::XDP_ADJUST_HEAD
            | helper::XDP_ADJUST_TAIL
            | helper::XDP_ADJUST_META
            | helper::LWT_PUSH_ENCAP
            | helper::LWT_SEG6_STORE_BYTES
            | helper::LWT_SEG6_ADJUST_SRH
            | helper::LWT_SEG6_ACTION
            | helper::MSG_PULL_DATA
            | helper::MSG_PUSH_DATA
            | helper::MSG_POP_DATA
            | helper::STORE_HDR_OPT
            | helper::RESERVE_HDR_OPT
            | helper::TAIL_CALL
    )
}
