//! Constant expressions of C: sizes of arrays, widths of bit fields, enumerators, conditions of `#if`.

use std::collections::HashMap;

use crate::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use crate::diagnostic::Diagnostics;
use crate::span::{SourceId, Span};

/// Values of names; a name without one makes what it stands in unknown.
pub(super) type Constants = HashMap<String, i128>;

/// The value of an expression in text form, if it is one of constants.
pub(super) fn value_of_text(text: &str, constants: &Constants) -> Option<i128> {
    evaluate(&parse(text)?, &|name| constants.get(name).copied())
}

/// The same for a condition of `#if`, where unknown names are 0.
pub(super) fn value_of_condition(text: &str, constants: &Constants) -> Option<i128> {
    evaluate(&parse(text)?, &|name| {
        Some(constants.get(name).copied().unwrap_or(0))
    })
}

fn parse(text: &str) -> Option<Expr> {
    let span = Span::new(SourceId::default(), 0..text.len());
    super::parse_expr_fragment(span.source, text, span, &mut Diagnostics::default())
}

pub(super) fn evaluate(expr: &Expr, value_of: &dyn Fn(&str) -> Option<i128>) -> Option<i128> {
    let eval = |e: &Expr| evaluate(e, value_of);
    match &expr.kind {
        ExprKind::Int { value, .. } => Some(i128::from(*value)),
        ExprKind::Bool(b) => Some(i128::from(*b)),
        ExprKind::Ident(name) => value_of(name),
        ExprKind::Unary { op, expr } => {
            let v = eval(expr)?;
            match op {
                UnaryOp::Not => Some(i128::from(v == 0)),
                UnaryOp::BitNot => Some(!v),
                UnaryOp::Minus => v.checked_neg(),
                UnaryOp::Plus => Some(v),
                UnaryOp::Deref | UnaryOp::AddressOf => None,
            }
        }
        ExprKind::Binary { op, left, right } => binary(*op, eval(left)?, eval(right)?),
        ExprKind::Ternary {
            cond,
            then,
            otherwise,
        } => eval(if eval(cond)? != 0 { then } else { otherwise }),
        _ => None,
    }
}

fn binary(op: BinaryOp, a: i128, b: i128) -> Option<i128> {
    let shift = || u32::try_from(b).ok().filter(|n| *n < 64);
    let truth = |t: bool| Some(i128::from(t));
    match op {
        BinaryOp::Add => a.checked_add(b),
        BinaryOp::Sub => a.checked_sub(b),
        BinaryOp::Mul => a.checked_mul(b),
        BinaryOp::Div => a.checked_div(b),
        BinaryOp::Mod => a.checked_rem(b),
        BinaryOp::BitAnd => Some(a & b),
        BinaryOp::BitOr => Some(a | b),
        BinaryOp::BitXor => Some(a ^ b),
        BinaryOp::Shl => a.checked_shl(shift()?),
        BinaryOp::Shr => a.checked_shr(shift()?),
        BinaryOp::Eq => truth(a == b),
        BinaryOp::Ne => truth(a != b),
        BinaryOp::Lt => truth(a < b),
        BinaryOp::Le => truth(a <= b),
        BinaryOp::Gt => truth(a > b),
        BinaryOp::Ge => truth(a >= b),
        BinaryOp::And => truth(a != 0 && b != 0),
        BinaryOp::Or => truth(a != 0 || b != 0),
    }
}
