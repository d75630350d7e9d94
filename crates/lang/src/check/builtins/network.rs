//! Addresses and packets.

use std::net::IpAddr;

use crate::ast::Expr;
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::coerce::cast;
use crate::check::literal::Lit;
use crate::check::promote::numeric;
use crate::check::value::Val;
use crate::span::Span;
use crate::structs::base_name;
use crate::typed::{Call, Cast, ExprKind};
use crate::types::{IntType, Space, Type};

impl<'a> Checker<'a> {
    pub(crate) fn network_call(&mut self, name: &str, args: &'a [Expr], span: Span) -> Answer {
        match (name, args) {
            ("ntop", [address]) => Some(self.ntop(None, address, span)),
            ("ntop", [family, address]) => Some(self.ntop(Some(family), address, span)),
            ("pton", [text]) => Some(self.pton(text, span)),
            ("macaddr", [address]) => Some(self.macaddr(address, span)),
            ("bswap", [value]) => Some(self.bswap(value, span)),
            ("socket_cookie", [socket]) => Some(self.socket_cookie(socket, span)),
            ("skboutput", [path, skb, len, offset]) => {
                Some(self.skboutput(path, skb, len, offset, span))
            }
            _ => None,
        }
    }

    fn ntop(&mut self, family: Option<&'a Expr>, address: &'a Expr, span: Span) -> Option<Val> {
        let family = match family {
            None => None,
            Some(family) => {
                let family = self.integer("ntop", family, span)?;
                Some(Box::new(self.as_u64(family).expr))
            }
        };
        let address = self.expr(address)?;
        let size = self.structs.size_of(&address.ty);
        let address = match &address.ty {
            Type::Array(..) | Type::Str(_) if size != 4 && size != 16 => {
                self.error(
                    "argument",
                    span,
                    "ntop() argument must be 4 or 16 bytes in size",
                );
                return None;
            }
            Type::Array(..) => address,
            Type::Str(size) => {
                let bytes = Type::Array(Box::new(Type::Int(IntType::U8)), *size);
                cast(Cast::Reinterpret, address, bytes)
            }
            ty if numeric(ty).is_some() => self.as_u64(address),
            ty => {
                let message = format!(
                    "ntop() expects an integer or array argument, got {}",
                    base_name(ty)
                );
                self.error("argument", span, message);
                return None;
            }
        };
        let call = Call::Ntop {
            family,
            address: Box::new(address.expr),
        };
        Some(Val::new(ExprKind::Call(call), Type::Inet, span))
    }

