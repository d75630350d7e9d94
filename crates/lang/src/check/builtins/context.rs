//! What a probe sees: arguments, registers, its own name.

use crate::ast::Expr;
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::literal::Lit;
use crate::check::registers;
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::suggest::nearest;
use crate::typed::{Call, Context, ExprKind};
use crate::types::{IntType, Type};

impl<'a> Checker<'a> {
    pub(crate) fn context_word(&mut self, name: &str, span: Span) -> Answer {
        Some(match name {
            "args" => self.args(span),
            "ctx" => self.ctx(span),
            "retval" => self.retval(span),
            "func" => self.func(span),
            "probe" => {
                let name = self.now.matched.map_or("none", |m| m.spec.name.as_str());
                Some(Val::constant(Lit::Str(name.to_owned()), span))
            }
            "probetype" => Some(Val::constant(Lit::Str(self.now.provider().into()), span)),
            "usermode" => self.usermode(span),
            _ => {
                let digits = name.strip_prefix("arg")?;
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                self.argument(digits.parse().unwrap_or(u32::MAX), span)
            }
        })
    }

    fn func(&mut self, span: Span) -> Option<Val> {
        let ty = match self.now.provider() {
            "uprobe" | "uretprobe" => Type::Usym,
            "kprobe" | "kretprobe" | "fentry" | "fexit" => Type::Ksym,
            _ => {
                let message = format!(
                    "The func builtin can not be used with '{}' probes",
                    self.now.written_provider()
                );
                self.error("context", span, message);
                return None;
            }
        };
        Some(Val::new(ExprKind::Call(Call::FunctionAddress), ty, span))
    }

    fn usermode(&mut self, span: Span) -> Option<Val> {
        if cfg!(not(target_arch = "x86_64")) {
            self.error(
                "context",
                span,
                "'usermode' builtin is only supported on x86_64",
            );
            return None;
        }
        let ty = Type::Int(IntType::U8);
        if self.has_registers() {
            return Some(Val::new(ExprKind::Call(Call::UserMode), ty, span));
        }
        // beetrace's own events run in its own process.
        let user = self.now.provider() == "special";
        Some(Val::constant(Lit::Int(i128::from(user)), span))
    }

    fn has_registers(&self) -> bool {
        matches!(self.now.context(), Context::Registers | Context::PerfEvent)
    }

    pub(crate) fn context_call(&mut self, name: &str, args: &'a [Expr], span: Span) -> Answer {
        match (name, args) {
            ("reg", [register]) => Some(self.reg(register, span)),
            _ => None,
        }
    }

    fn reg(&mut self, register: &'a Expr, span: Span) -> Option<Val> {
        if !self.has_registers() {
            let message = format!(
                "reg can not be used with \"{}\" probes",
                self.now.written_provider()
            );
            self.error("context", span, message);
            return None;
        }
        let name = self.literal_text("reg", register, span)?;
        let Some(offset) = registers::offset(&name) else {
            let mut diagnostic = Diagnostic::error(
                "register",
                format!(
                    "'{name}' is not a valid register on this architecture ({})",
                    registers::machine()
                ),
            )
            .at(span, "");
            if let Some(near) = nearest(&name, registers::names()) {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            }
            self.report(diagnostic);
            return None;
        };
        let space = self.now.default_space();
        let kind = ExprKind::Register { offset, size: 8 };
        Some(Val::new(kind, Type::U64, span).in_space(space))
    }
}
