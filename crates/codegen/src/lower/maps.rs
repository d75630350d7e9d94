//! Maps: keys, lookups, updates, deletes.

use beetrace_isa::{AluOp, JmpOp, Size, Width, helper};
use beetrace_lang::span::Span;
use beetrace_lang::typed::{Call, Expr, ExprKind, MapId, VarId};
use beetrace_lang::types::Type;
use beetrace_object::{FailureSeverity, Loss, MapKind, Signature};

use super::func::{Lower, Test};
use super::into::Fill;
use super::layout::Repr;
use super::memory::{Memory, Place};
use super::{LowerError, Result};
use crate::ir::{Effect, Op, Value};

/// Flags of `bpf_map_update_elem` (include/uapi/linux/bpf.h).
const BPF_ANY: i64 = 0;
pub(super) const BPF_NOEXIST: i64 = 1;
/// What a helper says of a key that is not there, negated (include/uapi/asm-generic/errno-base.h).
const ENOENT: i64 = 2;

/// A string of at least that many bytes that is a key is read into memory of its own.
const OWN_BUFFER: u32 = 256;

impl Lower<'_, '_> {
    /// The address of a key's bytes.
    pub(super) fn key(&mut self, map: MapId, key: Option<&Expr>, span: Span) -> Result<Value> {
        let info = self.unit.map_info(map, span)?;
        match key {
            Some(key) if self.unit.map_kind(map).is_hash() && info.key != Type::Void => {
                let place = self.clean_place(key)?;
                Ok(self.address(place))
            }
            _ => {
                let place = self.temporary(8);
                let zero = self.iconst(0);
                self.store(place, Size::B8, zero);
                Ok(self.address(place))
            }
        }
    }

    /// A value in the program's own memory, padding and rest zeroed: fit for a key or a map's value.
    pub(super) fn clean_place(&mut self, expr: &Expr) -> Result<Place> {
        let size = self.unit.size_of(&expr.ty);
        let is_built = match &expr.kind {
            ExprKind::Var(_)
            | ExprKind::MapGet { .. }
            | ExprKind::Str(_)
            | ExprKind::Bytes(_)
            | ExprKind::Element { .. } => !self.is_scalar(expr),
            _ => false,
        };
        if is_built {
            let place = self.place(expr)?;
            if place.is_own() {
                return Ok(place);
            }
        }
        if let ExprKind::Call(Call::Str {
            pointer,
            length: None,
        }) = &expr.kind
            && size >= OWN_BUFFER
        {
            return self.with_span(expr.span, |l| l.buffered_string(pointer, size));
        }
        let to = self.temporary(size);
        self.store_into(expr, to, Fill::Clean)?;
        Ok(to)
    }

    pub(super) fn lookup(&mut self, map: u32, key: Value) -> Value {
        let map = self.map_ref(map);
        self.call(helper::MAP_LOOKUP_ELEM, &[map, key], Effect::Reads)
    }

    /// The value of a map that is one value at a fixed address.
    pub(super) fn direct(&mut self, map: MapId, span: Span) -> Result<Option<Place>> {
        let info = self.unit.map_info(map, span)?;
        let is_direct = self.unit.map_kind(map) == MapKind::Array && info.is_scalar();
        Ok(is_direct.then(|| self.map_value((map.0, 0))))
    }

    /// Says that a map without keys is set, at its value on this processor.
    pub(super) fn mark_set(&mut self, map: MapId, value: Place) {
        if let Some(offset) = self.unit.map(map.0).and_then(|m| m.presence()) {
            let one = self.iconst(1);
            self.store(value.at(i64::from(offset)), Size::B8, one);
        }
    }

    /// The address of the value, zero where there is none.
    pub(super) fn map_address(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        span: Span,
    ) -> Result<Value> {
        if let Some(place) = self.direct(map, span)? {
            return Ok(self.address(place));
        }
        let mark = self.mark();
        let key = self.key(map, key, span)?;
        let found = self.lookup(map.0, key);
        self.release(mark);
        Ok(found)
    }

