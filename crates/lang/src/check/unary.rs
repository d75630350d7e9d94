//! Operators on one operand, and steps.

use crate::ast::{Expr, ExprKind, Step, UnaryOp};
use crate::check::Checker;
use crate::check::coerce::cast;
use crate::check::literal;
use crate::check::promote::{numeric, settle};
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::typed::{self, Cast};
use crate::types::{Space, Type};

fn symbol(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Not => "!",
        UnaryOp::BitNot => "~",
        UnaryOp::Minus => "-",
        UnaryOp::Plus => "+",
        UnaryOp::Deref => "dereference",
        UnaryOp::AddressOf => "&",
    }
}

impl<'a> Checker<'a> {
    pub(crate) fn unary(&mut self, op: UnaryOp, operand: &'a Expr, span: Span) -> Option<Val> {
        if op == UnaryOp::AddressOf {
            return self.address_of(operand, span);
        }
        let value = self.expr(operand)?;
        if let Some(folded) = value.lit.as_ref().and_then(|lit| literal::unary(op, lit)) {
            return match folded {
                Ok(lit) => Some(Val::constant(lit, span)),
                Err(_) => {
                    self.error("overflow", span, "negative value will underflow");
                    None
                }
            };
        }
        match op {
            UnaryOp::Deref => self.deref(value, span),
            UnaryOp::Not if self.is_truth(&value) => {
                let truth = self.truth(value);
                Some(Val::new(
                    typed::ExprKind::Unary {
                        op: typed::UnaryOp::Not,
                        expr: Box::new(truth.expr),
                    },
                    Type::Bool,
                    span,
                ))
            }
            UnaryOp::Minus | UnaryOp::BitNot | UnaryOp::Plus if numeric(&value.ty).is_some() => {
                let space = value.space;
                let wide = self.wide(value);
                let op = match op {
                    UnaryOp::Minus => typed::UnaryOp::Minus,
                    UnaryOp::BitNot => typed::UnaryOp::BitNot,
                    _ => return Some(wide),
                };
                let ty = wide.ty.clone();
                let kind = typed::ExprKind::Unary {
                    op,
                    expr: Box::new(wide.expr),
                };
                Some(Val::new(kind, ty, span).in_space(space))
            }
            op => {
                let message = format!(
                    "The {} operator can not be used on expressions of type '{}'",
                    symbol(op),
                    self.type_name(&value.ty)
                );
                self.error("operator", span, message);
                None
            }
        }
    }

    fn is_truth(&self, value: &Val) -> bool {
        numeric(&value.ty).is_some() || matches!(value.ty, Type::Bool | Type::Pointer(..))
    }

    /// `*value`: of a pointer, of an integer as the address of 8 bytes, and of `args` without effect.
    pub(crate) fn deref(&mut self, value: Val, span: Span) -> Option<Val> {
        match &value.ty {
            Type::Pointer(to, space) => {
                let (to, space) = ((**to).clone(), *space);
                self.deref_as(value, to, space, span)
            }
            Type::Int(_) | Type::Enum(..) => {
                let space = value.space;
                let pointer = cast(Cast::Int, value, Type::pointer(Type::U64, space));
                self.deref_as(pointer, Type::U64, space, span)
            }
            Type::Struct(_, Space::Context) => Some(value),
            Type::Struct(..) => {
                let message = format!(
                    "Can not dereference struct/union of type '{}'. It is not a pointer.",
                    self.type_name(&value.ty)
                );
                self.error("deref", span, message);
                None
            }
            ty => {
                let message = format!(
                    "The dereference operator can not be used on expressions of type '{}'",
                    self.type_name(ty)
                );
                self.error("operator", span, message);
                None
            }
        }
    }

    fn deref_as(&mut self, pointer: Val, to: Type, space: Space, span: Span) -> Option<Val> {
        let ty = match to {
            Type::Void => {
                self.error("deref", span, "Can not dereference a void pointer");
                return None;
            }
            Type::Struct(id, _) => Type::Struct(id, space),
            Type::Pointer(inner, Space::None) => Type::pointer(*inner, read_space(space)),
            ty => ty,
        };
        // The context is a place already.
        if matches!(pointer.expr.kind, typed::ExprKind::Context) {
            return Some(Val::new(typed::ExprKind::Context, ty, span));
        }
        let inner = read_space(space);
        Some(Val::new(typed::ExprKind::Deref(Box::new(pointer.expr)), ty, span).in_space(inner))
    }

