//! Clocks and dates.

use crate::ast::Expr;
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::literal::Lit;
use crate::check::promote::numeric;
use crate::check::value::Val;
use crate::span::Span;
use crate::structs::base_name;
use crate::typed::{self, Action, Call, ExprKind};
use crate::types::{Clock, Type};

impl<'a> Checker<'a> {
    pub(crate) fn time_word(&mut self, name: &str, span: Span) -> Answer {
        let call = match name {
            "nsecs" => Call::Nsecs(Clock::Boot),
            "elapsed" => Call::Elapsed,
            "jiffies" => Call::Jiffies,
            _ => return None,
        };
        Some(Some(Val::new(ExprKind::Call(call), Type::U64, span)))
    }

    pub(crate) fn time_call(&mut self, name: &str, args: &'a [Expr], span: Span) -> Answer {
        match (name, args) {
            ("nsecs", [clock]) => Some(self.nsecs(clock, span)),
            ("strftime", [format, nanos]) => Some(self.strftime(format, nanos, span)),
            ("time", []) => Some(Some(Val::action(
                Action::Time {
                    format: "%H:%M:%S\n".into(),
                },
                span,
            ))),
            ("time", [format]) => Some(self.time(format, span)),
            _ => None,
        }
    }

    fn nsecs(&mut self, clock: &'a Expr, span: Span) -> Option<Val> {
        let clock = match Self::keyword(clock) {
            Some("monotonic") => Clock::Monotonic,
            Some("boot") => Clock::Boot,
            Some("tai") => Clock::Tai,
            Some("sw_tai") => Clock::SwTai,
            Some(other) => {
                self.error(
                    "argument",
                    clock.span,
                    format!("Invalid timestamp mode: {other}"),
                );
                return None;
            }
            None => {
                let value = self.expr(clock)?;
                let message = format!(
                    "nsecs() only supports timestamp_mode arguments ({} provided)",
                    base_name(&value.ty)
                );
                self.error("argument", span, message);
                return None;
            }
        };
        Some(Val::new(
            ExprKind::Call(Call::Nsecs(clock)),
            Type::U64,
            span,
        ))
    }

    fn strftime(&mut self, format: &'a Expr, nanos: &'a Expr, span: Span) -> Option<Val> {
        let format = self.literal_text("strftime", format, span);
        let nanos = self.expr(nanos)?;
        let format = format?;
        if numeric(&nanos.ty).is_none() {
            let message = format!(
                "strftime() only supports int arguments ({} provided)",
                base_name(&nanos.ty)
            );
            self.error("argument", span, message);
            return None;
        }
        if matches!(nanos.lit, Some(Lit::Int(n)) if n < 0) {
            self.error(
                "argument",
                span,
                "strftime() does not accept negative timestamps",
            );
            return None;
        }
        let clock = clock_of(&nanos.expr).unwrap_or_default();
        if clock == Clock::Monotonic {
            self.error(
                "argument",
                span,
                "strftime() can not take a monotonic timestamp",
            );
            return None;
        }
        let nanos = self.as_u64(nanos);
        let call = Call::Strftime {
            nanos: Box::new(nanos.expr),
            clock,
        };
        Some(Val::new(
            ExprKind::Call(call),
            Type::Timestamp(format.into()),
            span,
        ))
    }

    fn time(&mut self, format: &'a Expr, span: Span) -> Option<Val> {
        let format = self.literal_text("time", format, span)?;
        Some(Val::action(Action::Time { format }, span))
    }
}

/// The clock that a number of nanoseconds was read from, where the expression shows it.
fn clock_of(expr: &typed::Expr) -> Option<Clock> {
    match &expr.kind {
        ExprKind::Call(Call::Nsecs(clock)) => Some(*clock),
        ExprKind::Cast { expr, .. } => clock_of(expr),
        ExprKind::Block {
            value: Some(value), ..
        } => clock_of(value),
        _ => None,
    }
}
