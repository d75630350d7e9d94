//! Casts that the script writes.

use crate::ast::{Expr, TypeExpr};
use crate::check::Checker;
use crate::check::coerce::cast;
use crate::check::literal::Lit;
use crate::check::promote::{aggregate_int, holds, is_flexible, numeric, same};
use crate::check::value::Val;
use crate::span::Span;
use crate::typed::{self, Cast};
use crate::types::{IntType, Space, Type};

impl<'a> Checker<'a> {
    pub(crate) fn cast(&mut self, ty: &'a TypeExpr, expr: &'a Expr, span: Span) -> Option<Val> {
        let target = self.type_expr(ty);
        let value = self.expr(expr);
        let (target, value) = (target?, value?);
        let target = self.sized_by(target, &value.ty);
        self.cast_to(value, target, span)
    }

    /// `int8[]` takes its length from the value.
    fn sized_by(&self, target: Type, from: &Type) -> Type {
        match target {
            Type::Array(of, 0) => {
                let element = self.structs.size_of(&of);
                let size = self.structs.size_of(from);
                if element > 0 && size.is_multiple_of(element) {
                    let len = u32::try_from(size / element).unwrap_or(u32::MAX);
                    Type::Array(of, len)
                } else {
                    Type::Array(of, 0)
                }
            }
            Type::Str(0) => match from {
                Type::Str(size) => Type::Str(*size),
                _ => Type::Str(0),
            },
            target => target,
        }
    }

    pub(crate) fn cast_to(&mut self, value: Val, target: Type, span: Span) -> Option<Val> {
        let mut value = value;
        value.expr.span = span;
        if let Type::Struct(..) = value.ty {
            let message = format!("Cannot cast from C type \"{}\"", self.type_name(&value.ty));
            if !matches!(
                (&value.ty, &target),
                (Type::Struct(_, Space::Context), Type::Int(_))
            ) {
                self.error("cast", span, message);
                return None;
            }
        }
        if same(&value.ty, &target) {
            let message = format!(
                "Unnecessary cast: expression is already of type {}",
                self.type_name(&value.ty)
            );
            self.warn("unnecessary-cast", span, message);
            // The sign of a literal is fixed by its cast all the same.
            if !is_flexible(&value.ty) {
                return Some(value);
            }
        }
        match (&target, &value.ty) {
            (Type::Bool, Type::Str(_)) => {
                if let Some(truth) = value.lit.as_ref().and_then(Lit::truth) {
                    return Some(Val::constant(Lit::Bool(truth), span));
                }
                Some(cast(Cast::Bool, value, Type::Bool))
            }
            (Type::Bool, from) if is_number(from) => {
                if let Some(truth) = value.lit.as_ref().and_then(Lit::truth) {
                    return Some(Val::constant(Lit::Bool(truth), span));
                }
                Some(cast(Cast::Bool, value, Type::Bool))
            }
            (Type::Int(int), from) if is_number(from) => Some(self.integer_cast(value, *int)),
            (Type::Enum(id, int), from) if is_number(from) => {
                if let Some(Lit::Int(n)) = value.lit {
                    let def = self.structs.get_enum(*id);
                    if !def.variants.iter().any(|(_, v)| *v == n as u64) {
                        let message =
                            format!("Enum: {} doesn't contain a variant value of {n}", def.name);
                        self.error("enum", span, message);
                        return None;
                    }
                }
                let ty = Type::Enum(*id, *int);
                Some(cast(Cast::Int, value, ty))
            }
            (Type::Username, from) if numeric(from).is_some() => {
                let value = self.as_u64(value);
                Some(cast(Cast::Int, value, Type::Username))
            }
            (Type::Pointer(to, _), from) if is_number(from) => {
                if matches!(value.expr.kind, typed::ExprKind::Context) {
                    let ty = Type::pointer((**to).clone(), Space::Context);
                    return Some(Val::new(typed::ExprKind::Context, ty, span));
                }
                let space = self.cast_space(&value);
                let ty = Type::pointer((**to).clone(), space);
                let value = match &value.ty {
                    Type::Pointer(..) => value,
                    _ => self.widen_for_pointer(value),
                };
                Some(cast(Cast::Int, value, ty))
            }
            // Text or bytes of the script: a copy of them has an address.
            (Type::Pointer(to, _), Type::Str(_)) => {
                let to = (**to).clone();
                Some(self.address_of_copy(value, to, span))
            }
            (Type::Int(int), Type::Array(..)) => {
                if self.structs.size_of(&value.ty) != u64::from(int.bytes()) {
                    self.cannot(span, &value.ty.clone(), &target);
                    return None;
                }
                Some(cast(Cast::Bytes, value, Type::Int(*int)))
            }
            (Type::Array(of, len), from)
                if is_element(of) && (from.is_integer() || *from == Type::Bool) =>
            {
                self.int_to_array(value, of, *len, &target, span)
            }
            (Type::Array(of, len), Type::Str(_)) if is_element(of) => {
                self.string_to_array(value, of, *len, &target, span)
            }
            (Type::Str(to), Type::Str(from)) if to >= from => {
                let ty = Type::Str(*to);
                self.coerce(value, &ty)
            }
            (Type::Buf(_), Type::Buf(_))
            | (Type::Tuple(_), Type::Tuple(_))
            | (Type::Record(_), Type::Record(_)) => {
                let from = value.ty.clone();
                match self.coerce(value, &target) {
                    Some(value) => Some(value),
                    None => {
                        self.cannot(span, &from, &target);
                        None
                    }
                }
            }
            _ => {
                self.cannot(span, &value.ty.clone(), &target);
                None
            }
        }
    }

