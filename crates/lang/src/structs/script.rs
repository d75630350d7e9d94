//! C types that a script defines, laid out as a C compiler for this machine does.

use crate::ast::{CEnum, CField, CFieldType, CItem, CStruct, Expr, ExprKind, TypeBase, TypeExpr};
use crate::ast::{TypeSuffix, UnaryOp};
use crate::check::literal::{self, Lit};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::structs::{BitField, BtfSource, EnumDef, EnumId, FieldDef, StructId, Structs};
use crate::types::{IntType, Space, Type};

impl Structs {
    /// Takes in all structs, enums and typedefs of a script, in order.
    pub(crate) fn define(
        &mut self,
        items: &[CItem],
        source: &BtfSource<'_>,
        diags: &mut Diagnostics,
    ) {
        for item in items {
            if let CItem::Struct(def) = item
                && let Some(name) = tagged(def)
            {
                self.own.insert(name);
            }
        }
        let mut define = Define {
            structs: self,
            source,
            diags,
        };
        for item in items {
            match item {
                CItem::Struct(def) => {
                    define.composite(def);
                }
                CItem::Enum(def) => {
                    define.enumeration(def);
                }
                CItem::Typedef { name, ty, .. } => {
                    if let Some(ty) = define.ty(ty) {
                        define.structs.typedefs.insert(name.name.clone(), ty);
                    }
                }
                CItem::Include { .. } | CItem::Define { .. } => {}
            }
        }
    }
}

struct Define<'a, 'w> {
    structs: &'a mut Structs,
    source: &'a BtfSource<'w>,
    diags: &'a mut Diagnostics,
}

/// Where the next member goes.
#[derive(Default)]
struct Place {
    /// In bits from the start.
    next: u64,
    /// Size in bytes so far; of a union, of its largest member.
    size: u64,
    align: u64,
}

impl Define<'_, '_> {
    fn composite(&mut self, def: &CStruct) -> StructId {
        let name = tagged(def).unwrap_or_default();
        // A member may point to the struct itself, so the name must exist first.
        if !name.is_empty() {
            self.structs.own.insert(name.clone());
            self.structs.declare(&name);
        }
        let mut place = Place {
            align: 1,
            ..Place::default()
        };
        let mut fields = Vec::new();
        for field in &def.fields {
            let Some(ty) = self.field_type(&field.ty) else {
                continue;
            };
            if !self.is_complete(&ty, field) {
                continue;
            }
            if def.is_union {
                place.next = 0;
            }
            let placed = self.place(&mut place, field, ty, def.packed);
            place.size = place.size.max(place.next.div_ceil(8));
            fields.extend(placed);
        }
        let align = def.align.unwrap_or(1).clamp(1, 4096).max(place.align);
        let size = place.size.next_multiple_of(align);
        let (size, align) = (
            u32::try_from(size).unwrap_or(u32::MAX),
            u32::try_from(align).unwrap_or(1),
        );
        let id = match self.structs.named(&name) {
            Some(id) if !name.is_empty() => {
                let def = &mut self.structs.structs[id.0 as usize];
                def.size = size;
                def.align = align;
                def.fields = std::cell::OnceCell::from(std::rc::Rc::from(fields));
                id
            }
            _ => self.structs.add(name, size, align, fields),
        };
        self.structs.defined.insert(id);
        id
    }

    /// A member of a type that is not known to its end has no place.
    fn is_complete(&mut self, ty: &Type, field: &CField) -> bool {
        match ty {
            Type::Array(of, _) => self.is_complete(of, field),
            Type::Struct(id, _) if self.structs.is_declared_only(*id) => {
                let message = format!("field has incomplete type '{}'", self.structs.type_name(ty));
                self.diags
                    .push(Diagnostic::error("incomplete-type", message).at(field.span, ""));
                false
            }
            _ => true,
        }
    }

    fn place(
        &mut self,
        place: &mut Place,
        field: &CField,
        ty: Type,
        packed: bool,
    ) -> Option<FieldDef> {
        let size = self.structs.size_of(&ty);
        let align = if packed { 1 } else { self.c_align(&ty) };
        let name = field.name.as_ref().map(|n| n.name.clone());
        let (offset, bits) = match field.bits {
            Some(0) => {
                place.next = place.next.next_multiple_of((align * 8).max(8));
                return None;
            }
            Some(width) => {
                let unit = size.clamp(1, 8) * 8;
                let width = u64::from(width).min(unit);
                let end = place.next.saturating_add(width);
                if place.next / unit != end.saturating_sub(1) / unit {
                    place.next = place.next.next_multiple_of(unit);
                }
                let start = place.next / unit * unit;
                let bits = BitField {
                    shift: (place.next - start) as u32,
                    width: width as u32,
                };
                place.next = place.next.saturating_add(width);
                (start / 8, Some(bits))
            }
            None => {
                let offset = place.next.div_ceil(8).next_multiple_of(align);
                place.next = offset.saturating_add(size).saturating_mul(8);
                (offset, None)
            }
        };
        place.align = place.align.max(align);
        // An unnamed bit field is only padding.
        if name.is_none() && bits.is_some() {
            return None;
        }
        Some(FieldDef {
            name: name.unwrap_or_default(),
            ty,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            bits,
            data_loc: false,
        })
    }

    fn c_align(&self, ty: &Type) -> u64 {
        match ty {
            Type::Array(of, _) => self.c_align(of),
            ty => self.structs.align_of(ty).max(1),
        }
    }

