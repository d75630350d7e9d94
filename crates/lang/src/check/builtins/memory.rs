//! Memory: reading strings and bytes, addresses of symbols, address spaces.

use crate::ast::Expr;
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::coerce::cast;
use crate::check::literal::Lit;
use crate::check::promote::numeric;
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::structs::base_name;
use crate::typed::{Call, Cast, ExprKind};
use crate::types::{IntType, Space, Type};

impl<'a> Checker<'a> {
    pub(crate) fn memory_call(&mut self, name: &str, args: &'a [Expr], span: Span) -> Answer {
        match (name, args) {
            ("str", [value, rest @ ..]) => Some(self.str(value, rest.first(), span)),
            ("buf", [value, rest @ ..]) => Some(self.buf(value, rest.first(), span)),
            ("kptr", [value]) => Some(self.in_space(name, value, Space::Kernel, span)),
            ("uptr", [value]) => Some(self.in_space(name, value, Space::User, span)),
            ("kaddr", [symbol]) => Some(self.kaddr(symbol, span)),
            ("uaddr", [symbol]) => Some(self.uaddr(symbol, span)),
            ("percpu_kaddr", [symbol, rest @ ..]) => {
                Some(self.percpu_kaddr(symbol, rest.first(), span))
            }
            ("memcmp", [left, right, len]) => Some(self.memcmp(left, right, len, span)),
            ("write_user", [dst, src, len]) => Some(self.write_user(dst, src, len, span)),
            ("path", [path, rest @ ..]) => Some(self.path(path, rest.first(), span)),
            _ => None,
        }
    }

    /// A string's longest space in bytes.
    fn max_strlen(&self) -> u32 {
        u32::try_from(self.script.settings.max_strlen).unwrap_or(u32::MAX)
    }

    fn str(&mut self, value: &'a Expr, length: Option<&'a Expr>, span: Span) -> Option<Val> {
        let value = self.expr(value);
        let length = match length {
            None => None,
            Some(length) => Some(self.integer("str", length, span)?),
        };
        let value = value?;
        let limit = self.max_strlen();
        let constant = length.as_ref().and_then(|l| l.lit.as_ref()?.as_int());
        if let Some(n) = constant.filter(|n| *n < 0) {
            self.error(
                "argument",
                span,
                format!("strcannot use negative length ({n})"),
            );
            return None;
        }
        if let Some(text) = literal_text(&value)
            && (length.is_none() || constant.is_some())
        {
            let keep = constant.map_or(text.len(), |n| usize::try_from(n).unwrap_or(usize::MAX));
            let cut = text
                .char_indices()
                .map(|(at, _)| at)
                .find(|at| *at >= keep)
                .unwrap_or(text.len());
            return Some(Val::constant(Lit::Str(text[..cut].to_owned()), span));
        }
        let mut size = limit;
        if let Some(n) = constant {
            if n + 1 > i128::from(limit) {
                self.warn(
                    "string-length",
                    span,
                    format!(
                        "length param ({n}) is too long and will be shortened to {limit} bytes (see BPFTRACE_MAX_STRLEN)"
                    ),
                );
            } else {
                size = u32::try_from(n + 1).unwrap_or(limit);
            }
        }
        let ty = Type::Str(size);
        let length = length.map(|length| Box::new(self.as_u64(length).expr));
        let pointer = match &value.ty {
            Type::Str(_) if length.is_none() => {
                return Some(cast(Cast::Str, value, ty));
            }
            // A string that lies in memory is read like any other, with the length that was asked for.
            Type::Str(_) => {
                let call = Call::Str {
                    pointer: Box::new(value.expr),
                    length,
                };
                return Some(Val::new(ExprKind::Call(call), ty, span));
            }
            Type::Pointer(..) => value,
            t if numeric(t).is_some() => {
                let space = self.address_space(&value);
                let wide = self.wide(value);
                cast(
                    Cast::Int,
                    wide,
                    Type::pointer(Type::Int(IntType::I8), space),
                )
            }
            Type::Array(..) => return Some(cast(Cast::Str, value, ty)),
            _ => {
                let message = format!(
                    "str() expects a string, integer or a pointer type as first argument ({} provided)",
                    self.type_name(&value.ty)
                );
                self.error("argument", span, message);
                return None;
            }
        };
        let call = Call::Str {
            pointer: Box::new(pointer.expr),
            length,
        };
        Some(Val::new(ExprKind::Call(call), ty, span))
    }

