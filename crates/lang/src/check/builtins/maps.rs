//! Questions and commands to maps.

use crate::ast::{Expr, ExprKind};
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::coerce::first_type;
use crate::check::literal::Lit;
use crate::check::value::Val;
use crate::span::Span;
use crate::typed::{self, Action, MapId};
use crate::types::Type;

impl<'a> Checker<'a> {
    pub(crate) fn map_call(
        &mut self,
        name: &str,
        args: &'a [Expr],
        discarded: bool,
        span: Span,
    ) -> Answer {
        match (name, args) {
            ("clear" | "zero", [map]) => Some(self.wipe(name, map, span)),
            ("delete", _) => Some(self.delete(args, discarded, span)),
            ("has_key", [map, key]) => Some(self.has_key(map, key, span)),
            ("find", [map, key, var]) => Some(self.find(map, key, var, span)),
            ("len", [what]) => Some(self.len(what, span)),
            ("is_scalar", [map]) => Some(self.is_scalar(map, span)),
            _ => None,
        }
    }

    fn wipe(&mut self, name: &str, map: &'a Expr, span: Span) -> Option<Val> {
        let ExprKind::Map(map_name) = &map.kind else {
            self.error(
                "argument",
                map.span,
                format!("{name}() expects a map argument"),
            );
            return None;
        };
        let id = self.whole_map(map_name, map.span)?;
        let action = match name {
            "clear" => Action::Clear(id),
            _ => Action::Zero(id),
        };
        Some(Val::action(action, span))
    }

    /// A map that must have keys, for a function; the message is the function's.
    fn keyed(&mut self, map: &'a Expr, function: &str, span: Span) -> Option<MapId> {
        let ExprKind::Map(name) = &map.kind else {
            self.error(
                "argument",
                map.span,
                format!("{function} expects a map argument"),
            );
            return None;
        };
        let scalar = self.maps.find(name).and_then(|id| self.maps.get(id).scalar);
        if scalar == Some(true) {
            self.error(
                "map-keys",
                span,
                format!("call to {function} expects a map with explicit keys (non-scalar map)"),
            );
            return None;
        }
        self.map_use(name, true, map.span)
    }

    fn delete(&mut self, args: &'a [Expr], discarded: bool, span: Span) -> Option<Val> {
        let (map, key) = match args {
            [map, key] => {
                let id = self.keyed(map, "delete() with two arguments", span)?;
                let key = self.map_key(id, key, span)?;
                (id, Some(key))
            }
            [one] => match &one.kind {
                ExprKind::MapKey { map, key } => {
                    let id = self.map_use(&map.name, true, one.span)?;
                    let key = self.map_key(id, key, one.span)?;
                    (id, Some(key))
                }
                ExprKind::Map(name) => {
                    let scalar = self.maps.find(name).and_then(|id| self.maps.get(id).scalar);
                    if scalar == Some(false) {
                        self.error("map-keys", span, "call to delete() with a single argument expects a map without explicit keys (scalar map)");
                        return None;
                    }
                    (self.map_use(name, false, one.span)?, None)
                }
                _ => {
                    self.error("argument", one.span, "delete() expects a map argument");
                    return None;
                }
            },
            _ => {
                self.check_arity("delete", args.len(), 1, 2, span);
                return None;
            }
        };
        let kind = typed::ExprKind::Delete {
            map,
            key: key.map(|k| Box::new(k.expr)),
            warn: discarded,
        };
        let value = Val::new(kind, Type::Bool, span);
        // Nobody asked: the run tells where the key was not there.
        Some(if discarded { self.effect(value) } else { value })
    }

    fn has_key(&mut self, map: &'a Expr, key: &'a Expr, span: Span) -> Option<Val> {
        let id = self.keyed(map, "has_key()", span)?;
        let key = self.map_key(id, key, span)?;
        let kind = typed::ExprKind::HasKey {
            map: id,
            key: Box::new(key.expr),
        };
        Some(Val::new(kind, Type::Bool, span))
    }

    fn find(&mut self, map: &'a Expr, key: &'a Expr, var: &'a Expr, span: Span) -> Option<Val> {
        let id = self.keyed(map, "find", span)?;
        let key = self.map_key(id, key, span)?;
        let ExprKind::Var(name) = &var.kind else {
            self.error(
                "argument",
                var.span,
                "find() expects a variable for the value",
            );
            return None;
        };
        let value = self.maps.get(id).value.clone()?;
        if value.is_aggregate() {
            let message = format!(
                "find() does not support maps of type {}",
                self.type_name(&value)
            );
            self.error("argument", span, message);
            return None;
        }
        let target = match self.find_var(name) {
            Some(target) => target,
            None => self.declare(
                crate::check::flow::place(var),
                name,
                crate::check::scope::Origin::Assignment,
                var.span,
            ),
        };
        self.vars.get_mut(target).assigned = true;
        let space = self.maps.get(id).space;
        if !self.widen_var(target, &first_type(&value), space, span) {
            return None;
        }
        let held = self.vars.get(target).ty.clone()?;
        let slot = self.slot(target);
        if crate::check::promote::settle(&held) == crate::check::promote::settle(&value) {
            let kind = typed::ExprKind::Find {
                map: id,
                key: Box::new(key.expr),
                var: slot,
            };
            return Some(Val::new(kind, Type::Bool, span));
        }
        // The variable is wider than the map's values: through one of the map's type.
        let narrow = self.temporary(&value);
        let found = Val::new(
            typed::ExprKind::Find {
                map: id,
                key: Box::new(key.expr),
                var: narrow,
            },
            Type::Bool,
            span,
        );
        let mut stmts = Vec::new();
        let found = self.bind(found, &mut stmts);
        let read = Val::new(typed::ExprKind::Var(narrow), value, span);
        let widened = self.coerce(read, &held)?;
        stmts.push(typed::Stmt {
            kind: typed::StmtKind::If {
                cond: found.expr.clone(),
                then: vec![typed::Stmt {
                    kind: typed::StmtKind::SetVar {
                        var: slot,
                        value: widened.expr,
                    },
                    span,
                }],
                otherwise: Vec::new(),
            },
            span,
        });
        let kind = typed::ExprKind::Block {
            stmts,
            value: Some(Box::new(found.expr)),
        };
        Some(Val::new(kind, Type::Bool, span))
    }

    fn len(&mut self, what: &'a Expr, span: Span) -> Option<Val> {
        if let ExprKind::Map(name) = &what.kind {
            let scalar = self.maps.find(name).and_then(|id| self.maps.get(id).scalar);
            if scalar == Some(true) {
                self.error(
                    "map-keys",
                    span,
                    "call to len() expects a map with explicit keys (non-scalar map)",
                );
                return None;
            }
            let id = self.whole_map(name, what.span)?;
            return Some(Val::new(typed::ExprKind::MapLen(id), Type::I64, span));
        }
        let value = self.expr(what)?;
        if !matches!(value.ty, Type::Stack(_)) {
            self.error(
                "argument",
                span,
                "call to len() expects a map, ustack, or kstack",
            );
            return None;
        }
        self.stack_len(value, span)
    }

    fn is_scalar(&mut self, map: &'a Expr, span: Span) -> Option<Val> {
        let ExprKind::Map(name) = &map.kind else {
            self.error(
                "argument",
                span,
                "is_scalar() expects a map for the first argument",
            );
            return None;
        };
        match self.maps.find(name).and_then(|id| self.maps.get(id).scalar) {
            Some(scalar) => Some(Val::constant(Lit::Bool(scalar), span)),
            None => {
                self.error("unknown-map", span, format!("Unknown map: {name}"));
                None
            }
        }
    }
}
