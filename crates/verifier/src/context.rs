//! What each kind of program may read and write in its context
//! (the structures of include/uapi/linux/bpf.h; `struct pt_regs` of x86-64).

use crate::program::{ProgramType, SockAddrCall, SockAddrFamily};

/// What a field of the context holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Number,
    Packet,
    PacketEnd,
    PacketMeta,
    FlowKeys,
    /// A socket of which only common fields are known, or null.
    SockCommonOrNull,
    Socket,
    /// Memory that a raw tracepoint lets programs write.
    Buffer,
}

/// An access: bytes from the start of the context, bytes, and whether it writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub off: u32,
    pub size: u32,
    pub write: bool,
}

impl Access {
    fn within(self, start: u32, end: u32) -> bool {
        self.off >= start && self.off + self.size <= end
    }

    /// Exactly a field.
    fn is(self, off: u32, size: u32) -> bool {
        self.off == off && self.size == size
    }

    fn touches(self, start: u32, end: u32) -> bool {
        self.off < end && self.off + self.size > start
    }

    fn aligned(self) -> bool {
        self.off.is_multiple_of(self.size)
    }
}

/// Bytes of `struct pt_regs`.
const PT_REGS: u32 = 168;
/// The most bytes of a tracepoint's record (`PERF_MAX_TRACE_SIZE`).
const TRACE_RECORD: u32 = 8192;
/// The most arguments of a traced function (`MAX_BPF_FUNC_ARGS`), 8 bytes each.
const RAW_ARGUMENTS: u32 = 96;

/// What the access gives, `None` if it is not allowed.
pub(crate) fn field(kind: ProgramType, a: Access) -> Option<Field> {
    if !a.aligned() {
        return None;
    }
    let number = |ok: bool| ok.then_some(Field::Number);
    match kind {
        ProgramType::Kprobe => number(!a.write && a.within(0, PT_REGS)),
        ProgramType::Tracepoint => number(!a.write && a.within(0, TRACE_RECORD)),
        ProgramType::RawTracepoint => number(!a.write && a.within(0, RAW_ARGUMENTS)),
        ProgramType::RawTracepointWritable => {
            if a.off == 0 && a.size == 8 && !a.write {
                Some(Field::Buffer)
            } else {
                number(!a.write && a.within(8, RAW_ARGUMENTS))
            }
        }
        ProgramType::PerfEvent => number(
            !a.write && (a.within(PT_REGS, PT_REGS + 16) || a.size == 8 && a.within(0, PT_REGS)),
        ),
        ProgramType::Syscall => number(a.within(0, u32::from(u16::MAX))),
        ProgramType::SocketFilter
        | ProgramType::TrafficControl
        | ProgramType::CgroupSkb
        | ProgramType::LwtIn
        | ProgramType::LwtOut
        | ProgramType::LwtXmit
        | ProgramType::LwtSeg6Local
        | ProgramType::SkSkb
        | ProgramType::FlowDissector => skb(kind, a),
        ProgramType::Xdp => xdp(a),
        ProgramType::CgroupSockAddr(hook) => sock_addr(hook.call, hook.family, a),
        ProgramType::CgroupSysctl => {
            number(a.within(0, 4) && !a.write || a.within(4, 8) && (!a.write || a.size == 4))
        }
        ProgramType::CgroupSock => {
            let writable = a.is(0, 4) || a.is(16, 4) || a.is(20, 4);
            if a.write {
                number(writable)
            } else {
                number(socket_field(a, true))
            }
        }
        ProgramType::SockOps => number(!a.write && a.size == 4 && a.within(0, 88)),
        ProgramType::CgroupSockopt | ProgramType::KernelOnly(_) => None,
    }
}

/// Offsets in `struct __sk_buff`.
mod sk {
    pub const MARK: u32 = 8;
    pub const QUEUE_MAPPING: u32 = 12;
    pub const PRIORITY: u32 = 32;
    pub const TC_INDEX: u32 = 44;
    pub const CB: u32 = 48;
    pub const CB_END: u32 = 68;
    pub const TC_CLASSID: u32 = 72;
    pub const DATA: u32 = 76;
    pub const DATA_END: u32 = 80;
    pub const FAMILY: u32 = 88;
    pub const LOCAL_PORT_END: u32 = 140;
    pub const DATA_META: u32 = 140;
    pub const FLOW_KEYS: u32 = 144;
    pub const TSTAMP: u32 = 152;
    pub const WIRE_LEN: u32 = 160;
    pub const SK: u32 = 168;
    pub const TSTAMP_TYPE: u32 = 180;
    pub const PADDING_END: u32 = 184;
    pub const HWTSTAMP: u32 = 184;
    pub const END: u32 = 192;
}