    /// The memory that an integer is an address of.
    fn address_space(&self, value: &Val) -> Space {
        match value.space {
            Space::None => self.now.default_space(),
            space => space,
        }
    }

    fn buf(&mut self, value: &'a Expr, length: Option<&'a Expr>, span: Span) -> Option<Val> {
        let value = self.expr(value);
        let length = match length {
            None => None,
            Some(length) => Some(self.integer("buf", length, span)?),
        };
        let value = value?;
        let most = self.max_strlen().saturating_sub(4);
        let array_size = match &value.ty {
            Type::Array(..) => Some(self.structs.size_of(&value.ty)),
            Type::Str(size) => Some(u64::from(*size)),
            _ => None,
        };
        let known = !matches!(value.ty, Type::Str(_)) || length.is_some();
        if length.is_none() && (array_size.is_none() || !known) {
            let message = format!(
                "buf() expects a length argument for non-array type {}",
                base_name(&value.ty)
            );
            self.error("argument", span, message);
            return None;
        }
        let constant = length.as_ref().and_then(|l| l.lit.as_ref()?.as_int());
        if let Some(n) = constant.filter(|n| *n < 0) {
            self.error(
                "argument",
                span,
                format!("bufcannot use negative length ({n})"),
            );
            return None;
        }
        let capacity = match (constant, &length, array_size) {
            (Some(n), ..) => u32::try_from(n).unwrap_or(u32::MAX),
            (None, None, Some(size)) => u32::try_from(size).unwrap_or(u32::MAX),
            _ => most,
        }
        .min(most);
        let pointer = match &value.ty {
            Type::Pointer(..) | Type::Array(..) | Type::Str(_) => value,
            ty if numeric(ty).is_some() => {
                let space = self.address_space(&value);
                let wide = self.wide(value);
                cast(
                    Cast::Int,
                    wide,
                    Type::pointer(Type::Int(IntType::U8), space),
                )
            }
            ty => {
                let message = format!(
                    "buf() expects an integer, string, or array argument but saw {}",
                    base_name(ty)
                );
                self.error("argument", span, message);
                return None;
            }
        };
        let length = match (constant, length) {
            (None, Some(length)) => self.as_u64(length),
            _ => {
                let mut length = Val::constant(Lit::Int(i128::from(capacity)), span);
                length.expr.ty = Type::U64;
                length
            }
        };
        let call = Call::Buf {
            pointer: Box::new(pointer.expr),
            length: Box::new(length.expr),
        };
        Some(Val::new(ExprKind::Call(call), Type::Buf(capacity), span))
    }

    /// `kptr`, `uptr`
    fn in_space(&mut self, name: &str, value: &'a Expr, space: Space, span: Span) -> Option<Val> {
        let value = self.expr(value)?;
        match value.ty.clone() {
            Type::Pointer(to, _) => Some(cast(Cast::Int, value, Type::pointer(*to, space))),
            ty if numeric(&ty).is_some() => {
                let mut value = self.wide(value).in_space(space);
                value.lit = None;
                Some(value)
            }
            ty => {
                let message = format!(
                    "{name}() only supports integer or pointer arguments ({} provided)",
                    base_name(&ty)
                );
                self.error("argument", span, message);
                None
            }
        }
    }

    pub(super) fn address(&self, address: u64, space: Space, span: Span) -> Val {
        let mut value = Val::constant(Lit::Int(i128::from(address)), span).in_space(space);
        value.ty = Type::U64;
        value.expr.ty = Type::U64;
        value.lit = None;
        value
    }

    fn kaddr(&mut self, symbol: &'a Expr, span: Span) -> Option<Val> {
        let name = self.literal_text("kaddr", symbol, span)?;
        match self.btf.world.kernel_symbol(&name) {
            Ok(Some(address)) => Some(self.address(address, Space::Kernel, span)),
            Ok(None) => {
                self.error(
                    "symbol",
                    span,
                    format!("Failed to resolve kernel symbol: {name}"),
                );
                None
            }
            Err(error) => {
                let mut diagnostic = Diagnostic::error("symbol", error.message).at(span, "");
                diagnostic.help.extend(error.help);
                self.report(diagnostic);
                None
            }
        }
    }

