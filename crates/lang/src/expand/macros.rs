//! The macros and `#define`s of a script and of the standard library.

use std::collections::HashMap;

use crate::ast::{Block, Expr, ExprKind, Ident, Macro, MacroParam};
use crate::check::builtins;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::parser;
use crate::span::Span;

/// `#define NAME text`, by name; the last one counts, as in C.
#[derive(Debug, Default)]
pub struct Defines {
    all: HashMap<String, (String, Span)>,
}

impl Defines {
    pub fn add(&mut self, name: &Ident, text: &str, span: Span) {
        self.all.insert(name.name.clone(), (text.to_string(), span));
    }

    pub fn get(&self, name: &str) -> Option<(&str, Span)> {
        self.all
            .get(name)
            .map(|(text, span)| (text.as_str(), *span))
    }
}

/// A macro and where it is from.
#[derive(Debug)]
pub struct Definition {
    pub item: Macro,
    pub is_stdlib: bool,
}

/// Macros by name; several may share one with different parameters.
#[derive(Debug, Default)]
pub struct MacroTable {
    all: HashMap<String, Vec<Definition>>,
}

/// How a call found its macro.
#[derive(Debug)]
pub enum Lookup<'m> {
    Found(&'m Definition),
    /// No macro has that name, or none fits, but the library or the language has the name as well.
    Absent,
    /// The script has the name, but not for these arguments; the closest definition.
    Mismatch(&'m Definition),
}

/// What a parameter asks for, by the sigil of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    Variable,
    Map,
    Expression,
}

impl ParamKind {
    pub fn of(param: &MacroParam) -> ParamKind {
        match param.name.name.as_bytes().first() {
            Some(b'$') => ParamKind::Variable,
            Some(b'@') => ParamKind::Map,
            _ => ParamKind::Expression,
        }
    }

    fn takes(self, arg: &Expr) -> bool {
        match self {
            ParamKind::Variable => matches!(arg.kind, ExprKind::Var(_)),
            ParamKind::Map => matches!(arg.kind, ExprKind::Map(_)),
            ParamKind::Expression => true,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            ParamKind::Variable => "a variable",
            ParamKind::Map => "a map",
            ParamKind::Expression => "an expression",
        }
    }
}

impl MacroTable {
    /// Adds a macro. One of the script hides one of the library with the same parameters; two of the script are an error.
    pub fn add(&mut self, item: Macro, is_stdlib: bool, diags: &mut Diagnostics) {
        let same = self.all.entry(item.name.name.clone()).or_default();
        let kinds = |m: &Macro| m.params.iter().map(ParamKind::of).collect::<Vec<_>>();
        let twin = same
            .iter()
            .find(|d| d.is_stdlib == is_stdlib && kinds(&d.item) == kinds(&item));
        if let Some(twin) = twin {
            diags.push(
                Diagnostic::error(
                    "macro",
                    format!("Redefinition of macro: {}", item.name.name),
                )
                .at(item.name.span, "")
                .label(twin.item.name.span, "first defined here"),
            );
            return;
        }
        same.push(Definition { item, is_stdlib });
    }

    /// A `#define` with parameters is a macro of expressions.
    pub fn add_define(
        &mut self,
        name: &Ident,
        params: &[String],
        text: &str,
        span: Span,
        diags: &mut Diagnostics,
    ) {
        let Some(value) = parser::parse_expr_fragment(span.source, text, span, diags) else {
            return;
        };
        let params = params
            .iter()
            .map(|p| MacroParam {
                name: Ident {
                    name: p.clone(),
                    span,
                },
            })
            .collect();
        let body = Block {
            stmts: Vec::new(),
            value: Some(Box::new(value)),
            span,
        };
        self.add(
            Macro {
                name: name.clone(),
                params,
                body,
                span,
            },
            false,
            diags,
        );
    }

    /// The macro for a call. `from_stdlib`: the call stands in the library, which never sees the script's macros.
    pub fn lookup(&self, name: &str, args: &[Expr], from_stdlib: bool) -> Lookup<'_> {
        let Some(candidates) = self.all.get(name) else {
            return Lookup::Absent;
        };
        let visible = || candidates.iter().filter(|d| d.is_stdlib || !from_stdlib);
        let fits = |d: &&Definition| {
            let params = &d.item.params;
            params.len() == args.len()
                && params
                    .iter()
                    .zip(args)
                    .all(|(p, a)| ParamKind::of(p).takes(a))
        };
        let special = |d: &&Definition| {
            let named = d
                .item
                .params
                .iter()
                .filter(|p| ParamKind::of(p) != ParamKind::Expression)
                .count();
            (named, !d.is_stdlib)
        };
        if let Some(best) = visible().filter(fits).max_by_key(special) {
            return Lookup::Found(best);
        }
        if builtins::is_known(name) {
            return Lookup::Absent;
        }
        let own = || visible().filter(|d| !d.is_stdlib);
        let distance = |d: &&Definition| d.item.params.len().abs_diff(args.len());
        own()
            .min_by_key(distance)
            .map_or(Lookup::Absent, Lookup::Mismatch)
    }
}

/// Why no definition fits a call.
pub fn mismatch(name: &str, args: &[Expr], call: Span, closest: &Definition) -> Diagnostic {
    let message = format!("Call to {name}() has arguments that do not match any definition.");
    let diagnostic = Diagnostic::error("macro", message).at(call, "");
    let params = &closest.item.params;
    if params.len() != args.len() {
        let text = format!(
            "The closest definition of {name}() has a different number of arguments. Expected: {} but got {}",
            params.len(),
            args.len()
        );
        return diagnostic.label(closest.item.name.span, text);
    }
    let wrong = params
        .iter()
        .zip(args)
        .find(|(p, a)| !ParamKind::of(p).takes(a));
    let Some((param, arg)) = wrong else {
        return diagnostic;
    };
    let text = format!(
        "Mismatched arg. {name}() expects {} for arg {} but got an expression.",
        ParamKind::of(param).name(),
        param.name.name
    );
    diagnostic.label(arg.span, text).label(
        param.name.span,
        "This is the argument in the closest definition.",
    )
}
