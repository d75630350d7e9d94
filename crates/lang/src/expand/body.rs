//! Bodies: macros, `#define`s and parameters replaced by what they stand for.

use std::collections::HashMap;

use crate::ast::{
    BinaryOp, Block, Expr, ExprKind, Ident, Iterable, Macro, Stmt, StmtKind, TypeBase, TypeExpr,
    TypeSuffix,
};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::options::Options;
use crate::parser;
use crate::span::{SourceId, Sources, Span};

use super::macros::{self, Defines, Definition, Lookup, MacroTable};
use super::params::{self, NamedParam, NamedParams};

/// Nested expansions before one is called endless, and nodes before it is called too large.
const MAX_DEPTH: usize = 64;
const MAX_EXPANSIONS: u32 = 20_000;

pub struct Expander<'a> {
    macros: &'a MacroTable,
    defines: &'a Defines,
    options: &'a Options,
    sources: &'a mut Sources,
    diags: &'a mut Diagnostics,
    named: NamedParams,
    /// Numbers the expansions, for the names of their variables.
    count: u32,
    /// Names of the macros and defines that are being expanded.
    active: Vec<String>,
}

/// What names mean in the text that is walked: in a probe, or in a macro's body.
#[derive(Default)]
struct Scope {
    /// Arguments by parameter, already expanded.
    args: HashMap<String, Expr>,
    /// The number of the expansion; `None` in a probe.
    macro_number: Option<u32>,
    is_stdlib: bool,
    /// The text that the body is from, and that of this expansion.
    source: Option<(SourceId, SourceId)>,
}

impl Scope {
    /// Moves a place of the body to the text of the expansion.
    fn locate(&self, span: &mut Span) {
        if let Some((_, to)) = self.source.filter(|(from, _)| *from == span.source) {
            span.source = to;
        }
    }
}

impl<'a> Expander<'a> {
    pub fn new(
        macros: &'a MacroTable,
        defines: &'a Defines,
        options: &'a Options,
        sources: &'a mut Sources,
        diags: &'a mut Diagnostics,
    ) -> Self {
        Expander {
            macros,
            defines,
            options,
            sources,
            diags,
            named: NamedParams::default(),
            count: 0,
            active: Vec::new(),
        }
    }

    /// The parameters that the script declared with `getopt`.
    pub fn finish(self) -> Vec<NamedParam> {
        self.named.into_list()
    }

    pub fn root_expr(&mut self, expr: &mut Expr) {
        self.expr(expr, &Scope::default());
    }

    pub fn root_block(&mut self, block: &mut Block) {
        self.block(block, &Scope::default());
    }

