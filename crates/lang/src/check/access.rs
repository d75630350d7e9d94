//! Parts of values: members, elements, indices.

use crate::ast::{Expr, Ident};
use crate::check::Checker;
use crate::check::coerce::{cast, rewrap};
use crate::check::literal::Lit;
use crate::check::promote::{is_flexible, is_signed};
use crate::check::unary::read_space;
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::structs::{FieldDef, Origin, StructId};
use crate::suggest::nearest;
use crate::typed::{self, Cast};
use crate::types::{IntType, Space, Type};

impl<'a> Checker<'a> {
    pub(crate) fn field(&mut self, base: &'a Expr, field: &Ident, span: Span) -> Option<Val> {
        let mut base = self.expr(base)?;
        // `.` goes through any number of pointers.
        while let Type::Pointer(to, _) = &base.ty {
            if !matches!(**to, Type::Pointer(..) | Type::Struct(..)) {
                break;
            }
            let at = base.span();
            base = self.deref(base, at)?;
        }
        match base.ty.clone() {
            Type::Record(members) => {
                let Some(index) = members.iter().position(|(n, _)| *n == field.name) else {
                    let known = members.iter().map(|(n, _)| n.as_str());
                    let message = format!("Record does not contain a field named '{}'", field.name);
                    let diagnostic = self.unknown_field(message, &field.name, known, span);
                    self.report(diagnostic);
                    return None;
                };
                let lit = match &base.lit {
                    Some(Lit::Record(lits)) => lits.get(index).map(|(_, lit)| lit.clone()),
                    _ => None,
                };
                if let Some(lit) = lit {
                    return Some(Val::constant(lit, span));
                }
                let ty = members[index].1.clone();
                Some(part(base, index as u32, ty, span))
            }
            Type::Struct(id, space) => self.member(base, id, space, &field.name, span),
            ty => {
                let ty = match &ty {
                    Type::Pointer(to, _) => (**to).clone(),
                    ty => ty.clone(),
                };
                let message = format!(
                    "Can not access field '{}' on expression of type '{}'",
                    field.name,
                    self.type_name(&ty)
                );
                self.error("field", span, message);
                None
            }
        }
    }

