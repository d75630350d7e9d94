//! What BTF and section names say: maps, functions, kinds of programs.

use anyhow::{Context as _, Result};
use beetrace_btf::{Btf, Kind, Linkage, Type, TypeId};
use beetrace_verifier::{
    ArgumentType, FunctionLinkage, MapAccess, MapDef, ProgramType, SockAddrCall, SockAddrFamily,
    SockAddrHook,
};

/// Flags of a map (`BPF_F_RDONLY_PROG`, `BPF_F_WRONLY_PROG`).
const RDONLY_PROG: u32 = 1 << 7;
const WRONLY_PROG: u32 = 1 << 8;

/// The type without typedefs and qualifiers.
fn plain(btf: &Btf, mut id: TypeId) -> Option<(TypeId, Type<'_>)> {
    for _ in 0..32 {
        let ty = btf.get(id).ok()?;
        id = match ty {
            Type::Typedef { target, .. }
            | Type::Volatile { target }
            | Type::Const { target }
            | Type::Restrict { target }
            | Type::TypeTag { target, .. } => target,
            _ => return Some((id, ty)),
        };
    }
    None
}

fn size_of(btf: &Btf, id: TypeId) -> Option<u32> {
    let (_, ty) = plain(btf, id)?;
    Some(match ty {
        Type::Int(i) => i.size,
        Type::Ptr { .. } => 8,
        Type::Struct(s) | Type::Union(s) => s.size,
        Type::Enum(e) | Type::Enum64(e) => e.size,
        Type::Float { size, .. } => size,
        Type::Array(a) => size_of(btf, a.elem)?.checked_mul(a.len)?,
        _ => return None,
    })
}

/// The maps that a `.maps` section defines, with their names.
pub fn maps(btf: &Btf, section: TypeId) -> Result<Vec<(String, MapDef)>> {
    let Type::DataSec(section) = btf.get(section)? else {
        return Ok(Vec::new());
    };
    let mut out = Vec::new();
    for var in section.vars() {
        let Type::Var(var) = btf.get(var.var)? else {
            continue;
        };
        let def = map(btf, var.name, var.type_id).context("a map definition that is no struct")?;
        out.push((var.name.to_owned(), def));
    }
    Ok(out)
}

fn map(btf: &Btf, name: &str, id: TypeId) -> Option<MapDef> {
    let (_, Type::Struct(s)) = plain(btf, id)? else {
        return None;
    };
    let mut def = MapDef::new(name, 0, 0, 0, 0);
    for member in s.members() {
        let pointee = || match plain(btf, member.type_id)?.1 {
            Type::Ptr { target } => Some(target),
            _ => None,
        };
        // A number is the length of an array that the member points to.
        let number = || match plain(btf, pointee()?)?.1 {
            Type::Array(a) => Some(a.len),
            _ => None,
        };
        match member.name {
            "type" => def.kind = number()?,
            "max_entries" => def.max_entries = number()?,
            "key_size" => def.key_size = number()?,
            "value_size" => def.value_size = number()?,
            "map_flags" => {
                let flags = number()?;
                if flags & RDONLY_PROG != 0 {
                    def.access = MapAccess::ReadOnly;
                } else if flags & WRONLY_PROG != 0 {
                    def.access = MapAccess::WriteOnly;
                }
            }
            "key" => def.key_size = size_of(btf, pointee()?)?,
            "value" => {
                let value = pointee()?;
                def.value_size = size_of(btf, value)?;
                def.has_btf = true;
                special_fields(btf, value, 0, &mut def);
            }
            "values" => {
                if let Type::Array(a) = plain(btf, member.type_id)?.1
                    && let Type::Ptr { target } = plain(btf, a.elem)?.1
                    && let Some(inner) = map(btf, name, target)
                {
                    def.inner = Some(Box::new(inner));
                    def.value_size = 4;
                }
            }
            _ => {}
        }
    }
    Some(def)
}

/// Fields that only helpers may touch.
fn special_fields(btf: &Btf, id: TypeId, base: u32, def: &mut MapDef) {
    let Some((_, Type::Struct(s))) = plain(btf, id) else {
        return;
    };
    match s.name {
        "bpf_spin_lock" => def.spin_lock = Some(base),
        "bpf_timer" | "bpf_wq" | "bpf_list_head" | "bpf_rb_root" | "bpf_dynptr" => {
            def.special.push((base, s.size));
        }
        _ => {
            for m in s.members() {
                special_fields(btf, m.type_id, base + m.bit_offset / 8, def);
            }
        }
    }
}

/// How a function is verified.
pub fn linkage(btf: Option<&Btf>, name: &str, is_static: bool) -> FunctionLinkage {
    let id = btf.and_then(|btf| btf.find(Kind::Func, name));
    let proto = btf.zip(id).and_then(|(btf, id)| {
        let Type::Func(f) = btf.get(id).ok()? else {
            return None;
        };
        if is_static || f.linkage != Linkage::Global {
            return None;
        }
        match btf.get(f.proto).ok()? {
            Type::FuncProto(p) => Some((btf, p)),
            _ => None,
        }
    });
    let Some((btf, proto)) = proto else {
        return FunctionLinkage::Static;
    };
    FunctionLinkage::Global {
        arguments: proto
            .params()
            .enumerate()
            .map(|(i, p)| match argument(btf, p.type_id) {
                ArgumentType::Memory { size, .. } => ArgumentType::Memory {
                    size,
                    nonnull: id.is_some_and(|id| has_tag(btf, id, i, "arg:nonnull")),
                },
                other => other,
            })
            .collect(),
        returns: !proto.ret.is_void(),
    }
}