    fn pton(&mut self, text: &'a Expr, span: Span) -> Option<Val> {
        let value = self.expr(text)?;
        let Some(Lit::Str(text)) = &value.lit else {
            self.error(
                "argument",
                span,
                "pton() expects an string literal at the first argument",
            );
            return None;
        };
        if !text.contains(['.', ':']) {
            self.error(
                "argument",
                span,
                format!("pton() expects an string argument of an IPv4/IPv6 address, got {text}"),
            );
            return None;
        }
        let bytes: Vec<u8> = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => address.octets().into(),
            Ok(IpAddr::V6(address)) => address.octets().into(),
            Err(_) => {
                self.error(
                    "argument",
                    span,
                    format!("pton() expects a valid IPv4/IPv6 address, got {text}"),
                );
                return None;
            }
        };
        let len = u32::try_from(bytes.len()).unwrap_or(16);
        let ty = Type::Array(Box::new(Type::Int(IntType::U8)), len);
        Some(Val::new(ExprKind::Bytes(bytes.into()), ty, span))
    }

    fn macaddr(&mut self, address: &'a Expr, span: Span) -> Option<Val> {
        let address = self.expr(address)?;
        if address.lit.as_ref().and_then(Lit::as_str).is_some() {
            self.error(
                "argument",
                span,
                "macaddr() does not support literal string arguments",
            );
            return None;
        }
        let size = self.structs.size_of(&address.ty);
        let address = match &address.ty {
            Type::Array(..) | Type::Str(_) | Type::Buf(_) if size < 6 => {
                self.error(
                    "argument",
                    span,
                    "macaddr() argument must be at least 6 bytes in size",
                );
                return None;
            }
            Type::Array(..) => address,
            Type::Str(size) => {
                let bytes = Type::Array(Box::new(Type::Int(IntType::U8)), *size);
                cast(Cast::Reinterpret, address, bytes)
            }
            Type::Pointer(..) => address,
            ty if numeric(ty).is_some() => {
                let space = match address.space {
                    Space::None => self.now.default_space(),
                    space => space,
                };
                let wide = self.wide(address);
                cast(
                    Cast::Int,
                    wide,
                    Type::pointer(Type::Int(IntType::U8), space),
                )
            }
            ty => {
                let message = format!(
                    "macaddr() only supports array or pointer arguments ({} provided)",
                    base_name(ty)
                );
                self.error("argument", span, message);
                return None;
            }
        };
        let call = Call::Macaddr(Box::new(address.expr));
        Some(Val::new(ExprKind::Call(call), Type::Mac, span))
    }

    fn bswap(&mut self, value: &'a Expr, span: Span) -> Option<Val> {
        let value = self.expr(value)?;
        let Some(int) = value.ty.as_int() else {
            let message = format!(
                "bswap() only supports integer arguments ({} provided)",
                base_name(&value.ty)
            );
            self.error("argument", span, message);
            return None;
        };
        let ty = Type::Int(IntType {
            bits: int.bits,
            signed: false,
        });
        let value = self.explicit_int(value, &ty);
        let call = Call::Bswap(Box::new(value.expr));
        Some(Val::new(ExprKind::Call(call), ty, span))
    }

    fn is_tracing(&mut self, name: &str, span: Span) -> bool {
        if matches!(
            self.now.provider(),
            "fentry" | "fexit" | "iter" | "rawtracepoint"
        ) {
            return true;
        }
        let message = format!(
            "{name} can not be used with \"{}\" probes",
            self.now.written_provider()
        );
        self.error("context", span, message);
        false
    }

    fn socket_cookie(&mut self, socket: &'a Expr, span: Span) -> Option<Val> {
        if !self.is_tracing("socket_cookie", span) {
            return None;
        }
        let value = self.expr(socket)?;
        let name = match &value.ty {
            Type::Pointer(to, _) => match &**to {
                Type::Struct(..) => {
                    let name = self.type_name(to);
                    if name == "struct sock" {
                        let call = Call::SocketCookie(Box::new(value.expr));
                        return Some(Val::new(ExprKind::Call(call), Type::U64, span));
                    }
                    format!("'{name} *'")
                }
                _ => "pointer".to_owned(),
            },
            ty => {
                let message = format!(
                    "socket_cookie() only supports pointer arguments ({} provided)",
                    base_name(ty)
                );
                self.error("argument", span, message);
                return None;
            }
        };
        self.error(
            "argument",
            span,
            format!(
                "socket_cookie() only supports 'struct sock *' as the argument ({name} provided)"
            ),
        );
        None
    }

    fn skboutput(
        &mut self,
        path: &'a Expr,
        skb: &'a Expr,
        len: &'a Expr,
        offset: &'a Expr,
        span: Span,
    ) -> Option<Val> {
        if !self.is_tracing("skboutput", span) {
            return None;
        }
        let path = self.literal_text("skboutput", path, span)?;
        let skb = self.expr(skb)?;
        if !matches!(skb.ty, Type::Pointer(..)) {
            let message = format!(
                "skboutput() only supports pointer arguments ({} provided)",
                base_name(&skb.ty)
            );
            self.error("argument", span, message);
            return None;
        }
        let len = self.integer("skboutput", len, span)?;
        let offset = self.integer("skboutput", offset, span)?;
        let len = self.as_u64(len);
        let offset = self.as_u64(offset);
        let call = Call::SkbOutput {
            path,
            skb: Box::new(skb.expr),
            len: Box::new(len.expr),
            offset: Box::new(offset.expr),
        };
        Some(Val::new(ExprKind::Call(call), Type::U32, span))
    }
}
