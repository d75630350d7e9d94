//! Loops: over maps, over ranges, and unrolled.

use crate::ast::{Block, Expr, ExprKind, Ident, Iterable, Stmt};
use crate::check::Checker;
use crate::check::flow::place;
use crate::check::literal::Lit;
use crate::check::promote::{aggregate_int, promote, settle};
use crate::check::scope::Origin;
use crate::check::stmt::{Out, emit};
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::typed::{self, MapId};
use crate::types::Type;

impl<'a> Checker<'a> {
    pub(crate) fn unroll(
        &mut self,
        count: &'a Expr,
        body: &'a Block,
        span: Span,
        out: &mut Out,
    ) -> Option<()> {
        let count = self
            .expr(count)
            .and_then(|v| v.lit.as_ref().and_then(Lit::as_int));
        let message = match count {
            None => "invalid unroll value",
            Some(n) if n > 100 => "unroll maximum value is 100",
            Some(n) if n < 1 => "unroll minimum value is 1",
            Some(n) => {
                let body = self.block(body);
                let count = u32::try_from(n).unwrap_or(1);
                emit(out, typed::StmtKind::Unroll { count, body }, span);
                return Some(());
            }
        };
        self.block(body);
        self.error("unroll", span, message);
        None
    }

    pub(crate) fn for_stmt(
        &mut self,
        stmt: &'a Stmt,
        var: &'a Ident,
        iter: &'a Iterable,
        body: &'a Block,
        span: Span,
        out: &mut Out,
    ) -> Option<()> {
        let fine = self.check_shadowing(&var.name, var.span, true);
        let header = match iter {
            Iterable::Map(map) => self.map_loop(map),
            Iterable::Range { start, end } => self.range_loop(start, end, span),
        };
        self.push_scope();
        let loop_var = self.declare(place(stmt), &var.name, Origin::Loop, var.span);
        if let Some(header) = &header {
            let state = self.vars.get_mut(loop_var);
            if state.ty.as_ref() != Some(header.ty()) {
                let grown = match &state.ty {
                    Some(old) => promote(old, header.ty()).unwrap_or(header.ty().clone()),
                    None => header.ty().clone(),
                };
                if state.ty.as_ref() != Some(&grown) {
                    state.ty = Some(grown);
                    self.changed = true;
                }
            }
        }
        let slot = self.slot(loop_var);
        self.now.loops += 1;
        self.now.loop_bodies += 1;
        let body = self.block(body);
        self.now.loop_bodies -= 1;
        self.now.loops -= 1;
        let ty = self.vars.get(loop_var).ty.clone();
        self.pop_scope();
        let header = header?;
        if !fine {
            return None;
        }
        match header {
            Header::Map(map, _) => emit(
                out,
                typed::StmtKind::ForMap {
                    var: slot,
                    map,
                    body,
                },
                span,
            ),
            Header::Range(bounds, _) => {
                let [start, end] = *bounds;
                let ty = settle(&ty?);
                let start = self.explicit_int(start, &ty);
                let end = self.explicit_int(end, &ty);
                emit(
                    out,
                    typed::StmtKind::ForRange {
                        var: slot,
                        start: start.expr,
                        end: end.expr,
                        body,
                    },
                    span,
                );
            }
        }
        Some(())
    }

    fn map_loop(&mut self, map: &'a Expr) -> Option<Header> {
        let ExprKind::Map(name) = &map.kind else {
            self.expr(map);
            self.error("loop", map.span, "a loop goes over a map or a range");
            return None;
        };
        if self
            .maps
            .find(name)
            .is_some_and(|id| self.maps.get(id).scalar == Some(true))
        {
            self.error(
                "loop",
                map.span,
                format!(
                    "{name} has no explicit keys (scalar map), and cannot be used for iteration"
                ),
            );
            return None;
        }
        let id = self.map_use(name, true, map.span)?;
        let state = self.maps.get(id);
        let (key, value) = (state.key.clone(), state.value.clone());
        let (Some(key), Some(value)) = (key, value) else {
            self.report_cascade(
                Diagnostic::error("unknown-map", format!("Undefined map: {name}")).at(map.span, ""),
            );
            return None;
        };
        if value.is_aggregate() && aggregate_int(&value).is_none() {
            let message = format!(
                "Loop expression does not support type: {}",
                self.type_name(&value)
            );
            self.error("loop", map.span, message);
            return None;
        }
        Some(Header::Map(id, Type::Tuple([key, value].into())))
    }

    fn range_loop(&mut self, start: &'a Expr, end: &'a Expr, span: Span) -> Option<Header> {
        let start = self.expr(start);
        let end = self.expr(end);
        let (start, end) = (start?, end?);
        let mut fine = true;
        for (value, which) in [(&start, "start"), (&end, "end")] {
            if !value.ty.is_integer() {
                fine = false;
                self.error(
                    "loop",
                    span,
                    format!("Loop range requires an integer for the {which} value"),
                );
            }
        }
        if !fine {
            return None;
        }
        let ty = promote(&start.ty, &end.ty)?;
        Some(Header::Range(Box::new([start, end]), ty))
    }
}

/// What a loop goes over, and the type of its variable.
enum Header {
    Map(MapId, Type),
    Range(Box<[Val; 2]>, Type),
}

impl Header {
    fn ty(&self) -> &Type {
        match self {
            Header::Map(_, ty) | Header::Range(_, ty) => ty,
        }
    }
}
