//! Conversions that nobody wrote: a value takes the type of the variable, key or operand that it meets.

use crate::check::Checker;
use crate::check::literal::Lit;
use crate::check::promote::{
    aggregate_int, fits, holds, is_flexible, member, numeric, promote, same, same_aggregate, settle,
};
use crate::check::value::Val;
use crate::typed::{Cast, Expr, ExprKind};
use crate::types::{IntType, Type};

/// The type that a variable or map takes from its first value: an aggregate is read as an integer.
pub(crate) fn first_type(ty: &Type) -> Type {
    match aggregate_int(ty) {
        Some(int) => Type::Int(int),
        None => ty.clone(),
    }
}

/// A conversion node around a value.
pub(crate) fn cast(kind: Cast, value: Val, ty: Type) -> Val {
    let span = value.span();
    let space = value.space;
    Val::new(
        ExprKind::Cast {
            cast: kind,
            expr: Box::new(value.expr),
        },
        ty,
        span,
    )
    .in_space(space)
}

impl Checker<'_> {
    /// The value in another type, where that is possible without a cast. A warning tells of integers that may change.
    pub(crate) fn coerce(&mut self, value: Val, target: &Type) -> Option<Val> {
        if same(&value.ty, target) {
            let mut value = value;
            value.ty = target.clone();
            value.expr.ty = settle(target);
            return Some(value);
        }
        match (&value.ty, target) {
            (from, to) if from.is_aggregate() && same_aggregate(from, to) => Some(value),
            (from, to) if numeric(from).is_some() && to.is_integer() => {
                self.coerce_int(value, target)
            }
            (Type::Str(from), Type::Str(to)) if from <= to => Some(resize(value, target)),
            (Type::Buf(_), Type::Buf(_)) => Some(cast(Cast::Str, value, target.clone())),
            (Type::Pointer(..), Type::Pointer(..)) => Some(cast(Cast::Int, value, target.clone())),
            (Type::Tuple(from), Type::Tuple(to)) if from.len() == to.len() => {
                let (from, to) = (from.clone(), to.clone());
                self.coerce_tuple(value, &from, &to)
            }
            (Type::Record(from), Type::Record(to)) if from.len() == to.len() => {
                let (from, to) = (from.clone(), to.clone());
                self.coerce_record(value, &from, &to)
            }
            (Type::Timestamp(_), Type::Timestamp(_))
            | (Type::CgroupPath(_), Type::CgroupPath(_)) => Some(value),
            _ => None,
        }
    }

    fn coerce_int(&mut self, value: Val, target: &Type) -> Option<Val> {
        let int = target.as_int()?;
        if let Some(Lit::Int(n)) = value.lit {
            return holds(int, n).then(|| retyped(value, target));
        }
        if !fits(&value.ty, target) && !value.ty.is_aggregate() {
            let message = format!(
                "Expression of type: {} being cast to type: {}. This may cause unexpected results. Use an explicit cast to suppress this warning.",
                self.type_name(&value.ty),
                self.type_name(target)
            );
            self.warn("implicit-cast", value.span(), message);
        }
        Some(int_cast(value, target))
    }

    fn coerce_tuple(&mut self, value: Val, from: &[Type], to: &[Type]) -> Option<Val> {
        let target = Type::Tuple(to.iter().cloned().collect());
        let span = value.span();
        if let ExprKind::Tuple(elements) = value.expr.kind {
            let elements = elements
                .into_iter()
                .zip(from.iter().zip(to))
                .map(|(expr, (from, to))| Some(self.coerce(rewrap(expr, from), to)?.expr))
                .collect::<Option<Vec<Expr>>>()?;
            return Some(Val::new(ExprKind::Tuple(elements), target, span));
        }
        if !from.iter().zip(to).all(|(from, to)| promotes_to(from, to)) {
            return None;
        }
        Some(cast(Cast::Members, value, target))
    }

    fn coerce_record(
        &mut self,
        value: Val,
        from: &[(String, Type)],
        to: &[(String, Type)],
    ) -> Option<Val> {
        let target = Type::Record(to.iter().cloned().collect());
        let span = value.span();
        if let ExprKind::Record { values, order } = value.expr.kind {
            // Members move to where the target has them; the order of evaluation stays.
            let mut moved = Vec::with_capacity(to.len());
            let mut places = vec![0u32; from.len()];
            let mut values: Vec<Option<Expr>> = values.into_iter().map(Some).collect();
            for (index, (name, ty)) in to.iter().enumerate() {
                let old = from.iter().position(|(n, _)| n == name)?;
                let expr = values.get_mut(old)?.take()?;
                moved.push(self.coerce(rewrap(expr, &from[old].1), ty)?.expr);
                places[old] = index as u32;
            }
            let order = order
                .iter()
                .filter_map(|&old| places.get(old as usize).copied())
                .collect();
            let kind = ExprKind::Record {
                values: moved,
                order,
            };
            return Some(Val::new(kind, target, span));
        }
        if !from
            .iter()
            .all(|(name, from)| member(to, name).is_some_and(|to| promotes_to(from, to)))
        {
            return None;
        }
        Some(cast(Cast::Members, value, target))
    }

    /// The value as a condition: a bool.
    pub(crate) fn truth(&mut self, value: Val) -> Val {
        if value.ty == Type::Bool {
            return value;
        }
        if let Some(truth) = value.lit.as_ref().and_then(Lit::truth) {
            return Val::constant(Lit::Bool(truth), value.span());
        }
        cast(Cast::Bool, value, Type::Bool)
    }

    /// The value as a 64-bit integer of either sign, and which.
    pub(crate) fn wide(&mut self, value: Val) -> Val {
        let signed = numeric(&value.ty).is_some_and(|t| t.signed);
        let target = if signed { Type::I64 } else { Type::U64 };
        self.explicit_int(value, &target)
    }

    /// The value as an unsigned 64-bit integer, without a warning.
    pub(crate) fn as_u64(&mut self, value: Val) -> Val {
        self.explicit_int(value, &Type::U64)
    }

    /// An integer conversion that somebody asked for.
    pub(crate) fn explicit_int(&mut self, value: Val, target: &Type) -> Val {
        if same(&value.ty, target) && !is_flexible(&value.ty) {
            return value;
        }
        match (&value.lit, target.as_int()) {
            (Some(Lit::Int(n)), Some(int)) if holds(int, *n) => retyped(value, target),
            _ => int_cast(value, target),
        }
    }
}

