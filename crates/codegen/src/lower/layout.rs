//! How values of the language's types lie in memory.

use std::sync::Arc;

use beetrace_isa::Size;
use beetrace_lang::structs::StructId;
use beetrace_lang::types::{IntType, Type};
use beetrace_object::{Aggregate, BitField, EnumLayout, Layout, Member, StackLayout};

use super::Unit;

/// What an expression of a type is to the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repr {
    /// Nothing.
    Void,
    /// A number in a register, extended to 64 bits by its sign.
    Scalar { size: Size, signed: bool },
    /// So many bytes in memory.
    Memory(u32),
}

const WORD: Repr = Repr::Scalar {
    size: Size::B8,
    signed: false,
};

fn int(t: IntType) -> Repr {
    let size = match t.bits {
        8 => Size::B1,
        16 => Size::B2,
        32 => Size::B4,
        _ => Size::B8,
    };
    Repr::Scalar {
        size,
        signed: t.signed,
    }
}

/// Members one behind the other as C lays them out: offsets, size, alignment.
pub(super) fn c_layout(members: impl Iterator<Item = (u32, u32)>) -> (Vec<u32>, u32, u32) {
    let mut end: u32 = 0;
    let mut most = 1;
    let offsets = members
        .map(|(size, align)| {
            let align = align.max(1);
            most = most.max(align);
            let at = end.checked_next_multiple_of(align).unwrap_or(u32::MAX);
            end = at.saturating_add(size);
            at
        })
        .collect();
    let size = end.checked_next_multiple_of(most).unwrap_or(u32::MAX);
    (offsets, size, most)
}

impl<'p> Unit<'p> {
    pub(super) fn repr(&self, ty: &Type) -> Repr {
        match ty {
            Type::Void => Repr::Void,
            Type::Bool => Repr::Scalar {
                size: Size::B1,
                signed: false,
            },
            Type::Int(t) | Type::Enum(_, t) => int(*t),
            Type::Pointer(..)
            | Type::Ksym
            | Type::CgroupPath(_)
            | Type::Username
            | Type::Count
            | Type::Sum(_) => WORD,
            _ => Repr::Memory(self.size_of(ty)),
        }
    }

    /// In bytes; of a value that is kept a processor, one processor's.
    pub(super) fn size_of(&self, ty: &Type) -> u32 {
        match ty {
            Type::Void => 0,
            Type::Bool => 1,
            Type::Int(t) | Type::Enum(_, t) => t.bytes(),
            Type::Str(n) => *n,
            Type::Buf(n) => n.saturating_add(4),
            Type::Array(of, n) => self.size_of(of).saturating_mul(*n),
            Type::Tuple(of) => self.tuple(of.iter()).1,
            Type::Record(of) => self.tuple(of.iter().map(|(_, t)| t)).1,
            Type::Struct(id, _) => self.program.structs.get(*id).size,
            Type::Pointer(..)
            | Type::Ksym
            | Type::CgroupPath(_)
            | Type::Username
            | Type::Count
            | Type::Sum(_) => 8,
            Type::Stack(_)
            | Type::Usym
            | Type::Timestamp(_)
            | Type::Min(_)
            | Type::Max(_)
            | Type::Avg(_)
            | Type::Stats(_) => 16,
            Type::Inet => 20,
            Type::Mac => 6,
            Type::Hist(h) => h.0.buckets().saturating_mul(8),
            Type::TSeries(t) => t.0.buckets.saturating_mul(32),
        }
    }

    pub(super) fn align_of(&self, ty: &Type) -> u32 {
        match ty {
            Type::Void | Type::Bool | Type::Str(_) | Type::Mac => 1,
            Type::Int(t) | Type::Enum(_, t) => t.bytes().max(1),
            Type::Buf(_) | Type::Inet => 4,
            Type::Array(of, _) => self.align_of(of),
            Type::Tuple(of) => self.tuple(of.iter()).2,
            Type::Record(of) => self.tuple(of.iter().map(|(_, t)| t)).2,
            _ => 8,
        }
    }