fn skb(kind: ProgramType, a: Access) -> Option<Field> {
    let tc = kind == ProgramType::TrafficControl;
    let cgroup = kind == ProgramType::CgroupSkb;
    let filter = kind == ProgramType::SocketFilter;
    let lwt = matches!(
        kind,
        ProgramType::LwtIn | ProgramType::LwtOut | ProgramType::LwtXmit | ProgramType::LwtSeg6Local
    );
    if !a.within(0, sk::END) {
        return None;
    }
    if kind == ProgramType::FlowDissector {
        return match (a.off, a.size, a.write) {
            (sk::DATA, 4, false) => Some(Field::Packet),
            (sk::DATA_END, 4, false) => Some(Field::PacketEnd),
            (sk::FLOW_KEYS, 8, false) => Some(Field::FlowKeys),
            _ => None,
        };
    }
    // Fields that hold pointers, and which kinds of programs have them.
    for (start, end, field, has) in [
        (sk::DATA, sk::DATA_END, Field::Packet, !filter),
        (sk::DATA_END, sk::DATA_END + 4, Field::PacketEnd, !filter),
        (sk::DATA_META, sk::DATA_META + 4, Field::PacketMeta, tc),
        (sk::SK, sk::SK + 8, Field::SockCommonOrNull, true),
    ] {
        if a.touches(start, end) {
            return (has && !a.write && a.is(start, end - start)).then_some(field);
        }
    }
    if a.touches(sk::FLOW_KEYS, sk::FLOW_KEYS + 8) {
        return None;
    }
    if a.touches(sk::CB, sk::CB_END) {
        return a.within(sk::CB, sk::CB_END).then_some(Field::Number);
    }
    let ok = if a.touches(sk::TSTAMP, sk::TSTAMP + 8) {
        a.is(sk::TSTAMP, 8) && (tc || cgroup)
    } else if a.touches(sk::HWTSTAMP, sk::END) {
        a.is(sk::HWTSTAMP, 8) && !a.write && (tc || cgroup)
    } else if a.touches(sk::TSTAMP_TYPE, sk::PADDING_END) {
        a.is(sk::TSTAMP_TYPE, 1) && !a.write && tc
    } else if a.touches(sk::FAMILY, sk::LOCAL_PORT_END) {
        // Addresses of the socket.
        !a.write && a.size == 4 && !tc && !lwt
    } else if a.touches(sk::TC_CLASSID, sk::TC_CLASSID + 4) {
        tc && (!a.write && a.size <= 4 || a.size == 4)
    } else if a.touches(sk::WIRE_LEN, sk::WIRE_LEN + 4) {
        tc && !a.write && a.size <= 4
    } else if a.write {
        a.size == 4
            && match a.off {
                sk::MARK | sk::PRIORITY => tc || cgroup || lwt,
                sk::TC_INDEX | sk::QUEUE_MAPPING => tc,
                _ => false,
            }
    } else {
        a.size <= 4
    };
    ok.then_some(Field::Number)
}

fn xdp(a: Access) -> Option<Field> {
    if a.write || a.size != 4 {
        return None;
    }
    match a.off {
        0 => Some(Field::Packet),
        4 => Some(Field::PacketEnd),
        8 => Some(Field::PacketMeta),
        12 | 16 => Some(Field::Number),
        _ => None,
    }
}

fn sock_addr(call: SockAddrCall, family: SockAddrFamily, a: Access) -> Option<Field> {
    let (v4, v6) = (family == SockAddrFamily::V4, family == SockAddrFamily::V6);
    let send = call == SockAddrCall::SendMsg;
    let narrow_or_whole = !a.write && a.size <= 4 || a.size == 4;
    let ok = if a.within(4, 8) {
        v4 && narrow_or_whole
    } else if a.within(8, 24) {
        v6 && (narrow_or_whole || a.size == 8)
    } else if a.within(24, 28) {
        narrow_or_whole
    } else if a.within(40, 44) {
        v4 && send && narrow_or_whole
    } else if a.within(44, 60) {
        v6 && send && (narrow_or_whole || a.size == 8)
    } else if a.is(64, 8) && !a.write {
        return Some(Field::Socket);
    } else {
        !a.write && a.size == 4 && (a.within(0, 4) || a.within(28, 40))
    };
    ok.then_some(Field::Number)
}

/// Whether a field of `struct bpf_sock` can be read; `full` if the socket is more than its common part.
pub(crate) fn socket_field(a: Access, full: bool) -> bool {
    if a.write || !a.aligned() || !a.within(0, 80) || !full && a.touches(8, 24) {
        return false;
    }
    match a.off {
        // Device, mark and priority are read whole.
        0..4 | 16..24 => a.size == 4,
        // Family, type, protocol, source port, state and queue: from their start.
        4..16 | 44..48 | 72..80 => a.off.is_multiple_of(4) && a.size <= 4,
        // The destination port has 16 bits; a load of 32 is still allowed.
        48..52 => a.within(48, 50) || a.is(48, 4),
        // Addresses.
        _ => a.size <= 4,
    }
}

/// Whether a field of `struct bpf_tcp_sock` can be read: numbers of 32 bits but for two of 64.
pub(crate) fn tcp_socket_field(a: Access) -> bool {
    let wide = a.touches(80, 96);
    !a.write && a.aligned() && a.within(0, 112) && a.size == if wide { 8 } else { 4 }
}

/// The least and the most that the program may return, if there is a rule.
pub(crate) fn return_range(kind: ProgramType) -> Option<(i64, i64)> {
    Some(match kind {
        ProgramType::CgroupSkb
        | ProgramType::CgroupSock
        | ProgramType::SockOps
        | ProgramType::CgroupSysctl
        | ProgramType::CgroupSockopt => (0, 1),
        ProgramType::CgroupSockAddr(hook) => match hook.call {
            SockAddrCall::RecvMsg | SockAddrCall::GetPeerName | SockAddrCall::GetSockName => (1, 1),
            SockAddrCall::Bind if hook.family != SockAddrFamily::Unix => (0, 3),
            _ => (0, 1),
        },
        _ => return None,
    })
}

/// Whether the program may look into packets through pointers, and write there.
pub(crate) fn packet_access(kind: ProgramType, write: bool) -> bool {
    match kind {
        ProgramType::TrafficControl
        | ProgramType::Xdp
        | ProgramType::LwtXmit
        | ProgramType::SkSkb => true,
        ProgramType::LwtIn
        | ProgramType::LwtOut
        | ProgramType::LwtSeg6Local
        | ProgramType::FlowDissector
        | ProgramType::CgroupSkb => !write,
        _ => false,
    }
}
