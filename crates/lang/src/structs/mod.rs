//! C types: structs, unions and enums from the kernel's BTF, from the script and from tracepoint formats.
//!
//! A struct of BTF is taken in only when a script names it, and its members only when one is asked for.

mod btf;
mod ctext;
mod layout;
mod names;
mod script;

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::types::{IntType, Space, Type};

pub(crate) use btf::BtfSource;
pub(crate) use names::{base_name, stack_mode_name};

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
    pub(crate) typedefs: HashMap<String, Type>,
    /// Names of structs and unions that the script defines somewhere: these are never the kernel's.
    pub(crate) own: HashSet<String>,
    /// Those of the script whose definition is complete.
    pub(crate) defined: HashSet<StructId>,
    pub(crate) btf_ids: HashMap<(Option<String>, u32), Type>,
}

/// A pointer to a struct; what it points to has no space of its own.
pub(crate) fn pointer_to(id: StructId, space: Space) -> Type {
    Type::pointer(Type::Struct(id, Space::None), space)
}

impl Structs {
    pub fn get(&self, id: StructId) -> &StructDef {
        &self.structs[id.0 as usize]
    }

    pub fn get_enum(&self, id: EnumId) -> &EnumDef {
        &self.enums[id.0 as usize]
    }

    /// Adds a struct whose members are known; a named one hides an earlier one of its name.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        size: u32,
        align: u32,
        fields: Vec<FieldDef>,
    ) -> StructId {
        let id = self.push(StructDef {
            name: name.into(),
            size,
            align,
            origin: Origin::Script,
            fields: OnceCell::from(Rc::from(fields)),
        });
        let name = self.get(id).name.clone();
        if !name.is_empty() {
            self.struct_names.insert(name, id);
        }
        id
    }

    pub(crate) fn push(&mut self, def: StructDef) -> StructId {
        self.structs.push(def);
        StructId(self.structs.len() as u32 - 1)
    }

    pub(crate) fn add_enum(&mut self, def: EnumDef) -> EnumId {
        let id = EnumId(self.enums.len() as u32);
        if !def.name.is_empty() {
            self.enum_names.insert(def.name.clone(), id);
        }
        self.enums.push(def);
        id
    }

    /// A struct or union by its name with the keyword, among those that are known already.
    pub(crate) fn named(&self, name: &str) -> Option<StructId> {
        self.struct_names.get(name).copied()
    }

    /// A type of C by its name, among those of the script: a typedef.
    pub(crate) fn typedef(&self, name: &str) -> Option<Type> {
        self.typedefs.get(name).cloned()
    }

    /// An enumerator of the enums that are known already.
    pub(crate) fn enumerator(&self, name: &str) -> Option<(EnumId, u64)> {
        self.enums.iter().enumerate().find_map(|(i, def)| {
            let (_, value) = def.variants.iter().find(|(n, _)| n == name)?;
            Some((EnumId(i as u32), *value))
        })
    }

    /// A member by name, through anonymous structs and unions, with its offset from the start of this struct.
    pub(crate) fn find_field(&self, id: StructId, name: &str) -> Option<FieldDef> {
        self.find_field_within(id, name, 16)
    }

    fn find_field_within(&self, id: StructId, name: &str, depth: u32) -> Option<FieldDef> {
        let fields = self.fields(id);
        if let Some(field) = fields.iter().find(|f| f.name == name) {
            return Some(field.clone());
        }
        let depth = depth.checked_sub(1)?;
        fields.iter().filter(|f| f.name.is_empty()).find_map(|f| {
            let Type::Struct(inner, _) = f.ty else {
                return None;
            };
            let mut found = self.find_field_within(inner, name, depth)?;
            found.offset = found.offset.saturating_add(f.offset);
            Some(found)
        })
    }

    /// The names of all members, those of anonymous structs included: what a misspelt one may have meant.
    pub(crate) fn field_names(&self, id: StructId) -> Vec<String> {
        let mut names = Vec::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if names.len() > 10_000 {
                break;
            }
            for field in self.fields(id) {
                match &field.ty {
                    Type::Struct(inner, _) if field.name.is_empty() => open.push(*inner),
                    _ => names.push(field.name.clone()),
                }
            }
        }
        names
    }

    /// The members, or none where they were never asked for.
    pub fn fields(&self, id: StructId) -> &[FieldDef] {
        self.get(id).fields.get().map_or(&[], |f| &f[..])
    }
}

impl Structs {
    /// Whether a struct was only ever named, never defined.
    pub(crate) fn is_declared_only(&self, id: StructId) -> bool {
        let def = self.get(id);
        def.origin == Origin::Script
            && def.size == 0
            && self.fields(id).is_empty()
            && !self.defined.contains(&id)
    }
}