    /// Offsets of the members of a tuple, its size and its alignment.
    pub(super) fn tuple<'t>(
        &self,
        members: impl Iterator<Item = &'t Type>,
    ) -> (Vec<u32>, u32, u32) {
        c_layout(members.map(|t| (self.size_of(t), self.align_of(t))))
    }

    /// What user space is told of a type.
    pub(super) fn layout(&mut self, ty: &Type) -> Layout {
        match ty {
            Type::Void => Layout::Unit,
            Type::Bool => Layout::Bool,
            Type::Int(t) => Layout::Int {
                size: t.bytes() as u8,
                signed: t.signed,
            },
            Type::Enum(id, t) => {
                let def = self.program.structs.get_enum(*id);
                Layout::Enum(Arc::new(EnumLayout {
                    name: def.name.clone(),
                    size: t.bytes() as u8,
                    signed: t.signed,
                    variants: def
                        .variants
                        .iter()
                        .map(|(name, value)| (*value, name.clone()))
                        .collect(),
                }))
            }
            Type::Str(n) => Layout::Str { size: *n },
            Type::Buf(n) => Layout::Buf { capacity: *n },
            Type::Pointer(to, _) => Layout::Pointer {
                to: self.c_name(to).into(),
            },
            Type::Array(of, n) => Layout::Array {
                of: Box::new(self.layout(of)),
                len: *n,
            },
            Type::Tuple(of) => {
                Layout::Tuple(self.aggregate(of.iter().map(|t| (String::new(), t.clone()))))
            }
            Type::Record(of) => Layout::Record(self.aggregate(of.iter().cloned())),
            Type::Struct(id, _) => Layout::Struct(self.structure(*id)),
            Type::Stack(stack) => Layout::Stack(StackLayout {
                user: stack.user,
                mode: stack.mode,
                limit: stack.limit,
                frames: self.frames_map(*stack),
            }),
            Type::Ksym => Layout::Ksym,
            Type::Usym => Layout::Usym,
            Type::Inet => Layout::Inet,
            Type::Mac => Layout::Mac,
            Type::Timestamp(format) => Layout::Timestamp {
                format: format.clone(),
            },
            Type::CgroupPath(filter) => Layout::CgroupPath {
                filter: filter.clone(),
            },
            Type::Username => Layout::Username,
            Type::Count => Layout::Count,
            Type::Sum(s) => Layout::Sum {
                signed: s.is_signed(),
            },
            Type::Min(s) => Layout::Min {
                signed: s.is_signed(),
            },
            Type::Max(s) => Layout::Max {
                signed: s.is_signed(),
            },
            Type::Avg(s) => Layout::Avg {
                signed: s.is_signed(),
            },
            Type::Stats(s) => Layout::Stats {
                signed: s.is_signed(),
            },
            Type::Hist(h) => Layout::Hist(h.0),
            Type::TSeries(t) => Layout::TSeries(t.0),
        }
    }

    /// Members laid out as those of a C struct.
    pub(super) fn aggregate(
        &mut self,
        members: impl Iterator<Item = (String, Type)>,
    ) -> Arc<Aggregate> {
        let members: Vec<(String, Type)> = members.collect();
        let (offsets, size, _) = self.tuple(members.iter().map(|(_, t)| t));
        let members = members
            .into_iter()
            .zip(offsets)
            .map(|((name, ty), offset)| Member {
                name,
                offset,
                layout: self.layout(&ty),
                bits: None,
            })
            .collect();
        Arc::new(Aggregate {
            name: String::new(),
            size,
            members,
        })
    }

    fn structure(&mut self, id: StructId) -> Arc<Aggregate> {
        let structs = self.program.structs.clone();
        let def = structs.get(id);
        let members = structs
            .fields(id)
            .iter()
            .map(|field| Member {
                name: field.name.clone(),
                offset: field.offset,
                layout: self.layout(&field.ty),
                bits: field.bits.map(|b| BitField {
                    shift: b.shift,
                    width: b.width,
                }),
            })
            .collect();
        Arc::new(Aggregate {
            name: def.name.clone(),
            size: def.size,
            members,
        })
    }

    /// The type as C spells it.
    fn c_name(&self, ty: &Type) -> String {
        match ty {
            Type::Void => "void".into(),
            Type::Bool => "bool".into(),
            Type::Int(t) => t.to_string(),
            Type::Enum(id, _) => self.program.structs.get_enum(*id).name.clone(),
            Type::Struct(id, _) => self.program.structs.get(*id).name.clone(),
            Type::Pointer(to, _) => format!("{} *", self.c_name(to)),
            Type::Array(of, n) => format!("{}[{n}]", self.c_name(of)),
            Type::Str(n) => format!("string[{n}]"),
            Type::Buf(n) => format!("buffer[{n}]"),
            _ => String::new(),
        }
    }
}
