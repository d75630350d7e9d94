//! Which pointers the verifier knows by their BTF type, and what it lets a program read through them.
//!
//! The kernel follows such a pointer member by member (`btf_struct_walk` of kernel/bpf/btf.c), so that a chain like
//! `curtask.mm.owner.pid` takes one load a step; a load that faults gives zero. What this module does not recognise is
//! read with a helper, which is always right.

use beetrace_lang::structs::{FieldDef, Origin, StructId};
use beetrace_lang::typed::{Call, Cast, Context, Expr, ExprKind, Probe, Program};
use beetrace_lang::types::Type;
use beetrace_object::ProgramKind;

use super::analysis::constant;
use crate::target::Target;

/// What a direct load of some bytes of a struct gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    Scalar,
    /// A pointer to a struct that may be followed again.
    Pointer(StructId),
}

/// Where a chain of members starts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Root<'e> {
    /// At the struct that a pointer points to.
    Pointer(&'e Expr, StructId),
    Context,
}

pub(super) struct BtfFacts<'a> {
    pub(super) program: &'a Program,
    pub(super) target: &'a Target,
    pub(super) probe: &'a Probe,
    /// What each variable is known to point to.
    pub(super) vars: &'a [Option<StructId>],
}

impl BtfFacts<'_> {
    /// The struct that the verifier knows a pointer to point to.
    pub(super) fn pointer(&self, expr: &Expr) -> Option<StructId> {
        let id = pointee(&expr.ty)?;
        if !self.target.direct_btf_loads || !self.is_kernel_struct(id) || !self.is_gpl() {
            return None;
        }
        let found = match &expr.kind {
            ExprKind::Call(Call::Curtask) if self.target.current_task_btf => Some(id),
            ExprKind::Var(var) => self.vars.get(var.0 as usize).copied().flatten(),
            ExprKind::Cast {
                cast: Cast::Int | Cast::Reinterpret,
                expr,
            } => self.pointer(expr),
            ExprKind::Argument(_) => (self.probe.kind == ProgramKind::Tracing).then_some(id),
            ExprKind::Field { .. } | ExprKind::Index { .. } => {
                let (root, offset) = self.chain(expr)?;
                match root {
                    Root::Context => (self.probe.context == Context::Iterator).then_some(id),
                    Root::Pointer(pointer, root) => {
                        self.pointer(pointer).filter(|&p| p == root)?;
                        match self.walk(root, offset, 8)? {
                            Walk::Pointer(to) => Some(to),
                            Walk::Scalar => None,
                        }
                    }
                }
            }
            _ => None,
        };
        found.filter(|&f| f == id)
    }

    /// A member as an offset from the struct that its chain begins with.
    pub(super) fn chain<'e>(&self, expr: &'e Expr) -> Option<(Root<'e>, u32)> {
        match &expr.kind {
            ExprKind::Field {
                base,
                offset,
                bits: None,
            } => {
                let (root, before) = self.chain(base)?;
                Some((root, before.checked_add(*offset)?))
            }
            ExprKind::Index { base, index } => {
                let (root, before) = self.chain(base)?;
                let Type::Array(of, len) = &base.ty else {
                    return None;
                };
                let index = u32::try_from(constant(index)?).ok().filter(|i| i < len)?;
                let at = index.checked_mul(self.size(of)?)?;
                Some((root, before.checked_add(at)?))
            }
            ExprKind::Deref(pointer) => Some((Root::Pointer(pointer, pointee(&pointer.ty)?), 0)),
            ExprKind::Context => Some((Root::Context, 0)),
            _ => None,
        }
    }

    /// What a load of so many bytes at an offset of a struct gives; `None` where the verifier may refuse it.
    pub(super) fn walk(&self, id: StructId, offset: u32, size: u32) -> Option<Walk> {
        self.is_kernel_struct(id).then_some(())?;
        let end = offset.checked_add(size)?;
        let mut touched = self.program.structs.fields(id).iter().filter(|field| {
            let from = field.offset;
            let len = self.size(&field.ty).unwrap_or(0);
            from < end && offset < from.saturating_add(len)
        });
        let field = touched.next()?;
        if touched.next().is_some() || field.bits.is_some() || offset < field.offset {
            return None;
        }
        self.walk_field(field, offset - field.offset, size)
    }

    fn walk_field(&self, field: &FieldDef, mut offset: u32, size: u32) -> Option<Walk> {
        let mut ty = &field.ty;
        while let Type::Array(of, _) = ty {
            offset = offset.checked_rem(self.size(of)?)?;
            ty = of;
        }
        let end = offset.checked_add(size)?;
        match ty {
            Type::Struct(id, _) => self.walk(*id, offset, size),
            Type::Pointer(to, _) => match **to {
                _ if offset != 0 || size != 8 => None,
                Type::Struct(id, _) if self.is_kernel_struct(id) => Some(Walk::Pointer(id)),
                _ => Some(Walk::Scalar),
            },
            other => (end <= self.size(other)?).then_some(Walk::Scalar),
        }
    }

    /// A complete struct of the kernel's own BTF.
    fn is_kernel_struct(&self, id: StructId) -> bool {
        let def = self.program.structs.get(id);
        def.size > 0 && matches!(def.origin, Origin::Btf { .. })
    }

    fn is_gpl(&self) -> bool {
        self.program.license.contains("GPL")
    }

    fn size(&self, ty: &Type) -> Option<u32> {
        match ty {
            Type::Bool => Some(1),
            Type::Int(t) | Type::Enum(_, t) => Some(t.bytes()),
            Type::Pointer(..) => Some(8),
            Type::Str(n) => Some(*n),
            Type::Array(of, n) => self.size(of)?.checked_mul(*n),
            Type::Struct(id, _) => Some(self.program.structs.get(*id).size),
            _ => None,
        }
    }
}

fn pointee(ty: &Type) -> Option<StructId> {
    match ty {
        Type::Pointer(to, _) => match **to {
            Type::Struct(id, _) => Some(id),
            _ => None,
        },
        _ => None,
    }
}
