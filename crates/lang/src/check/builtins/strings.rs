//! Strings that the program looks into.

use crate::ast::Expr;
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::coerce::cast;
use crate::check::literal::Lit;
use crate::check::promote::numeric;
use crate::check::value::Val;
use crate::span::Span;
use crate::structs::base_name;
use crate::typed::{Call, Cast, ExprKind, StringTable};
use crate::types::{IntType, Type};

/// The space of what `str_concat` gives.
const CONCAT_SIZE: u32 = 1024;

/// The space of a row of the tables.
const ROW_SIZE: u32 = 64;

impl<'a> Checker<'a> {
    pub(crate) fn string_call(&mut self, name: &str, args: &'a [Expr], span: Span) -> Answer {
        match (name, args) {
            ("strncmp", [left, right, len]) => Some(self.strncmp(left, right, len, span)),
            ("strlen", [text]) => Some(self.strlen(text, span)),
            ("strstr", [haystack, needle]) => Some(self.strstr(haystack, needle, span)),
            ("strcontains", [haystack, needle]) => Some(self.strcontains(haystack, needle, span)),
            ("str_concat", [left, right]) => Some(self.str_concat(left, right, span)),
            ("strerror", [n]) => Some(self.table(name, StringTable::Errno, n, span)),
            ("signal_name", [n]) => Some(self.table(name, StringTable::Signal, n, span)),
            ("syscall_name", [n]) => Some(self.table(name, StringTable::Syscall, n, span)),
            _ => None,
        }
    }

    fn strncmp(
        &mut self,
        left: &'a Expr,
        right: &'a Expr,
        len: &'a Expr,
        span: Span,
    ) -> Option<Val> {
        let (left, right, len) = (self.expr(left), self.expr(right), self.expr(len));
        let (left, right, len) = (left?, right?, len?);
        for value in [&left, &right] {
            if !matches!(value.ty, Type::Str(_)) {
                let message = format!(
                    "strncmp() only supports string arguments ({} provided)",
                    base_name(&value.ty)
                );
                self.error("argument", span, message);
                return None;
            }
        }
        let len = match len.lit.as_ref().and_then(Lit::as_int) {
            Some(n) if n >= 0 => u32::try_from(n).unwrap_or(u32::MAX),
            _ => {
                self.error(
                    "argument",
                    span,
                    "Builtin strncmp requires a non-negative literal",
                );
                return None;
            }
        };
        let call = Call::Strncmp {
            left: Box::new(left.expr),
            right: Box::new(right.expr),
            len,
        };
        Some(Val::new(ExprKind::Call(call), Type::U64, span))
    }

    /// Something like a string: a string, an array of characters, or a pointer to them, which is read.
    pub(crate) fn text(&mut self, value: Val, span: Span) -> Option<Val> {
        let character = |ty: &Type| matches!(ty, Type::Int(t) if t.bits == 8);
        let message = match &value.ty {
            Type::Str(_) => return Some(value),
            Type::Array(of, len) if character(of) => {
                let ty = Type::Str(*len);
                return Some(cast(Cast::Reinterpret, value, ty));
            }
            Type::Pointer(to, _) if character(to) => {
                let size = u32::try_from(self.script.settings.max_strlen).unwrap_or(u32::MAX);
                let call = Call::Str {
                    pointer: Box::new(value.expr),
                    length: None,
                };
                return Some(Val::new(ExprKind::Call(call), Type::Str(size), span));
            }
            Type::Array(..) => "string-like arrays must contain a char-like type",
            Type::Pointer(..) => "string-like pointers must point to a char-like type",
            _ => "string-like values must be either strings, arrays or pointers",
        };
        self.error("argument", span, message);
        None
    }

    fn strlen(&mut self, text: &'a Expr, span: Span) -> Option<Val> {
        let value = self.expr(text)?;
        if let Some(Lit::Str(text)) = &value.lit {
            let mut len = Val::constant(Lit::Int(text.len() as i128), span);
            len.ty = Type::U64;
            len.expr.ty = Type::U64;
            return Some(len);
        }
        let value = self.text(value, span)?;
        let call = Call::Strlen(Box::new(value.expr));
        Some(Val::new(ExprKind::Call(call), Type::U64, span))
    }

    fn strstr(&mut self, haystack: &'a Expr, needle: &'a Expr, span: Span) -> Option<Val> {
        let (haystack, needle) = (self.expr(haystack), self.expr(needle));
        let haystack = self.text(haystack?, span)?;
        let needle = self.text(needle?, span)?;
        let call = Call::Strstr {
            haystack: Box::new(haystack.expr),
            needle: Box::new(needle.expr),
        };
        Some(Val::new(ExprKind::Call(call), Type::I64, span))
    }

    fn strcontains(&mut self, haystack: &'a Expr, needle: &'a Expr, span: Span) -> Option<Val> {
        let position = self.strstr(haystack, needle, span)?;
        let mut zero = Val::constant(Lit::Int(0), span);
        zero.expr.ty = Type::I64;
        let kind = ExprKind::Binary {
            op: crate::ast::BinaryOp::Ge,
            left: Box::new(position.expr),
            right: Box::new(zero.expr),
        };
        Some(Val::new(kind, Type::Bool, span))
    }

    fn str_concat(&mut self, left: &'a Expr, right: &'a Expr, span: Span) -> Option<Val> {
        let (left, right) = (self.expr(left), self.expr(right));
        let left = self.text(left?, span)?;
        let right = self.text(right?, span)?;
        let call = Call::StrConcat {
            left: Box::new(left.expr),
            right: Box::new(right.expr),
        };
        Some(Val::new(ExprKind::Call(call), Type::Str(CONCAT_SIZE), span))
    }

    fn table(
        &mut self,
        name: &str,
        table: StringTable,
        index: &'a Expr,
        span: Span,
    ) -> Option<Val> {
        let index = self.expr(index)?;
        if numeric(&index.ty).is_none() {
            let message = format!(
                "{name}() only supports int arguments ({} provided)",
                base_name(&index.ty)
            );
            self.error("argument", span, message);
            return None;
        }
        let index = self.explicit_int(index, &Type::Int(IntType::I32));
        let call = Call::Table {
            table,
            index: Box::new(index.expr),
        };
        Some(Val::new(ExprKind::Call(call), Type::Str(ROW_SIZE), span))
    }
}