    fn address_of_copy(&mut self, value: Val, to: Type, span: Span) -> Val {
        let ty = value.expr.ty.clone();
        let slot = self.temporary(&ty);
        let set = typed::Stmt {
            kind: typed::StmtKind::SetVar {
                var: slot,
                value: value.expr,
            },
            span,
        };
        let ty = Type::pointer(to, Space::Bpf);
        let address = Val::new(typed::ExprKind::AddressOfVar(slot), ty.clone(), span);
        let kind = typed::ExprKind::Block {
            stmts: vec![set],
            value: Some(Box::new(address.expr)),
        };
        Val::new(kind, ty, span)
    }

    fn cannot(&mut self, span: Span, from: &Type, to: &Type) {
        let message = format!(
            "Cannot cast from \"{}\" to \"{}\"",
            self.type_name(from),
            self.type_name(to)
        );
        self.error("cast", span, message);
    }

    fn integer_cast(&mut self, value: Val, int: IntType) -> Val {
        let ty = Type::Int(int);
        // A cast literal has a fixed type and is no literal any more; its value is known all the same.
        if let Some(Lit::Int(n)) = value.lit {
            let wrapped = wrap(n, int);
            let span = value.span();
            let mut constant = Val::constant(Lit::Int(wrapped), span).in_space(value.space);
            constant.ty = ty.clone();
            constant.expr.ty = ty;
            constant.lit = None;
            return constant;
        }
        let space = value.space;
        let space = match &value.ty {
            Type::Pointer(_, s) => *s,
            _ => space,
        };
        cast(Cast::Int, value, ty).in_space(space)
    }

    /// An integer as an address: its own bytes, zero above them.
    fn widen_for_pointer(&mut self, value: Val) -> Val {
        let Some(int) = numeric(&value.ty) else {
            return cast(Cast::Int, value, Type::U64);
        };
        let unsigned = IntType {
            signed: false,
            ..int
        };
        if let Some(Lit::Int(n)) = value.lit {
            let span = value.span();
            let mut address = Val::constant(Lit::Int(wrap(n, unsigned)), span);
            address.expr.ty = Type::U64;
            address.ty = Type::U64;
            return address;
        }
        let value = if int.signed && int.bits < 64 {
            self.explicit_int(value, &Type::Int(unsigned))
        } else {
            value
        };
        self.as_u64(value)
    }

    /// The memory that a pointer made from this value leads to: that of the value, or what the probe usually sees.
    fn cast_space(&self, value: &Val) -> Space {
        let known = match &value.ty {
            Type::Pointer(_, space) => *space,
            _ => value.space,
        };
        match known {
            // Another type is not the one that the verifier knows.
            Space::Btf => Space::Kernel,
            Space::None => self.now.default_space(),
            space => space,
        }
    }

    fn int_to_array(
        &mut self,
        value: Val,
        of: &Type,
        len: u32,
        target: &Type,
        span: Span,
    ) -> Option<Val> {
        if len == 0 {
            self.error(
                "cast",
                span,
                "Cannot determine array size: the element size is incompatible with the cast integer size",
            );
            return None;
        }
        let size = self.structs.size_of(target);
        let have = self.structs.size_of(&value.ty);
        let value = if size == have {
            value
        } else if size > have && size <= 8 && value.ty.is_integer() {
            let signed = value.ty.as_int().is_some_and(|t| t.signed);
            let bits = match size {
                2 => 16,
                4 => 32,
                8 => 64,
                _ => {
                    self.cannot(span, &value.ty.clone(), target);
                    return None;
                }
            };
            self.explicit_int(value, &Type::Int(IntType { bits, signed }))
        } else {
            self.cannot(span, &value.ty.clone(), target);
            return None;
        };
        let ty = Type::Array(Box::new(of.clone()), len);
        Some(cast(Cast::Bytes, value, ty))
    }

    fn string_to_array(
        &mut self,
        value: Val,
        of: &Type,
        len: u32,
        target: &Type,
        span: Span,
    ) -> Option<Val> {
        if len == 0 || self.structs.size_of(target) != self.structs.size_of(&value.ty) {
            self.cannot(span, &value.ty.clone(), target);
            return None;
        }
        let ty = Type::Array(Box::new(of.clone()), len);
        Some(cast(Cast::Reinterpret, value, ty))
    }
}

fn is_number(ty: &Type) -> bool {
    ty.is_integer()
        || aggregate_int(ty).is_some()
        || matches!(
            ty,
            Type::Bool | Type::Pointer(..) | Type::Ksym | Type::Username
        )
}

fn is_element(ty: &Type) -> bool {
    ty.is_integer() || *ty == Type::Bool
}

/// The value of a type that is congruent to the number.
pub(crate) fn wrap(n: i128, int: IntType) -> i128 {
    if holds(int, n) {
        return n;
    }
    let bits = u32::from(int.bits.clamp(1, 64));
    let low = n & ((1i128 << bits) - 1);
    if int.signed && low >> (bits - 1) != 0 {
        low - (1i128 << bits)
    } else {
        low
    }
}