/// Whether BTF says that the function gives an integer.
pub fn returns_int(btf: Option<&Btf>, name: &str) -> bool {
    let result = btf.and_then(|btf| {
        let Type::Func(f) = btf.get(btf.find(Kind::Func, name)?).ok()? else {
            return None;
        };
        match btf.get(f.proto).ok()? {
            Type::FuncProto(p) => Some(plain(btf, p.ret)?.1),
            _ => None,
        }
    });
    matches!(result, Some(Type::Int(_)))
}

/// Whether an argument of the function carries the declaration tag.
fn has_tag(btf: &Btf, function: TypeId, argument: usize, tag: &str) -> bool {
    btf.types().any(|(_, ty)| {
        matches!(ty, Type::DeclTag(t)
            if t.target == function && t.component == Some(argument as u32) && t.name == tag)
    })
}

fn argument(btf: &Btf, id: TypeId) -> ArgumentType {
    match plain(btf, id) {
        Some((_, Type::Int(_) | Type::Enum(_) | Type::Enum64(_))) => ArgumentType::Scalar,
        Some((_, Type::Ptr { target })) => {
            let name = btf.type_name(target).to_string();
            let context = [
                "__sk_buff",
                "xdp_md",
                "bpf_sock_addr",
                "pt_regs",
                "bpf_perf_event_data",
            ];
            if context.iter().any(|c| name.ends_with(c)) {
                return ArgumentType::Context;
            }
            match size_of(btf, target) {
                Some(size) if !name.contains("task_struct") => ArgumentType::Memory {
                    size,
                    nonnull: false,
                },
                _ => ArgumentType::Unsupported(name),
            }
        }
        _ => ArgumentType::Unsupported("unknown".into()),
    }
}

/// The kind of program that a section name means.
pub fn program_type(section: &str) -> ProgramType {
    let section = section.trim_start_matches('?');
    if let Some(hook) = section.strip_prefix("cgroup/").and_then(sock_addr) {
        return ProgramType::CgroupSockAddr(hook);
    }
    let first = section.split('/').next().unwrap_or("");
    match first {
        "socket" => ProgramType::SocketFilter,
        "kprobe" | "kretprobe" | "uprobe" | "uprobe.s" | "uretprobe" => ProgramType::Kprobe,
        "tc" | "tcx" | "classifier" | "action" => ProgramType::TrafficControl,
        "tracepoint" | "tp" => ProgramType::Tracepoint,
        "xdp" => ProgramType::Xdp,
        "perf_event" => ProgramType::PerfEvent,
        "raw_tp" | "raw_tracepoint" => ProgramType::RawTracepoint,
        "raw_tp.w" | "raw_tracepoint.w" => ProgramType::RawTracepointWritable,
        "lwt_in" => ProgramType::LwtIn,
        "lwt_out" => ProgramType::LwtOut,
        "lwt_xmit" => ProgramType::LwtXmit,
        "lwt_seg6local" => ProgramType::LwtSeg6Local,
        "sockops" => ProgramType::SockOps,
        "flow_dissector" => ProgramType::FlowDissector,
        "syscall" => ProgramType::Syscall,
        "cgroup" | "cgroup_skb" => match section.split('/').nth(1) {
            Some("sysctl") => ProgramType::CgroupSysctl,
            Some("sock" | "sock_create" | "sock_release" | "post_bind4" | "post_bind6") => {
                ProgramType::CgroupSock
            }
            Some("getsockopt" | "setsockopt") => ProgramType::CgroupSockopt,
            Some("skb" | "ingress" | "egress") => ProgramType::CgroupSkb,
            _ => ProgramType::KernelOnly("cgroup"),
        },
        "lsm" | "lsm.s" => ProgramType::KernelOnly("lsm"),
        "netfilter" => ProgramType::KernelOnly("netfilter"),
        "iter" | "iter.s" => ProgramType::KernelOnly("iterator"),
        _ => ProgramType::KernelOnly("tracing"),
    }
}

fn sock_addr(hook: &str) -> Option<SockAddrHook> {
    let (call, rest) = [
        ("bind", SockAddrCall::Bind),
        ("connect", SockAddrCall::Connect),
        ("sendmsg", SockAddrCall::SendMsg),
        ("recvmsg", SockAddrCall::RecvMsg),
        ("getpeername", SockAddrCall::GetPeerName),
        ("getsockname", SockAddrCall::GetSockName),
    ]
    .iter()
    .find_map(|(name, call)| Some((*call, hook.strip_prefix(name)?)))?;
    let family = match rest {
        "4" => SockAddrFamily::V4,
        "6" => SockAddrFamily::V6,
        "_unix" => SockAddrFamily::Unix,
        _ => return None,
    };
    Some(SockAddrHook { call, family })
}
