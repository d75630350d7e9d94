//! Statements.

use crate::ast::{BinaryOp, Block, Expr, ExprKind, Ident, Stmt, StmtKind, TypeExpr};
use crate::check::Checker;
use crate::check::coerce::first_type;
use crate::check::expr::statements;
use crate::check::flow::{self, place};
use crate::check::promote::{aggregate_int, is_flexible, is_signed};
use crate::check::scope::{Origin, VarRef};
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::typed::{self, MapId};
use crate::types::{Space, Type};

pub(crate) type Out = Vec<typed::Stmt>;

pub(crate) fn emit(out: &mut Out, kind: typed::StmtKind, span: Span) {
    out.push(typed::Stmt { kind, span });
}

impl<'a> Checker<'a> {
    /// Checks a block in a scope of its own.
    pub(crate) fn block(&mut self, block: &'a Block) -> Out {
        self.push_scope();
        let mut out = Vec::new();
        self.statements(&block.stmts, &mut out);
        if let Some(value) = &block.value {
            self.expr_stmt(value, &mut out);
        }
        self.pop_scope();
        out
    }

    /// Checks statements in the scope that is open; false if one of them failed.
    pub(crate) fn statements(&mut self, stmts: &'a [Stmt], out: &mut Out) -> bool {
        let mut fine = true;
        let mut ended = false;
        for stmt in stmts {
            if ended {
                self.warn("unreachable", stmt.span, "Unreachable statement.");
                // Only its types still count.
                let mut dead = Vec::new();
                self.stmt(stmt, &mut dead);
                ended = false;
                continue;
            }
            fine &= self.stmt(stmt, out).is_some();
            ended = flow::ends(stmt);
        }
        fine
    }

    fn stmt(&mut self, stmt: &'a Stmt, out: &mut Out) -> Option<()> {
        let span = stmt.span;
        match &stmt.kind {
            StmtKind::Expr(expr) => self.expr_stmt(expr, out),
            StmtKind::Discard(expr) => {
                let value = self.expr(expr)?;
                if value.lit.is_none() {
                    out.extend(statements(value));
                }
                Some(())
            }
            StmtKind::Let { var, ty, value } => {
                self.let_stmt(stmt, var, ty.as_ref(), value.as_ref(), span, out)
            }
            StmtKind::Assign { target, op, value } => self.assign(target, *op, value, span, out),
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => self.if_stmt(cond, then, otherwise.as_ref(), span, out),
            StmtKind::While { cond, body } => {
                self.warn(
                    "deprecated",
                    span,
                    "While loops are deprecated and may be removed in the future.",
                );
                let cond = self.condition(cond, cond.span);
                self.now.loops += 1;
                let body = self.block(body);
                self.now.loops -= 1;
                emit(
                    out,
                    typed::StmtKind::While {
                        cond: cond?.expr,
                        body,
                    },
                    span,
                );
                Some(())
            }
            StmtKind::Unroll { count, body } => self.unroll(count, body, span, out),
            StmtKind::For { var, iter, body } => self.for_stmt(stmt, var, iter, body, span, out),
            StmtKind::Block(block) => {
                let stmts = self.block(block);
                emit(out, typed::StmtKind::Block(stmts), span);
                Some(())
            }
            StmtKind::Break | StmtKind::Continue => {
                let (kind, word) = match stmt.kind {
                    StmtKind::Break => (typed::StmtKind::Break, "break"),
                    _ => (typed::StmtKind::Continue, "continue"),
                };
                if self.now.loops == 0 {
                    self.error(
                        "flow",
                        span,
                        format!("'{word}' statement is not allowed in a probe"),
                    );
                    return None;
                }
                emit(out, kind, span);
                Some(())
            }
            StmtKind::Return(value) => self.return_stmt(value.as_ref(), span, out),
            StmtKind::Import(_) => Some(()),
        }
    }

    /// An expression for its effect alone.
    fn expr_stmt(&mut self, expr: &'a Expr, out: &mut Out) -> Option<()> {
        // The choice between two blocks is a statement in disguise.
        if let ExprKind::If {
            cond,
            then,
            otherwise,
        } = &expr.kind
        {
            return self.if_stmt(cond, then, Some(otherwise), expr.span, out);
        }
        self.now.discarded = matches!(expr.kind, ExprKind::Call { .. });
        let value = self.expr(expr);
        self.now.discarded = false;
        let value = value?;
        let silent = matches!(expr.kind, ExprKind::Step { .. })
            || value.ty == Type::Void
            || !self.now.is_user_text(expr.span, &self.script.sources);
        if !silent {
            self.warn("discarded", expr.span, "Return value discarded.");
        }
        if value.lit.is_none() {
            out.extend(statements(value));
        }
        Some(())
    }