    fn block(&mut self, block: &mut Block, scope: &Scope) {
        scope.locate(&mut block.span);
        for stmt in &mut block.stmts {
            self.stmt(stmt, scope);
        }
        if let Some(value) = &mut block.value {
            self.expr(value, scope);
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt, scope: &Scope) {
        scope.locate(&mut stmt.span);
        match &mut stmt.kind {
            StmtKind::Expr(e) => {
                self.expr(e, scope);
                // A macro without a value is a statement.
                if let ExprKind::Block(block) = &mut e.kind
                    && block.value.is_none()
                {
                    stmt.kind = StmtKind::Block(std::mem::take(block));
                }
            }
            StmtKind::Discard(e) => self.expr(e, scope),
            StmtKind::Let { var, ty, value } => {
                self.ident(var, scope);
                if let Some(ty) = ty {
                    self.type_expr(ty, scope);
                }
                if let Some(value) = value {
                    self.expr(value, scope);
                }
            }
            StmtKind::Assign { target, value, .. } => {
                self.expr(target, scope);
                self.expr(value, scope);
            }
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond, scope);
                self.block(then, scope);
                if let Some(otherwise) = otherwise {
                    self.block(otherwise, scope);
                }
            }
            StmtKind::While { cond, body } | StmtKind::Unroll { count: cond, body } => {
                self.expr(cond, scope);
                self.block(body, scope);
            }
            StmtKind::For { var, iter, body } => {
                match iter {
                    Iterable::Map(map) => self.expr(map, scope),
                    Iterable::Range { start, end } => {
                        self.expr(start, scope);
                        self.expr(end, scope);
                    }
                }
                self.ident(var, scope);
                self.block(body, scope);
            }
            StmtKind::Block(block) => self.block(block, scope),
            StmtKind::Return(Some(value)) => self.expr(value, scope),
            StmtKind::Break | StmtKind::Continue | StmtKind::Return(None) => {}
            StmtKind::Import(import) => {
                let message = "an import stands at the top of a script, before probes and macros";
                self.diags
                    .push(Diagnostic::error("import", message).at(import.span, ""));
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr, scope: &Scope) {
        scope.locate(&mut expr.span);
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Int { .. } | ExprKind::Bool(_) | ExprKind::Str(_) | ExprKind::Error => {}
            ExprKind::Ident(name) => {
                if let Some(replacement) = self.word(name, span, scope) {
                    *expr = replacement;
                }
            }
            ExprKind::Var(name) => self.variable(name, scope),
            ExprKind::Map(name) => self.map(name, span, scope),
            ExprKind::MapKey { map, key } => {
                scope.locate(&mut map.span);
                self.map(&mut map.name, map.span, scope);
                self.expr(key, scope);
            }
            ExprKind::Param(n) => {
                if !params::is_given(self.options, *n) {
                    let message = format!("Positional parameter ${n} is empty or not provided.");
                    self.diags
                        .push(Diagnostic::warning("parameter", message).at(span, ""));
                }
                expr.kind = params::positional(self.options, *n);
            }
            ExprKind::ParamCount => expr.kind = params::count(self.options),
            ExprKind::Unary { expr, .. } | ExprKind::Comptime(expr) => self.expr(expr, scope),
            ExprKind::Step { target, .. } => self.expr(target, scope),
            ExprKind::Binary { left, right, .. }
            | ExprKind::OrElse {
                value: left,
                otherwise: right,
            }
            | ExprKind::Index {
                base: left,
                index: right,
            } => {
                self.expr(left, scope);
                self.expr(right, scope);
            }
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond, scope);
                self.expr(then, scope);
                self.expr(otherwise, scope);
            }
            ExprKind::If {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond, scope);
                self.block(then, scope);
                self.block(otherwise, scope);
            }
            ExprKind::Field { base, field } => {
                scope.locate(&mut field.span);
                self.expr(base, scope);
                member(field, scope);
            }
            ExprKind::TupleIndex { base, .. } => self.expr(base, scope),
            ExprKind::Cast { ty, expr } => {
                self.type_expr(ty, scope);
                self.expr(expr, scope);
            }
            ExprKind::Tuple(items) => items.iter_mut().for_each(|i| self.expr(i, scope)),
            ExprKind::Record(items) => items.iter_mut().for_each(|(name, i)| {
                scope.locate(&mut name.span);
                self.expr(i, scope);
            }),
            ExprKind::Call { .. } => self.call(expr, scope),
            ExprKind::Type(ty) => self.type_expr(ty, scope),
            ExprKind::Block(block) => self.block(block, scope),
        }
    }

    fn ident(&mut self, var: &mut Ident, scope: &Scope) {
        scope.locate(&mut var.span);
        self.variable(&mut var.name, scope);
    }

    /// A variable of a macro's body gets a name that nobody outside can have.
    fn variable(&mut self, name: &mut String, scope: &Scope) {
        if let Some(Expr {
            kind: ExprKind::Var(arg),
            ..
        }) = scope.args.get(name.as_str())
        {
            name.clone_from(arg);
        } else if let Some(n) = scope.macro_number {
            *name = format!("{name}#{n}");
        }
    }

    fn map(&mut self, name: &mut String, span: Span, scope: &Scope) {
        if let Some(Expr {
            kind: ExprKind::Map(arg),
            ..
        }) = scope.args.get(name.as_str())
        {
            name.clone_from(arg);
        } else if scope.macro_number.is_some() {
            let message = format!(
                "Unhygienic access to map: {name}. Maps must be passed into the macro as arguments."
            );
            self.diags
                .push(Diagnostic::error("macro", message).at(span, ""));
        }
    }

    /// What a bare word stands for, where it is a parameter, a `#define` or a macro without arguments.
    fn word(&mut self, name: &str, span: Span, scope: &Scope) -> Option<Expr> {
        if let Some(arg) = scope.args.get(name) {
            return Some(arg.clone());
        }
        if let Some((text, text_span)) = self.defines.get(name) {
            if self.active.iter().any(|a| a == name) {
                return None;
            }
            let mut value =
                parser::parse_expr_fragment(text_span.source, text, text_span, self.diags)?;
            self.active.push(name.to_string());
            self.expr(&mut value, &Scope::default());
            self.active.pop();
            value.span = span;
            return Some(value);
        }
        match self.macros.lookup(name, &[], scope.is_stdlib) {
            Lookup::Found(definition) => self.expand_macro(definition, Vec::new(), span),
            Lookup::Absent | Lookup::Mismatch(_) => None,
        }
    }

    fn call(&mut self, expr: &mut Expr, scope: &Scope) {
        let span = expr.span;
        let ExprKind::Call { name, args } = &mut expr.kind else {
            return;
        };
        scope.locate(&mut name.span);
        if let Some(text) = params::string_of_param(&name.name, args, self.options) {
            args[0] = Expr {
                kind: ExprKind::Str(text),
                span: args[0].span,
            };
        }
        if name.name == "getopt" {
            args.iter_mut().for_each(|a| self.expr(a, scope));
            let value = self.named.getopt(args, span, self.options, self.diags);
            *expr = value;
            return;
        }
        let takes_type = matches!(name.name.as_str(), "sizeof" | "offsetof" | "typeinfo");
        for (i, arg) in args.iter_mut().enumerate() {
            match &arg.kind {
                // A bare word may be a type's name here, or the path of a member.
                ExprKind::Ident(word) if takes_type => {
                    if let Some(value) = scope.args.get(word) {
                        *arg = value.clone();
                    }
                }
                ExprKind::Field { .. } if i == 1 && name.name == "offsetof" => {}
                _ => self.expr(arg, scope),
            }
        }
        match self.macros.lookup(&name.name, args, scope.is_stdlib) {
            Lookup::Found(definition) => {
                let args = std::mem::take(args);
                if let Some(value) = self.expand_macro(definition, args, span) {
                    *expr = value;
                } else {
                    expr.kind = ExprKind::Error;
                }
            }
            Lookup::Mismatch(closest) => {
                self.diags
                    .push(macros::mismatch(&name.name, args, span, closest));
                expr.kind = ExprKind::Error;
            }
            Lookup::Absent => {}
        }
    }

    /// The body with its parameters replaced. `None`, with a complaint, where it would never end.
    fn expand_macro(
        &mut self,
        definition: &Definition,
        args: Vec<Expr>,
        call: Span,
    ) -> Option<Expr> {
        let item: &Macro = &definition.item;
        let signature = format!("{}/{}", item.name.name, item.params.len());
        // A macro of the library may wrap the built-in of its own name.
        let calls_itself = self.active.iter().filter(|a| **a == signature).count();
        if calls_itself > 0 && definition.is_stdlib && args.is_empty() {
            return None;
        }
        if calls_itself > 0 || self.active.len() >= MAX_DEPTH {
            let message = format!(
                "Recursive macro call detected. Call chain: {}",
                self.chain(&item.name.name)
            );
            self.diags
                .push(Diagnostic::error("macro", message).at(call, ""));
            return None;
        }
        self.count += 1;
        if self.count == MAX_EXPANSIONS {
            let message = format!("macros expand more than {MAX_EXPANSIONS} times");
            self.diags
                .push(Diagnostic::error("macro", message).at(call, ""));
        }
        if self.count >= MAX_EXPANSIONS {
            return None;
        }
        let names = item.params.iter().map(|p| p.name.name.clone());
        let scope = Scope {
            args: names.zip(args).collect(),
            macro_number: Some(self.count),
            is_stdlib: definition.is_stdlib,
            source: Some((
                item.span.source,
                self.sources.add_expansion(item.span.source, call),
            )),
        };
        let mut body = item.body.clone();
        self.active.push(signature);
        self.block(&mut body, &scope);
        self.active.pop();
        if body.stmts.is_empty()
            && let Some(value) = body.value
        {
            return Some(*value);
        }
        Some(Expr {
            span: body.span,
            kind: ExprKind::Block(body),
        })
    }

    fn chain(&self, last: &str) -> String {
        let name = |s: &str| s.split('/').next().unwrap_or(s).to_string();
        let mut names: Vec<String> = self.active.iter().map(|a| name(a)).collect();
        names.push(last.to_string());
        names.join(" > ")
    }

    fn type_expr(&mut self, ty: &mut TypeExpr, scope: &Scope) {
        scope.locate(&mut ty.span);
        let argument = match &ty.base {
            TypeBase::Named(name) => scope.args.get(name).cloned(),
            _ => None,
        };
        let given = argument.is_some();
        if let Some(argument) = argument {
            ty.base = TypeBase::Typeof(Box::new(argument));
        }
        match &mut ty.base {
            // An argument is expanded already.
            _ if given => {}
            TypeBase::Named(_) | TypeBase::Struct(_) | TypeBase::Union(_) | TypeBase::Enum(_) => {}
            TypeBase::Typeof(inner) => match &inner.kind {
                ExprKind::Ident(word) => {
                    if let Some(value) = scope.args.get(word) {
                        **inner = value.clone();
                    }
                }
                _ => self.expr(inner, scope),
            },
            TypeBase::Tuple(items) => items.iter_mut().for_each(|t| self.type_expr(t, scope)),
            TypeBase::Record(items) => items.iter_mut().for_each(|(_, t)| self.type_expr(t, scope)),
        }
        for suffix in &mut ty.suffixes {
            if let TypeSuffix::Array(Some(len)) = suffix {
                self.expr(len, scope);
            }
        }
    }
}

/// A member's name may be a macro's parameter: `offsetof(type, member)`.
fn member(field: &mut Ident, scope: &Scope) {
    if let Some(Expr {
        kind: ExprKind::Ident(name),
        ..
    }) = scope.args.get(&field.name)
    {
        field.name.clone_from(name);
    }
}

/// `left && right` of two conditions.
pub fn and(left: Expr, right: Expr) -> Expr {
    let span = right.span;
    Expr {
        kind: ExprKind::Binary {
            op: BinaryOp::And,
            left: Box::new(left),
            right: Box::new(right),
        },
        span,
    }
}
