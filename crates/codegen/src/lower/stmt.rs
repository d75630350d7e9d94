//! Statements.

use beetrace_lang::typed::{Stmt, StmtKind};

use super::Result;
use super::func::{LoopTargets, Lower};

impl Lower<'_, '_> {
    pub(super) fn stmts(&mut self, stmts: &[Stmt]) -> Result<()> {
        for stmt in stmts {
            self.with_span(stmt.span, |l| {
                let mark = l.mark();
                l.stmt(stmt)?;
                l.release(mark);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<()> {
        match &stmt.kind {
            StmtKind::Expr(expr) => self.effect(expr),
            StmtKind::Declare(var) => self.declare_var(*var, stmt.span),
            StmtKind::SetVar { var, value } => self.set_var(*var, value),
            StmtKind::SetMap { map, key, value } => {
                self.set_map(*map, key.as_ref(), value, stmt.span)
            }
            StmtKind::Aggregate { map, key, value } => {
                self.aggregate(*map, key.as_ref(), value.as_ref(), stmt.span)
            }
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => {
                let fork = self.fork();
                let (yes, _) = self.f.b.block(0);
                let (end, _) = self.f.b.block(0);
                let (no, _) = if otherwise.is_empty() {
                    (end, Vec::new())
                } else {
                    self.f.b.block(0)
                };
                let mark = self.mark();
                self.cond(cond, yes, no)?;
                self.release(mark);
                self.f.b.switch_to(yes);
                self.stmts(then)?;
                self.f.b.jump(end, &[]);
                if !otherwise.is_empty() {
                    self.f.b.switch_to(no);
                    self.stmts(otherwise)?;
                    self.f.b.jump(end, &[]);
                }
                self.join(end, fork);
                Ok(())
            }
            StmtKind::While { cond, body } => self.while_loop(cond, body),
            StmtKind::Unroll { count, body } => self.unroll(*count, body),
            StmtKind::ForMap { var, map, body } => self.for_map(*var, *map, body, stmt.span),
            StmtKind::ForRange {
                var,
                start,
                end,
                body,
            } => self.for_range(*var, start, end, body, stmt.span),
            StmtKind::Block(body) => self.stmts(body),
            StmtKind::Break => {
                self.end_round(true);
                Ok(())
            }
            StmtKind::Continue => {
                self.end_round(false);
                Ok(())
            }
            StmtKind::Return(value) => {
                let value = match value {
                    Some(value) => Some(self.scalar(value)?),
                    None => None,
                };
                self.leave(value);
                Ok(())
            }
            StmtKind::Action(action) => self.action(action, stmt.span),
        }
    }

    /// `break`, or else `continue`.
    fn end_round(&mut self, is_break: bool) {
        match self.f.loops.last() {
            Some(LoopTargets::Native { end, next }) => {
                let target = if is_break { *end } else { *next };
                self.f.b.jump(target, &[]);
            }
            Some(LoopTargets::Callback) => {
                let stop = self.iconst(i64::from(is_break));
                self.f.b.ret(stop);
            }
            None => {}
        }
    }
}
