//! C types of the kernel and its modules, from their BTF.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use beetrace_btf::{Btf, Kind, Type as BtfType, TypeId};
use beetrace_probes::World;

use crate::structs::{BitField, EnumDef, FieldDef, Origin, StructDef, StructId, Structs};
use crate::types::{IntType, Space, Type};

/// More pointers, arrays and modifiers than this one behind the other are a circle.
const DEPTH: u32 = 32;

/// Where BTF comes from: the kernel's first, then that of the modules.
pub(crate) struct BtfSource<'w> {
    pub(crate) world: &'w dyn World,
}

impl BtfSource<'_> {
    fn open(&self, module: Option<&str>) -> Option<Arc<Btf>> {
        match module {
            None => self.world.btf().cloned(),
            Some(module) => self.world.module_btf(module),
        }
    }

    /// A named type, and the module that has it.
    fn find(&self, kinds: &[Kind], name: &str) -> Option<(Option<String>, TypeId)> {
        let search = |btf: &Btf| kinds.iter().find_map(|&kind| btf.find(kind, name));
        if let Some(id) = search(self.world.btf()?) {
            return Some((None, id));
        }
        self.world.modules().into_iter().find_map(|module| {
            let id = search(&*self.world.module_btf(&module)?)?;
            Some((Some(module), id))
        })
    }
}

/// The integer type of that many bytes; BTF may claim any number.
fn int_type(bytes: u32, signed: bool) -> Option<IntType> {
    let bits = match bytes {
        1 => 8,
        2 => 16,
        4 => 32,
        8 => 64,
        _ => return None,
    };
    Some(IntType { bits, signed })
}

impl Structs {
    /// A struct or union of BTF by its name without the keyword.
    pub(crate) fn btf_struct(
        &mut self,
        source: &BtfSource<'_>,
        is_union: bool,
        name: &str,
    ) -> Option<StructId> {
        let kind = if is_union { Kind::Union } else { Kind::Struct };
        let (module, id) = source.find(&[kind], name)?;
        match self.btf_type(source, module.as_deref(), id) {
            Type::Struct(id, _) => Some(id),
            _ => None,
        }
    }

    /// What a bare name means in C: a typedef or a basic type.
    pub(crate) fn btf_named(&mut self, source: &BtfSource<'_>, name: &str) -> Option<Type> {
        let (module, id) = source.find(&[Kind::Typedef, Kind::Int], name)?;
        Some(self.btf_type(source, module.as_deref(), id))
    }

    pub(crate) fn btf_enum(&mut self, source: &BtfSource<'_>, name: &str) -> Option<Type> {
        let (module, id) = source.find(&[Kind::Enum, Kind::Enum64], name)?;
        Some(self.btf_type(source, module.as_deref(), id))
    }

    /// An enumerator of the kernel: its type and value.
    pub(crate) fn btf_enumerator(
        &mut self,
        source: &BtfSource<'_>,
        name: &str,
    ) -> Option<(Type, i128)> {
        let btf = source.open(None)?;
        let (id, value) = btf.enumerator(name)?;
        let ty = self.btf_type(source, None, id);
        let unsigned = ty.as_int().is_some_and(|t| !t.signed);
        Some((
            ty,
            if unsigned {
                i128::from(value as u64)
            } else {
                i128::from(value)
            },
        ))
    }

    /// A global variable's type and the id of its BTF record.
    pub(crate) fn btf_variable(
        &mut self,
        source: &BtfSource<'_>,
        name: &str,
    ) -> Option<(Type, u32)> {
        let (module, id) = source.find(&[Kind::Var], name)?;
        let btf = source.open(module.as_deref())?;
        let BtfType::Var(var) = btf.get(id).ok()? else {
            return None;
        };
        Some((self.btf_type(source, module.as_deref(), var.type_id), id.0))
    }