    fn let_stmt(
        &mut self,
        stmt: &'a Stmt,
        name: &'a Ident,
        ty: Option<&'a TypeExpr>,
        value: Option<&'a Expr>,
        span: Span,
        out: &mut Out,
    ) -> Option<()> {
        let value = value.map(|value| self.expr(value));
        let ty = match ty {
            Some(ty) => {
                let resolved = self.type_expr(ty);
                if let Some(bad) = resolved
                    .as_ref()
                    .filter(|t| t.is_aggregate() || **t == Type::Void)
                {
                    let message =
                        format!("Invalid variable declaration type: {}", self.type_name(bad));
                    self.error("type", ty.span, message);
                }
                Some(resolved)
            }
            None => None,
        };
        if !self.check_shadowing(&name.name, name.span, false) {
            return None;
        }
        let var = self.declare(place(stmt), &name.name, Origin::Declaration, span);
        if let Some(ty) = ty {
            let ty = crate::check::scope::stored(&ty?);
            self.fix_var(var, ty);
        }
        match value {
            None => {
                let slot = self.slot(var);
                if self.vars.get(var).ty.is_some() {
                    emit(out, typed::StmtKind::Declare(slot), span);
                }
                Some(())
            }
            Some(value) => {
                self.vars.get_mut(var).assigned = true;
                self.set_var(var, value?, span, out)
            }
        }
    }

    /// A declared type holds, but for a `string` without a size, which grows with what it is given.
    fn fix_var(&mut self, var: VarRef, ty: Type) {
        let open = matches!(ty, Type::Str(0) | Type::Buf(0) | Type::Array(_, 0));
        let state = self.vars.get_mut(var);
        if open {
            if state.ty.is_none() {
                state.ty = Some(ty);
                self.changed = true;
            }
            return;
        }
        if state.ty.as_ref() != Some(&ty) {
            state.ty = Some(ty);
            self.changed = true;
        }
        state.fixed = true;
    }

    fn assign(
        &mut self,
        target: &'a Expr,
        op: Option<BinaryOp>,
        value: &'a Expr,
        span: Span,
        out: &mut Out,
    ) -> Option<()> {
        if self.strict_depth > 0
            && matches!(target.kind, ExprKind::Map(_) | ExprKind::MapKey { .. })
        {
            self.error(
                "introspection",
                span,
                "Map assignments not allowed inside of typeof or typeinfo",
            );
        }
        match &target.kind {
            ExprKind::Var(name) => {
                let value = match op {
                    None => self.expr(value),
                    Some(op) => {
                        let current = self.expr(target);
                        let value = self.expr(value);
                        self.operate(op, current?, value?, span)
                    }
                };
                let ident = Ident {
                    name: name.clone(),
                    span: target.span,
                };
                let var = match self.find_var(name) {
                    Some(var) => var,
                    None => self.declare(place(target), &ident.name, Origin::Assignment, span),
                };
                let state = self.vars.get_mut(var);
                state.assigned = true;
                let Some(value) = value else {
                    if self.vars.get(var).ty.is_none() {
                        self.report_cascade(
                            Diagnostic::error("unresolved", "Invalid expression for assignment")
                                .at(span, ""),
                        );
                    }
                    return None;
                };
                self.set_var(var, value, span, out)
            }
            ExprKind::Map(name) => self.assign_map(name, None, target, op, value, span, out),
            ExprKind::MapKey { map, key } => {
                self.assign_map(&map.name, Some(key), target, op, value, span, out)
            }
            ExprKind::Error => None,
            _ => {
                self.expr(value);
                self.error(
                    "assignment",
                    target.span,
                    "only variables and maps can be assigned to",
                );
                None
            }
        }
    }

    fn operate(&mut self, op: BinaryOp, current: Val, value: Val, span: Span) -> Option<Val> {
        self.binary(op, current, value, span)
    }

    fn set_var(&mut self, var: VarRef, value: Val, span: Span, out: &mut Out) -> Option<()> {
        let name = self.vars.get(var).name.clone();
        if value.ty == Type::Void || (value.ty.is_aggregate() && aggregate_int(&value.ty).is_none())
        {
            let message = format!(
                "Value '{}' cannot be assigned to a scratch variable.",
                self.type_name(&value.ty)
            );
            self.error("assignment", span, message);
            return None;
        }
        self.complete(&value.ty);
        if !self.widen_var(var, &value.ty, value.space, span) {
            return None;
        }
        let ty = self.vars.get(var).ty.clone()?;
        let from = self.type_name(&value.ty);
        let Some(value) = self.coerce(value, &ty) else {
            let message = format!(
                "Type mismatch for {name}: trying to assign value of type '{from}' when variable already has a type '{}'",
                self.type_name(&ty)
            );
            self.error("type-mismatch", span, message);
            return None;
        };
        let slot = self.slot(var);
        emit(
            out,
            typed::StmtKind::SetVar {
                var: slot,
                value: value.expr,
            },
            span,
        );
        Some(())
    }