    fn unknown_field<'n>(
        &self,
        message: String,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
        span: Span,
    ) -> Diagnostic {
        let diagnostic = Diagnostic::error("unknown-field", message).at(span, "");
        match nearest(name, known) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic,
        }
    }

    fn member(
        &mut self,
        base: Val,
        id: StructId,
        space: Space,
        name: &str,
        span: Span,
    ) -> Option<Val> {
        self.structs.load_fields(&self.btf, id);
        let Some(field) = self.structs.find_field(id, name) else {
            let message = if self.is_arguments(&base) && self.now.has_typed_arguments() {
                format!("Can't find function parameter {name}")
            } else if self.structs.get(id).size == 0 && self.structs.fields(id).is_empty() {
                format!("Unknown struct/union: '{}'", self.type_name(&base.ty))
            } else {
                format!(
                    "Struct/union of type '{}' does not contain a field named '{name}'",
                    self.type_name(&base.ty)
                )
            };
            let known = self.structs.field_names(id);
            let diagnostic =
                self.unknown_field(message, name, known.iter().map(String::as_str), span);
            self.report(diagnostic);
            return None;
        };
        if let Some(value) = self.argument_member(&base, &field, span) {
            return value;
        }
        if matches!(field.ty, Type::Pointer(..)) {
            for tag in self.structs.pointer_tags(&self.btf, id, name) {
                if tag != "rcu" && tag != "user" {
                    self.error(
                        "pointer-tag",
                        span,
                        format!(
                            "Attempting to access pointer field '{name}' with unsupported tag attribute: {tag}"
                        ),
                    );
                    return None;
                }
            }
        }
        self.place_of_member(base, &field, space, span)
    }

    fn place_of_member(
        &mut self,
        base: Val,
        field: &FieldDef,
        space: Space,
        span: Span,
    ) -> Option<Val> {
        let inner = match space {
            Space::Context => self.now.context_space(),
            space => read_space(space),
        };
        let ty = match &field.ty {
            Type::Void => {
                self.error(
                    "field",
                    span,
                    format!("{} has unsupported type", field.name),
                );
                return None;
            }
            Type::Struct(id, _) => Type::Struct(*id, space),
            Type::Pointer(to, Space::None) => Type::pointer((**to).clone(), inner),
            ty => ty.clone(),
        };
        // An array of characters of the script need not have a NUL: as a string it has room for one.
        let text = match ty {
            Type::Str(size) if self.is_script_struct(&base) => {
                Some(Type::Str(size.saturating_add(1)))
            }
            _ => None,
        };
        let kind = typed::ExprKind::Field {
            base: Box::new(base.expr),
            offset: field.offset,
            bits: field.bits,
        };
        let member = Val::new(kind, ty, span).in_space(inner);
        Some(match text {
            Some(text) => cast(Cast::Str, member, text),
            None => member,
        })
    }

    fn is_script_struct(&self, base: &Val) -> bool {
        match base.ty {
            Type::Struct(_, Space::Context) => false,
            Type::Struct(id, _) => self.structs.get(id).origin == Origin::Script,
            _ => false,
        }
    }

    /// `base.0`
    pub(crate) fn element(&mut self, base: Val, index: u32, span: Span) -> Option<Val> {
        let Type::Tuple(elements) = &base.ty else {
            let message = format!(
                "Can not access index '{index}' on expression of type '{}'",
                self.type_name(&base.ty)
            );
            self.error("index", span, message);
            return None;
        };
        let Some(ty) = elements.get(index as usize).cloned() else {
            let message = format!(
                "Invalid tuple index: {index}. Found {} elements in tuple.",
                elements.len()
            );
            self.error("index", span, message);
            return None;
        };
        if let Some(Lit::Tuple(lits)) = &base.lit
            && let Some(lit) = lits.get(index as usize)
        {
            return Some(Val::constant(lit.clone(), span));
        }
        Some(part(base, index, ty, span))
    }

    pub(crate) fn index(&mut self, base: &'a Expr, index: &'a Expr, span: Span) -> Option<Val> {
        let base = self.expr(base);
        let index = self.expr(index);
        let (base, index) = (base?, index?);
        let constant = index.lit.as_ref().and_then(Lit::as_int);
        match base.ty.clone() {
            Type::Tuple(_) => {
                let Some(n) = constant.and_then(|n| u32::try_from(n).ok()) else {
                    self.error(
                        "index",
                        span,
                        "Array-style access for tuples only valid for integer literals",
                    );
                    return None;
                };
                self.element(base, n, span)
            }
            Type::Array(of, len) => {
                let index = self.checked_index(index, Some(len), span)?;
                self.array_element(base, *of, index, span)
            }
            Type::Str(size) => {
                if let (Some(Lit::Str(text)), Some(n)) = (&base.lit, constant)
                    && let Some(byte) = usize::try_from(n).ok().and_then(|n| {
                        text.as_bytes()
                            .get(n)
                            .copied()
                            .or((n == text.len()).then_some(0))
                    })
                {
                    return Some(Val::constant(Lit::Int(i128::from(byte as i8)), span));
                }
                let index = self.checked_index(index, Some(size), span)?;
                let element = Type::Int(IntType::I8);
                let array = Type::Array(Box::new(element.clone()), size);
                let base = cast(Cast::Reinterpret, base, array);
                self.array_element(base, element, index, span)
            }
            Type::Pointer(to, _) => {
                if self.structs.size_of(&to) == 0 {
                    self.error(
                        "index",
                        span,
                        "The array index operator [] cannot be used on a pointer to an unsized type (void *).",
                    );
                    return None;
                }
                let index = self.checked_index(index, None, span)?;
                let moved = self.offset(base, index, false, span)?;
                self.deref(moved, span)
            }
            ty => {
                let message = format!(
                    "The array index operator [] can only be used on arrays, pointers, and tuples, found {}.",
                    self.type_name(&ty)
                );
                self.error("index", span, message);
                None
            }
        }
    }

    fn checked_index(&mut self, index: Val, len: Option<u32>, span: Span) -> Option<Val> {
        if let Some(n) = index.lit.as_ref().and_then(Lit::as_int) {
            if let Some(len) = len
                && len != 0
                && n >= i128::from(len)
            {
                self.error(
                    "index",
                    span,
                    format!("the index {n} is out of bounds for array of size {len}"),
                );
                return None;
            }
            if n >= 0 {
                return Some(index);
            }
        }
        if !index.ty.is_integer() || (is_signed(&index.ty) && !is_flexible(&index.ty)) {
            let message = format!(
                "The array index operator [] only accepts non-negative integer indices. Got: {}",
                self.type_name(&index.ty)
            );
            self.error("index", span, message);
            return None;
        }
        Some(index)
    }

    fn array_element(&mut self, base: Val, of: Type, index: Val, span: Span) -> Option<Val> {
        let space = base.expr.space();
        let inner = read_space(space);
        let ty = match of {
            Type::Struct(id, _) => Type::Struct(id, space),
            Type::Pointer(to, Space::None) => Type::pointer(*to, inner),
            ty => ty,
        };
        let index = self.as_u64(index);
        let kind = typed::ExprKind::Index {
            base: Box::new(base.expr),
            index: Box::new(index.expr),
        };
        Some(Val::new(kind, ty, span).in_space(inner))
    }
}

/// A member of a tuple or record. Of one that is written out it is the value itself, if nothing else would be lost.
fn part(base: Val, index: u32, ty: Type, span: Span) -> Val {
    if let typed::ExprKind::Tuple(elements) = &base.expr.kind
        && base.lit.is_some()
        && let Some(expr) = elements.get(index as usize)
    {
        return rewrap(expr.clone(), &ty);
    }
    let kind = typed::ExprKind::Element {
        base: Box::new(base.expr),
        index,
    };
    Val::new(kind, ty, span)
}