    /// The type of that id; what the language has no type for is `void`.
    pub(crate) fn btf_type(
        &mut self,
        source: &BtfSource<'_>,
        module: Option<&str>,
        id: TypeId,
    ) -> Type {
        match source.open(module) {
            Some(btf) => self.convert(&btf, module, id, DEPTH),
            None => Type::Void,
        }
    }

    fn convert(&mut self, btf: &Btf, module: Option<&str>, id: TypeId, depth: u32) -> Type {
        let Some(depth) = depth.checked_sub(1) else {
            return Type::Void;
        };
        let Ok(id) = btf.resolve(id) else {
            return Type::Void;
        };
        let key = (module.map(str::to_owned), id.0);
        if let Some(known) = self.btf_ids.get(&key) {
            return known.clone();
        }
        let Ok(btf_type) = btf.get(id) else {
            return Type::Void;
        };
        let ty = match btf_type {
            BtfType::Int(int) if int.encoding.bool => Type::Bool,
            BtfType::Int(int) => match int_type(int.size, int.encoding.signed) {
                Some(ty) => Type::Int(ty),
                None => Type::Array(Box::new(Type::U64), int.size / 8),
            },
            BtfType::Ptr { target } => {
                let space = if is_user(btf, target) {
                    Space::User
                } else {
                    Space::None
                };
                Type::pointer(self.convert(btf, module, target, depth), space)
            }
            BtfType::Array(array) => {
                let of = self.convert(btf, module, array.elem, depth);
                match of {
                    // Bytes are text until a script says otherwise with a cast.
                    Type::Int(t) if t.bits == 8 && array.len > 0 => Type::Str(array.len),
                    of => Type::Array(Box::new(of), array.len),
                }
            }
            BtfType::Struct(c) => {
                let name = (!c.name.is_empty()).then(|| format!("struct {}", c.name));
                self.adopt(btf, &key, name, c.size)
            }
            BtfType::Union(c) => {
                let name = (!c.name.is_empty()).then(|| format!("union {}", c.name));
                self.adopt(btf, &key, name, c.size)
            }
            BtfType::Fwd { name, union } => {
                let keyword = if union { "union" } else { "struct" };
                self.declare(&format!("{keyword} {name}"))
            }
            BtfType::Enum(e) | BtfType::Enum64(e) => match int_type(e.size, e.signed) {
                Some(ty) if e.name.is_empty() => Type::Int(ty),
                Some(ty) => {
                    let variants = e
                        .enumerators()
                        .map(|v| (v.name.to_owned(), v.value as u64))
                        .collect();
                    Type::Enum(
                        self.add_enum(EnumDef {
                            name: e.name.to_owned(),
                            ty,
                            variants,
                        }),
                        ty,
                    )
                }
                None => Type::Void,
            },
            _ => Type::Void,
        };
        self.btf_ids.insert(key, ty.clone());
        ty
    }

    /// A struct that is declared and never defined: it has no size.
    pub(crate) fn declare(&mut self, name: &str) -> Type {
        if let Some(id) = self.named(name) {
            return Type::Struct(id, Space::None);
        }
        Type::Struct(self.add(name, 0, 1, Vec::new()), Space::None)
    }

    fn adopt(
        &mut self,
        btf: &Btf,
        key: &(Option<String>, u32),
        name: Option<String>,
        size: u32,
    ) -> Type {
        // The script's own definition of a name is the one that the script means.
        if let Some(id) = name.as_deref().and_then(|n| self.named(n))
            && self.get(id).origin == Origin::Script
            && self.get(id).size > 0
        {
            return Type::Struct(id, Space::None);
        }
        let id = self.push(StructDef {
            name: name.clone().unwrap_or_default(),
            size,
            align: btf.align_of(TypeId(key.1)).unwrap_or(1),
            origin: Origin::Btf {
                module: key.0.clone(),
                type_id: key.1,
            },
            fields: OnceCell::new(),
        });
        if let Some(name) = name {
            self.struct_names.entry(name).or_insert(id);
        }
        Type::Struct(id, Space::None)
    }