    fn percpu_kaddr(&mut self, symbol: &'a Expr, cpu: Option<&'a Expr>, span: Span) -> Option<Val> {
        let name = self.literal_text("percpu_kaddr", symbol, span)?;
        let Some((_, id)) = self.structs.btf_variable(&self.btf, &name) else {
            self.error(
                "symbol",
                span,
                format!("Could not resolve variable \"{name}\" from BTF"),
            );
            return None;
        };
        let cpu = match cpu {
            None => None,
            Some(cpu) => {
                let cpu = self.integer("percpu_kaddr", cpu, span)?;
                Some(Box::new(self.explicit_int(cpu, &Type::U32).expr))
            }
        };
        let call = Call::PerCpuAddress {
            symbol_btf_id: id,
            cpu,
        };
        Some(Val::new(ExprKind::Call(call), Type::U64, span).in_space(Space::Kernel))
    }

    fn memcmp(
        &mut self,
        left: &'a Expr,
        right: &'a Expr,
        len: &'a Expr,
        span: Span,
    ) -> Option<Val> {
        let (left, right) = (self.expr(left), self.expr(right));
        let len = self.integer("memcmp", len, span)?;
        let (left, right) = (left?, right?);
        let len = self.as_u64(len);
        let call = Call::Memcmp {
            left: Box::new(left.expr),
            right: Box::new(right.expr),
            len: Box::new(len.expr),
        };
        Some(Val::new(
            ExprKind::Call(call),
            Type::Int(IntType::I32),
            span,
        ))
    }

    fn write_user(
        &mut self,
        dst: &'a Expr,
        src: &'a Expr,
        len: &'a Expr,
        span: Span,
    ) -> Option<Val> {
        if !self.options.allow_unsafe {
            self.error(
                "unsafe",
                span,
                "write_user() is unsafe. To use you need the --unsafe flag",
            );
            return None;
        }
        let (dst, src) = (self.expr(dst), self.expr(src));
        let len = self.integer("write_user", len, span)?;
        let (dst, src) = (dst?, src?);
        // What is written may also be a place, whose address is meant.
        let place = |ty: &Type| matches!(ty, Type::Str(_) | Type::Array(..) | Type::Buf(_));
        for (value, is_source) in [(&dst, false), (&src, true)] {
            if numeric(&value.ty).is_none()
                && !matches!(value.ty, Type::Pointer(..))
                && !(is_source && place(&value.ty))
            {
                let message = format!(
                    "write_user() expects pointers ({} provided)",
                    base_name(&value.ty)
                );
                self.error("argument", span, message);
                return None;
            }
        }
        let dst = match dst.ty {
            Type::Pointer(..) => dst,
            _ => cast(Cast::Int, dst, Type::pointer(Type::Void, Space::User)),
        };
        let src = match &src.ty {
            Type::Pointer(..) => src,
            ty if place(ty) => src,
            _ => cast(Cast::Int, src, Type::pointer(Type::Void, Space::Bpf)),
        };
        let len = self.explicit_int(len, &Type::U32);
        let call = Call::WriteUser {
            dst: Box::new(dst.expr),
            src: Box::new(src.expr),
            len: Box::new(len.expr),
        };
        Some(Val::new(ExprKind::Call(call), Type::Bool, span))
    }

    fn path(&mut self, path: &'a Expr, size: Option<&'a Expr>, span: Span) -> Option<Val> {
        if !matches!(self.now.provider(), "fentry" | "fexit" | "iter") {
            self.error(
                "context",
                span,
                "The path function can only be used with 'fentry', 'fexit', 'iter' probes",
            );
            return None;
        }
        let value = self.expr(path)?;
        let size = match size {
            None => self.max_strlen(),
            Some(size) => match self.expr(size)?.lit.as_ref().and_then(Lit::as_int) {
                Some(n) if n >= 0 => u32::try_from(n).unwrap_or(u32::MAX),
                _ => {
                    self.error(
                        "argument",
                        span,
                        "path: invalid size value, need non-negative literal",
                    );
                    return None;
                }
            },
        };
        if !matches!(value.ty, Type::Struct(..) | Type::Pointer(..)) {
            let message = format!(
                "path() only supports pointer or C type argument ({} provided)",
                base_name(&value.ty)
            );
            self.error("argument", span, message);
            return None;
        }
        let call = Call::Path {
            path: Box::new(value.expr),
        };
        Some(Val::new(ExprKind::Call(call), Type::Str(size), span))
    }
}

/// The text that a constant is as a string.
fn literal_text(value: &Val) -> Option<String> {
    match &value.lit {
        Some(Lit::Str(text)) => Some(text.clone()),
        Some(Lit::Int(n)) => Some(n.to_string()),
        _ => None,
    }
}