    fn address_of(&mut self, operand: &'a Expr, span: Span) -> Option<Val> {
        match &operand.kind {
            ExprKind::Var(name) => {
                let var = self.lookup_var(name, operand.span)?;
                // Whoever has the address may write to it.
                self.vars.get_mut(var).assigned = true;
                let Some(ty) = self.vars.get(var).ty.clone() else {
                    self.report_cascade(
                        Diagnostic::error(
                            "unresolved",
                            format!("No type available for variable {name}"),
                        )
                        .at(span, ""),
                    );
                    return None;
                };
                let slot = self.slot(var);
                let ty = Type::pointer(bare(&settle(&ty)), Space::Bpf);
                Some(Val::new(typed::ExprKind::AddressOfVar(slot), ty, span))
            }
            ExprKind::Map(name) => {
                let id = self.map_use(name, false, operand.span)?;
                self.map_address(id, None, span)
            }
            ExprKind::MapKey { map, key } => {
                let id = self.map_use(&map.name, true, operand.span)?;
                let key = self.map_key(id, key, operand.span)?;
                self.map_address(id, Some(key), span)
            }
            _ => {
                self.error(
                    "operator",
                    span,
                    "The & operator must be applied to a map or variable",
                );
                None
            }
        }
    }

    fn map_address(&mut self, map: typed::MapId, key: Option<Val>, span: Span) -> Option<Val> {
        let value = self.maps.get(map).value.clone()?;
        let kind = typed::ExprKind::AddressOfMap {
            map,
            key: key.map(|k| Box::new(k.expr)),
        };
        let ty = Type::pointer(bare(&settle(&value)), Space::Bpf);
        Some(Val::new(kind, ty, span))
    }

    /// `x++` and its kin.
    pub(crate) fn step(
        &mut self,
        delta: Step,
        prefix: bool,
        target: &'a Expr,
        span: Span,
    ) -> Option<Val> {
        let down = delta == Step::Decrement;
        let place = match &target.kind {
            ExprKind::Var(_) => self.expr(target)?,
            ExprKind::Map(name) => self.map_place(name, None, target.span)?,
            ExprKind::MapKey { map, key } => self.map_place(&map.name, Some(key), target.span)?,
            _ => {
                let symbol = if down { "--" } else { "++" };
                self.error(
                    "operator",
                    span,
                    format!("The {symbol} operator must be applied to a map or variable"),
                );
                return None;
            }
        };
        let sign = if down { -1 } else { 1 };
        if let Type::Pointer(to, _) = &place.ty {
            let size = i64::try_from(self.structs.size_of(to).max(1)).unwrap_or(1);
            let ty = place.ty.clone();
            return Some(step_of(place, sign * size, prefix, ty, span));
        }
        if !place.ty.is_integer() {
            let message = format!(
                "The {} operator can not be used on expressions of type '{}'",
                if down { "--" } else { "++" },
                self.type_name(&place.ty)
            );
            self.error("operator", span, message);
            return None;
        }
        let signed = numeric(&place.ty).is_some_and(|t| t.signed) || down;
        let wide = if signed { Type::I64 } else { Type::U64 };
        let ty = self.widen_place(target, &wide, span)?;
        let mut place = place;
        place.ty = ty.clone();
        place.expr.ty = settle(&ty);
        Some(step_of(place, sign, prefix, ty, span))
    }

    /// A map's value as something to assign to: a map that nothing is known of yet is read as a small integer.
    fn map_place(&mut self, name: &str, key: Option<&'a Expr>, span: Span) -> Option<Val> {
        let value = self.map_read(name, key, span)?;
        if value.ty.is_aggregate() {
            let message = format!(
                "Type mismatch for {name}: trying to assign value of type 'int64' when map already has a type '{}'",
                self.type_name(&value.ty)
            );
            self.error("type-mismatch", span, message);
            return None;
        }
        Some(value)
    }

    /// Takes a type into the variable or map; gives what it has then.
    fn widen_place(&mut self, target: &'a Expr, ty: &Type, span: Span) -> Option<Type> {
        match &target.kind {
            ExprKind::Var(name) => {
                let var = self.find_var(name)?;
                self.widen_var(var, ty, Space::None, span)
                    .then(|| self.vars.get(var).ty.clone())?
            }
            ExprKind::Map(name) => self.widen_map_named(name, ty, span),
            ExprKind::MapKey { map, .. } => self.widen_map_named(&map.name, ty, span),
            _ => None,
        }
    }

    fn widen_map_named(&mut self, name: &str, ty: &Type, span: Span) -> Option<Type> {
        let id = self.maps.find(name)?;
        self.widen_map(id, ty, Space::None, span)
            .then(|| self.maps.get(id).value.clone())?
    }
}

fn step_of(place: Val, by: i64, prefix: bool, ty: Type, span: Span) -> Val {
    let kind = typed::ExprKind::Step {
        target: Box::new(place.expr),
        by,
        prefix,
    };
    Val::new(kind, ty, span)
}

/// What a pointer points to: a struct behind it has no space of its own.
fn bare(ty: &Type) -> Type {
    match ty {
        Type::Struct(id, _) => Type::Struct(*id, Space::None),
        ty => ty.clone(),
    }
}

/// The space of a pointer that was read from memory: what the verifier knew ends with the first read of it.
pub(crate) fn read_space(space: Space) -> Space {
    match space {
        Space::Bpf | Space::Context => Space::None,
        space => space,
    }
}