    /// A scalar value, zero where there is no such key.
    pub(super) fn map_get(&mut self, map: MapId, key: Option<&Expr>, expr: &Expr) -> Result<Value> {
        let (size, signed) = self.scalar_repr(expr)?;
        if let Some(place) = self.direct(map, expr.span)? {
            self.report_unset(map, place)?;
            return Ok(self.load_raw(place, size, signed));
        }
        let found = self.map_address(map, key, expr.span)?;
        let zero = self.iconst(0);
        self.choose(
            Test(JmpOp::Ne, found, zero),
            |l| Ok(l.load_raw(Place::value(found, Memory::Own), size, signed)),
            |l| {
                l.report_missing()?;
                Ok(zero)
            },
        )
    }

    fn report_unset(&mut self, map: MapId, value: Place) -> Result<()> {
        let offset = self.unit.map(map.0).and_then(|m| m.presence());
        let Some(offset) = offset.filter(|_| self.unit.target.report_failures) else {
            return Ok(());
        };
        let is_set = self.load_raw(value.at(i64::from(offset)), Size::B8, false);
        let zero = self.iconst(0);
        self.when(Test(JmpOp::Eq, is_set, zero), |l| l.report_missing())
    }

    /// Tells of a key that a map does not have, where the run asked to know.
    fn report_missing(&mut self) -> Result<()> {
        if !self.unit.target.report_failures {
            return Ok(());
        }
        let none = self.iconst(0);
        let severity = FailureSeverity::Verbose;
        self.helper_failed(helper::MAP_LOOKUP_ELEM, none, severity, None)
    }

    /// A composite value where it lies in the map, or zeros.
    pub(super) fn map_place(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        expr: &Expr,
    ) -> Result<Place> {
        if let Some(place) = self.direct(map, expr.span)? {
            return Ok(place);
        }
        let size = self.unit.size_of(&expr.ty);
        let found = self.map_address(map, key, expr.span)?;
        let zero = self.iconst(0);
        let address = self.choose(
            Test(JmpOp::Ne, found, zero),
            |_| Ok(found),
            |l| {
                l.report_missing()?;
                let zeros = l.zeros(size);
                Ok(l.address(zeros))
            },
        )?;
        Ok(Place::value(address, Memory::Own))
    }

    pub(super) fn map_get_into(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        expr: &Expr,
        to: Place,
    ) -> Result<()> {
        let size = self.unit.size_of(&expr.ty);
        if let Some(from) = self.direct(map, expr.span)? {
            return self.copy(to, from, size);
        }
        let found = self.map_address(map, key, expr.span)?;
        self.copy_or_zero(found, to, size)
    }

    pub(super) fn has_key(&mut self, map: MapId, key: &Expr) -> Result<Value> {
        let found = self.map_address(map, Some(key), key.span)?;
        Ok(self.is_set(found))
    }

    pub(super) fn find(&mut self, map: MapId, key: &Expr, var: VarId, span: Span) -> Result<Value> {
        let found = self.map_address(map, Some(key), span)?;
        let zero = self.iconst(0);
        self.choose(
            Test(JmpOp::Ne, found, zero),
            |l| {
                let from = Place::value(found, Memory::Own);
                match l.unit.repr(&l.var_type(var)) {
                    Repr::Scalar { size, signed } => {
                        let value = l.load_raw(from, size, signed);
                        l.var_put(var, value, span)?;
                    }
                    Repr::Memory(size) => {
                        if let Some(to) = l.var_memory(var, span)? {
                            l.copy(to, from, size)?;
                        }
                    }
                    Repr::Void => {}
                }
                Ok(l.iconst(1))
            },
            |_| Ok(zero),
        )
    }

    pub(super) fn delete(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        warn: bool,
        span: Span,
    ) -> Result<Value> {
        let zero = self.iconst(0);
        let done = if self.unit.map_kind(map).is_hash() {
            let mark = self.mark();
            let key = self.key(map, key, span)?;
            let map = self.map_ref(map.0);
            let result = self.call(helper::MAP_DELETE_ELEM, &[map, key], Effect::Writes);
            self.release(mark);
            result
        } else {
            let was_set = self.unset(map, span)?;
            let missing = self.iconst(-ENOENT);
            self.choose(
                Test(JmpOp::Ne, was_set, zero),
                |_| Ok(zero),
                |_| Ok(missing),
            )?
        };
        if warn {
            self.when(Test(JmpOp::Ne, done, zero), |l| {
                l.helper_failed(helper::MAP_DELETE_ELEM, done, FailureSeverity::Always, None)
            })?;
        }
        Ok(self.f.b.compare(JmpOp::Eq, Width::W64, done, zero))
    }

