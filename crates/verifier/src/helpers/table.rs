//! The table of helpers.

use beetrace_isa::helper as h;

use super::Arg::{self, *};
use super::group::*;
use super::{Prototype, Ret};

const fn f(id: u32, arguments: &'static [Arg], ret: Ret, groups: u32) -> Prototype {
    Prototype {
        id,
        arguments,
        ret,
        groups,
        packet: false,
    }
}

/// A helper that takes pointers into the packet.
const fn p(id: u32, arguments: &'static [Arg], ret: Ret, groups: u32) -> Prototype {
    Prototype {
        id,
        arguments,
        ret,
        groups,
        packet: true,
    }
}

const N: Ret = Ret::Number;

pub(super) static TABLE: &[Prototype] = &[
    // Maps.
    p(h::MAP_LOOKUP_ELEM, &[Map, Key], Ret::MapValueOrNull, ALL),
    p(h::MAP_UPDATE_ELEM, &[Map, Key, Value, Any], N, ALL),
    p(h::MAP_DELETE_ELEM, &[Map, Key], N, ALL),
    p(h::MAP_PUSH_ELEM, &[Map, Value, Any], N, ALL),
    f(h::MAP_POP_ELEM, &[Map, ValueOut], N, ALL),
    f(h::MAP_PEEK_ELEM, &[Map, ValueOut], N, ALL),
    f(
        h::MAP_LOOKUP_PERCPU_ELEM,
        &[Map, Key, Any],
        Ret::MapValueOrNull,
        ALL,
    ),
    f(h::FOR_EACH_MAP_ELEM, &[Map, Func, StackOrNull, Any], N, ALL),
    f(h::LOOP, &[Any, Func, StackOrNull, Any], N, ALL),
    f(h::TAIL_CALL, &[Ctx, Map, Any], Ret::Nothing, ALL),
    f(h::SPIN_LOCK, &[SpinLock], Ret::Nothing, ALL),
    f(h::SPIN_UNLOCK, &[SpinLock], Ret::Nothing, ALL),
    // Ring buffers.
    f(h::RINGBUF_OUTPUT, &[Map, Mem, SizeOrZero, Any], N, ALL),
    f(
        h::RINGBUF_RESERVE,
        &[Map, AllocSize, Any],
        Ret::RecordOrNull,
        ALL,
    ),
    f(h::RINGBUF_SUBMIT, &[Record, Any], Ret::Nothing, ALL),
    f(h::RINGBUF_DISCARD, &[Record, Any], Ret::Nothing, ALL),
    f(h::RINGBUF_QUERY, &[Map, Any], N, ALL),
    // Time, processors, random numbers.
    f(h::KTIME_GET_NS, &[], N, ALL),
    f(h::KTIME_GET_BOOT_NS, &[], N, ALL),
    f(
        h::KTIME_GET_COARSE_NS,
        &[],
        N,
        SKB | XDP | CGROUP | FLOW | SYSCALL,
    ),
    f(h::KTIME_GET_TAI_NS, &[], N, ALL),
    f(h::JIFFIES64, &[], N, ALL),
    f(h::GET_PRANDOM_U32, &[], N, ALL),
    f(h::GET_SMP_PROCESSOR_ID, &[], N, ALL),
    f(h::GET_NUMA_NODE_ID, &[], N, ALL),
    // Text.
    f(h::TRACE_PRINTK, &[Mem, Size, Any, Any, Any], N, ALL),
    f(
        h::TRACE_VPRINTK,
        &[Mem, Size, MemOrNull, SizeOrZero],
        N,
        ALL,
    ),
    f(
        h::SNPRINTF,
        &[MemOutOrNull, SizeOrZero, ConstString, MemOrNull, SizeOrZero],
        N,
        ALL,
    ),
    f(h::STRNCMP, &[Mem, Size, ConstString], N, ALL),
    f(h::STRTOL, &[Mem, Size, Any, FixedOut(8)], N, ALL),
    f(h::STRTOUL, &[Mem, Size, Any, FixedOut(8)], N, ALL),
    // Memory of others.
    f(h::PROBE_READ, &[MemOut, SizeOrZero, Any], N, TRACE),
    f(h::PROBE_READ_STR, &[MemOut, SizeOrZero, Any], N, TRACE),
    f(h::PROBE_READ_USER, &[MemOut, SizeOrZero, Any], N, ALL),
    f(h::PROBE_READ_KERNEL, &[MemOut, SizeOrZero, Any], N, ALL),
    f(h::PROBE_READ_USER_STR, &[MemOut, SizeOrZero, Any], N, ALL),
    f(h::PROBE_READ_KERNEL_STR, &[MemOut, SizeOrZero, Any], N, ALL),
    f(h::PROBE_WRITE_USER, &[Any, Mem, Size], N, TRACE),
    // The current task.
    f(h::GET_CURRENT_TASK, &[], N, ALL),
    f(h::GET_CURRENT_PID_TGID, &[], N, TRACE | CGROUP),
    f(h::GET_CURRENT_UID_GID, &[], N, TRACE | CGROUP),
    f(
        h::GET_CURRENT_COMM,
        &[MemOut, Size],
        N,
        TRACE | SOCK_ADDR | CG_SOCK,
    ),
    f(h::GET_CURRENT_CGROUP_ID, &[], N, TRACE | CGROUP),
    f(h::GET_CURRENT_ANCESTOR_CGROUP_ID, &[Any], N, TRACE | CGROUP),
    f(h::CURRENT_TASK_UNDER_CGROUP, &[Map, Any], N, TRACE),
    f(
        h::GET_NS_CURRENT_PID_TGID,
        &[Any, Any, MemOut, Size],
        N,
        ALL,
    ),
    f(h::SEND_SIGNAL, &[Any], N, TRACE),
    f(h::SEND_SIGNAL_THREAD, &[Any], N, TRACE),
    // Events and stacks.
    f(h::PERF_EVENT_READ, &[Map, Any], N, TRACE),
    f(
        h::PERF_EVENT_READ_VALUE,
        &[Map, Any, MemOut, Size],
        N,
        TRACE,
    ),
    f(h::PERF_PROG_READ_VALUE, &[Ctx, MemOut, Size], N, PERF),
    f(
        h::PERF_EVENT_OUTPUT,
        &[Ctx, Map, Any, Mem, SizeOrZero],
        N,
        TRACE | SKB | XDP | CGROUP,
    ),
    f(h::GET_STACKID, &[Ctx, Map, Any], N, TRACE),
    f(h::GET_STACK, &[Ctx, MemOut, SizeOrZero, Any], N, TRACE),
    f(h::GET_FUNC_IP, &[Ctx], N, KPROBE),
    f(h::GET_ATTACH_COOKIE, &[Ctx], N, TRACE),
    f(h::OVERRIDE_RETURN, &[Ctx, Any], N, KPROBE),
    f(
        h::READ_BRANCH_RECORDS,
        &[Ctx, MemOutOrNull, SizeOrZero, Any],
        N,
        PERF,
    ),
    f(h::GET_BRANCH_SNAPSHOT, &[MemOut, SizeOrZero, Any], N, TRACE),
    // Packets.
    f(h::SKB_LOAD_BYTES, &[Ctx, Any, MemOut, Size], N, SKB | FLOW),
    f(
        h::SKB_LOAD_BYTES_RELATIVE,
        &[Ctx, Any, MemOut, Size, Any],
        N,
        FILTER | TC | CG_SKB,
    ),
    f(
        h::SKB_STORE_BYTES,
        &[Ctx, Any, Mem, Size, Any],
        N,
        TC | LWT_XMIT | SK_SKB,
    ),
    f(
        h::L3_CSUM_REPLACE,
        &[Ctx, Any, Any, Any, Any],
        N,
        TC | LWT_XMIT,
    ),
    f(
        h::L4_CSUM_REPLACE,
        &[Ctx, Any, Any, Any, Any],
        N,
        TC | LWT_XMIT,
    ),
    p(
        h::CSUM_DIFF,
        &[MemOrNull, SizeOrZero, MemOrNull, SizeOrZero, Any],
        N,
        TC | XDP | LWT | LWT_XMIT | SEG6,
    ),
    f(h::CSUM_UPDATE, &[Ctx, Any], N, TC | LWT_XMIT),
    f(h::CLONE_REDIRECT, &[Ctx, Any, Any], N, TC | LWT_XMIT),
    f(h::SKB_VLAN_PUSH, &[Ctx, Any, Any], N, TC),
    f(h::SKB_VLAN_POP, &[Ctx], N, TC),
    f(h::SKB_CHANGE_PROTO, &[Ctx, Any, Any], N, TC),
    f(h::SKB_CHANGE_TYPE, &[Ctx, Any], N, TC),
    f(
        h::SKB_CHANGE_TAIL,
        &[Ctx, Any, Any],
        N,
        TC | LWT_XMIT | SK_SKB,
    ),
    f(
        h::SKB_CHANGE_HEAD,
        &[Ctx, Any, Any],
        N,
        TC | LWT_XMIT | SK_SKB,
    ),
    f(h::SKB_ADJUST_ROOM, &[Ctx, Any, Any, Any], N, TC | SK_SKB),
    f(
        h::SKB_PULL_DATA,
        &[Ctx, Any],
        N,
        TC | LWT | LWT_XMIT | SK_SKB | SEG6,
    ),
    f(h::REDIRECT, &[Any, Any], N, TC | XDP | LWT_XMIT),
    f(h::REDIRECT_MAP, &[Map, Any, Any], N, XDP),
    f(h::GET_CGROUP_CLASSID, &[Ctx], N, TC | LWT | LWT_XMIT | SEG6),
    f(h::GET_ROUTE_REALM, &[Ctx], N, TC | LWT | LWT_XMIT | SEG6),
    f(h::GET_HASH_RECALC, &[Ctx], N, TC | LWT | LWT_XMIT | SEG6),
    f(h::SET_HASH_INVALID, &[Ctx], N, TC | LWT_XMIT),
    f(h::SET_HASH, &[Ctx, Any], N, TC),
    f(
        h::SKB_UNDER_CGROUP,
        &[Ctx, Map, Any],
        N,
        TC | LWT | LWT_XMIT | SEG6,
    ),
    f(h::SKB_CGROUP_ID, &[Ctx], N, TC | CG_SKB),
    f(
        h::SKB_GET_TUNNEL_KEY,
        &[Ctx, MemOut, Size, Any],
        N,
        TC | LWT_XMIT,
    ),
    f(
        h::SKB_SET_TUNNEL_KEY,
        &[Ctx, Mem, Size, Any],
        N,
        TC | LWT_XMIT,
    ),
    f(h::FIB_LOOKUP, &[Ctx, Mem, Size, Any], N, TC | XDP),
    f(h::XDP_ADJUST_HEAD, &[Ctx, Any], N, XDP),
    f(h::XDP_ADJUST_TAIL, &[Ctx, Any], N, XDP),
    f(h::XDP_ADJUST_META, &[Ctx, Any], N, XDP),
    f(h::XDP_GET_BUFF_LEN, &[Ctx], N, XDP),
    f(h::XDP_LOAD_BYTES, &[Ctx, Any, MemOut, Size], N, XDP),
    f(h::XDP_STORE_BYTES, &[Ctx, Any, MemOut, Size], N, XDP),
    f(h::LWT_PUSH_ENCAP, &[Ctx, Any, Mem, Size], N, LWT | LWT_XMIT),
    // Sockets.
    f(
        h::GET_SOCKET_COOKIE,
        &[Ctx],
        N,
        FILTER | TC | CG_SKB | SOCK_ADDR | SOCK_OPS | SK_SKB | CG_SOCK,
    ),
    f(h::GET_SOCKET_UID, &[Ctx], N, FILTER | TC | CG_SKB | SK_SKB),
    f(
        h::GET_NETNS_COOKIE,
        &[CtxOrNull],
        N,
        FILTER | TC | CG_SKB | SOCK_ADDR | SOCK_OPS | CG_SOCK,
    ),
    f(
        h::SETSOCKOPT,
        &[Ctx, Any, Any, Mem, Size],
        N,
        SOCK_ADDR | SOCK_OPS,
    ),
    f(
        h::GETSOCKOPT,
        &[Ctx, Any, Any, MemOut, Size],
        N,
        SOCK_ADDR | SOCK_OPS,
    ),
    f(h::BIND, &[Ctx, Mem, Size], N, BIND),
    p(
        h::SK_LOOKUP_TCP,
        &[Ctx, Mem, Size, Any, Any],
        Ret::SockOrNull { acquire: true },
        TC | XDP | CG_SKB | SOCK_ADDR | SK_SKB,
    ),
    p(
        h::SK_LOOKUP_UDP,
        &[Ctx, Mem, Size, Any, Any],
        Ret::SockOrNull { acquire: true },
        TC | XDP | CG_SKB | SOCK_ADDR | SK_SKB,
    ),
    p(
        h::SKC_LOOKUP_TCP,
        &[Ctx, Mem, Size, Any, Any],
        Ret::SockCommonOrNull { acquire: true },
        TC | XDP | CG_SKB | SOCK_ADDR | SK_SKB,
    ),
    f(
        h::SK_RELEASE,
        &[SockRelease],
        N,
        TC | XDP | CG_SKB | SOCK_ADDR | SK_SKB,
    ),
    f(
        h::SK_FULLSOCK,
        &[SockCommon],
        Ret::SockOrNull { acquire: false },
        TC | CG_SKB,
    ),
    f(
        h::TCP_SOCK,
        &[SockCommon],
        Ret::TcpSockOrNull,
        TC | CG_SKB | SOCK_OPS,
    ),
    f(
        h::GET_LISTENER_SOCK,
        &[SockCommon],
        Ret::SockOrNull { acquire: false },
        TC | CG_SKB,
    ),
    // Control groups.
    f(h::GET_LOCAL_STORAGE, &[Map, Any], Ret::MapValue, CGROUP),
    f(h::SYSCTL_GET_NAME, &[Ctx, MemOut, Size, Any], N, SYSCTL),
    f(h::SYSCTL_GET_CURRENT_VALUE, &[Ctx, MemOut, Size], N, SYSCTL),
    f(h::SYSCTL_GET_NEW_VALUE, &[Ctx, MemOut, Size], N, SYSCTL),
    f(h::SYSCTL_SET_NEW_VALUE, &[Ctx, Mem, Size], N, SYSCTL),
];
