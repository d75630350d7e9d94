//! Small questions about the tree.

use crate::ast::{Block, Expr, ExprKind, Stmt, StmtKind};

/// The address of a node, which names it from run to run: the tree does not move while it is checked.
pub(crate) fn place<T>(node: &T) -> usize {
    std::ptr::from_ref(node) as usize
}

/// Whether nothing behind the statement can run.
pub(crate) fn ends(stmt: &Stmt) -> bool {
    match &stmt.kind {
        StmtKind::Return(_) | StmtKind::Break | StmtKind::Continue => true,
        StmtKind::Expr(expr) => {
            matches!(&expr.kind, ExprKind::Call { name, .. } if name.name == "exit")
        }
        StmtKind::Block(block) => block_ends(block),
        StmtKind::If {
            cond,
            then,
            otherwise: Some(otherwise),
        } => !is_comptime(cond) && block_ends(then) && block_ends(otherwise),
        _ => false,
    }
}

fn block_ends(block: &Block) -> bool {
    block.stmts.iter().any(ends)
}

pub(crate) fn is_comptime(cond: &Expr) -> bool {
    matches!(cond.kind, ExprKind::Comptime(_))
}