    /// Makes an array's value zero and not set, and tells whether it was set.
    fn unset(&mut self, map: MapId, span: Span) -> Result<Value> {
        let size = self.unit.map(map.0).map_or(0, |m| m.value_size);
        let presence = i64::from(size.saturating_sub(8));
        if let Some(place) = self.direct(map, span)? {
            let was_set = self.load_raw(place.at(presence), Size::B8, false);
            self.zero(place, size);
            return Ok(was_set);
        }
        let mark = self.mark();
        let key = self.key(map, None, span)?;
        let zero = self.iconst(0);
        let (was_set, _) =
            self.each_cpu(map, key, span, (zero, zero), |l, found, (so_far, none)| {
                let was_set = l.choose(
                    Test(JmpOp::Ne, found, zero),
                    |l| {
                        let place = Place::value(found, Memory::Own);
                        let set = l.load_raw(place.at(presence), Size::B8, false);
                        l.zero(place, size);
                        Ok(l.binary(AluOp::Or, so_far, set))
                    },
                    |_| Ok(so_far),
                )?;
                Ok((was_set, none))
            })?;
        self.release(mark);
        Ok(was_set)
    }

    /// Number of entries: a walk over the map says how many it saw.
    pub(super) fn map_len(&mut self, map: MapId, span: Span) -> Result<Value> {
        let info = self.unit.map_info(map, span)?;
        if !self.unit.map_kind(map).is_hash() {
            return Ok(self.iconst(i64::from(info.max_entries)));
        }
        if !self.unit.target.for_each_map_elem {
            return Err(LowerError::Unsupported {
                what: "len() of a map",
                needs: "bpf_for_each_map_elem (Linux 5.13)",
                span,
            });
        }
        let outer = self.begin_callback("count", Signature::MapCallback, false);
        let zero = self.iconst(0);
        self.f.b.ret(zero);
        let callback = self.end_function(outer);
        let map = self.map_ref(map.0);
        let function = self.f.b.def(Op::FuncRef(callback));
        let zero = self.iconst(0);
        let args = [map, function, zero, zero];
        Ok(self.call(helper::FOR_EACH_MAP_ELEM, &args, Effect::Writes))
    }

    /// `@x[key] = value`
    pub(super) fn set_map(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        value: &Expr,
        span: Span,
    ) -> Result<()> {
        let mark = self.mark();
        match self.unit.repr(&value.ty) {
            Repr::Scalar { size, .. } => {
                let number = self.scalar(value)?;
                self.set_scalar(map, key, number, size, span)?;
            }
            Repr::Memory(size) => {
                let place = self.clean_place(value)?;
                match self.direct(map, span)? {
                    Some(to) => {
                        self.mark_set(map, to);
                        self.copy(to, place, size)?;
                    }
                    None if !self.unit.map_kind(map).is_hash() => {
                        let found = self.map_address(map, None, span)?;
                        self.if_found(
                            found,
                            |l, to| {
                                l.mark_set(map, to);
                                l.copy(to, place, size)
                            },
                            |_| Ok(()),
                        )?;
                    }
                    None => {
                        let key = self.key(map, key, span)?;
                        let from = self.address(place);
                        self.update(map, key, from)?;
                    }
                }
            }
            Repr::Void => self.effect(value)?,
        }
        self.release(mark);
        Ok(())
    }

    fn set_scalar(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        value: Value,
        size: Size,
        span: Span,
    ) -> Result<()> {
        if let Some(place) = self.direct(map, span)? {
            self.store(place, size, value);
            self.mark_set(map, place);
            return Ok(());
        }
        let key = self.key(map, key, span)?;
        let comes_and_goes = self.unit.script.deletes_from.contains(&map);
        if comes_and_goes && self.unit.map_kind(map).is_hash() {
            // Keys that come and go are mostly new: a lookup before the update would find nothing.
            return self.insert_scalar(map, key, value, size);
        }
        let found = self.lookup(map.0, key);
        self.if_found(
            found,
            |l, to| {
                l.store(to, size, value);
                l.mark_set(map, to);
                Ok(())
            },
            |l| l.insert_scalar(map, key, value, size),
        )
    }

