//! Scratch variables: in registers where that is possible, else on the stack or in scratch memory.

use std::collections::{HashMap, HashSet};

use beetrace_lang::span::Span;
use beetrace_lang::typed::{Expr, ExprKind, Stmt, StmtKind, VarId};
use beetrace_lang::types::Type;

use super::func::{FRAME_VARS, Lower};
use super::into::Fill;
use super::layout::Repr;
use super::memory::Place;
use super::room::round_up;
use super::walk::{Visit, walk_expr, walk_stmt};
use super::{LowerError, Result, Room};
use crate::ir::Value;

/// Bytes of captured variables on the stack at the most; the others go to scratch memory.
const FRAME_LIMIT: u32 = 96;
/// Bytes of the other variables on the stack of the entry and of a callback.
const ENTRY_LIMIT: u32 = 128;
const CALLBACK_LIMIT: u32 = 32;

/// Where a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VarPlace {
    /// In a register, as an SSA value.
    Register,
    /// In a stack slot of the function that uses it.
    Slot,
    /// In the frame that callbacks see.
    Frame(u32),
    /// In the program's scratch memory.
    Scratch(u32),
    /// The entry that a loop over a map has come to: its key and its value where the map has them.
    Entry,
}

impl Lower<'_, '_> {
    /// Decides for each variable where it lives.
    pub(super) fn place_vars(&mut self) {
        let fixed = FRAME_VARS.saturating_add(self.facts.range_callbacks.saturating_mul(8));
        self.frame_size = fixed;
        let mut places = Vec::with_capacity(self.probe.vars.len());
        let mut planned: HashMap<u32, u32> = HashMap::new();
        let loops = loop_vars(&self.probe.body);
        for (index, var) in self.probe.vars.iter().enumerate() {
            let id = VarId(index as u32);
            let facts = self.facts.var(id);
            let captured = facts.is_some_and(|f| f.functions.len() > 1);
            let addressed = facts.is_some_and(|f| f.address_taken);
            let whole = facts.is_some_and(|f| f.is_used_whole);
            let size = round_up(self.unit.size_of(&var.ty).max(1));
            let is_scalar = matches!(self.unit.repr(&var.ty), Repr::Scalar { .. });
            let is_small = !self.unit.is_scratch_sized(size);
            let is_scarce = self.unit.room == Room::Scarce;
            let place = if loops.contains(&id) && !captured && !whole {
                VarPlace::Entry
            } else if is_scalar && !captured && !addressed {
                VarPlace::Register
            } else if captured {
                let limit = if is_scarce { 0 } else { FRAME_LIMIT };
                if is_small && self.frame_size + size <= fixed + limit {
                    let at = self.frame_size;
                    self.frame_size += size;
                    VarPlace::Frame(at)
                } else {
                    VarPlace::Scratch(self.reserve_scratch(size))
                }
            } else {
                let function = facts.and_then(|f| f.functions.first().copied());
                let used = planned.entry(function.unwrap_or(0)).or_default();
                let limit = match function.unwrap_or(0) {
                    _ if is_scarce => 0,
                    0 => ENTRY_LIMIT,
                    _ => CALLBACK_LIMIT,
                };
                if is_small && *used + size <= limit {
                    *used += size;
                    VarPlace::Slot
                } else {
                    VarPlace::Scratch(self.reserve_scratch(size))
                }
            };
            places.push(place);
        }
        self.vars = places;
    }

    pub(super) fn var_place(&self, var: VarId, span: Span) -> Result<VarPlace> {
        let place = self.vars.get(var.0 as usize).copied();
        place.ok_or(LowerError::Malformed {
            what: "a variable that does not exist",
            span,
        })
    }

    pub(super) fn var_type(&self, var: VarId) -> Type {
        let var = self.probe.vars.get(var.0 as usize);
        var.map_or(Type::Void, |v| v.ty.clone())
    }

