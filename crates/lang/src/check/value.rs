//! A checked expression on its way into the typed tree.

use crate::check::literal::Lit;
use crate::check::promote::{literal_type, settle_value};
use crate::span::Span;
use crate::typed::{Action, Expr, ExprKind, Stmt, StmtKind};
use crate::types::{Space, Type};

/// An expression with what the checker knows beyond its type.
#[derive(Clone, Debug)]
pub(crate) struct Val {
    /// Its `ty` is settled: what the compiler sees.
    pub(crate) expr: Expr,
    /// The type as far as inference goes: literals may be flexible, and an aggregate's value is still one.
    pub(crate) ty: Type,
    /// The value, where it is constant.
    pub(crate) lit: Option<Lit>,
    /// Of an integer: the memory that it is an address of, if it is one.
    pub(crate) space: Space,
}

impl Val {
    pub(crate) fn new(kind: ExprKind, ty: Type, span: Span) -> Val {
        Val {
            expr: Expr::new(kind, settle_value(&ty), span),
            ty,
            lit: None,
            space: Space::None,
        }
    }

    pub(crate) fn in_space(mut self, space: Space) -> Val {
        self.space = space;
        self
    }

    /// A constant. Records evaluate in the order of their members.
    pub(crate) fn constant(lit: Lit, span: Span) -> Val {
        let (kind, ty) = match &lit {
            Lit::Int(n) => (ExprKind::Int(*n as u64), literal_type(*n)),
            Lit::Bool(b) => (ExprKind::Int(u64::from(*b)), Type::Bool),
            Lit::Str(s) => {
                let size = u32::try_from(s.len() + 1).unwrap_or(u32::MAX);
                (ExprKind::Str(s.as_str().into()), Type::Str(size))
            }
            Lit::Tuple(elements) => {
                let values: Vec<Val> = elements
                    .iter()
                    .map(|lit| Val::constant(lit.clone(), span))
                    .collect();
                let ty = Type::Tuple(values.iter().map(|v| v.ty.clone()).collect());
                (
                    ExprKind::Tuple(values.into_iter().map(|v| v.expr).collect()),
                    ty,
                )
            }
            Lit::Record(members) => {
                let values: Vec<(String, Val)> = members
                    .iter()
                    .map(|(n, lit)| (n.clone(), Val::constant(lit.clone(), span)))
                    .collect();
                let ty = Type::Record(
                    values
                        .iter()
                        .map(|(n, v)| (n.clone(), v.ty.clone()))
                        .collect(),
                );
                let order = (0..values.len() as u32).collect();
                let values = values.into_iter().map(|(_, v)| v.expr).collect();
                (ExprKind::Record { values, order }, ty)
            }
        };
        let mut value = Val::new(kind, ty, span);
        value.lit = Some(lit);
        value
    }

    /// The value of something that has none.
    pub(crate) fn void(stmts: Vec<Stmt>, span: Span) -> Val {
        Val::new(ExprKind::Block { stmts, value: None }, Type::Void, span)
    }

    pub(crate) fn action(action: Action, span: Span) -> Val {
        Val::void(
            vec![Stmt {
                kind: StmtKind::Action(action),
                span,
            }],
            span,
        )
    }

    pub(crate) fn span(&self) -> Span {
        self.expr.span
    }

    /// An expression that is evaluated once and means the same when it is written twice.
    pub(crate) fn is_simple(&self) -> bool {
        self.lit.is_some() || matches!(self.expr.kind, ExprKind::Var(_))
    }
}
