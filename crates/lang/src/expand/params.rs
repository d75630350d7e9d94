//! Parameters of the command line: `$1`, `$#` and `getopt`.

use crate::ast::{BinaryOp, Expr, ExprKind, TypeBase, TypeExpr, UnaryOp};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::options::Options;
use crate::span::Span;

/// `$n` as a literal: a number where it looks like one, else a string; zero where it was not given.
pub fn positional(options: &Options, n: u32) -> ExprKind {
    let index = (n as usize).wrapping_sub(1);
    match options.positional.get(index) {
        None => ExprKind::Int {
            value: 0,
            text: "0".into(),
        },
        Some(text) => match integer(text) {
            Some(Number {
                value,
                negative: false,
            }) => ExprKind::Int {
                value,
                text: text.clone(),
            },
            Some(Number {
                value,
                negative: true,
            }) => {
                let value = ExprKind::Int {
                    value,
                    text: text.trim_start_matches('-').into(),
                };
                let expr = Box::new(Expr {
                    kind: value,
                    span: Span::default(),
                });
                ExprKind::Unary {
                    op: UnaryOp::Minus,
                    expr,
                }
            }
            None => ExprKind::Str(text.clone()),
        },
    }
}

/// Whether the command line has `$n`.
pub fn is_given(options: &Options, n: u32) -> bool {
    options.positional.len() >= n as usize
}

/// `$#`
pub fn count(options: &Options) -> ExprKind {
    let value = options.positional.len() as u64;
    ExprKind::Int {
        value,
        text: value.to_string(),
    }
}

/// The text of `str($1)` or `str($1 + 2)`: the parameter as given, without so many bytes of its front.
pub fn string_of_param(function: &str, args: &[Expr], options: &Options) -> Option<String> {
    let arg = args.first().filter(|_| function == "str")?;
    let (n, skip) = match &arg.kind {
        ExprKind::Param(n) => (*n, 0),
        ExprKind::Binary {
            op: BinaryOp::Add,
            left,
            right,
        } => match (&left.kind, &right.kind) {
            (ExprKind::Param(n), ExprKind::Int { value, .. })
            | (ExprKind::Int { value, .. }, ExprKind::Param(n)) => {
                (*n, usize::try_from(*value).ok()?)
            }
            _ => return None,
        },
        _ => return None,
    };
    let text = options
        .positional
        .get((n as usize).wrapping_sub(1))
        .map_or("", String::as_str);
    Some(text.get(skip..).unwrap_or("").to_string())
}

struct Number {
    /// Without its sign.
    value: u64,
    negative: bool,
}

/// A whole text that is an integer in one of the bases of literals.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.strip_prefix("0x") {
        Some(hex) => (16, hex),
        None if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        None => (10, lower.as_str()),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    Some(Number { value, negative })
}

/// A parameter that a script declares with `getopt`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedParam {
    pub name: String,
    pub default: ParamValue,
    pub description: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Str(String),
}

impl std::fmt::Display for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ParamValue::Bool(b) => b.fmt(f),
            ParamValue::Unsigned(n) => n.fmt(f),
            ParamValue::Signed(n) => n.fmt(f),
            ParamValue::Str(s) => s.fmt(f),
        }
    }
}

