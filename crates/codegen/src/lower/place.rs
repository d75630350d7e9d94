//! Expressions as places: where the bytes of a composite lie.

use beetrace_isa::{AluOp, JmpOp};
use beetrace_lang::typed::{Call, Cast, Expr, ExprKind};
use beetrace_lang::types::Type;
use beetrace_object::Action;

use super::analysis::constant;
use super::func::{Lower, Test};
use super::into::Fill;
use super::layout::Repr;
use super::memory::{Base, Memory, Place};
use super::{LowerError, Result, source_span};

const ARRAY_BOUNDS: &str = "Array access out of bounds. This can lead to unexpected results.";

impl Lower<'_, '_> {
    /// Where the bytes of an expression lie, made for it where it has no place of its own. The bytes are to be used at once.
    pub(super) fn place(&mut self, expr: &Expr) -> Result<Place> {
        self.with_span(expr.span, |l| l.place_inner(expr))
    }

    fn place_inner(&mut self, expr: &Expr) -> Result<Place> {
        match &expr.kind {
            ExprKind::Str(text) => {
                let mut bytes = text.as_bytes().to_vec();
                bytes.resize(self.unit.size_of(&expr.ty) as usize, 0);
                Ok(self.constant(&bytes))
            }
            ExprKind::Bytes(bytes) => Ok(self.constant(bytes)),
            ExprKind::Var(var) => match self.var_memory(*var, expr.span)? {
                Some(place) => Ok(place),
                None => self.made(expr),
            },
            ExprKind::MapGet { map, key } => self.map_place(*map, key.as_deref(), expr),
            ExprKind::Deref(pointer) => self.pointed(pointer),
            ExprKind::Field {
                base,
                offset,
                bits: None,
            } => Ok(self.place(base)?.at(i64::from(*offset))),
            ExprKind::Index { base, index } => self.element_of_array(base, index, expr),
            ExprKind::Element { base, index } => {
                if let ExprKind::Var(var) = base.kind
                    && let Some(&entry) = self.f.entries.get(&var)
                {
                    return self.entry_place(entry, *index, expr);
                }
                let offset = self.member_offset(&base.ty, *index, expr)?;
                Ok(self.place(base)?.at(i64::from(offset)))
            }
            ExprKind::Context => Ok(Place::context()),
            ExprKind::DataLoc { base, offset } => {
                let address = self.data_loc(base, *offset)?;
                Ok(Place::value(address, Memory::Kernel))
            }
            ExprKind::Cast { cast, expr: inner } if !self.is_scalar(inner) => match cast {
                Cast::Reinterpret | Cast::Bytes => self.place(inner),
                Cast::Str if self.is_shorter_string(inner, expr) => self.place(inner),
                _ => self.made(expr),
            },
            ExprKind::Block {
                stmts,
                value: Some(value),
            } => {
                self.stmts(stmts)?;
                self.place(value)
            }
            ExprKind::Call(Call::Table { table, index }) => self.table_row(*table, index, expr),
            _ => self.made(expr),
        }
    }

    /// Whether `to` is the beginning of the string `from` in the program's own memory.
    fn is_shorter_string(&self, from: &Expr, to: &Expr) -> bool {
        match (&from.ty, &to.ty) {
            (Type::Str(have), Type::Str(want)) => want <= have,
            _ => false,
        }
    }

    /// The value of an expression in memory made for it.
    fn made(&mut self, expr: &Expr) -> Result<Place> {
        let size = match self.unit.repr(&expr.ty) {
            Repr::Memory(size) => size,
            Repr::Scalar { size, .. } => size.bytes(),
            Repr::Void => {
                return Err(LowerError::Malformed {
                    what: "nothing where a value was expected",
                    span: expr.span,
                });
            }
        };
        let to = self.temporary(size);
        self.store_into(expr, to, Fill::Clean)?;
        Ok(to)
    }

    /// What a pointer points to.
    pub(super) fn pointed(&mut self, pointer: &Expr) -> Result<Place> {
        if let Some(id) = self.btf().pointer(pointer) {
            let base = self.btf_pointer(pointer)?;
            let is_never_null = matches!(pointer.kind, ExprKind::Call(Call::Curtask));
            return Ok(Place::value(base, Memory::Btf { id, is_never_null }));
        }
        let Type::Pointer(_, space) = pointer.ty else {
            return Err(LowerError::Malformed {
                what: "a pointer was expected",
                span: pointer.span,
            });
        };
        let base = self.scalar(pointer)?;
        Ok(Place::value(base, Memory::of(space)))
    }

    pub(super) fn member_offset(&self, ty: &Type, index: u32, expr: &Expr) -> Result<u32> {
        let offsets = match ty {
            Type::Tuple(of) => self.unit.tuple(of.iter()).0,
            Type::Record(of) => self.unit.tuple(of.iter().map(|(_, t)| t)).0,
            _ => Vec::new(),
        };
        let offset = offsets.get(index as usize).copied();
        offset.ok_or(LowerError::Malformed {
            what: "a member that does not exist",
            span: expr.span,
        })
    }

    fn element_of_array(&mut self, base: &Expr, index: &Expr, expr: &Expr) -> Result<Place> {
        let size = self.unit.size_of(&expr.ty);
        let len = match &base.ty {
            Type::Array(_, len) | Type::Str(len) | Type::Buf(len) => *len,
            _ => 0,
        };
        let array = self.place(base)?;
        if let Some(index) = constant(index) {
            return Ok(array.at(index.wrapping_mul(i64::from(size))));
        }
        let index = self.scalar(index)?;
        let start = self.address(array);
        let (start, memory) = match array.memory {
            Memory::Btf { .. } => (self.launder(start), Memory::Kernel),
            Memory::Context => (start, Memory::Kernel),
            memory => (start, memory),
        };
        let is_own = array.is_own();
        let len = self.iconst(i64::from(len));
        let span = expr.span;
        // What cannot be read is zero, and so is what is out of bounds.
        let address = self.choose(
            Test(JmpOp::Lt, index, len),
            |l| {
                let distance = l.binary_imm(AluOp::Mul, index, i64::from(size));
                Ok(l.binary(AluOp::Add, start, distance))
            },
            |l| {
                l.message(Action::RuntimeMessage {
                    text: ARRAY_BOUNDS.into(),
                    span: source_span(span),
                    is_error: false,
                })?;
                if is_own {
                    let zeros = l.zeros(size.max(8));
                    Ok(l.address(zeros))
                } else {
                    Ok(l.iconst(0))
                }
            },
        )?;
        Ok(Place {
            base: Base::Value(address),
            offset: 0,
            memory,
        })
    }
}