/// Whether a member of a composite value converts on its own.
fn promotes_to(from: &Type, to: &Type) -> bool {
    promote(to, from).is_some_and(|p| same(&p, to))
        || (numeric(from).is_some() && numeric(to).is_some())
}

fn int_cast(value: Val, target: &Type) -> Val {
    let target = match (&value.ty, target) {
        // The sign of a flexible value is the target's.
        (_, Type::Int(_)) => target.clone(),
        (_, other) => settle(other),
    };
    if value.expr.ty == target {
        return Val {
            ty: target,
            ..value
        };
    }
    cast(Cast::Int, value, target)
}

/// A constant in another type, whose range has it.
fn retyped(mut value: Val, target: &Type) -> Val {
    value.ty = target.clone();
    value.expr.ty = settle(target);
    value
}

fn resize(value: Val, target: &Type) -> Val {
    if matches!(value.expr.kind, ExprKind::Str(_)) {
        return retyped(value, target);
    }
    cast(Cast::Str, value, target.clone())
}

/// A part of a tuple or record as a value of its own.
pub(crate) fn rewrap(expr: Expr, ty: &Type) -> Val {
    let lit = match (&expr.kind, &expr.ty) {
        (ExprKind::Int(bits), Type::Int(IntType { signed: true, .. })) => {
            Some(Lit::Int(i128::from(*bits as i64)))
        }
        (ExprKind::Int(bits), Type::Int(_)) => Some(Lit::Int(i128::from(*bits))),
        (ExprKind::Str(s), _) => Some(Lit::Str(s.to_string())),
        _ => None,
    };
    Val {
        expr,
        ty: ty.clone(),
        lit,
        space: crate::types::Space::None,
    }
}
