//! Stacks and symbols.

use crate::ast::Expr;
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::coerce::cast;
use crate::check::literal::Lit;
use crate::check::promote::numeric;
use crate::check::value::Val;
use crate::span::Span;
use crate::structs::stack_mode_name;
use crate::typed::{Call, Cast, ExprKind};
use crate::types::{StackMode, StackType, Type};

/// The most frames of a stack where the script does not say.
const FRAMES: u32 = 127;

/// More frames than this are refused.
const MOST_FRAMES: u32 = 1024;

impl<'a> Checker<'a> {
    pub(crate) fn symbol_word(&mut self, name: &str, span: Span) -> Answer {
        match name {
            "kstack" | "ustack" => Some(self.stack(name, &[], span)),
            "dw_ustack" => Some(self.dw_ustack(span)),
            _ => None,
        }
    }

    pub(crate) fn symbol_call(&mut self, name: &str, args: &'a [Expr], span: Span) -> Answer {
        match (name, args) {
            ("kstack" | "ustack", _) => Some(self.stack(name, args, span)),
            ("dw_ustack", _) => Some(self.dw_ustack(span)),
            ("ksym" | "usym", [address]) => Some(self.symbol(name, address, span)),
            ("stack_len", [stack]) => {
                let stack = match self.expr(stack) {
                    Some(stack) => stack,
                    None => return Some(None),
                };
                Some(self.stack_len(stack, span))
            }
            _ => None,
        }
    }

    pub(crate) fn stack_len(&mut self, stack: Val, span: Span) -> Option<Val> {
        if !matches!(stack.ty, Type::Stack(_)) {
            self.error(
                "argument",
                span,
                "len() expects a map or stack to be provided",
            );
            return None;
        }
        let call = Call::StackLen(Box::new(stack.expr));
        Some(Val::new(ExprKind::Call(call), Type::I64, span))
    }

    /// `kstack`, `ustack(mode, limit)`
    fn stack(&mut self, name: &str, args: &'a [Expr], span: Span) -> Option<Val> {
        let user = name == "ustack";
        let mut mode = self.script.settings.stack_mode;
        let mut limit = FRAMES;
        let mut rest = args;
        if let Some((first, others)) = args.split_first() {
            match Self::keyword(first).map(|word| (word, stack_mode(word))) {
                Some((_, Some(found))) => {
                    mode = found;
                    rest = others;
                }
                Some((word, None)) => {
                    self.error(
                        "argument",
                        first.span,
                        format!(
                            "Error parsing stack mode: Invalid value for {name}: valid values are bpftrace, perf, raw and build_id. Found: {word}."
                        ),
                    );
                    return None;
                }
                None if args.len() == 2 => {
                    self.error("argument", span, "Expected stack mode as first argument");
                    return None;
                }
                None => {}
            }
        }
        if let Some(frames) = rest.first() {
            let frames = self.expr(frames)?;
            match frames.lit.as_ref().and_then(Lit::as_int) {
                Some(n) if n > i128::from(MOST_FRAMES) => {
                    self.error(
                        "argument",
                        span,
                        format!(
                            "{name}([int limit]): limit shouldn't exceed {MOST_FRAMES}, {n} given"
                        ),
                    );
                    return None;
                }
                Some(n) if n >= 0 => limit = u32::try_from(n).unwrap_or(FRAMES),
                _ => {
                    self.error("argument", span, format!("{name}: invalid limit value"));
                    return None;
                }
            }
        }
        if mode == StackMode::BuildId && !user {
            if args.is_empty() {
                self.warn(
                    "stack-mode",
                    span,
                    "'build_id' stack mode can only be used for ustack. Falling back to 'raw' mode.",
                );
                mode = StackMode::Raw;
            } else {
                self.error(
                    "argument",
                    span,
                    "'build_id' stack mode can only be used for ustack",
                );
                return None;
            }
        }
        let ty = Type::Stack(StackType { user, mode, limit });
        Some(Val::new(ExprKind::Call(Call::Stack), ty, span))
    }

    fn dw_ustack(&mut self, span: Span) -> Option<Val> {
        if !self.options.has_child && self.options.pid.is_none() {
            self.error(
                "context",
                span,
                "dw_ustack requires a target process (-p PID or -c CMD)",
            );
        } else {
            self.report(
                crate::diagnostic::Diagnostic::error("unsupported", "dw_ustack is not supported")
                    .at(span, "")
                    .help("ustack walks frame pointers"),
            );
        }
        None
    }

    fn symbol(&mut self, name: &str, address: &'a Expr, span: Span) -> Option<Val> {
        let address = self.expr(address)?;
        let address = match &address.ty {
            Type::Pointer(..) => cast(Cast::Int, address, Type::U64),
            ty if numeric(ty).is_some() => self.as_u64(address),
            _ => {
                self.error(
                    "argument",
                    span,
                    format!("{name}() expects an integer or pointer argument"),
                );
                return None;
            }
        };
        let address = Box::new(address.expr);
        let (call, ty) = match name {
            "ksym" => (Call::Ksym(address), Type::Ksym),
            _ => (Call::Usym(address), Type::Usym),
        };
        Some(Val::new(ExprKind::Call(call), ty, span))
    }
}

fn stack_mode(word: &str) -> Option<StackMode> {
    [
        StackMode::Bpftrace,
        StackMode::Perf,
        StackMode::Raw,
        StackMode::BuildId,
    ]
    .into_iter()
    .find(|mode| stack_mode_name(*mode) == word)
}