    /// Where a variable's bytes are; `None` for one in a register.
    pub(super) fn var_memory(&mut self, var: VarId, span: Span) -> Result<Option<Place>> {
        Ok(match self.var_place(var, span)? {
            VarPlace::Register | VarPlace::Entry => None,
            VarPlace::Slot => {
                if let Some(&place) = self.f.var_slots.get(&var) {
                    return Ok(Some(place));
                }
                let size = self.unit.size_of(&self.var_type(var)).max(1);
                let place = Place::slot(self.slot_for_var(size));
                self.f.var_slots.insert(var, place);
                Some(place)
            }
            VarPlace::Frame(at) => {
                let frame = self.f.frame.ok_or(LowerError::Malformed {
                    what: "a captured variable without a callback",
                    span,
                })?;
                Some(frame.at(i64::from(at)))
            }
            VarPlace::Scratch(at) => Some(self.scratch_at(at)),
        })
    }

    /// The value of a scalar variable.
    pub(super) fn var_get(&mut self, var: VarId, span: Span) -> Result<Value> {
        match self.var_memory(var, span)? {
            None => Ok(self.f.ssa.read(&mut self.f.b, var)),
            Some(place) => match self.unit.repr(&self.var_type(var)) {
                Repr::Scalar { size, signed } => Ok(self.load_raw(place, size, signed)),
                _ => Err(LowerError::Malformed {
                    what: "a variable that is no number",
                    span,
                }),
            },
        }
    }

    /// Gives a scalar variable a value.
    pub(super) fn var_put(&mut self, var: VarId, value: Value, span: Span) -> Result<()> {
        match self.var_memory(var, span)? {
            None => self.f.ssa.write(&self.f.b, var, value),
            Some(place) => {
                if let Repr::Scalar { size, .. } = self.unit.repr(&self.var_type(var)) {
                    self.store(place, size, value);
                }
            }
        }
        Ok(())
    }

    pub(super) fn declare_var(&mut self, var: VarId, span: Span) -> Result<()> {
        let ty = self.var_type(var);
        match (self.unit.repr(&ty), self.var_memory(var, span)?) {
            (Repr::Scalar { .. }, _) => {
                let zero = self.iconst(0);
                self.var_put(var, zero, span)
            }
            (Repr::Memory(size), Some(place)) => {
                self.zero(place, size);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn set_var(&mut self, var: VarId, value: &Expr) -> Result<()> {
        let ty = self.var_type(var);
        match (self.unit.repr(&ty), self.var_memory(var, value.span)?) {
            (Repr::Scalar { .. }, _) => {
                let number = match self.facts.var(var).and_then(|f| f.btf) {
                    Some(_) => self.btf_pointer(value)?,
                    None => self.scalar(value)?,
                };
                self.var_put(var, number, value.span)
            }
            (Repr::Memory(size), Some(place)) if mentions(value, var) => {
                let mark = self.mark();
                let new = self.temporary(size);
                self.store_into(value, new, Fill::Clean)?;
                self.copy(place, new, size)?;
                self.release(mark);
                Ok(())
            }
            (Repr::Memory(_), Some(place)) => self.store_into(value, place, Fill::Clean),
            _ => self.effect(value),
        }
    }
}

/// The variables of loops over maps.
fn loop_vars(body: &[Stmt]) -> HashSet<VarId> {
    #[derive(Default)]
    struct Loops(HashSet<VarId>);
    impl<'a> Visit<'a> for Loops {
        fn stmt(&mut self, stmt: &'a Stmt) {
            if let StmtKind::ForMap { var, .. } = &stmt.kind {
                self.0.insert(*var);
            }
            walk_stmt(self, stmt);
        }
    }
    let mut loops = Loops::default();
    loops.block(body);
    loops.0
}

/// Whether an expression reads a variable.
fn mentions(expr: &Expr, var: VarId) -> bool {
    struct Search(VarId, bool);
    impl<'a> Visit<'a> for Search {
        fn expr(&mut self, expr: &'a Expr) {
            match expr.kind {
                ExprKind::Var(var) | ExprKind::AddressOfVar(var) if var == self.0 => self.1 = true,
                _ => walk_expr(self, expr),
            }
        }
    }
    let mut search = Search(var, false);
    search.expr(expr);
    search.1
}
