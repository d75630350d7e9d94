//! `uaddr`: addresses of symbols in the traced binary.

use std::path::Path;

use beetrace_object::Event;

use crate::ast;
use crate::check::coerce::cast;
use crate::check::value::Val;
use crate::check::{Checker, registers};
use crate::span::Span;
use crate::typed::{Cast, Expr, ExprKind};
use crate::types::{IntType, Space, Type};

impl<'a> Checker<'a> {
    pub(super) fn uaddr(&mut self, symbol: &'a ast::Expr, span: Span) -> Option<Val> {
        let Some(path) = self.now.binary().map(Path::to_owned) else {
            let message = format!(
                "uaddr can not be used with \"{}\" probes",
                self.now.written_provider()
            );
            self.error("context", span, message);
            return None;
        };
        let name = self.literal_text("uaddr", symbol, span)?;
        let valid = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
        if name.is_empty() || !name.chars().all(valid) {
            self.error(
                "argument",
                span,
                format!("uaddr() expects a string that is a valid symbol (^[a-zA-Z0-9./_-]+$) as input (\"{name}\" provided)"),
            );
            return None;
        }
        let found = self.btf.world.binary(&path).and_then(|binary| {
            Ok(binary
                .symbol(&name)?
                .map(|s| (s, binary.is_position_independent())))
        });
        let (symbol, movable) = match found {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.error(
                    "symbol",
                    span,
                    format!("Could not resolve symbol: {}:{name}", path.display()),
                );
                return None;
            }
            Err(error) => {
                self.error("symbol", span, error.message);
                return None;
            }
        };
        let bits = match symbol.size {
            1 => 8,
            2 => 16,
            4 => 32,
            _ => 64,
        };
        let value = if movable {
            self.moved_address(symbol.address, &path, span)?
        } else {
            self.address(symbol.address, Space::User, span)
        };
        let to = Type::Int(IntType { bits, signed: true });
        Some(cast(Cast::Int, value, Type::pointer(to, Space::User)))
    }

    /// The address of what the file has at `address`, where the file is loaded anywhere: by the distance to the
    /// instruction that the probe stands at.
    fn moved_address(&mut self, address: u64, path: &Path, span: Span) -> Option<Val> {
        let here = self.probe_address(path);
        let register = registers::offset("pc");
        let (Some(here), Some(offset)) = (here, register) else {
            self.error(
                "unsupported",
                span,
                format!(
                    "uaddr() needs a probe at one instruction of {}, which is loaded at an address of its own in every process",
                    path.display()
                ),
            );
            return None;
        };
        let number = |kind| Expr {
            kind,
            ty: Type::U64,
            span,
        };
        let kind = ExprKind::Offset {
            pointer: Box::new(number(ExprKind::Register { offset, size: 8 })),
            bytes: Box::new(number(ExprKind::Int(address.wrapping_sub(here)))),
            negative: false,
        };
        Some(Val::new(kind, Type::U64, span).in_space(Space::User))
    }

    /// Where in the file the probe stands, if that is one place, which the program counter points at.
    fn probe_address(&self, path: &Path) -> Option<u64> {
        let matched = self.now.matched.filter(|_| self.now.is_alone)?;
        let offset = match &matched.spec.event {
            Event::Uprobe(u) if !u.is_return => match u.targets.as_slice() {
                [target] => target.offset,
                _ => return None,
            },
            _ => return None,
        };
        self.btf.world.binary(path).ok()?.address(offset)
    }
}