    /// Reads the members of a struct of BTF, and those of its anonymous members.
    pub(crate) fn load_fields(&mut self, source: &BtfSource<'_>, id: StructId) {
        self.load(source, id, false, &mut HashSet::new());
    }

    /// As [`Structs::load_fields`], with all structs that lie inside: what is needed to show a value.
    pub(crate) fn load_all_fields(&mut self, source: &BtfSource<'_>, id: StructId) {
        self.load(source, id, true, &mut HashSet::new());
    }

    fn load(
        &mut self,
        source: &BtfSource<'_>,
        id: StructId,
        deep: bool,
        seen: &mut HashSet<StructId>,
    ) {
        // Malformed types may lie within themselves.
        if !seen.insert(id) {
            return;
        }
        if self.get(id).fields.get().is_none() {
            let fields = self.read_fields(source, id).unwrap_or_default();
            // Filled by nobody else in between; a second answer would be the same.
            let _ = self.get(id).fields.set(Rc::from(fields));
        }
        let Some(fields) = self.get(id).fields.get().cloned() else {
            return;
        };
        for field in fields.iter().filter(|f| deep || f.name.is_empty()) {
            let mut ty = &field.ty;
            while let Type::Array(of, _) = ty {
                ty = of;
            }
            if let Type::Struct(inner, _) = ty {
                self.load(source, *inner, deep, seen);
            }
        }
    }

    fn read_fields(&mut self, source: &BtfSource<'_>, id: StructId) -> Option<Vec<FieldDef>> {
        let Origin::Btf { module, type_id } = self.get(id).origin.clone() else {
            return None;
        };
        let btf = source.open(module.as_deref())?;
        let (BtfType::Struct(c) | BtfType::Union(c)) = btf.get(TypeId(type_id)).ok()? else {
            return None;
        };
        let mut fields = Vec::new();
        for m in c.members() {
            let ty = self.convert(&btf, module.as_deref(), m.type_id, DEPTH);
            let (offset, bits) = if m.bitfield_size == 0 {
                (m.bit_offset / 8, None)
            } else {
                // The number of the field's type that holds the bits.
                let unit = (self.size_of(&ty).clamp(1, 8) * 8) as u32;
                let start = m.bit_offset / unit * unit;
                (
                    start / 8,
                    Some(BitField {
                        shift: m.bit_offset - start,
                        width: m.bitfield_size.into(),
                    }),
                )
            };
            fields.push(FieldDef {
                name: m.name.to_owned(),
                ty,
                offset,
                bits,
                data_loc: false,
            });
        }
        Some(fields)
    }

    /// Tags of the pointer that a member of BTF is, `percpu` and the like.
    pub(crate) fn pointer_tags(
        &self,
        source: &BtfSource<'_>,
        id: StructId,
        field: &str,
    ) -> Vec<String> {
        let tags = || {
            let Origin::Btf { module, type_id } = &self.get(id).origin else {
                return None;
            };
            let btf = source.open(module.as_deref())?;
            let member = btf.find_member(TypeId(*type_id), field)?;
            let BtfType::Ptr { target } = btf.get_resolved(member.type_id).ok()? else {
                return None;
            };
            Some(type_tags(&btf, target))
        };
        tags().unwrap_or_default()
    }
}

fn type_tags(btf: &Btf, mut id: TypeId) -> Vec<String> {
    let mut tags = Vec::new();
    for _ in 0..DEPTH {
        id = match btf.get(id) {
            Ok(BtfType::TypeTag { name, target }) => {
                tags.push(name.to_owned());
                target
            }
            Ok(
                BtfType::Const { target }
                | BtfType::Volatile { target }
                | BtfType::Restrict { target },
            ) => target,
            _ => break,
        };
    }
    tags
}

fn is_user(btf: &Btf, id: TypeId) -> bool {
    type_tags(btf, id).iter().any(|tag| tag == "user")
}
