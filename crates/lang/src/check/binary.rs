//! Operators on two operands.

use crate::ast::BinaryOp;
use crate::check::Checker;
use crate::check::coerce::cast;
use crate::check::literal;
use crate::check::promote::{compatible, is_flexible, numeric, promote, same, settle};
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::typed::{self, Cast};
use crate::types::{IntType, Space, Type};

pub(crate) fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Mod => "%",
        BinaryOp::BitAnd => "&",
        BinaryOp::BitOr => "|",
        BinaryOp::BitXor => "^",
        BinaryOp::Shl => "<<",
        BinaryOp::Shr => ">>",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::And => "&&",
        BinaryOp::Or => "||",
    }
}

fn is_comparison(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge
    )
}

fn node(op: BinaryOp, left: Val, right: Val, ty: Type, span: Span) -> Val {
    let kind = typed::ExprKind::Binary {
        op,
        left: Box::new(left.expr),
        right: Box::new(right.expr),
    };
    Val::new(kind, ty, span)
}

impl Checker<'_> {
    pub(crate) fn binary(
        &mut self,
        op: BinaryOp,
        left: Val,
        right: Val,
        span: Span,
    ) -> Option<Val> {
        if let (Some(l), Some(r)) = (&left.lit, &right.lit)
            && let Some(folded) = literal::binary(op, l, r)
        {
            return match folded {
                Ok(lit) => {
                    let cut = |s: &literal::Lit| s.as_str().is_some_and(|s| !s.is_empty());
                    if op == BinaryOp::Add && lit.as_str() == Some("") && (cut(l) || cut(r)) {
                        self.warn("empty", span, "literal string will always be empty");
                    }
                    Some(Val::constant(lit, span))
                }
                Err(_) => {
                    self.error(
                        "overflow",
                        span,
                        "unable to fold literals due to overflow or underflow",
                    );
                    None
                }
            };
        }
        let number = |v: &Val| numeric(&v.ty).is_some() || v.ty == Type::Bool;
        let pointer = |v: &Val| matches!(v.ty, Type::Pointer(..));
        if matches!(op, BinaryOp::And | BinaryOp::Or) {
            return self.logical(op, left, right, span);
        }
        if pointer(&left) || pointer(&right) {
            return self.pointers(op, left, right, span);
        }
        if number(&left) && number(&right) {
            return self.numbers(op, left, right, span);
        }
        self.composites(op, left, right, span)
    }

    fn logical(&mut self, op: BinaryOp, left: Val, right: Val, span: Span) -> Option<Val> {
        let truth = |v: &Val| {
            numeric(&v.ty).is_some()
                || matches!(v.ty, Type::Bool | Type::Pointer(..))
                || v.lit.as_ref().is_some_and(|lit| lit.truth().is_some())
        };
        if !truth(&left) || !truth(&right) {
            return self.composites(op, left, right, span);
        }
        let left = self.truth(left);
        let right = self.truth(right);
        Some(node(op, left, right, Type::Bool, span))
    }

    fn numbers(&mut self, op: BinaryOp, left: Val, right: Val, span: Span) -> Option<Val> {
        if left.ty == Type::Bool && right.ty == Type::Bool {
            if is_comparison(op) {
                return Some(node(op, left, right, Type::Bool, span));
            }
            let left = cast(Cast::Int, left, Type::U64);
            let right = cast(Cast::Int, right, Type::U64);
            let result = node(op, left, right, Type::U64, span);
            return Some(cast(Cast::Bool, result, Type::Bool));
        }
        let left = self.no_bool(left);
        let right = self.no_bool(right);
        let (lt, rt) = adapted(&left.ty, &right.ty);
        if is_comparison(op) {
            let common = promote(&lt, &rt).map(|t| settle(&t))?;
            let left = self.operand(left, &common);
            let right = self.operand(right, &common);
            return Some(node(op, left, right, Type::Bool, span));
        }
        let signed = lt.signed_number() || rt.signed_number();
        let differ = lt != rt;
        if differ && signed && matches!(op, BinaryOp::Div | BinaryOp::Mod) {
            self.warn(
                "signed-division",
                span,
                format!(
                    "signed operands for '{}' can lead to undefined behavior (cast to unsigned to silence warning)",
                    symbol(op)
                ),
            );
        }
        let ty = if signed || op == BinaryOp::Sub {
            Type::I64
        } else {
            Type::U64
        };
        let space = match (left.space, right.space) {
            (Space::None, space) | (space, Space::None) => space,
            (a, b) if a == b => a,
            _ => {
                self.warn("address-space", span, "Addrspace mismatch");
                Space::None
            }
        };
        let left = self.operand(left, &ty);
        let right = self.operand(right, &ty);
        Some(node(op, left, right, ty, span).in_space(space))
    }

    fn no_bool(&self, value: Val) -> Val {
        if value.ty == Type::Bool {
            cast(Cast::Int, value, Type::Int(IntType::U8))
        } else {
            value
        }
    }

    /// An operand in the operation's type, with a warning where its value may not survive.
    fn operand(&mut self, value: Val, ty: &Type) -> Val {
        let fallback = value.clone();
        match self.coerce(value, ty) {
            Some(value) => value,
            // A constant that the type does not have wraps.
            None => cast(Cast::Int, fallback, ty.clone()),
        }
    }

    fn pointers(&mut self, op: BinaryOp, left: Val, right: Val, span: Span) -> Option<Val> {
        match (&left.ty, &right.ty) {
            (Type::Pointer(l, _), Type::Pointer(r, _)) if is_comparison(op) => {
                if !same(l, r) {
                    let (l, r) = (self.type_name(l), self.type_name(r));
                    self.report(
                        Diagnostic::warning(
                            "pointer-types",
                            format!("comparison of distinct pointer types: {l}, {r}"),
                        )
                        .at(span, "")
                        .label(left.span(), format!("left ({l})"))
                        .label(right.span(), format!("right ({r})")),
                    );
                }
                let ty = left.ty.clone();
                let right = cast(Cast::Int, right, ty);
                Some(node(op, left, right, Type::Bool, span))
            }
            (Type::Pointer(..), other) if numeric(other).is_some() && is_comparison(op) => {
                let ty = left.ty.clone();
                let right = self.wide(right);
                let right = cast(Cast::Int, right, ty);
                Some(node(op, left, right, Type::Bool, span))
            }
            (other, Type::Pointer(..)) if numeric(other).is_some() && is_comparison(op) => {
                let ty = right.ty.clone();
                let left = self.wide(left);
                let left = cast(Cast::Int, left, ty);
                Some(node(op, left, right, Type::Bool, span))
            }
            (Type::Pointer(..), other)
                if numeric(other).is_some() && matches!(op, BinaryOp::Add | BinaryOp::Sub) =>
            {
                self.offset(left, right, op == BinaryOp::Sub, span)
            }
            (other, Type::Pointer(..)) if numeric(other).is_some() && op == BinaryOp::Add => {
                self.offset(right, left, false, span)
            }
            (l, r) => {
                let message = format!(
                    "The {} operator can not be used on expressions of types {}, {}",
                    symbol(op),
                    self.type_name(l),
                    self.type_name(r)
                );
                self.error("operator", span, message);
                None
            }
        }
    }

    /// A pointer moved by a number of elements.
    pub(crate) fn offset(
        &mut self,
        pointer: Val,
        count: Val,
        negative: bool,
        span: Span,
    ) -> Option<Val> {
        let Type::Pointer(to, space) = &pointer.ty else {
            return None;
        };
        let size = self.structs.size_of(to).max(1);
        // Moved away, it is no pointer that the verifier would follow.
        let space = if *space == Space::Btf {
            Space::Kernel
        } else {
            *space
        };
        let ty = Type::pointer((**to).clone(), space);
        let bytes = match count.lit.as_ref().and_then(literal::Lit::as_int) {
            Some(n) => {
                let bytes = n.wrapping_mul(i128::from(size)) as i64;
                let mut value = Val::constant(literal::Lit::Int(i128::from(bytes)), count.span());
                value.ty = Type::I64;
                value.expr.ty = Type::I64;
                value
            }
            None => {
                let count = self.wide(count);
                if size == 1 {
                    count
                } else {
                    let ty = count.ty.clone();
                    let span = count.span();
                    let mut factor = Val::constant(literal::Lit::Int(i128::from(size)), span);
                    factor.expr.ty = settle(&ty);
                    node(BinaryOp::Mul, count, factor, ty, span)
                }
            }
        };
        let kind = typed::ExprKind::Offset {
            pointer: Box::new(pointer.expr),
            bytes: Box::new(bytes.expr),
            negative,
        };
        Some(Val::new(kind, ty, span))
    }

    /// Strings, buffers, arrays, tuples, records: equal or not.
    fn composites(&mut self, op: BinaryOp, left: Val, right: Val, span: Span) -> Option<Val> {
        let equality = matches!(op, BinaryOp::Eq | BinaryOp::Ne);
        if let (Type::Array(l, n), Type::Array(r, m)) = (&left.ty, &right.ty) {
            let problem = if !equality {
                Some(format!(
                    "The {} operator cannot be used on arrays.",
                    symbol(op)
                ))
            } else if n != m {
                Some("Only arrays of same size support comparison operators.".to_owned())
            } else if !l.is_integer() || !same(l, r) {
                Some("Only arrays of same sized integer support comparison operators.".to_owned())
            } else {
                None
            };
            return match problem {
                Some(message) => {
                    self.error("operator", span, message);
                    None
                }
                None => Some(node(op, left, right, Type::Bool, span)),
            };
        }
        if !compatible(&left.ty, &right.ty) {
            let (l, r) = (self.type_name(&left.ty), self.type_name(&right.ty));
            self.report(
                Diagnostic::error(
                    "type-mismatch",
                    format!("Type mismatch for '{}': comparing {l} with {r}", symbol(op)),
                )
                .at(span, "")
                .label(left.span(), format!("left ({l})"))
                .label(right.span(), format!("right ({r})")),
            );
            return None;
        }
        let comparable = matches!(
            left.ty,
            Type::Str(_) | Type::Buf(_) | Type::Tuple(_) | Type::Record(_) | Type::Bool
        ) || !(left.ty.is_aggregate() || left.ty == Type::Void);
        if !equality || !comparable {
            let message = format!(
                "The {} operator can not be used on expressions of types {}, {}",
                symbol(op),
                self.type_name(&left.ty),
                self.type_name(&right.ty)
            );
            self.error("operator", span, message);
            return None;
        }
        self.complete(&left.ty.clone());
        // Strings keep their own sizes: they are compared up to the shorter one's.
        if matches!(left.ty, Type::Str(_) | Type::Buf(_)) {
            return Some(node(op, left, right, Type::Bool, span));
        }
        let common = settle(&promote(&left.ty, &right.ty)?);
        let left = self.coerce(left, &common)?;
        let right = self.coerce(right, &common)?;
        Some(node(op, left, right, Type::Bool, span))
    }
}

/// Both types as a literal's sign adapts to the other's.
fn adapted(left: &Type, right: &Type) -> (Type, Type) {
    let take = |flexible: &Type, other: &Type| match (flexible.as_int(), numeric(other)) {
        (Some(mine), Some(other)) => Type::Int(IntType {
            bits: mine.bits,
            signed: other.signed,
        }),
        _ => flexible.clone(),
    };
    match (is_flexible(left), is_flexible(right)) {
        (true, false) => (take(left, right), right.clone()),
        (false, true) => (left.clone(), take(right, left)),
        _ => (left.clone(), right.clone()),
    }
}

impl Type {
    fn signed_number(&self) -> bool {
        numeric(self).is_some_and(|t| t.signed)
    }
}