    fn insert_scalar(&mut self, map: MapId, key: Value, value: Value, size: Size) -> Result<()> {
        if !self.unit.map_kind(map).is_hash() {
            return Ok(());
        }
        let from = self.temporary(8);
        self.store(from, size, value);
        let from = self.address(from);
        self.update(map, key, from)
    }

    /// One of two ways, by whether a lookup found a value.
    pub(super) fn if_found(
        &mut self,
        found: Value,
        then: impl FnOnce(&mut Self, Place) -> Result<()>,
        otherwise: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let fork = self.fork();
        let (yes, _) = self.f.b.block(0);
        let (no, _) = self.f.b.block(0);
        let (end, _) = self.f.b.block(0);
        let zero = self.iconst(0);
        self.branch(Test(JmpOp::Ne, found, zero), yes, no);
        self.f.b.switch_to(yes);
        then(self, Place::value(found, Memory::Own))?;
        self.f.b.jump(end, &[]);
        self.f.b.switch_to(no);
        otherwise(self)?;
        self.f.b.jump(end, &[]);
        self.join(end, fork);
        Ok(())
    }

    /// Updates an entry, and tells where that failed.
    pub(super) fn update(&mut self, map: MapId, key: Value, value: Value) -> Result<()> {
        let result = self.update_with(map, key, value, BPF_ANY);
        let zero = self.iconst(0);
        self.when(Test(JmpOp::Ne, result, zero), |l| l.update_failed(result))
    }

    pub(super) fn update_with(
        &mut self,
        map: MapId,
        key: Value,
        value: Value,
        flags: i64,
    ) -> Value {
        let map = self.map_ref(map.0);
        let flags = self.iconst(flags);
        self.call(
            helper::MAP_UPDATE_ELEM,
            &[map, key, value, flags],
            Effect::Writes,
        )
    }

    pub(super) fn update_failed(&mut self, result: Value) -> Result<()> {
        let severity = FailureSeverity::Always;
        self.helper_failed(
            helper::MAP_UPDATE_ELEM,
            result,
            severity,
            Some(Loss::MapUpdateFailed),
        )
    }

    /// `x++` and its kin: the value before or after.
    pub(super) fn step(&mut self, target: &Expr, by: i64, prefix: bool) -> Result<Value> {
        let (size, signed) = self.scalar_repr(target)?;
        match &target.kind {
            ExprKind::Var(var) => {
                let old = self.var_get(*var, target.span)?;
                let new = self.stepped(old, by, target);
                self.var_put(*var, new, target.span)?;
                Ok(if prefix { new } else { old })
            }
            ExprKind::MapGet { map, key } => {
                if let Some(place) = self.direct(*map, target.span)? {
                    let old = self.load_raw(place, size, signed);
                    let new = self.stepped(old, by, target);
                    self.store(place, size, new);
                    self.mark_set(*map, place);
                    return Ok(if prefix { new } else { old });
                }
                let mark = self.mark();
                let key = self.key(*map, key.as_deref(), target.span)?;
                let found = self.lookup(map.0, key);
                let zero = self.iconst(0);
                let value = self.choose(
                    Test(JmpOp::Ne, found, zero),
                    |l| {
                        let place = Place::value(found, Memory::Own);
                        let old = l.load_raw(place, size, signed);
                        let new = l.stepped(old, by, target);
                        l.store(place, size, new);
                        l.mark_set(*map, place);
                        Ok(if prefix { new } else { old })
                    },
                    |l| {
                        let first = l.stepped(zero, by, target);
                        l.insert_scalar(*map, key, first, size)?;
                        Ok(if prefix { first } else { zero })
                    },
                )?;
                self.release(mark);
                Ok(value)
            }
            _ => Err(LowerError::Malformed {
                what: "++ and -- need a variable or a map",
                span: target.span,
            }),
        }
    }

    fn stepped(&mut self, old: Value, by: i64, target: &Expr) -> Value {
        let new = self.binary_imm(AluOp::Add, old, by);
        self.wrap(new, &target.ty)
    }
}
