//! Expressions: the walk, and the simple ones.

use crate::ast::{Block, Expr, ExprKind, Ident};
use crate::check::Checker;
use crate::check::coerce::first_type;
use crate::check::flow::place;
use crate::check::literal::Lit;
use crate::check::locked::Asked;
use crate::check::promote::{aggregate_int, numeric, promote, settle};
use crate::check::scope::stored;
use crate::check::value::Val;
use crate::check::{Run, flow};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::typed::{self, Stmt, StmtKind};
use crate::types::{Space, Type};

/// Expressions deeper than this are refused, long before the stack ends.
const DEEPEST: u32 = 300;

impl<'a> Checker<'a> {
    /// Checks an expression for its value.
    pub(crate) fn expr(&mut self, expr: &'a Expr) -> Option<Val> {
        if self.depth >= DEEPEST {
            self.error("too-deep", expr.span, "expression is nested too deeply");
            return None;
        }
        self.depth += 1;
        let value = self.expr_within(expr);
        self.depth -= 1;
        value
    }

    fn expr_within(&mut self, expr: &'a Expr) -> Option<Val> {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Int { value, .. } => Some(Val::constant(Lit::Int(i128::from(*value)), span)),
            ExprKind::Bool(value) => Some(Val::constant(Lit::Bool(*value), span)),
            ExprKind::Str(text) => Some(self.string(text, span)),
            ExprKind::Ident(name) => self.ident(name, span),
            ExprKind::Var(name) => self.variable(name, span),
            ExprKind::Map(name) => self.map_read(name, None, span),
            ExprKind::MapKey { map, key } => self.map_read(&map.name, Some(key), span),
            ExprKind::Param(_) | ExprKind::ParamCount => {
                self.error("parameter", span, "positional parameter was not expanded");
                None
            }
            ExprKind::Unary { op, expr } => self.unary(*op, expr, span),
            ExprKind::Step {
                delta,
                prefix,
                target,
            } => self.step(*delta, *prefix, target, span),
            ExprKind::Binary { op, left, right } => {
                let left = self.expr(left);
                let right = self.expr(right);
                self.binary(*op, left?, right?, span)
            }
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => self.ternary(cond, Branch::Expr(then), Branch::Expr(otherwise), span),
            ExprKind::If {
                cond,
                then,
                otherwise,
            } => self.ternary(cond, Branch::Block(then), Branch::Block(otherwise), span),
            ExprKind::OrElse { value, otherwise } => self.or_else(value, otherwise, span),
            ExprKind::Field { base, field } => self.field(base, field, span),
            ExprKind::TupleIndex { base, index } => {
                let base = self.expr(base)?;
                self.element(base, *index, span)
            }
            ExprKind::Index { base, index } => self.index(base, index, span),
            ExprKind::Cast { ty, expr } => self.cast(ty, expr, span),
            ExprKind::Tuple(elements) => self.tuple(elements, span),
            ExprKind::Record(members) => self.record(members, span),
            ExprKind::Call { name, args } => self.call(name, args, span),
            ExprKind::Type(_) => {
                self.error("type", span, "a type cannot be used as a value");
                None
            }
            ExprKind::Comptime(inner) => self.comptime(inner, span),
            ExprKind::Block(block) => self.block_value(block, span),
            ExprKind::Error => None,
        }
    }

    /// A string literal, which must have room where strings go.
    pub(crate) fn string(&mut self, text: &str, span: Span) -> Val {
        let limit = self.script.settings.max_strlen;
        if !self.now.format_text && text.len() as u64 > limit.saturating_sub(1) {
            self.error(
                "string-length",
                span,
                format!("String is too long (over {limit} bytes): {text}"),
            );
        }
        Val::constant(Lit::Str(text.to_owned()), span)
    }

    fn variable(&mut self, name: &str, span: Span) -> Option<Val> {
        let var = self.lookup_var(name, span)?;
        let state = self.vars.get(var);
        let (ty, space, assigned) = (state.ty.clone(), state.space, state.assigned);
        if !assigned && self.strict_depth == 0 && !name.contains('#') {
            self.warn(
                "unassigned",
                span,
                format!("Variable used before it was assigned: {name}"),
            );
        }
        let Some(ty) = ty else {
            self.report_cascade(
                Diagnostic::error("unresolved", "Could not resolve the type of this variable")
                    .at(span, ""),
            );
            return None;
        };
        self.ask(Asked::Var(var), &ty);
        let slot = self.slot(var);
        Some(Val::new(typed::ExprKind::Var(slot), ty, span).in_space(space))
    }

    /// The value of a map: as a scalar, or for a key.
    pub(crate) fn map_read(
        &mut self,
        name: &str,
        key: Option<&'a Expr>,
        span: Span,
    ) -> Option<Val> {
        let id = self.map_use(name, key.is_some(), span);
        let key = match key {
            Some(key) => match id {
                Some(id) => Some(self.map_key(id, key, span)?),
                None => {
                    self.expr(key);
                    None
                }
            },
            None => None,
        };
        let id = id?;
        let map = self.maps.get(id);
        let (ty, space) = (map.value.clone()?, map.space);
        self.ask(Asked::Value(id), &ty);
        let key = key.map(|key| Box::new(key.expr));
        let kind = if ty.is_aggregate() {
            typed::ExprKind::MapAggregate { map: id, key }
        } else {
            typed::ExprKind::MapGet { map: id, key }
        };
        Some(Val::new(kind, ty, span).in_space(space))
    }

    fn tuple(&mut self, elements: &'a [Expr], span: Span) -> Option<Val> {
        let values: Vec<Option<Val>> = elements.iter().map(|e| self.expr(e)).collect();
        let values = values.into_iter().collect::<Option<Vec<Val>>>()?;
        for value in &values {
            if !self.storable(value, "tuple") {
                return None;
            }
        }
        let ty = Type::Tuple(values.iter().map(|v| v.ty.clone()).collect());
        let lit = values
            .iter()
            .map(|v| v.lit.clone())
            .collect::<Option<Vec<_>>>()
            .map(Lit::Tuple);
        let kind = typed::ExprKind::Tuple(values.into_iter().map(|v| v.expr).collect());
        let mut value = Val::new(kind, ty, span);
        value.lit = lit;
        Some(value)
    }

    fn record(&mut self, members: &'a [(Ident, Expr)], span: Span) -> Option<Val> {
        let values: Vec<Option<Val>> = members.iter().map(|(_, e)| self.expr(e)).collect();
        let values = values.into_iter().collect::<Option<Vec<Val>>>()?;
        for value in &values {
            if !self.storable(value, "record") {
                return None;
            }
        }
        let named = || members.iter().map(|(name, _)| name.name.clone());
        let ty = Type::Record(named().zip(values.iter().map(|v| v.ty.clone())).collect());
        let lit = values
            .iter()
            .map(|v| v.lit.clone())
            .collect::<Option<Vec<_>>>()
            .map(|lits| Lit::Record(named().zip(lits).collect()));
        let kind = typed::ExprKind::Record {
            order: (0..values.len() as u32).collect(),
            values: values.into_iter().map(|v| v.expr).collect(),
        };
        let mut value = Val::new(kind, ty, span);
        value.lit = lit;
        Some(value)
    }

    /// Whether a value can be part of another.
    fn storable(&mut self, value: &Val, what: &str) -> bool {
        if value.ty.is_aggregate() && aggregate_int(&value.ty).is_none() {
            let message = format!(
                "Map type {} cannot exist inside a {what}.",
                self.type_name(&value.ty)
            );
            self.error("map-type", value.span(), message);
            return false;
        }
        if value.ty == Type::Void {
            self.error(
                "void",
                value.span(),
                format!("an expression without a value cannot be part of a {what}"),
            );
            return false;
        }
        self.complete(&value.ty);
        true
    }

    /// Reads all members of the structs in a type whose values will be shown or compared.
    pub(crate) fn complete(&mut self, ty: &Type) {
        match ty {
            Type::Struct(id, _) => self.structs.load_all_fields(&self.btf, *id),
            Type::Array(of, _) => self.complete(of),
            Type::Tuple(elements) => elements.iter().for_each(|t| self.complete(t)),
            Type::Record(members) => members.iter().for_each(|(_, t)| self.complete(t)),
            _ => {}
        }
    }

    /// `comptime e`: the value must be constant.
    fn comptime(&mut self, inner: &'a Expr, span: Span) -> Option<Val> {
        let value = self.expr(inner)?;
        match value.lit {
            Some(lit) => Some(Val::constant(lit, span)),
            None => {
                self.error("comptime", span, "Unable to resolve comptime expression");
                None
            }
        }
    }

    /// What the condition of a `comptime` branch turned out to be; `None` while that is open.
    pub(crate) fn decision(&mut self, cond: &'a Expr) -> Option<bool> {
        let key = (self.now.index, place(cond));
        if let Some(&decision) = self.decisions.get(&key) {
            return Some(decision);
        }
        if self.run == Run::Infer {
            return None;
        }
        let ExprKind::Comptime(inner) = &cond.kind else {
            return None;
        };
        let outer = std::mem::replace(&mut self.deciding, true);
        let value = self.expr(inner);
        self.deciding = outer;
        let truth = value.as_ref().and_then(|v| v.lit.as_ref()?.truth());
        match truth {
            Some(truth) if self.run == Run::Decide => {
                self.decisions.insert(key, truth);
                self.changed = true;
            }
            None => {
                let unresolved =
                    Diagnostic::error("comptime", "Unable to resolve comptime expression")
                        .at(cond.span, "");
                match value {
                    Some(_) => self.report(unresolved),
                    None => self.report_cascade(unresolved),
                }
            }
            _ => {}
        }
        None
    }

    fn ternary(
        &mut self,
        cond: &'a Expr,
        then: Branch<'a>,
        otherwise: Branch<'a>,
        span: Span,
    ) -> Option<Val> {
        if flow::is_comptime(cond) {
            return match self.decision(cond)? {
                true => self.branch(then),
                false => self.branch(otherwise),
            };
        }
        let cond = self.condition(cond, span);
        let then = self.branch(then);
        let otherwise = self.branch(otherwise);
        let (cond, then, otherwise) = match (cond, then, otherwise) {
            (Some(cond), Some(then), Some(otherwise)) => (cond, then, otherwise),
            // While one branch is unknown, the other's type does.
            (_, Some(known), None) | (_, None, Some(known)) if !self.building() => {
                return Some(opaque(known));
            }
            _ => return None,
        };
        if let (Some(truth), Some(_), Some(_)) = (
            cond.lit.as_ref().and_then(Lit::truth),
            &then.lit,
            &otherwise.lit,
        ) {
            return Some(if truth { then } else { otherwise });
        }
        if then.ty == Type::Void && otherwise.ty == Type::Void {
            let kind = StmtKind::If {
                cond: cond.expr,
                then: statements(then),
                otherwise: statements(otherwise),
            };
            return Some(Val::void(vec![Stmt { kind, span }], span));
        }
        let ty = promote(&first_type(&then.ty), &otherwise.ty);
        let Some(ty) = ty else {
            let message = format!(
                "Branches must return the same type or compatible types: have '{}' and '{}'",
                self.type_name(&then.ty),
                self.type_name(&otherwise.ty)
            );
            self.error("type-mismatch", span, message);
            return None;
        };
        let space = if then.space == Space::None {
            otherwise.space
        } else {
            then.space
        };
        let then = self.coerce(then, &ty)?;
        let otherwise = self.coerce(otherwise, &ty)?;
        let kind = typed::ExprKind::Ternary {
            cond: Box::new(cond.expr),
            then: Box::new(then.expr),
            otherwise: Box::new(otherwise.expr),
        };
        Some(Val::new(kind, stored(&ty), span).in_space(space))
    }

    fn branch(&mut self, branch: Branch<'a>) -> Option<Val> {
        match branch {
            Branch::Expr(expr) => self.expr(expr),
            Branch::Block(block) => self.block_value(block, block.span),
        }
    }

    /// `value ?: otherwise`
    fn or_else(&mut self, value: &'a Expr, otherwise: &'a Expr, span: Span) -> Option<Val> {
        let value = self.expr(value);
        let otherwise = self.expr(otherwise);
        let (value, otherwise) = (value?, otherwise?);
        let Some(ty) = promote(&first_type(&value.ty), &otherwise.ty) else {
            let message = format!(
                "Branches must return the same type or compatible types: have '{}' and '{}'",
                self.type_name(&value.ty),
                self.type_name(&otherwise.ty)
            );
            self.error("type-mismatch", span, message);
            return None;
        };
        if !self.is_condition(&value, span) {
            return None;
        }
        let space = value.space;
        let slot = self.temporary(&value.expr.ty);
        let read = || {
            let mut read = Val::new(typed::ExprKind::Var(slot), value.ty.clone(), span);
            read.expr.ty = value.expr.ty.clone();
            read
        };
        let cond = self.truth(read());
        let then = self.coerce(read(), &ty)?;
        let otherwise = self.coerce(otherwise, &ty)?;
        let chosen = Val::new(
            typed::ExprKind::Ternary {
                cond: Box::new(cond.expr),
                then: Box::new(then.expr),
                otherwise: Box::new(otherwise.expr),
            },
            ty.clone(),
            span,
        );
        let set = Stmt {
            kind: StmtKind::SetVar {
                var: slot,
                value: value.expr,
            },
            span,
        };
        let kind = typed::ExprKind::Block {
            stmts: vec![set],
            value: Some(Box::new(chosen.expr)),
        };
        Some(Val::new(kind, ty, span).in_space(space))
    }

    /// A condition: an integer, a pointer, a boolean; a string only as a literal.
    pub(crate) fn condition(&mut self, cond: &'a Expr, span: Span) -> Option<Val> {
        let value = self.expr(cond)?;
        self.is_condition(&value, span).then(|| self.truth(value))
    }

    fn is_condition(&mut self, value: &Val, span: Span) -> bool {
        let fine = value.lit.as_ref().is_some_and(|lit| lit.truth().is_some())
            || numeric(&value.ty).is_some()
            || matches!(value.ty, Type::Bool | Type::Pointer(..));
        if !fine {
            let message = format!(
                "Invalid condition: {}",
                crate::structs::base_name(&value.ty)
            );
            self.error("condition", span, message);
        }
        fine
    }

    /// `{ …; value }`
    pub(crate) fn block_value(&mut self, block: &'a Block, span: Span) -> Option<Val> {
        self.push_scope();
        let mut stmts = Vec::new();
        let fine = self.statements(&block.stmts, &mut stmts);
        let value = block.value.as_ref().map(|value| self.expr(value));
        self.pop_scope();
        let value = match value {
            Some(value) => value?,
            None => return fine.then(|| Val::void(stmts, span)),
        };
        if !fine && self.building() {
            return None;
        }
        if stmts.is_empty() {
            return Some(value);
        }
        if value.ty == Type::Void {
            stmts.extend(statements(value));
            return Some(Val::void(stmts, span));
        }
        let kind = typed::ExprKind::Block {
            stmts,
            value: Some(Box::new(value.expr)),
        };
        Some(Val::new(kind, value.ty, span).in_space(value.space))
    }

    /// Binds a value to a variable of the checker's own where it would be evaluated twice. The statement goes before its uses.
    pub(crate) fn bind(&mut self, value: Val, stmts: &mut Vec<Stmt>) -> Val {
        if value.is_simple() {
            return value;
        }
        let span = value.span();
        let ty = settle(&stored(&value.expr.ty));
        let slot = self.temporary(&ty);
        stmts.push(Stmt {
            kind: StmtKind::SetVar {
                var: slot,
                value: value.expr,
            },
            span,
        });
        let mut bound = Val::new(typed::ExprKind::Var(slot), value.ty, span).in_space(value.space);
        bound.expr.ty = ty;
        bound
    }
}

/// One side of a choice.
#[derive(Clone, Copy)]
pub(crate) enum Branch<'a> {
    Expr(&'a Expr),
    Block(&'a Block),
}

/// A value that only its type is wanted of.
fn opaque(mut value: Val) -> Val {
    value.lit = None;
    value
}

/// The statements of an expression that has no value.
pub(crate) fn statements(value: Val) -> Vec<Stmt> {
    match value.expr.kind {
        typed::ExprKind::Block { stmts, value: None } => stmts,
        _ => {
            let span = value.expr.span;
            vec![Stmt {
                kind: StmtKind::Expr(value.expr),
                span,
            }]
        }
    }
}