    fn field_type(&mut self, ty: &CFieldType) -> Option<Type> {
        match ty {
            CFieldType::Named(ty) => self.ty(ty),
            CFieldType::Inline {
                def,
                pointers,
                dims,
            } => {
                let id = self.composite(def);
                let ty = Type::Struct(id, Space::None);
                let ty = (0..(*pointers).min(8)).fold(ty, |ty, _| Type::pointer(ty, Space::None));
                // The dimensions are outermost first.
                Some(dims.iter().rev().fold(ty, |ty, &n| {
                    Type::Array(Box::new(ty), u32::try_from(n).unwrap_or(u32::MAX))
                }))
            }
            CFieldType::InlineEnum(def) => {
                let id = self.enumeration(def);
                Some(Type::Enum(id, self.structs.get_enum(id).ty))
            }
        }
    }

    fn ty(&mut self, expr: &TypeExpr) -> Option<Type> {
        let base = match &expr.base {
            TypeBase::Named(name) => {
                named_in_c(name).or_else(|| self.structs.c_name(self.source, name))
            }
            TypeBase::Struct(tag) => Some(self.structs.c_struct(self.source, false, tag)),
            TypeBase::Union(tag) => Some(self.structs.c_struct(self.source, true, tag)),
            TypeBase::Enum(tag) => self.structs.c_name(self.source, &format!("enum {tag}")),
            TypeBase::Typeof(_) | TypeBase::Tuple(_) | TypeBase::Record(_) => None,
        };
        let Some(mut ty) = base else {
            let name = match &expr.base {
                TypeBase::Named(name) | TypeBase::Enum(name) => name.as_str(),
                _ => "this type",
            };
            self.diags.push(
                Diagnostic::error("unknown-type", format!("unknown type name '{name}'"))
                    .at(expr.span, ""),
            );
            return None;
        };
        let is_char = matches!(&expr.base, TypeBase::Named(n) if n == "char");
        for suffix in &expr.suffixes {
            ty = match suffix {
                TypeSuffix::Pointer => Type::pointer(ty, Space::None),
                TypeSuffix::Array(len) => {
                    let len = match len {
                        Some(len) => self.constant(len)?,
                        None => 0,
                    };
                    let len = u32::try_from(len).unwrap_or(0);
                    match ty {
                        Type::Int(IntType { bits: 8, .. }) if is_char && len > 0 => Type::Str(len),
                        ty => Type::Array(Box::new(ty), len),
                    }
                }
            };
        }
        Some(ty)
    }

    fn enumeration(&mut self, def: &CEnum) -> EnumId {
        let mut next = 0i128;
        let mut variants: Vec<(String, u64)> = Vec::new();
        let (mut least, mut most) = (0, 0);
        for (name, value) in &def.variants {
            if let Some(value) = value {
                let known = |n: &str| {
                    variants
                        .iter()
                        .find(|(name, _)| name == n)
                        .map(|(_, v)| i128::from(*v as i64))
                };
                next = match self.constant_with(value, &known) {
                    Some(n) => n,
                    None => next,
                };
            }
            (least, most) = (next.min(least), next.max(most));
            variants.push((name.name.clone(), next as u64));
            next += 1;
        }
        let signed = least < 0;
        let wide = least < i128::from(i32::MIN) || most > i128::from(u32::MAX);
        self.structs.add_enum(EnumDef {
            name: def.name.as_ref().map_or(String::new(), |n| n.name.clone()),
            ty: IntType {
                bits: if wide { 64 } else { 32 },
                signed,
            },
            variants,
        })
    }

    fn constant(&mut self, expr: &Expr) -> Option<i128> {
        self.constant_with(expr, &|_| None)
    }

    fn constant_with(&mut self, expr: &Expr, known: &dyn Fn(&str) -> Option<i128>) -> Option<i128> {
        let value = self.evaluate(expr, known, 64);
        if value.is_none() {
            self.diags.push(
                Diagnostic::error("not-constant", "expression is not an integer constant")
                    .at(expr.span, ""),
            );
        }
        value
    }

    fn evaluate(
        &self,
        expr: &Expr,
        known: &dyn Fn(&str) -> Option<i128>,
        depth: u32,
    ) -> Option<i128> {
        let depth = depth.checked_sub(1)?;
        let lit = match &expr.kind {
            ExprKind::Int { value, .. } => return Some(i128::from(*value)),
            ExprKind::Ident(name) => {
                return known(name).or_else(|| {
                    let (_, value) = self.structs.enumerator(name)?;
                    Some(i128::from(value as i64))
                });
            }
            ExprKind::Unary { op, expr } if *op != UnaryOp::Deref => {
                let inner = self.evaluate(expr, known, depth)?;
                match op {
                    UnaryOp::BitNot => return Some(!inner),
                    op => literal::unary(*op, &Lit::Int(inner))?.ok()?,
                }
            }
            ExprKind::Binary { op, left, right } => {
                let left = self.evaluate(left, known, depth)?;
                let right = self.evaluate(right, known, depth)?;
                literal::binary(*op, &Lit::Int(left), &Lit::Int(right))?.ok()?
            }
            _ => return None,
        };
        lit.bits().map(|bits| match lit {
            Lit::Int(n) => n,
            _ => i128::from(bits),
        })
    }
}

/// The name of a struct or union with its keyword.
fn tagged(def: &CStruct) -> Option<String> {
    let keyword = if def.is_union { "union" } else { "struct" };
    Some(format!("{keyword} {}", def.name.as_ref()?.name))
}

/// Types of the language may stand in C definitions as well.
fn named_in_c(name: &str) -> Option<Type> {
    let int = |bits, signed| Some(Type::Int(IntType { bits, signed }));
    match name {
        "int8" => int(8, true),
        "int16" => int(16, true),
        "int32" => int(32, true),
        "int64" => int(64, true),
        "uint8" => int(8, false),
        "uint16" => int(16, false),
        "uint32" => int(32, false),
        "uint64" => int(64, false),
        _ => None,
    }
}
