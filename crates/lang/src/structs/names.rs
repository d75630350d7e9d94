//! What types are called in messages, by `typeinfo`, and in printed structs.

use crate::structs::Structs;
use crate::types::{Signedness, StackMode, StackType, Type};

impl Structs {
    /// The type's full name: `int64`, `string[16]`, `struct task_struct *`, `(int8,string[3])`.
    pub fn type_name(&self, ty: &Type) -> String {
        match ty {
            Type::Int(t) => t.to_string(),
            Type::Enum(id, t) => match self.enums.get(id.0 as usize) {
                Some(def) => format!("enum {}", def.name),
                None => t.to_string(),
            },
            Type::Str(0) => "string".into(),
            Type::Str(n) => format!("string[{n}]"),
            Type::Buf(n) => format!("buffer[{}]", n.saturating_add(4)),
            Type::Inet => "inet[24]".into(),
            Type::Pointer(to, _) => format!("{} *", self.type_name(to)),
            Type::Array(of, n) => format!("{}[{n}]", self.type_name(of)),
            Type::Struct(id, _) => self.struct_name(*id),
            Type::Tuple(elements) => {
                let names: Vec<_> = elements.iter().map(|t| self.type_name(t)).collect();
                format!("({})", names.join(","))
            }
            Type::Record(members) => {
                let names: Vec<_> = members
                    .iter()
                    .map(|(n, t)| format!(".{n} = {}", self.type_name(t)))
                    .collect();
                format!("record {{ {} }}", names.join(", "))
            }
            Type::Stack(stack) => stack_name(stack),
            Type::Sum(s) | Type::Min(s) | Type::Max(s) | Type::Avg(s) | Type::Stats(s) => {
                let prefix = match s {
                    Signedness::Signed => "",
                    Signedness::Unsigned => "u",
                };
                format!("{prefix}{}", base_name(ty))
            }
            ty => base_name(ty).into(),
        }
    }

    fn struct_name(&self, id: super::StructId) -> String {
        let def = self.get(id);
        if !def.name.is_empty() {
            return def.name.clone();
        }
        let fields: Vec<_> = self
            .fields(id)
            .iter()
            .map(|f| self.type_name(&f.ty))
            .collect();
        format!("struct {{{}}}", fields.join(","))
    }
}

/// The kind of the type: `int`, `pointer`, `string`.
pub(crate) fn base_name(ty: &Type) -> &'static str {
    match ty {
        Type::Void => "void",
        Type::Bool => "bool",
        Type::Int(_) | Type::Enum(..) => "int",
        Type::Str(_) => "string",
        Type::Buf(_) => "buffer",
        Type::Pointer(..) => "pointer",
        Type::Array(..) => "array",
        Type::Tuple(_) => "tuple",
        Type::Record(_) => "record",
        Type::Struct(..) => "c_type",
        Type::Stack(StackType { user: true, .. }) => "ustack",
        Type::Stack(_) => "kstack",
        Type::Ksym => "ksym_t",
        Type::Usym => "usym_t",
        Type::Inet => "inet",
        Type::Mac => "mac_address",
        Type::Timestamp(_) => "timestamp",
        Type::CgroupPath(_) => "cgroup_path_t",
        Type::Username => "username_t",
        Type::Count => "count_t",
        Type::Sum(_) => "sum_t",
        Type::Min(_) => "min_t",
        Type::Max(_) => "max_t",
        Type::Avg(_) => "avg_t",
        Type::Stats(_) => "stats_t",
        Type::Hist(h) => match h.0 {
            crate::types::Histogram::Log2 { .. } => "hist_t",
            crate::types::Histogram::Linear { .. } => "lhist_t",
        },
        Type::TSeries(_) => "tseries_t",
    }
}

pub(crate) fn stack_mode_name(mode: StackMode) -> &'static str {
    match mode {
        StackMode::Bpftrace => "bpftrace",
        StackMode::Perf => "perf",
        StackMode::Raw => "raw",
        StackMode::BuildId => "build_id",
    }
}

fn stack_name(stack: &StackType) -> String {
    format!(
        "{}_{}_{}",
        if stack.user { "ustack" } else { "kstack" },
        stack_mode_name(stack.mode),
        stack.limit
    )
}
