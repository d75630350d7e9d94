//! C types: structs, unions and enums from the kernel's BTF, from the script and from tracepoint formats.
//!
//! A struct of BTF is taken in only when a script names it, and its members only when one is asked for.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::types::{IntType, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StructId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnumId(pub u32);

/// A struct or union.
#[derive(Debug)]
pub struct StructDef {
    /// With its keyword, as C spells it: `struct task_struct`. Empty where anonymous.
    pub name: String,
    /// In bytes; zero for a struct that is only declared.
    pub size: u32,
    pub align: u32,
    /// Where the members come from.
    pub origin: Origin,
    /// Filled on first use; anonymous members are kept, with an empty name.
    pub fields: OnceCell<Rc<[FieldDef]>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Defined in the script, or made up for arguments; `fields` is filled.
    Script,
    /// A type of BTF: the module (`None` for vmlinux) and the type's id.
    Btf {
        module: Option<String>,
        type_id: u32,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct FieldDef {
    /// Empty for an anonymous struct or union.
    pub name: String,
    pub ty: Type,
    /// In bytes from the start of the struct.
    pub offset: u32,
    pub bits: Option<BitField>,
    /// A tracepoint's `__data_loc`: the field holds where the real array lies, in the low 16 bits as an offset from the record's start.
    pub data_loc: bool,
}

/// A bit field: `width` bits from bit `shift` of the little-endian number of the field's type at the field's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BitField {
    pub shift: u32,
    pub width: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EnumDef {
    pub name: String,
    pub ty: IntType,
    /// Values as 64-bit patterns, sign-extended where signed.
    pub variants: Vec<(String, u64)>,
}

/// All C types that a script has touched.
#[derive(Debug, Default)]
pub struct Structs {
    pub(crate) structs: Vec<StructDef>,
    pub(crate) enums: Vec<EnumDef>,
    pub(crate) struct_names: HashMap<String, StructId>,
    pub(crate) enum_names: HashMap<String, EnumId>,
    pub(crate) btf_ids: HashMap<(Option<String>, u32), Type>,
}

impl Structs {
    pub fn get(&self, id: StructId) -> &StructDef {
        &self.structs[id.0 as usize]
    }

    pub fn get_enum(&self, id: EnumId) -> &EnumDef {
        &self.enums[id.0 as usize]
    }

    /// The members, or none where they were never asked for.
    pub fn fields(&self, id: StructId) -> &[FieldDef] {
        self.get(id).fields.get().map_or(&[], |f| &f[..])
    }
}
