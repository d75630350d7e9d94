//! Whether a bare word such as `probe` is used anywhere in a body.

use crate::ast::{Block, Expr, ExprKind, Iterable, Stmt, StmtKind, TypeBase};

pub fn uses_word(block: &Block, word: &str) -> bool {
    block.stmts.iter().any(|s| stmt(s, word))
        || block
            .value
            .as_ref()
            .is_some_and(|v| expr_uses_word(v, word))
}

fn stmt(s: &Stmt, word: &str) -> bool {
    let expr = |e: &Expr| expr_uses_word(e, word);
    let block = |b: &Block| uses_word(b, word);
    match &s.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => expr(e),
        StmtKind::Let { value, .. } | StmtKind::Return(value) => value.as_ref().is_some_and(expr),
        StmtKind::Assign { target, value, .. } => expr(target) || expr(value),
        StmtKind::If {
            cond,
            then,
            otherwise,
        } => expr(cond) || block(then) || otherwise.as_ref().is_some_and(block),
        StmtKind::While { cond, body } | StmtKind::Unroll { count: cond, body } => {
            expr(cond) || block(body)
        }
        StmtKind::For { iter, body, .. } => {
            let iterates = match iter {
                Iterable::Map(map) => expr(map),
                Iterable::Range { start, end } => expr(start) || expr(end),
            };
            iterates || block(body)
        }
        StmtKind::Block(b) => block(b),
        StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) => false,
    }
}

pub fn expr_uses_word(e: &Expr, word: &str) -> bool {
    let expr = |e: &Expr| expr_uses_word(e, word);
    let block = |b: &Block| uses_word(b, word);
    match &e.kind {
        ExprKind::Ident(name) => name == word,
        ExprKind::Call { name, args } => name.name == word || args.iter().any(expr),
        ExprKind::MapKey { key, .. } => expr(key),
        ExprKind::Unary { expr: e, .. }
        | ExprKind::Comptime(e)
        | ExprKind::Step { target: e, .. }
        | ExprKind::Field { base: e, .. }
        | ExprKind::TupleIndex { base: e, .. }
        | ExprKind::Cast { expr: e, .. } => expr(e),
        ExprKind::Binary { left, right, .. }
        | ExprKind::OrElse {
            value: left,
            otherwise: right,
        }
        | ExprKind::Index {
            base: left,
            index: right,
        } => expr(left) || expr(right),
        ExprKind::Ternary {
            cond,
            then,
            otherwise,
        } => expr(cond) || expr(then) || expr(otherwise),
        ExprKind::If {
            cond,
            then,
            otherwise,
        } => expr(cond) || block(then) || block(otherwise),
        ExprKind::Tuple(items) => items.iter().any(expr),
        ExprKind::Record(items) => items.iter().any(|(_, i)| expr(i)),
        ExprKind::Block(b) => block(b),
        ExprKind::Type(ty) => match &ty.base {
            TypeBase::Typeof(e) => expr(e),
            _ => false,
        },
        ExprKind::Int { .. }
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Var(_)
        | ExprKind::Map(_)
        | ExprKind::Param(_)
        | ExprKind::ParamCount
        | ExprKind::Error => false,
    }
}