impl ParamValue {
    /// The value as an expression of its type.
    fn into_expr(self, span: Span) -> Expr {
        let int = |value: u64| Expr {
            kind: ExprKind::Int {
                value,
                text: value.to_string(),
            },
            span,
        };
        let cast = |name: &str, expr: Expr| {
            let ty = TypeExpr {
                base: TypeBase::Named(name.into()),
                suffixes: Vec::new(),
                span,
            };
            ExprKind::Cast {
                ty,
                expr: Box::new(expr),
            }
        };
        let kind = match self {
            ParamValue::Bool(b) => ExprKind::Bool(b),
            ParamValue::Str(s) => ExprKind::Str(s),
            // A literal of that size is of that type by itself.
            ParamValue::Unsigned(n) if n > u64::from(u32::MAX) => int(n).kind,
            ParamValue::Unsigned(n) => cast("uint64", int(n)),
            ParamValue::Signed(n) if n < 0 => {
                let minus = ExprKind::Unary {
                    op: UnaryOp::Minus,
                    expr: Box::new(int(n.unsigned_abs())),
                };
                match i32::try_from(n) {
                    Ok(_) => cast("int64", Expr { kind: minus, span }),
                    Err(_) => minus,
                }
            }
            ParamValue::Signed(n) => cast("int64", int(n.unsigned_abs())),
        };
        Expr { kind, span }
    }
}

/// The `getopt` calls seen so far.
#[derive(Debug, Default)]
pub struct NamedParams {
    all: Vec<NamedParam>,
}

impl NamedParams {
    pub fn into_list(self) -> Vec<NamedParam> {
        self.all
    }

    /// The value of a call with these arguments; `Error`, with a complaint, where it is no proper call.
    pub fn getopt(
        &mut self,
        args: &[Expr],
        span: Span,
        options: &Options,
        diags: &mut Diagnostics,
    ) -> Expr {
        match self
            .declare(args, span)
            .and_then(|param| given(&param, options, span))
        {
            Ok(value) => value.into_expr(span),
            Err(diagnostic) => {
                diags.push(*diagnostic);
                Expr {
                    kind: ExprKind::Error,
                    span,
                }
            }
        }
    }

    fn declare(&mut self, args: &[Expr], span: Span) -> Result<NamedParam, Box<Diagnostic>> {
        let fail =
            |span: Span, text: &str| Err(Box::new(Diagnostic::error("getopt", text).at(span, "")));
        let (name, rest) = match args {
            [name, rest @ ..] if rest.len() <= 2 => (name, rest),
            _ => {
                return fail(
                    span,
                    "The 'getopt' function can take a maximum of three arguments and a minimum of one argument.",
                );
            }
        };
        let ExprKind::Str(text) = &name.kind else {
            return fail(
                name.span,
                "First argument to 'getopt' must be a string literal.",
            );
        };
        let default = match rest.first() {
            None => ParamValue::Bool(false),
            Some(value) => match literal(value) {
                Some(value) => value,
                None => {
                    return fail(
                        value.span,
                        "Second argument to 'getopt' must be a string literal, integer literal, or a boolean literal.",
                    );
                }
            },
        };
        let description = match rest.get(1).map(|e| (&e.kind, e.span)) {
            None => None,
            Some((ExprKind::Str(text), _)) => Some(text.clone()),
            Some((_, span)) => {
                return fail(
                    span,
                    "Function 'getopt' requires the third parameter to be a string literal.",
                );
            }
        };
        let param = NamedParam {
            name: text.clone(),
            default,
            description,
        };
        match self.all.iter_mut().find(|p| p.name == param.name) {
            None => self.all.push(param.clone()),
            Some(known) if known.default != param.default => {
                let message = format!(
                    "Command line option '{text}' needs to have the same default value in all places it is used. \
                     Previous default value: {}",
                    known.default
                );
                return fail(span, &message);
            }
            Some(known) => match (&known.description, &param.description) {
                (Some(a), Some(b)) if a != b => {
                    let message = format!(
                        "Command line option '{text}' must have the same description in all places it's used. \
                         Hint: You can wrap it in a macro"
                    );
                    return fail(span, &message);
                }
                (None, _) => known.description.clone_from(&param.description),
                _ => {}
            },
        }
        Ok(param)
    }
}

fn literal(expr: &Expr) -> Option<ParamValue> {
    Some(match &expr.kind {
        ExprKind::Bool(b) => ParamValue::Bool(*b),
        ExprKind::Str(s) => ParamValue::Str(s.clone()),
        ExprKind::Int { value, .. } => ParamValue::Unsigned(*value),
        ExprKind::Unary {
            op: UnaryOp::Minus,
            expr,
        } => match expr.kind {
            ExprKind::Int { value, .. } => ParamValue::Signed(0i64.checked_sub_unsigned(value)?),
            _ => return None,
        },
        _ => return None,
    })
}

