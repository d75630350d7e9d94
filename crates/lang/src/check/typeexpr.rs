//! Types as the script writes them.

use crate::ast::{Expr, ExprKind, Ident, TypeBase, TypeExpr, TypeSuffix};
use crate::check::Checker;
use crate::check::literal::Lit;
use crate::check::locked::Asked;
use crate::check::promote::settle_value;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::suggest::nearest;
use crate::types::{IntType, Signedness, Space, Type};

/// Names of types that the language has.
const NAMES: &[&str] = &[
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "void",
    "string",
    "buffer",
    "inet",
    "min_t",
    "max_t",
    "sum_t",
    "count_t",
    "avg_t",
    "stats_t",
    "umin_t",
    "umax_t",
    "usum_t",
    "uavg_t",
    "ustats_t",
    "timestamp",
    "macaddr_t",
    "cgroup_path_t",
    "username_t",
];

fn builtin(name: &str) -> Option<Type> {
    let int = |bits, signed| Type::Int(IntType { bits, signed });
    Some(match name {
        "bool" => Type::Bool,
        "int8" => int(8, true),
        "int16" => int(16, true),
        "int32" => int(32, true),
        "int64" => int(64, true),
        "uint8" => int(8, false),
        "uint16" => int(16, false),
        "uint32" => int(32, false),
        "uint64" => int(64, false),
        "void" => Type::Void,
        "string" => Type::Str(0),
        "buffer" => Type::Buf(0),
        "inet" => Type::Inet,
        "min_t" => Type::Min(Signedness::Signed),
        "max_t" => Type::Max(Signedness::Signed),
        "sum_t" => Type::Sum(Signedness::Signed),
        "avg_t" => Type::Avg(Signedness::Signed),
        "stats_t" => Type::Stats(Signedness::Signed),
        "count_t" => Type::Count,
        "umin_t" => Type::Min(Signedness::Unsigned),
        "umax_t" => Type::Max(Signedness::Unsigned),
        "usum_t" => Type::Sum(Signedness::Unsigned),
        "uavg_t" => Type::Avg(Signedness::Unsigned),
        "ustats_t" => Type::Stats(Signedness::Unsigned),
        "timestamp" => Type::Timestamp("".into()),
        "macaddr_t" => Type::Mac,
        "cgroup_path_t" => Type::CgroupPath(None),
        "username_t" => Type::Username,
        _ => return None,
    })
}

impl<'a> Checker<'a> {
    /// What a written type means. A struct that nothing defines has no size.
    pub(crate) fn type_expr(&mut self, ty: &'a TypeExpr) -> Option<Type> {
        let mut resolved = match &ty.base {
            TypeBase::Named(name) => self.named_type(name, ty.span)?,
            TypeBase::Struct(tag) => self.composite(false, tag, ty.span)?,
            TypeBase::Union(tag) => self.composite(true, tag, ty.span)?,
            TypeBase::Enum(tag) => self.enum_type(tag, ty.span)?,
            TypeBase::Typeof(of) => self.type_of(of)?,
            TypeBase::Tuple(elements) => Type::Tuple(
                elements
                    .iter()
                    .map(|t| self.type_expr(t))
                    .collect::<Option<Vec<Type>>>()?
                    .into(),
            ),
            TypeBase::Record(members) => {
                let members: &[(Ident, TypeExpr)] = members;
                Type::Record(
                    members
                        .iter()
                        .map(|(n, t)| Some((n.name.clone(), self.type_expr(t)?)))
                        .collect::<Option<Vec<_>>>()?
                        .into(),
                )
            }
        };
        for suffix in &ty.suffixes {
            resolved = match suffix {
                TypeSuffix::Pointer => Type::pointer(resolved, Space::None),
                TypeSuffix::Array(len) => {
                    let len = match len {
                        Some(len) => self.array_length(len)?,
                        None => 0,
                    };
                    match resolved {
                        Type::Str(0) => Type::Str(len),
                        Type::Buf(0) => Type::Buf(len),
                        Type::Inet => Type::Inet,
                        ty => Type::Array(Box::new(ty), len),
                    }
                }
            };
        }
        Some(resolved)
    }

    fn array_length(&mut self, len: &'a Expr) -> Option<u32> {
        let span = len.span;
        let value = self.expr(len)?;
        let n = value.lit.as_ref().and_then(Lit::as_int);
        match n.and_then(|n| u32::try_from(n).ok()) {
            Some(n) => Some(n),
            None => {
                self.error("array-length", span, "an array's length must be a constant");
                None
            }
        }
    }

    fn named_type(&mut self, name: &str, span: Span) -> Option<Type> {
        if let Some(ty) = builtin(name) {
            return Some(ty);
        }
        if let Some(ty) = self.structs.c_name(&self.btf, name) {
            return Some(ty);
        }
        let mut diagnostic = Diagnostic::error(
            "unknown-type",
            format!("Cannot resolve unknown type \"{name}\""),
        )
        .at(span, "");
        if let Some(near) = nearest(name, NAMES.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        self.report(diagnostic);
        None
    }

    fn composite(&mut self, is_union: bool, tag: &str, span: Span) -> Option<Type> {
        let ty = self.structs.c_struct(&self.btf, is_union, tag);
        if let Type::Struct(id, _) = ty
            && self.structs.is_declared_only(id)
        {
            let name = self.type_name(&ty);
            self.error(
                "unknown-type",
                span,
                format!("Cannot resolve unknown type \"{name}\""),
            );
            return None;
        }
        Some(ty)
    }

    fn enum_type(&mut self, tag: &str, span: Span) -> Option<Type> {
        let found = self.structs.c_name(&self.btf, &format!("enum {tag}"));
        if found.is_none() {
            self.error("unknown-type", span, format!("Unknown enum: {tag}"));
        }
        // As a type of the script, an enum has the width of the widest integer.
        match found {
            Some(Type::Enum(id, int)) => Some(Type::Enum(
                id,
                IntType {
                    bits: 64,
                    signed: int.signed,
                },
            )),
            other => other,
        }
    }

    /// The type of `sizeof`'s and `typeof`'s argument: a type, or that of an expression, which is not evaluated.
    pub(crate) fn type_of(&mut self, of: &'a Expr) -> Option<Type> {
        match &of.kind {
            ExprKind::Type(ty) => self.type_expr(ty),
            ExprKind::Ident(name) => match builtin(name) {
                Some(ty) => Some(ty),
                None => match self.structs.c_name(&self.btf, name) {
                    Some(ty) => Some(ty),
                    None => self.value_type(of),
                },
            },
            // The whole of a map with keys stands for its keys.
            ExprKind::Map(name) => {
                let id = self.maps.find(name);
                match id.map(|id| self.maps.get(id)) {
                    Some(map) if map.scalar == Some(false) => {
                        let key = map.key.clone()?;
                        self.strict_depth += 1;
                        self.ask(Asked::Key(id?), &key);
                        self.strict_depth -= 1;
                        Some(key)
                    }
                    Some(map) if map.scalar == Some(true) => self.value_type(of),
                    // Which of them it has is not known yet.
                    _ if !self.building() => None,
                    _ => self.value_type(of),
                }
            }
            _ => self.value_type(of),
        }
    }

    fn value_type(&mut self, of: &'a Expr) -> Option<Type> {
        self.strict_depth += 1;
        let value = self.expr(of);
        self.strict_depth -= 1;
        let value = value?;
        Some(match value.ty.is_aggregate() {
            true => value.ty,
            false => settle_value(&value.ty),
        })
    }
}