    #[expect(clippy::too_many_arguments)]
    fn assign_map(
        &mut self,
        name: &'a str,
        key: Option<&'a Expr>,
        target: &'a Expr,
        op: Option<BinaryOp>,
        value: &'a Expr,
        span: Span,
        out: &mut Out,
    ) -> Option<()> {
        let id = self.map_use(name, key.is_some(), target.span);
        if op.is_none()
            && let Some(call) = aggregate_call(value)
        {
            return self.aggregate(id?, key, value, call, span, out);
        }
        let key = match (key, id) {
            (Some(key), Some(id)) => Some(self.map_key(id, key, target.span)?),
            _ => None,
        };
        let value = self.expr(value);
        let (id, value) = (id?, value?);
        match op {
            None => self.set_map(id, key, value, span, out),
            Some(op) => {
                // The key is evaluated once, and the map is read and written with it.
                let key = key.map(|key| self.bind(key, out));
                let map = self.maps.get(id);
                let ty = map.value.clone()?;
                if ty.is_aggregate() {
                    let message = format!(
                        "Type mismatch for {name}: trying to assign value of type '{}' when map already has a type '{}'",
                        match is_signed(&ty) || (is_signed(&value.ty) && !is_flexible(&value.ty)) {
                            true => "int64",
                            false => "uint64",
                        },
                        self.type_name(&ty)
                    );
                    self.error("type-mismatch", span, message);
                    return None;
                }
                let read = typed::ExprKind::MapGet {
                    map: id,
                    key: key.clone().map(|key| Box::new(key.expr)),
                };
                let current = Val::new(read, ty, target.span).in_space(map.space);
                let value = self.operate(op, current, value, span)?;
                self.set_map(id, key, value, span, out)
            }
        }
    }

    fn set_map(
        &mut self,
        id: MapId,
        key: Option<Val>,
        value: Val,
        span: Span,
        out: &mut Out,
    ) -> Option<()> {
        let name = self.maps.get(id).name.clone();
        if !self.check_map_value(id, &value, span) {
            return None;
        }
        self.complete(&value.ty);
        if !self.widen_map(id, &value.ty, value.space, span) {
            return None;
        }
        let ty = self.maps.get(id).value.clone()?;
        let from = self.type_name(&value.ty);
        let Some(value) = self.coerce(value, &ty) else {
            let message = format!(
                "Type mismatch for {name}: trying to assign value of type '{from}' when map already has a value type '{}'",
                self.type_name(&ty)
            );
            self.error("type-mismatch", span, message);
            return None;
        };
        emit(
            out,
            typed::StmtKind::SetMap {
                map: id,
                key: key.map(|k| k.expr),
                value: value.expr,
            },
            span,
        );
        Some(())
    }

    fn if_stmt(
        &mut self,
        cond: &'a Expr,
        then: &'a Block,
        otherwise: Option<&'a Block>,
        span: Span,
        out: &mut Out,
    ) -> Option<()> {
        if flow::is_comptime(cond) {
            let chosen = match self.decision(cond)? {
                true => Some(then),
                false => otherwise,
            };
            if let Some(block) = chosen {
                let stmts = self.block(block);
                emit(out, typed::StmtKind::Block(stmts), block.span);
            }
            return Some(());
        }
        let cond = self.condition(cond, span);
        let then = self.block(then);
        let otherwise = otherwise.map_or_else(Vec::new, |block| self.block(block));
        emit(
            out,
            typed::StmtKind::If {
                cond: cond?.expr,
                then,
                otherwise,
            },
            span,
        );
        Some(())
    }

    fn return_stmt(&mut self, value: Option<&'a Expr>, span: Span, out: &mut Out) -> Option<()> {
        let value = match value {
            None => None,
            Some(value) => {
                let value = self.expr(value)?;
                if !first_type(&value.ty).is_integer() {
                    let message = format!(
                        "Probe return values can only be integers. Found {}",
                        self.type_name(&value.ty)
                    );
                    self.error("return", span, message);
                    return None;
                }
                Some(self.explicit_int(value, &Type::I64).expr)
            }
        };
        emit(out, typed::StmtKind::Return(value), span);
        Some(())
    }
}

/// `count()` and its kin, also behind the statements of a block.
fn aggregate_call(value: &Expr) -> Option<&Expr> {
    match &value.kind {
        ExprKind::Call { name, .. } if super::aggregate::is_aggregate(&name.name) => Some(value),
        ExprKind::Block(block) => aggregate_call(block.value.as_deref()?),
        _ => None,
    }
}

impl Val {
    /// For an address in the memory that the value may come from.
    pub(crate) fn known_space(&self) -> Space {
        match &self.ty {
            Type::Pointer(_, space) => *space,
            _ => self.space,
        }
    }
}