/// What the command line says of a parameter, or its default.
fn given(param: &NamedParam, options: &Options, span: Span) -> Result<ParamValue, Box<Diagnostic>> {
    let Some((_, text)) = options
        .named
        .iter()
        .rev()
        .find(|(name, _)| *name == param.name)
    else {
        return Ok(param.default.clone());
    };
    let wrong = |what: &str| {
        let value = text.as_deref().unwrap_or("true");
        let message = format!(
            "program command line option --{} {what} (value: {value})",
            param.name
        );
        Err(Box::new(
            Diagnostic::error("getopt", message).label(span, "declared here"),
        ))
    };
    let Some(text) = text else {
        return match param.default {
            ParamValue::Bool(_) => Ok(ParamValue::Bool(true)),
            ParamValue::Str(_) => wrong("expects a string"),
            ParamValue::Unsigned(_) | ParamValue::Signed(_) => wrong("expects an integer"),
        };
    };
    let number = integer(text);
    match (&param.default, number) {
        (ParamValue::Bool(_), _) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(ParamValue::Bool(true)),
            "false" | "no" | "0" => Ok(ParamValue::Bool(false)),
            _ => wrong("expects a boolean (e.g. 'true')"),
        },
        (ParamValue::Str(_), _) => Ok(ParamValue::Str(text.clone())),
        (ParamValue::Unsigned(_), Some(Number { value, negative })) => {
            Ok(ParamValue::Unsigned(if negative {
                value.wrapping_neg()
            } else {
                value
            }))
        }
        (_, Some(Number { value, negative })) => {
            let signed = if negative {
                0i64.checked_sub_unsigned(value)
            } else {
                i64::try_from(value).ok()
            };
            signed.map_or_else(|| wrong("invalid integer"), |n| Ok(ParamValue::Signed(n)))
        }
        (_, None) => wrong("invalid integer"),
    }
}

impl NamedParam {
    /// The option with what it is for.
    fn usage(&self) -> String {
        match &self.description {
            None => format!("--{}", self.name),
            Some(text) => format!("--{}: {text}", self.name),
        }
    }
}

/// Whether the person asks for the options of the script instead of a run of it.
fn is_help(name: &str) -> bool {
    name == "help"
}

/// The options that a script declares, for a person who asks for them; `None` where nobody does.
pub fn help(declared: &[NamedParam], options: &Options) -> Option<String> {
    let known = |name: &str| declared.iter().any(|p| p.name == name);
    options
        .named
        .iter()
        .find(|(name, _)| is_help(name) && !known(name))?;
    if declared.is_empty() {
        return Some("no custom program options defined.".into());
    }
    let lines: Vec<String> = declared.iter().map(NamedParam::usage).collect();
    Some(format!("expected program options:\n{}", lines.join("\n")))
}

/// Complains of options that the script does not declare.
pub fn reject_unknown(declared: &[NamedParam], options: &Options, diags: &mut Diagnostics) {
    let known = |name: &str| declared.iter().any(|p| p.name == name);
    let unknown: Vec<String> = options
        .named
        .iter()
        .filter(|(name, _)| !known(name) && !is_help(name))
        .map(|(name, _)| format!("--{name}"))
        .collect();
    if !unknown.is_empty() {
        let names: Vec<String> = declared.iter().map(NamedParam::usage).collect();
        let message = format!(
            "unexpected program command line options: {}",
            unknown.join(", ")
        );
        diags.push(
            Diagnostic::error("getopt", message).help(
                format!("expected program options: {}", names.join(", "))
                    .trim_end()
                    .to_string(),
            ),
        );
    }
}
